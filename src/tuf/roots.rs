//! TUF 5.2 and 5.3: from the pinned root to the newest, and what an earlier run has seen.

use std::sync::Arc;

use super::{
    Error, FetchRequest,
    check::{at_least_minimum, metadata_request, unexpired},
    limits::Settings,
    metadata::{Body, MetaFile, Root, Signed, Snapshot, Targets, Timestamp},
    name::Role,
    stored::{FileBytes, Notice, Stored},
    trusted::Trusted,
    verify::{Authority, RoleKeys, Verified},
    workflow::Timestamps,
};

/// A verified file and the bytes it was read from: what can be handed on as signed evidence.
#[derive(Debug, Clone)]
pub(super) struct Kept<T> {
    pub(super) file: Verified<T>,
    pub(super) bytes: FileBytes,
}

/// A verified file of an earlier refresh.
#[derive(Debug, Clone)]
pub(super) struct Seen<T> {
    pub(super) kept: Arc<Kept<T>>,
    /// Whether it is signed as the newest root demands. If not, it is still a floor for versions.
    pub(super) is_current: bool,
}

/// A top-level targets file of an earlier refresh.
#[derive(Debug, Clone)]
pub(super) enum SeenTargets {
    Nothing,
    Unverified(FileBytes),
    Verified { file: Arc<Verified<Targets>>, listed: MetaFile, root: Arc<Verified<Root>> },
}

impl Root {
    pub(super) fn authority<'a>(&'a self, signers: &'a RoleKeys) -> Authority<'a> {
        Authority { role: &Role::Root, version: self.header.version, keys: &self.keys, signers }
    }

    /// Whether `newer` lacks a key that this root let sign timestamps or snapshots.
    pub(super) fn loses_online_keys_in(&self, newer: &Self) -> bool {
        [(&self.timestamp, &newer.timestamp), (&self.snapshot, &newer.snapshot)].into_iter().any(|(old, new)| {
            let (old, new) = (self.keys.signers(old), newer.keys.signers(new));
            !new.materials.is_superset(&old.materials)
        })
    }
}

/// 5.2, 5.3: the chain of roots, from the pinned one on.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) settings: Arc<Settings>,
    pub(super) root: Arc<Verified<Root>>,
    /// The bytes of every root after the pinned one.
    pub(super) chain: Vec<FileBytes>,
    /// The roots since keys of timestamp or snapshot were last taken away, the newest last.
    era: Vec<Arc<Verified<Root>>>,
    /// The version of the root under which `is_current` was found out.
    recalled_under: u64,
    pub(super) timestamp: Option<Seen<Timestamp>>,
    pub(super) snapshot: Option<Seen<Snapshot>>,
    pub(super) targets: SeenTargets,
}

impl Roots {
    /// 5.2: the root that was handed out out of band. It must be signed by its own keys.
    pub(super) fn pinned(bytes: &[u8], settings: Arc<Settings>) -> Result<Self, Error> {
        let root = Signed::<Root>::parse(&Role::Root, &Arc::new(bytes.to_vec()))
            .and_then(|file| file.verify_by_itself(&Role::Root, |root| root.authority(&root.root)))
            .map_err(|error| Error::PinnedRoot(Box::new(error)))?;
        let root = Arc::new(root);
        Ok(Self {
            settings,
            era: vec![root.clone()],
            recalled_under: root.header.version,
            root,
            chain: vec![],
            timestamp: None,
            snapshot: None,
            targets: SeenTargets::Nothing,
        })
    }

    /// Goes on from an earlier result.
    pub(super) fn after(trusted: &Trusted, settings: Arc<Settings>) -> Self {
        let root = trusted.root.clone();
        Self {
            settings,
            era: vec![root.clone()],
            recalled_under: root.header.version,
            chain: trusted.chain.clone(),
            timestamp: Some(Seen { kept: trusted.timestamp.clone(), is_current: true }),
            snapshot: Some(Seen { kept: trusted.snapshot.clone(), is_current: true }),
            targets: SeenTargets::Verified {
                file: trusted.targets.clone(),
                listed: trusted.snapshot.file.targets.clone(),
                root: root.clone(),
            },
            root,
        }
    }

