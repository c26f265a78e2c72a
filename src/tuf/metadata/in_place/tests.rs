//! Reading in place against reading in the ordinary way: the same outcome, whatever the file is.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tuf::{
    Error, Role,
    metadata::{Body, Root, Signed, Snapshot, Targets, Timestamp, body::TargetList},
    testing::{bent, canonical_file, key_object, keyid, target},
};

/// A targets file that has everything, names included that are written otherwise than they are meant.
fn targets() -> Value {
    let mut signed = json!({"_type": "targets", "spec_version": "1.0", "version": 3, "expires": "2031-01-01T00:00:00Z",
        "targets": {}, "delegations": {"keys": {keyid(10): key_object(10)}, "roles": [
            {"name": "team", "keyids": [keyid(10)], "threshold": 1, "terminating": false, "paths": ["team/*"]}]},
        "x-unknown": [1, {"b": null, "a": true}]});
    for name in ["a", "quote\"d", "back\\slash", "back\\", "!", "é", "e\u{301}", "team/app@sha256:00", ""] {
        signed["targets"][name] = target(name.as_bytes());
    }
    signed["targets"]["a"]["custom"] = json!({"in-toto": ["x", "y\\z"]});
    signed["targets"]["a"]["hashes"]["sha512"] = json!("0".repeat(128));
    signed["targets"]["a"]["hashes"]["blake3"] = json!("any");
    signed
}

fn file_of(signed: &Value) -> FileBytes {
    Arc::new(canonical_file(signed, vec![json!({"keyid": keyid(4), "sig": "00"})]))
}

/// Reads a file in both ways, which must come to the same, and says what that is.
fn outcome<T: Body + PartialEq + std::fmt::Debug>(bytes: &FileBytes) -> Result<Signed<T>, Error> {
    let role = Role::Root;
    let (one, other) = (Signed::<T>::parse(&role, bytes), Signed::<T>::parse_anew(&role, bytes));
    match (&one, &other) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.canonical, other.canonical);
            assert_eq!((&one.signatures, one.sha256, one.length), (&other.signatures, other.sha256, other.length));
            assert_eq!(one.body.header(), other.body.header());
        }
        _ => assert_eq!(one.as_ref().err(), other.as_ref().err(), "{}", String::from_utf8_lossy(bytes)),
    }
    one
}

/// The same for a targets file, with every target in it and some that are not.
fn targets_outcome(bytes: &FileBytes) -> Option<Signed<Targets>> {
    let one = outcome::<Targets>(bytes).ok()?;
    let other = Signed::<Targets>::parse_anew(&Role::Root, bytes).unwrap();
    assert_eq!(one.body.delegations, other.body.delegations);
    let TargetList::Read(read) = &other.body.targets else { panic!("read in place") };
    if let TargetList::InPlace(listed) = &one.body.targets {
        assert_eq!(listed.len(), read.len());
    }
    let near: BTreeSet<String> =
        read.keys().flat_map(|path| [path.to_string(), format!("{path}\\"), format!("{path}x"), "0".into()]).collect();
    for path in near.iter().map(|path| TargetPath::from(path.as_str())) {
        assert_eq!(one.body.targets.get(&path).unwrap(), read.get(&path).cloned(), "{path}");
    }
    Some(one)
}

fn is_in_place(file: &Signed<Targets>) -> bool {
    matches!(file.body.targets, TargetList::InPlace(_))
}

#[test]
fn a_canonical_file_is_read_in_place_and_its_targets_are_found() {
    let file = targets_outcome(&file_of(&targets())).unwrap();
    assert!(is_in_place(&file));
    let found = file.body.targets.get(&TargetPath::from("a")).unwrap().unwrap();
    assert_eq!(found.custom["in-toto"], json!(["x", "y\\z"]));
}

#[test]
fn a_snapshot_is_read_in_place_with_lengths_and_hashes_and_without() {
    let read = |listed: Value| {
        let file = file_of(&json!({"_type": "snapshot", "spec_version": "1.0", "version": 1,
            "expires": "2031-01-01T00:00:00Z", "meta": {"a.json": listed, "targets.json": {"version": 1}}}));
        outcome::<Snapshot>(&file).unwrap();
        InPlace::read(&file, Snapshot::LARGE).unwrap().large.meta.is_some()
    };
    assert!(read(json!({"version": 1})));
    assert!(read(json!({"version": 1, "length": 370, "hashes": {"sha256": "0".repeat(64)}})));
    assert!(!read(json!({"version": 1, "hashes": {"sha256": "0".repeat(64), "sha512": "0".repeat(128)}})));
    assert!(!read(json!({"version": 1, "more": 1})));
}

