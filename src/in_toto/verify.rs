//! The workflow of the specification (in-toto 5.2), one line for each of its steps.

mod survey;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    artifacts::{self, Records},
    attestation,
    certificate::Issuer,
    chain::{Inspected, InspectionProblem, Inspector, Options, SupplyChain},
    effort::Effort,
    envelope::{Envelope, Payload},
    error::Error,
    frame::{Frame, index},
    functionary::FunctionaryFinding,
    key::FunctionaryKey,
    layout::{Inspection, Layout, Step},
    limits::Limits,
    link::{Artifacts, DigestsOf, Disagreement, Recorded, Side},
    name::{LinkName, StepName},
    parameters,
    signed::{self, Readings, SignedFile, SignedStep, Signers},
    statement::{PredicateType, Statement, Wanted},
    sublayout,
    verified::{KeyExpiry, RuleTrail, Verified, VerifiedInspection, VerifiedPredicate, VerifiedStep},
};
use crate::crypto::KeyId;

pub use survey::{Flow, Kind, Survey, SurveyedItem, SurveyedPredicate, survey};

/// Verifies a supply chain. Inspections are not carried out; `options` say whether that refuses it.
///
/// # Errors
/// The first check that failed.
pub fn verify(chain: &SupplyChain<'_>, options: &Options, now: Timestamp, limits: &Limits) -> Result<Verified, Error> {
    verify_with(chain, options, &mut options.inspections.clone(), now, limits)
}

/// Verifies a supply chain whose inspections `inspector` carries out.
///
/// # Errors
/// The first check that failed.
pub fn verify_with(
    chain: &SupplyChain<'_>,
    options: &Options,
    inspector: &mut dyn Inspector,
    now: Timestamp,
    limits: &Limits,
) -> Result<Verified, Error> {
    let files = index(&chain.links, limits)?;
    let mut envelope = Envelope::parse(chain.layout, "layout", limits.layout_bytes, limits)?;
    let signers = signed::layout(&envelope, &chain.keys, options.layout_threshold, now)?; // 5.2, 1
    let layout = envelope.layout("layout", limits)?;
    let attestations = attestation::read(&chain.attestations, &Wanted::of(&layout, &options.statements), limits)?;
    let effort = Effort::new(limits);
    let mut frame = Frame::new(&files, &attestations, options, inspector, now, (limits, &effort));
    verify_layout(&mut frame, layout, signers, options.parameters.as_ref())
}

/// Verifies a layout whose signatures were verified.
pub(super) fn verify_layout(
    frame: &mut Frame<'_, '_>,
    mut layout: Layout,
    signers: Signers,
    parameters: Option<&BTreeMap<String, String>>,
) -> Result<Verified, Error> {
    verify_issuers(&layout, frame.options)?;
    verify_kind(&layout, frame)?;
    verify_expiry(layout.expires, frame.now)?; // 5.2, 2
    if let Some(parameters) = parameters {
        parameters::substitute(&mut layout, parameters, frame.options.raw_parameters, frame.limits)?;
    }
    let layout = &layout;
    let mut readings = Readings::of(frame, layout, &layout.steps)?;
    let signed = layout.steps.iter().map(|step| signed::step(frame, &mut readings, layout, step));
    let signed = signed.collect::<Result<Vec<_>, _>>()?; // 5.2, 3 and 4
    let heard = signed.into_iter().map(|signed| hear(frame, layout, signed)).collect::<Result<Vec<_>, _>>()?; // 5.2, 4.1 and 4.2
    let agreed = heard.into_iter().map(agree).collect::<Result<Vec<_>, _>>()?;
    let recorded = agreed.iter().map(|step| (step.step.name.as_str(), &step.recorded));
    let mut records = Records::new(frame.effort, recorded);
    let rules = agreed.iter().map(|step| step.rules(&records)).collect::<Result<Vec<_>, _>>()?; // 5.2, 5
    let inspected = inspect(frame, &layout.inspections)?; // 5.2, 6
    for (inspection, recorded) in &inspected.carried_out {
        records.insert(inspection.name.as_str(), recorded);
    }
    let inspections = inspected.rules(&records)?; // 5.2, 7

    let sublayouts = || agreed.iter().flat_map(|step| step.sublayouts.values());
    let layouts_expire = sublayouts().map(|inner| inner.layouts_expire).chain([layout.expires]).min();
    let keys_expire = signers.expiry.into_iter().chain(agreed.iter().filter_map(|step| step.expiry.clone()));
    let keys_expire = keys_expire.chain(sublayouts().flat_map(|inner| inner.keys_expire.clone())).collect();
    let order = layout.steps.iter().map(|step| step.name.clone()).collect();
    let steps =
        agreed.into_iter().zip(rules).map(|(step, [materials, products])| step.verified(layout, materials, products));
    Ok(Verified {
        layout_signers: signers.ids,
        layout_expires: layout.expires,
        layouts_expire: layouts_expire.unwrap_or(layout.expires),
        keys_expire,
        order,
        steps: steps.collect(),
        inspections,
        skipped: inspected.skipped,
    })
}

