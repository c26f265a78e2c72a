//! What keys signed before, so that nobody who shows their holder an older state gets another text signed.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use super::{Document, Error, folder};
use crate::{
    crypto::{Sha256, json as strict},
    tuf::RoleName,
};

/// The highest version of each role and the digest of the bytes that were signed.
type Versions = BTreeMap<RoleName, (u64, Sha256)>;

const SIGNED: &str = "signed.json";
const REQUESTED: &str = "requested.json";

/// What was signed and published with a folder of keys, and what was signed for others to publish.
#[derive(Debug, Default)]
pub(super) struct Memory {
    signed: Versions,
    /// Kept apart: what was signed on request may never be published, and must not keep the folder from being used.
    requested: Versions,
}

impl Memory {
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = dir.join(name);
            let Some(bytes) = folder::read_if_there(&path)? else { return Ok(Versions::new()) };
            parse(&bytes).ok_or_else(|| Error::input(path.display().to_string(), "not a record of signed versions"))
        };
        Ok(Self { signed: read(SIGNED)?, requested: read(REQUESTED)? })
    }

    /// Its files, by name.
    pub(super) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![(SIGNED.to_owned(), to_json(&self.signed))];
        if !self.requested.is_empty() {
            files.push((REQUESTED.to_owned(), to_json(&self.requested)));
        }
        files
    }

    /// Refuses a document that is older than, or differs from, what was published with these keys.
    pub(super) fn check(&self, role: &RoleName, document: &Document) -> Result<(), Error> {
        let found = document.version().ok_or_else(|| Error::member(role, "version"))?;
        match self.signed.get(role) {
            Some((signed, _)) if found < *signed => {
                Err(Error::RolledBack { role: role.clone(), found, signed: *signed })
            }
            Some((signed, digest)) if found == *signed && document.fingerprint() != *digest => {
                Err(Error::Replaced { role: role.clone(), version: found })
            }
            _ => Ok(()),
        }
    }

    /// Refuses to sign a version that is older than one that was signed, or another text under the same version.
    /// `replace` lifts the latter where the first text was signed on request only.
    pub(super) fn check_next(
        &self,
        role: &RoleName,
        (version, digest): (u64, Sha256),
        replace: bool,
    ) -> Result<(), Error> {
        for (known, may_be_replaced) in [(&self.signed, false), (&self.requested, replace)] {
            match known.get(role) {
                Some((signed, _)) if version < *signed => {
                    return Err(Error::SignedNewer { role: role.clone(), version, signed: *signed });
                }
                Some((signed, other)) if version == *signed && *other != digest && !may_be_replaced => {
                    return Err(Error::SignedOther { role: role.clone(), version });
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn remember(&mut self, role: RoleName, document: &Document) -> Result<(), Error> {
        let version = document.version().ok_or_else(|| Error::member(&role, "version"))?;
        self.signed.insert(role, (version, document.fingerprint()));
        Ok(())
    }

    pub(super) fn remember_request(&mut self, role: &RoleName, version: u64, digest: Sha256) {
        self.requested.insert(role.clone(), (version, digest));
    }
}

fn to_json(versions: &Versions) -> Vec<u8> {
    let entry = |(role, (version, sha256)): (&RoleName, &(u64, Sha256))| {
        (role.as_str().to_owned(), json!({"version": version, "sha256": sha256.to_string()}))
    };
    Value::Object(versions.iter().map(entry).collect()).to_string().into_bytes()
}

fn parse(bytes: &[u8]) -> Option<Versions> {
    let value = strict::parse(bytes).ok()?;
    let entry = |entry: &Value| Some((entry["version"].as_u64()?, entry["sha256"].as_str()?.parse().ok()?));
    value.as_object()?.iter().map(|(role, value)| Some((RoleName::from(role.as_str()), entry(value)?))).collect()
}
