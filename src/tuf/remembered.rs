//! What all replicas remember of one repository together (trust.md §5): signed bytes, of which none is believed before it
//! verifies again.

use std::{num::NonZeroU64, sync::Arc};

use super::{
    Error,
    limits::Settings,
    metadata::{Body, Root, Signed, Snapshot, Timestamp},
    name::Role,
    roots::Roots,
    stored::{Notice, Stored},
    trusted::FileInfo,
};
use crate::crypto::Sha256;

/// What is remembered, as it is kept between runs and handed from one replica to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Counted up by hand to forget everything (R7).
    pub epoch: NonZeroU64,
    /// Roots without gaps, the oldest first: the pinned one or one before it, and all after it. Never empty.
    pub roots: Vec<Vec<u8>>,
    /// The highest timestamp.
    pub timestamp: Option<Vec<u8>>,
    /// The highest snapshot.
    pub snapshot: Option<Vec<u8>>,
}

/// What comes of two memories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// What is to be remembered from now on.
    pub remembered: Remembered,
    /// The same for a client that begins with the pinned root.
    pub floors: Stored,
    /// Whether a version there is higher than what was known here.
    pub more: bool,
    /// What was passed over on the way.
    pub notices: Vec<Notice>,
    /// Whether nothing of what was there can be used, not even its roots.
    pub unusable: bool,
    /// The epoch whose floors were forgotten, where the policy counts a later one (R7).
    pub reset: Option<NonZeroU64>,
}

/// Why nothing is judged by a repository although its own files may be in order: what is remembered of it is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryFault {
    /// R4: nothing is judged before it was read.
    #[error("what the replicas remember of the repository was not read yet: {0}")]
    Unread(String),
    /// R6: no first state was ever written.
    #[error("nothing was ever remembered of the repository: {0} does not exist")]
    NotBorn(String),
    /// R6: there was a first state, and it is gone.
    #[error("what was remembered of the repository is lost: {0}")]
    Lost(String),
    /// R7: the policy went back to an earlier epoch.
    #[error("the policy says epoch {policy}, what is remembered is of epoch {remembered}")]
    Epoch {
        /// The epoch in the policy.
        policy: NonZeroU64,
        /// The epoch of what is remembered.
        remembered: NonZeroU64,
    },
}

impl MemoryFault {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unread(_) => "trust/unread",
            Self::NotBorn(_) => "trust/not-born",
            Self::Lost(_) => "trust/lost",
            Self::Epoch { .. } => "trust/epoch",
        }
    }
}

impl Remembered {
    /// A memory that begins: the pinned root, and nothing else.
    pub fn new(epoch: NonZeroU64, pinned_root: &[u8]) -> Self {
        Self { epoch, roots: vec![pinned_root.to_vec()], timestamp: None, snapshot: None }
    }

    /// The digest of the root that it begins with.
    pub fn first_root(&self) -> Sha256 {
        Sha256::of(self.roots.first().map(Vec::as_slice).unwrap_or_default())
    }

    /// R3: the least upper bound of what is `there` and what is known here, for a client that begins with `pinned_root`.
    /// What does not verify there, expiry aside, is left out; `mine` is to hold nothing that does not.
    ///
    /// # Errors
    /// The pinned root cannot be used ([`Error::PinnedRoot`]) or is another than the remembered one
    /// ([`Error::RootReplaced`]), the epoch went back ([`MemoryFault::Epoch`]), or two roots of one version are both signed
    /// ([`Error::RootFork`]).
    pub fn join(there: Option<&Self>, mine: Stored, pinned_root: &[u8], epoch: NonZeroU64) -> Result<Joined, Error> {
        let reset = there.map(|there| there.epoch).filter(|&before| before < epoch);
        let mut notices = Vec::new();
        let mut before = vec![pinned_root.to_vec()];
        let mut stored = Stored::default();
        let mut unusable = false;
        if let Some(there) = there.filter(|_| reset.is_none()) {
            if there.epoch > epoch {
                return Err(MemoryFault::Epoch { policy: epoch, remembered: there.epoch }.into());
            }
            match Self::split(&there.roots, pinned_root) {
                Ok(split) => {
                    before = split.before;
                    stored.roots = split.after;
                    if !split.forgets {
                        stored.timestamp.clone_from(&there.timestamp);
                        stored.snapshot.clone_from(&there.snapshot);
                    }
                }
                Err(error @ (Error::RootReplaced { .. } | Error::PinnedRoot(_))) => return Err(error),
                Err(error) => {
                    unusable = true;
                    notices.push(Notice::Ignored { role: Role::Root, error });
                }
            }
        }
        let mine = Stored { targets: None, ..mine };
        let known = versions(&mine);
        let (floors, passed_over) = Stored::join(pinned_root, stored, mine)?;
        notices.extend(passed_over);
        let found = versions(&floors);
        let more = found.0 > known.0 || found.1 > known.1 || found.2 > known.2;
        let remembered = Self {
            epoch,
            roots: before.into_iter().chain(floors.roots.iter().cloned()).collect(),
            timestamp: floors.timestamp.clone(),
            snapshot: floors.snapshot.clone(),
        };
        Ok(Joined { remembered, floors, more, notices, unusable, reset })
    }

