//! Keys whose private half this program never sees: in an HSM, at a key management service, on a person's stick.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Error, SigningKey, SigningKeyError, documents::public_key};
use crate::crypto::{KeyId, PublicKey, Scheme, json as strict};

/// Something that signs with a private key of its own.
pub trait ExternalSigner: Send + Sync {
    /// Has `message` signed and returns what came back: the signature as bytes, or as hex or base64 text. It is
    /// verified before it is used.
    ///
    /// # Errors
    /// Why there is no answer, in words for people.
    fn sign(&self, keyid: &KeyId, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// A key by its public half, and what signs with the other.
pub(super) struct Elsewhere {
    pub(super) object: Value,
    public: PublicKey,
    keyid: KeyId,
    signer: Arc<dyn ExternalSigner>,
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elsewhere").field("keyid", &self.keyid).finish_non_exhaustive()
    }
}

impl Elsewhere {
    pub(super) fn scheme(&self) -> Scheme {
        self.public.scheme()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let failed = |reason| SigningKeyError::External { keyid: self.keyid.clone(), reason };
        let answer = self.signer.sign(&self.keyid, self.public.scheme(), message).map_err(failed)?;
        let text: String = String::from_utf8_lossy(&answer).split_whitespace().collect();
        // Whatever the form, what verifies is the signature; nothing else leaves here.
        let forms = [Some(answer), hex::decode(&text).ok(), STANDARD.decode(&text).ok()];
        let valid = forms.into_iter().flatten().find(|form| self.public.verify(message, form).is_ok());
        valid.ok_or_else(|| failed("what came back is no valid signature by this key".to_owned()))
    }
}

impl SigningKey {
    /// A key object that metadata lists under `keyid`, signing elsewhere. None where this program cannot verify with it.
    pub(super) fn elsewhere(keyid: &KeyId, object: &Value, signer: Arc<dyn ExternalSigner>) -> Option<Self> {
        let public = public_key(object)?;
        Some(Self::from(Elsewhere { object: object.clone(), public, keyid: keyid.clone(), signer }))
    }
}

/// A key that a role is to get.
pub enum NewKey {
    /// One that was made here; it is kept in the key folder.
    Made(SigningKey),
    /// The key object of one that is elsewhere.
    Public(Value),
}

impl From<SigningKey> for NewKey {
    fn from(key: SigningKey) -> Self {
        Self::Made(key)
    }
}

impl NewKey {
    /// Reads a public key: PEM (SPKI), or the JSON of securesystemslib (`keytype`, `scheme`, `keyval`).
    pub fn from_public(bytes: &[u8]) -> Result<Self, Error> {
        let failed = |reason: String| Error::input("public key", reason);
        let text = std::str::from_utf8(bytes).map_err(|_| failed("neither PEM nor JSON".to_owned()))?;
        if text.contains("PRIVATE KEY") {
            return Err(failed("this is a private key".to_owned()));
        }
        if text.trim_start().starts_with('{') {
            let mut object = strict::parse(bytes).map_err(|error| failed(error.to_string()))?;
            // Within metadata the id is the member's name.
            if let Some(members) = object.as_object_mut() {
                members.remove("keyid");
            }
            let known = public_key(&object).is_some();
            return if known {
                Ok(Self::Public(object))
            } else {
                Err(failed("of a kind that is not known".to_owned()))
            };
        }
        let public = PublicKey::from_pem(text).map_err(|error| failed(error.to_string()))?;
        let scheme = public.scheme();
        let block = pem::parse(text).map_err(|error| failed(error.to_string()))?;
        let value = match scheme {
            // RFC 8410: the key is the last 32 bytes.
            Scheme::Ed25519 => {
                let (_, key) =
                    block.contents().split_last_chunk::<32>().ok_or_else(|| failed("too short".to_owned()))?;
                hex::encode(key)
            }
            _ => pem::encode_config(&pem::Pem::new("PUBLIC KEY", block.contents()), super::key::unix_lines()),
        };
        let object = json!({"keytype": scheme.keytype(), "scheme": scheme.as_str(), "keyval": {"public": value}});
        Ok(Self::Public(object))
    }

    /// The key object.
    pub(super) fn object(&self) -> Result<Value, SigningKeyError> {
        match self {
            Self::Made(key) => key.key_object(),
            Self::Public(object) => Ok(object.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a signature.
    type Answer = fn(Vec<u8>) -> Result<Vec<u8>, String>;

    /// Answers with what a function makes of the signature of a key that is here after all.
    struct Fake(SigningKey, Answer);

    impl ExternalSigner for Fake {
        fn sign(&self, _: &KeyId, _: Scheme, message: &[u8]) -> Result<Vec<u8>, String> {
            (self.1)(self.0.sign(message).unwrap())
        }
    }

    fn key(answer: Answer) -> SigningKey {
        let key = || SigningKey::ed25519_from_seed([1; 32]);
        let object = key().key_object().unwrap();
        SigningKey::elsewhere(&KeyId::from("0123"), &object, Arc::new(Fake(key(), answer))).unwrap()
    }

    #[test]
    fn a_signature_is_taken_as_bytes_hex_or_base64() {
        let expected = SigningKey::ed25519_from_seed([1; 32]).sign(b"text").unwrap();
        let forms: [Answer; 3] = [
            Ok,
            |bytes| Ok(format!("{}\n", hex::encode(bytes)).into_bytes()),
            |bytes| Ok(format!(" {}\r\n", STANDARD.encode(bytes)).into_bytes()),
        ];
        for form in forms {
            assert_eq!(key(form).sign(b"text").unwrap(), expected);
        }
    }

    #[test]
    fn what_is_not_a_valid_signature_is_not_taken() {
        let answers: [Answer; 3] = [
            |_| Ok(Vec::new()),
            |mut bytes| {
                bytes[0] ^= 1;
                Ok(bytes)
            },
            |_| Err("the token is locked".to_owned()),
        ];
        let errors: Vec<String> = answers.map(|answer| key(answer).sign(b"text").unwrap_err().to_string()).into();
        assert_eq!(errors[0], "key 0123 elsewhere: what came back is no valid signature by this key");
        assert_eq!(errors[0], errors[1]);
        assert_eq!(errors[2], "key 0123 elsewhere: the token is locked");
    }

    #[test]
    fn a_public_key_file_gives_the_key_object_that_the_private_key_gives() {
        for scheme in [Scheme::Ed25519, Scheme::EcdsaP256Sha256, Scheme::RsaPssSha256] {
            let key = SigningKey::generate(scheme).unwrap();
            let pem = key.public_pem().unwrap().replace('\n', "\r\n");
            assert_eq!(NewKey::from_public(pem.as_bytes()).unwrap().object(), key.key_object(), "{scheme:?}");
            let mut object = key.key_object().unwrap();
            object["keyid"] = "abc".into();
            let read = NewKey::from_public(object.to_string().as_bytes()).unwrap();
            assert_eq!(read.object(), key.key_object());
            assert!(NewKey::from_public(key.to_pem().unwrap().as_bytes()).is_err());
        }
        assert!(NewKey::from_public(b"{\"keytype\":\"x\"}").is_err());
    }
}
