//! Digests of bytes, and the hash maps that TUF and in-toto write down for them.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A SHA-256 digest. For a manifest or an index it is the image digest (OCI image-spec, "Digests").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Digests `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The raw 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Wraps 32 bytes that already are a digest.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Digests bytes that come in pieces.
#[derive(Debug, Clone, Default)]
pub struct Digester(sha2::Sha256);

impl Digester {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn end(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

/// 64 lower-case hex digits, without an algorithm in front.
impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

/// A string that is not a digest as this program reads it: 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a sha256 digest: 64 lower-case hex digits")]
pub struct NotSha256(pub String);

impl FromStr for Sha256 {
    type Err = NotSha256;

    fn from_str(text: &str) -> Result<Self, NotSha256> {
        let mut bytes = [0; 32];
        if !is_lower_hex(text) || hex::decode_to_slice(text, &mut bytes).is_err() {
            return Err(NotSha256(text.to_owned()));
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The hashes that signed metadata gives for one file: at least one of SHA-256 and SHA-512.
///
/// Every known hash must match; algorithms this program does not know are not looked at, and a map that holds none
/// that it knows is refused when parsed (TUF 4.5: a client must be able to check at least one).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hashes {
    sha256: Option<Sha256>,
    sha512: Option<Box<[u8; 64]>>,
}

/// Why a hash map could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashesError {
    /// Neither sha256 nor sha512 is listed.
    #[error("no hash of a known algorithm (sha256, sha512) is listed")]
    NoKnownAlgorithm,
    /// A listed value is not hex of the algorithm's length.
    #[error("{value:?} is not a {algorithm} digest")]
    Malformed {
        /// `sha256` or `sha512`.
        algorithm: &'static str,
        /// What was listed.
        value: String,
    },
}

/// Bytes whose digest differs from the listed one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{algorithm} is {actual}, {expected} is listed")]
pub struct HashMismatch {
    /// `sha256` or `sha512`.
    pub algorithm: &'static str,
    /// The digest that signed metadata lists, in hex.
    pub expected: String,
    /// The digest of the bytes, in hex.
    pub actual: String,
}

impl Hashes {
    /// The hashes of one file by its SHA-256 alone.
    pub fn sha256_only(digest: Sha256) -> Self {
        Self { sha256: Some(digest), sha512: None }
    }

    /// Reads a map of algorithm names to hex digests.
    pub fn parse(map: &BTreeMap<String, String>) -> Result<Self, HashesError> {
        let malformed = |algorithm, value: &String| HashesError::Malformed { algorithm, value: value.clone() };
        let sha256 = match map.get("sha256") {
            Some(text) => Some(text.parse().map_err(|_| malformed("sha256", text))?),
            None => None,
        };
        let sha512 = match map.get("sha512") {
            Some(text) => {
                let mut bytes = Box::new([0; 64]);
                if !is_lower_hex(text) || hex::decode_to_slice(text, bytes.as_mut_slice()).is_err() {
                    return Err(malformed("sha512", text));
                }
                Some(bytes)
            }
            None => None,
        };
        if sha256.is_none() && sha512.is_none() {
            return Err(HashesError::NoKnownAlgorithm);
        }
        Ok(Self { sha256, sha512 })
    }

    /// The listed SHA-256, if there is one.
    pub fn sha256(&self) -> Option<Sha256> {
        self.sha256
    }

    /// The listed SHA-512 in hex, if there is one.
    pub fn sha512_hex(&self) -> Option<String> {
        self.sha512.as_ref().map(|bytes| hex::encode(bytes.as_slice()))
    }

    /// Whether both can be those of one file: there is an algorithm that both list, and under each such they are equal.
    pub fn agree(&self, other: &Self) -> bool {
        let sha256 = self.sha256.zip(other.sha256).map(|(one, other)| one == other);
        let sha512 = self.sha512.as_ref().zip(other.sha512.as_ref()).map(|(one, other)| one == other);
        matches!((sha256, sha512), (Some(true), Some(true) | None) | (None, Some(true)))
    }

    /// Compares every listed hash with that of `bytes`.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), HashMismatch> {
        if let Some(expected) = self.sha256 {
            let actual = Sha256::of(bytes);
            if actual != expected {
                return Err(HashMismatch {
                    algorithm: "sha256",
                    expected: expected.to_string(),
                    actual: actual.to_string(),
                });
            }
        }
        if let Some(expected) = &self.sha512 {
            let actual: [u8; 64] = sha2::Sha512::digest(bytes).into();
            if actual != **expected {
                return Err(HashMismatch {
                    algorithm: "sha512",
                    expected: hex::encode(expected.as_slice()),
                    actual: hex::encode(actual),
                });
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&BTreeMap::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Hashes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = BTreeMap::new();
        if let Some(digest) = self.sha256 {
            map.insert("sha256", digest.to_string());
        }
        if let Some(hex) = self.sha512_hex() {
            map.insert("sha512", hex);
        }
        map.serialize(serializer)
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn upper_case_hex_is_not_a_digest() {
        let text = Sha256::of(b"abc").to_string();
        assert!(text.parse::<Sha256>().is_ok());
        assert!(text.to_uppercase().parse::<Sha256>().is_err());
        assert!(text[1..].parse::<Sha256>().is_err());
    }

    #[test]
    fn every_listed_hash_must_match() {
        let sha256 = Sha256::of(b"abc").to_string();
        let wrong = "0".repeat(128);
        let hashes = Hashes::parse(&map(&[("sha256", &sha256), ("sha512", &wrong)])).unwrap();
        assert_eq!(hashes.verify(b"abc").unwrap_err().algorithm, "sha512");
        assert_eq!(hashes.verify(b"abd").unwrap_err().algorithm, "sha256");
    }

    #[test]
    fn a_map_without_a_known_algorithm_is_refused() {
        assert_eq!(Hashes::parse(&map(&[("blake3", "00")])), Err(HashesError::NoKnownAlgorithm));
        assert_eq!(Hashes::parse(&map(&[])), Err(HashesError::NoKnownAlgorithm));
    }

    #[test]
    fn an_unknown_algorithm_beside_a_known_one_is_not_looked_at() {
        let sha256 = Sha256::of(b"abc").to_string();
        assert!(Hashes::parse(&map(&[("sha256", &sha256), ("blake3", "zz")])).unwrap().verify(b"abc").is_ok());
    }
}
