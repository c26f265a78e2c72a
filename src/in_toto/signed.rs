//! Who signed, and are they enough? The layout's owners and each step's functionaries.

mod predicates;
mod readings;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use jiff::Timestamp;

use super::{
    attestation::Attestation,
    certificate::Issuer,
    envelope::{Envelope, Payload, SignatureProblem, Signed},
    error::Error,
    frame::Frame,
    functionary::{Finding, FunctionaryFinding, Signer},
    key::{FunctionaryKey, LayoutKey, Persons},
    layout::{Layout, Step},
    name::{LinkName, StepName},
    statement::{PredicateType, Sought},
    verified::{KeyExpiry, VerifiedPredicate},
};
use crate::crypto::{KeyId, Material, Quorum};

pub(super) use readings::Readings;
use readings::{Found, Reading, open};

/// Those whose signatures on a layout were verified.
pub(super) struct Signers {
    pub ids: Vec<KeyId>,
    /// The first key without which they are too few, if it expires.
    pub expiry: Option<KeyExpiry>,
}

/// Every key must have signed, or as many different functionaries as the threshold says.
pub(super) fn layout(
    envelope: &Envelope,
    keys: &[LayoutKey],
    threshold: Option<NonZeroU32>,
    now: Timestamp,
) -> Result<Signers, Error> {
    let all = u32::try_from(keys.len()).ok().and_then(NonZeroU32::new).ok_or(Error::NoLayoutKeys)?;
    let persons = Persons::of(keys.iter().map(LayoutKey::key));
    let mut quorum = Quorum::new(threshold.unwrap_or(all));
    let mut missing: Vec<(KeyId, SignatureProblem)> = Vec::new();
    let mut ids = Vec::new();
    let mut lasting = Lasting::default();
    for key in keys {
        let name = key.name();
        let called: Vec<&KeyId> = key.ids().iter().collect();
        let signer = Signer { key: key.key(), named: &name, allowed: called.clone(), ids: called };
        match envelope.verify(&signer, now) {
            Ok(Signed { by, expires }) => {
                let person = persons.person(key.key());
                quorum.add(person, &name);
                lasting.add(person, by, expires);
                ids.push(name);
            }
            Err(problem) => missing.push((name, problem)),
        }
    }
    let is_met = if threshold.is_some() { quorum.is_met() } else { missing.is_empty() };
    if !is_met {
        return Err(Error::LayoutSignature { threshold: quorum.threshold(), verified: quorum.count(), missing });
    }
    // Where all must have signed, the first one that expires breaks it; two keys of one person are still two.
    let expiry = match threshold {
        Some(threshold) => lasting.first_break(threshold, None),
        None => lasting.first_of_all(),
    };
    Ok(Signers { ids, expiry })
}

/// A step with what was validly signed about it, not looked into yet.
pub(super) struct SignedStep<'a> {
    pub step: &'a Step,
    pub predicate_type: Option<PredicateType>,
    /// What it is attested by in a layout over predicates.
    pub predicates: Vec<VerifiedPredicate>,
    pub files: Vec<SignedFile>,
    pub findings: Vec<FunctionaryFinding>,
    /// The first key without which there are too few, if it expires.
    pub expiry: Option<KeyExpiry>,
    /// The keys of those who are known by certificates.
    pub certified: BTreeMap<KeyId, FunctionaryKey>,
    /// Who could make more of these.
    pub issuers: Vec<Issuer>,
}

pub(super) struct SignedFile {
    /// The id for which the file is named, or under which the functionary signed.
    pub keyid: KeyId,
    pub payload: Payload,
}

/// Reads what a step's functionaries signed and counts them (in-toto 4.3.1, "threshold"; 4.4). Who may sign is the step's
/// own list of keys: being listed in the layout is not enough.
pub(super) fn step<'a>(
    frame: &mut Frame<'_, '_>,
    readings: &mut Readings<'_>,
    layout: &'a Layout,
    step: &'a Step,
) -> Result<SignedStep<'a>, Error> {
    if layout.is_over_predicates {
        return predicates::step(frame, layout, step);
    }
    let predicate_type = frame.wanted(&step.name);
    let counted = match predicate_type {
        None => links(frame, readings, layout, step),
        Some(predicate_type) => statements(frame, layout, &By::all_of(step), predicate_type.as_str()),
    }?;
    let Counted { files, findings, expiry, certified } = counted;
    let issuers = layout.issuers.who_can_issue(&step.constraints, frame.now);
    Ok(SignedStep { step, predicate_type, predicates: Vec::new(), files, findings, expiry, certified, issuers })
}

