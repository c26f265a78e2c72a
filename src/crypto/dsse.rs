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
    /// The decoded payload: exactly the bytes that are signed.
    pub payload: Vec<u8>,
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
        let text = |value: &Value, name: &'static str| {
            value.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(EnvelopeError::Member(name))
        };
        let signatures =
            document.get("signatures").and_then(Value::as_array).ok_or(EnvelopeError::Member("signatures"))?;
        Ok(Self {
            payload_type: text(document, "payloadType")?,
            payload: decode(&text(document, "payload")?).ok_or(EnvelopeError::Base64("payload"))?,
            signatures: signatures
                .iter()
                .map(|signature| {
                    let keyid = match signature.get("keyid") {
                        None | Some(Value::Null) => None,
                        Some(Value::String(keyid)) => Some(KeyId::from(keyid.as_str())),
                        Some(_) => return Err(EnvelopeError::Member("keyid")),
                    };
                    let sig = decode(&text(signature, "sig")?).ok_or(EnvelopeError::Base64("sig"))?;
                    Ok(EnvelopeSignature { keyid, sig })
                })
                .collect::<Result<_, _>>()?,
        })
    }

    /// The bytes that the signatures cover.
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }
}

/// The pre-authentication encoding: `DSSEv1 SP len(type) SP type SP len(body) SP body`. The lengths are in it so that
/// no two pairs of type and body have the same encoding.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

fn decode(text: &str) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, CONFIG).decode(text).ok()
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
        assert_eq!(envelope("+/8=").unwrap().payload, [0xfb, 0xff]);
        assert_eq!(envelope("-_8=").unwrap().payload, [0xfb, 0xff]);
        assert_eq!(envelope("+_8=").unwrap_err(), EnvelopeError::Base64("payload"));
        assert_eq!(envelope("+/8=\n").unwrap_err(), EnvelopeError::Base64("payload"));
        assert_eq!(envelope("+/8").unwrap_err(), EnvelopeError::Base64("payload"));
    }
}
