//! A supply chain followed as far as it goes, for people who look for the place where it breaks.
//!
//! [`verify()`](super::verify()) ends at the first check that fails, as the specification has it. Here every step is looked
//! at by the same checks, whatever became of the others. Nothing is ever admitted by what is found.

use std::{collections::BTreeSet, slice};

use jiff::Timestamp;

use super::{Agreed, agree, hear, verify_expiry, verify_issuers, verify_kind};
use crate::{
    crypto::KeyId,
    in_toto::{
        artifacts::{self, NearMiss, Records},
        attestation,
        chain::{Inspected, InspectionProblem, Inspector, Options, SupplyChain},
        effort::Effort,
        envelope::Envelope,
        error::Error,
        frame::{Frame, index},
        functionary::FunctionaryFinding,
        layout::{Inspection, Layout, Step},
        limits::Limits,
        link::{Recorded, Side},
        name::StepName,
        parameters,
        rule::Rule,
        signed::{self, Readings},
        statement::Wanted,
        verified::RuleTrail,
    },
};

/// What was found of a supply chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The keys whose signatures on the layout were verified.
    pub layout_signers: Vec<KeyId>,
    /// When the layout expires.
    pub layout_expires: Option<Timestamp>,
    /// Steps and inspections, in the order of the layout. There are none where nobody who may has signed the layout.
    pub items: Vec<SurveyedItem>,
    /// What is wrong with the layout itself.
    pub failure: Option<Error>,
}

/// A step or an inspection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedItem {
    /// Its name.
    pub name: StepName,
    /// Which of both it is.
    pub kind: Kind,
    /// What went in and what came out, where that is known.
    pub recorded: Option<Recorded>,
    /// What each rule for materials consumed, up to the one that refused.
    pub material_rules: Vec<RuleTrail>,
    /// What each rule for products consumed, likewise.
    pub product_rules: Vec<RuleTrail>,
    /// The first of its checks that failed.
    pub failure: Option<Error>,
}

/// Whether somebody does it beforehand or it is done while verifying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A step.
    Step {
        /// How many functionaries it needs.
        threshold: u32,
        /// What it is to be attested by in a layout over predicates; else nothing.
        predicates: Vec<SurveyedPredicate>,
        /// What was found of everyone who may sign.
        functionaries: Vec<FunctionaryFinding>,
        /// Who handed in a layout in place of a link.
        sublayouts: Vec<KeyId>,
    },
    /// An inspection, and its command.
    Inspection {
        /// Program and arguments.
        run: Vec<String>,
        /// Whether it was left out.
        is_skipped: bool,
    },
}

/// A type of Statements that a step is to be attested by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedPredicate {
    /// The type.
    pub predicate_type: String,
    /// How many functionaries must have signed one.
    pub threshold: u32,
    /// What must be true of them.
    pub attributes: Vec<String>,
}

/// Artifacts that a `MATCH` rule ties to those of another step, or should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// The step that recorded them first.
    pub from: (String, Side),
    /// Whose rule it is.
    pub to: (StepName, Side),
    /// Their names where the rule stands.
    pub artifacts: BTreeSet<String>,
    /// Why they are not the same, where they are not.
    pub broken: Option<NearMiss>,
}

impl Survey {
    /// What flows from step to step: by each `MATCH` that consumed something, and by each that should have consumed what was
    /// refused then.
    pub fn flows(&self) -> Vec<Flow> {
        let mut flows = Vec::new();
        for item in &self.items {
            for (side, rules) in [(Side::Materials, &item.material_rules), (Side::Products, &item.product_rules)] {
                for trail in rules.iter().filter(|trail| !trail.consumed.is_empty()) {
                    flows.extend(flow(
                        item,
                        side,
                        &trail.rule,
                        trail.consumed.iter().map(str::to_owned).collect(),
                        None,
                    ));
                }
            }
            let Some(Error::DisallowedArtifact(failure) | Error::RequiredArtifactMissing(failure)) = &item.failure
            else {
                continue;
            };
            for miss in &failure.before {
                let (NearMiss::DigestsDiffer { rule, .. } | NearMiss::NotThere { rule, .. } | NearMiss::NoDigest(rule)) =
                    miss
                else {
                    continue;
                };
                let artifacts = BTreeSet::from([failure.artifact.clone()]);
                flows.extend(flow(item, failure.side, rule, artifacts, Some(miss.clone())));
            }
        }
        flows
    }
}

fn flow(
    item: &SurveyedItem,
    side: Side,
    rule: &Rule,
    artifacts: BTreeSet<String>,
    broken: Option<NearMiss>,
) -> Option<Flow> {
    let rule = rule.as_match()?;
    Some(Flow { from: (rule.step.clone(), rule.side), to: (item.name.clone(), side), artifacts, broken })
}

/// Looks at every step of a supply chain, and where all of them hold at the inspections, which `inspector` carries out.
pub fn survey(
    chain: &SupplyChain<'_>,
    options: &Options,
    inspector: &mut dyn Inspector,
    now: Timestamp,
    limits: &Limits,
) -> Survey {
    let mut survey = Survey::default();
    if let Err(failure) = look(&mut survey, chain, options, inspector, now, limits) {
        survey.failure = Some(failure);
    }
    survey
}

