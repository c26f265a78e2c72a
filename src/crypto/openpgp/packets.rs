//! The packets of an OpenPGP certificate (RFC 4880, 4 and 5): armour, framing, version 4 keys and signatures.
//!
//! Only what can be read in one way is read: no partial or indeterminate lengths, no bytes that are left over.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;

use super::{Algorithm, Unusable};
use crate::crypto::{KeyError, KeyId, PublicKey, Scheme};

/// Packets of one certificate: a key that many people certified has thousands of signatures.
const MAX_PACKETS: usize = 16_384;

pub(super) const SIGNATURE: u8 = 2;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const USER_ID: u8 = 13;
pub(super) const SUBKEY: u8 = 14;
pub(super) const USER_ATTRIBUTE: u8 = 17;

pub(super) struct Packet<'a> {
    pub tag: u8,
    pub body: &'a [u8],
}

/// Reads from the front; `None` when there is not enough left.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        let bytes = self.take(bytes)?.iter().copied();
        bytes.map(usize::from).try_fold(0_usize, |number, byte| number.checked_mul(256)?.checked_add(byte))
    }

    /// A length in one, two or five bytes, as new packets and subpackets have it. `is_packet`: the values that
    /// announce a partial length are none.
    fn length(&mut self, is_packet: bool) -> Option<usize> {
        let first = usize::from(self.byte()?);
        match first {
            0..192 => Some(first),
            255 => self.number(4),
            224.. if is_packet => None,
            _ => Some((first - 192) * 256 + usize::from(self.byte()?) + 192),
        }
    }

    /// A number with its length in bits in front (RFC 4880, 3.2).
    fn mpi(&mut self) -> Option<&'a [u8]> {
        let bits = self.number(2)?;
        self.take(bits.div_ceil(8))
    }
}

/// Takes the armour off, if there is one. Its checksum guards against accidents alone and is not looked at.
pub(super) fn dearmour(bytes: &[u8]) -> Result<Vec<u8>, Unusable> {
    let armoured = std::str::from_utf8(bytes).ok().map(str::trim).filter(|text| text.starts_with("-----BEGIN PGP "));
    let Some(text) = armoured else { return Ok(bytes.to_vec()) };
    let inner = text.strip_prefix("-----BEGIN PGP PUBLIC KEY BLOCK-----");
    let inner = inner.and_then(|text| text.strip_suffix("-----END PGP PUBLIC KEY BLOCK-----"));
    let inner =
        inner.filter(|text| !text.contains("-----")).ok_or(Unusable::Packets("the armour of one public key"))?;
    // Headers of the armour, as a comment, end at an empty line.
    let mut lines = inner.lines().map(str::trim);
    let headers_end = lines.clone().skip(1).position(str::is_empty).map_or(0, |index| index + 1);
    let is_data = |line: &&str| !line.is_empty() && !line.starts_with('=');
    let data: String = lines.by_ref().skip(headers_end).filter(is_data).collect();
    STANDARD.decode(data).map_err(|_| Unusable::Packets("base64 in the armour"))
}

pub(super) fn packets(bytes: &[u8]) -> Result<Vec<Packet<'_>>, Unusable> {
    let mut rest = Reader(bytes);
    let mut packets = Vec::new();
    while !rest.0.is_empty() {
        let packet = packet(&mut rest).ok_or(Unusable::Packets("whole packets of a definite length"))?;
        packets.push(packet);
        if packets.len() > MAX_PACKETS {
            return Err(Unusable::Packets("at most 16384 packets"));
        }
    }
    Ok(packets)
}

fn packet<'a>(rest: &mut Reader<'a>) -> Option<Packet<'a>> {
    let first = rest.byte()?;
    let (tag, length) = match first {
        0xc0.. => (first & 0x3f, rest.length(true)?),
        0x80.. => ((first >> 2) & 0xf, rest.number([1, 2, 4].get(usize::from(first & 3)).copied()?)?),
        _ => return None,
    };
    Some(Packet { tag, body: rest.take(length)? })
}

/// A version 4 key as its packet has it.
pub(super) struct RawKey<'a> {
    pub body: &'a [u8],
    pub created: Timestamp,
    pub algorithm: u8,
    numbers: &'a [u8],
}

