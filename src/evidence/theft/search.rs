//! Can those who sign something else have the other image pass?
//!
//! Rules treat each name by itself, but for what a `MATCH` looks for under another one. So only names are looked at that are
//! new in the other image, with those that lead to them; under all others everything stays as it was proven.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    cases::{Case, New, recorded, trails},
    plans::{Mode, Plan},
};
use crate::{
    crypto::Sha256,
    evidence::{Requirement, inspection::BuiltIn, requirement::ProductFrom},
    in_toto::{Artifacts, Digests, DigestsOf, Limits, Match, Recorded, Rule, Side, StepName, Verified},
};

/// Lists of rules that are applied for one layout. With more, whatever is left counts as something that would pass.
pub(super) const MAX_TRIES: usize = 300_000;

/// Names that lead to each other.
const MAX_NAMES: usize = 3;

pub(super) struct Search<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) bound: &'a StepName,
    pub(super) requirement: &'a Requirement,
    pub(super) limits: &'a Limits,
    /// How often rules were applied.
    pub(super) tries: &'a Cell<usize>,
}

/// For each name a digest among the materials, and one among the products: which of those that are known.
type State = Vec<[Option<usize>; 2]>;

/// Looks at what all steps say, and whether it is content.
type Found<'f> = dyn FnMut(&BTreeMap<&str, Recorded>, &[State]) -> bool + 'f;

impl Search<'_> {
    pub(super) fn passes(&self, case: &Case, image: &str) -> bool {
        let names = case.bound.keys().chain(case.inspected.keys());
        let mut groups: Vec<BTreeSet<String>> = Vec::new();
        for name in names {
            if !groups.iter().any(|group| group.contains(name)) {
                groups.push(leading_to_each_other(self.plan.verified, name));
            }
        }
        if self.requirement.product.inspection.is_some() && !groups.iter().any(|group| group.contains(image)) {
            groups.push(BTreeSet::from([image.to_owned()]));
        }
        groups.iter().all(|names| {
            if names.len() > MAX_NAMES {
                self.tries.set(usize::MAX);
                return true;
            }
            let group = Group::new(self, case, image, names);
            group.follow(self.plan, &mut |said, states| group.is_bound(said, states))
        })
    }
}

/// All names that a `MATCH` can lead to from this one, or from which one leads here.
fn leading_to_each_other(verified: &Verified, name: &str) -> BTreeSet<String> {
    let renames = |rule: &&Match| !rule.source.is_empty() || !rule.destination.is_empty();
    let renaming: Vec<&Match> = trails(verified).filter_map(|trail| trail.rule.as_match()).filter(renames).collect();
    let mut names = BTreeSet::from([name.to_owned()]);
    while names.len() <= MAX_NAMES && !renaming.is_empty() {
        let mut more: BTreeSet<String> =
            names.iter().flat_map(|name| renaming.iter().filter_map(|rule| rule.looks_for(name))).collect();
        let leads_here = |other: &&str| {
            let mut wanted = renaming.iter().filter_map(|rule| rule.looks_for(other));
            wanted.any(|name| names.contains(&name))
        };
        let recorded = recorded(verified).flat_map(|artifacts| artifacts.names());
        more.extend(recorded.filter(leads_here).map(str::to_owned));
        let before = names.len();
        names.extend(more);
        if names.len() == before {
            break;
        }
    }
    names
}

/// Some names, and what may be recorded under them.
struct Group<'a> {
    search: &'a Search<'a>,
    case: &'a Case,
    image: &'a str,
    set: &'a BTreeSet<String>,
    names: Vec<&'a String>,
    /// The digest of the other image, another new one, and those that somebody has signed.
    values: Vec<Digests>,
}

impl<'a> Group<'a> {
    fn new(search: &'a Search<'a>, case: &'a Case, image: &'a str, set: &'a BTreeSet<String>) -> Self {
        let new = |label: &str| Digests::from([("sha256".to_owned(), Sha256::of(label.as_bytes()).to_string())]);
        let mut values = vec![new("an image that nobody made"), new("something else that nobody made")];
        let names: Vec<&String> = set.iter().collect();
        for artifacts in recorded(search.plan.verified) {
            for name in &names {
                let known = artifacts.get(name).map(DigestsOf::to_map);
                values.extend(known.filter(|known| !values.contains(known)));
            }
        }
        Self { search, case, image, set, names, values }
    }

