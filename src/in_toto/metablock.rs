//! The parts of a Metablock (in-toto 4.1).

use std::fmt;

use serde::{
    Deserializer as _,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::{
    envelope::{Signature, SignatureValue},
    error::Error,
    fields::{Object, Source},
};
use crate::crypto::{KeyId, canonical::rewrite, json, openpgp};

/// How many containers deep `signed` stands.
pub(super) const SIGNED: usize = 1;

/// The members of a document without what is in `signed`, and the canonical bytes of that. `None` where there is no such
/// member, or where it takes more than one pass to find them; then the document is read in the ordinary way.
pub(super) fn split(bytes: &[u8]) -> Option<(Value, String)> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parts = deserializer.deserialize_map(Parts).ok()?;
    deserializer.end().ok()?;
    if parts.iter().all(|(name, _)| name != "signed") {
        return None;
    }
    let mut members = Map::new();
    let mut signed = None;
    for (name, raw) in parts {
        let value = if name == "signed" {
            signed = Some(rewrite(raw.get(), SIGNED)?);
            Value::Null
        } else {
            json::parse_within(raw.get().as_bytes(), SIGNED).ok()?
        };
        if members.insert(name, value).is_some() {
            return None;
        }
    }
    Some((Value::Object(members), signed?))
}

/// What is signed, of a document.
pub(super) fn signed(mut document: Value) -> Value {
    document.get_mut("signed").map(Value::take).unwrap_or_default()
}

/// Names and members as they are written.
struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with few members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        const MOST: usize = 16;
        let mut parts = Vec::new();
        while let Some(part) = access.next_entry()? {
            if parts.len() == MOST {
                return Err(A::Error::custom("many members"));
            }
            parts.push(part);
        }
        Ok(parts)
    }
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
