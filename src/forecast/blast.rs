//! Whose keys would have to be stolen for an image to pass that nobody made?
//!
//! What admits an image is an expression in signatures: this role and that one, or the one above them. The least sets of
//! keys with which it holds are the blast radius of a rule. It is found from what is published now and proves nothing:
//! it tells admins where their trust is thin, and tests what a thief must be able to do, and what not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    crypto::{KeyId, Material},
    evidence::{Forgers, Reach, Requirement, Signing, requirement::Level},
    in_toto::{FunctionaryKey, Verified, VerifiedStep},
    tuf::{Delegated, RoleChain, Signers, TopLevel, Trusted},
};

/// Sets that are looked at, at most: of thresholds of many keys there are too many to be named.
const MAX_SETS: usize = 4096;

/// Who has to sign: enough of these keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Authority {
    /// Whose they are, for people: `timestamp of acme`, `step build`.
    pub name: String,
    /// The distinct keys, and the id by which each is known.
    pub keys: BTreeMap<Material, KeyId>,
    /// How many of them have to sign.
    pub threshold: u32,
    /// Whether they are on a machine all the time.
    pub is_online: bool,
}

/// An expression in signatures.
#[derive(Debug, Clone)]
pub enum Ways {
    /// An authority has to sign.
    Signed(Arc<Authority>),
    /// All of these have to hold. Of none: nothing is needed.
    All(Vec<Self>),
    /// One of these has to hold. Of none: there is no way.
    Any(Vec<Self>),
    /// So many of these have to hold.
    Of(usize, Vec<Self>),
}

/// A key of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StolenKey {
    /// Its id, where it is known by several the one of the first authority.
    pub keyid: KeyId,
    /// The authorities that list it.
    pub of: BTreeSet<String>,
    /// Whether it is online for one of them.
    pub is_online: bool,
}

/// Keys that are enough together, and no longer if one is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet(pub BTreeMap<Material, StolenKey>);

impl KeySet {
    /// Whether a break-in at the machines that sign all the time is enough. So it is where no key is needed.
    pub fn is_online(&self) -> bool {
        self.0.values().all(|key| key.is_online)
    }
}

/// The least sets of keys whose theft admits an image that nobody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blast {
    /// They, the smallest first.
    pub sets: Vec<KeySet>,
    /// Whether there are more than are looked at.
    pub is_cut: bool,
}

impl Blast {
    /// The least sets with which an expression holds.
    pub fn of(ways: &Ways) -> Self {
        let mut is_cut = false;
        let mut known: Vec<&Authority> = Vec::new();
        authorities(ways, &mut known);
        let mut keys: BTreeMap<Material, StolenKey> = BTreeMap::new();
        for authority in known {
            for (material, keyid) in &authority.keys {
                let none = || StolenKey { keyid: keyid.clone(), of: BTreeSet::new(), is_online: false };
                let key = keys.entry(*material).or_insert_with(none);
                key.of.insert(authority.name.clone());
                key.is_online |= authority.is_online;
            }
        }
        let mut sets = least(ways, &mut is_cut);
        sets.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
        let with_names = |set: BTreeSet<Material>| {
            KeySet(set.into_iter().filter_map(|material| Some((material, keys.get(&material)?.clone()))).collect())
        };
        Self { sets: sets.into_iter().map(with_names).collect(), is_cut }
    }
}

fn authorities<'a>(ways: &'a Ways, found: &mut Vec<&'a Authority>) {
    match ways {
        Ways::Signed(authority) => found.push(authority),
        Ways::All(parts) | Ways::Any(parts) | Ways::Of(_, parts) => {
            parts.iter().for_each(|part| authorities(part, found))
        }
    }
}

type Keys = BTreeSet<Material>;

/// The least sets with which it holds, at most so many.
fn least(ways: &Ways, is_cut: &mut bool) -> Vec<Keys> {
    match ways {
        Ways::Signed(authority) => enough(authority, is_cut),
        Ways::Any(parts) => {
            let all = parts.iter().flat_map(|part| least(part, is_cut)).collect();
            minimal(all, is_cut)
        }
        Ways::All(parts) => all(parts.iter(), is_cut),
        Ways::Of(number, parts) => {
            let choices = choices(parts.iter(), *number, is_cut);
            let sets = choices.into_iter().flat_map(|choice| all(choice.into_iter(), is_cut)).collect();
            minimal(sets, is_cut)
        }
    }
}

