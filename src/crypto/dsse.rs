//! DSSE envelopes: a payload, its type, and signatures over both (DSSE protocol and envelope, v1.0; in-toto ITE-5).

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

use super::KeyId;

/// A parsed envelope; nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload is; covered by the signatures.
    pub payload_type: String,
    /// The bytes that the signatures cover, of which the decoded payload is the last part.
    pub signed: Vec<u8>,
    /// Where the payload begins in them.
    pub payload_at: usize,
    /// The signatures, in the order of the document.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// The key it claims to be by: a hint. in-toto requires it.
    pub keyid: Option<KeyId>,
    /// The decoded signature.
    pub sig: Vec<u8>,
}

/// A document that is not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A required member is absent or of another type.
    #[error("envelope member {0} is missing or of the wrong type")]
    Member(&'static str),
    /// A member is not padded base64 (standard or URL alphabet, without line breaks).
    #[error("envelope member {0} is not base64")]
    Base64(&'static str),
}

impl Envelope {
    /// Reads an envelope from a document that [`super::json::parse`] accepted. Unknown members are allowed.
    pub fn from_value(document: &Value) -> Result<Self, EnvelopeError> {
        Self::with_payload(document, text(document, "payload")?)
    }

    /// The same for a document whose payload, in base64, stands elsewhere.
    pub fn with_payload(document: &Value, payload: &str) -> Result<Self, EnvelopeError> {
        let signatures =
            document.get("signatures").and_then(Value::as_array).ok_or(EnvelopeError::Member("signatures"))?;
        let payload_type = text(document, "payloadType")?.to_owned();
        let (signed, payload_at) = encoded(&payload_type, payload).ok_or(EnvelopeError::Base64("payload"))?;
        Ok(Self {
            payload_type,
            signed,
            payload_at,
            signatures: signatures
                .iter()
                .map(|signature| {
                    let keyid = match signature.get("keyid") {
                        None | Some(Value::Null) => None,
                        Some(Value::String(keyid)) => Some(KeyId::from(keyid.as_str())),
                        Some(_) => return Err(EnvelopeError::Member("keyid")),
                    };
                    let mut sig = Vec::new();
                    decode(text(signature, "sig")?, &mut sig).ok_or(EnvelopeError::Base64("sig"))?;
                    Ok(EnvelopeSignature { keyid, sig })
                })
                .collect::<Result<_, _>>()?,
        })
    }

    /// The decoded payload.
    pub fn payload(&self) -> &[u8] {
        self.signed.get(self.payload_at..).unwrap_or_default()
    }
}

/// The pre-authentication encoding: `DSSEv1 SP len(type) SP type SP len(body) SP body`. The lengths are in it so that
/// no two pairs of type and body have the same encoding.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = head(payload_type, payload.len());
    out.extend_from_slice(payload);
    out
}

fn head(payload_type: &str, length: usize) -> Vec<u8> {
    format!("DSSEv1 {} {payload_type} {length} ", payload_type.len()).into_bytes()
}

/// The same of a payload in base64, and where the payload begins.
fn encoded(payload_type: &str, payload: &str) -> Option<(Vec<u8>, usize)> {
    let padding = payload.bytes().rev().take_while(|byte| *byte == b'=').count();
    let length = (payload.len() / 4 * 3).checked_sub(padding)?;
    let mut out = head(payload_type, length);
    let payload_at = out.len();
    decode(payload, &mut out)?;
    (out.len() - payload_at == length).then_some((out, payload_at))
}

fn text<'a>(value: &'a Value, name: &'static str) -> Result<&'a str, EnvelopeError> {
    value.get(name).and_then(Value::as_str).ok_or(EnvelopeError::Member(name))
}

/// Decodes to the end of `out`.
fn decode(text: &str, out: &mut Vec<u8>) -> Option<()> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
    // Without a branch for each byte they are looked at all at once.
    let is_url_safe = text.bytes().fold(false, |any, byte| any | (byte == b'-') | (byte == b'_'));
    let alphabet = if is_url_safe { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, CONFIG).decode_vec(text, out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::json;

    #[test]
    fn encodes_the_protocols_example() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn both_alphabets_are_read_and_line_breaks_are_not() {
        let envelope = |payload: &str| {
            let text = format!(r#"{{"payloadType":"t","payload":{},"signatures":[]}}"#, Value::from(payload));
            Envelope::from_value(&json::parse(text.as_bytes()).unwrap())
        };
        assert_eq!(envelope("+/8=").unwrap().payload(), [0xfb, 0xff]);
        assert_eq!(envelope("-_8=").unwrap().payload(), [0xfb, 0xff]);
        assert_eq!(envelope("+_8=").unwrap_err(), EnvelopeError::Base64("payload"));
        assert_eq!(envelope("+/8=\n").unwrap_err(), EnvelopeError::Base64("payload"));
        assert_eq!(envelope("+/8").unwrap_err(), EnvelopeError::Base64("payload"));
    }
}