    /// What it holds for a client that begins with `pinned_root`, as far as it verifies.
    ///
    /// # Errors
    /// As of [`Self::join`], but for the epoch.
    pub fn contents(&self, pinned_root: &[u8]) -> Result<Vec<(Role, FileInfo)>, Error> {
        let split = Self::split(&self.roots, pinned_root)?;
        let (timestamp, snapshot) = (self.timestamp.clone(), self.snapshot.clone());
        Self::files(Stored { roots: split.after, timestamp, snapshot, targets: None }, pinned_root)
    }

    /// What of `stored` verifies: root, timestamp and snapshot.
    pub fn files(stored: Stored, pinned_root: &[u8]) -> Result<Vec<(Role, FileInfo)>, Error> {
        let mut roots = Roots::pinned(pinned_root, Arc::new(Settings::default()))?;
        roots.remember(stored);
        let root = (Role::Root, FileInfo::new(roots.root.header(), roots.root.sha256()));
        let of = |role, header, sha256| (role, FileInfo::new(header, sha256));
        let timestamp =
            roots.timestamp.map(|seen| of(Role::Timestamp, seen.kept.file.header(), seen.kept.file.sha256()));
        let snapshot = roots.snapshot.map(|seen| of(Role::Snapshot, seen.kept.file.header(), seen.kept.file.sha256()));
        Ok([Some(root), timestamp, snapshot].into_iter().flatten().collect())
    }

    /// R7: whether `roots`, without gaps and the oldest first, lead to the pinned one. No roots lead to any.
    ///
    /// # Errors
    /// They do not ([`Error::RootReplaced`]), the pinned root cannot be used ([`Error::PinnedRoot`]), or one of them does
    /// not verify.
    pub fn leads_to(roots: &[Vec<u8>], pinned_root: &[u8]) -> Result<(), Error> {
        Self::split(roots, pinned_root).map(drop)
    }

    /// Which of the remembered roots stand before and at the pinned one, and which after it.
    fn split(roots: &[Vec<u8>], pinned_root: &[u8]) -> Result<Split, Error> {
        let settings = Arc::new(Settings::default());
        let pinned = Roots::pinned(pinned_root, settings.clone())?;
        let Some((first, mut after)) = roots.split_first() else { return Ok(Split::at(pinned_root)) };
        let unusable = |error| match error {
            Error::PinnedRoot(error) => *error,
            error => error,
        };
        let mut known = Roots::pinned(first, settings).map_err(unusable)?;
        let mut newest = first;
        let mut before = vec![first.clone()];
        while known.version() < pinned.version()
            && let Some((next, rest)) = after.split_first()
        {
            known.step(&Arc::new(next.clone()))?;
            (newest, after) = (next, rest);
            before.push(next.clone());
        }
        let mine = Signed::<Root>::parse(&Role::Root, &Arc::new(pinned_root.to_vec()))?;
        let theirs = Signed::<Root>::parse(&Role::Root, &Arc::new(newest.to_vec()))?;
        let replaced = || Error::RootReplaced {
            pinned: (pinned.version(), mine.sha256),
            remembered: (known.version(), theirs.sha256),
        };
        if known.version() == pinned.version() {
            // More or other signatures make no other root.
            return match mine.canonical == theirs.canonical {
                true => Ok(Split { before, after: after.to_vec(), forgets: false }),
                false => Err(replaced()),
            };
        }
        // A newer one than was ever seen: then the newest that was seen has to vouch for it. An older one than any that is
        // remembered has nothing between them that could be checked.
        let vouched = known.version() < pinned.version()
            && mine.check(&Role::Root, known.root.authority(&known.root.root)).is_ok();
        if !vouched {
            return Err(replaced());
        }
        Ok(Split { forgets: known.root.loses_online_keys_in(&mine.body), ..Split::at(pinned_root) })
    }
}

/// How many roots, and the versions of timestamp and snapshot: 0 where there is none.
fn versions(stored: &Stored) -> (usize, u64, u64) {
    fn version<T: Body>(role: &Role, bytes: Option<&Vec<u8>>) -> u64 {
        bytes
            .and_then(|bytes| Signed::<T>::parse(role, &Arc::new(bytes.clone())).ok())
            .map_or(0, |file| file.body.header().version)
    }
    (
        stored.roots.len(),
        version::<Timestamp>(&Role::Timestamp, stored.timestamp.as_ref()),
        version::<Snapshot>(&Role::Snapshot, stored.snapshot.as_ref()),
    )
}

struct Split {
    before: Vec<Vec<u8>>,
    after: Vec<Vec<u8>>,
    /// Whether the pinned root takes away an online key of the last that is remembered (R5).
    forgets: bool,
}

impl Split {
    fn at(pinned_root: &[u8]) -> Self {
        Self { before: vec![pinned_root.to_vec()], after: vec![], forgets: false }
    }
}
