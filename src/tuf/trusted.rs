//! The outcome of the client workflow: one verified, immutable generation of a repository.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{
    Error, FetchRequest,
    check::{at_least_minimum, fresh, unexpired},
    fetch::FetchBase,
    limits::Settings,
    lookup::Visit,
    metadata::{self, Header, Root, Snapshot, TargetFile, Targets},
    name::{Role, RoleChain, percent_encoded},
    roots::{Kept, Roots},
    stored::{FileBytes, Notice, Stored},
    verify::{Signers, Verified},
};
use crate::crypto::Sha256;

/// Root, timestamp, snapshot and top-level targets, verified together under one [`Settings`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Trusted {
    pub(super) settings: Arc<Settings>,
    pub(super) root: Arc<Verified<Root>>,
    /// The bytes of every root after the pinned one.
    pub(super) chain: Vec<FileBytes>,
    pub(super) timestamp: Arc<Kept<metadata::Timestamp>>,
    pub(super) snapshot: Arc<Kept<Snapshot>>,
    pub(super) targets: Arc<Verified<Targets>>,
    /// That every lookup begins there.
    pub(super) top: Arc<Visit>,
}

/// What messages and caches need to know of a verified file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileInfo {
    /// Its version.
    pub version: u64,
    /// From this instant on it is not to be used.
    pub expires: Timestamp,
    /// The digest of its bytes.
    pub sha256: Sha256,
}

impl FileInfo {
    pub(super) fn new(header: Header, sha256: Sha256) -> Self {
        Self { version: header.version, expires: header.expires, sha256 }
    }
}

impl Trusted {
    /// Builds a generation from stored files alone, without a network: for a start from the cache, and for offline use.
    /// Everything must be valid at `now`; what is missing is [`Error::NotStored`].
    pub fn from_stored(
        pinned_root: &[u8],
        stored: Stored,
        settings: Settings,
        now: Timestamp,
    ) -> Result<(Self, Vec<Notice>), Error> {
        let mut roots = Roots::pinned(pinned_root, Arc::new(settings))?;
        let mut notices = roots.remember(stored);
        let snapshots = roots.finish(now)?.stored(now)?;
        let trusted = snapshots.only_stored(now, &mut notices)?.only_stored(now)?;
        Ok((trusted, notices))
    }

    /// Builds a generation from stored files alone, also from a timestamp and a snapshot that have expired: these are held
    /// against the last instant at which both were valid, which their signatures say, if that is past at `now`. Root and
    /// targets must be valid at `now`.
    ///
    /// At `now` every lookup in it fails; only one at [`Self::last_fresh`] can succeed (trust.md A4).
    pub fn from_stored_as_last_fresh(
        pinned_root: &[u8],
        stored: Stored,
        settings: Settings,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut roots = Roots::pinned(pinned_root, Arc::new(settings))?;
        let mut notices = roots.remember(stored);
        let ends = [
            roots.timestamp.as_ref().map(|seen| seen.kept.file.header().expires),
            roots.snapshot.as_ref().map(|seen| seen.kept.file.header().expires),
        ];
        let at = ends.into_iter().flatten().min().map_or(now, |ends| last_before(ends).min(now));
        let snapshots = roots.finish(now)?.stored(at)?;
        snapshots.only_stored(at, &mut notices)?.only_stored(now)
    }

    /// The last instant at which timestamp and snapshot are both valid, as their signatures say.
    pub fn last_fresh(&self) -> Timestamp {
        last_before(self.timestamp.file.header().expires.min(self.snapshot.file.header().expires))
    }

    /// The root.
    pub fn root(&self) -> FileInfo {
        FileInfo::new(self.root.header(), self.root.sha256())
    }

    /// The timestamp.
    pub fn timestamp(&self) -> FileInfo {
        FileInfo::new(self.timestamp.file.header(), self.timestamp.file.sha256())
    }

    /// The snapshot.
    pub fn snapshot(&self) -> FileInfo {
        FileInfo::new(self.snapshot.file.header(), self.snapshot.file.sha256())
    }

    /// The top-level targets file.
    pub fn targets(&self) -> FileInfo {
        FileInfo::new(self.targets.header(), self.targets.sha256())
    }

    /// The targets files that the snapshot lists, with their versions, by file name (`targets.json`).
    pub fn listed(&self) -> impl Iterator<Item = (&str, u64)> {
        self.snapshot.file.meta.iter().map(|(name, listed)| (name, listed.version))
    }

