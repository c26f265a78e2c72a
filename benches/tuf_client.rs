//! What the TUF client does in a process that lives on: refreshes that bring nothing new, and lookups of verified targets.
//!
//! `benches/tuf/run` measures whole runs beside other clients; here is what a webhook does between them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]

use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::{Arc, OnceLock},
};

use divan::Bencher;
use ed25519_dalek::{Signer as _, SigningKey};
use jiff::Timestamp;
use pratique::{
    crypto::{Sha256, json},
    tuf::{Delegated, FetchError, Lookup, Refresh, Settings, Stored, TargetPath, Trusted},
};
use serde_json::{Value, json};

/// Targets in the one role, each with eight in-toto paths.
const TARGETS: [usize; 2] = [1_000, 100_000];

fn main() {
    divan::main();
}

struct World {
    files: BTreeMap<String, Vec<u8>>,
    trusted: Trusted,
    path: TargetPath,
}

fn sign(kind: &str, members: Value) -> Vec<u8> {
    let mut signed = json!({"_type": kind, "spec_version": "1.0.34", "version": 1, "expires": "2100-01-01T00:00:00Z"});
    signed.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let signed = json::canonical(&signed);
    let sig = hex::encode(key().sign(&signed).to_bytes());
    [format!("{{\"signatures\":[{{\"keyid\":\"k\",\"sig\":\"{sig}\"}}],\"signed\":").as_bytes(), &signed, b"}"].concat()
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn path(index: usize) -> String {
    format!("registry.example/team/app-{index:06}@sha256:{}", Sha256::of(&index.to_be_bytes()))
}

fn world(targets: usize) -> &'static World {
    static WORLDS: [OnceLock<World>; TARGETS.len()] = [const { OnceLock::new() }; TARGETS.len()];
    let at = TARGETS.iter().position(|&count| count == targets).unwrap();
    WORLDS[at].get_or_init(|| {
        let listed: serde_json::Map<String, Value> = (0..targets)
            .map(|index| {
                let path = path(index);
                let evidence: Vec<String> =
                    (0..8).map(|step| format!("in-toto-metadata/{index}/step-{step}.link")).collect();
                let hash = Sha256::of(path.as_bytes()).to_string();
                (path, json!({"length": 7, "hashes": {"sha256": hash}, "custom": {"in-toto": evidence}}))
            })
            .collect();
        let role = json!({"keyids": ["k"], "threshold": 1});
        let public = hex::encode(key().verifying_key().as_bytes());
        let root = sign(
            "root",
            json!({"keys": {"k": {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}},
                "roles": {"root": role, "timestamp": role, "snapshot": role, "targets": role}}),
        );
        let files = BTreeMap::from([
            ("timestamp.json".to_owned(), sign("timestamp", json!({"meta": {"snapshot.json": {"version": 1}}}))),
            ("snapshot.json".to_owned(), sign("snapshot", json!({"meta": {"targets.json": {"version": 1}}}))),
            ("targets.json".to_owned(), sign("targets", json!({"targets": listed}))),
        ]);
        let start = Refresh::start(&root, Stored::default(), Settings::default(), now()).unwrap();
        let (trusted, _) = drive(start, &files);
        World { files, trusted, path: TargetPath::from(path(targets / 2)) }
    })
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// Runs a refresh and counts its requests.
fn drive(mut refresh: Refresh, files: &BTreeMap<String, Vec<u8>>) -> (Trusted, usize) {
    let mut requests = 0;
    while let Some(request) = refresh.next() {
        requests += 1;
        refresh.supply(files.get(&request.path).cloned().ok_or(FetchError::NotFound)).unwrap();
    }
    (refresh.finish().unwrap(), requests)
}

#[divan::bench(args = TARGETS)]
fn unchanged_refresh(bencher: Bencher<'_, '_>, targets: usize) {
    let world = world(targets);
    bencher.bench(|| {
        let refresh = Refresh::after(&world.trusted, Settings::default(), now());
        let (trusted, requests) = drive(refresh, &world.files);
        assert_eq!(requests, 2);
        trusted
    });
}

#[divan::bench(args = TARGETS)]
fn lookup_of_a_verified_target(bencher: Bencher<'_, '_>, targets: usize) {
    let world = world(targets);
    let roles = Arc::new(Delegated::default());
    bencher.bench(|| {
        let found = world.trusted.lookup(&roles, black_box(&world.path), now()).unwrap();
        assert!(matches!(found, Lookup::Found(_)));
        found
    });
}