fn all<'a>(parts: impl Iterator<Item = &'a Ways>, is_cut: &mut bool) -> Vec<Keys> {
    parts.fold(vec![Keys::new()], |sets, part| {
        let more = least(part, is_cut);
        let mut joined = Vec::new();
        for one in &sets {
            for other in &more {
                if joined.len() >= MAX_SETS {
                    *is_cut = true;
                    break;
                }
                joined.push(one.union(other).copied().collect());
            }
        }
        minimal(joined, is_cut)
    })
}

/// As many of an authority's keys as it takes, in every choice.
fn enough(authority: &Authority, is_cut: &mut bool) -> Vec<Keys> {
    let threshold = usize::try_from(authority.threshold).unwrap_or(usize::MAX);
    let choices = choices(authority.keys.keys().copied(), threshold, is_cut);
    choices.into_iter().map(Keys::from_iter).collect()
}

/// Every choice of so many of these, at most so many choices.
fn choices<T: Clone>(of: impl Iterator<Item = T>, number: usize, is_cut: &mut bool) -> Vec<Vec<T>> {
    let mut choices = vec![Vec::new()];
    for item in of {
        let unfinished = choices.iter().filter(|choice| choice.len() < number);
        let more: Vec<Vec<T>> =
            unfinished.map(|choice| choice.iter().cloned().chain([item.clone()]).collect()).collect();
        choices.extend(more);
        if choices.len() > MAX_SETS {
            *is_cut = true;
            break;
        }
    }
    choices.retain(|choice| choice.len() == number);
    choices
}

fn minimal(mut sets: Vec<Keys>, is_cut: &mut bool) -> Vec<Keys> {
    sets.sort_by_key(BTreeSet::len);
    let mut kept: Vec<Keys> = Vec::new();
    for set in sets {
        if !kept.iter().any(|known| known.is_subset(&set)) {
            if kept.len() >= MAX_SETS {
                *is_cut = true;
                break;
            }
            kept.push(set);
        }
    }
    kept
}

/// A repository, and who may speak in it.
#[derive(Debug, Clone, Copy)]
pub struct Stolen<'a> {
    /// Its name in the policy.
    pub name: &'a str,
    /// Root, timestamp, snapshot and top-level targets.
    pub trusted: &'a Trusted,
    /// The delegated roles that were read.
    pub roles: &'a Delegated,
    /// Which roles may speak about an image that is not there.
    pub reach: &'a Reach,
}

/// One requirement of a rule, as a thief sees it.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// What is demanded.
    pub requirement: &'a Requirement,
    /// The repository with the evidence.
    pub evidence: Stolen<'a>,
    /// The others that the rule asks.
    pub others: Vec<Stolen<'a>>,
    /// By which layouts, and by whom; none where the rule asks for no supply chain.
    pub layouts: Vec<Served<'a>>,
}

/// A layout by which another image could pass.
#[derive(Debug, Clone)]
pub struct Served<'a> {
    /// Its name, where it is another than that of the image that was proven.
    pub other: Option<&'a str>,
    /// What was verified by it, or is in it.
    pub verified: &'a Verified,
    /// Whose signatures are enough.
    pub forgers: &'a Forgers,
}

