//! Every way in which a repository, a stored file or a lookup can fail, with both sides of the comparison.

use jiff::Timestamp;

use super::{
    FetchError,
    name::{Role, RoleChain, TargetPath},
    remembered::MemoryFault,
    verify::Rejection,
};
use crate::crypto::{KeyId, Sha256, digest::HashMismatch};

/// Why metadata or a target is not believed, or could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The root of trust that was handed out is itself unusable.
    #[error("the pinned root cannot be used: {0}")]
    PinnedRoot(Box<Self>),
    /// The file is not what the specification describes.
    #[error("{role} is malformed{}{at}: {why}", if at.is_empty() { "" } else { " at " })]
    Malformed {
        /// The file.
        role: Role,
        /// The place in it (`signed.delegations.roles[3].name`); empty for the whole.
        at: String,
        /// What is wrong there.
        why: String,
    },
    /// Another kind of file (TUF 4.2.1, `_type`).
    #[error("{role} is a file of type {found:?}, not {expected:?}")]
    WrongType {
        /// The file.
        role: Role,
        /// The type it must have.
        expected: &'static str,
        /// The type it has.
        found: String,
    },
    /// Another major version of the specification (TUF 4.3, SPEC_VERSION).
    #[error("{role} follows specification version {found:?}, only 1 is understood")]
    SpecVersion {
        /// The file.
        role: Role,
        /// What it says.
        found: String,
    },
    /// A key id that stands twice in `signatures` (TUF 4.2.1).
    #[error("{role} has two signatures under key id {keyid}")]
    RepeatedSignature {
        /// The file.
        role: Role,
        /// The key id.
        keyid: KeyId,
    },
    /// Too few distinct keys have signed.
    #[error(
        "{role} needs signatures by {threshold} of the keys that {authority} v{authority_version} names, {} verified{}",
        verified.len(), list(verified, rejected)
    )]
    Threshold {
        /// The file.
        role: Role,
        /// The file that says who must sign.
        authority: Role,
        /// Its version.
        authority_version: u64,
        /// How many distinct keys must have signed.
        threshold: u32,
        /// The keys that have.
        verified: Vec<KeyId>,
        /// The signatures that did not count, the first 16 of them.
        rejected: Vec<(KeyId, Rejection)>,
    },
    /// The bytes are not those that signed metadata lists (TUF 5.5.2, 5.6.2, 5.7.3).
    #[error("{what}: {mismatch}")]
    HashMismatch {
        /// The file.
        what: What,
        /// Both hashes.
        mismatch: HashMismatch,
    },
    /// The length is not the one that signed metadata lists.
    #[error("{what} has {actual} bytes, {expected} are listed")]
    LengthMismatch {
        /// The file.
        what: What,
        /// The listed length.
        expected: u64,
        /// The length of the bytes.
        actual: u64,
    },
    /// The version is not the one that was asked for (TUF 5.3.5, 5.5.4, 5.6.4).
    #[error("{role} has version {actual}, {expected} was expected")]
    VersionMismatch {
        /// The file.
        role: Role,
        /// The version it must have.
        expected: u64,
        /// The version it has.
        actual: u64,
    },
    /// An older version than one already seen (TUF 5.4.3, 5.5.5).
    #[error("{role} v{offered} is offered, v{stored} was already seen")]
    Rollback {
        /// The role.
        role: Role,
        /// The version already seen.
        stored: u64,
        /// The version offered.
        offered: u64,
    },
    /// A file that the snapshot listed before and lists no longer (TUF 5.5.5).
    #[error("snapshot v{snapshot} no longer lists {file:?}, which was seen at v{stored}")]
    Removed {
        /// The name in the snapshot.
        file: String,
        /// The version already seen.
        stored: u64,
        /// The version of the snapshot that lacks it.
        snapshot: u64,
    },
    /// Past its date (TUF 5.3.10, 5.4.4, 5.5.6, 5.6.5).
    #[error("{role} v{version} expired at {expires}, it is {now:.0}")]
    Expired {
        /// The file.
        role: Role,
        /// Its version.
        version: u64,
        /// Its date.
        expires: Timestamp,
        /// The time of the judgement.
        now: Timestamp,
    },
    /// A timestamp or snapshot that would stay valid for longer than is allowed.
    #[error("{role} v{version} expires at {expires}, later than the latest allowed, {latest}")]
    ValidTooLong {
        /// The file.
        role: Role,
        /// Its version.
        version: u64,
        /// Its date.
        expires: Timestamp,
        /// The latest date allowed.
        latest: Timestamp,
    },
    /// Older than the floor that the settings give.
    #[error("{role} has version {version}, the minimum is {minimum}")]
    BelowMinimum {
        /// The file.
        role: Role,
        /// Its version.
        version: u64,
        /// The least version allowed.
        minimum: u64,
    },
    /// A delegated role that the snapshot does not list (TUF 5.6.1). The search ends here: going on would let a role of
    /// lower priority speak.
    #[error("role {chain} is delegated to, but snapshot v{snapshot} does not list it")]
    NotInSnapshot {
        /// The role.
        chain: RoleChain,
        /// The version of the snapshot.
        snapshot: u64,
    },
    /// Two roots of one version, both signed as they must be: whoever holds the root keys tells different clients
    /// different things.
    #[error("there are two roots v{version}, {one} and {other}")]
    RootFork {
        /// The version that both have.
        version: u64,
        /// The lower of their digests.
        one: Sha256,
        /// The higher.
        other: Sha256,
    },
    /// Another root was handed out than the one that is remembered, and neither leads to the other (trust.md R7).
    #[error(
        "root v{}, {}, is handed out; root v{}, {}, is remembered, and the one does not lead to the other",
        pinned.0, pinned.1, remembered.0, remembered.1
    )]
    RootReplaced {
        /// Version and digest of the root that was handed out.
        pinned: (u64, Sha256),
        /// Version and digest of the remembered root that it was held against.
        remembered: (u64, Sha256),
    },
    /// What is remembered of the repository is not in order (trust.md §5).
    #[error(transparent)]
    Memory(#[from] MemoryFault),
    /// More roots than one refresh steps through (TUF 5.3.3). Those read so far are kept; the next refresh goes on.
    #[error("more than {limit} new roots in one refresh, v{reached} reached")]
    RootRotations {
        /// How many are read at once.
        limit: u32,
        /// The version reached.
        reached: u64,
    },
    /// More roles than one lookup visits (TUF 5.6.7.1).
    #[error("the search for {path} visits more than {limit} roles")]
    TooManyRoles {
        /// What was looked for.
        path: TargetPath,
        /// How many are visited at most.
        limit: usize,
    },
    /// More delegations below each other than one lookup follows.
    #[error("the search for {path} leads to {chain}, deeper than {limit} delegations")]
    TooDeep {
        /// What was looked for.
        path: TargetPath,
        /// The role that lies too deep.
        chain: RoleChain,
        /// How many delegations are followed at most.
        limit: usize,
    },
    /// A target path that could lead out of the place where targets are.
    #[error("target path {:?} is absolute, or has an empty, `.` or `..` segment, a backslash or a control character", path.as_str())]
    UnsafePath {
        /// The path.
        path: TargetPath,
    },
    /// A file that is longer than may be read (TUF 1.5.2, endless data).
    #[error("{what} is longer than {limit} bytes")]
    TooLarge {
        /// The file.
        what: What,
        /// The bytes that may be read.
        limit: u64,
    },
    /// Signed metadata says that the file exists; the repository says that it does not.
    #[error("{what} is not in the repository")]
    Missing {
        /// The file.
        what: What,
    },
    /// No answer, or none that can be judged.
    #[error("{what} could not be fetched: {cause}")]
    Fetch {
        /// The file.
        what: What,
        /// Why.
        cause: FetchError,
    },
    /// Nothing verified is stored for a role, and nothing may be fetched.
    #[error("no verified {role} is stored")]
    NotStored {
        /// The role.
        role: Role,
    },
    /// A refresh was asked for its result before it had one.
    #[error("the refresh has not ended")]
    Unfinished,
}

