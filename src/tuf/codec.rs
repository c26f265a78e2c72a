//! How is a [`Remembered`] laid out in objects of limited size?
//!
//! ```text
//! head   {"format": 1, "epoch": 1, "firstRoot": "<sha256>", "parts": [{"object": 2, "sha256": "<sha256>"}]}
//! parts  one text of zlib, cut where an object is full: roots, timestamp, snapshot, each behind its length
//! ```
//!
//! Parts are written first and the head last. The head names them by their content, and what the head that is there names
//! is never overwritten: whoever is interrupted leaves the old state behind, whole.

use std::{collections::BTreeSet, num::NonZeroU64};

use miniz_oxide::{deflate::compress_to_vec_zlib, inflate::decompress_to_vec_zlib_with_limit};
use serde::{Deserialize, Serialize};

use super::remembered::Remembered;
use crate::crypto::Sha256;

/// Objects for parts, besides the head.
pub const PARTS: usize = 4;
/// Parts that one state may have: as many again are free for the next one.
const PARTS_OF_ONE: usize = PARTS / 2;
/// Bytes of one part. The API server stores no ConfigMap of more than 1 MiB.
pub const MAX_PART: usize = 1_000_000;
/// Bytes of a state before it is compressed: the largest snapshot and roots of many years.
const MAX_PLAIN: usize = 32 << 20;
/// Roots of one state.
const MAX_ROOTS: usize = 1024;
/// Bytes of a head.
const MAX_HEAD: usize = 16 << 10;
const FORMAT: u64 = 1;
/// Of zlib, where 6 is usual.
const LEVEL: u8 = 6;

/// Why objects cannot be read as a memory, or a memory not be written into them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The head is not one that this program writes.
    #[error("the head cannot be read: {0}")]
    Head(String),
    /// A part is not the one that the head names.
    #[error("part {object} is not the one that the head names")]
    NotThePart {
        /// Its number, from 0.
        object: usize,
    },
    /// The parts together are not what this program writes.
    #[error("the parts cannot be read: {0}")]
    Parts(&'static str),
    /// It has grown larger than the objects hold.
    #[error("it has {bytes} bytes, of which the objects hold {limit}: a root or a snapshot has grown too large")]
    TooLarge {
        /// Its size, compressed unless it was too large before that.
        bytes: usize,
        /// The most.
        limit: usize,
    },
}

/// What the head says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    format: u64,
    epoch: NonZeroU64,
    first_root: String,
    parts: Vec<Named>,
}

/// A part as the head names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Which of the objects, from 0.
    pub object: usize,
    sha256: String,
}

/// A state as it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The text of the head, to be written last.
    pub head: String,
    /// The parts, each with the number of its object.
    pub parts: Vec<(usize, Vec<u8>)>,
}

impl Head {
    /// Reads a head.
    pub fn parse(text: &str) -> Result<Self, CodecError> {
        let wrong = |why: &str| Err(CodecError::Head(why.to_owned()));
        if text.len() > MAX_HEAD {
            return wrong("it is too long");
        }
        let head: Self = serde_json::from_str(text).map_err(|error| CodecError::Head(error.to_string()))?;
        if head.format != FORMAT {
            return Err(CodecError::Head(format!("it is of format {}, and {FORMAT} is known here", head.format)));
        }
        let objects: BTreeSet<usize> = head.parts.iter().map(|named| named.object).collect();
        if head.parts.is_empty() || objects.len() != head.parts.len() || objects.last() >= Some(&PARTS) {
            return wrong("it names no parts, or some that there are not");
        }
        Ok(head)
    }

    /// The parts, in their order.
    pub fn parts(&self) -> &[Named] {
        &self.parts
    }

