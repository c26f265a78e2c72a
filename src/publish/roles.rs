//! Changing who signs: new keys for a role, new roles.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::{
    Error, NewKey, Publisher, RoleKeyPlan, Side,
    commit::set_validity,
    init::check_role_name,
    key::default_keyid,
    metadata::{self, RoleKeys, Scope},
    verify::delegator,
};
use crate::{crypto::KeyId, tuf::RoleName};

/// A role to be delegated to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRole {
    /// Its name.
    pub name: String,
    /// The role that delegates to it: `targets`.
    pub parent: String,
    /// What it may sign.
    pub scope: Scope,
    /// Whether the search for a path ends with it.
    pub terminating: bool,
    /// How many of its keys must sign.
    pub threshold: u32,
    /// For how long it holds each time it is signed.
    pub validity: SignedDuration,
}

impl Publisher {
    /// Replaces all keys of a role by `keys`, which are kept on `side`. Metadata signed with the old ones stops to
    /// count with the next commit; no client needs to be told. A root is signed with its old keys too.
    pub fn rotate<K: Into<NewKey>>(
        &mut self,
        role: &str,
        side: Side,
        keys: Vec<K>,
        threshold: u32,
    ) -> Result<(), Error> {
        let keys: Vec<NewKey> = keys.into_iter().map(Into::into).collect();
        let listed = listed(role, &keys, threshold)?;
        let ids: Vec<&str> = listed.keys.keys().map(KeyId::as_str).collect();
        let name = RoleName::from(role);
        if is_top_level(role) {
            let root = self.editor.edit("root")?;
            let entry = root.pointer_mut(&format!("/roles/{role}")).ok_or_else(|| Error::NoSuchRole(name.clone()))?;
            metadata::set(entry, "keyids", json!(ids));
            metadata::set(entry, "threshold", threshold.into());
            let entries = root.get("roles").and_then(Value::as_object).into_iter().flat_map(Map::values);
            let used = used_keyids(entries);
            replace_keys(root.get_mut("keys"), &listed, &used).ok_or_else(|| Error::member(&"root".into(), "keys"))?;
            self.renew(role)?;
        } else {
            let (parent, roles) = match delegator(&self.editor, &name) {
                Some((parent, _)) => (parent, vec![name]),
                // Bins share their keys.
                None => {
                    let group = self.bin_group(role).ok_or_else(|| Error::NoSuchRole(name.clone()))?;
                    (group.parent, group.bins)
                }
            };
            for role in &roles {
                self.load(role)?;
            }
            let entries = self.editor.edit(parent.as_str())?.get_mut("delegations");
            let entries = entries.ok_or_else(|| Error::member(&parent, "delegations"))?;
            let names: BTreeSet<&str> = roles.iter().map(RoleName::as_str).collect();
            let is_it = |entry: &Value| entry["name"].as_str().is_none_or(|name| names.contains(name));
            for entry in members_mut(entries).filter(|entry| is_it(entry)) {
                metadata::set(entry, "keyids", json!(ids));
                metadata::set(entry, "threshold", threshold.into());
            }
            let used = used_keyids(members_mut(entries).map(|entry| &*entry));
            replace_keys(entries.get_mut("keys"), &listed, &used)
                .ok_or_else(|| Error::member(&parent, "delegations.keys"))?;
            for role in &roles {
                self.renew(role.as_str())?;
            }
        }
        self.take_keys(side, role, keys, &listed)
    }

    /// Delegates to a new role, asked after those that are there, and makes it, empty.
    pub fn delegate<K: Into<NewKey>>(&mut self, new: &NewRole, side: Side, keys: Vec<K>) -> Result<(), Error> {
        let keys: Vec<NewKey> = keys.into_iter().map(Into::into).collect();
        let listed = listed(&new.name, &keys, new.threshold)?;
        self.delegate_to(new, &listed)?;
        self.take_keys(side, &new.name, keys, &listed)
    }