impl Asked<'_> {
    /// In which ways an image passes it that nobody made.
    pub fn ways(&self) -> Ways {
        let mut all = vec![self.evidence.lists()];
        if self.requirement.level == Level::InToto {
            all.push(self.evidence.any(&self.evidence.reach.links));
            // T1: whoever signs layouts needs nobody else. T2: whoever does not needs those who make the image.
            let own = Ways::All(vec![self.evidence.any(&self.evidence.reach.layout), self.agreed(true)]);
            let by_others = self.layouts.iter().flat_map(|served| {
                let sets = served.forgers.sets.iter();
                sets.map(|set| Ways::All(set.iter().map(|signing| served.functionaries(signing)).collect()))
            });
            let by_others = Ways::All(vec![Ways::Any(by_others.collect()), self.agreed(false)]);
            all.push(Ways::Any(vec![own, by_others]));
        } else {
            all.push(self.agreed(false));
        }
        Ways::All(all)
    }

    /// That enough of the other repositories list the same, with a layout of the thief's own or without.
    fn agreed(&self, with_layout: bool) -> Ways {
        let Some(agreement) = &self.requirement.agreement else { return Ways::All(Vec::new()) };
        let needed = agreement.threshold.get().saturating_sub(1);
        let other = |other: &Stolen<'_>| {
            let mut all = vec![other.lists()];
            if agreement.on_evidence && self.requirement.level == Level::InToto {
                all.push(other.any(&other.reach.links));
                all.extend(with_layout.then(|| other.any(&other.reach.layout)));
            }
            Ways::All(all)
        };
        Ways::Of(needed, self.others.iter().map(other).collect())
    }
}

impl Served<'_> {
    fn functionaries(&self, signing: &Signing) -> Ways {
        let mut verified = Some(self.verified);
        let mut place = format!("step {}", signing.step);
        for (step, keyid) in signing.within.iter().rev() {
            place = format!("{place} in the sublayout of {}… for step {step}", keyid.short());
        }
        for (step, keyid) in &signing.within {
            let step = verified.and_then(|verified| verified.steps().get(step));
            verified = step.and_then(|step| step.sublayouts.get(keyid));
        }
        if let Some(layout) = self.other {
            place = format!("{place} of {layout}");
        }
        match verified.and_then(|verified| verified.steps().get(&signing.step)) {
            Some(step) => enough_of(step, signing, &place),
            None => Ways::Any(Vec::new()),
        }
    }
}

/// Enough of the functionaries of a step, or somebody who makes functionaries of it.
fn enough_of(step: &VerifiedStep, signing: &Signing, place: &str) -> Ways {
    let signed = |name: String, keys: BTreeMap<Material, KeyId>, threshold| {
        Ways::Signed(Arc::new(Authority { name, keys, threshold, is_online: false }))
    };
    let known = |(keyid, key): (&KeyId, &FunctionaryKey)| (key.material(), keyid.clone());
    if !step.predicates.is_empty() {
        let asked = step.predicates.iter().filter(|asked| asked.says_what_was_made || !signing.only_of_makers);
        let by_type = asked.map(|asked| {
            let name = format!("{place}, {}", asked.predicate_type);
            signed(name, asked.authorised.iter().map(known).collect(), asked.threshold)
        });
        return Ways::All(by_type.collect());
    }
    let mut keys: BTreeMap<Material, KeyId> = step.certified.iter().map(known).collect();
    keys.extend(step.authorised.iter().map(known));
    let others = signing.without.iter().filter_map(|keyid| Some(step.authorised.get(keyid)?.material()));
    others.for_each(|material| drop(keys.remove(&material)));
    let mut ways = vec![signed(place.to_owned(), keys, signing.needed)];
    ways.extend(step.issuers.iter().map(|issuer| {
        let name = format!("the authority {:?} of {place}", issuer.name);
        signed(name, BTreeMap::from([(issuer.material, issuer.keyid.clone())]), 1)
    }));
    Ways::Any(ways)
}