/// Functionaries are known by certificates only where that was asked for.
pub(super) fn verify_issuers(layout: &Layout, options: &Options) -> Result<(), Error> {
    let by_certificate = !layout.issuers.is_empty() || layout.steps.iter().any(|step| !step.constraints.is_empty());
    if by_certificate && !options.certificates {
        return Err(Error::CertificatesDenied);
    }
    Ok(())
}

/// A layout over predicates is taken only where that was asked for, and in place of no link: who handed that in would
/// choose what Statements have to say.
fn verify_kind(layout: &Layout, frame: &Frame<'_, '_>) -> Result<(), Error> {
    if layout.is_over_predicates && !frame.folder.is_empty() {
        return Err(Error::PredicatesDenied);
    }
    verify_kind_outside(layout, frame.options)
}

/// The same of the outermost layout.
pub(super) fn verify_kind_outside(layout: &Layout, options: &Options) -> Result<(), Error> {
    if !layout.is_over_predicates {
        return Ok(());
    }
    if !options.predicates {
        return Err(Error::PredicatesDenied);
    }
    for (name, predicate_type) in options.statements.steps() {
        let step = layout.steps.iter().find(|step| step.name == *name);
        let mut types = step.iter().flat_map(|step| &step.predicates).map(|expected| expected.predicate_type.as_str());
        if !types.any(|expected| expected == predicate_type.as_str()) {
            return Err(Error::PredicateNotExpected { step: name.clone(), predicate_type });
        }
    }
    Ok(())
}

pub(super) fn verify_expiry(expires: Timestamp, now: Timestamp) -> Result<(), Error> {
    if expires <= now {
        return Err(Error::LayoutExpired { expires, now });
    }
    Ok(())
}

/// A step with what its functionaries say, not compared yet.
struct Heard<'a> {
    step: &'a Step,
    predicate_type: Option<PredicateType>,
    predicates: Vec<VerifiedPredicate>,
    testimonies: Vec<Testimony>,
    findings: Vec<FunctionaryFinding>,
    expiry: Option<KeyExpiry>,
    certified: BTreeMap<KeyId, FunctionaryKey>,
    issuers: Vec<Issuer>,
}

struct Testimony {
    keyid: KeyId,
    recorded: Recorded,
    /// Whether it says what came out of the step.
    has_products: bool,
    /// Whether the command is the one that the layout expects.
    is_expected_command: bool,
    sublayout: Option<Verified>,
}

