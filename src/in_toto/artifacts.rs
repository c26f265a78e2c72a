//! The rule engine (in-toto 4.3.3.1): rules consume artifacts one after another; `DISALLOW` and `REQUIRE` judge.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use super::{
    effort::Effort,
    error::{Error, Unclean},
    link::{Artifacts, Chosen, Digests, DigestsOf, Recorded, Side, show},
    name::StepName,
    rule::{Match, Rule},
    verified::RuleTrail,
};

/// What steps, and where inspections are judged inspections too, recorded.
pub(super) struct Records<'a> {
    by_name: BTreeMap<&'a str, &'a Recorded>,
    effort: &'a Effort,
}

impl<'a> Records<'a> {
    pub(super) fn new(effort: &'a Effort, records: impl IntoIterator<Item = (&'a str, &'a Recorded)>) -> Self {
        Self { by_name: records.into_iter().collect(), effort }
    }

    pub(super) fn insert(&mut self, name: &'a str, recorded: &'a Recorded) {
        self.by_name.insert(name, recorded);
    }

    fn side(&self, rule: &Match) -> Option<&'a Artifacts> {
        self.by_name.get(rule.step.as_str()).map(|recorded| recorded.side(rule.side))
    }
}

/// A rule that refused, with what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFailure {
    /// The step or inspection whose rule it is.
    pub item: StepName,
    /// Which of its lists.
    pub side: Side,
    /// The rule, with parameters filled in.
    pub rule: Rule,
    /// Where it stands in its list, from 1.
    pub position: usize,
    /// The artifact: the first that a `DISALLOW` met, or the one that a `REQUIRE` did not find.
    pub artifact: String,
    /// The digests that the link gives for it; `None` when the link does not list it.
    pub digests: Option<Digests>,
    /// How many more artifacts a `DISALLOW` met.
    pub more: usize,
    /// Why the `MATCH` rules before it had not consumed the artifact; or, for a `REQUIRE`, the rule that had.
    pub before: Vec<NearMiss>,
}

/// What an earlier rule did with the artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NearMiss {
    /// A rule consumed it.
    Consumed(Rule),
    /// A `MATCH` rule found the name with other digests.
    DigestsDiffer {
        /// The rule.
        rule: Rule,
        /// The name that it looked for.
        name: String,
        /// What the other step has for it.
        found: Digests,
    },
    /// A `MATCH` rule did not find the name.
    NotThere {
        /// The rule.
        rule: Rule,
        /// The name that it looked for.
        name: String,
    },
    /// The digests are equal and prove nothing: there are none, or none of an algorithm that holds.
    NoDigest(Rule),
}

/// Applies a list of rules to one side of what a step or inspection recorded.
pub(super) fn apply(
    item: &StepName,
    side: Side,
    rules: &[Rule],
    recorded: &Recorded,
    others: &Records<'_>,
) -> Result<Vec<RuleTrail>, Error> {
    let mut trail = Vec::with_capacity(rules.len());
    follow(item, side, rules, recorded, others, &mut trail)?;
    Ok(trail)
}