/// A file with an invalid signature is left out; one that cannot be read refuses the whole, as the reference does it.
fn links(
    frame: &mut Frame<'_, '_>,
    readings: &mut Readings<'_>,
    layout: &Layout,
    step: &Step,
) -> Result<Counted, Error> {
    let by = By::all_of(step);
    let mut count = Count::of(layout, &by);
    for signer in layout.keys.signers(&step.pubkeys) {
        let Some(signer) = count.listed(signer) else { continue };
        let mut has_file = false;
        for keyid in signer.allowed.iter().copied() {
            let reading = readings.take(&step.name, keyid, frame.limits, frame.now);
            let Some(Reading { path, found, .. }) = reading else { continue };
            has_file = true;
            let Found { payload, signed } = found?;
            hold(frame, &path, &payload)?;
            match signed {
                Err(problem) => count.found(keyid, problem.into()),
                Ok(signed) => count.add(&signer, keyid, signed, payload),
            }
        }
        if !has_file {
            count.found(signer.named, Finding::NoLink);
        }
    }
    // Most steps are done here.
    let is_done = step.constraints.is_empty() && count.quorum.is_met();
    let mut strangers = if is_done { BTreeSet::new() } else { strangers(frame, layout, step) };
    if !step.constraints.is_empty() {
        strangers = by_certificate(frame, layout, step, strangers, &mut count)?;
    }
    if !count.quorum.is_met() {
        for name in strangers {
            count.found(&name.keyid_prefix.as_str().into(), Finding::NotAuthorised);
        }
    }
    count.finish(None)
}

/// Counts the artifacts of a link.
fn hold(frame: &mut Frame<'_, '_>, path: &str, payload: &Payload) -> Result<(), Error> {
    match payload {
        Payload::Link(link) => frame.hold(path, &link.recorded),
        Payload::Layout(_) | Payload::Statement(..) => Ok(()),
    }
}

/// Reads the links of functionaries whom the step knows by their certificates (ITE-7), and returns the other ones. A file
/// that has no certificate is not read: anyone may have put it there.
fn by_certificate(
    frame: &mut Frame<'_, '_>,
    layout: &Layout,
    step: &Step,
    names: BTreeSet<LinkName>,
    count: &mut Count<'_>,
) -> Result<BTreeSet<LinkName>, Error> {
    let mut others = BTreeSet::new();
    for name in names {
        let Some((path, bytes)) = frame.read(&name.to_string())? else { continue };
        let mut envelope = open(&path, bytes, frame.limits).ok();
        let certificate = envelope.as_ref().and_then(|envelope| envelope.certificate(&name.keyid_prefix));
        let certificate = certificate.map(|(keyid, pem)| (keyid.clone(), pem.to_owned()));
        let (Some(envelope), Some((keyid, pem))) = (&mut envelope, certificate) else {
            others.insert(name);
            continue;
        };
        let keyid = &keyid;
        frame.certified(&path)?;
        let (key, ends) = match layout.issuers.functionary(&pem, keyid, &step.constraints, frame.now) {
            Ok(found) => found,
            Err(problem) => {
                count.found(keyid, problem.into());
                continue;
            }
        };
        let signer = Signer { key: key.key(), named: keyid, ids: vec![keyid], allowed: vec![keyid] };
        match envelope.verify(&signer, frame.now) {
            Err(problem) => count.found(keyid, problem.into()),
            Ok(signed) => {
                let payload = envelope.payload(&path, frame.limits)?;
                hold(frame, &path, &payload)?;
                count.add(&signer, keyid, Signed { expires: Some(ends), ..signed }, payload);
                count.certified.insert(keyid.clone(), key.key().clone());
            }
        }
    }
    Ok(others)
}