impl<'a> RawKey<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut rest = Reader(body);
        let is_version_4 = rest.byte()? == 4 && body.len() <= usize::from(u16::MAX);
        let created = Timestamp::from_second(i64::try_from(rest.number(4)?).ok()?).ok()?;
        let algorithm = rest.byte()?;
        is_version_4.then_some(Self { body, created, algorithm, numbers: rest.0 })
    }

    /// What signatures over the key cover (RFC 4880, 5.2.4), and what its fingerprint is of (12.2).
    pub(super) fn hashed(&self) -> Vec<u8> {
        let length = u16::try_from(self.body.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&[0x99], length.as_slice(), self.body].concat()
    }

    pub(super) fn fingerprint(&self) -> KeyId {
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.hashed());
        KeyId::from(hex::encode(sha1).as_str())
    }

    /// The key itself, if it is of a kind that signs and is verified here.
    pub(super) fn public(&self) -> Result<(Algorithm, PublicKey), Unusable> {
        const ED25519: &[u8] = &[0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1];
        let mut rest = Reader(self.numbers);
        match self.algorithm {
            1 | 3 => {
                let (n, e) = self.rsa_numbers().ok_or(Unusable::Key(KeyError::Malformed("rsa")))?;
                Ok((Algorithm::rsa(n), PublicKey::rsa_pkcs1v15(Scheme::RsaPkcs1v15Sha256, n, e)?))
            }
            22 => {
                let length = usize::from(rest.byte().unwrap_or_default());
                let curve = rest.take(length);
                let point = rest.mpi().filter(|_| rest.0.is_empty() && curve == Some(ED25519));
                let point = point.and_then(|point| point.strip_prefix(&[0x40])).and_then(|point| point.try_into().ok());
                let point = point.ok_or(Unusable::Key(KeyError::Malformed("ed25519")))?;
                Ok((Algorithm::EdDsa, PublicKey::ed25519(point)?))
            }
            17 => Err(Unusable::Dsa),
            other => Err(Unusable::Algorithm(other)),
        }
    }

    fn rsa_numbers(&self) -> Option<(&'a [u8], &'a [u8])> {
        let mut rest = Reader(self.numbers);
        let numbers = rest.mpi().zip(rest.mpi())?;
        rest.0.is_empty().then_some(numbers)
    }

    /// Verifies a signature by this key over what stands in `signed`, trailer and all, by SHA-2. SHA-1 does not count:
    /// collisions are made to order.
    pub(super) fn verify(&self, signed: &[u8], signature: &RawSignature<'_>) -> Option<()> {
        let (scheme, hash) = match signature.hash {
            8 => (Scheme::RsaPkcs1v15Sha256, &digest::SHA256),
            9 => (Scheme::RsaPkcs1v15Sha384, &digest::SHA384),
            10 => (Scheme::RsaPkcs1v15Sha512, &digest::SHA512),
            _ => return None,
        };
        let value = signature.value()?;
        match (self.algorithm, signature.algorithm) {
            (1 | 3, 1 | 3) => {
                let (n, e) = self.rsa_numbers()?;
                let key = PublicKey::rsa_pkcs1v15(scheme, n, e).ok()?;
                key.verify(signed, &Algorithm::rsa(n).padded(&value)).ok()
            }
            (22, 22) => self.public().ok()?.1.verify(digest::digest(hash, signed).as_ref(), &value).ok(),
            _ => None,
        }
    }
}

/// A version 4 signature as its packet has it.
#[derive(Clone)]
pub(super) struct RawSignature<'a> {
    pub kind: u8,
    pub algorithm: u8,
    pub hash: u8,
    /// From the version to the end of the hashed subpackets.
    pub headers: &'a [u8],
    pub hashed: Vec<Subpacket<'a>>,
    pub unhashed: Vec<Subpacket<'a>>,
    values: &'a [u8],
}

#[derive(Clone, Copy)]
pub(super) struct Subpacket<'a> {
    pub kind: u8,
    pub is_critical: bool,
    pub body: &'a [u8],
}

impl<'a> RawSignature<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut rest = Reader(body);
        let (version, kind, algorithm, hash) = (rest.byte()?, rest.byte()?, rest.byte()?, rest.byte()?);
        let length = rest.number(2)?;
        let hashed = subpackets(rest.take(length)?)?;
        let headers = body.get(..length.checked_add(6)?)?;
        let length = rest.number(2)?;
        let unhashed = subpackets(rest.take(length)?)?;
        // The first two bytes of the hash, for those in a hurry.
        rest.take(2)?;
        (version == 4).then_some(Self { kind, algorithm, hash, headers, hashed, unhashed, values: rest.0 })
    }

    /// The value as [`super::Signature`] has it.
    pub(super) fn value(&self) -> Option<Vec<u8>> {
        let mut rest = Reader(self.values);
        let value = match self.algorithm {
            1 | 3 => rest.mpi()?.to_vec(),
            22 => {
                let mut halves = Vec::new();
                for _ in 0..2 {
                    let half = rest.mpi()?;
                    halves.resize(halves.len() + 32_usize.checked_sub(half.len())?, 0);
                    halves.extend_from_slice(half);
                }
                halves
            }
            _ => return None,
        };
        rest.0.is_empty().then_some(value)
    }

    /// A subpacket that the signature covers.
    pub(super) fn find(&self, kind: u8) -> Option<&'a [u8]> {
        // A later one holds rather than an earlier one (RFC 4880, 5.2.4.1).
        self.hashed.iter().rev().find(|subpacket| subpacket.kind == kind).map(|subpacket| subpacket.body)
    }

    /// A number of seconds in a subpacket that the signature covers; zero is none.
    pub(super) fn seconds(&self, kind: u8) -> Option<i64> {
        let bytes: [u8; 4] = self.find(kind)?.try_into().ok()?;
        Some(i64::from(u32::from_be_bytes(bytes))).filter(|seconds| *seconds != 0)
    }
}

fn subpackets(bytes: &[u8]) -> Option<Vec<Subpacket<'_>>> {
    let mut rest = Reader(bytes);
    let mut subpackets = Vec::new();
    while !rest.0.is_empty() {
        let length = rest.length(false)?;
        let (kind, body) = rest.take(length)?.split_first()?;
        subpackets.push(Subpacket { kind: kind & 0x7f, is_critical: kind & 0x80 != 0, body });
    }
    Some(subpackets)
}