/// Takes from each file what it says; a layout in place of a link is verified for that.
fn hear<'a>(frame: &mut Frame<'_, '_>, layout: &Layout, signed: SignedStep<'a>) -> Result<Heard<'a>, Error> {
    let SignedStep { step, predicate_type, predicates, files, findings, expiry, certified, issuers } = signed;
    let has_products = true;
    let is_expected = |command: &[String]| step.expected_command.is_empty() || step.expected_command == command;
    let mut testimonies = Vec::new();
    for SignedFile { keyid, payload } in files {
        testimonies.push(match payload {
            Payload::Link(link) => {
                // in-toto 4.4: the link's name is the step's. Else the link of one step would do for another.
                if link.name.as_deref() != Some(step.name.as_str()) {
                    return Err(Error::StepNameMismatch { step: step.name.clone(), keyid, found: link.name });
                }
                let is_expected_command = is_expected(&link.command);
                Testimony { keyid, recorded: link.recorded, has_products, is_expected_command, sublayout: None }
            }
            Payload::Statement(statement, _) => {
                let Statement { recorded, command, step: named, is_transformational: has_products, .. } = statement;
                // Provenance has no command of the kind that a layout expects.
                let is_expected_command = named.is_none() || is_expected(&command);
                Testimony { keyid, recorded, has_products, is_expected_command, sublayout: None }
            }
            Payload::Layout(_) if layout.keys.get(&keyid).is_none() => {
                return Err(Error::SublayoutBySubkey { step: step.name.clone(), keyid });
            }
            Payload::Layout(inner) => {
                let verified = sublayout::verify(frame, &LinkName::new(&step.name, &keyid), &keyid, inner)?;
                let recorded = verified.summary();
                frame.hold(step.name.as_str(), &recorded)?;
                Testimony { keyid, recorded, has_products, is_expected_command: true, sublayout: Some(verified) }
            }
        });
    }
    Ok(Heard { step, predicate_type, predicates, testimonies, findings, expiry, certified, issuers })
}

/// A step with the one record on which its functionaries agree.
struct Agreed<'a> {
    step: &'a Step,
    predicate_type: Option<PredicateType>,
    predicates: Vec<VerifiedPredicate>,
    recorded: Recorded,
    functionaries: Vec<KeyId>,
    findings: Vec<FunctionaryFinding>,
    other_command: Vec<KeyId>,
    sublayouts: BTreeMap<KeyId, Verified>,
    expiry: Option<KeyExpiry>,
    certified: BTreeMap<KeyId, FunctionaryKey>,
    issuers: Vec<Issuer>,
}

/// All valid links must agree, also those beyond the threshold: else the first one found would decide. Statements of
/// several types about one step likewise (ITE-10): what they do not share belongs to another step.
fn agree(heard: Heard<'_>) -> Result<Agreed<'_>, Error> {
    let Heard { step, predicate_type, predicates, testimonies, findings, expiry, certified, issuers } = heard;
    let mut agreed = Agreed {
        step,
        predicate_type,
        predicates,
        recorded: Recorded::default(),
        functionaries: Vec::new(),
        findings,
        other_command: Vec::new(),
        sublayouts: BTreeMap::new(),
        expiry,
        certified,
        issuers,
    };
    let mut said: [Option<KeyId>; 2] = [None, None];
    for testimony in testimonies {
        let Testimony { keyid, mut recorded, has_products, is_expected_command, sublayout } = testimony;
        for (side, first) in [Side::Materials, Side::Products].into_iter().zip(&mut said) {
            if side == Side::Products && !has_products {
                continue;
            }
            let Some(first) = first else {
                *first = Some(keyid.clone());
                match side {
                    Side::Materials => agreed.recorded.materials = std::mem::take(&mut recorded.materials),
                    Side::Products => agreed.recorded.products = std::mem::take(&mut recorded.products),
                }
                continue;
            };
            let (ours, theirs) = (agreed.recorded.side(side), recorded.side(side));
            if ours == theirs {
                continue;
            }
            let mut names = ours.names().chain(theirs.names());
            if let Some(artifact) = names.find(|name| ours.get(name) != theirs.get(name)) {
                let says = |artifacts: &Artifacts| artifacts.get(artifact).map(DigestsOf::to_map);
                let says = [(first.clone(), says(ours)), (keyid, says(theirs))];
                let (step, artifact) = (step.name.clone(), artifact.to_owned());
                return Err(Error::LinkDisagreement(Box::new(Disagreement { step, side, artifact, says })));
            }
        }
        if !is_expected_command && !agreed.other_command.contains(&keyid) {
            agreed.other_command.push(keyid.clone());
        }
        if let Some(verified) = sublayout {
            agreed.sublayouts.insert(keyid.clone(), verified);
        }
        if !agreed.functionaries.contains(&keyid) {
            agreed.functionaries.push(keyid);
        }
    }
    Ok(agreed)
}

impl Agreed<'_> {
    fn rules(&self, records: &Records<'_>) -> Result<[Vec<RuleTrail>; 2], Error> {
        let Step { name, expected_materials, expected_products, .. } = self.step;
        Ok([
            artifacts::apply(name, Side::Materials, expected_materials, &self.recorded, records)?,
            artifacts::apply(name, Side::Products, expected_products, &self.recorded, records)?,
        ])
    }

    fn verified(
        self,
        layout: &Layout,
        material_rules: Vec<RuleTrail>,
        product_rules: Vec<RuleTrail>,
    ) -> (StepName, VerifiedStep) {
        let step = VerifiedStep {
            materials: self.recorded.materials,
            products: self.recorded.products,
            predicate_type: self.predicate_type,
            predicates: self.predicates,
            threshold: self.step.threshold.get(),
            functionaries: self.functionaries,
            findings: self.findings,
            authorised: authorised(layout, &self.step.pubkeys),
            certified: self.certified,
            issuers: self.issuers,
            material_rules,
            product_rules,
            other_command: self.other_command,
            sublayouts: self.sublayouts,
        };
        (self.step.name.clone(), step)
    }
}

