//! Public keys as TUF and in-toto metadata write them, and the one function that verifies a signature.

use std::{fmt, sync::Arc};

use aws_lc_rs::signature::{self as lc, ParsedPublicKey};
use serde::{Deserialize, Serialize};

use super::Sha256;

/// The name of a key in metadata: an opaque string (TAP 12). It is never recomputed from the key and never counted:
/// thresholds count [`Material`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// The whole key id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight characters, as in-toto's link names and messages to people use them.
    pub fn short(&self) -> &str {
        self.0.char_indices().nth(8).and_then(|(end, _)| self.0.get(..end)).unwrap_or(&self.0)
    }
}

impl From<&str> for KeyId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The mathematical identity of a public key, whatever it is called and however it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Material(Sha256);

impl Material {
    fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut bytes = domain.as_bytes().to_vec();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self(Sha256::of(&bytes))
    }

    #[cfg(test)]
    pub(crate) fn for_tests(seed: u8) -> Self {
        Self::of("test", &[&[seed]])
    }
}

/// How a key signs: the `scheme` of securesystemslib key objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub enum Scheme {
    Ed25519,
    EcdsaP256Sha256,
    EcdsaP384Sha384,
    EcdsaP521Sha512,
    RsaPssSha256,
    RsaPssSha384,
    RsaPssSha512,
    RsaPkcs1v15Sha256,
    RsaPkcs1v15Sha384,
    RsaPkcs1v15Sha512,
}

impl Scheme {
    const ALL: [Self; 10] = [
        Self::Ed25519,
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::EcdsaP521Sha512,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
        Self::RsaPkcs1v15Sha256,
        Self::RsaPkcs1v15Sha384,
        Self::RsaPkcs1v15Sha512,
    ];

    /// The name in key objects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384Sha384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521Sha512 => "ecdsa-sha2-nistp521",
            Self::RsaPssSha256 => "rsassa-pss-sha256",
            Self::RsaPssSha384 => "rsassa-pss-sha384",
            Self::RsaPssSha512 => "rsassa-pss-sha512",
            Self::RsaPkcs1v15Sha256 => "rsa-pkcs1v15-sha256",
            Self::RsaPkcs1v15Sha384 => "rsa-pkcs1v15-sha384",
            Self::RsaPkcs1v15Sha512 => "rsa-pkcs1v15-sha512",
        }
    }

    /// The `keytype` of key objects with this scheme.
    pub fn keytype(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 | Self::EcdsaP384Sha384 | Self::EcdsaP521Sha512 => "ecdsa",
            _ => "rsa",
        }
    }

    /// Reads a pair of `keytype` and `scheme`. The old key types that name a curve (`ecdsa-sha2-nistp256`, as
    /// sigstore's roots and early in-toto layouts have them) mean `ecdsa`.
    fn parse(keytype: &str, scheme: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|candidate| candidate.as_str() == scheme)?;
        let family_fits = keytype == found.keytype()
            || (found.keytype() == "ecdsa" && Self::ALL[1..4].iter().any(|s| s.as_str() == keytype));
        family_fits.then_some(found)
    }

    fn verifier(self) -> &'static dyn lc::VerificationAlgorithm {
        match self {
            Self::Ed25519 => &lc::ED25519,
            Self::EcdsaP256Sha256 => &lc::ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384Sha384 => &lc::ECDSA_P384_SHA384_ASN1,
            Self::EcdsaP521Sha512 => &lc::ECDSA_P521_SHA512_ASN1,
            Self::RsaPssSha256 => &lc::RSA_PSS_2048_8192_SHA256,
            Self::RsaPssSha384 => &lc::RSA_PSS_2048_8192_SHA384,
            Self::RsaPssSha512 => &lc::RSA_PSS_2048_8192_SHA512,
            Self::RsaPkcs1v15Sha256 => &lc::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaPkcs1v15Sha384 => &lc::RSA_PKCS1_2048_8192_SHA384,
            Self::RsaPkcs1v15Sha512 => &lc::RSA_PKCS1_2048_8192_SHA512,
        }
    }
}

/// A public key that can verify signatures of one [`Scheme`].
#[derive(Debug, Clone)]
pub struct PublicKey {
    scheme: Scheme,
    material: Material,
    inner: Inner,
}

#[derive(Debug, Clone)]
enum Inner {
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    Other(Arc<ParsedPublicKey>),
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.material == other.material
    }
}

impl Eq for PublicKey {}

/// A key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The pair of type and scheme is not one that this program verifies.
    #[error("key type {keytype:?} with scheme {scheme:?} is not supported")]
    Unsupported {
        /// `keytype` as written.
        keytype: String,
        /// `scheme` as written.
        scheme: String,
    },
    /// The public value does not hold a key of that type.
    #[error("the public value is not a usable {0} key")]
    Malformed(&'static str),
    /// A PEM file without a public key.
    #[error("not a PEM file with one PUBLIC KEY block")]
    NotPem,
    /// An ed25519 key of small order: with it, one signature fits many messages.
    #[error("the ed25519 key is weak (small order)")]
    Weak,
}

/// A signature that does not fit key and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature invalid")]
pub struct SignatureError;

