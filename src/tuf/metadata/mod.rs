//! What the files of a TUF repository say (TUF 4), parsed and **not** verified.
//!
//! A file is read once: strict JSON, then this model and the canonical bytes of the same value. Signatures are
//! verified over those bytes, so members that this program does not know stay signed. Where the bytes that came are
//! canonical already, they are verified, and their targets looked up, as they stand.

mod body;
mod by_name;
mod delegation;
mod in_place;
pub(super) mod read;

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use serde_json::{Map, Value};

pub use body::{MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp};
pub use delegation::DelegatedRole;
pub(super) use delegation::HashedPath;

use super::{Error, name::Role, stored::FileBytes};
use crate::crypto::{KeyId, Sha256, json};
use in_place::{InPlace, Large};
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

    /// Its members that are large in large repositories, and may be read in place.
    const LARGE: &'static [&'static str] = &[];

    /// Reads what follows the header. What is in `large` is not among the members.
    fn read(header: Header, members: &mut Members, large: Large) -> Result<Self, Misshapen>;

    /// The header it was read with.
    fn header(&self) -> Header;
}

/// A parsed file (TUF 4.2.1); nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed<T> {
    pub(super) body: T,
    /// The canonical form of `signed`: what signatures cover.
    pub(super) canonical: Canonical,
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

/// Canonical bytes, in the file they came in or of their own.
#[derive(Debug, Clone)]
pub(super) struct Canonical {
    file: FileBytes,
    range: Range<usize>,
}

impl Canonical {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.file.get(self.range.clone()).unwrap_or_default()
    }
}

impl PartialEq for Canonical {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Canonical {}

impl<T: Body> Signed<T> {
    /// Reads one file that is to be `role`.
    pub(super) fn parse(role: &Role, file: &FileBytes) -> Result<Self, Error> {
        match InPlace::read(file, T::LARGE) {
            Some(InPlace { signatures, signed, members, large }) => {
                let canonical = Canonical { file: file.clone(), range: signed };
                Self::build(role, file, signatures, canonical, Ok(members), large)
            }
            None => Self::parse_anew(role, file),
        }
    }

    /// The same for a file of any form, by writing its canonical form.
    fn parse_anew(role: &Role, bytes: &FileBytes) -> Result<Self, Error> {
        let malformed = |error: Misshapen| Error::Malformed { role: role.clone(), at: error.at, why: error.why };
        let document = json::parse(bytes).map_err(|error| malformed(Misshapen::new(error.to_string())))?;
        let mut file = Members::of(document).map_err(malformed)?;
        let signatures = file.required("signatures", Ok).map_err(malformed)?;
        let signed = file.required("signed", Ok);
        let canonical = json::canonical(signed.as_ref().unwrap_or(&Value::Null));
        let canonical = Canonical { range: 0..canonical.len(), file: Arc::new(canonical) };
        let members = signed.and_then(|signed| read::object(signed).map_err(|error| error.within("signed")));
        Self::build(role, bytes, signatures, canonical, members, Large::default())
    }

    fn build(
        role: &Role,
        bytes: &[u8],
        signatures: Value,
        canonical: Canonical,
        signed: Result<Map<String, Value>, Misshapen>,
        large: Large,
    ) -> Result<Self, Error> {
        let malformed = |error: Misshapen| Error::Malformed { role: role.clone(), at: error.at, why: error.why };
        let signatures = read::list(signature)(signatures).map_err(|error| malformed(error.within("signatures")))?;
        // TUF 4.2.1: the key id must be unique in `signatures`.
        let mut keyids = BTreeSet::new();
        if let Some(Signature { keyid, .. }) = signatures.iter().find(|signature| !keyids.insert(&signature.keyid)) {
            return Err(Error::RepeatedSignature { role: role.clone(), keyid: keyid.clone() });
        }
        let body = read_signed(role, signed.map_err(malformed)?, large).map_err(|refusal| match refusal {
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

fn read_signed<T: Body>(role: &Role, signed: Map<String, Value>, large: Large) -> Result<T, Refusal> {
    let mut members = Members::from(signed);
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
    Ok(T::read(header, &mut members, large)?)
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
