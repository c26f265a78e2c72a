//! What several fuzz targets share: a key, and documents signed with it.
//!
//! Parsers behind a signature are the ones that whoever holds a key can feed. So the targets sign what the fuzzer thinks
//! of, and what is behind the check of signatures is reached at once.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

/// The key id of [`sign`]'s key.
pub const KEYID: &str = "aaaaaaaabbbbbbbb";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// The key that [`sign`] signs with, as metadata writes it.
pub fn key_object() -> Value {
    let public = hex::encode(key().verifying_key().as_bytes());
    json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}, "keyid": KEYID})
}

/// A TUF file or a Metablock over `signed`, whose bytes stay as they are; none if they are no JSON of ours.
pub fn sign(signed: &str) -> Option<Vec<u8>> {
    let value = pratique::crypto::json::parse(signed.as_bytes()).ok()?;
    let sig = hex::encode(key().sign(&pratique::crypto::json::canonical(&value)).to_bytes());
    Some(format!("{{\"signatures\":[{{\"keyid\":\"{KEYID}\",\"sig\":\"{sig}\"}}],\"signed\":{signed}}}").into_bytes())
}

/// The same for a value of the target's own.
pub fn sign_value(signed: &Value) -> Vec<u8> {
    sign(&signed.to_string()).unwrap_or_default()
}

/// A DSSE envelope over any payload, and a line's end.
pub fn seal(payload: &[u8]) -> Vec<u8> {
    let payload_type = "application/vnd.in-toto+json";
    let sig = STANDARD.encode(key().sign(&pratique::crypto::dsse::pae(payload_type, payload)).to_bytes());
    let signatures = json!([{"keyid": "", "sig": sig}]);
    let envelope = json!({"payloadType": payload_type, "payload": STANDARD.encode(payload), "signatures": signatures});
    format!("{envelope}\n").into_bytes()
}
