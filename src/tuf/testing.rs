//! A repository and a client in memory, for tests: metadata as JSON that a test may bend in any way before it is signed.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::{Signer as _, SigningKey};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Delegated, Error, FetchError, FetchRequest, Lookup, Notice, Refresh, Resolved, RoleChain, Settings, Stored,
    TargetPath, Trusted,
};
use crate::crypto::{Sha256, json as strict};

/// The time of every test, unless it says otherwise.
pub(crate) fn now() -> Timestamp {
    at("2030-01-01T00:00:00Z")
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A long time after [`now`].
pub(crate) const EXPIRES: &str = "2031-01-01T00:00:00Z";

/// The role chain that `text` writes.
pub(crate) fn chain(text: &str) -> RoleChain {
    text.parse().unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// The key id under which [`Repo`] lists the key of a seed.
pub(crate) fn keyid(seed: u8) -> String {
    format!("key{seed}")
}

/// The key object of a seed.
pub(crate) fn key_object(seed: u8) -> Value {
    let public = hex::encode(key(seed).verifying_key().as_bytes());
    json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}})
}

fn keys(seeds: &[u8]) -> Value {
    seeds.iter().map(|&seed| (keyid(seed), key_object(seed))).collect()
}

fn keyids(seeds: &[u8]) -> Value {
    seeds.iter().map(|&seed| keyid(seed)).collect()
}

/// The bytes of a file with these signatures, in the given order.
pub(crate) fn sign(signed: &Value, seeds: &[u8]) -> Vec<u8> {
    let message = strict::canonical(signed);
    let signatures: Vec<Value> = seeds
        .iter()
        .map(|&seed| json!({"keyid": keyid(seed), "sig": hex::encode(key(seed).sign(&message).to_bytes())}))
        .collect();
    file(signed, signatures)
}

/// The bytes of a file with any signatures. Odd versions are written in canonical form and even ones are not, so that both
/// ways of reading a file are used.
pub(crate) fn file(signed: &Value, signatures: Vec<Value>) -> Vec<u8> {
    let is_odd = signed["version"].as_u64().is_some_and(|version| version % 2 == 1);
    // Control characters are canonical, and no JSON.
    match is_odd && !strict::canonical(signed).iter().any(u8::is_ascii_control) {
        true => canonical_file(signed, signatures),
        false => serde_json::to_vec_pretty(&json!({"signatures": signatures, "signed": signed})).unwrap(),
    }
}

/// The same with the signed part in canonical form.
pub(crate) fn canonical_file(signed: &Value, signatures: Vec<Value>) -> Vec<u8> {
    let signatures = Value::from(signatures).to_string();
    [b"{\"signatures\":", signatures.as_bytes(), b",\"signed\":", &strict::canonical(signed), b"}"].concat()
}

/// Every document that differs from `value` by one odd value in one place.
pub(crate) fn bent(value: &Value) -> Vec<Value> {
    let odd = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(""),
        json!("é/.."),
        json!([]),
        json!({}),
    ];
    let mut all: Vec<Value> = odd.into_iter().filter(|odd| odd != value).collect();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let with = |member: Option<Value>| {
                    let mut changed = members.clone();
                    changed.remove(name);
                    changed.extend(member.map(|member| (name.clone(), member)));
                    Value::Object(changed)
                };
                all.push(with(None));
                all.extend(bent(member).into_iter().map(|member| with(Some(member))));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for replacement in bent(item) {
                    let mut changed = items.clone();
                    changed[index] = replacement;
                    all.push(Value::Array(changed));
                }
            }
        }
        _ => {}
    }
    all
}

/// What a targets role lists about `content`.
pub(crate) fn target(content: &[u8]) -> Value {
    json!({"length": content.len(), "hashes": {"sha256": Sha256::of(content).to_string()}})
}

/// A repository with consistent snapshots whose four roles have one key each: 1 root, 2 timestamp, 3 snapshot, 4 targets.
#[derive(Clone)]
pub(crate) struct Repo {
    /// The `signed` parts, by role, as they will be signed next.
    pub(crate) signed: BTreeMap<String, Value>,
    /// The seeds of the keys that sign each role.
    pub(crate) signers: BTreeMap<String, Vec<u8>>,
    /// What is served, by path below the metadata.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Whether snapshot and timestamp list lengths and hashes.
    pub(crate) lists_hashes: bool,
    published: BTreeSet<String>,
}

