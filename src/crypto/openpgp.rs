//! OpenPGP keys and signatures in the form that in-toto writes them (securesystemslib's JSON): the numbers of a key and,
//! for a signature, its value beside the hashed part of its packet (RFC 4880, 5.2.3).
//!
//! Key files may also be OpenPGP certificates, as `gpg --export` writes them.
//!
//! Trust is in-toto's alone: a key counts because a layout lists it, not because anyone certified it.

use std::iter;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{KeyError, KeyId, Material, PublicKey, Scheme, Sha256};

mod certificate;
mod packets;

/// A key with its subkeys: one functionary, whichever of them signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    master: Key,
    subkeys: Vec<Key>,
}

/// A master key or a subkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    id: KeyId,
    algorithm: Algorithm,
    public: PublicKey,
    created: Option<Timestamp>,
    expires: Option<Timestamp>,
    /// Whether its owner made it for signing. in-toto's own form does not say.
    signs: bool,
}

/// The algorithms that are verified, each with SHA-256 and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    /// RSASSA-PKCS1-v1_5.
    Rsa {
        /// Bytes of the modulus, and so of a signature.
        length: usize,
    },
    /// Ed25519 over the hash of the message, as OpenPGP has it (RFC 4880bis).
    EdDsa,
}

impl Algorithm {
    fn rsa(modulus: &[u8]) -> Self {
        Self::Rsa { length: modulus.iter().skip_while(|byte| **byte == 0).count() }
    }

    /// The value of a signature as the libraries want it. OpenPGP writes a number without its leading zeros, and an RSA
    /// signature has as many bytes as the modulus.
    fn padded(self, value: &[u8]) -> Vec<u8> {
        let zeros = match self {
            Self::Rsa { length } => length.saturating_sub(value.len()),
            Self::EdDsa => 0,
        };
        [&vec![0; zeros], value].concat()
    }
}

/// A signature over a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The packet's body from its version to the end of the hashed subpackets; covered by the signature.
    pub headers: Vec<u8>,
    /// The value: the number of RSA with or without leading zeros, or the 64 bytes of EdDSA.
    pub value: Vec<u8>,
}

/// An OpenPGP key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// DSA: no vetted library here verifies it, and no new key should be one.
    #[error("it is an OpenPGP key of type DSA, which is not verified here")]
    Dsa,
    /// A pair of `type` and `method` that in-toto does not have.
    #[error("OpenPGP keys of type {kind:?} with method {method:?} are not supported")]
    Unsupported {
        /// `type` as written.
        kind: String,
        /// `method` as written.
        method: String,
    },
    /// A key of another algorithm, by its number (RFC 4880, 9.1).
    #[error("OpenPGP keys of algorithm {0} are not supported")]
    Algorithm(u8),
    /// A file that is not one certificate.
    #[error("it is not an OpenPGP certificate: it should have {0}")]
    Packets(&'static str),
    /// A key of another version.
    #[error("the OpenPGP key is not of version 4")]
    Version,
    /// A key that was revoked.
    #[error("the OpenPGP key is revoked")]
    Revoked,
    /// A key whose owner says nothing about it.
    #[error("the OpenPGP key has no signature of its own, by which its owner says what it is for")]
    NoSelfSignature,
    /// A key whose owner's last word cannot be trusted.
    #[error("the newest signature of the OpenPGP key on itself is not valid by SHA-256, SHA-384 or SHA-512")]
    SelfSignature,
    /// A member that is absent, of another type or out of range.
    #[error("the OpenPGP key has no usable value at {0}")]
    Member(&'static str),
    /// A subkey that is listed under another id than its own, under the master's, or with subkeys in turn.
    #[error("the OpenPGP key has a subkey {0} that does not say so itself, has the master's id or has subkeys")]
    Subkey(String),
    /// More subkeys than are read.
    #[error("the OpenPGP key has {found} subkeys, at most {limit} are allowed")]
    TooManySubkeys {
        /// How many there are.
        found: usize,
        /// The cap.
        limit: usize,
    },
    /// The numbers make no key that can verify.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A signature that does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The value does not fit key and message.
    #[error("signature invalid")]
    Invalid,
    /// The signature is of another kind than in-toto's.
    #[error("not a version 4 OpenPGP signature of a binary document by the key's algorithm with SHA-256")]
    Headers,
    /// Its owner made the key for other uses.
    #[error("the key is not for signing")]
    NotForSigning,
    /// The key has expired.
    #[error("the key expired at {0}")]
    Expired(Timestamp),
    /// The key claims to be made later than now.
    #[error("the key was made at {0}, which is in the future")]
    Future(Timestamp),
}

/// Subkeys of one key; GnuPG makes one or two.
const MAX_SUBKEYS: usize = 32;

impl Certificate {
    /// Reads in-toto's form of a key: `{type, method, hashes, keyid, keyval, creation_time, validity_period, subkeys}`.
    /// Further members are left aside.
    ///
    /// # Errors
    /// A key, or a subkey, that could not verify a signature: who may sign could not be told.
    pub fn from_object(object: &Value) -> Result<Self, Unusable> {
        let master = Key::from_object(object)?;
        let mut subkeys: Vec<Key> = Vec::new();
        let listed = match object.get("subkeys") {
            None => None,
            Some(value) => Some(value.as_object().ok_or(Unusable::Member("subkeys"))?),
        };
        let found = listed.map_or(0, serde_json::Map::len);
        if found > MAX_SUBKEYS {
            return Err(Unusable::TooManySubkeys { found, limit: MAX_SUBKEYS });
        }
        for (id, value) in listed.into_iter().flatten() {
            let subkey = Key::from_object(value)?;
            let is_nested = value.get("subkeys").is_some();
            if subkey.id.as_str() != id || is_nested || subkey.id == master.id {
                return Err(Unusable::Subkey(id.clone()));
            }
            subkeys.push(subkey);
        }
        Ok(Self { master, subkeys })
    }

    /// The master key.
    pub fn master(&self) -> &Key {
        &self.master
    }

    /// The subkeys.
    pub fn subkeys(&self) -> &[Key] {
        &self.subkeys
    }

    /// The master key, then its subkeys.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        iter::once(&self.master).chain(&self.subkeys)
    }

    /// The key of that id among them.
    pub fn key(&self, id: &KeyId) -> Option<&Key> {
        self.keys().find(|key| key.id == *id)
    }
}

