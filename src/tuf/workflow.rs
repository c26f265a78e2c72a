//! TUF 5.4 to 5.6 as a line of states: [`Timestamps`] → [`Snapshots`] → [`TargetsFiles`] → [`Trusted`].
//!
//! Each state holds only what earlier steps verified, and a step that fails ends the line, so no check can be passed
//! over or run out of order.

use std::sync::Arc;

use super::{
    Error, FetchRequest,
    check::{at_least_minimum, exactly, fresh, metadata_request, not_older, role_request, unexpired, verify_targets},
    lookup::Visit,
    metadata::{Signed, Snapshot, Targets, Timestamp},
    name::{Role, RoleChain, RoleName},
    roots::{Kept, Roots, Seen, SeenTargets},
    stored::{FileBytes, Notice, Persist},
    trusted::Trusted,
    verify::Verified,
};

/// 5.4: the root is final.
#[derive(Debug)]
pub(super) struct Timestamps {
    pub(super) before: Roots,
}

impl Timestamps {
    pub(super) fn request(&self) -> FetchRequest {
        metadata_request("timestamp.json".to_owned(), self.before.settings.limits.timestamp_bytes)
    }

    /// The stored timestamp, where nothing may be fetched.
    pub(super) fn stored(mut self, now: jiff::Timestamp) -> Result<Snapshots, Error> {
        let kept = self.before.timestamp.take().filter(|seen| seen.is_current);
        let kept = kept.ok_or(Error::NotStored { role: Role::Timestamp })?.kept;
        self.accept(kept, now)
    }

    /// 5.4.2 to 5.4.5. Says also whether the bytes are a new timestamp, to be stored.
    pub(super) fn offer(
        mut self,
        bytes: FileBytes,
        now: jiff::Timestamp,
        notices: &mut Vec<Notice>,
    ) -> Result<(Snapshots, bool), Error> {
        let role = &Role::Timestamp;
        let root = &self.before.root;
        let file = Signed::<Timestamp>::parse(role, &bytes)?.verify(role, root.authority(&root.timestamp))?;
        if let Some(Seen { kept, is_current }) = self.before.timestamp.take() {
            // 5.4.3.1
            not_older(role, kept.file.header.version, file.header.version)?;
            if kept.file.header.version == file.header.version && is_current {
                // The stored one stays, whatever the new one says.
                if kept.file.sha256() != file.sha256() {
                    notices.push(Notice::Equivocation {
                        role: role.clone(),
                        version: file.header.version,
                        stored: kept.file.sha256(),
                        offered: Some(file.sha256()),
                    });
                }
                return Ok((self.accept(kept, now)?, false));
            }
            // 5.4.3.2
            not_older(&Role::Snapshot, kept.file.snapshot.version, file.snapshot.version)?;
        }
        let kept = Arc::new(Kept { file, bytes });
        Ok((self.accept(kept, now)?, true))
    }

    fn accept(self, kept: Arc<Kept<Timestamp>>, now: jiff::Timestamp) -> Result<Snapshots, Error> {
        // The timestamp may have been lost while the snapshot was kept.
        if let Some(seen) = &self.before.snapshot {
            not_older(&Role::Snapshot, seen.kept.file.header.version, kept.file.snapshot.version)?;
        }
        let minimum = self.before.settings.minimum.snapshot;
        if kept.file.snapshot.version < minimum {
            let version = kept.file.snapshot.version;
            return Err(Error::BelowMinimum { role: Role::Snapshot, version, minimum });
        }
        // 5.4.4
        fresh(&Role::Timestamp, kept.file.header(), now, &self.before.settings)?;
        Ok(Snapshots { before: self.before, timestamp: kept })
    }
}

/// 5.5: the timestamp is final.
#[derive(Debug)]
pub(super) struct Snapshots {
    before: Roots,
    timestamp: Arc<Kept<Timestamp>>,
}

impl Snapshots {
    pub(super) fn timestamp_to_store(&self) -> Persist {
        let version = self.timestamp.file.header.version;
        Persist::Store { file_name: "timestamp.json", version, bytes: self.timestamp.bytes.clone() }
    }

    pub(super) fn request(&self) -> FetchRequest {
        let listed = &self.timestamp.file.snapshot;
        let limit = self.before.settings.limits.snapshot_bytes;
        role_request(&self.before.root, "snapshot.json", listed, limit)
    }

    /// The stored snapshot, if the timestamp names its version and it is still valid.
    pub(super) fn stored(mut self, now: jiff::Timestamp, notices: &mut Vec<Notice>) -> Result<TargetsFiles, Box<Self>> {
        let listed = &self.timestamp.file.snapshot;
        let kept = match &self.before.snapshot {
            Some(Seen { kept, is_current: true })
                if kept.file.header.version == listed.version
                    && fresh(&Role::Snapshot, kept.file.header(), now, &self.before.settings).is_ok() =>
            {
                kept.clone()
            }
            _ => return Err(Box::new(self)),
        };
        // One version has one content: the one seen first stays.
        if listed.check(&Role::Snapshot, &kept.bytes).is_err() {
            notices.push(Notice::Equivocation {
                role: Role::Snapshot,
                version: listed.version,
                stored: kept.file.sha256(),
                offered: listed.hashes.as_ref().and_then(|hashes| hashes.sha256()),
            });
        }
        self.before.snapshot = None;
        Ok(TargetsFiles { before: self.before, timestamp: self.timestamp, snapshot: kept })
    }

