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
    let mut entry = keyids_and_threshold(role);
    set(&mut entry, "name", Value::from(name));
    set(&mut entry, "terminating", Value::from(terminating));
    match scope {
        Scope::HashPrefixes(prefixes) => set(&mut entry, "path_hash_prefixes", json!(prefixes)),
        Scope::Paths(paths) => set(&mut entry, "paths", json!(paths)),
    }
    let part = |pointer| targets.pointer(pointer);
    let mut keys = part("/delegations/keys").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut roles = part("/delegations/roles").and_then(Value::as_array).cloned().unwrap_or_default();
    keys.extend(role.keys.iter().map(|(keyid, object)| (keyid.as_str().to_owned(), object.clone())));
    roles.push(entry);
    set(targets, "delegations", json!({"keys": keys, "roles": roles}));
}

fn keyids_and_threshold(role: &RoleKeys) -> Value {
    let keyids: Vec<&str> = role.keys.keys().map(KeyId::as_str).collect();
    json!({"keyids": keyids, "threshold": role.threshold})
}