impl Stolen<'_> {
    /// Another file of a role is there once the snapshot says so, and that once the timestamp does; where they list no
    /// hashes, it is already.
    fn news(&self, chain: &RoleChain) -> Ways {
        let mut all = Vec::new();
        let mut signed = |role, name| {
            all.push(Ways::Any(vec![self.signed(name, self.trusted.signers(role), true), self.root()]));
        };
        if self.trusted.pins(chain) {
            signed(TopLevel::Snapshot, "snapshot");
            if self.trusted.pins_snapshot() {
                signed(TopLevel::Timestamp, "timestamp");
            }
        }
        Ways::All(all)
    }

    /// That it lists the image.
    fn lists(&self) -> Ways {
        self.any(&self.reach.image)
    }

    fn root(&self) -> Ways {
        self.signed("root", self.trusted.signers(TopLevel::Root), false)
    }

    /// One of these roles, or whoever says who signs for it.
    fn any(&self, chains: &BTreeSet<RoleChain>) -> Ways {
        Ways::Any(chains.iter().map(|chain| self.role(chain)).collect())
    }

    fn role(&self, chain: &RoleChain) -> Ways {
        let above = match chain.parent() {
            Some(parent) => self.role(&parent),
            None => self.root(),
        };
        let Some(signers) = self.roles.signers(self.trusted, chain) else { return above };
        // Whatever lists images is signed by machines, but for the top-level role.
        let is_online = chain.parent().is_some() && self.reach.image.contains(chain);
        let own = self.signed(&chain.to_string(), signers, is_online);
        Ways::All(vec![Ways::Any(vec![own, above]), self.news(chain)])
    }

    fn signed(&self, role: &str, Signers { ids, threshold, .. }: Signers, is_online: bool) -> Ways {
        let name = format!("{role} of {}", self.name);
        Ways::Signed(Arc::new(Authority { name, keys: ids, threshold: threshold.get(), is_online }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(name: &str, keys: &[u8], threshold: u32, is_online: bool) -> Ways {
        let keys = keys.iter().map(|seed| (Material::for_tests(*seed), KeyId::from(format!("key-{seed}").as_str())));
        Ways::Signed(Arc::new(Authority { name: name.to_owned(), keys: keys.collect(), threshold, is_online }))
    }

    fn sets(ways: &Ways) -> BTreeSet<BTreeSet<String>> {
        let blast = Blast::of(ways);
        assert!(!blast.is_cut);
        blast.sets.iter().map(|set| set.0.values().map(|key| key.keyid.to_string()).collect()).collect()
    }

    fn wanted(sets: &[&[u8]]) -> BTreeSet<BTreeSet<String>> {
        sets.iter().map(|set| set.iter().map(|seed| format!("key-{seed}")).collect()).collect()
    }

    #[test]
    fn every_least_set_is_found_and_no_larger_one() {
        let (root, online) = (authority("root", &[1], 1, false), authority("online", &[2, 3, 4], 2, true));
        let ways = Ways::Any(vec![root.clone(), Ways::All(vec![online.clone(), authority("step", &[5], 1, false)])]);
        assert_eq!(sets(&ways), wanted(&[&[1], &[2, 3, 5], &[2, 4, 5], &[3, 4, 5]]));
        // A key of two authorities is stolen once.
        let ways = Ways::All(vec![online, authority("other", &[2, 9], 1, false)]);
        assert_eq!(sets(&ways), wanted(&[&[2, 3], &[2, 4], &[3, 4, 9]]));
        assert_eq!(sets(&Ways::All(Vec::new())), wanted(&[&[]]));
        assert_eq!(sets(&Ways::Any(Vec::new())), wanted(&[]));
        assert_eq!(sets(&Ways::All(vec![root, Ways::Any(Vec::new())])), wanted(&[]));
        assert_eq!(sets(&authority("never met", &[1], 2, false)), wanted(&[]));
        let of = |number| Ways::Of(number, vec![authority("a", &[1], 1, false), authority("b", &[2, 3], 1, false)]);
        assert_eq!(sets(&of(0)), wanted(&[&[]]));
        assert_eq!(sets(&of(1)), wanted(&[&[1], &[2], &[3]]));
        assert_eq!(sets(&of(2)), wanted(&[&[1, 2], &[1, 3]]));
        assert_eq!(sets(&of(3)), wanted(&[]));
    }

    #[test]
    fn a_key_is_online_if_it_is_for_anybody() {
        let ways = Ways::All(vec![authority("targets", &[1], 1, false), authority("timestamp", &[1], 1, true)]);
        let [set] = &Blast::of(&ways).sets[..] else { panic!() };
        assert!(set.is_online());
        let ways = Ways::All(vec![authority("targets", &[1], 1, false), authority("timestamp", &[2], 1, true)]);
        assert!(!Blast::of(&ways).sets[0].is_online());
    }

    #[test]
    fn what_would_be_too_many_sets_is_cut_and_says_so() {
        let ways = authority("many", &(0..40).collect::<Vec<_>>(), 20, false);
        assert!(Blast::of(&ways).is_cut);
    }
}
