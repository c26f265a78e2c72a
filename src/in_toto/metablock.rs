//! The signatures of a Metablock (in-toto 4.1).

use super::{
    envelope::{Signature, SignatureValue},
    error::Error,
    fields::{Object, Source},
};
use crate::crypto::{KeyId, openpgp};

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
