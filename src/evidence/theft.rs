//! What is a stolen key good for? Which roles and which functionaries could have an image pass that nobody made.
//!
//! Nothing is admitted by what is found here: it is for people, and for the tests of the rules of belief.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Error, Limits, Name, Proof, Requirement, Subject, View,
    binding::bind,
    files::listed,
    requirement::{Fields, ProductFrom},
    walk::{Progress, Stop, Walk},
};
use crate::{
    crypto::Sha256,
    in_toto::{Artifacts, Digests, Recorded, StepName, Verified},
    tuf::{RoleChain, TargetPath},
};

/// Steps of a layout that are looked through in all combinations.
const MAX_STEPS: usize = 12;

/// The roles that may speak about an image that is not there, and about evidence for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Which may list the image.
    pub image: BTreeSet<RoleChain>,
    /// Which may list links, or Statements, as the rule wants them.
    pub links: BTreeSet<RoleChain>,
    /// Which may list a layout that the rule takes.
    pub layout: BTreeSet<RoleChain>,
    /// Whether the layout that is there serves no new image (T5): its functionaries are of no use to a thief.
    pub is_retired: bool,
}

/// Which roles may speak about `stranger`, an image by the name of one that was proven. `layout` is the layout of that
/// one; without it only the image is looked for.
pub fn reach(
    proven: &Subject,
    stranger: Sha256,
    layout: Option<&TargetPath>,
    requirement: &Requirement,
    view: View<'_>,
    now: Timestamp,
    limits: &Limits,
) -> Progress<Reach> {
    let mut walk = Walk::new(view, now, limits);
    let result = look(&mut walk, proven, stranger, layout, requirement);
    walk.end(result)
}

fn look(
    walk: &mut Walk<'_>,
    proven: &Subject,
    stranger: Sha256,
    layout: Option<&TargetPath>,
    requirement: &Requirement,
) -> Result<Reach, Stop> {
    let path_of = |digest| match &proven.name {
        Name::Image(repository) => {
            let fields = Fields { repository: Some(repository), tag: None, digest: Some(digest) };
            let path = requirement.digest_target.expand(&fields);
            path.map(TargetPath::from).ok_or_else(|| Error::UnusableTemplate { name: proven.name.clone() })
        }
        Name::File(path) => Ok(path.clone()),
    };
    let mut reach = Reach::default();
    reach.image.extend(walk.speakers(&path_of(stranger)?)?);
    if let Some(role) = &requirement.role {
        reach.image.retain(|chain| chain == role);
    }
    let image = walk.lookup(&path_of(proven.digest)?)?;
    let listed_layout = layout.map(|layout| walk.lookup(layout)).transpose()?.flatten();
    walk.settle()?;
    let (Some(layout), Some(image)) = (layout, image) else { return Ok(reach) };
    reach.is_retired = listed_layout.is_some_and(|layout| layout.target.custom.contains_key("digests"));

    // In the place of the layout that is there, or beside it where the rule would take that.
    reach.layout.extend(walk.speakers(layout)?);
    let is_pinned = requirement.layout.as_ref().is_some_and(|scope| scope.pinned(proven.name.repository()).is_some());
    if !is_pinned {
        reach.layout.extend(walk.speakers(&beside(layout, 0, stranger))?);
    }
    reach.layout.retain(|chain| requirement.layout_roles.contains(chain));

    for path in listed(&image.target.path, &image.target.custom, &requirement.custom, walk.limits.evidence_files)? {
        if path != *layout {
            reach.links.extend(walk.speakers(&path)?);
            reach.links.extend(walk.speakers(&beside(&path, 1, stranger))?);
        }
    }
    if let Some(allowed) = &requirement.link_roles {
        reach.links.retain(|chain| allowed.contains(chain));
    }
    walk.settle()?;
    Ok(reach)
}

/// The path with another segment, counted from the last one.
fn beside(path: &TargetPath, from_last: usize, stranger: Sha256) -> TargetPath {
    let mut segments: Vec<String> = path.as_str().split('/').map(str::to_owned).collect();
    if let Some(segment) = segments.iter_mut().rev().nth(from_last) {
        *segment = stranger.to_string();
    }
    TargetPath::from(segments.join("/"))
}

/// Whose links would be enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgers {
    /// The least sets of steps with which any digest passes in the place of the one that was proven.
    pub sets: Vec<BTreeSet<StepName>>,
    /// Whether a smaller set may have been overlooked: there are too many steps to look through all sets, or the steps of
    /// a sublayout, which are not looked through.
    pub is_rough: bool,
}