#[test]
fn any_white_space_and_any_order_around_the_signed_part_is_read_in_place() {
    let text = String::from_utf8(file_of(&targets()).to_vec()).unwrap();
    let (signatures, signed) = text[1..text.len() - 1].split_once(",\"signed\":").unwrap();
    for text in [
        format!("{{\"signed\":{signed},{signatures}}}"),
        format!(" {{\n\"signed\" :\t{signed} , {signatures} }}\r\n "),
        format!("{{\"other\":[{{}}],\"signed\":{signed},\"text\":\"}}\\n\",{signatures}}}"),
    ] {
        assert!(is_in_place(&targets_outcome(&Arc::new(text.into_bytes())).unwrap()));
    }
}

#[test]
fn a_file_in_another_form_is_read_as_ever() {
    let text = serde_json::to_vec_pretty(&json!({"signatures": [], "signed": targets()})).unwrap();
    assert!(!is_in_place(&targets_outcome(&Arc::new(text)).unwrap()));
}

#[test]
fn what_is_ambiguous_or_wrong_around_the_signed_part_is_refused_as_ever() {
    let signed = String::from_utf8(json::canonical(&targets())).unwrap();
    for text in [
        format!("{{\"signatures\":[],\"signed\":{signed},\"signed\":{signed}}}"),
        format!("{{\"signatures\":[],\"signatures\":[],\"signed\":{signed}}}"),
        format!("{{\"signatures\":[],\"signed\":{signed},\"\\u0073igned\":{signed}}}"),
        format!("{{\"signatures\":[],\"signed\":{signed},\"x\":1.5}}"),
        format!("{{\"signatures\":[],\"signed\":{signed},\"x\":{{\"a\":1,\"a\":1}}}}"),
        format!("{{\"signatures\":[],\"signed\":{signed},\"x\":\"\\ud800\"}}"),
        format!("{{\"signatures\":[],\"signed\":{signed},\"x\":{}{}}}", "[".repeat(64), "]".repeat(64)),
        format!("{{\"signatures\":[],\"signed\":{signed}}}x"),
        format!("{{\"signatures\":[],\"signed\":{signed}"),
        format!("{{\"signatures\":[],\"signed\":{signed},}}"),
        format!("{{\"signatures\":[] \"signed\":{signed}}}"),
        format!("\u{feff}{{\"signatures\":[],\"signed\":{signed}}}"),
        format!("{{\"signed\":{signed}}}"),
        "{\"signatures\":[]}".to_owned(),
        "{}".to_owned(),
        String::new(),
    ] {
        assert!(targets_outcome(&Arc::new(text.clone().into_bytes())).is_none(), "{text}");
    }
    assert!(targets_outcome(&Arc::new(b"{\"signatures\":[],\"signed\":\"\xff\"}".to_vec())).is_none());
}

#[test]
fn a_target_that_is_malformed_spoils_the_file_before_it_is_looked_up() {
    let bent: Vec<Value> = bent(&targets()["targets"]["a"]);
    let mut refused = 0;
    for value in &bent {
        let mut signed = targets();
        signed["targets"]["a"] = value.clone();
        refused += usize::from(targets_outcome(&file_of(&signed)).is_none());
    }
    assert!(refused > 20 && refused < bent.len(), "{refused} of {}", bent.len());
}

