//! What do these bytes say, and who signed them? Metablocks (in-toto 4.1) and DSSE envelopes (ITE-5) behind one type.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    error::{Error, Problem},
    fields::{Form, Object, Source},
    functionary::{Signer, is_keyid},
    key::FunctionaryKey,
    layout::Layout,
    limits::Limits,
    link::{Link, in_place},
    metablock::{self, Large, Split},
    statement::Statement,
};
use crate::crypto::{KeyId, dsse, json, openpgp};

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A parsed file; nothing in it is verified.
pub(super) struct Envelope {
    form: Form,
    payload: Value,
    /// The payload, where it is a link that was read in place.
    link: Option<Link>,
    /// The bytes that the signatures cover.
    signed: Covered,
    signatures: Vec<Signature>,
}

enum Covered {
    /// Those in which the artifacts of a link stand that was read in place.
    Text(Arc<String>),
    Bytes(Vec<u8>),
}

impl Covered {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

pub(super) struct Signature {
    pub keyid: KeyId,
    /// `None` when the value cannot be a signature: it is not hex.
    pub value: Option<SignatureValue>,
    /// The signer's certificate (ITE-7), in a Metablock.
    pub certificate: Option<String>,
}

pub(super) enum SignatureValue {
    Plain(Vec<u8>),
    OpenPgp(openpgp::Signature),
}

/// A signature that was verified.
pub(super) struct Signed {
    /// The id of the key that made it.
    pub by: KeyId,
    /// When that key expires, if it does.
    pub expires: Option<Timestamp>,
}

impl Signature {
    /// One of a DSSE envelope.
    fn plain(keyid: KeyId, sig: Vec<u8>) -> Self {
        Self { keyid, value: Some(SignatureValue::Plain(sig)), certificate: None }
    }

    /// Whether it does not say whose it is: the key id is empty, or in a form that no layout can list.
    fn is_anonymous(&self) -> bool {
        !is_keyid(self.keyid.as_str())
    }
}

/// What a file holds.
pub(super) enum Payload {
    Layout(Layout),
    Link(Link),
    /// Only of an attestation, with all that it says where rules look at that.
    Statement(Statement, Arc<Value>),
}

/// Why a key has no valid signature on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureProblem {
    /// No signature claims to be by this key.
    #[error("no signature")]
    Missing,
    /// There is one, and it does not verify.
    #[error("signature invalid")]
    Invalid,
    /// There is one, by a key of the same functionary that may not sign this.
    #[error("signed by another key of theirs, which is not authorised")]
    NotAuthorised,
    /// There is one by an OpenPGP key that does not count.
    #[error(transparent)]
    OpenPgp(#[from] openpgp::Rejected),
}

/// Whether a file holds a layout, whoever signed it. Bytes that are no envelope are no layout.
pub fn is_layout(bytes: &[u8]) -> bool {
    let limits = Limits::default();
    let envelope = Envelope::parse(bytes, "", limits.layout_bytes.max(limits.link_bytes), &limits);
    envelope.is_ok_and(|envelope| envelope.payload.get("_type").is_some_and(|name| name == "layout"))
}

impl Envelope {
    /// Reads a file of at most `max_bytes`.
    pub(super) fn parse(bytes: &[u8], file: &str, max_bytes: usize, limits: &Limits) -> Result<Self, Error> {
        let source = Source { file, form: Form::Metablock, limits };
        source.limit("bytes", bytes.len(), max_bytes)?;
        let (document, large) = match metablock::split(bytes, limits) {
            Some(Split { outer, large }) => (outer, Some(large)),
            None => (read(source, "", bytes)?, None),
        };
        let outer = Object::open(source, "", &document)?;
        outer.no_case_variants(&["signed", "signatures", "payload", "payloadType"])?;
        match (outer.has("signed"), outer.has("payload") || outer.has("payloadType")) {
            (true, true) => Err(source.malformed("", Problem::BothEnvelopes)),
            (false, false) => Err(source.malformed("", Problem::NoEnvelope)),
            (true, false) => {
                let signatures = metablock::signatures(source, &outer)?;
                let (payload, link, signed) = match large {
                    Some(Large::Signed(signed, Some(link))) => (Value::Null, Some(link), Covered::Text(signed)),
                    Some(Large::Signed(signed, None)) => {
                        (metablock::signed(read(source, "", bytes)?), None, Covered::Text(signed))
                    }
                    _ => {
                        let payload = metablock::signed(document);
                        let signed = Covered::Bytes(json::canonical(&payload));
                        (payload, None, signed)
                    }
                };
                Ok(Self { form: Form::Metablock, payload, link, signed, signatures })
            }
            (false, true) => {
                let source = Source { form: Form::Dsse, ..source };
                let envelope = match large {
                    Some(Large::Payload(payload)) => dsse::Envelope::with_payload(&document, payload),
                    _ => dsse::Envelope::from_value(&document),
                };
                Self::dsse(source, checked(source, envelope)?)
            }
        }
    }

