//! Which steps are attested by Statements in place of links.

use std::collections::BTreeMap;

use crate::{
    evidence::requirement::{PredicateType, Statements, StepName},
    policy::{
        Fault,
        outline::{Located, Path},
        raw::RawVerify,
        values,
    },
};

/// Reads `statements`, and `product.predicateType`, which says the same of the step that makes the image.
pub(super) fn load(raw: &RawVerify, at: &Path) -> Result<Statements, Located> {
    let listed = at.key("statements");
    if raw.statements.as_ref().is_some_and(BTreeMap::is_empty) {
        return Err(listed.fault(Fault::EmptyList));
    }
    let mut steps = BTreeMap::new();
    for (step, predicate_type) in raw.statements.iter().flatten() {
        steps.insert(step_name(step, &listed.key(step))?, *predicate_type);
    }
    if let Some(product) = &raw.product
        && let Some(predicate_type) = product.predicate_type
    {
        let at = at.key("product");
        for (word, given) in [("from", product.from.is_some()), ("name", product.name.is_some())] {
            if given {
                return Err(at.key(word).fault(Fault::MeansNothing { beside: "predicateType" }));
            }
        }
        // Which step it is about stands in no provenance, so it stands here.
        let step = product.step.as_ref().ok_or_else(|| at.fault(Fault::MissingKey("step".to_owned())))?;
        add(&mut steps, step, predicate_type, &at)?;
    }
    Statements::new(steps).map_err(|error| listed.fault(Fault::SharedPredicateType(error)))
}

fn add(
    steps: &mut BTreeMap<StepName, PredicateType>,
    step: &str,
    predicate_type: PredicateType,
    at: &Path,
) -> Result<(), Located> {
    match steps.insert(step_name(step, &at.key("step"))?, predicate_type) {
        Some(statements) if statements != predicate_type => {
            let step = step.to_owned();
            Err(at.key("predicateType").fault(Fault::TwoPredicateTypes { step, statements }))
        }
        _ => Ok(()),
    }
}

fn step_name(text: &str, at: &Path) -> Result<StepName, Located> {
    let fault = || at.fault(values::value(text, "the name of a step: without \"/\" and control characters"));
    StepName::parse(text).ok_or_else(fault)
}