/// The keys that may sign, by the ids under which they are named.
pub(super) fn authorised(layout: &Layout, named: &[KeyId]) -> BTreeMap<KeyId, FunctionaryKey> {
    let signers = layout.keys.signers(named).into_iter().flatten();
    signers.map(|signer| (signer.named.clone(), signer.key.clone())).collect()
}

struct AllInspected<'a> {
    carried_out: Vec<(&'a Inspection, Recorded)>,
    skipped: Vec<StepName>,
}

/// Has all inspections carried out before the rules of the first are applied, as the reference does it.
fn inspect<'a>(frame: &mut Frame<'_, '_>, inspections: &'a [Inspection]) -> Result<AllInspected<'a>, Error> {
    let mut all = AllInspected { carried_out: Vec::new(), skipped: Vec::new() };
    let mut refused = Vec::new();
    for inspection in inspections {
        match frame.inspector.inspect(inspection, &frame.folder) {
            Ok(Inspected::Recorded(recorded)) => {
                frame.hold(inspection.name.as_str(), &recorded)?;
                all.carried_out.push((inspection, recorded));
            }
            Ok(Inspected::Skipped) => all.skipped.push(inspection.name.clone()),
            Err(InspectionProblem::Refused) => refused.push(inspection.name.clone()),
            Err(InspectionProblem::Failed(problem)) => {
                return Err(Error::InspectionFailed { inspection: inspection.name.clone(), problem });
            }
        }
    }
    if !refused.is_empty() {
        return Err(Error::InspectionsRefused { inspections: refused });
    }
    Ok(all)
}

impl AllInspected<'_> {
    fn rules(&self, records: &Records<'_>) -> Result<Vec<VerifiedInspection>, Error> {
        let mut verified = Vec::new();
        for (inspection, recorded) in &self.carried_out {
            let Inspection { name, run, expected_materials, expected_products } = inspection;
            verified.push(VerifiedInspection {
                name: name.clone(),
                run: run.clone(),
                recorded: recorded.clone(),
                material_rules: artifacts::apply(name, Side::Materials, expected_materials, recorded, records)?,
                product_rules: artifacts::apply(name, Side::Products, expected_products, recorded, records)?,
            });
        }
        Ok(verified)
    }
}