impl PublicKey {
    /// Reads the members of a securesystemslib key object. `public` is 64 hex digits for ed25519 and a PEM SPKI else.
    pub fn from_parts(keytype: &str, scheme: &str, public: &str) -> Result<Self, KeyError> {
        let parsed = Scheme::parse(keytype, scheme)
            .ok_or_else(|| KeyError::Unsupported { keytype: keytype.to_owned(), scheme: scheme.to_owned() })?;
        if parsed == Scheme::Ed25519 {
            let mut bytes = [0; 32];
            if hex::decode_to_slice(public, &mut bytes).is_ok() {
                return Self::ed25519(&bytes);
            }
        }
        Self::from_spki(&pem_block(public)?, Some(parsed))
    }

    /// Reads a PEM SPKI file, as key files in a repository are. The scheme is the default of the key's type:
    /// ed25519, ECDSA with the curve's own hash, RSASSA-PSS with SHA-256.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_spki(&pem_block(text)?, None)
    }

    pub(super) fn ed25519(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Malformed("ed25519"))?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        let material = Material::of("ed25519", &[bytes]);
        Ok(Self { scheme: Scheme::Ed25519, material, inner: Inner::Ed25519(Box::new(key)) })
    }

    /// An RSA key of modulus and exponent, as OpenPGP writes them: big-endian, with or without leading zeros.
    pub(super) fn rsa_pkcs1v15(scheme: Scheme, modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let trim = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        let numbers = lc::RsaPublicKeyComponents { n: trim(modulus), e: trim(exponent) };
        let der = aws_lc_rs::encoding::AsDer::as_der(&numbers).map_err(|_| KeyError::Malformed("rsa"))?;
        Self::from_spki(der.as_ref(), Some(scheme))
    }

    pub(super) fn from_spki(der: &[u8], wanted: Option<Scheme>) -> Result<Self, KeyError> {
        // ed25519 and the named curves have one DER encoding each with an uncompressed point (RFC 8410, RFC 5480);
        // only that one is read, so that a key cannot be written in two ways.
        if let Some(bytes) = der.strip_prefix(SPKI_ED25519) {
            let bytes = bytes.try_into().map_err(|_| KeyError::Malformed("ed25519"))?;
            return match wanted {
                None | Some(Scheme::Ed25519) => Self::ed25519(bytes),
                Some(other) => Err(KeyError::Malformed(other.keytype())),
            };
        }
        for (prefix, length, curve) in SPKI_CURVES {
            if let Some(point) =
                der.strip_prefix(prefix).filter(|point| point.len() == length && point.first() == Some(&4))
            {
                let scheme = wanted.unwrap_or(curve);
                if scheme != curve {
                    return Err(KeyError::Malformed(scheme.as_str()));
                }
                let key = ParsedPublicKey::new(scheme.verifier(), der).map_err(|_| KeyError::Malformed("ecdsa"))?;
                let material = Material::of(scheme.as_str(), &[point]);
                return Ok(Self { scheme, material, inner: Inner::Other(Arc::new(key)) });
            }
        }
        let scheme = wanted.unwrap_or(Scheme::RsaPssSha256);
        if scheme.keytype() != "rsa" {
            return Err(KeyError::Malformed(scheme.keytype()));
        }
        let numbers = aws_lc_rs::rsa::PublicKey::from_der(der).map_err(|_| KeyError::Malformed("rsa"))?;
        // Re-encoded by the library, so that two encodings of one key are one material.
        let material = Material::of("rsa", &[numbers.as_ref()]);
        let key = ParsedPublicKey::new(scheme.verifier(), der).map_err(|_| KeyError::Malformed("rsa"))?;
        Ok(Self { scheme, material, inner: Inner::Other(Arc::new(key)) })
    }

    /// How this key signs.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What thresholds count.
    pub fn material(&self) -> Material {
        self.material
    }

    /// Verifies `signature` over `message`. ed25519 strictly (no small order, no malleable S); RSA of 2,048 bits and
    /// more, PSS with a salt of the digest's length; ECDSA in ASN.1 DER.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        match &self.inner {
            Inner::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| SignatureError)?;
                key.verify_strict(message, &signature).map_err(|_| SignatureError)
            }
            Inner::Other(key) => key.verify_sig(message, signature).map_err(|_| SignatureError),
        }
    }
}

const SPKI_ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

type Curve = (&'static [u8], usize, Scheme);

const SPKI_CURVES: [Curve; 3] = [
    (
        &[
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ],
        65,
        Scheme::EcdsaP256Sha256,
    ),
    (
        &[
            0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
            0x00, 0x22, 0x03, 0x62, 0x00,
        ],
        97,
        Scheme::EcdsaP384Sha384,
    ),
    (
        &[
            0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
            0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
        ],
        133,
        Scheme::EcdsaP521Sha512,
    ),
];

fn pem_block(text: &str) -> Result<Vec<u8>, KeyError> {
    let block = pem::parse(text).map_err(|_| KeyError::NotPem)?;
    if block.tag() != "PUBLIC KEY" {
        return Err(KeyError::NotPem);
    }
    Ok(block.into_contents())
}

#[cfg(test)]
mod tests;
