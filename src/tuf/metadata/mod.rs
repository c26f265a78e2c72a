//! What the files of a TUF repository say (TUF 4), parsed and **not** verified.
//!
//! A file is read once: strict JSON, then this model and the canonical bytes of the same value. Signatures are
//! verified over those bytes, so members that this program does not know stay signed.

mod body;
mod delegation;
pub(super) mod read;

use std::collections::BTreeSet;

use serde_json::Value;

pub use body::{MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp};
pub use delegation::DelegatedRole;
pub(super) use delegation::HashedPath;

use super::{Error, name::Role};
use crate::crypto::{KeyId, Sha256, json};
use read::{Members, Misshapen};

/// The three members that every `signed` part has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Increases with every change (TUF 4.3, VERSION).
    pub version: u64,
    /// From this instant on the file is not to be used.
    pub expires: jiff::Timestamp,
}

/// A kind of `signed` part.
pub(super) trait Body: Sized {
    /// Its `_type`.
    const TYPE: &'static str;

    /// Reads what follows the header.
    fn read(header: Header, members: &mut Members) -> Result<Self, Misshapen>;

    /// The header it was read with.
    fn header(&self) -> Header;
}

/// A parsed file (TUF 4.2.1); nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed<T> {
    pub(super) body: T,
    /// The canonical form of `signed`: what signatures cover.
    pub(super) canonical: Vec<u8>,
    pub(super) signatures: Vec<Signature>,
    pub(super) sha256: Sha256,
    pub(super) length: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) keyid: KeyId,
    /// As written: hex, or whatever stands there.
    pub(super) sig: String,
}

impl<T: Body> Signed<T> {
    /// Reads one file that is to be `role`.
    pub(super) fn parse(role: &Role, bytes: &[u8]) -> Result<Self, Error> {
        let malformed = |error: Misshapen| Error::Malformed { role: role.clone(), at: error.at, why: error.why };
        let document = json::parse(bytes).map_err(|error| malformed(Misshapen::new(error.to_string())))?;
        let mut file = Members::of(document).map_err(malformed)?;
        let signatures = file.required("signatures", read::list(signature)).map_err(malformed)?;
        // TUF 4.2.1: the key id must be unique in `signatures`.
        let mut keyids = BTreeSet::new();
        if let Some(Signature { keyid, .. }) = signatures.iter().find(|signature| !keyids.insert(&signature.keyid)) {
            return Err(Error::RepeatedSignature { role: role.clone(), keyid: keyid.clone() });
        }
        let signed = file.required("signed", Ok).map_err(malformed)?;
        let canonical = json::canonical(&signed);
        let body = read_signed(role, signed).map_err(|refusal| match refusal {
            Refusal::Shape(error) => malformed(error.within("signed")),
            Refusal::Other(error) => error,
        })?;
        Ok(Self { body, canonical, signatures, sha256: Sha256::of(bytes), length: bytes.len() as u64 })
    }
}

enum Refusal {
    Shape(Misshapen),
    Other(Error),
}

impl From<Misshapen> for Refusal {
    fn from(error: Misshapen) -> Self {
        Self::Shape(error)
    }
}

fn read_signed<T: Body>(role: &Role, signed: Value) -> Result<T, Refusal> {
    let mut members = Members::of(signed)?;
    let found = members.required("_type", read::text)?;
    if found != T::TYPE {
        return Err(Refusal::Other(Error::WrongType {
            role: role.clone(),
            expected: T::TYPE,
            found: read::clipped(found),
        }));
    }
    let spec_version = members.required("spec_version", read::text)?;
    if !is_supported(&spec_version) {
        return Err(Refusal::Other(Error::SpecVersion { role: role.clone(), found: read::clipped(spec_version) }));
    }
    let header =
        Header { version: members.required("version", version)?, expires: members.required("expires", instant)? };
    Ok(T::read(header, &mut members)?)
}

/// TUF 4.3, SPEC_VERSION: a client refuses another major version. `1.0` is what the oldest tools wrote.
fn is_supported(spec_version: &str) -> bool {
    let parts: Vec<&str> = spec_version.split('.').collect();
    (2..=3).contains(&parts.len())
        && parts.first() == Some(&"1")
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// TUF 4.3: versions are integers greater than zero.
fn version(value: Value) -> Result<u64, Misshapen> {
    value.as_u64().filter(|&version| version > 0).ok_or_else(|| Misshapen::new("not an integer of 1 to 2^64-1"))
}

/// TUF 4.2.3: exactly `YYYY-MM-DDTHH:MM:SSZ`.
fn instant(value: Value) -> Result<jiff::Timestamp, Misshapen> {
    let text = read::text(value)?;
    let wrong = || Misshapen::new(format!("{text:?} is not an instant written YYYY-MM-DDTHH:MM:SSZ"));
    let is_shaped = text.len() == 20
        && text.bytes().zip("dddd-dd-ddTdd:dd:ddZ".bytes()).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            _ => byte == wanted,
        });
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse().ok());
    if !is_shaped {
        return Err(wrong());
    }
    let field = |from| number(from, from + 2).and_then(|number: i16| i8::try_from(number).ok()).ok_or_else(wrong);
    let year: i16 = number(0, 4).ok_or_else(wrong)?;
    let civil = jiff::civil::DateTime::new(year, field(5)?, field(8)?, field(11)?, field(14)?, field(17)?, 0)
        .map_err(|_| wrong())?;
    // The last day of the year 9999, with which some repositories say "never", lies beyond the library's last instant.
    Ok(jiff::tz::Offset::UTC.to_timestamp(civil).unwrap_or(jiff::Timestamp::MAX))
}

fn signature(value: Value) -> Result<Signature, Misshapen> {
    let mut members = Members::of(value)?;
    Ok(Signature {
        keyid: KeyId::from(members.required("keyid", read::text)?.as_str()),
        sig: members.required("sig", read::text)?,
    })
}

#[cfg(test)]
mod tests;
