//! The `signed` part of each TUF role, as values that can be changed at will.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{SigningKey, SigningKeyError};
use crate::crypto::{KeyId, Sha256};

/// The version of the specification that metadata written here follows.
pub const SPEC_VERSION: &str = "1.0.34";

/// The keys of a role and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// Key objects by id.
    pub keys: BTreeMap<KeyId, Value>,
    /// How many must sign.
    pub threshold: u32,
}

/// Which target paths a delegated role may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Paths whose SHA-256 starts with one of these hex digits (TUF 4.5, `path_hash_prefixes`).
    HashPrefixes(Vec<String>),
    /// Paths that fit one of these patterns, in which `*` stops at `/` (TUF 4.5, `paths`).
    Paths(Vec<String>),
}

impl Scope {
    /// Every path. A pattern cannot say that, as `*` stops at `/`; sixteen hash prefixes can.
    pub fn everything() -> Self {
        Self::HashPrefixes("0123456789abcdef".chars().map(String::from).collect())
    }
}

impl RoleKeys {
    /// The public halves of `keys`, under their default ids.
    pub fn of(keys: &[&SigningKey], threshold: u32) -> Result<Self, SigningKeyError> {
        let keys =
            keys.iter().map(|key| Ok((key.keyid()?, key.key_object()?))).collect::<Result<_, SigningKeyError>>()?;
        Ok(Self { keys, threshold })
    }
}

/// `expires` as TUF (4.2.3) and in-toto write it: whole seconds, `Z`.
pub fn instant(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A root that gives these keys to the top-level roles `root`, `timestamp`, `snapshot` and `targets`.
pub fn root(version: u64, expires: Timestamp, roles: &BTreeMap<&str, RoleKeys>) -> Value {
    let mut keys = Map::new();
    let mut listed = Map::new();
    for (name, role) in roles {
        for (keyid, object) in &role.keys {
            keys.insert(keyid.as_str().to_owned(), object.clone());
        }
        listed.insert((*name).to_owned(), keyids_and_threshold(role));
    }
    json!({
        "_type": "root", "spec_version": SPEC_VERSION, "version": version, "expires": instant(expires),
        "consistent_snapshot": true, "keys": keys, "roles": listed,
    })
}

/// A targets role, top-level or delegated, that lists nothing.
pub fn targets(version: u64, expires: Timestamp) -> Value {
    json!({
        "_type": "targets", "spec_version": SPEC_VERSION, "version": version, "expires": instant(expires),
        "targets": {},
    })
}

/// A snapshot of these roles (`targets.json` → its entry).
pub fn snapshot(version: u64, expires: Timestamp, meta: Map<String, Value>) -> Value {
    json!({
        "_type": "snapshot", "spec_version": SPEC_VERSION, "version": version, "expires": instant(expires),
        "meta": meta,
    })
}

/// A timestamp that names one snapshot.
pub fn timestamp(version: u64, expires: Timestamp, snapshot: Value) -> Value {
    json!({
        "_type": "timestamp", "spec_version": SPEC_VERSION, "version": version, "expires": instant(expires),
        "meta": {"snapshot.json": snapshot},
    })
}

/// New metadata of a role over its old one: members that the new one does not have stay as they are, and so does the
/// version of the specification.
pub fn over(old: Option<&Value>, mut new: Value) -> Value {
    for (name, value) in old.and_then(Value::as_object).into_iter().flatten() {
        if name == "spec_version" || new.get(name).is_none() {
            set(&mut new, name, value.clone());
        }
    }
    new
}

/// What timestamp and snapshot say about one metadata file.
pub fn meta_entry(version: u64, bytes: &[u8]) -> Value {
    json!({"version": version, "length": bytes.len(), "hashes": {"sha256": Sha256::of(bytes).to_string()}})
}

/// What a targets role says about one target file (TUF 4.5).
pub fn target_entry(bytes: &[u8], custom: Map<String, Value>) -> Value {
    let mut entry = json!({"length": bytes.len(), "hashes": {"sha256": Sha256::of(bytes).to_string()}});
    if !custom.is_empty() {
        set(&mut entry, "custom", Value::Object(custom));
    }
    entry
}

/// Sets a member of an object. A value that is no object becomes one.
pub fn set(value: &mut Value, member: &str, to: Value) {
    match value {
        Value::Object(members) => {
            members.insert(member.to_owned(), to);
        }
        other => *other = json!({member: to}),
    }
}

/// Adds a delegation behind the ones that `targets` already has. The first that fits a path is asked first.
pub fn delegate(targets: &mut Value, name: &str, role: &RoleKeys, scope: &Scope, terminating: bool) {
    delegate_all(targets, role, terminating, [(name, scope)]);
}

/// The same for several roles of the same keys.
pub fn delegate_all<'a>(
    targets: &mut Value,
    role: &RoleKeys,
    terminating: bool,
    new: impl IntoIterator<Item = (&'a str, &'a Scope)>,
) {
    let entry = |(name, scope): (&str, &Scope)| {
        let mut entry = keyids_and_threshold(role);
        set(&mut entry, "name", Value::from(name));
        set(&mut entry, "terminating", Value::from(terminating));
        match scope {
            Scope::HashPrefixes(prefixes) => set(&mut entry, "path_hash_prefixes", json!(prefixes)),
            Scope::Paths(paths) => set(&mut entry, "paths", json!(paths)),
        }
        entry
    };
    let delegations = delegations_with_keys(targets, role);
    let mut roles = delegations.get_mut("roles").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    roles.extend(new.into_iter().map(entry));
    set(delegations, "roles", Value::Array(roles));
}

/// Delegates to two to the power of `bits` succinct roles (TAP 15). A role that does so delegates to nothing else.
pub fn delegate_succinct(targets: &mut Value, name_prefix: &str, role: &RoleKeys, bits: u32) {
    let mut entry = keyids_and_threshold(role);
    set(&mut entry, "bit_length", Value::from(bits));
    set(&mut entry, "name_prefix", Value::from(name_prefix));
    set(delegations_with_keys(targets, role), "succinct_roles", entry);
}

/// The delegations of a role, made if there are none, with these keys among the others.
fn delegations_with_keys<'a>(targets: &'a mut Value, role: &RoleKeys) -> &'a mut Value {
    let mut delegations = targets.get("delegations").cloned().unwrap_or_else(|| json!({}));
    let mut keys = delegations.get("keys").and_then(Value::as_object).cloned().unwrap_or_default();
    keys.extend(role.keys.iter().map(|(keyid, object)| (keyid.as_str().to_owned(), object.clone())));
    set(&mut delegations, "keys", Value::Object(keys));
    set(targets, "delegations", delegations);
    &mut targets["delegations"]
}

fn keyids_and_threshold(role: &RoleKeys) -> Value {
    let keyids: Vec<&str> = role.keys.keys().map(KeyId::as_str).collect();
    json!({"keyids": keyids, "threshold": role.threshold})
}
