//! Who signed, and are they enough? The layout's owners and each step's functionaries.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use jiff::Timestamp;

use super::{
    envelope::{Envelope, Payload, SignatureProblem, Signed},
    error::Error,
    functionary::{Finding, FunctionaryFinding, Signer},
    key::{LayoutKey, Persons},
    layout::{Layout, Step},
    name::{LinkName, StepName},
    verified::KeyExpiry,
    verify::Frame,
};
use crate::crypto::{KeyId, Material, Quorum};

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

/// A step with its validly signed files, not looked into yet.
pub(super) struct SignedStep<'a> {
    pub step: &'a Step,
    pub files: Vec<SignedFile>,
    pub findings: Vec<FunctionaryFinding>,
    /// The first key without which there are too few, if it expires.
    pub expiry: Option<KeyExpiry>,
}

pub(super) struct SignedFile {
    /// The id for which the file is named.
    pub keyid: KeyId,
    pub payload: Payload,
}

/// Reads the links of a step's functionaries and counts those who signed (in-toto 4.3.1, "threshold"; 4.4). Who may sign
/// is the step's own list of keys: being listed in the layout is not enough. A file with an invalid signature is left
/// out; one that cannot be read refuses the whole, as the reference does it.
pub(super) fn step<'a>(frame: &mut Frame<'_, '_>, layout: &'a Layout, step: &'a Step) -> Result<SignedStep<'a>, Error> {
    let mut quorum = Quorum::new(step.threshold);
    let mut signed = SignedStep { step, files: Vec::new(), findings: Vec::new(), expiry: None };
    let mut lasting = Lasting::default();
    let mut counted = Vec::new();
    for signer in layout.keys.signers(&step.pubkeys) {
        let mut found = |keyid: &KeyId, finding| {
            signed.findings.push(FunctionaryFinding { keyid: keyid.clone(), finding });
        };
        let signer = match signer {
            Ok(signer) => signer,
            Err(unknown) => {
                found(unknown, Finding::NotListed);
                continue;
            }
        };
        let person = layout.keys.person(signer.key);
        let mut has_file = false;
        // One file for a plain key; for an OpenPGP key, one for each of its keys that may sign.
        for keyid in signer.allowed.iter().copied() {
            let name = LinkName::new(&step.name, keyid).to_string();
            let Some((path, bytes)) = frame.read(&name)? else { continue };
            has_file = true;
            let max_bytes = frame.limits.link_bytes.max(frame.limits.layout_bytes);
            let envelope = Envelope::parse(bytes, &path, max_bytes, frame.limits)?;
            let payload = envelope.payload(&path, frame.limits)?;
            match envelope.verify(&signer, frame.now) {
                Err(problem) => found(keyid, problem.into()),
                Ok(Signed { by, expires }) => {
                    quorum.add(person, keyid);
                    let earlier = counted.iter().find(|(other, _)| *other == person);
                    found(
                        keyid,
                        earlier.map_or(Finding::Verified, |(_, id): &(_, KeyId)| Finding::SameKeyAs(id.clone())),
                    );
                    counted.push((person, keyid.clone()));
                    lasting.add(person, by, expires);
                    signed.files.push(SignedFile { keyid: keyid.clone(), payload });
                }
            }
        }
        if !has_file {
            found(signer.named, Finding::NoLink);
        }
    }
    if !quorum.is_met() {
        let mut functionaries = signed.findings;
        functionaries.extend(strangers(frame, layout, step));
        let (step, threshold, verified) = (step.name.clone(), quorum.threshold(), quorum.count());
        return Err(Error::ThresholdNotMet { step, threshold, verified, functionaries });
    }
    signed.expiry = lasting.first_break(step.threshold, Some(&step.name));
    Ok(signed)
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

/// Links for the step by keys that it does not name, for the message.
fn strangers(frame: &Frame<'_, '_>, layout: &Layout, step: &Step) -> Vec<FunctionaryFinding> {
    let here = |path: &[&str]| path.split_last().is_some_and(|(_, folder)| frame.folder == folder);
    let names: BTreeSet<LinkName> =
        frame.files.keys().filter(|path| here(path)).filter_map(|path| LinkName::parse(path.last()?)).collect();
    let signers = layout.keys.signers(&step.pubkeys);
    let mut named: BTreeSet<&str> = step.pubkeys.iter().map(KeyId::short).collect();
    named.extend(signers.iter().flatten().flat_map(|signer| signer.allowed.iter().map(|id| id.short())));
    let strange = names.into_iter().filter(|name| name.step == step.name && !named.contains(&*name.keyid_prefix));
    strange
        .map(|name| FunctionaryFinding { keyid: name.keyid_prefix.as_str().into(), finding: Finding::NotAuthorised })
        .collect()
}
