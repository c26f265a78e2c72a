//! Whose links would be enough?

use std::{cell::Cell, collections::BTreeSet};

use super::{
    cases::Cases,
    plans::{Plan, Signing},
    search::Search,
};
use crate::{
    evidence::{Limits, Name, Proof, Requirement, Subject, requirement::Fields, stranger_to},
    in_toto::{StepName, Unsaid, Verified},
};

/// Whose links would be enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgers {
    /// The least sets of signings with which another digest passes.
    pub sets: Vec<BTreeSet<Signing>>,
    /// Whether it was too much to look through: what was not tried counts as enough, and a sublayout may be left out.
    pub is_rough: bool,
}

/// The least sets of signings with which another image passes under the layout of this one: whoever is in one signs what
/// they like, and whoever is not has signed what was proven and nothing else. Of what an inspection finds in the other image,
/// its configuration is new, or a manifest that it lists. The other image has this name, be it that of the proven one or
/// not. None where the rule asks for no supply chain.
pub fn forgers(proof: &Proof, name: &Name, requirement: &Requirement, limits: &Limits) -> Forgers {
    let (Some(verified), Some((step, artifact))) = (proof.verified(), proof.bound_to()) else {
        return Forgers::default();
    };
    let Some(step) = verified.order().iter().find(|name| name.as_str() == step) else { return Forgers::default() };
    let mut found = least(
        verified,
        (step, Some(artifact).filter(|_| *name == proof.subject().name)),
        name,
        requirement,
        (false, limits),
    );
    // What is filled in for this digest was tried, and another would be filled in.
    let known = proof.index().unwrap_or(proof.subject().digest);
    let fill = |name: &Name, digest| {
        let fields = Fields { repository: name.repository(), tag: proof.subject().tag.as_ref(), digest: Some(digest) };
        requirement.expand_parameters(&fields)
    };
    found.is_rough |= fill(&proof.subject().name, known) != fill(name, stranger_to(known));
    found
}

/// The same for a layout by which nothing has been signed: somebody has to sign for every step.
pub fn forgers_of(unsaid: &Unsaid, subject: &Subject, requirement: &Requirement, limits: &Limits) -> Forgers {
    let verified = unsaid.as_verified();
    let step = match &requirement.product.step {
        Some(step) => verified.order().iter().find(|name| name.as_str() == step),
        None => verified.order().last(),
    };
    let Some(step) = step else { return Forgers::default() };
    least(verified, (step, None), &subject.name, requirement, (true, limits))
}

fn least(
    verified: &Verified,
    bound: (&StepName, Option<&str>),
    name: &Name,
    requirement: &Requirement,
    (all_sign, limits): (bool, &Limits),
) -> Forgers {
    let mut found = Forgers::default();
    let mut plans = if all_sign { vec![Plan::by_all(verified)] } else { Plan::all(verified, &mut found.is_rough) };
    let cases = Cases::new(verified, bound, name, requirement);
    found.is_rough |= cases.is_cut;
    if found.is_rough {
        plans.clear();
        // T2: nobody but the functionaries of the bound step can say that a new digest is this image, and nobody knows who
        // else has to.
        let needed = verified.steps().get(bound.0).map_or(1, |step| step.threshold);
        let (step, without) = (bound.0.clone(), BTreeSet::new());
        let signing = Signing { within: Vec::new(), step, needed, without, only_of_makers: false };
        found.sets.push(BTreeSet::from([signing]));
    }
    let tries = Cell::new(0);
    for plan in plans {
        let signings = plan.signings();
        if found.sets.iter().any(|known| known.is_subset(&signings)) {
            continue;
        }
        let search = Search { plan: &plan, bound: bound.0, requirement, limits: &limits.in_toto, tries: &tries };
        if cases.all.iter().any(|case| search.passes(case, name.as_str())) {
            found.sets.push(signings);
        }
    }
    found.is_rough |= tries.get() > super::search::MAX_TRIES;
    found
}
