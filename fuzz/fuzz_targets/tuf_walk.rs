//! The walk through delegations that whoever holds the keys wrote: one signed part a line, the top-level role first and
//! then those that roles delegate to, named `a`, `b`, and so on.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use pratique::tuf::{Delegated, FetchError, Lookup, Refresh, Settings, Stored, TargetPath, fetch::FetchBase};
use pratique_fuzz::{KEYID, key_object, sign, sign_value};
use serde_json::{Value, json};

fn signed(kind: &str, rest: Value) -> Vec<u8> {
    let mut part = json!({"_type": kind, "spec_version": "1.0", "version": 1, "expires": "2100-01-01T00:00:00Z"});
    part.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    sign_value(&part)
}

fuzz_target!(|text: &str| {
    let files: Vec<Vec<u8>> = text.lines().take(8).filter_map(sign).collect();
    let name = |at: usize| if at == 0 { "targets".to_owned() } else { char::from(b'a' + at as u8 - 1).to_string() };
    let listed: serde_json::Map<String, Value> =
        (0..files.len()).map(|at| (format!("{}.json", name(at)), json!({"version": 1}))).collect();
    let role = json!({"keyids": [KEYID], "threshold": 1});
    let root = signed(
        "root",
        json!({"keys": {KEYID: key_object()}, "roles": {"root": role, "timestamp": role, "snapshot": role, "targets": role}}),
    );
    let fetch = |path: &str| match path {
        "timestamp.json" => Ok(signed("timestamp", json!({"meta": {"snapshot.json": {"version": 1}}}))),
        "snapshot.json" => Ok(signed("snapshot", json!({"meta": listed}))),
        path => (0..files.len())
            .find(|at| path == format!("{}.json", name(*at)))
            .map(|at| files[at].clone())
            .ok_or(FetchError::NotFound),
    };
    let now = Timestamp::UNIX_EPOCH;
    let mut refresh = Refresh::start(&root, Stored::default(), Settings::default(), now).unwrap();
    while let Some(request) = refresh.next() {
        if refresh.supply(fetch(&request.path)).is_err() {
            return;
        }
    }
    let trusted = refresh.finish().unwrap();
    let mut roles = Delegated::default();
    for path in ["x", "team/x", "team/app/x", "\"\\", "é"].map(TargetPath::from) {
        // Every round loads one more role, and there are 64 at most.
        for round in 0.. {
            assert!(round <= 65, "the search does not end");
            match trusted.lookup(&roles, &path, now) {
                Ok(Lookup::Needs(request)) => {
                    assert_eq!(request.fetch.base, FetchBase::Metadata);
                    let Ok(bytes) = fetch(&request.fetch.path) else { break };
                    if roles.supply(&trusted, &request, &bytes.into(), now).is_err() {
                        break;
                    }
                }
                Ok(Lookup::Found(found)) => {
                    assert_eq!(found.target.path, path);
                    // The role that lists it says the same when it alone is asked.
                    let alone = trusted.lookup_in(&roles, &found.chain, &path, now).unwrap();
                    assert!(matches!(alone, Lookup::Found(again) if again.target == found.target));
                    break;
                }
                Ok(Lookup::Absent { .. }) | Err(_) => break,
            }
        }
    }
    let _ = roles.delegations(&trusted);
    roles.retain_current(&trusted);
});