/// The same, with the rules before the one that refused in `trail`.
pub(super) fn follow(
    item: &StepName,
    side: Side,
    rules: &[Rule],
    recorded: &Recorded,
    others: &Records<'_>,
    trail: &mut Vec<RuleTrail>,
) -> Result<(), Error> {
    let own = recorded.side(side);
    // Places in the list. In order, and it stays so: whatever a rule looks for is further on in the other lists, too.
    let mut queue: Vec<usize> = (0..own.len()).collect();
    let effort = others.effort;
    for rule in rules {
        let mut materials = Along::of(&recorded.materials, effort);
        let mut products = Along::of(&recorded.products, effort);
        let mut take = |fits: &mut dyn FnMut(&str) -> bool| take(&mut queue, own, fits);
        let consumed: Vec<usize> = match rule {
            Rule::Create(pattern) => take(&mut |name| {
                effort.fits(pattern, name) && products.find(name).is_some() && materials.find(name).is_none()
            }),
            Rule::Delete(pattern) => take(&mut |name| {
                effort.fits(pattern, name) && materials.find(name).is_some() && products.find(name).is_none()
            }),
            Rule::Modify(pattern) => take(&mut |name| {
                effort.fits(pattern, name)
                    && match (materials.find(name), products.find(name)) {
                        (Some(before), Some(after)) => before != after,
                        _ => false,
                    }
            }),
            Rule::Allow(pattern) => take(&mut |name| effort.fits(pattern, name)),
            Rule::Match(rule) => {
                let mut other = others.side(rule).map(|other| Along::of(other, effort));
                let (mut consumed, mut kept) = (Vec::new(), Vec::with_capacity(queue.len()));
                for place in queue {
                    let Some((name, digests)) = own.at(place) else { continue };
                    let find = |wanted: &str| other.as_mut()?.find(wanted);
                    match compare(rule, effort, (item, side), name, digests, find)? {
                        Comparison::Equal => consumed.push(place),
                        _ => kept.push(place),
                    }
                }
                queue = kept;
                consumed
            }
            // in-toto 4.3.3.3
            Rule::Disallow(pattern) => {
                let met = take(&mut |name| effort.fits(pattern, name));
                effort.check(item)?;
                if let Some(first) = met.first().and_then(|first| own.name_at(*first)) {
                    let failure = failure(item, side, rule, trail, first, met.len() - 1, recorded, others)?;
                    return Err(Error::DisallowedArtifact(Box::new(failure)));
                }
                Vec::new()
            }
            Rule::Require(name) => {
                if queue.binary_search_by(|place| own.name_at(*place).cmp(&Some(name.as_str()))).is_err() {
                    let failure = failure(item, side, rule, trail, name, 0, recorded, others)?;
                    return Err(Error::RequiredArtifactMissing(Box::new(failure)));
                }
                Vec::new()
            }
        };
        effort.check(item)?;
        trail.push(RuleTrail { rule: rule.clone(), consumed: Chosen::new(own, consumed) });
    }
    // What is left is allowed: every list ends in an implicit `ALLOW *`.
    Ok(())
}

/// Takes the names that fit out of the queue.
fn take(queue: &mut Vec<usize>, own: &Artifacts, fits: &mut dyn FnMut(&str) -> bool) -> Vec<usize> {
    let mut taken = Vec::new();
    queue.retain(|place| {
        let is_taken = own.name_at(*place).is_some_and(&mut *fits);
        if is_taken {
            taken.push(*place);
        }
        !is_taken
    });
    taken
}

/// A list of artifacts in which names are looked for in their order: a rule then costs no more than the lists are long.
struct Along<'a> {
    artifacts: &'a Artifacts,
    at: usize,
    effort: &'a Effort,
}

impl<'a> Along<'a> {
    fn of(artifacts: &'a Artifacts, effort: &'a Effort) -> Self {
        Self { artifacts, at: 0, effort }
    }

    /// The digests of `name`, which comes after all that were looked for before.
    fn find(&mut self, name: &str) -> Option<DigestsOf<'a>> {
        self.effort.look_up(name);
        let (place, is_there) = self.artifacts.seek(self.at, name);
        self.at = place;
        if is_there { self.artifacts.digests_at(place) } else { None }
    }
}

/// What a `MATCH` rule makes of one artifact (in-toto 4.3.3.2).
#[derive(Debug, PartialEq, Eq)]
enum Comparison<'a> {
    Equal,
    /// The prefix or the pattern does not fit.
    NotMeant,
    NotThere(String),
    Differs(String, DigestsOf<'a>),
    NoDigest,
}

fn compare<'a>(
    rule: &Match,
    effort: &Effort,
    (item, side): (&StepName, Side),
    name: &str,
    digests: DigestsOf<'_>,
    find: impl FnOnce(&str) -> Option<DigestsOf<'a>>,
) -> Result<Comparison<'a>, Error> {
    let Some(remainder) = strip_folder(name, &rule.source) else { return Ok(Comparison::NotMeant) };
    if !effort.fits(&rule.pattern, remainder) {
        return Ok(Comparison::NotMeant);
    }
    let has_prefix = !rule.source.is_empty() || !rule.destination.is_empty();
    let is_translated = |text: &str| text.contains('\\');
    if has_prefix
        && (remainder.starts_with('/') || [name, &rule.source, &rule.destination].into_iter().any(is_translated))
    {
        // The reference joins paths as the operating system does and turns backslashes into slashes afterwards, so
        // that it compares another artifact than the one that fits.
        let (file, name, why) = (item.to_string(), name.to_owned(), Unclean::Prefixed);
        return Err(Error::UncleanArtifact { file, side, name, why });
    }
    effort.look_up(&rule.destination);
    let wanted = match rule.destination.as_str() {
        "" => Cow::Borrowed(remainder),
        folder if folder.ends_with('/') => format!("{folder}{remainder}").into(),
        folder => format!("{folder}/{remainder}").into(),
    };
    Ok(match find(&wanted) {
        None => Comparison::NotThere(wanted.into_owned()),
        Some(found) if found != digests => Comparison::Differs(wanted.into_owned(), found),
        Some(_) if holds(digests) => Comparison::Equal,
        Some(_) => Comparison::NoDigest,
    })
}

