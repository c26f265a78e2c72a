//! Who could sign something else: every choice of steps, of the layout and of the sublayouts that are there.

use std::collections::BTreeSet;

use crate::{
    crypto::KeyId,
    in_toto::{StepName, Verified, VerifiedStep},
};

/// Choices that are looked through of one layout.
const MAX_PLANS: usize = 4096;

/// So many functionaries of a step sign something else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signing {
    /// In which sublayout the step is: the step and who handed the sublayout in, from the outermost one on.
    pub within: Vec<(StepName, KeyId)>,
    /// The step.
    pub step: StepName,
    /// How many; in a layout over predicates what each type asks for.
    pub needed: u32,
    /// Who is not among them, since a sublayout that they signed is used.
    pub without: BTreeSet<KeyId>,
    /// Whether only Statements are signed that say what was made of what.
    pub only_of_makers: bool,
}

/// What becomes of one step.
#[derive(Debug, Clone)]
pub(super) enum Mode<'a> {
    /// It stays as it was signed.
    Kept,
    /// Enough of its functionaries sign something else.
    Signed { only_of_makers: bool },
    /// It says what these sublayouts come to, and so many more functionaries sign the same.
    Through { sublayouts: Vec<(&'a KeyId, Plan<'a>)>, needed: u32 },
}

/// What becomes of the steps of a layout, in its order.
#[derive(Debug, Clone)]
pub(super) struct Plan<'a> {
    pub(super) verified: &'a Verified,
    pub(super) steps: Vec<(&'a StepName, &'a VerifiedStep, Mode<'a>)>,
}

impl<'a> Plan<'a> {
    /// All of them, those with the fewest signings first, but for the one by which nothing is done. Sets `is_cut` where there
    /// are too many.
    pub(super) fn all(verified: &'a Verified, is_cut: &mut bool) -> Vec<Self> {
        let mut plans = vec![Self { verified, steps: Vec::new() }];
        let steps = verified.order().iter().filter_map(|name| Some((name, verified.steps().get(name)?)));
        for (name, step) in steps {
            let modes = Mode::all(step, is_cut);
            if plans.len().saturating_mul(modes.len()) > MAX_PLANS {
                *is_cut = true;
                return Vec::new();
            }
            let with = |plan: &Self, mode: &Mode<'a>| {
                let steps = plan.steps.iter().cloned().chain([(name, step, mode.clone())]).collect();
                Self { verified, steps }
            };
            plans = plans.iter().flat_map(|plan| modes.iter().map(|mode| with(plan, mode))).collect();
        }
        plans.retain(|plan| plan.steps.iter().any(|(.., mode)| !matches!(mode, Mode::Kept)));
        plans.sort_by_cached_key(|plan| plan.signings().len());
        plans
    }

    /// That by which somebody signs for every step.
    pub(super) fn by_all(verified: &'a Verified) -> Self {
        let steps = verified.order().iter().filter_map(|name| Some((name, verified.steps().get(name)?)));
        let signed = steps.map(|(name, step)| (name, step, Mode::Signed { only_of_makers: false }));
        Self { verified, steps: signed.collect() }
    }

    /// Who has to sign for it.
    pub(super) fn signings(&self) -> BTreeSet<Signing> {
        let mut signings = BTreeSet::new();
        self.collect(&mut Vec::new(), &mut signings);
        signings
    }

    fn collect(&self, within: &mut Vec<(StepName, KeyId)>, signings: &mut BTreeSet<Signing>) {
        for (name, step, mode) in &self.steps {
            let signing = |needed, without: BTreeSet<KeyId>, only_of_makers, within: &[(StepName, KeyId)]| Signing {
                within: within.to_vec(),
                step: (*name).clone(),
                needed,
                without,
                only_of_makers,
            };
            match mode {
                Mode::Kept => {}
                Mode::Signed { only_of_makers } => {
                    signings.insert(signing(step.threshold, BTreeSet::new(), *only_of_makers, within));
                }
                Mode::Through { sublayouts, needed } => {
                    if *needed > 0 {
                        let without = sublayouts.iter().map(|(keyid, _)| (*keyid).clone()).collect();
                        signings.insert(signing(*needed, without, false, within));
                    }
                    for (keyid, plan) in sublayouts {
                        within.push(((*name).clone(), (*keyid).clone()));
                        plan.collect(within, signings);
                        within.pop();
                    }
                }
            }
        }
    }
}

impl<'a> Mode<'a> {
    fn all(step: &'a VerifiedStep, is_cut: &mut bool) -> Vec<Self> {
        let mut modes = vec![Self::Kept, Self::Signed { only_of_makers: false }];
        let makers = step.predicates.iter().filter(|expected| expected.says_what_was_made).count();
        if makers > 0 && makers < step.predicates.len() {
            modes.push(Self::Signed { only_of_makers: true });
        }
        // Which sublayouts are used, and what is done in each.
        let mut chosen: Vec<Vec<(&KeyId, Plan<'a>)>> = vec![Vec::new()];
        for (keyid, sublayout) in &step.sublayouts {
            let plans = Plan::all(sublayout, is_cut);
            if chosen.len().saturating_mul(plans.len().saturating_add(1)) > MAX_PLANS {
                *is_cut = true;
                return modes;
            }
            let with = |choice: &Vec<(&'a KeyId, Plan<'a>)>, plan: &Plan<'a>| {
                choice.iter().cloned().chain([(keyid, plan.clone())]).collect()
            };
            let more: Vec<_> =
                chosen.iter().flat_map(|choice| plans.iter().map(move |plan| with(choice, plan))).collect();
            chosen.extend(more);
        }
        modes.extend(chosen.into_iter().filter(|choice| !choice.is_empty()).filter_map(|sublayouts| {
            let used = u32::try_from(sublayouts.len()).ok()?;
            Some(Self::Through { sublayouts, needed: step.threshold.checked_sub(used)? })
        }));
        modes
    }
}