/// A file that is named in an error: metadata or a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// A metadata file.
    #[error("{0}")]
    Role(Role),
    /// A target file.
    #[error("target {0}")]
    Target(TargetPath),
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PinnedRoot(_) => "tuf/pinned-root",
            Self::Malformed { .. } => "tuf/malformed",
            Self::WrongType { .. } => "tuf/wrong-type",
            Self::SpecVersion { .. } => "tuf/spec-version",
            Self::RepeatedSignature { .. } => "tuf/repeated-signature",
            Self::Threshold { .. } => "tuf/signature-threshold",
            Self::HashMismatch { .. } => "tuf/hash-mismatch",
            Self::LengthMismatch { .. } => "tuf/length-mismatch",
            Self::VersionMismatch { .. } => "tuf/version-mismatch",
            Self::Rollback { .. } | Self::Removed { .. } => "tuf/rollback",
            Self::Expired { .. } => "tuf/expired",
            Self::ValidTooLong { .. } => "tuf/max-validity",
            Self::BelowMinimum { .. } => "tuf/minimum",
            Self::NotInSnapshot { .. } => "tuf/not-in-snapshot",
            Self::RootFork { .. } => "tuf/root-fork",
            Self::RootReplaced { .. } => "tuf/root-replaced",
            Self::Memory(fault) => fault.code(),
            Self::RootRotations { .. } => "tuf/root-rotations",
            Self::TooManyRoles { .. } | Self::TooDeep { .. } => "tuf/limit",
            Self::UnsafePath { .. } => "tuf/unsafe-path",
            Self::TooLarge { .. } => "tuf/too-large",
            Self::Missing { .. } => "tuf/missing",
            // Whoever can mend it is another.
            Self::Fetch { cause: FetchError::Credentials(_), .. } => "policy/bad-credentials",
            Self::Fetch { .. } => "tuf/unreachable",
            Self::NotStored { .. } => "tuf/not-stored",
            Self::Unfinished => "internal/unfinished-refresh",
        }
    }

    /// Whether nothing was judged: an outage, not a verdict. The other errors are verdicts, but for `PinnedRoot` and
    /// credentials (the configuration is wrong) and `Unfinished` (the caller is).
    pub fn is_outage(&self) -> bool {
        let is_configured_wrongly = matches!(self, Self::Fetch { cause: FetchError::Credentials(_), .. });
        !is_configured_wrongly
            && matches!(
                self,
                Self::RootRotations { .. } | Self::Missing { .. } | Self::Fetch { .. } | Self::NotStored { .. }
            )
    }

    /// Whether nothing is wrong but that nothing fresh could be had: an outage, or a timestamp or snapshot past its date.
    pub fn is_lack_of_freshness(&self) -> bool {
        match self {
            Self::Expired { role, .. } => matches!(role, Role::Timestamp | Role::Snapshot),
            error => error.is_outage(),
        }
    }

    /// What a failed fetch of a file that must exist means.
    pub fn fetching(what: What, cause: FetchError) -> Self {
        match cause {
            FetchError::NotFound => Self::Missing { what },
            FetchError::TooLarge { limit } => Self::TooLarge { what, limit },
            FetchError::TimedOut | FetchError::Unreachable(_) | FetchError::Credentials(_) => {
                Self::Fetch { what, cause }
            }
        }
    }
}