impl Match {
    /// Under which name it looks for an artifact of this name; `None` where it is not meant.
    pub fn looks_for(&self, name: &str) -> Option<String> {
        let remainder = strip_folder(name, &self.source)?;
        self.pattern.matches(remainder).then(|| match self.destination.as_str() {
            "" => remainder.to_owned(),
            folder if folder.ends_with('/') => format!("{folder}{remainder}"),
            folder => format!("{folder}/{remainder}"),
        })
    }
}

/// Takes `folder/` off the front of a name.
fn strip_folder<'a>(name: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() {
        return Some(name);
    }
    let rest = name.strip_prefix(folder)?;
    if folder.ends_with('/') { Some(rest) } else { rest.strip_prefix('/') }
}

/// Whether equal digests prove equal contents: `{}` equals `{}` as well, and so do unknown algorithms.
fn holds(digests: DigestsOf<'_>) -> bool {
    ["sha256", "sha384", "sha512"].into_iter().any(|algorithm| digests.get(algorithm).is_some())
}

#[expect(clippy::too_many_arguments, reason = "the parts of one error, brought together at two places")]
fn failure(
    item: &StepName,
    side: Side,
    rule: &Rule,
    trail: &[RuleTrail],
    artifact: &str,
    more: usize,
    recorded: &Recorded,
    others: &Records<'_>,
) -> Result<RuleFailure, Error> {
    let digests = recorded.side(side).get(artifact);
    let mut before = Vec::new();
    for RuleTrail { rule, consumed } in trail {
        if consumed.contains(artifact) {
            before.push(NearMiss::Consumed(rule.clone()));
        }
        let (Rule::Match(matching), Some(digests)) = (rule, digests) else { continue };
        let rule = rule.clone();
        let other = others.side(matching);
        match compare(matching, others.effort, (item, side), artifact, digests, |wanted| other?.get(wanted))? {
            Comparison::Equal | Comparison::NotMeant => {}
            Comparison::NotThere(name) => before.push(NearMiss::NotThere { rule, name }),
            Comparison::Differs(name, found) => {
                before.push(NearMiss::DigestsDiffer { rule, name, found: found.to_map() });
            }
            Comparison::NoDigest => before.push(NearMiss::NoDigest(rule)),
        }
    }
    Ok(RuleFailure {
        item: item.clone(),
        side,
        rule: rule.clone(),
        position: trail.len() + 1,
        artifact: artifact.to_owned(),
        digests: digests.map(DigestsOf::to_map),
        more,
        before,
    })
}

impl fmt::Display for RuleFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item, side, rule, position, artifact, digests, more, before } = self;
        let has =
            digests.as_ref().map_or_else(|| "is not listed".to_owned(), |digests| format!("has {}", show(digests)));
        write!(f, "{:?}, rule {position} for {side}, {rule}: ", item.as_str())?;
        write!(f, "{artifact:?} {has}")?;
        if *more > 0 {
            write!(f, ", and {more} more")?;
        }
        before.iter().try_for_each(|near| write!(f, "; {near}"))
    }
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consumed(rule) => write!(f, "{rule} consumed it before"),
            Self::DigestsDiffer { rule, name, found } => write!(f, "{rule} found {name:?} with {}", show(found)),
            Self::NotThere { rule, name } => write!(f, "{rule} did not find {name:?}"),
            Self::NoDigest(rule) => write!(f, "{rule} found no sha256, sha384 or sha512 to compare"),
        }
    }
}