    /// Takes up what an earlier run stored. Nothing of it is believed unless it verifies.
    pub(super) fn remember(&mut self, stored: Stored) -> Vec<Notice> {
        let mut notices = Vec::new();
        for bytes in &stored.roots {
            match self.step(&Arc::new(bytes.clone())) {
                Ok(_) => {}
                // The pinned root has caught up with it.
                Err(Error::VersionMismatch { expected, actual, .. }) if actual < expected => {}
                Err(error) => notices.push(Notice::Ignored { role: Role::Root, error }),
            }
        }
        // Under any root of the era: raising a threshold must not make a client forget what it has seen. Expiry does not
        // matter for a floor.
        self.timestamp = self.recall(stored.timestamp, &Role::Timestamp, |root| &root.timestamp, &mut notices);
        self.snapshot = self.recall(stored.snapshot, &Role::Snapshot, |root| &root.snapshot, &mut notices);
        self.recalled_under = self.version();
        self.targets = stored.targets.map_or(SeenTargets::Nothing, |bytes| SeenTargets::Unverified(Arc::new(bytes)));
        notices
    }

    fn recall<T: Body>(
        &self,
        bytes: Option<Vec<u8>>,
        role: &Role,
        signers: impl Fn(&Root) -> &RoleKeys,
        notices: &mut Vec<Notice>,
    ) -> Option<Seen<T>> {
        let bytes = Arc::new(bytes?);
        let recalled = Signed::<T>::parse(role, &bytes).and_then(|file| {
            let fits = |root: &Verified<Root>| file.check(role, root.authority(signers(root)));
            let newest = fits(&self.root);
            let is_current = newest.is_ok();
            let witness = match newest {
                Ok(()) => &self.root,
                Err(error) => self.era.iter().rev().find(|root| fits(root).is_ok()).ok_or(error)?,
            };
            let file = file.verify(role, witness.authority(signers(witness)))?;
            Ok(Seen { kept: Arc::new(Kept { file, bytes }), is_current })
        });
        recalled.map_err(|error| notices.push(Notice::Ignored { role: role.clone(), error })).ok()
    }

    /// The version of the newest root so far.
    pub(super) fn version(&self) -> u64 {
        self.root.header.version
    }

    /// 5.3.3: the next root.
    pub(super) fn request(&self) -> FetchRequest {
        let next = self.version().saturating_add(1);
        metadata_request(format!("{next}.root.json"), self.settings.limits.root_bytes)
    }

    /// 5.3.4 to 5.3.9, 5.3.11: one root after the other. Says whether timestamp and snapshot are forgotten by it.
    pub(super) fn step(&mut self, bytes: &FileBytes) -> Result<bool, Error> {
        let file = Signed::<Root>::parse(&Role::Root, bytes)?;
        // 5.3.5: exactly the next version. First, so that a root already known is recognised as such.
        let (present, actual) = (self.version(), file.body.header.version);
        if present.checked_add(1) != Some(actual) {
            return Err(Error::VersionMismatch { role: Role::Root, expected: present.saturating_add(1), actual });
        }
        // 5.3.4: signed by the keys of the root before, and by its own.
        file.check(&Role::Root, self.root.authority(&self.root.root))?;
        let root = Arc::new(file.verify_by_itself(&Role::Root, |root| root.authority(&root.root))?);
        // 5.3.6: that it may be expired does not matter for a step.
        // 5.3.11, fast-forward recovery: only where a key is taken away. While every old key still signs, dropping the
        // floors would let an old key roll the repository back.
        let forgets = self.root.loses_online_keys_in(&root);
        if forgets {
            self.era.clear();
            self.timestamp = None;
            self.snapshot = None;
        }
        self.era.push(root.clone());
        self.chain.push(bytes.clone());
        self.root = root;
        Ok(forgets)
    }

    /// 5.3.10: only the last root must not be expired.
    pub(super) fn finish(mut self, now: jiff::Timestamp) -> Result<Timestamps, Error> {
        at_least_minimum(&Role::Root, self.root.header(), &self.settings)?;
        unexpired(&Role::Root, self.root.header(), now)?;
        self.settle();
        Ok(Timestamps { before: self })
    }

    /// Finds out again, after further roots, which files are signed as the newest one demands.
    pub(super) fn settle(&mut self) {
        if self.version() != self.recalled_under {
            let newest = self.root.clone();
            renew(&mut self.timestamp, &Role::Timestamp, newest.authority(&newest.timestamp));
            renew(&mut self.snapshot, &Role::Snapshot, newest.authority(&newest.snapshot));
            self.recalled_under = self.version();
        }
    }
}

fn renew<T: Body>(seen: &mut Option<Seen<T>>, role: &Role, authority: Authority<'_>) {
    if let Some(seen) = seen {
        let again = Signed::<T>::parse(role, &seen.kept.bytes).and_then(|file| file.check(role, authority));
        seen.is_current = again.is_ok();
    }
}