    fn dsse(source: Source<'_>, envelope: dsse::Envelope) -> Result<Self, Error> {
        let at = envelope.payload_at;
        let (payload, link, signed) = match String::from_utf8(envelope.signed).map(Arc::new) {
            Ok(text) => match in_place::read_document(&text, at, source.limits) {
                Some(link) => (Value::Null, Some(link), Covered::Text(text)),
                None => {
                    let payload = read(source, "payload", text.as_bytes().get(at..).unwrap_or_default())?;
                    (payload, None, Covered::Text(text))
                }
            },
            Err(error) => {
                let signed = error.into_bytes();
                (read(source, "payload", signed.get(at..).unwrap_or_default())?, None, Covered::Bytes(signed))
            }
        };
        let mut signatures: Vec<Signature> = Vec::new();
        for signature in envelope.signatures {
            let keyid = signature.keyid.ok_or_else(|| source.malformed("signatures", Problem::NoKeyId))?;
            add(source, &mut signatures, Signature::plain(keyid, signature.sig))?;
        }
        Ok(Self { form: Form::Dsse, payload, link, signed, signatures })
    }

    /// The first signature whose key id begins as the file's name says, if a certificate stands beside it.
    pub(super) fn certificate(&self, keyid_prefix: &str) -> Option<(&KeyId, &str)> {
        let signature = self.signatures.iter().find(|signature| signature.keyid.short() == keyid_prefix)?;
        Some((&signature.keyid, signature.certificate.as_deref()?))
    }

    /// Reads an envelope that may hold a Statement. Many tools leave the key ids of its signatures empty, or out.
    pub(super) fn attestation(source: Source<'_>, document: &Value) -> Result<Self, Error> {
        let envelope = checked(source, dsse::Envelope::from_value(document))?;
        let payload = json::parse_with_fractions(envelope.payload(), source.limits.json_values);
        let payload = payload.map_err(|error| source.malformed("payload", error))?;
        let signed = Covered::Bytes(envelope.signed);
        let mut signatures: Vec<Signature> = Vec::new();
        for signature in envelope.signatures {
            let keyid = signature.keyid.unwrap_or_else(|| KeyId::from(""));
            let signature = Signature::plain(keyid, signature.sig);
            if signature.is_anonymous() {
                signatures.push(signature);
            } else {
                add(source, &mut signatures, signature)?;
            }
        }
        Ok(Self { form: Form::Dsse, payload, link: None, signed, signatures })
    }

    /// Verifies the signature of `signer`: the first one that bears an id of theirs, as the reference does it. In a
    /// DSSE envelope no id stands twice.
    pub(super) fn verify(&self, signer: &Signer<'_>, now: Timestamp) -> Result<Signed, SignatureProblem> {
        let theirs = |signature: &&Signature| signer.ids.contains(&&signature.keyid);
        let Signature { keyid, value, .. } = self.signatures.iter().find(theirs).ok_or(SignatureProblem::Missing)?;
        if !signer.allowed.contains(&keyid) {
            return Err(SignatureProblem::NotAuthorised);
        }
        let expires = match (signer.key, value) {
            (FunctionaryKey::Plain(key), Some(SignatureValue::Plain(value))) => {
                key.verify(self.signed.bytes(), value).map_err(|_| SignatureProblem::Invalid)?;
                None
            }
            // Only in a Metablock are there such signatures.
            (FunctionaryKey::OpenPgp(certificate), Some(SignatureValue::OpenPgp(signature))) => {
                let key = certificate.key(keyid).ok_or(SignatureProblem::Missing)?;
                key.verify(self.signed.bytes(), signature, now)?;
                key.expires()
            }
            _ => return Err(SignatureProblem::Invalid),
        };
        Ok(Signed { by: keyid.clone(), expires })
    }

