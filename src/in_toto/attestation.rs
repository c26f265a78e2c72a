//! Files of attestations: DSSE envelopes with Statements (in-toto ITE-6), one or many.
//!
//! A file is one JSON document, or has one on each line (JSON lines). A document is an envelope, or a Sigstore bundle
//! around one, of which nothing but the envelope is read: certificates and transparency logs prove nothing here, a
//! functionary's key signs.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use super::{
    envelope::Envelope,
    error::{Error, Problem},
    fields::{Form, Object, Source},
    limits::Limits,
    link::Recorded,
    statement::{Statement, Wanted, is_statement},
};
use crate::crypto::json;

/// Types of Statements that a message names.
const SHOWN: usize = 5;
/// Characters of each.
const SHOWN_CHARACTERS: usize = 100;

/// A file of attestations.
#[derive(Debug, Clone)]
pub struct AttestationFile<'a> {
    /// What messages call it.
    pub name: String,
    /// Its content.
    pub bytes: &'a [u8],
}

/// What the files hold.
#[derive(Default)]
pub(super) struct Attestations {
    /// Those of the types that are wanted.
    pub read: Vec<Attestation>,
    /// The types of some others, shortened for messages.
    pub passed_over: BTreeSet<String>,
}

/// One Statement in its envelope; nothing in it is verified.
pub(super) struct Attestation {
    /// The file, with the line in it where it has several.
    pub place: String,
    pub envelope: Envelope,
    pub statement: Statement,
    /// All of it, where rules look at what it says.
    pub payload: Arc<Value>,
}

/// Whether a file holds attestations and nothing else, whoever signed them and whatever they say.
pub fn is_attestation(bytes: &[u8]) -> bool {
    let limits = Limits::default();
    let file = AttestationFile { name: String::new(), bytes };
    let is_one = |source: Source<'_>, envelope: &Envelope| match is_statement(source, envelope.value()) {
        true => Ok(()),
        false => Err(source.malformed("payload", Problem::NotA("a Statement"))),
    };
    let mut found = 0;
    each(&file, &mut found, &limits, |source, envelope| is_one(source, &envelope)).is_ok() && found > 0
}

/// Reads the Statements of the types that are wanted. What is no attestation refuses the whole file: a reader that passes
/// over what it cannot read would see less than others do.
pub(super) fn read(files: &[AttestationFile<'_>], wanted: &Wanted, limits: &Limits) -> Result<Attestations, Error> {
    let (mut attestations, mut found, mut held) = (Attestations::default(), 0, 0_usize);
    if wanted.is_empty() {
        return Ok(attestations);
    }
    Source { file: "attestations", form: Form::Dsse, limits }.limit("files", files.len(), limits.link_files)?;
    for file in files {
        each(file, &mut found, limits, |source, mut envelope| {
            match Statement::parse(source, envelope.value(), wanted)? {
                Some(statement) => {
                    let Recorded { materials, products } = &statement.recorded;
                    held = held.saturating_add(materials.len()).saturating_add(products.len());
                    source.limit("artifacts in all", held, limits.all_artifacts)?;
                    // Many of these are held at once.
                    let payload = envelope.take_value();
                    let payload = if wanted.keeps_payload() { payload } else { Value::Null }.into();
                    attestations.read.push(Attestation { place: source.file.to_owned(), envelope, statement, payload });
                }
                None if attestations.passed_over.len() < SHOWN => {
                    let name = envelope.value().get("predicateType").and_then(Value::as_str).unwrap_or_default();
                    attestations.passed_over.insert(name.chars().take(SHOWN_CHARACTERS).collect());
                }
                None => {}
            }
            Ok(())
        })?;
    }
    Ok(attestations)
}

/// Hands each envelope of a file on, with the place where it stands.
fn each(
    file: &AttestationFile<'_>,
    found: &mut usize,
    limits: &Limits,
    mut take: impl FnMut(Source<'_>, Envelope) -> Result<(), Error>,
) -> Result<(), Error> {
    let whole = Source { file: &file.name, form: Form::Dsse, limits };
    whole.limit("bytes", file.bytes.len(), limits.link_bytes)?;
    let mut one = |source: Source<'_>, document: &[u8]| {
        *found = found.saturating_add(1);
        whole.limit("attestations", *found, limits.attestations)?;
        let document =
            json::parse_at_most(document, limits.json_values).map_err(|error| source.malformed("", error))?;
        take(source, envelope(source, &document)?)
    };
    let lines = || file.bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let mut written = lines().filter(|(_, line)| !line.is_empty());
    match written.next() {
        // A document of several lines has none in its first.
        Some((_, first)) if written.next().is_some() && json::parse_at_most(first, limits.json_values).is_ok() => {}
        _ => return one(whole, file.bytes),
    }
    for (index, line) in lines().filter(|(_, line)| !line.is_empty()) {
        let place = format!("{} line {}", file.name, index.saturating_add(1));
        one(Source { file: &place, ..whole }, line)?;
    }
    Ok(())
}

fn envelope(source: Source<'_>, document: &Value) -> Result<Envelope, Error> {
    let outer = Object::open(source, "", document)?;
    outer.no_case_variants(&["dsseEnvelope", "payload", "payloadType", "signatures", "signed"])?;
    match (outer.has("dsseEnvelope"), outer.has("payload"), outer.has("signed")) {
        (true, false, false) => {
            let inner = Object::open(source, "dsseEnvelope", outer.get("dsseEnvelope")?)?;
            inner.no_case_variants(&["payload", "payloadType", "signatures"])?;
            Envelope::attestation(source, outer.get("dsseEnvelope")?)
        }
        (false, true, false) => Envelope::attestation(source, document),
        (false, false, _) => Err(source.malformed("", Problem::NoAttestation)),
        _ => Err(source.malformed("", Problem::BothEnvelopes)),
    }
}