/// What nobody of the step signed is passed over: one file holds what many people say about many things. Two Statements
/// by one functionary are refused, since either may be the one that is meant.
fn statements(frame: &mut Frame<'_, '_>, layout: &Layout, by: &By<'_>, predicate_type: &str) -> Result<Counted, Error> {
    let mut count = Count::of(layout, by);
    let (step, attestations) = (by.step, frame.attestations);
    let is_about_it = |attestation: &&Attestation| {
        let statement = &attestation.statement;
        statement.predicate_type == predicate_type && statement.step.as_ref().is_none_or(|name| name == step.as_str())
    };
    let candidates: Vec<&Attestation> = attestations.read.iter().filter(is_about_it).collect();
    for signer in layout.keys.signers(by.pubkeys) {
        let Some(signer) = count.listed(signer) else { continue };
        let mut found: Option<(&Attestation, Signed)> = None;
        let mut is_forged = false;
        for candidate in &candidates {
            let (verified, tried) = candidate.envelope.verify_attestation(&signer, frame.now);
            frame.tried(tried, candidate.envelope.signed_bytes())?;
            match (verified, &found) {
                (Ok(signed), None) => found = Some((candidate, signed)),
                (Ok(_), Some((first, _))) => {
                    return Err(Error::AmbiguousStatement {
                        step: step.clone(),
                        keyid: signer.named.clone(),
                        predicate_type: predicate_type.to_owned(),
                        places: [first.place.clone(), candidate.place.clone()],
                    });
                }
                (Err(problem), _) => is_forged |= problem == SignatureProblem::Invalid,
            }
        }
        let has_link = || signer.allowed.iter().any(|keyid| frame.has(&LinkName::new(step, keyid).to_string()));
        match found {
            Some((attestation, signed)) => {
                frame.hold(&attestation.place, &attestation.statement.recorded)?;
                let payload = Payload::Statement(attestation.statement.clone(), attestation.payload.clone());
                count.add(&signer, signer.named, signed, payload);
            }
            None if is_forged => count.found(signer.named, SignatureProblem::Invalid.into()),
            None if has_link() => count.found(signer.named, Finding::LinkForStatement),
            None => count.found(signer.named, Finding::NoStatement),
        }
    }
    if !count.quorum.is_met() {
        let mut strangers: Vec<&KeyId> = candidates.iter().flat_map(|candidate| candidate.envelope.keyids()).collect();
        strangers.retain(|keyid| !by.pubkeys.contains(keyid));
        strangers.sort_unstable();
        strangers.dedup();
        for keyid in strangers {
            count.found(keyid, Finding::NotAuthorised);
        }
    }
    let mut passed_over = attestations.passed_over.clone();
    let others = attestations.read.iter().map(|attestation| &attestation.statement.predicate_type);
    passed_over.extend(others.filter(|other| *other != predicate_type).cloned());
    count.finish(Some(Sought { predicate_type: predicate_type.to_owned(), passed_over }))
}

/// Who may sign for a step, and how many of them must.
struct By<'a> {
    step: &'a StepName,
    pubkeys: &'a [KeyId],
    threshold: NonZeroU32,
}

impl<'a> By<'a> {
    fn all_of(step: &'a Step) -> Self {
        Self { step: &step.name, pubkeys: &step.pubkeys, threshold: step.threshold }
    }
}

/// What enough functionaries signed.
struct Counted {
    files: Vec<SignedFile>,
    findings: Vec<FunctionaryFinding>,
    /// The first key without which there are too few, if it expires.
    expiry: Option<KeyExpiry>,
    certified: BTreeMap<KeyId, FunctionaryKey>,
}

/// The functionaries of a step, being counted.
struct Count<'a> {
    layout: &'a Layout,
    step: &'a StepName,
    threshold: NonZeroU32,
    quorum: Quorum,
    files: Vec<SignedFile>,
    findings: Vec<FunctionaryFinding>,
    lasting: Lasting,
    /// Who was counted, and the first id that each signed under.
    counted: BTreeMap<Material, KeyId>,
    /// The keys of those who are known by certificates.
    certified: BTreeMap<KeyId, FunctionaryKey>,
}

impl<'a> Count<'a> {
    fn of(layout: &'a Layout, by: &By<'a>) -> Self {
        Self {
            layout,
            step: by.step,
            threshold: by.threshold,
            quorum: Quorum::new(by.threshold),
            files: Vec::new(),
            findings: Vec::new(),
            lasting: Lasting::default(),
            counted: BTreeMap::new(),
            certified: BTreeMap::new(),
        }
    }