impl Repo {
    pub(crate) fn new() -> Self {
        let mut repo = Self {
            signed: BTreeMap::new(),
            signers: BTreeMap::new(),
            files: BTreeMap::new(),
            lists_hashes: false,
            published: BTreeSet::new(),
        };
        let role = |seed| json!({"keyids": keyids(&[seed]), "threshold": 1});
        let mut root = signed("root");
        root["consistent_snapshot"] = json!(true);
        root["keys"] = keys(&[1, 2, 3, 4]);
        root["roles"] = json!({"root": role(1), "timestamp": role(2), "snapshot": role(3), "targets": role(4)});
        repo.signed.insert("root".to_owned(), root);
        for (name, seed) in [("root", 1), ("timestamp", 2), ("snapshot", 3), ("targets", 4)] {
            repo.signers.insert(name.to_owned(), vec![seed]);
        }
        for (name, member) in [("timestamp", "meta"), ("snapshot", "meta"), ("targets", "targets")] {
            let mut part = signed(name);
            part[member] = json!({});
            repo.signed.insert(name.to_owned(), part);
        }
        repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        repo
    }

    /// The `signed` part of a role, to be changed before it is published.
    pub(crate) fn role(&mut self, name: &str) -> &mut Value {
        self.signed.get_mut(name).unwrap()
    }

    /// Signs each role with its signers, one version higher unless it is its first time, and serves it.
    pub(crate) fn publish(&mut self, names: &[&str]) {
        for name in names {
            if !self.published.insert((*name).to_owned()) {
                let version = self.role(name)["version"].as_u64().unwrap();
                self.role(name)["version"] = json!(version + 1);
            }
            self.publish_as_is(name);
        }
    }

    /// Signs a role with its signers and serves it.
    pub(crate) fn publish_as_is(&mut self, name: &str) {
        let bytes = sign(&self.signed[name], &self.signers[name]);
        self.serve(name, bytes);
    }

    /// Serves these bytes as the newest file of a role, and lists them in snapshot or timestamp (which are not signed
    /// again).
    pub(crate) fn serve(&mut self, name: &str, bytes: Vec<u8>) {
        let version = self.signed[name]["version"].clone();
        let mut listed = json!({"version": version});
        if self.lists_hashes {
            listed["length"] = json!(bytes.len());
            listed["hashes"] = json!({"sha256": Sha256::of(&bytes).to_string()});
        }
        match name {
            "root" | "timestamp" => {}
            "snapshot" => self.role("timestamp")["meta"]["snapshot.json"] = listed,
            name => self.role("snapshot")["meta"][format!("{name}.json")] = listed,
        }
        let path = self.path(name);
        self.files.insert(path, bytes);
    }

    /// The path at which the present version of a role is served.
    pub(crate) fn path(&self, name: &str) -> String {
        let file_name = super::RoleName::from(name).file_name();
        let is_versioned = name == "root" || self.signed["root"]["consistent_snapshot"] == json!(true);
        match name {
            "timestamp" => file_name,
            _ if !is_versioned => file_name,
            name => format!("{}.{file_name}", self.signed[name]["version"]),
        }
    }

    /// Publishes everything that is not a root.
    pub(crate) fn publish_all(&mut self) {
        let mut names: Vec<String> = self.signed.keys().cloned().collect();
        names.retain(|name| !matches!(name.as_str(), "root" | "snapshot" | "timestamp"));
        names.extend(["snapshot".to_owned(), "timestamp".to_owned()]);
        self.publish(&names.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Gives a top-level role these keys, in the root and as signers. Nothing is published.
    pub(crate) fn set_keys(&mut self, name: &str, seeds: &[u8], threshold: u32) {
        for &seed in seeds {
            self.role("root")["keys"][keyid(seed)] = key_object(seed);
        }
        self.role("root")["roles"][name] = json!({"keyids": keyids(seeds), "threshold": threshold});
        self.signers.insert(name.to_owned(), seeds.to_vec());
    }

    /// Lets `delegator` delegate `patterns` to `name`, whose one key is that of `seed`. Nothing is published.
    pub(crate) fn delegate(&mut self, delegator: &str, name: &str, seed: u8, patterns: &[&str]) {
        self.delegate_as(
            delegator,
            json!({"name": name, "keyids": keyids(&[seed]), "threshold": 1, "terminating": false, "paths": patterns}),
            &[seed],
        );
    }

    /// Lets `delegator` delegate to any role object, signed by `seeds`. Nothing is published.
    pub(crate) fn delegate_as(&mut self, delegator: &str, role: Value, seeds: &[u8]) {
        let name = role["name"].as_str().unwrap().to_owned();
        let part = self.role(delegator);
        if part.get("delegations").is_none() {
            part["delegations"] = json!({"keys": {}, "roles": []});
        }
        for &seed in seeds {
            part["delegations"]["keys"][keyid(seed)] = key_object(seed);
        }
        part["delegations"]["roles"].as_array_mut().unwrap().push(role);
        self.add_role(&name, seeds);
    }

    /// Adds an empty targets role, unless it is there. Nothing is published.
    pub(crate) fn add_role(&mut self, name: &str, seeds: &[u8]) {
        self.signed.entry(name.to_owned()).or_insert_with(|| {
            let mut part = signed("targets");
            part["targets"] = json!({});
            part
        });
        self.signers.entry(name.to_owned()).or_insert_with(|| seeds.to_vec());
    }

    /// Lists a target in a role. Nothing is published.
    pub(crate) fn add_target(&mut self, role: &str, path: &str, content: &[u8]) {
        self.role(role)["targets"][path] = target(content);
    }

    fn answer(&self, request: &FetchRequest) -> Result<Vec<u8>, FetchError> {
        let bytes = self.files.get(&request.path).ok_or(FetchError::NotFound)?;
        match bytes.len() as u64 > request.max_bytes {
            true => Err(FetchError::TooLarge { limit: request.max_bytes }),
            false => Ok(bytes.clone()),
        }
    }
}

fn signed(kind: &str) -> Value {
    json!({"_type": kind, "spec_version": "1.0.34", "version": 1, "expires": EXPIRES})
}

/// A client: what it was given, what it has stored, and what it has asked for.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) pinned: Vec<u8>,
    pub(crate) stored: Stored,
    pub(crate) settings: Settings,
    pub(crate) now: Timestamp,
    /// The paths it asked for since this was last emptied.
    pub(crate) requests: Vec<String>,
    /// The answers that it gets instead of what the repository serves, by path.
    pub(crate) outages: BTreeMap<String, FetchError>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) roles: Delegated,
}