    /// What was signed.
    fn kept(&self, materials: &Artifacts, products: &Artifacts) -> State {
        let place = |artifacts: &Artifacts, name: &str| {
            let known = artifacts.get(name)?.to_map();
            self.values.iter().position(|value| *value == known)
        };
        self.names.iter().map(|name| [place(materials, name), place(products, name)]).collect()
    }

    /// Whatever can be signed, as long as it can all be tried.
    fn free(&self, materials_of: Option<&State>) -> Vec<State> {
        let values = || std::iter::once(None).chain((0..self.values.len()).map(Some));
        let mut states = vec![State::new()];
        let of_one = self.values.len().saturating_add(1).saturating_pow(if materials_of.is_some() { 1 } else { 2 });
        let all = u32::try_from(self.names.len()).map_or(usize::MAX, |names| of_one.saturating_pow(names));
        if all > MAX_TRIES {
            self.search.tries.set(usize::MAX);
            return states;
        }
        for at in 0..self.names.len() {
            let kept = materials_of.and_then(|state| state.get(at)).map(|[materials, _]| *materials);
            let materials: Vec<_> = kept.map_or_else(|| values().collect(), |kept| vec![kept]);
            let pairs: Vec<_> = materials.iter().flat_map(|one| values().map(|other| [*one, other])).collect();
            let with = |state: &State, pair| state.iter().copied().chain([pair]).collect();
            states = states.iter().flat_map(|state| pairs.iter().map(|pair| with(state, *pair))).collect();
        }
        states
    }

    fn recorded(&self, state: &State) -> Recorded {
        let side = |of: fn(&[Option<usize>; 2]) -> Option<usize>| -> Artifacts {
            let named = self.names.iter().zip(state);
            named.filter_map(|(name, pair)| Some(((*name).clone(), self.values.get(of(pair)?)?.clone()))).collect()
        };
        Recorded { materials: side(|[materials, _]| *materials), products: side(|[_, products]| *products) }
    }

    /// Goes through everything that the steps of a layout can say by its plan while all rules hold, until `found` is content.
    fn follow(&self, plan: &Plan<'_>, found: &mut Found<'_>) -> bool {
        let mut choices = Vec::with_capacity(plan.steps.len());
        for (_, step, mode) in &plan.steps {
            let kept = self.kept(&step.materials, &step.products);
            choices.push(match mode {
                Mode::Kept => vec![kept],
                Mode::Signed { only_of_makers: false } => self.free(None),
                Mode::Signed { only_of_makers: true } => self.free(Some(&kept)),
                Mode::Through { sublayouts, .. } => self.through(sublayouts),
            });
        }
        self.choose(plan, &choices, &mut BTreeMap::new(), &mut Vec::new(), found)
    }