    /// The stored snapshot, where nothing may be fetched. Says what is wrong with it, if it is there.
    pub(super) fn only_stored(self, now: jiff::Timestamp, notices: &mut Vec<Notice>) -> Result<TargetsFiles, Error> {
        self.stored(now, notices).or_else(|this| {
            let seen = this.before.snapshot.as_ref().filter(|seen| seen.is_current);
            let bytes = seen.ok_or(Error::NotStored { role: Role::Snapshot })?.kept.bytes.clone();
            this.offer(bytes, now)
        })
    }

    /// 5.5.2 to 5.5.7.
    pub(super) fn offer(mut self, bytes: FileBytes, now: jiff::Timestamp) -> Result<TargetsFiles, Error> {
        let role = &Role::Snapshot;
        let root = &self.before.root;
        let listed = &self.timestamp.file.snapshot;
        // 5.5.2
        listed.check(role, &bytes)?;
        // 5.5.3
        let file = Signed::<Snapshot>::parse(role, &bytes)?.verify(role, root.authority(&root.snapshot))?;
        // 5.5.4
        exactly(role, listed.version, file.header.version)?;
        // 5.5.5: no role goes back, none disappears.
        if let Some(Seen { kept, .. }) = self.before.snapshot.take() {
            for (name, seen) in kept.file.meta.iter() {
                let Some(now_listed) = file.meta.get(name) else {
                    let (stored, snapshot) = (seen.version, file.header.version);
                    return Err(Error::Removed { file: name.to_owned(), stored, snapshot });
                };
                if now_listed.version < seen.version {
                    let role = listed_role(name);
                    return Err(Error::Rollback { role, stored: seen.version, offered: now_listed.version });
                }
            }
        }
        // 5.5.6
        fresh(role, file.header(), now, &self.before.settings)?;
        let snapshot = Arc::new(Kept { file, bytes });
        Ok(TargetsFiles { before: self.before, timestamp: self.timestamp, snapshot })
    }
}

/// 5.6: the snapshot is final.
#[derive(Debug)]
pub(super) struct TargetsFiles {
    before: Roots,
    timestamp: Arc<Kept<Timestamp>>,
    snapshot: Arc<Kept<Snapshot>>,
}

impl TargetsFiles {
    pub(super) fn snapshot_to_store(&self) -> Persist {
        let version = self.snapshot.file.header.version;
        Persist::Store { file_name: "snapshot.json", version, bytes: self.snapshot.bytes.clone() }
    }

    pub(super) fn request(&self) -> FetchRequest {
        let limit = self.before.settings.limits.targets_bytes;
        role_request(&self.before.root, "targets.json", &self.snapshot.file.targets, limit)
    }

    /// The stored top-level targets file, if it is the listed one and still valid.
    pub(super) fn stored(self, now: jiff::Timestamp) -> Result<Trusted, Box<Self>> {
        let root = &self.before.root;
        let listed = &self.snapshot.file.targets;
        let found = match &self.before.targets {
            SeenTargets::Nothing => None,
            SeenTargets::Unverified(bytes) => self.verify(bytes, now).ok().map(Arc::new),
            SeenTargets::Verified { file, listed: listed_then, root: root_then } => {
                let is_still_signed = root_then.sha256() == root.sha256() || {
                    let then = root_then.keys.signers(&root_then.targets);
                    root.keys.signers(&root.targets).accepts_all_of(&then)
                };
                let is_listed = listed == listed_then || listed.is_known_to_be(file, file.header.version);
                let is_valid = || {
                    unexpired(&top(), file.header(), now).is_ok()
                        && at_least_minimum(&top(), file.header(), &self.before.settings).is_ok()
                };
                (is_still_signed && is_listed && is_valid()).then(|| file.clone())
            }
        };
        match found {
            Some(targets) => Ok(self.trust(targets)),
            None => Err(Box::new(self)),
        }
    }

    /// The stored targets file, where nothing may be fetched. Says what is wrong with it, if it is there.
    pub(super) fn only_stored(self, now: jiff::Timestamp) -> Result<Trusted, Error> {
        match &self.before.targets {
            SeenTargets::Unverified(bytes) => {
                let targets = Arc::new(self.verify(bytes, now)?);
                Ok(self.trust(targets))
            }
            _ => Err(Error::NotStored { role: top() }),
        }
    }

    /// 5.6.2 to 5.6.6.
    pub(super) fn offer(self, bytes: &FileBytes, now: jiff::Timestamp) -> Result<Trusted, Error> {
        let targets = Arc::new(self.verify(bytes, now)?);
        Ok(self.trust(targets))
    }

    fn verify(&self, bytes: &FileBytes, now: jiff::Timestamp) -> Result<Verified<Targets>, Error> {
        let root = &self.before.root;
        let authority = root.authority(&root.targets);
        verify_targets(&top(), bytes, &self.snapshot.file.targets, authority, now, &self.before.settings)
    }

    fn trust(self, targets: Arc<Verified<Targets>>) -> Trusted {
        let Roots { settings, root, chain, .. } = self.before;
        let top = Arc::new(Visit::of(RoleChain::top(), &targets));
        Trusted { settings, root, chain, timestamp: self.timestamp, snapshot: self.snapshot, targets, top }
    }
}

/// The role that a name in the snapshot stands for, as far as it can be told without its delegator.
fn listed_role(file: &str) -> Role {
    match file.strip_suffix(".json").unwrap_or(file) {
        "targets" => top(),
        name => Role::Targets(RoleChain::top().child(&RoleName::from(name))),
    }
}

fn top() -> Role {
    Role::Targets(RoleChain::top())
}