impl Key {
    fn from_object(object: &Value) -> Result<Self, Unusable> {
        let text = |at: &'static str| object.pointer(at).and_then(Value::as_str).ok_or(Unusable::Member(at));
        let number = |at: &'static str| hex::decode(text(at)?).map_err(|_| Unusable::Member(at));
        let (kind, method) = (text("/type")?, text("/method")?);
        let (algorithm, public) = match (kind, method) {
            ("rsa", "pgp+rsa-pkcsv1.5") => {
                let (n, e) = (number("/keyval/public/n")?, number("/keyval/public/e")?);
                (Algorithm::rsa(&n), PublicKey::rsa_pkcs1v15(Scheme::RsaPkcs1v15Sha256, &n, &e)?)
            }
            ("eddsa", "pgp+eddsa-ed25519") => {
                let point = number("/keyval/public/q")?;
                let point = point.try_into().map_err(|_| Unusable::Member("/keyval/public/q"))?;
                (Algorithm::EdDsa, PublicKey::ed25519(&point)?)
            }
            ("dsa", "pgp+dsa-fips-180-2") => return Err(Unusable::Dsa),
            _ => return Err(Unusable::Unsupported { kind: kind.to_owned(), method: method.to_owned() }),
        };
        // The reference verifies with SHA-256 whatever stands here. A key that asks for something else is refused.
        if object.get("hashes") != Some(&serde_json::json!(["pgp+SHA2"])) {
            return Err(Unusable::Member("/hashes"));
        }
        let seconds = |name: &str, at: &'static str| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let seconds = value.as_u64().and_then(|seconds| i64::try_from(seconds).ok());
                seconds.map(Some).ok_or(Unusable::Member(at))
            }
        };
        let creation = seconds("creation_time", "/creation_time")?;
        let created = creation.map(Timestamp::from_second).transpose();
        let created = created.map_err(|_| Unusable::Member("/creation_time"))?;
        // RFC 4880, 5.2.3.6: zero is no end.
        let expires = match seconds("validity_period", "/validity_period")?.filter(|period| *period != 0) {
            None => None,
            Some(period) => {
                // The reference takes a key without a beginning for one without an end.
                let created = created.ok_or(Unusable::Member("/creation_time"))?;
                let end = created.checked_add(SignedDuration::from_secs(period));
                Some(end.map_err(|_| Unusable::Member("/validity_period"))?)
            }
        };
        Ok(Self { id: KeyId::from(text("/keyid")?), algorithm, public, created, expires, signs: true })
    }

    /// Its id: the fingerprint, taken as a name.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// What thresholds count.
    pub fn material(&self) -> Material {
        self.public.material()
    }

    /// When it expires, if it does.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Verifies a signature over `message` at the time `now`.
    ///
    /// # Errors
    /// The first reason why it does not count.
    pub fn verify(&self, message: &[u8], signature: &Signature, now: Timestamp) -> Result<(), Rejected> {
        if !self.signs {
            return Err(Rejected::NotForSigning);
        }
        // Stricter than the reference, which does not look at the beginning of a key (GHSA-jjgp-whrp-gq8m).
        if let Some(created) = self.created.filter(|created| *created > now) {
            return Err(Rejected::Future(created));
        }
        if let Some(expires) = self.expires.filter(|expires| *expires <= now) {
            return Err(Rejected::Expired(expires));
        }
        let Signature { headers, value } = signature;
        self.check_headers(headers).ok_or(Rejected::Headers)?;
        // RFC 4880, 5.2.4: the document, the hashed part, and a trailer with the length of that part.
        let length = u32::try_from(headers.len()).map_err(|_| Rejected::Headers)?;
        let mut signed = message.to_vec();
        signed.extend_from_slice(headers);
        signed.extend_from_slice(&[4, 0xff]);
        signed.extend_from_slice(&length.to_be_bytes());
        match self.algorithm {
            Algorithm::Rsa { .. } => self.public.verify(&signed, &self.algorithm.padded(value)),
            Algorithm::EdDsa => self.public.verify(Sha256::of(&signed).as_bytes(), value),
        }
        .map_err(|_| Rejected::Invalid)
    }

    /// Version 4, a binary document, the key's algorithm, SHA-256, and as many hashed subpackets as are there. The
    /// reference looks at none of these when it verifies; so a signature over something else than a document, as over
    /// a key, could be passed off as one.
    fn check_headers(&self, headers: &[u8]) -> Option<()> {
        let [4, 0, algorithm, 8, high, low, subpackets @ ..] = headers else { return None };
        let fits = match self.algorithm {
            // RSA for signing and encryption, or for signing only.
            Algorithm::Rsa { .. } => matches!(algorithm, 1 | 3),
            Algorithm::EdDsa => *algorithm == 22,
        };
        (fits && usize::from(u16::from_be_bytes([*high, *low])) == subpackets.len()).then_some(())
    }
}

#[cfg(test)]
mod tests;
