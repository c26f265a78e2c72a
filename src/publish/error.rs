//! Why something was not published.

use std::{fmt::Display, path::Path, path::PathBuf};

use super::SigningKeyError;
use crate::{
    crypto::{KeyId, json::JsonError},
    tuf::RoleName,
};

/// Why something was not published. Nothing has been written then, unless the error says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {reason}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `list`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// A private key could not be made, read or used.
    #[error("key {name}: {source}")]
    Key {
        /// The file, or the key's use.
        name: String,
        /// Why.
        source: SigningKeyError,
    },
    /// A document is not JSON that can be signed.
    #[error("{name}: {source}")]
    Json {
        /// The role or file.
        name: String,
        /// Why.
        source: JsonError,
    },
    /// Metadata lacks a member, or it is of another type.
    #[error("{role}: member {member} is missing or of the wrong type")]
    Member {
        /// The role.
        role: RoleName,
        /// The member, as a path.
        member: String,
    },
    /// The repository has no such role.
    #[error("the repository has no role \"{0}\"")]
    NoSuchRole(RoleName),
    /// A role with this name is already there.
    #[error("the repository already has a role \"{0}\"")]
    RoleExists(RoleName),
    /// The folder already holds a repository or keys.
    #[error("{} already exists", .0.display())]
    Exists(PathBuf),
    /// Another process is changing the repository.
    #[error("{} is locked: another process is changing it", .0.display())]
    Locked(PathBuf),
    /// A role was changed and not signed again.
    #[error("{0} was changed and is not signed")]
    Unsigned(RoleName),
    /// Too few of a role's private keys are at hand.
    #[error("{role} needs {threshold} of its keys to sign, {available} are at hand; missing: {}", list(missing))]
    MissingKeys {
        /// The role.
        role: RoleName,
        /// How many must sign.
        threshold: u32,
        /// How many of its keys are in the key folder.
        available: usize,
        /// The keys that are not.
        missing: Vec<KeyId>,
    },
    /// Metadata that is already there does not verify, so nothing is signed on top of it.
    #[error(
        "{role} v{version} in the repository has {verified} of {threshold} valid signatures; refusing to build on it"
    )]
    Unverified {
        /// The role.
        role: RoleName,
        /// The version found.
        version: u64,
        /// How many distinct keys of the role have signed it.
        verified: usize,
        /// How many must.
        threshold: u32,
    },
    /// Metadata that is already there is older than what these keys last signed.
    #[error(
        "{role} v{found} in the repository is older than v{signed}, which these keys signed; refusing to build on it"
    )]
    RolledBack {
        /// The role.
        role: RoleName,
        /// The version found.
        found: u64,
        /// The version last signed with this key folder.
        signed: u64,
    },
    /// Metadata that is already there differs from what these keys signed under the same version.
    #[error("{role} v{version} in the repository is not the one that these keys signed; refusing to build on it")]
    Replaced {
        /// The role.
        role: RoleName,
        /// The version.
        version: u64,
    },
    /// What is to be signed is older than what these keys signed.
    #[error("{role} v{version} is to be signed, and these keys have signed v{signed}; refusing an older one")]
    SignedNewer {
        /// The role.
        role: RoleName,
        /// The version to be signed.
        version: u64,
        /// The version signed before.
        signed: u64,
    },
    /// What is to be signed differs from what these keys signed under the same version.
    #[error("these keys have signed another text as {role} v{version}; clients must never see two of one version")]
    SignedOther {
        /// The role.
        role: RoleName,
        /// The version.
        version: u64,
    },
    /// The repository has changed since a request was made.
    #[error(
        "the request was made on {role} v{based_on}, and the repository now has {}; make the change again",
        now_has(*based_on, *found)
    )]
    Stale {
        /// The role.
        role: RoleName,
        /// The version that the request was made on; 0 for none.
        based_on: u64,
        /// The version in the repository. The one that the request was made on: with another text.
        found: Option<u64>,
    },
    /// Too few signatures came back.
    #[error("{role} v{version} needs {threshold} of its keys, {signed} have signed; missing: {}", list(missing))]
    MissingSignatures {
        /// The role.
        role: RoleName,
        /// Its version.
        version: u64,
        /// How many keys must sign.
        threshold: u32,
        /// How many have.
        signed: usize,
        /// The keys that have not.
        missing: Vec<KeyId>,
    },
    /// A signature that came back does not fit.
    #[error("the signature of {role} v{version} by {} {reason}", keyid.short())]
    BadSignature {
        /// The role.
        role: RoleName,
        /// Its version.
        version: u64,
        /// The key.
        keyid: KeyId,
        /// What is wrong.
        reason: &'static str,
    },
    /// No role may sign this target.
    #[error("{role} is not delegated the target path {path:?}")]
    NotDelegated {
        /// The role that was to sign it.
        role: RoleName,
        /// The target path.
        path: String,
    },
    /// No role below `targets` may sign this target.
    #[error("no role below targets is delegated the target path {0:?}; in its patterns \"*\" stops at \"/\"")]
    NoRoleFor(String),
    /// A target path that cannot be a file below `targets/`.
    #[error("{0:?} is not a target path: segments joined by \"/\", none empty, \".\" or \"..\"")]
    TargetPath(String),
    /// A target that must be there is not.
    #[error("{role} has no target {path:?}")]
    NoSuchTarget {
        /// The role.
        role: RoleName,
        /// The target path.
        path: String,
    },
    /// Another input that does not fit.
    #[error("{what}: {reason}")]
    Input {
        /// Which input.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    pub(super) fn io(action: &'static str, path: &Path, reason: &dyn Display) -> Self {
        Self::Io { action, path: path.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn member(role: &RoleName, member: &str) -> Self {
        Self::Member { role: role.clone(), member: member.to_owned() }
    }

    pub(super) fn input(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Input { what: what.into(), reason: reason.into() }
    }
}

impl From<SigningKeyError> for Error {
    fn from(source: SigningKeyError) -> Self {
        Self::Key { name: "in memory".to_owned(), source }
    }
}

fn now_has(based_on: u64, found: Option<u64>) -> String {
    match found {
        None => "no such role".to_owned(),
        Some(version) if version == based_on => format!("another v{version}"),
        Some(version) => format!("v{version}"),
    }
}

fn list(keyids: &[KeyId]) -> String {
    keyids.iter().map(KeyId::short).collect::<Vec<_>>().join(", ")
}
