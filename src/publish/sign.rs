//! The two signed forms of in-toto: Metablock and DSSE envelope.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{SigningKey, SigningKeyError};
use crate::crypto::{KeyId, dsse, json as strict};

/// How in-toto metadata is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `{signed, signatures}` with signatures over canonical JSON: what in-toto-run writes by default.
    #[default]
    Metablock,
    /// A DSSE envelope (in-toto ITE-5).
    Dsse,
}

/// The payload type of layouts and links in DSSE envelopes.
pub(super) const IN_TOTO_PAYLOAD: &str = "application/vnd.in-toto+json";

/// Signs a layout or link with every one of `keys`, in that order.
pub(super) fn in_toto(payload: &Value, format: Format, keys: &[&SigningKey]) -> Result<Vec<u8>, SigningKeyError> {
    let document = match format {
        Format::Metablock => {
            let signatures = signatures(payload, &named(keys)?)?;
            json!({"signatures": signatures, "signed": payload})
        }
        Format::Dsse => {
            // Not the canonical form: that one leaves control characters raw, which no JSON reader accepts.
            let bytes = payload.to_string().into_bytes();
            let signed = dsse::pae(IN_TOTO_PAYLOAD, &bytes);
            let signatures = keys
                .iter()
                .map(|key| Ok(json!({"keyid": key.keyid()?.as_str(), "sig": STANDARD.encode(key.sign(&signed)?)})))
                .collect::<Result<Vec<_>, SigningKeyError>>()?;
            json!({"payload": STANDARD.encode(bytes), "payloadType": IN_TOTO_PAYLOAD, "signatures": signatures})
        }
    };
    Ok(document.to_string().into_bytes())
}

/// The signatures of TUF metadata and Metablocks: over the canonical form of `signed`, one for each key, in that order.
pub(super) fn signatures(signed: &Value, keys: &[(KeyId, &SigningKey)]) -> Result<Vec<Value>, SigningKeyError> {
    let signatures = raw(signed, keys)?;
    Ok(signatures.iter().map(|(keyid, sig)| json!({"keyid": keyid.as_str(), "sig": hex::encode(sig)})).collect())
}

/// The same as plain bytes.
pub(super) fn raw(signed: &Value, keys: &[(KeyId, &SigningKey)]) -> Result<Vec<(KeyId, Vec<u8>)>, SigningKeyError> {
    let bytes = strict::canonical(signed);
    keys.iter().map(|(keyid, key)| Ok((keyid.clone(), key.sign(&bytes)?))).collect()
}

/// Keys with securesystemslib's default key id.
pub(super) fn named<'a>(keys: &[&'a SigningKey]) -> Result<Vec<(KeyId, &'a SigningKey)>, SigningKeyError> {
    keys.iter().map(|key| Ok((key.keyid()?, *key))).collect()
}