    /// What all of these sublayouts can come to: materials of the first step and products of the last one.
    fn through(&self, sublayouts: &[(&crate::crypto::KeyId, Plan<'_>)]) -> Vec<State> {
        let mut common: Option<BTreeSet<State>> = None;
        for (_, plan) in sublayouts {
            let mut summaries = BTreeSet::new();
            self.follow(plan, &mut |_, states| {
                if let (Some(first), Some(last)) = (states.first(), states.last()) {
                    let pairs = first.iter().zip(last);
                    summaries.insert(pairs.map(|([materials, _], [_, products])| [*materials, *products]).collect());
                }
                false
            });
            common = Some(match common {
                Some(common) => common.intersection(&summaries).cloned().collect(),
                None => summaries,
            });
        }
        common.unwrap_or_default().into_iter().collect()
    }

    fn choose<'p>(
        &self,
        plan: &Plan<'p>,
        choices: &[Vec<State>],
        said: &mut BTreeMap<&'p str, Recorded>,
        states: &mut Vec<State>,
        found: &mut Found<'_>,
    ) -> bool {
        // What is left counts as something that would pass: nothing is learnt from it.
        if self.search.tries.get() > MAX_TRIES {
            return true;
        }
        let at = states.len();
        let (Some((name, ..)), Some(open)) = (plan.steps.get(at), choices.get(at)) else {
            return self.inspections_hold(plan.verified, said) && found(said, states);
        };
        for state in open {
            said.insert(name.as_str(), self.recorded(state));
            states.push(state.clone());
            let is_known = |item: &StepName| last_that_matters(plan, item) == Some(at);
            let mut due = plan.steps.iter().map(|(name, ..)| *name).filter(|item| is_known(item));
            let holds = due.all(|item| self.hold(plan.verified, item, said));
            let is_content = holds && self.choose(plan, choices, said, states, found);
            states.pop();
            said.remove(name.as_str());
            if is_content {
                return true;
            }
        }
        false
    }

    fn hold(&self, verified: &Verified, item: &StepName, said: &BTreeMap<&str, Recorded>) -> bool {
        let tries = self.search.tries;
        tries.set(tries.get().saturating_add(1));
        tries.get() > MAX_TRIES || verified.suppose(item, self.set, said, self.search.limits).is_ok()
    }

    fn inspections_hold(&self, verified: &Verified, said: &BTreeMap<&str, Recorded>) -> bool {
        if verified.inspections().is_empty() {
            return true;
        }
        let said = self.with_inspections(verified, said);
        verified.inspections().iter().all(|inspection| self.hold(verified, &inspection.name, &said))
    }

    fn with_inspections<'v>(
        &self,
        verified: &'v Verified,
        said: &BTreeMap<&'v str, Recorded>,
    ) -> BTreeMap<&'v str, Recorded> {
        let mut all = said.clone();
        for inspection in verified.inspections() {
            let mut state = self.kept(&inspection.recorded.materials, &inspection.recorded.products);
            if BuiltIn::of(&inspection.run) == Some(BuiltIn::Image) {
                for (name, pair) in self.names.iter().zip(&mut state) {
                    if let Some(found) = self.case.inspected.get(*name) {
                        *pair = [found.map(place_of), None];
                    }
                }
            }
            all.insert(inspection.name.as_str(), self.recorded(&state));
        }
        all
    }

    /// Whether the image is bound by what the steps say (T2), as far as these names go.
    fn is_bound(&self, said: &BTreeMap<&str, Recorded>, states: &[State]) -> bool {
        let (plan, bound, requirement) = (self.search.plan, self.search.bound, self.search.requirement);
        let product = &requirement.product;
        if self.search.tries.get() > MAX_TRIES {
            return true;
        }
        if let Some(binding) = product.inspection.as_ref().filter(|_| self.set.contains(self.image)) {
            let inspection = plan.verified.inspections().iter().find(|inspection| inspection.name.as_str() == binding);
            let Some(inspection) = inspection else { return false };
            let said = self.with_inspections(plan.verified, said);
            let trails = plan.verified.suppose(&inspection.name, self.set, &said, self.search.limits);
            let Ok([materials, _]) = trails else { return false };
            let consumed = materials.iter().find(|trail| trail.consumed.contains(self.image));
            let is_by_step = matches!(consumed.map(|trail| &trail.rule), Some(Rule::Match(Match { side: Side::Products, step, .. }))
                if plan.verified.steps().contains_key(step.as_str()));
            if !is_by_step {
                return false;
            }
        }
        let wanted: Vec<_> = self.case.bound.iter().filter(|(name, _)| self.set.contains(*name)).collect();
        if wanted.is_empty() {
            return true;
        }
        let Some(at) = plan.steps.iter().position(|(name, ..)| *name == bound) else { return false };
        let Some(state) = states.get(at) else { return false };
        let Ok([materials, products]) = plan.verified.suppose(bound, self.set, said, self.search.limits) else {
            return false;
        };
        wanted.into_iter().all(|(name, new)| {
            let is_material = *new == New::Image && product.from == ProductFrom::Materials;
            let (side, trails) = if is_material { (0, &materials) } else { (1, &products) };
            let named = self.names.iter().zip(state).find(|(other, _)| **other == name);
            let is_said = named.and_then(|(_, pair)| pair.get(side).copied().flatten()) == Some(place_of(*new));
            // What the policy asks Statements for no rule has to consume.
            let is_consumed = trails.iter().any(|trail| trail.consumed.contains(name));
            is_said && (product.predicate_type.is_some() || is_consumed)
        })
    }
}

/// Where a new digest stands among the values.
fn place_of(new: New) -> usize {
    match new {
        New::Image => 0,
        New::Other => 1,
    }
}

/// Where the last step stands that the rules of a step look at.
fn last_that_matters(plan: &Plan<'_>, item: &StepName) -> Option<usize> {
    let place = |step: &str| plan.steps.iter().position(|(name, ..)| name.as_str() == step);
    let rules = plan.verified.rules(item)?.into_iter().flatten().map(|trail| &trail.rule);
    let looked_at = rules.filter_map(|rule| if let Rule::Match(rule) = rule { place(&rule.step) } else { None });
    looked_at.chain(place(item.as_str())).max()
}