    /// The settings under which all of it was verified.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The first of the four files to expire, and when. From then on every lookup fails.
    pub fn earliest_expiry(&self) -> (Role, Timestamp) {
        let (role, header) = self
            .files()
            .into_iter()
            .min_by_key(|(_, header)| header.expires)
            .unwrap_or((Role::Timestamp, self.timestamp.file.header()));
        (role, header.expires)
    }

    /// The four files, each with its role.
    pub fn top_level(&self) -> [(Role, FileInfo); 4] {
        [
            (Role::Root, self.root()),
            (Role::Timestamp, self.timestamp()),
            (Role::Snapshot, self.snapshot()),
            (Role::Targets(RoleChain::top()), self.targets()),
        ]
    }

    /// The signed files of this generation as evidence for others: all roots after the pinned one, the timestamp and the
    /// snapshot it names. The targets file is not among them.
    pub fn memory(&self) -> Stored {
        Stored {
            roots: self.chain.iter().map(|bytes| bytes.to_vec()).collect(),
            timestamp: Some(self.timestamp.bytes.to_vec()),
            snapshot: Some(self.snapshot.bytes.to_vec()),
            targets: None,
        }
    }

    /// The same generation under other settings, if it is valid under them at `now`.
    pub fn under(&self, settings: Settings, now: Timestamp) -> Result<Self, Error> {
        self.unexpired(now)?;
        for (role, header) in self.files() {
            at_least_minimum(&role, header, &settings)?;
        }
        fresh(&Role::Timestamp, self.timestamp.file.header(), now, &settings)?;
        fresh(&Role::Snapshot, self.snapshot.file.header(), now, &settings)?;
        Ok(Self { settings: Arc::new(settings), ..self.clone() })
    }

    /// Who may sign one of the four files.
    pub fn signers(&self, role: TopLevel) -> Signers {
        let root = &self.root;
        let keys = match role {
            TopLevel::Root => &root.root,
            TopLevel::Timestamp => &root.timestamp,
            TopLevel::Snapshot => &root.snapshot,
            TopLevel::Targets => &root.targets,
        };
        root.keys.signers(keys)
    }

    /// What to fetch for a target. With consistent snapshots its hash stands before the last segment of its path (6.2).
    pub fn target_request(&self, target: &TargetFile) -> FetchRequest {
        let hash = target.hashes.sha256().map(|hash| hash.to_string()).or_else(|| target.hashes.sha512_hex());
        self.target_request_by(target, &hash.unwrap_or_default())
    }

    /// What to fetch where the repository has no file of that name: a target may be kept under any one of its hashes.
    pub fn target_request_by_sha512(&self, target: &TargetFile) -> Option<FetchRequest> {
        let is_another = self.root.consistent_snapshot && target.hashes.sha256().is_some();
        Some(self.target_request_by(target, &target.hashes.sha512_hex().filter(|_| is_another)?))
    }

    fn target_request_by(&self, target: &TargetFile, hash: &str) -> FetchRequest {
        let path = target.path.as_str();
        let named = match (self.root.consistent_snapshot, path.rsplit_once('/')) {
            (false, _) => path.to_owned(),
            (true, Some((folders, name))) => format!("{folders}/{hash}.{name}"),
            (true, None) => format!("{hash}.{path}"),
        };
        let limit = self.settings.limits.target_bytes;
        FetchRequest {
            base: FetchBase::Targets,
            // What RFC 3986 allows in a path stays readable, `@` and `:` of image references above all.
            path: percent_encoded(&named, b"/!$&'()*+,;=:@"),
            max_bytes: target.length.min(limit),
        }
    }

    /// That nothing has expired since it was verified.
    pub(super) fn unexpired(&self, now: Timestamp) -> Result<(), Error> {
        // For each image of each review.
        let ends =
            [self.root.header(), self.timestamp.file.header(), self.snapshot.file.header(), self.targets.header()];
        if ends.iter().all(|header| now < header.expires) {
            return Ok(());
        }
        self.files().into_iter().try_for_each(|(role, header)| unexpired(&role, header, now))
    }

    fn files(&self) -> [(Role, Header); 4] {
        [
            (Role::Root, self.root.header()),
            (Role::Timestamp, self.timestamp.file.header()),
            (Role::Snapshot, self.snapshot.file.header()),
            (Role::Targets(RoleChain::top()), self.targets.header()),
        ]
    }
}

/// Whatever ends at an instant is no longer valid at that instant itself.
fn last_before(ends: Timestamp) -> Timestamp {
    ends.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(ends)
}

/// One of the roles whose keys stand in the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopLevel {
    /// Who signs what.
    Root,
    /// Which snapshot is current.
    Timestamp,
    /// Which versions belong together.
    Snapshot,
    /// Which target files there are.
    Targets,
}
