//! Signing keys: made, read from and written to PKCS#8 PEM, and the key objects that metadata lists for them.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
        KeyPair as _, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use ed25519_dalek::{
    Signer as _,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes},
};
use serde_json::{Value, json};

use super::elsewhere::Elsewhere;
use crate::crypto::{KeyError, KeyId, PublicKey, Scheme, Sha256, json as strict};

/// A private key that signs with one scheme.
pub struct SigningKey {
    scheme: Scheme,
    pair: Pair,
}

enum Pair {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Elsewhere(Box<Elsewhere>),
}

/// A signing key that could not be made, read or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// No new key of this scheme can be made here.
    #[error("keys of scheme {0} cannot be made here")]
    NotOffered(&'static str),
    /// The text is not a PKCS#8 private key of a known type.
    #[error("not an unencrypted PKCS#8 private key (ed25519, ECDSA P-256, P-384 or P-521, RSA)")]
    NotPkcs8,
    /// The library refused to make a key or a signature.
    #[error("the cryptographic library refused to {0}")]
    Library(&'static str),
    /// A key that is elsewhere did not sign.
    #[error("key {} elsewhere: {reason}", keyid.short())]
    External {
        /// The key.
        keyid: KeyId,
        /// Why.
        reason: String,
    },
    /// The private half is elsewhere.
    #[error("the private key is not here")]
    NotHere,
    /// The public half could not be read back.
    #[error(transparent)]
    Public(#[from] KeyError),
}

impl SigningKey {
    /// An ed25519 key from 32 bytes of seed. The same seed gives the same key: for tests and demonstrations.
    pub fn ed25519_from_seed(seed: [u8; 32]) -> Self {
        Self { scheme: Scheme::Ed25519, pair: Pair::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&seed))) }
    }

    /// Makes a new key with the system's randomness.
    pub fn generate(scheme: Scheme) -> Result<Self, SigningKeyError> {
        let pair = match scheme {
            Scheme::Ed25519 => {
                let mut seed = [0; 32];
                aws_lc_rs::rand::fill(&mut seed).map_err(|_| SigningKeyError::Library("give randomness"))?;
                return Ok(Self::ed25519_from_seed(seed));
            }
            Scheme::EcdsaP256Sha256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Pair::Ecdsa),
            Scheme::EcdsaP384Sha384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Pair::Ecdsa),
            Scheme::EcdsaP521Sha512 => EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).map(Pair::Ecdsa),
            Scheme::RsaPssSha256 => RsaKeyPair::generate(KeySize::Rsa3072).map(Pair::Rsa),
            other => return Err(SigningKeyError::NotOffered(other.as_str())),
        };
        Ok(Self { scheme, pair: pair.map_err(|_| SigningKeyError::Library("make a key"))? })
    }

    /// Reads an unencrypted PKCS#8 PEM.
    pub fn from_pem(text: &str) -> Result<Self, SigningKeyError> {
        let block = pem::parse(text).map_err(|_| SigningKeyError::NotPkcs8)?;
        let der = block.contents();
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(der) {
            return Ok(Self { scheme: Scheme::Ed25519, pair: Pair::Ed25519(Box::new(key)) });
        }
        for (algorithm, scheme) in [
            (&ECDSA_P256_SHA256_ASN1_SIGNING, Scheme::EcdsaP256Sha256),
            (&ECDSA_P384_SHA384_ASN1_SIGNING, Scheme::EcdsaP384Sha384),
            (&ECDSA_P521_SHA512_ASN1_SIGNING, Scheme::EcdsaP521Sha512),
        ] {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, der) {
                return Ok(Self { scheme, pair: Pair::Ecdsa(pair) });
            }
        }
        let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| SigningKeyError::NotPkcs8)?;
        Ok(Self { scheme: Scheme::RsaPssSha256, pair: Pair::Rsa(pair) })
    }

    /// The key as an unencrypted PKCS#8 PEM.
    pub fn to_pem(&self) -> Result<String, SigningKeyError> {
        use aws_lc_rs::encoding::Pkcs8V1Der;
        let refused = |_| SigningKeyError::Library("encode the key");
        let der = match &self.pair {
            Pair::Ed25519(key) => {
                // Version 1, without the public key (RFC 8410): OpenSSL and python-cryptography read no other.
                let private = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
                private.to_pkcs8_der().map_err(|_| SigningKeyError::Library("encode the key"))?.as_bytes().to_vec()
            }
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().map_err(refused)?.as_ref().to_vec(),
            Pair::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair).map_err(refused)?.as_ref().to_vec(),
            Pair::Elsewhere(_) => return Err(SigningKeyError::NotHere),
        };
        Ok(pem::encode_config(&pem::Pem::new("PRIVATE KEY", der), unix_lines()))
    }

    /// The public half as a PEM SPKI.
    pub fn public_pem(&self) -> Result<String, SigningKeyError> {
        let refused = |_| SigningKeyError::Library("encode the public key");
        let der = match &self.pair {
            Pair::Ed25519(key) => {
                let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
                der.extend_from_slice(key.verifying_key().as_bytes());
                der
            }
            Pair::Ecdsa(pair) => {
                AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map_err(refused)?.as_ref().to_vec()
            }
            Pair::Rsa(pair) => {
                AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map_err(refused)?.as_ref().to_vec()
            }
            Pair::Elsewhere(_) => return Err(SigningKeyError::NotHere),
        };
        Ok(pem::encode_config(&pem::Pem::new("PUBLIC KEY", der), unix_lines()))
    }

    /// How this key signs.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The public half, ready to verify.
    pub fn public(&self) -> Result<PublicKey, SigningKeyError> {
        let object = self.key_object()?;
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        Ok(PublicKey::from_parts(text("/keytype"), text("/scheme"), text("/keyval/public"))?)
    }

    /// The key object of TUF metadata and in-toto layouts (without `keyid`): `{keytype, scheme, keyval}`.
    pub fn key_object(&self) -> Result<Value, SigningKeyError> {
        let public = match &self.pair {
            Pair::Elsewhere(key) => return Ok(key.object.clone()),
            Pair::Ed25519(key) => hex::encode(key.verifying_key().as_bytes()),
            _ => self.public_pem()?,
        };
        Ok(json!({"keytype": self.scheme.keytype(), "scheme": self.scheme.as_str(), "keyval": {"public": public}}))
    }

    /// securesystemslib's default key id: SHA-256 over the canonical key object.
    pub fn keyid(&self) -> Result<KeyId, SigningKeyError> {
        Ok(default_keyid(&self.key_object()?))
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let refused = |_| SigningKeyError::Library("sign");
        match &self.pair {
            Pair::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
            Pair::Ecdsa(pair) => {
                pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec()).map_err(refused)
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).map_err(refused)?;
                Ok(signature)
            }
            Pair::Elsewhere(key) => key.sign(message),
        }
    }
}

impl From<Elsewhere> for SigningKey {
    fn from(key: Elsewhere) -> Self {
        Self { scheme: key.scheme(), pair: Pair::Elsewhere(Box::new(key)) }
    }
}

/// securesystemslib's default key id: SHA-256 over the canonical key object.
pub(super) fn default_keyid(object: &Value) -> KeyId {
    KeyId::from(Sha256::of(&strict::canonical(object)).to_string().as_str())
}

pub(super) fn unix_lines() -> pem::EncodeConfig {
    pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)
}
