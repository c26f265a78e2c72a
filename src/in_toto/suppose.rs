//! What if some steps had recorded something else? For whoever asks what a stolen key is good for.

use std::collections::BTreeMap;

use super::{
    artifacts::{self, Records},
    effort::Effort,
    error::Error,
    limits::Limits,
    link::{Recorded, Side},
    name::StepName,
    rule::Rule,
    verified::{RuleTrail, Verified},
};

/// A supply chain as it would be: its rules hold, and nobody signed it. Nothing is admitted by it, since a proof is made
/// from what was signed and from nothing else.
#[derive(Debug)]
pub struct Supposed(Verified);

impl Supposed {
    /// As if it had been verified.
    pub(crate) fn as_verified(&self) -> &Verified {
        &self.0
    }
}

impl Verified {
    /// The same layout, with what `recorded` says of some of its steps and inspections in the place of what was verified.
    /// Sublayouts are left out: who may sign for a step may sign a link.
    ///
    /// # Errors
    /// The first rule that would not hold.
    pub fn suppose(&self, recorded: &BTreeMap<StepName, Recorded>, limits: &Limits) -> Result<Supposed, Error> {
        let mut supposed = self.clone();
        for (name, step) in &mut supposed.steps {
            if let Some(Recorded { materials, products }) = recorded.get(name).cloned() {
                (step.materials, step.products) = (materials, products);
                step.sublayouts.clear();
            }
        }
        for inspection in &mut supposed.inspections {
            if let Some(recorded) = recorded.get(&inspection.name) {
                inspection.recorded = recorded.clone();
            }
        }
        let effort = Effort::new(limits);
        let said: BTreeMap<StepName, Recorded> = supposed
            .steps
            .iter()
            .map(|(name, step)| {
                (name.clone(), Recorded { materials: step.materials.clone(), products: step.products.clone() })
            })
            .collect();
        let mut records = Records::new(&effort, said.iter().map(|(name, recorded)| (name.as_str(), recorded)));
        for name in &self.order {
            let (Some(step), Some(recorded)) = (supposed.steps.get_mut(name), said.get(name)) else { continue };
            step.material_rules = again(name, Side::Materials, &step.material_rules, recorded, &records)?;
            step.product_rules = again(name, Side::Products, &step.product_rules, recorded, &records)?;
        }
        let carried_out: Vec<_> = supposed
            .inspections
            .iter()
            .map(|inspection| (inspection.name.clone(), inspection.recorded.clone()))
            .collect();
        for (name, recorded) in &carried_out {
            records.insert(name.as_str(), recorded);
        }
        for inspection in &mut supposed.inspections {
            let (name, recorded) = (inspection.name.clone(), inspection.recorded.clone());
            inspection.material_rules = again(&name, Side::Materials, &inspection.material_rules, &recorded, &records)?;
            inspection.product_rules = again(&name, Side::Products, &inspection.product_rules, &recorded, &records)?;
        }
        Ok(Supposed(supposed))
    }
}

/// Applies the rules of a list once more. Of a list that held there is a trail for each of them.
fn again(
    name: &StepName,
    side: Side,
    trails: &[RuleTrail],
    recorded: &Recorded,
    records: &Records<'_>,
) -> Result<Vec<RuleTrail>, Error> {
    let rules: Vec<Rule> = trails.iter().map(|trail| trail.rule.clone()).collect();
    artifacts::apply(name, side, &rules, recorded, records)
}