    /// The same with keys that are kept already. The threshold is theirs.
    pub(super) fn delegate_to(&mut self, new: &NewRole, keys: &RoleKeys) -> Result<(), Error> {
        check_role_name(&new.name)?;
        let name = RoleName::from(new.name.as_str());
        if self.editor.roles().contains(&name) {
            return Err(Error::RoleExists(name));
        }
        check_parent(&new.parent)?;
        self.load(&RoleName::from(new.parent.as_str()))?;
        if self.editor.signed(&new.parent)?.pointer("/delegations/succinct_roles").is_some() {
            return Err(Error::input(new.parent.clone(), "it delegates to succinct bins, and so to nothing else"));
        }
        metadata::delegate(self.editor.edit(&new.parent)?, &new.name, keys, &new.scope, new.terminating);
        let mut signed = metadata::targets(0, self.now);
        set_validity(&mut signed, new.validity);
        self.editor.put(&new.name, signed);
        Ok(())
    }

    /// Keeps the keys that were made here, and finds those that sign elsewhere.
    pub(super) fn take_keys(
        &mut self,
        side: Side,
        role: &str,
        keys: Vec<NewKey>,
        listed: &RoleKeys,
    ) -> Result<(), Error> {
        let made = keys.into_iter().filter_map(|key| match key {
            NewKey::Made(key) => Some(key),
            NewKey::Public(_) => None,
        });
        self.keys.add_new(side, role, made.collect())?;
        let objects = listed.keys.iter().map(|(keyid, object)| (keyid.as_str().to_owned(), object.clone()));
        self.keys.meet(&Value::Object(objects.collect()));
        Ok(())
    }
}

pub(super) fn is_top_level(role: &str) -> bool {
    matches!(role, "root" | "targets" | "snapshot" | "timestamp")
}

pub(super) fn check_parent(parent: &str) -> Result<(), Error> {
    if matches!(parent, "root" | "snapshot" | "timestamp") {
        return Err(Error::input("parent", format!("{parent} delegates nothing")));
    }
    Ok(())
}

/// The entries of delegations: those that are listed, and the one of all succinct bins, which has no name.
fn members_mut(delegations: &mut Value) -> impl Iterator<Item = &mut Value> {
    let members = delegations.as_object_mut().into_iter().flat_map(Map::iter_mut);
    members.flat_map(|(member, value)| match (member.as_str(), value) {
        ("roles", Value::Array(roles)) => roles.iter_mut().collect(),
        ("succinct_roles", entry) => vec![entry],
        _ => Vec::new(),
    })
}

/// The key objects of a role's new keys, if they can meet its threshold.
pub(super) fn listed(role: &str, keys: &[NewKey], threshold: u32) -> Result<RoleKeys, Error> {
    let mut listed = RoleKeys { keys: BTreeMap::new(), threshold };
    for key in keys {
        let object = key.object()?;
        listed.keys.insert(default_keyid(&object), object);
    }
    let count = u32::try_from(listed.keys.len()).unwrap_or(u32::MAX);
    RoleKeyPlan { keys: count, threshold }.check(role)?;
    Ok(listed)
}

fn used_keyids<'a>(entries: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    let keyids = entries.filter_map(|entry| entry["keyids"].as_array()).flatten();
    keyids.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Adds a role's key objects and drops those that no role uses any more.
