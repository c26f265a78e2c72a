//! The single checks of the client workflow, each used wherever the specification asks for it.

use jiff::Timestamp;

use super::{
    Error, FetchRequest,
    error::What,
    fetch::FetchBase,
    limits::Settings,
    metadata::{Header, MetaFile, Root, Signed, Targets},
    name::Role,
    stored::FileBytes,
    verify::{Authority, Verified},
};

/// 5.3.10, 5.4.4, 5.5.6, 5.6.5: a file is not to be used at its date or later.
pub(super) fn unexpired(role: &Role, header: Header, now: Timestamp) -> Result<(), Error> {
    let Header { version, expires } = header;
    if expires <= now {
        return Err(Error::Expired { role: role.clone(), version, expires, now });
    }
    Ok(())
}

/// What a timestamp and a snapshot are held to besides: the floor, and a date that is not too far off.
pub(super) fn fresh(role: &Role, header: Header, now: Timestamp, settings: &Settings) -> Result<(), Error> {
    at_least_minimum(role, header, settings)?;
    unexpired(role, header, now)?;
    let Header { version, expires } = header;
    match settings.max_validity.map(|span| now.checked_add(span).unwrap_or(Timestamp::MAX)) {
        Some(latest) if expires > latest => Err(Error::ValidTooLong { role: role.clone(), version, expires, latest }),
        _ => Ok(()),
    }
}

pub(super) fn at_least_minimum(role: &Role, header: Header, settings: &Settings) -> Result<(), Error> {
    let minimum = settings.minimum.of(role);
    if header.version < minimum {
        return Err(Error::BelowMinimum { role: role.clone(), version: header.version, minimum });
    }
    Ok(())
}

pub(super) fn not_older(role: &Role, stored: u64, offered: u64) -> Result<(), Error> {
    if offered < stored {
        return Err(Error::Rollback { role: role.clone(), stored, offered });
    }
    Ok(())
}

pub(super) fn exactly(role: &Role, expected: u64, actual: u64) -> Result<(), Error> {
    if expected != actual {
        return Err(Error::VersionMismatch { role: role.clone(), expected, actual });
    }
    Ok(())
}

impl MetaFile {
    /// 5.5.2, 5.6.2: length and every known hash, where they are listed.
    pub(super) fn check(&self, role: &Role, bytes: &[u8]) -> Result<(), Error> {
        let what = || What::Role(role.clone());
        let actual = bytes.len() as u64;
        if let Some(expected) = self.length.filter(|&expected| expected != actual) {
            return Err(Error::LengthMismatch { what: what(), expected, actual });
        }
        let Some(hashes) = &self.hashes else { return Ok(()) };
        hashes.verify(bytes).map_err(|mismatch| Error::HashMismatch { what: what(), mismatch })
    }

    /// Whether a file whose bytes are no longer at hand is certainly the listed one.
    pub(super) fn is_known_to_be<T>(&self, file: &Verified<T>, version: u64) -> bool {
        self.version == version
            && self.length.is_none_or(|length| length == file.length())
            && self
                .hashes
                .as_ref()
                .is_none_or(|hashes| hashes.sha256() == Some(file.sha256()) && hashes.sha512_hex().is_none())
    }
}

/// 5.6.2 to 5.6.5, the same for the top-level role and for every delegated one.
pub(super) fn verify_targets(
    role: &Role,
    bytes: &FileBytes,
    listed: &MetaFile,
    authority: Authority<'_>,
    now: Timestamp,
    settings: &Settings,
) -> Result<Verified<Targets>, Error> {
    // 5.6.2
    listed.check(role, bytes)?;
    // 5.6.3
    let file = Signed::<Targets>::parse(role, bytes)?.verify(role, authority)?;
    // 5.6.4
    exactly(role, listed.version, file.header.version)?;
    at_least_minimum(role, file.header(), settings)?;
    // 5.6.5
    unexpired(role, file.header(), now)?;
    Ok(file)
}

/// A metadata file that is asked for by `path`.
pub(super) fn metadata_request(path: String, max_bytes: u64) -> FetchRequest {
    FetchRequest { base: FetchBase::Metadata, path, max_bytes }
}

/// 6.2: with consistent snapshots the listed version stands before the name.
pub(super) fn role_request(root: &Root, file_name: &str, listed: &MetaFile, limit: u64) -> FetchRequest {
    let path = match root.consistent_snapshot {
        true => format!("{}.{file_name}", listed.version),
        false => file_name.to_owned(),
    };
    metadata_request(path, listed.length.map_or(limit, |length| length.min(limit)))
}
