//! The `signed` parts of the four kinds of files.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::{
    Body, Header,
    by_name::ByName,
    delegation::Delegations,
    in_place::{Large, ListedInPlace},
    read::{self, Members, Misshapen},
    version,
};
use crate::{
    crypto::Hashes,
    tuf::{
        Error, FetchError,
        error::What,
        name::{RoleName, TargetPath},
        verify::{Keys, RoleKeys},
    },
};

/// Who signs what (TUF 4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    pub(in crate::tuf) header: Header,
    /// Whether file names carry versions and hashes (TUF 6.2). Absent means no.
    pub consistent_snapshot: bool,
    pub(in crate::tuf) keys: Keys,
    pub(in crate::tuf) root: RoleKeys,
    pub(in crate::tuf) timestamp: RoleKeys,
    pub(in crate::tuf) snapshot: RoleKeys,
    pub(in crate::tuf) targets: RoleKeys,
}

impl Body for Root {
    const TYPE: &'static str = "root";

    fn read(header: Header, members: &mut Members, _: Large) -> Result<Self, Misshapen> {
        let consistent_snapshot = members.optional("consistent_snapshot", read::flag)?.unwrap_or(false);
        let keys = members.required("keys", Keys::read)?;
        members.required("roles", |value| {
            let mut roles = Members::of(value)?;
            Ok(Self {
                header,
                consistent_snapshot,
                keys,
                root: roles.required("root", RoleKeys::read)?,
                timestamp: roles.required("timestamp", RoleKeys::read)?,
                snapshot: roles.required("snapshot", RoleKeys::read)?,
                targets: roles.required("targets", RoleKeys::read)?,
            })
        })
    }

    fn header(&self) -> Header {
        self.header
    }
}

/// What is listed about another metadata file (TUF 4.4, METAFILES).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaFile {
    /// The version that file must have.
    pub version: u64,
    /// Its length in bytes, if listed.
    pub length: Option<u64>,
    /// Its hashes, if listed.
    pub hashes: Option<Hashes>,
}

impl MetaFile {
    pub(super) fn read(value: Value) -> Result<Self, Misshapen> {
        let mut members = Members::of(value)?;
        Ok(Self {
            version: members.required("version", version)?,
            length: members.optional("length", read::length)?,
            hashes: members.optional("hashes", hashes)?,
        })
    }
}

/// Which snapshot is current (TUF 4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    pub(in crate::tuf) header: Header,
    /// The current snapshot.
    pub snapshot: MetaFile,
}

impl Body for Timestamp {
    const TYPE: &'static str = "timestamp";

    fn read(header: Header, members: &mut Members, _: Large) -> Result<Self, Misshapen> {
        let snapshot =
            members.required("meta", |value| Members::of(value)?.required("snapshot.json", MetaFile::read))?;
        Ok(Self { header, snapshot })
    }

    fn header(&self) -> Header {
        self.header
    }
}

/// The version of every targets file that belongs together (TUF 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub(in crate::tuf) header: Header,
    /// The top-level targets file.
    pub targets: MetaFile,
    /// All listed files, by name (`targets.json`, `team-a.json`).
    pub(in crate::tuf) meta: ByName<MetaFile>,
}

impl Snapshot {
    /// What is listed about a role's file.
    pub fn role(&self, name: &RoleName) -> Option<&MetaFile> {
        self.meta.get(&format!("{name}.json"))
    }
}

impl Body for Snapshot {
    const TYPE: &'static str = "snapshot";
    const LARGE: &'static [&'static str] = &["meta"];

    fn read(header: Header, members: &mut Members, large: Large) -> Result<Self, Misshapen> {
        let meta = match large.meta {
            Some(meta) => meta,
            None => {
                let read = read::map(|name, value| Ok((name.to_owned(), MetaFile::read(value)?)));
                let meta: BTreeMap<String, MetaFile> = members.required("meta", read)?;
                ByName::of_sorted(meta.iter().map(|(name, listed)| (name.as_str(), listed.clone())))
            }
        };
        let targets = meta
            .get("targets.json")
            .cloned()
            .ok_or_else(|| Misshapen::new("missing").within("targets.json").within("meta"))?;
        Ok(Self { header, targets, meta })
    }

    fn header(&self) -> Header {
        self.header
    }
}