    /// Puts parts together, which are given in the order of [`Self::parts`].
    pub fn decode(&self, parts: &[Vec<u8>]) -> Result<Remembered, CodecError> {
        let mut packed = Vec::new();
        for (named, bytes) in self.parts.iter().zip(parts) {
            if Sha256::of(bytes).to_string() != named.sha256 {
                return Err(CodecError::NotThePart { object: named.object });
            }
            packed.extend_from_slice(bytes);
        }
        let plain = decompress_to_vec_zlib_with_limit(&packed, MAX_PLAIN);
        let plain = plain.map_err(|_| CodecError::Parts("they are not compressed, or to too much"))?;
        let mut reader = Reader(&plain);
        let count = reader.number()?;
        if count == 0 || count > MAX_ROOTS {
            return Err(CodecError::Parts("they have no roots, or too many"));
        }
        let roots = (0..count).map(|_| reader.file()).collect::<Result<Vec<_>, _>>()?;
        let some = |bytes: Vec<u8>| (!bytes.is_empty()).then_some(bytes);
        let (timestamp, snapshot) = (some(reader.file()?), some(reader.file()?));
        if !reader.0.is_empty() {
            return Err(CodecError::Parts("something follows"));
        }
        let remembered = Remembered { epoch: self.epoch, roots, timestamp, snapshot };
        if remembered.first_root().to_string() != self.first_root {
            return Err(CodecError::Head("it names another first root than there is".to_owned()));
        }
        Ok(remembered)
    }
}

impl Remembered {
    /// Lays it out in objects that `there`, the head that is there now, does not name.
    pub fn encode(&self, there: Option<&Head>) -> Result<Encoded, CodecError> {
        let mut plain = Vec::new();
        let too_large = |bytes, limit| CodecError::TooLarge { bytes, limit };
        if self.roots.len() > MAX_ROOTS {
            return Err(too_large(self.roots.len(), MAX_ROOTS));
        }
        let number = |plain: &mut Vec<u8>, number: usize| {
            let number = u32::try_from(number).map_err(|_| too_large(number, MAX_PLAIN))?;
            plain.extend_from_slice(&number.to_be_bytes());
            Ok(())
        };
        number(&mut plain, self.roots.len())?;
        let files = self.roots.iter().map(Some).chain([self.timestamp.as_ref(), self.snapshot.as_ref()]);
        for bytes in files.map(|file| file.map(Vec::as_slice).unwrap_or_default()) {
            number(&mut plain, bytes.len())?;
            plain.extend_from_slice(bytes);
        }
        if plain.len() > MAX_PLAIN {
            return Err(too_large(plain.len(), MAX_PLAIN));
        }
        let packed = compress_to_vec_zlib(&plain, LEVEL);
        let limit = PARTS_OF_ONE * MAX_PART;
        if packed.len() > limit {
            return Err(too_large(packed.len(), limit));
        }
        let taken: BTreeSet<usize> =
            there.iter().flat_map(|head| head.parts.iter().map(|named| named.object)).collect();
        let free = (0..PARTS).filter(|object| !taken.contains(object));
        let parts: Vec<(usize, Vec<u8>)> = free.zip(packed.chunks(MAX_PART).map(<[u8]>::to_vec)).collect();
        let named =
            |(object, bytes): &(usize, Vec<u8>)| Named { object: *object, sha256: Sha256::of(bytes).to_string() };
        let head = Head {
            format: FORMAT,
            epoch: self.epoch,
            first_root: self.first_root().to_string(),
            parts: parts.iter().map(named).collect(),
        };
        let head = serde_json::to_string(&head).map_err(|error| CodecError::Head(error.to_string()))?;
        Ok(Encoded { head, parts })
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Result<usize, CodecError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(CodecError::Parts("they end too early"))?;
        self.0 = rest;
        usize::try_from(u32::from_be_bytes(*number)).map_err(|_| CodecError::Parts("a length is too large"))
    }