fn replace_keys(objects: Option<&mut Value>, listed: &RoleKeys, used: &BTreeSet<String>) -> Option<()> {
    let objects = objects?.as_object_mut()?;
    objects.extend(listed.keys.iter().map(|(keyid, object)| (keyid.as_str().to_owned(), object.clone())));
    objects.retain(|keyid, _| used.contains(keyid));
    Some(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::publish::{KeyRing, Plan, SigningKey};

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::ed25519_from_seed([seed; 32])
    }

    /// A repository on disk, reopened with the keys of its folder.
    fn publisher(temp: &tempfile::TempDir) -> Publisher {
        let (dir, keys) = (temp.path().join("repo"), temp.path().join("keys"));
        if !keys.exists() {
            let plan = Plan { root: RoleKeyPlan { keys: 3, threshold: 2 }, ..Plan::default() };
            let mut ring = plan.keys_from_seed("test").unwrap();
            ring.save_to(&keys).unwrap();
            Publisher::init(&dir, ring, &plan, now()).unwrap().commit().unwrap();
        }
        Publisher::open(&dir, KeyRing::open(&keys).unwrap(), now()).unwrap()
    }

    #[test]
    fn a_rotated_root_is_signed_by_its_old_and_its_new_keys() {
        let temp = tempfile::tempdir().unwrap();
        let mut changed = publisher(&temp);
        changed.rotate("root", Side::Offline, vec![key(1), key(2)], 2).unwrap();
        let commit = changed.commit().unwrap();
        assert_eq!(commit.version("root"), Some(2));
        assert_eq!(commit.signed[0].keyids.len(), 5);
        assert_eq!(
            changed.editor().signed("root").unwrap()["keys"].as_object().unwrap().len(),
            5,
            "the old ones are gone"
        );
        drop(changed);
        assert_eq!(publisher(&temp).editor().version("root"), Ok(2), "and verifies, from the new one on");
        std::fs::remove_file(temp.path().join("keys/root.json")).unwrap();
        std::fs::copy(temp.path().join("repo/metadata/1.root.json"), temp.path().join("keys/root.json")).unwrap();
        assert_eq!(publisher(&temp).editor().version("root"), Ok(2), "and from the first one on");
    }

    #[test]
    fn a_root_is_not_rotated_without_its_old_keys() {
        let temp = tempfile::tempdir().unwrap();
        drop(publisher(&temp));
        for number in [1, 2] {
            std::fs::remove_file(temp.path().join(format!("keys/offline/root-{number}.pem"))).unwrap();
        }
        let mut changed = publisher(&temp);
        changed.rotate("root", Side::Offline, vec![key(1)], 1).unwrap();
        assert!(matches!(changed.commit(), Err(Error::MissingKeys { threshold: 2, available: 1, .. })));
    }

    #[test]
    fn new_keys_of_online_roles_take_over_with_the_next_commit() {
        let temp = tempfile::tempdir().unwrap();
        let mut changed = publisher(&temp);
        changed.rotate("timestamp", Side::Online, vec![key(1)], 1).unwrap();
        changed.rotate("images", Side::Online, vec![key(2), key(3)], 2).unwrap();
        let commit = changed.commit().unwrap();
        for (role, keys) in [("timestamp", vec![key(1)]), ("images", vec![key(2), key(3)])] {
            let signed = commit.signed.iter().find(|signed| signed.role.as_str() == role).unwrap();
            let wanted: BTreeSet<KeyId> = keys.iter().map(|key| key.keyid().unwrap()).collect();
            assert_eq!(signed.keyids.iter().cloned().collect::<BTreeSet<_>>(), wanted, "{role}");
        }
        drop(changed);
        let mut again = publisher(&temp);
        again.renew("images").unwrap();
        assert_eq!(again.commit().unwrap().version("images"), Some(3), "the new keys are in the folder");
    }

    #[test]
    fn a_new_role_signs_what_it_was_given() {
        let temp = tempfile::tempdir().unwrap();
        let mut changed = publisher(&temp);
        let new = NewRole {
            name: "team".to_owned(),
            parent: "targets".to_owned(),
            scope: Scope::Paths(vec!["registry.example/team/*".to_owned()]),
            terminating: true,
            threshold: 1,
            validity: SignedDuration::from_hours(24),
        };
        changed.delegate(&new, Side::Online, vec![key(1)]).unwrap();
        changed.commit().unwrap();
        assert!(changed.check_delegated("team", "registry.example/team/app:1").is_ok());
        assert!(changed.check_delegated("team", "registry.example/other:1").is_err());
        assert_eq!(changed.editor().signed("snapshot").unwrap()["meta"]["team.json"]["version"], 1);

        let again = changed.delegate(&new, Side::Online, vec![key(2)]);
        assert_eq!(again, Err(Error::RoleExists("team".into())));
        for (name, parent, threshold) in
            [("a/b", "targets", 1), ("targets", "targets", 1), ("b", "root", 1), ("b", "targets", 2)]
        {
            let (name, parent) = (name.to_owned(), parent.to_owned());
            let refused =
                changed.delegate(&NewRole { name, parent, threshold, ..new.clone() }, Side::Online, vec![key(2)]);
            assert!(matches!(refused, Err(Error::Input { .. } | Error::RoleExists(_))));
        }
    }
}
