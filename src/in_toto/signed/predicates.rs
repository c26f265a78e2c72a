//! What a step is attested by in a layout over predicates.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{By, SignedFile, SignedStep, statements};
use crate::in_toto::{
    attributes::{self, Unheld},
    envelope::Payload,
    error::Error,
    frame::Frame,
    layout::{Layout, Step},
    verified::{AttributeTrail, VerifiedPredicate},
    verify::authorised,
};

/// Counts who signed for each type that a step names, and holds what they say against the rules (ITE-10, ITE-11).
pub(super) fn step<'a>(frame: &mut Frame<'_, '_>, layout: &'a Layout, step: &'a Step) -> Result<SignedStep<'a>, Error> {
    let mut signed = SignedStep {
        step,
        predicate_type: None,
        predicates: Vec::new(),
        files: Vec::new(),
        findings: Vec::new(),
        expiry: None,
        certified: BTreeMap::new(),
        issuers: Vec::new(),
    };
    for expected in &step.predicates {
        let by = By { step: &step.name, pubkeys: &expected.functionaries, threshold: expected.threshold };
        let counted = statements(frame, layout, &by, &expected.predicate_type)?;
        let unmet =
            expected.attributes.iter().map(|rule| AttributeTrail { rule: rule.text.clone(), no_claim: Vec::new() });
        let mut attributes: Vec<AttributeTrail> = unmet.collect();
        // All hold for every Statement that counts, also for those beyond the threshold (ITE-11).
        for SignedFile { keyid, payload } in &counted.files {
            let said = match payload {
                Payload::Statement(_, said) => said,
                // There are no others, and what says nothing claims nothing.
                Payload::Link(_) | Payload::Layout(_) => &Value::Null,
            };
            let held = attributes::hold(&expected.attributes, said, &frame.meter).map_err(|unheld| match unheld {
                Unheld::Failure(failure) => Error::AttributeRule {
                    step: step.name.clone(),
                    keyid: keyid.clone(),
                    predicate_type: expected.predicate_type.clone(),
                    failure: Box::new(failure),
                },
                Unheld::TooCostly(most) => Error::AttributeCost { step: step.name.clone(), most },
            })?;
            for (trail, no_claim) in attributes.iter_mut().zip(held) {
                trail.no_claim.extend(no_claim.then(|| keyid.clone()));
            }
        }
        signed.predicates.push(VerifiedPredicate {
            predicate_type: expected.predicate_type.clone(),
            threshold: expected.threshold.get(),
            functionaries: counted.files.iter().map(|file| file.keyid.clone()).collect(),
            attributes,
            authorised: authorised(layout, &expected.functionaries),
            says_what_was_made: expected.is_transformational(),
        });
        signed.files.extend(counted.files);
        signed.findings.extend(counted.findings);
        signed.expiry = [signed.expiry, counted.expiry].into_iter().flatten().min_by_key(|key| key.expires);
    }
    Ok(signed)
}
