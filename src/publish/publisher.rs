//! A repository and the keys at hand: what a release engineer works with.

use std::{fs::File, path::Path};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    Editor, Error, KeyRing, Plan,
    delegations::covers,
    folder, init,
    verify::{authority, delegator, verify},
};
use crate::tuf::{RoleChain, RoleName};

/// A repository that is changed only in ways that verify: what is there was verified before anything is signed on top
/// of it, and every change raises versions. Changes are drafts until [`Publisher::commit`].
pub struct Publisher {
    pub(super) editor: Editor,
    pub(super) keys: KeyRing,
    pub(super) now: Timestamp,
    /// Held until the publisher is dropped.
    _lock: Option<File>,
}

/// A role as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleStatus {
    /// The role.
    pub role: RoleName,
    /// Its version.
    pub version: u64,
    /// When it expires.
    pub expires: Timestamp,
    /// How many keys must sign.
    pub threshold: u64,
    /// How many keys it has.
    pub keys: usize,
    /// How many of them are at hand.
    pub at_hand: usize,
    /// Targets that it lists.
    pub targets: usize,
}

impl Publisher {
    /// Drafts a new repository in `dir`. `keys` are those of [`Plan::generate_keys`]; save them before committing.
    pub fn init(dir: &Path, keys: KeyRing, plan: &Plan, now: Timestamp) -> Result<Self, Error> {
        init::init(dir, keys, plan, now)
    }

    /// Reads a repository and verifies it, starting from the root that the keys came with: a folder on a web server is
    /// not where trust comes from. Expiry is not looked at, as renewing what has expired is what one comes for.
    pub fn open(dir: &Path, mut keys: KeyRing, now: Timestamp) -> Result<Self, Error> {
        let lock = folder::lock(dir)?;
        let editor = Editor::open(dir)?;
        verify(dir, &editor, &keys)?;
        keys.meet_all(&editor);
        Ok(Self { _lock: Some(lock), ..Self::over(editor, keys, now) })
    }

    pub(super) fn over(editor: Editor, keys: KeyRing, now: Timestamp) -> Self {
        // Metadata has whole seconds; what is reported is what is written.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self { editor, keys, now, _lock: None }
    }

    /// The metadata as it stands, with drafts.
    pub fn editor(&self) -> &Editor {
        &self.editor
    }

    /// The keys at hand.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Ends in the parts, for those who want to go on without restraint.
    pub fn into_parts(self) -> (Editor, KeyRing) {
        (self.editor, self.keys)
    }

    /// Marks a role to be signed anew by the next commit, with a higher version and a later expiry.
    pub fn renew(&mut self, role: &str) -> Result<(), Error> {
        self.load(&role.into())?;
        self.editor.edit(role).map(|_| ())
    }

    /// Remembers every role as it stands, as if it had been signed here.
    pub(super) fn remember_all(&mut self) -> Result<(), Error> {
        let editor = &self.editor;
        let roles = editor.roles();
        let documents = roles.iter().filter_map(|role| Some((role.clone(), editor.document(role.as_str())?)));
        self.keys.remember(documents)
    }

    /// Every role that has been read, from the top down: all but bins.
    pub fn status(&self) -> Result<Vec<RoleStatus>, Error> {
        let mut roles: Vec<RoleName> = ["root", "timestamp", "snapshot", "targets"].map(RoleName::from).into();
        let rest = self.editor.roles().into_iter().filter(|role| !roles.contains(role)).collect::<Vec<_>>();
        roles.extend(rest);
        roles.iter().map(|role| self.role_status(role)).collect()
    }

    fn role_status(&self, role: &RoleName) -> Result<RoleStatus, Error> {
        let signed = self.editor.signed(role.as_str())?;
        let (objects, entry) = self.authority(role.as_str())?;
        let expires = signed["expires"].as_str().and_then(|text| text.parse().ok());
        Ok(RoleStatus {
            role: role.clone(),
            version: self.editor.version(role.as_str())?,
            expires: expires.ok_or_else(|| Error::member(role, "expires"))?,
            threshold: entry["threshold"].as_u64().unwrap_or_default(),
            keys: entry["keyids"].as_array().map_or(0, Vec::len),
            at_hand: self.keys.signers(objects, entry).len(),
            targets: signed["targets"].as_object().map_or(0, Map::len),
        })
    }

    /// The key objects and the entry (key ids, threshold) by which a role is verified. The entry of a delegated role
    /// is that of the first role that delegates to it.
    pub(super) fn authority(&self, role: &str) -> Result<(&Value, &Value), Error> {
        authority(&self.editor, &role.into()).ok_or_else(|| Error::NoSuchRole(role.into()))
    }

    /// Refuses a target path that `role` was not given, all the way down from the top-level role.
    pub(super) fn check_delegated(&self, role: &str, path: &str) -> Result<(), Error> {
        let delegations = self.delegations(role)?;
        if delegations.iter().all(|(role, entry)| covers(role, entry, path)) {
            return Ok(());
        }
        Err(Error::NotDelegated { role: role.into(), path: path.to_owned() })
    }

    /// The path of delegations to a role, as policies name it.
    pub fn chain(&self, role: &str) -> Result<RoleChain, Error> {
        let delegations = self.delegations(role)?;
        Ok(delegations.iter().rev().fold(RoleChain::top(), |chain, (role, _)| chain.child(role)))
    }

    /// A role and the roles above it up to and without `targets`, each with the entry that delegates to it.
    pub(super) fn delegations(&self, role: &str) -> Result<Vec<(RoleName, &Value)>, Error> {
        let mut below = RoleName::from(role);
        let mut found = Vec::new();
        // A cycle ends after as many turns as there are roles.
        for _ in 0..=self.editor.roles().len() {
            if below.as_str() == "targets" {
                return Ok(found);
            }
            let (parent, entry) = delegator(&self.editor, &below).ok_or_else(|| Error::NoSuchRole(below.clone()))?;
            found.push((below, entry));
            below = parent;
        }
        Err(Error::NoSuchRole(role.into()))
    }
}

#[cfg(test)]
mod tests;
