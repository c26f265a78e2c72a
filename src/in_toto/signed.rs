//! Who signed what about a step: links, or Statements where the rule asks for them.

use super::{
    attestation::Attestation,
    envelope::{Envelope, Payload, SignatureProblem},
    error::Error,
    fields::{Form, Source},
    frame::Frame,
    functionary::{Finding, FunctionaryFinding, LayoutKey},
    layout::{Layout, Step},
    name::LinkName,
    statement::PredicateType,
};
use crate::crypto::{KeyId, PublicKey, Quorum};

/// A step with what was validly signed about it, not looked into yet.
pub(super) struct Signed<'a> {
    pub step: &'a Step,
    pub predicate_type: Option<PredicateType>,
    pub files: Vec<SignedFile>,
    pub findings: Vec<FunctionaryFinding>,
}

pub(super) struct SignedFile {
    pub keyid: KeyId,
    pub payload: Payload,
}

/// Reads what a step's functionaries signed and counts them (in-toto 4.3.1, "threshold"; 4.4). Who may sign is the step's
/// own list of keys: being listed in the layout is not enough.
pub(super) fn functionaries<'a>(
    frame: &mut Frame<'_, '_>,
    layout: &Layout,
    step: &'a Step,
) -> Result<Signed<'a>, Error> {
    match frame.wanted(&step.name) {
        None => links(frame, layout, step),
        Some(predicate_type) => statements(frame, layout, step, predicate_type),
    }
}

/// A file with an invalid signature is left out; one that cannot be read refuses the whole, as the reference does it.
fn links<'a>(frame: &mut Frame<'_, '_>, layout: &Layout, step: &'a Step) -> Result<Signed<'a>, Error> {
    let mut count = Count::of(layout, step);
    for keyid in &step.pubkeys {
        let Some(key) = count.listed(keyid) else { continue };
        let name = LinkName::new(&step.name, keyid).to_string();
        let Some((path, bytes)) = frame.read(&name)? else {
            count.found(keyid, Finding::NoLink);
            continue;
        };
        let max_bytes = frame.limits.link_bytes.max(frame.limits.layout_bytes);
        let envelope = Envelope::parse(bytes, &path, max_bytes, frame.limits)?;
        let payload = envelope.payload(&path, frame.limits)?;
        match envelope.verify(&LayoutKey::new(keyid.clone(), key.clone())) {
            Ok(()) => count.add(keyid, key, payload),
            Err(problem) => count.found(keyid, problem.into()),
        }
    }
    if !count.quorum.is_met() {
        count.findings.extend(frame.strangers(step));
    }
    count.finish(None)
}

/// What nobody of the step signed is passed over: one file holds what many people say about many things. Two Statements
/// by one functionary are refused, since either may be the one that is meant.
fn statements<'a>(
    frame: &mut Frame<'_, '_>,
    layout: &Layout,
    step: &'a Step,
    predicate_type: PredicateType,
) -> Result<Signed<'a>, Error> {
    let mut count = Count::of(layout, step);
    let mut trials = frame.trials;
    let is_about_it = |attestation: &&Attestation| {
        let statement = &attestation.statement;
        statement.predicate_type == predicate_type
            && statement.step.as_ref().is_none_or(|name| name == step.name.as_str())
    };
    let candidates: Vec<&Attestation> = frame.attestations.iter().filter(is_about_it).collect();
    for keyid in &step.pubkeys {
        let Some(key) = count.listed(keyid) else { continue };
        let named = LayoutKey::new(keyid.clone(), key.clone());
        let mut signed: Option<&Attestation> = None;
        let mut is_forged = false;
        for candidate in &candidates {
            let verified = candidate.envelope.verify_attestation(&named, &mut trials);
            let source = Source { file: "attestations", form: Form::Dsse, limits: frame.limits };
            source.limit("signatures to verify", trials, frame.limits.signature_trials)?;
            match (verified, signed) {
                (Ok(()), None) => signed = Some(candidate),
                (Ok(()), Some(first)) => {
                    return Err(Error::AmbiguousStatement {
                        step: step.name.clone(),
                        keyid: keyid.clone(),
                        predicate_type,
                        places: [first.place.clone(), candidate.place.clone()],
                    });
                }
                (Err(problem), _) => is_forged |= problem == SignatureProblem::Invalid,
            }
        }
        match signed {
            Some(attestation) => count.add(keyid, key, Payload::Statement(attestation.statement.clone())),
            None if is_forged => count.found(keyid, SignatureProblem::Invalid.into()),
            None if frame.has(&LinkName::new(&step.name, keyid).to_string()) => {
                count.found(keyid, Finding::LinkForStatement);
            }
            None => count.found(keyid, Finding::NoStatement),
        }
    }
    if !count.quorum.is_met() {
        let mut strangers: Vec<&KeyId> = candidates.iter().flat_map(|candidate| candidate.envelope.keyids()).collect();
        strangers.retain(|keyid| !step.pubkeys.contains(keyid));
        strangers.sort_unstable();
        strangers.dedup();
        for keyid in strangers {
            count.found(keyid, Finding::NotAuthorised);
        }
    }
    frame.trials = trials;
    count.finish(Some(predicate_type))
}

/// The functionaries of a step, being counted.
struct Count<'a, 'l> {
    layout: &'l Layout,
    step: &'a Step,
    quorum: Quorum,
    files: Vec<SignedFile>,
    findings: Vec<FunctionaryFinding>,
}

impl<'a, 'l> Count<'a, 'l> {
    fn of(layout: &'l Layout, step: &'a Step) -> Self {
        Self { layout, step, quorum: Quorum::new(step.threshold), files: Vec::new(), findings: Vec::new() }
    }

    fn found(&mut self, keyid: &KeyId, finding: Finding) {
        self.findings.push(FunctionaryFinding { keyid: keyid.clone(), finding });
    }

    /// The key of a functionary.
    fn listed(&mut self, keyid: &KeyId) -> Option<&'l PublicKey> {
        let key = self.layout.keys.get(keyid);
        if key.is_none() {
            self.found(keyid, Finding::NotListed);
        }
        key
    }

    /// Counts one who signed: each key once, whatever it is called.
    fn add(&mut self, keyid: &KeyId, key: &PublicKey, payload: Payload) {
        self.quorum.add(key.material(), keyid);
        let keys = &self.layout.keys;
        let is_same =
            |file: &&SignedFile| keys.get(&file.keyid).is_some_and(|other| other.material() == key.material());
        let earlier = self.files.iter().find(is_same);
        let finding = earlier.map_or(Finding::Verified, |file| Finding::SameKeyAs(file.keyid.clone()));
        self.found(keyid, finding);
        self.files.push(SignedFile { keyid: keyid.clone(), payload });
    }

    fn finish(self, predicate_type: Option<PredicateType>) -> Result<Signed<'a>, Error> {
        let Self { step, quorum, files, findings, .. } = self;
        if !quorum.is_met() {
            let (step, threshold, verified) = (step.name.clone(), quorum.threshold(), quorum.count());
            return Err(Error::ThresholdNotMet { step, threshold, verified, predicate_type, functionaries: findings });
        }
        Ok(Signed { step, predicate_type, files, findings })
    }
}