impl Client {
    /// A client that trusts the first root of the repository and has nothing stored.
    pub(crate) fn new(repo: &Repo) -> Self {
        Self {
            pinned: repo.files["1.root.json"].clone(),
            stored: Stored::default(),
            settings: Settings::default(),
            now: now(),
            requests: Vec::new(),
            outages: BTreeMap::new(),
            notices: Vec::new(),
            roles: Delegated::default(),
        }
    }

    /// Refreshes from what is stored, as a new process would.
    pub(crate) fn refresh(&mut self, repo: &Repo) -> Result<Trusted, Error> {
        let start = Refresh::start(&self.pinned, self.stored.clone(), self.settings.clone(), self.now)?;
        self.run(start, repo)
    }

    /// Refreshes from a generation in memory, as a resident process would.
    pub(crate) fn refresh_after(&mut self, trusted: &Trusted, repo: &Repo) -> Result<Trusted, Error> {
        self.run(Refresh::after(trusted, self.settings.clone(), self.now), repo)
    }

    fn run(&mut self, mut refresh: Refresh, repo: &Repo) -> Result<Trusted, Error> {
        while let Some(request) = refresh.next() {
            let fetched = self.fetch(repo, &request);
            for change in refresh.supply(fetched)? {
                self.stored = std::mem::take(&mut self.stored).with(change);
            }
        }
        self.notices = refresh.notices().to_vec();
        refresh.finish()
    }

    fn fetch(&mut self, repo: &Repo, request: &FetchRequest) -> Result<Vec<u8>, FetchError> {
        self.requests.push(request.path.clone());
        match self.outages.get(&request.path) {
            Some(outage) => Err(outage.clone()),
            None => repo.answer(request),
        }
    }

    /// Looks up a path, fetching the roles that are needed.
    pub(crate) fn lookup(&mut self, repo: &Repo, trusted: &Trusted, path: &str) -> Result<Lookup, Error> {
        self.drive(repo, trusted, |roles, now| trusted.lookup(roles, &TargetPath::from(path), now))
    }

    /// Looks up a path in one role, fetching the roles that are needed.
    pub(crate) fn lookup_in(
        &mut self,
        repo: &Repo,
        trusted: &Trusted,
        role: &str,
        path: &str,
    ) -> Result<Lookup, Error> {
        let chain = chain(role);
        self.drive(repo, trusted, |roles, now| trusted.lookup_in(roles, &chain, &TargetPath::from(path), now))
    }

    fn drive(
        &mut self,
        repo: &Repo,
        trusted: &Trusted,
        lookup: impl Fn(&Delegated, Timestamp) -> Result<Lookup, Error>,
    ) -> Result<Lookup, Error> {
        loop {
            match lookup(&self.roles, self.now)? {
                Lookup::Needs(request) => {
                    let bytes = self.fetch(repo, &request.fetch).map_err(|cause| request.failed(cause))?;
                    self.roles.supply(trusted, &request, &std::sync::Arc::new(bytes), self.now)?;
                }
                ended => return Ok(ended),
            }
        }
    }

    /// The requests since the last call.
    pub(crate) fn asked(&mut self) -> Vec<String> {
        std::mem::take(&mut self.requests)
    }
}

/// What was found.
pub(crate) fn found(lookup: Result<Lookup, Error>) -> Resolved {
    match lookup.unwrap() {
        Lookup::Found(resolved) => resolved,
        other => panic!("not found: {other:?}"),
    }
}

/// Whether a search ended without the target.
pub(crate) fn is_absent(lookup: Result<Lookup, Error>) -> bool {
    matches!(lookup, Ok(Lookup::Absent { .. }))
}
