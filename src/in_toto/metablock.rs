//! The parts of a Metablock (in-toto 4.1).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    envelope::{Signature, SignatureValue},
    error::Error,
    fields::{Object, Source},
    limits::Limits,
    link::{Link, in_place},
};
use crate::crypto::{
    KeyId,
    canonical::{MEMBERS, Outer, rewrite},
    json, openpgp,
};

/// A document taken apart, its large part by itself.
pub(super) struct Split<'a> {
    /// All members; the large one is empty.
    pub outer: Value,
    pub large: Large<'a>,
}

/// The member of a document that may be large.
pub(super) enum Large<'a> {
    /// `signed`, in its canonical bytes.
    Signed(Arc<String>, Option<Link>),
    /// `payload`, as it is written.
    Payload(&'a str),
}

/// Takes a document apart. `None` where it has no such part, or where it takes more than one pass to find that; then the
/// document is read in the ordinary way.
pub(super) fn split<'a>(bytes: &'a [u8], limits: &Limits) -> Option<Split<'a>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut members = Map::new();
    let mut large = None;
    Outer::members(text, |outer, name| {
        let (value, found) = match name {
            "signed" => {
                let (signed, link) = read_signed(outer, text, limits)?;
                (Value::Null, Some(Large::Signed(signed, link)))
            }
            "payload" => {
                // In base64 there are no control characters.
                (Value::from(""), Some(Large::Payload(outer.plain_string()?)))
            }
            _ => (json::parse_within_at_most(outer.value()?.as_bytes(), MEMBERS, limits.json_values).ok()?, None),
        };
        members.insert(name.to_owned(), value);
        match (found, &large) {
            // Both envelopes at once.
            (Some(_), Some(_)) => return None,
            (Some(found), None) => large = Some(found),
            (None, _) => {}
        }
        Some(())
    })?;
    Some(Split { outer: Value::Object(members), large: large? })
}

fn read_signed(outer: &mut Outer<'_>, text: &str, limits: &Limits) -> Option<(Arc<String>, Option<Link>)> {
    // Nothing has to be rewritten where it is canonical as it stands.
    if let Some((link, place)) = outer.canonical(|reader| in_place::read(reader, limits)) {
        let signed = Arc::new(text.get(place)?.to_owned());
        let link = link.over(&signed);
        return Some((signed, Some(link)));
    }
    let signed = Arc::new(rewrite(outer.value()?, MEMBERS)?);
    let link = in_place::read_canonical(&signed, MEMBERS, limits);
    Some((signed, link))
}

/// What is signed, of a document.
pub(super) fn signed(mut document: Value) -> Value {
    document.get_mut("signed").map(Value::take).unwrap_or_default()
}

/// Reads `signatures`. A key id may stand there twice; then the first signature counts.
pub(super) fn signatures(source: Source<'_>, outer: &Object<'_>) -> Result<Vec<Signature>, Error> {
    let listed = outer.list("signatures")?;
    source.limit("signatures", listed.len(), source.limits.signatures)?;
    let mut signatures = Vec::with_capacity(listed.len());
    for (index, value) in listed.iter().enumerate() {
        let object = Object::open(source, format!("signatures[{index}]"), value)?;
        let keyid = KeyId::from(object.text("keyid")?);
        let certificate = if object.has("cert") { Some(object.text("cert")?.to_owned()) } else { None };
        // What is not hex is no signature by anyone, and no reason to refuse the others.
        let number = |name| Ok(hex::decode(object.text(name)?).ok());
        let value = if object.has("signature") && object.has("other_headers") {
            let parts = number("signature")?.zip(number("other_headers")?);
            parts.map(|(value, headers)| SignatureValue::OpenPgp(openpgp::Signature { headers, value }))
        } else {
            number("sig")?.map(SignatureValue::Plain)
        };
        signatures.push(Signature { keyid, value, certificate });
    }
    Ok(signatures)
}