/// Which target files there are, and who may say so for other paths (TUF 4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    pub(in crate::tuf) header: Header,
    /// The target files this role lists.
    pub(in crate::tuf) targets: TargetList,
    /// To whom it delegates.
    pub delegations: Option<Delegations>,
}

impl Body for Targets {
    const TYPE: &'static str = "targets";
    const LARGE: &'static [&'static str] = &["targets", "delegations"];

    fn read(header: Header, members: &mut Members, large: Large) -> Result<Self, Misshapen> {
        let targets = match large.targets {
            Some(listed) => TargetList::InPlace(listed),
            None => TargetList::Read(members.required("targets", read::map(TargetFile::read))?),
        };
        Ok(Self {
            header,
            targets,
            delegations: match large.delegations {
                Some(delegations) => Some(delegations),
                None => members.optional("delegations", Delegations::read)?,
            },
        })
    }

    fn header(&self) -> Header {
        self.header
    }
}

/// The target files of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tuf) enum TargetList {
    Read(BTreeMap<TargetPath, Arc<TargetFile>>),
    InPlace(ListedInPlace),
}

impl TargetList {
    /// The paths of all that is listed.
    pub(in crate::tuf) fn paths(&self) -> Vec<TargetPath> {
        match self {
            Self::Read(targets) => targets.keys().cloned().collect(),
            Self::InPlace(listed) => listed.paths(),
        }
    }

    /// What is listed about `path`, if anything is.
    pub(in crate::tuf) fn get(&self, path: &TargetPath) -> Result<Option<Arc<TargetFile>>, Misshapen> {
        match self {
            Self::Read(targets) => Ok(targets.get(path).cloned()),
            Self::InPlace(listed) => listed.get(path),
        }
    }
}

/// A target as signed metadata describes it (TUF 4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// Its name.
    pub path: TargetPath,
    /// Its length in bytes.
    pub length: u64,
    /// Its hashes; all of them must match.
    pub hashes: Hashes,
    /// What the role that signed it says about it. It is **not** bound by that role's path patterns.
    pub custom: Map<String, Value>,
}

impl TargetFile {
    /// 5.7.3: that `bytes` are this target: its length, and every known hash.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), Error> {
        let what = || What::Target(self.path.clone());
        let actual = bytes.len() as u64;
        if actual != self.length {
            return Err(Error::LengthMismatch { what: what(), expected: self.length, actual });
        }
        self.hashes.verify(bytes).map_err(|mismatch| Error::HashMismatch { what: what(), mismatch })
    }

    /// The error that a failed fetch of this target is.
    pub fn failed(&self, cause: FetchError) -> Error {
        Error::fetching(What::Target(self.path.clone()), cause)
    }

    pub(super) fn read(name: &str, value: Value) -> Result<(TargetPath, Arc<Self>), Misshapen> {
        let mut members = Members::of(value)?;
        let path = TargetPath::from(name);
        let file = Self {
            path: path.clone(),
            length: members.required("length", read::length)?,
            hashes: members.required("hashes", hashes)?,
            custom: members.optional("custom", read::object)?.unwrap_or_default(),
        };
        Ok((path, Arc::new(file)))
    }
}

/// TUF 4.5: one hash or more; at least one of an algorithm that this program knows.
fn hashes(value: Value) -> Result<Hashes, Misshapen> {
    let listed = read::map(|name, value| Ok((name.to_owned(), read::text(value)?)))(value)?;
    Hashes::parse(&listed).map_err(|error| Misshapen::new(error.to_string()))
}