    fn found(&mut self, keyid: &KeyId, finding: Finding) {
        self.findings.push(FunctionaryFinding { keyid: keyid.clone(), finding });
    }

    /// Someone whose key the layout lists.
    fn listed(&mut self, signer: Result<Signer<'a>, &KeyId>) -> Option<Signer<'a>> {
        signer.inspect_err(|unknown| self.found(unknown, Finding::NotListed)).ok()
    }

    /// Counts one who signed: each functionary once, whatever their keys are called.
    fn add(&mut self, signer: &Signer<'_>, keyid: &KeyId, signed: Signed, payload: Payload) {
        let person = self.layout.keys.person(signer.key);
        self.quorum.add(person, keyid);
        self.lasting.add(person, signed.by, signed.expires);
        let finding = self.counted.get(&person).map_or(Finding::Verified, |first| Finding::SameKeyAs(first.clone()));
        self.counted.entry(person).or_insert_with(|| keyid.clone());
        self.found(keyid, finding);
        self.files.push(SignedFile { keyid: keyid.clone(), payload });
    }

    fn finish(self, sought: Option<Sought>) -> Result<Counted, Error> {
        let Self { step, threshold, quorum, files, findings, lasting, certified, .. } = self;
        if !quorum.is_met() {
            let (step, threshold, verified) = (step.clone(), quorum.threshold(), quorum.count());
            return Err(Error::ThresholdNotMet { step, threshold, verified, sought, functionaries: findings });
        }
        let expiry = lasting.first_break(threshold, Some(step));
        Ok(Counted { files, findings, expiry, certified })
    }
}

/// How long signatures that were verified will be.
#[derive(Default)]
struct Lasting(Vec<(Material, KeyId, Timestamp)>);

impl Lasting {
    fn add(&mut self, person: Material, by: KeyId, expires: Option<Timestamp>) {
        self.0.push((person, by, expires.unwrap_or(Timestamp::MAX)));
    }

    /// The key with whose expiry fewer persons than `threshold` are left. Each lasts as long as their last signature.
    fn first_break(self, threshold: NonZeroU32, step: Option<&StepName>) -> Option<KeyExpiry> {
        let mut last: BTreeMap<Material, (Timestamp, KeyId)> = BTreeMap::new();
        for (person, by, expires) in self.0 {
            let known = last.entry(person).or_insert((expires, by.clone()));
            if known.0 < expires {
                *known = (expires, by);
            }
        }
        let mut ends: Vec<(Timestamp, KeyId)> = last.into_values().collect();
        ends.sort_by_key(|(expires, _)| Reverse(*expires));
        let needed = usize::try_from(threshold.get()).ok()?.checked_sub(1)?;
        ends.into_iter().nth(needed).and_then(|(expires, keyid)| expiry(keyid, step, expires))
    }

    fn first_of_all(self) -> Option<KeyExpiry> {
        let first = self.0.into_iter().min_by_key(|(_, _, expires)| *expires);
        first.and_then(|(_, keyid, expires)| expiry(keyid, None, expires))
    }
}

fn expiry(keyid: KeyId, step: Option<&StepName>, expires: Timestamp) -> Option<KeyExpiry> {
    (expires < Timestamp::MAX).then(|| KeyExpiry { keyid, step: step.cloned(), expires })
}

/// Links for the step by keys that it does not name.
fn strangers(frame: &Frame<'_, '_>, layout: &Layout, step: &Step) -> BTreeSet<LinkName> {
    let here = |path: &[&str]| path.split_last().is_some_and(|(_, folder)| frame.folder == folder);
    let names: BTreeSet<LinkName> =
        frame.files.keys().filter(|path| here(path)).filter_map(|path| LinkName::parse(path.last()?)).collect();
    let signers = layout.keys.signers(&step.pubkeys);
    let mut named: BTreeSet<&str> = step.pubkeys.iter().map(KeyId::short).collect();
    named.extend(signers.iter().flatten().flat_map(|signer| signer.allowed.iter().map(|id| id.short())));
    names.into_iter().filter(|name| name.step == step.name && !named.contains(&*name.keyid_prefix)).collect()
}