fn list(verified: &[KeyId], rejected: &[(KeyId, Rejection)]) -> String {
    let good = verified.iter().map(|keyid| format!("{} ok", keyid.short()));
    let bad = rejected.iter().map(|(keyid, why)| format!("{} {why}", keyid.short()));
    let all: Vec<String> = good.chain(bad).collect();
    if all.is_empty() { String::new() } else { format!(": {}", all.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_that_is_not_met_names_every_signature() {
        let error = Error::Threshold {
            role: Role::Snapshot,
            authority: Role::Root,
            authority_version: 3,
            threshold: 2,
            verified: vec![KeyId::from("4a81ffff00")],
            rejected: vec![
                (KeyId::from("77d0ffff00"), Rejection::Invalid),
                (KeyId::from("c02bffff00"), Rejection::NotAuthorised),
            ],
        };
        assert_eq!(
            error.to_string(),
            "snapshot needs signatures by 2 of the keys that root v3 names, 1 verified: 4a81ffff ok, 77d0ffff signature \
             invalid, c02bffff not authorised"
        );
    }

    #[test]
    fn only_what_was_not_judged_is_an_outage() {
        let what = || What::Role(Role::Timestamp);
        assert!(Error::fetching(what(), FetchError::NotFound).is_outage());
        assert!(Error::fetching(what(), FetchError::TimedOut).is_outage());
        assert!(!Error::fetching(what(), FetchError::TooLarge { limit: 1 }).is_outage());
        assert!(!Error::Rollback { role: Role::Timestamp, stored: 2, offered: 1 }.is_outage());
    }
}