fn look(
    survey: &mut Survey,
    chain: &SupplyChain<'_>,
    options: &Options,
    inspector: &mut dyn Inspector,
    now: Timestamp,
    limits: &Limits,
) -> Result<(), Error> {
    let files = index(&chain.links, limits)?;
    let mut envelope = Envelope::parse(chain.layout, "layout", limits.layout_bytes, limits)?;
    survey.layout_signers = signed::layout(&envelope, &chain.keys, options.layout_threshold, now)?.ids;
    let mut layout = envelope.layout("layout", limits)?;
    survey.layout_expires = Some(layout.expires);
    verify_issuers(&layout, options)?;
    let attestations = attestation::read(&chain.attestations, &Wanted::of(&layout, &options.statements), limits)?;
    if let Some(parameters) = &options.parameters {
        parameters::substitute(&mut layout, parameters, options.raw_parameters, limits)?;
    }
    let effort = Effort::new(limits);
    let mut frame = Frame::new(&files, &attestations, options, inspector, now, (limits, &effort));
    verify_kind(&layout, &frame)?;
    survey.items = items(&mut frame, &layout);
    verify_expiry(layout.expires, now)
}

fn items(frame: &mut Frame<'_, '_>, layout: &Layout) -> Vec<SurveyedItem> {
    let agreed: Vec<Result<Agreed<'_>, Error>> = layout
        .steps
        .iter()
        .map(|step| {
            let mut readings = Readings::of(frame, layout, slice::from_ref(step))?;
            let signed = signed::step(frame, &mut readings, layout, step)?;
            agree(hear(frame, layout, signed)?)
        })
        .collect();
    let recorded = agreed.iter().flatten().map(|step| (step.step.name.as_str(), &step.recorded));
    let mut records = Records::new(frame.effort, recorded);
    let mut items: Vec<SurveyedItem> =
        layout.steps.iter().zip(&agreed).map(|(step, agreed)| surveyed_step(step, agreed, &records)).collect();
    // Nothing is carried out on what is not trusted.
    if items.iter().any(|item| item.failure.is_some()) {
        return items;
    }
    let inspected: Vec<_> = layout
        .inspections
        .iter()
        .map(|inspection| (inspection, frame.inspector.inspect(inspection, &frame.folder)))
        .collect();
    for (inspection, outcome) in &inspected {
        if let Ok(Inspected::Recorded(recorded)) = outcome {
            records.insert(inspection.name.as_str(), recorded);
        }
    }
    items.extend(inspected.iter().map(|(inspection, outcome)| surveyed_inspection(inspection, outcome, &records)));
    items
}

fn surveyed_step(step: &Step, agreed: &Result<Agreed<'_>, Error>, records: &Records<'_>) -> SurveyedItem {
    let (functionaries, sublayouts, recorded, failure) = match agreed {
        Ok(agreed) => {
            let sublayouts = agreed.sublayouts.keys().cloned().collect();
            (agreed.findings.clone(), sublayouts, Some(&agreed.recorded), None)
        }
        Err(error) => {
            let findings = match error {
                Error::ThresholdNotMet { functionaries, .. } => functionaries.clone(),
                _ => Vec::new(),
            };
            (findings, Vec::new(), None, Some(error.clone()))
        }
    };
    let predicates = step.predicates.iter().map(|expected| SurveyedPredicate {
        predicate_type: expected.predicate_type.clone(),
        threshold: expected.threshold.get(),
        attributes: expected.attributes.iter().map(|rule| rule.text.clone()).collect(),
    });
    let predicates = predicates.collect();
    let kind = Kind::Step { threshold: step.threshold.get(), predicates, functionaries, sublayouts };
    let rules = [step.expected_materials.as_slice(), &step.expected_products];
    let mut item = judged(&step.name, kind, rules, recorded, records);
    item.failure = failure.or(item.failure);
    item
}

fn surveyed_inspection(
    inspection: &Inspection,
    outcome: &Result<Inspected, InspectionProblem>,
    records: &Records<'_>,
) -> SurveyedItem {
    let is_skipped = matches!(outcome, Ok(Inspected::Skipped));
    let kind = Kind::Inspection { run: inspection.run.clone(), is_skipped };
    let recorded = match outcome {
        Ok(Inspected::Recorded(recorded)) => Some(recorded),
        _ => None,
    };
    let rules = [inspection.expected_materials.as_slice(), &inspection.expected_products];
    let mut item = judged(&inspection.name, kind, rules, recorded, records);
    match outcome {
        Err(InspectionProblem::Refused) => {
            item.failure = Some(Error::InspectionsRefused { inspections: vec![inspection.name.clone()] });
        }
        Err(InspectionProblem::Failed(problem)) => {
            let inspection = inspection.name.clone();
            item.failure = Some(Error::InspectionFailed { inspection, problem: problem.clone() });
        }
        Ok(_) => {}
    }
    item
}

/// An item by its rules, where there is a record to apply them to.
fn judged(
    name: &StepName,
    kind: Kind,
    rules: [&[Rule]; 2],
    recorded: Option<&Recorded>,
    records: &Records<'_>,
) -> SurveyedItem {
    let mut trails = [Vec::new(), Vec::new()];
    let mut failure = None;
    if let Some(recorded) = recorded {
        for ((side, rules), trail) in [Side::Materials, Side::Products].into_iter().zip(rules).zip(&mut trails) {
            let followed = artifacts::follow(name, side, rules, recorded, records, trail);
            failure = failure.or(followed.err());
        }
    }
    let [material_rules, product_rules] = trails;
    SurveyedItem { name: name.clone(), kind, recorded: recorded.cloned(), material_rules, product_rules, failure }
}