#[test]
fn whatever_stands_in_any_place_both_ways_come_to_the_same() {
    let header =
        |kind: &str| json!({"_type": kind, "spec_version": "1.0", "version": 1, "expires": "2031-01-01T00:00:00Z"});
    let mut snapshot = header("snapshot");
    snapshot["meta"] = json!({"targets.json": {"version": 1}, "team.json": {"version": 2, "x": 1}});
    for signed in bent(&snapshot) {
        if let Ok(read) = outcome::<Snapshot>(&file_of(&signed)) {
            assert_eq!(read.body, Signed::<Snapshot>::parse_anew(&Role::Root, &file_of(&signed)).unwrap().body);
        }
    }
    snapshot["meta"]["targets.json"] = json!({"version": 1, "length": 5, "hashes": {"sha256": "0".repeat(64)}});
    let mut timestamp = header("timestamp");
    timestamp["meta"] = json!({"snapshot.json": {"version": 1}});
    let mut root = header("root");
    let role = json!({"keyids": [keyid(1)], "threshold": 1});
    root["keys"] = json!({keyid(1): key_object(1)});
    root["roles"] = json!({"root": role, "timestamp": role, "snapshot": role, "targets": role});
    for signed in bent(&targets()) {
        targets_outcome(&file_of(&signed));
    }
    for signed in bent(&snapshot) {
        if let Ok(read) = outcome::<Snapshot>(&file_of(&signed)) {
            assert_eq!(read.body, Signed::<Snapshot>::parse_anew(&Role::Root, &file_of(&signed)).unwrap().body);
        }
    }
    for signed in bent(&timestamp) {
        let _ = outcome::<Timestamp>(&file_of(&signed));
    }
    for signed in bent(&root) {
        let _ = outcome::<Root>(&file_of(&signed));
    }
}

/// A snapshot in which lengths, hashes and names are of every form that is read in place.
fn snapshot() -> Value {
    let hash = |digit: &str| json!({"sha256": digit.repeat(64)});
    json!({"_type": "snapshot", "spec_version": "1.0", "version": 1, "expires": "2031-01-01T00:00:00Z", "meta": {
        "targets.json": {"version": 1}, "é.json": {"version": 2, "length": 1},
        "team.json": {"version": 18446744073709551615_u64, "length": 0, "hashes": hash("a")},
        "team/app.json": {"version": 10, "hashes": hash("0")}}})
}

/// The same for a snapshot, with every file that it lists.
fn snapshot_outcome(bytes: &FileBytes) {
    if let Ok(one) = outcome::<Snapshot>(bytes) {
        assert_eq!(one.body, Signed::<Snapshot>::parse_anew(&Role::Root, bytes).unwrap().body);
    }
}

#[test]
fn a_snapshot_of_every_form_is_read_in_place() {
    let file = file_of(&snapshot());
    assert!(InPlace::read(&file, Snapshot::LARGE).unwrap().large.meta.is_some());
    snapshot_outcome(&file);
    // Upper-case digits are read in no way.
    let mut signed = snapshot();
    signed["meta"]["team.json"]["hashes"]["sha256"] = json!("A".repeat(64));
    snapshot_outcome(&file_of(&signed));
}

proptest! {
    #[test]
    fn a_changed_snapshot_comes_to_the_same_in_both_ways(
        at: usize, byte in 0u8..128, twice: Option<usize>, part: Option<(usize, usize, bool)>,
    ) {
        let mut bytes = file_of(&snapshot()).to_vec();
        for at in [Some(at), twice].into_iter().flatten() {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Some((from, to, twice)) = part {
            let (from, to) = (from % bytes.len(), to % bytes.len());
            let (from, to) = (from.min(to), from.max(to));
            let middle = if twice { bytes[from..to].repeat(2) } else { Vec::new() };
            bytes = [&bytes[..from], &middle, &bytes[to..]].concat();
        }
        snapshot_outcome(&Arc::new(bytes));
    }

    #[test]
    fn a_changed_byte_comes_to_the_same_in_both_ways(at: usize, byte in 0u8..128, twice: Option<usize>) {
        let mut bytes = file_of(&targets()).to_vec();
        for at in [Some(at), twice].into_iter().flatten() {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        targets_outcome(&Arc::new(bytes));
    }

    #[test]
    fn a_part_that_is_missing_or_stands_twice_comes_to_the_same_in_both_ways(from: usize, to: usize, twice: bool) {
        let bytes = file_of(&targets()).to_vec();
        let (from, to) = (from % bytes.len(), to % bytes.len());
        let (from, to) = (from.min(to), from.max(to));
        let middle = if twice { bytes[from..to].repeat(2) } else { Vec::new() };
        targets_outcome(&Arc::new([&bytes[..from], &middle, &bytes[to..]].concat()));
    }
}
