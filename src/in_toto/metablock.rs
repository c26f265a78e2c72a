//! The signatures of a Metablock (in-toto 4.1).

use super::{
    envelope::Signature,
    error::Error,
    fields::{Object, Source},
};
use crate::crypto::KeyId;

/// Reads `signatures`. A key id may stand there twice; then the first signature counts.
pub(super) fn signatures(source: Source<'_>, outer: &Object<'_>) -> Result<Vec<Signature>, Error> {
    let listed = outer.list("signatures")?;
    source.limit("signatures", listed.len(), source.limits.signatures)?;
    let mut signatures = Vec::with_capacity(listed.len());
    for (index, value) in listed.iter().enumerate() {
        let object = Object::open(source, format!("signatures[{index}]"), value)?;
        let keyid = KeyId::from(object.text("keyid")?);
        // OpenPGP signatures have `signature` and `other_headers` in place of `sig`.
        let is_openpgp = object.has("signature") && object.has("other_headers");
        let bytes = if is_openpgp { None } else { hex::decode(object.text("sig")?).ok() };
        signatures.push(Signature { keyid, bytes });
    }
    Ok(signatures)
}
