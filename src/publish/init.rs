//! Making a new repository.

use std::{collections::BTreeMap, path::Path};

use jiff::{SignedDuration, Timestamp};

use super::{
    Editor, Error, KeyRing, Publisher, Side, SigningKey,
    commit::set_validity,
    folder,
    metadata::{self, RoleKeys, Scope},
    roles::is_top_level,
};
use crate::crypto::{Scheme, Sha256};

/// How many keys a role has and how many must sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleKeyPlan {
    /// Keys of the role.
    pub keys: u32,
    /// How many of them must sign.
    pub threshold: u32,
}

/// What a new repository looks like: the four top-level roles, root and targets offline, and one delegated online role
/// that signs images and links (in-toto ITE-2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Keys of root.
    pub root: RoleKeyPlan,
    /// Keys of the top-level targets role, which signs layouts, their keys and revocations.
    pub targets: RoleKeyPlan,
    /// Keys of the online role.
    pub online: RoleKeyPlan,
    /// The name of the online role; empty for none: a tree of another shape is delegated to afterwards.
    pub online_role: String,
    /// What the online role may sign.
    pub scope: Scope,
    /// How long root and targets hold.
    pub offline_validity: SignedDuration,
    /// How long the online role holds.
    pub online_validity: SignedDuration,
    /// How long a snapshot holds.
    pub snapshot_validity: SignedDuration,
    /// How long a timestamp holds.
    pub timestamp_validity: SignedDuration,
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Default for Plan {
    fn default() -> Self {
        let one = RoleKeyPlan { keys: 1, threshold: 1 };
        Self {
            root: one,
            targets: one,
            online: one,
            online_role: "images".to_owned(),
            scope: Scope::everything(),
            offline_validity: DAY * 365,
            online_validity: DAY * 14,
            snapshot_validity: DAY * 7,
            timestamp_validity: DAY,
        }
    }
}

impl Plan {
    /// The roles with their keys, as this plan has them.
    fn roles(&self) -> Vec<(&str, Side, RoleKeyPlan)> {
        let one = RoleKeyPlan { keys: 1, threshold: 1 };
        let mut roles = vec![
            ("root", Side::Offline, self.root),
            ("targets", Side::Offline, self.targets),
            ("snapshot", Side::Online, one),
            ("timestamp", Side::Online, one),
        ];
        roles.extend((!self.online_role.is_empty()).then_some((&*self.online_role, Side::Online, self.online)));
        roles
    }

    /// New keys of one scheme for every role.
    pub fn generate_keys(&self, scheme: Scheme) -> Result<KeyRing, Error> {
        self.keys(|_| SigningKey::generate(scheme).map_err(Error::from))
    }

    /// The same ed25519 keys for the same seed: for tests and demonstrations only.
    pub fn keys_from_seed(&self, seed: &str) -> Result<KeyRing, Error> {
        self.keys(|name| Ok(SigningKey::ed25519_from_seed(*Sha256::of(format!("{seed}/{name}").as_bytes()).as_bytes())))
    }

    fn keys(&self, make: impl Fn(&str) -> Result<SigningKey, Error>) -> Result<KeyRing, Error> {
        self.check()?;
        let mut ring = KeyRing::new();
        for (role, side, plan) in self.roles() {
            for number in 1..=plan.keys {
                let name = format!("{role}-{number}");
                let key = make(&name)?;
                ring.add(side, &name, key)?;
            }
        }
        Ok(ring)
    }

    fn check(&self) -> Result<(), Error> {
        for (role, _, plan) in self.roles() {
            plan.check(role)?;
        }
        if !self.online_role.is_empty() {
            check_role_name(&self.online_role)?;
        }
        let validities = [
            ("timestamp", self.timestamp_validity),
            ("snapshot", self.snapshot_validity),
            ("online", self.online_validity),
            ("offline", self.offline_validity),
        ];
        for (which, validity) in validities {
            if !validity.is_positive() {
                return Err(Error::input(format!("{which} validity"), "not longer than nothing"));
            }
        }
        Ok(())
    }
}

impl RoleKeyPlan {
    pub(super) fn check(self, role: &str) -> Result<(), Error> {
        if self.threshold == 0 || self.threshold > self.keys {
            let reason = format!("threshold {} with {} keys", self.threshold, self.keys);
            return Err(Error::input(format!("role {role}"), reason));
        }
        Ok(())
    }
}

/// Refuses names of top-level roles and those that are percent-encoded in file names, which many web servers do not
/// find again.
pub(super) fn check_role_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || is_top_level(name) || !name.chars().all(plain) {
        let reason =
            "a delegated role is named with letters, digits, \".\", \"_\" and \"-\", and not like a top-level role";
        return Err(Error::input(format!("role {name:?}"), reason));
    }
    Ok(())
}

/// Drafts a new repository in `dir`; [`Publisher::commit`] signs and writes it. `keys` holds the plan's keys by name.
pub(super) fn init(dir: &Path, keys: KeyRing, plan: &Plan, now: Timestamp) -> Result<Publisher, Error> {
    plan.check()?;
    if folder::exists(&dir.join("metadata"))? {
        return Err(Error::Exists(dir.join("metadata")));
    }
    let mut listed = BTreeMap::new();
    for (role, _, key_plan) in plan.roles() {
        let made = keys.made_for(role);
        if made.len() != key_plan.keys as usize {
            let reason = format!("{} keys wanted, {} given", key_plan.keys, made.len());
            return Err(Error::input(format!("role {role}"), reason));
        }
        listed.insert(role, RoleKeys::of(&made, key_plan.threshold)?);
    }
    let online = listed.remove(plan.online_role.as_str());
    // Versions and expiries are set when the drafts are signed; version 0 becomes 1.
    let mut root = metadata::root(0, now, &listed);
    set_validity(&mut root, plan.offline_validity);
    let mut targets = metadata::targets(0, now);
    set_validity(&mut targets, plan.offline_validity);
    let images = online.map(|online| {
        metadata::delegate(&mut targets, &plan.online_role, &online, &plan.scope, false);
        let mut images = metadata::targets(0, now);
        set_validity(&mut images, plan.online_validity);
        images
    });
    let mut snapshot = metadata::snapshot(0, now, serde_json::Map::new());
    set_validity(&mut snapshot, plan.snapshot_validity);
    let mut timestamp = metadata::timestamp(0, now, serde_json::json!({}));
    set_validity(&mut timestamp, plan.timestamp_validity);

    let mut editor = Editor::new(dir);
    editor.put("root", root);
    editor.put("targets", targets);
    if let Some(images) = images {
        editor.put(&plan.online_role, images);
    }
    editor.put("snapshot", snapshot);
    editor.put("timestamp", timestamp);
    Ok(Publisher::over(editor, keys, now))
}