/// The least sets of steps whose functionaries could together have another image pass under this layout: they sign what
/// they like, and whoever does not help them has signed what was proven and nothing else. Everything in the other image is
/// new. None where the rule asks for no supply chain.
pub fn forgers(proof: &Proof, requirement: &Requirement, limits: &Limits) -> Forgers {
    let (Some(verified), Some((bound, artifact))) = (proof.verified(), proof.bound_to()) else {
        return Forgers::default();
    };
    let others: Vec<&StepName> = verified.order().iter().filter(|name| name.as_str() != bound).collect();
    let Some(bound) = verified.order().iter().find(|name| name.as_str() == bound) else { return Forgers::default() };
    let theft = Theft::new(proof, verified, requirement, (bound, artifact), limits);
    let mut found = Forgers {
        sets: Vec::new(),
        is_rough: others.len() >= MAX_STEPS || verified.steps().values().any(|step| !step.sublayouts.is_empty()),
    };
    if others.len() >= MAX_STEPS {
        found.sets.push(verified.order().iter().cloned().collect());
        return found;
    }
    // T2: nobody but the functionaries of the bound step can say that a new digest is this image.
    let mut choices: Vec<BTreeSet<StepName>> = vec![BTreeSet::from([bound.clone()])];
    for other in others {
        let with: Vec<_> = choices.iter().map(|choice| choice.iter().chain([other]).cloned().collect()).collect();
        choices.extend(with);
    }
    choices.sort_by_key(BTreeSet::len);
    for stolen in choices {
        if !found.sets.iter().any(|known| known.is_subset(&stolen)) && theft.succeeds(&stolen) {
            found.sets.push(stolen);
        }
    }
    found
}

/// An image that nobody made, in the place of one that was proven.
struct Theft<'a> {
    verified: &'a Verified,
    requirement: &'a Requirement,
    bound: (&'a StepName, &'a str),
    subject: Subject,
    old: Sha256,
    /// What is otherwise in the new image.
    changed: BTreeSet<String>,
    limits: &'a Limits,
}

/// What the functionaries of the bound step sign.
#[derive(Debug, Clone, Copy)]
enum Lie {
    /// What they signed, with the new image in the place of the old one.
    Instead,
    /// What they signed, and the new image as one more platform of it.
    Beside,
    /// The new image and nothing else.
    Alone,
    /// The new image, of what they used.
    FromTheSame,
}

impl<'a> Theft<'a> {
    fn new(
        proof: &Proof,
        verified: &'a Verified,
        requirement: &'a Requirement,
        bound: (&'a StepName, &'a str),
        limits: &'a Limits,
    ) -> Self {
        let old = proof.index().unwrap_or(proof.subject().digest);
        let mut changed = BTreeSet::from([old.to_string()]);
        for inspection in verified.inspections() {
            for (_, digests) in inspection.recorded.materials.iter().chain(inspection.recorded.products.iter()) {
                changed.extend(digests.iter().map(|(_, hex)| hex.to_owned()));
            }
        }
        let subject = Subject { digest: stranger_to(old), tag: None, ..proof.subject().clone() };
        Self { verified, requirement, bound, subject, old, changed, limits }
    }

    fn succeeds(&self, stolen: &BTreeSet<StepName>) -> bool {
        [Lie::Instead, Lie::Beside, Lie::Alone, Lie::FromTheSame].into_iter().any(|lie| {
            let supposed = self.verified.suppose(&self.recorded(stolen, lie), &self.limits.in_toto);
            supposed.is_ok_and(|supposed| bind(supposed.as_verified(), &self.subject, self.requirement).is_ok())
        })
    }

    fn recorded(&self, stolen: &BTreeSet<StepName>, lie: Lie) -> BTreeMap<StepName, Recorded> {
        let mut recorded = BTreeMap::new();
        for inspection in self.verified.inspections() {
            recorded.insert(inspection.name.clone(), self.renewed(&inspection.recorded));
        }
        for name in stolen {
            let Some(step) = self.verified.steps().get(name) else { continue };
            let said = Recorded { materials: step.materials.clone(), products: step.products.clone() };
            let said = match lie {
                _ if name != self.bound.0 => self.renewed(&said),
                Lie::Instead => self.renewed(&said),
                Lie::Beside => {
                    let name = format!("{}#any/any", self.subject.name);
                    let more = said.products.iter().map(owned).chain([(name, self.new_digest())]);
                    Recorded { products: more.collect(), ..said }
                }
                Lie::Alone => self.only(Artifacts::new()),
                Lie::FromTheSame => self.only(self.renewed(&said).materials),
            };
            recorded.insert(name.clone(), said);
        }
        recorded
    }

    fn only(&self, materials: Artifacts) -> Recorded {
        let image = Artifacts::from([(self.bound.1.to_owned(), self.new_digest())]);
        match self.requirement.product.from {
            ProductFrom::Products => Recorded { materials, products: image },
            ProductFrom::Materials => Recorded { materials: image, products: Artifacts::new() },
        }
    }

    fn renewed(&self, said: &Recorded) -> Recorded {
        let renew = |artifacts: &Artifacts| -> Artifacts {
            let renewed = artifacts.iter().map(owned).map(|(name, digests)| {
                let of = |hex: String| if self.changed.contains(&hex) { renamed(&hex) } else { hex };
                (name, digests.into_iter().map(|(algorithm, hex)| (algorithm, of(hex))).collect())
            });
            renewed.collect()
        };
        Recorded { materials: renew(&said.materials), products: renew(&said.products) }
    }

    fn new_digest(&self) -> Digests {
        Digests::from([("sha256".to_owned(), renamed(&self.old.to_string()))])
    }
}

fn owned((name, digests): (&str, crate::in_toto::DigestsOf<'_>)) -> (String, Digests) {
    (name.to_owned(), digests.to_map())
}

/// A digest that nobody has signed.
pub fn stranger_to(known: Sha256) -> Sha256 {
    Sha256::of(format!("another image than {known}").as_bytes())
}

fn renamed(hex: &str) -> String {
    Sha256::of(format!("another image than {hex}").as_bytes()).to_string()
}