    /// Verifies a signature of `signer` on an attestation: the one that bears an id of theirs, or else any of those that
    /// bear none. A key id is a hint and no more (DSSE, envelope). Besides, how many signatures that took.
    pub(super) fn verify_attestation(
        &self,
        signer: &Signer<'_>,
        now: Timestamp,
    ) -> (Result<Signed, SignatureProblem>, usize) {
        if self.signatures.iter().any(|signature| signer.ids.contains(&&signature.keyid)) {
            return (self.verify(signer, now), 1);
        }
        let mut trials: usize = 0;
        for signature in self.signatures.iter().filter(|signature| signature.is_anonymous()) {
            // OpenPGP signatures say whose they are.
            let (FunctionaryKey::Plain(key), Some(SignatureValue::Plain(value))) = (signer.key, &signature.value)
            else {
                continue;
            };
            trials = trials.saturating_add(1);
            if key.verify(self.signed.bytes(), value).is_ok() {
                return (Ok(Signed { by: signer.named.clone(), expires: None }), trials);
            }
        }
        (Err(SignatureProblem::Missing), trials)
    }

    /// How many bytes the signatures cover.
    pub(super) fn signed_bytes(&self) -> usize {
        self.signed.bytes().len()
    }

    /// The key ids that stand on its signatures.
    pub(super) fn keyids(&self) -> impl Iterator<Item = &KeyId> {
        self.signatures.iter().filter(|signature| !signature.is_anonymous()).map(|signature| &signature.keyid)
    }

    /// The payload, after which only the signatures are left.
    pub(super) fn take_value(&mut self) -> Value {
        self.payload.take()
    }

    /// The payload as it is; of a link that was read in place, nothing.
    pub(super) fn value(&self) -> &Value {
        &self.payload
    }

    /// Reads the payload. Once: a link is handed on and not copied.
    pub(super) fn payload(&mut self, file: &str, limits: &Limits) -> Result<Payload, Error> {
        if let Some(link) = self.link.take() {
            return Ok(Payload::Link(link));
        }
        let source = Source { file, form: self.form, limits };
        let found = self.payload.get("_type").and_then(Value::as_str).unwrap_or_default();
        match found {
            "layout" => Layout::parse(source, &self.payload).map(Payload::Layout),
            "link" => Link::parse(source, &self.payload).map(Payload::Link),
            other => {
                let problem = Problem::WrongType { expected: "layout or link", found: other.to_owned() };
                Err(source.malformed("_type", problem))
            }
        }
    }

    /// Reads the payload, which must be a layout.
    pub(super) fn layout(&mut self, file: &str, limits: &Limits) -> Result<Layout, Error> {
        match self.payload(file, limits)? {
            Payload::Layout(layout) => Ok(layout),
            Payload::Link(_) | Payload::Statement(..) => {
                let source = Source { file, form: self.form, limits };
                let problem = Problem::WrongType { expected: "layout", found: "link".to_owned() };
                Err(source.malformed("_type", problem))
            }
        }
    }
}

/// Reads a document, or the part of one that stands at `at`.
fn read(source: Source<'_>, at: &'static str, bytes: &[u8]) -> Result<Value, Error> {
    json::parse_at_most(bytes, source.limits.json_values).map_err(|error| source.malformed(at, error))
}

/// Refuses an envelope around something else, or with too many signatures.
fn checked(source: Source<'_>, envelope: Result<dsse::Envelope, dsse::EnvelopeError>) -> Result<dsse::Envelope, Error> {
    let envelope = envelope.map_err(|error| source.malformed("", error))?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(source.malformed("payloadType", Problem::PayloadType(envelope.payload_type)));
    }
    source.limit("signatures", envelope.signatures.len(), source.limits.signatures)?;
    Ok(envelope)
}

fn add(source: Source<'_>, signatures: &mut Vec<Signature>, signature: Signature) -> Result<(), Error> {
    if signatures.iter().any(|earlier| earlier.keyid == signature.keyid) {
        return Err(source.malformed("signatures", Problem::DuplicateSignature(signature.keyid)));
    }
    signatures.push(signature);
    Ok(())
}