    fn file(&mut self) -> Result<Vec<u8>, CodecError> {
        let length = self.number()?;
        let (file, rest) = self.0.split_at_checked(length).ok_or(CodecError::Parts("they end too early"))?;
        self.0 = rest;
        Ok(file.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(snapshot: Option<Vec<u8>>) -> Remembered {
        Remembered {
            epoch: NonZeroU64::new(3).unwrap(),
            roots: vec![b"one".to_vec(), b"two".to_vec()],
            timestamp: Some(b"timestamp".to_vec()),
            snapshot,
        }
    }

    /// Bytes that nothing compresses.
    fn noise(length: usize) -> Vec<u8> {
        (0_u64..).flat_map(|number| *Sha256::of(&number.to_be_bytes()).as_bytes()).take(length).collect()
    }

    fn decode(encoded: &Encoded) -> Result<Remembered, CodecError> {
        let parts: Vec<Vec<u8>> = encoded.parts.iter().map(|(_, bytes)| bytes.clone()).collect();
        Head::parse(&encoded.head)?.decode(&parts)
    }

    #[test]
    fn what_is_written_is_read_back() {
        for snapshot in [None, Some(b"snapshot".to_vec()), Some(noise(MAX_PART + 1))] {
            let remembered = remembered(snapshot);
            assert_eq!(decode(&remembered.encode(None).unwrap()), Ok(remembered));
        }
    }

    #[test]
    fn what_the_head_names_is_never_overwritten() {
        let mut there: Option<Head> = None;
        for size in [10, MAX_PART + 1, MAX_PART + 2, 11, 12, MAX_PART + 3] {
            let encoded = remembered(Some(noise(size))).encode(there.as_ref()).unwrap();
            let taken: Vec<usize> = there.iter().flat_map(Head::parts).map(|named| named.object).collect();
            assert!(encoded.parts.iter().all(|(object, bytes)| !taken.contains(object) && bytes.len() <= MAX_PART));
            there = Some(Head::parse(&encoded.head).unwrap());
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_with_both_sizes() {
        let limit = PARTS_OF_ONE * MAX_PART;
        let error = remembered(Some(noise(limit))).encode(None).unwrap_err();
        assert!(
            matches!(error, CodecError::TooLarge { bytes, limit: most } if bytes > limit && most == limit),
            "{error}"
        );
        let error = remembered(Some(vec![0; MAX_PLAIN])).encode(None).unwrap_err();
        assert!(matches!(error, CodecError::TooLarge { limit: MAX_PLAIN, .. }), "{error}");
    }

    #[test]
    fn a_part_of_another_state_is_told_apart() {
        let encoded = remembered(Some(noise(MAX_PART + 1))).encode(None).unwrap();
        for torn in 0..2 {
            let mut encoded = encoded.clone();
            encoded.parts[torn].1 = b"of the next state".to_vec();
            assert_eq!(decode(&encoded), Err(CodecError::NotThePart { object: torn }));
        }
    }

    #[test]
    fn a_bomb_and_a_length_that_lies_are_refused() {
        let packed = |plain: &[u8]| {
            let bytes = compress_to_vec_zlib(plain, 6);
            let sha256 = Sha256::of(&bytes);
            let head =
                format!(r#"{{"format":1,"epoch":1,"firstRoot":"x","parts":[{{"object":0,"sha256":"{sha256}"}}]}}"#);
            Head::parse(&head).unwrap().decode(&[bytes]).unwrap_err().to_string()
        };
        assert!(packed(&vec![0; MAX_PLAIN + 1]).contains("to too much"));
        assert!(packed(&[0, 0, 0, 1, 255, 255, 255, 255]).contains("end too early"));
        assert!(packed(&[0, 0, 4, 1]).contains("no roots, or too many"));
        assert!(packed(&[0, 0, 0, 0]).contains("no roots, or too many"));
        assert!(packed(&[0, 0, 0, 1, 0, 0, 0, 1, b'r', 0, 0, 0, 0, 0, 0, 0, 0, 9]).contains("something follows"));
        assert!(packed(&[0, 0, 0, 1, 0, 0, 0, 1, b'r', 0, 0, 0, 0, 0, 0, 0, 0]).contains("another first root"));
    }

    #[test]
    fn a_head_of_another_shape_is_refused() {
        let head = |parts: &str| format!(r#"{{"format":1,"epoch":1,"firstRoot":"x","parts":[{parts}]}}"#);
        let part = |object| format!(r#"{{"object":{object},"sha256":"x"}}"#);
        assert!(Head::parse(&head(&part(3))).is_ok());
        let twice = [part(0), part(0)].join(",");
        let long = head(&" ".repeat(MAX_HEAD));
        for text in [&head(""), &head(&part(4)), &head(&twice), &long, &"{}".to_owned()] {
            assert!(matches!(Head::parse(text), Err(CodecError::Head(_))), "{text:.100}");
        }
        let newer = head(&part(0)).replace("\"format\":1", "\"format\":2");
        assert_eq!(
            Head::parse(&newer).unwrap_err().to_string(),
            "the head cannot be read: it is of format 2, and 1 is known here"
        );
        let zero = head(&part(0)).replace("\"epoch\":1", "\"epoch\":0");
        assert!(Head::parse(&zero).is_err());
    }
}
