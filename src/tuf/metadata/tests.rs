use serde_json::{Value, json};

use super::*;
use crate::tuf::{
    name::TargetPath,
    testing::{self, key_object, keyid, target},
};

const EXPIRES: &str = testing::EXPIRES;

fn parse<T: Body>(signed: &Value) -> Result<T, Error> {
    parse_bytes(&testing::sign(signed, &[]))
}

fn parse_bytes<T: Body>(bytes: &[u8]) -> Result<T, Error> {
    Signed::<T>::parse(&Role::Root, &Arc::new(bytes.to_vec())).map(|file| file.body)
}

/// Where and why a document is malformed.
fn why<T: Body>(signed: &Value) -> String {
    match parse::<T>(signed) {
        Err(Error::Malformed { at, why, .. }) => format!("{at}: {why}"),
        Err(other) => panic!("refused otherwise: {other}"),
        Ok(_) => panic!("accepted: {signed}"),
    }
}

fn header(kind: &str) -> Value {
    json!({"_type": kind, "spec_version": "1.0.34", "version": 1, "expires": EXPIRES})
}

fn targets() -> Value {
    let mut signed = header("targets");
    signed["targets"] = json!({});
    signed
}

fn timestamp() -> Value {
    let mut signed = header("timestamp");
    signed["meta"] = json!({"snapshot.json": {"version": 1}});
    signed
}

fn role(name: &str) -> Value {
    json!({"name": name, "keyids": [keyid(1)], "threshold": 1, "terminating": false, "paths": ["*"]})
}

fn delegating(roles: Value) -> Value {
    let mut signed = targets();
    signed["delegations"] = json!({"keys": {keyid(1): key_object(1)}, "roles": roles});
    signed
}

fn succinct(bit_length: Value) -> Value {
    let mut signed = targets();
    signed["delegations"] = json!({"keys": {}, "succinct_roles": {
        "keyids": [keyid(1)], "threshold": 1, "bit_length": bit_length, "name_prefix": "bin"}});
    signed
}

fn covering(signed: &Value, path: &str) -> Vec<String> {
    let targets = parse::<Targets>(signed).unwrap();
    let roles = targets.delegations.unwrap().for_path(&HashedPath::new(&TargetPath::from(path)));
    roles.iter().map(|role| role.name.to_string()).collect()
}

#[test]
fn members_that_stand_twice_are_refused() {
    let text = format!(
        r#"{{"signatures":[],"signed":{{"_type":"timestamp","spec_version":"1.0","version":1,"version":9,
        "expires":"{EXPIRES}","meta":{{"snapshot.json":{{"version":1}}}}}}}}"#
    );
    assert!(
        matches!(parse_bytes::<Timestamp>(text.as_bytes()), Err(Error::Malformed { why, .. }) if why.contains("twice"))
    );
    let once = text.replace(r#""version":9,"#, "");
    assert!(parse_bytes::<Timestamp>(once.as_bytes()).is_ok());
    let two_documents = format!("{once}{once}");
    assert!(parse_bytes::<Timestamp>(two_documents.as_bytes()).is_err());
}

#[test]
fn an_array_does_not_stand_for_an_object() {
    for text in ["[]", "[[], []]", "null", "{}", r#"{"signatures":[],"signed":[]}"#, r#"{"signatures":{},"signed":{}}"#]
    {
        assert!(matches!(parse_bytes::<Timestamp>(text.as_bytes()), Err(Error::Malformed { .. })), "{text}");
    }
}

#[test]
fn unknown_members_are_kept_in_what_is_signed() {
    let mut signed = delegating(json!([role("a")]));
    signed["new"] = json!({"e\u{301}": [1, null, true], "big": 9_007_199_254_740_993_u64});
    signed["delegations"]["new"] = json!("\u{7f}\u{1}");
    signed["delegations"]["roles"][0]["new"] = json!(-1);
    signed["delegations"]["keys"][keyid(1)]["new"] = json!({});
    let file = Signed::<Targets>::parse(&Role::Root, &Arc::new(testing::sign(&signed, &[1]))).unwrap();
    assert_eq!(file.canonical.as_slice(), json::canonical(&signed));
}

#[test]
fn another_type_is_refused() {
    assert_eq!(
        parse::<Snapshot>(&timestamp()),
        Err(Error::WrongType { role: Role::Root, expected: "snapshot", found: "timestamp".to_owned() })
    );
}

#[test]
fn only_the_first_major_version_of_the_specification_is_read() {
    for good in ["1.0", "1.0.34", "1.1.0", "1.99"] {
        let mut signed = timestamp();
        signed["spec_version"] = json!(good);
        assert!(parse::<Timestamp>(&signed).is_ok(), "{good}");
    }
    for bad in ["2.0.0", "0.9", "10.0", "1", "1.", "1.0.", "1.0.0.0", "1.0-rc", "1.+1", "v1.0", ""] {
        let mut signed = timestamp();
        signed["spec_version"] = json!(bad);
        assert!(matches!(parse::<Timestamp>(&signed), Err(Error::SpecVersion { .. })), "{bad}");
    }
    let mut signed = timestamp();
    signed.as_object_mut().unwrap().remove("spec_version");
    assert_eq!(why::<Timestamp>(&signed), "signed.spec_version: missing");
}

#[test]
fn versions_are_positive_and_fit_64_bits() {
    for good in ["1", "18446744073709551615"] {
        let text = serde_json::to_string(&timestamp())
            .unwrap()
            .replace(r#","version":1}"#, &format!(r#","version":{good}}}"#));
        let file = format!(r#"{{"signatures":[],"signed":{text}}}"#);
        assert_eq!(parse_bytes::<Timestamp>(file.as_bytes()).unwrap().header.version.to_string(), good);
    }
    for bad in ["0", "-1", "18446744073709551616", "1.0", "1e2", "\"1\"", "null", "true"] {
        let text =
            serde_json::to_string(&timestamp()).unwrap().replace(r#","version":1}"#, &format!(r#","version":{bad}}}"#));
        let file = format!(r#"{{"signatures":[],"signed":{text}}}"#);
        assert!(matches!(parse_bytes::<Timestamp>(file.as_bytes()), Err(Error::Malformed { .. })), "{bad}");
        let mut signed = timestamp();
        signed["meta"]["snapshot.json"]["version"] = serde_json::from_str(bad).unwrap();
        assert!(matches!(parse::<Timestamp>(&signed), Err(Error::Malformed { .. })), "{bad} in meta");
    }
}

#[test]
fn instants_are_written_in_one_way() {
    for good in ["2030-01-02T03:04:05Z", "9999-12-31T23:59:59Z", "2028-02-29T00:00:00Z"] {
        let mut signed = timestamp();
        signed["expires"] = json!(good);
        assert!(parse::<Timestamp>(&signed).is_ok(), "{good}");
    }
    for bad in [
        "2030-01-02T03:04:05+00:00",
        "2030-01-02T03:04:05+02:00",
        "2030-01-02T03:04:05.1Z",
        "2030-01-02T03:04:05z",
        "2030-01-02t03:04:05Z",
        "2030-01-02 03:04:05Z",
        "2030-01-02T03:04:05",
        "2030-1-2T03:04:05Z",
        "2030-02-30T00:00:00Z",
        "2029-02-29T00:00:00Z",
        "2030-01-02T24:00:00Z",
        "2030-01-02T03:04:60Z",
        "+030-01-02T03:04:05Z",
        "٢030-01-02T03:04:0Z",
        "",
    ] {
        let mut signed = timestamp();
        signed["expires"] = json!(bad);
        assert!(why::<Timestamp>(&signed).starts_with("signed.expires: "), "{bad}");
    }
}

#[test]
fn a_threshold_is_a_positive_integer() {
    for bad in [json!(0), json!(-1), json!("1"), json!(4_294_967_296_u64), json!(null)] {
        let mut delegated = role("a");
        delegated["threshold"] = bad;
        assert!(why::<Targets>(&delegating(json!([delegated]))).starts_with("signed.delegations.roles[0].threshold: "));
    }
}

#[test]
fn a_top_level_role_cannot_be_delegated_to() {
    for name in ["root", "timestamp", "snapshot", "targets", ""] {
        assert!(why::<Targets>(&delegating(json!([role(name)]))).starts_with("signed.delegations.roles[0].name: "));
    }
    assert!(parse::<Targets>(&delegating(json!([role("Root")]))).is_ok());
}

#[test]
fn a_role_is_delegated_to_once_by_one_file() {
    let twice = delegating(json!([role("a"), role("b"), role("a")]));
    assert_eq!(why::<Targets>(&twice), r#"signed.delegations.roles: role "a" stands twice"#);
}

#[test]
fn a_delegation_says_its_paths_in_exactly_one_way() {
    let mut both = role("a");
    both["path_hash_prefixes"] = json!(["00"]);
    assert_eq!(
        why::<Targets>(&delegating(json!([both]))),
        "signed.delegations.roles[0]: both paths and path_hash_prefixes"
    );
    let mut neither = role("a");
    neither.as_object_mut().unwrap().remove("paths");
    assert_eq!(
        why::<Targets>(&delegating(json!([neither]))),
        "signed.delegations.roles[0]: neither paths nor path_hash_prefixes"
    );
    let mut silent = role("a");
    silent.as_object_mut().unwrap().remove("terminating");
    assert_eq!(why::<Targets>(&delegating(json!([silent]))), "signed.delegations.roles[0].terminating: missing");
}

#[test]
fn hash_prefixes_are_lower_case_hex_of_the_paths_sha256() {
    let prefixed = |prefixes: Value| {
        let mut prefixed = role("a");
        prefixed.as_object_mut().unwrap().remove("paths");
        prefixed["path_hash_prefixes"] = prefixes;
        prefixed
    };
    for bad in ["", "AB", "0x", "g", &"0".repeat(65)] {
        assert!(
            why::<Targets>(&delegating(json!([prefixed(json!([bad]))]))).contains("path_hash_prefixes[0]"),
            "{bad}"
        );
    }
    // sha256("abc") = ba7816bf…
    let mut other = role("b");
    other["paths"] = json!(["a?c"]);
    let mut far = prefixed(json!(["ba7816bf", "00"]));
    far["name"] = json!("c");
    let mut beside = prefixed(json!(["ba7817", "b", "bb"]));
    beside["name"] = json!("d");
    let signed = delegating(json!([prefixed(json!(["ba78", "ba7"])), other, far, beside, role("e")]));
    assert_eq!(covering(&signed, "abc"), ["a", "b", "c", "d", "e"], "in the order of the document, each once");
    assert_eq!(covering(&signed, "dir/abc"), Vec::<String>::new());
}

#[test]
fn succinct_bins_are_numbered_by_the_first_bits() {
    for bad in [json!(0), json!(33), json!(-1), json!("8"), json!(null)] {
        assert!(why::<Targets>(&succinct(bad)).starts_with("signed.delegations.succinct_roles.bit_length: "));
    }
    for (bits, bin) in [(1, "bin-1"), (4, "bin-b"), (5, "bin-17"), (8, "bin-ba"), (9, "bin-174"), (32, "bin-ba7816bf")]
    {
        assert_eq!(covering(&succinct(json!(bits)), "abc"), [bin]);
    }
    let mut both = succinct(json!(8));
    both["delegations"]["roles"] = json!([]);
    assert_eq!(why::<Targets>(&both), "signed.delegations: both roles and succinct_roles");
    let mut neither = succinct(json!(8));
    neither["delegations"].as_object_mut().unwrap().remove("succinct_roles");
    assert_eq!(why::<Targets>(&neither), "signed.delegations: neither roles nor succinct_roles");
}

#[test]
fn succinct_bins_are_known_by_name() {
    let delegations = parse::<Targets>(&succinct(json!(6))).unwrap().delegations.unwrap();
    for (name, is_one) in [("bin-00", true), ("bin-3f", true), ("bin-40", false), ("bin-3F", false), ("bin-+1", false)]
    {
        assert_eq!(delegations.named(&name.into()).is_some(), is_one, "{name}");
    }
    assert!(delegations.named(&"bin-1".into()).is_none() && delegations.named(&"bin".into()).is_none());
}

#[test]
fn a_target_needs_a_hash_that_can_be_checked() {
    let listing = |hashes: Value| {
        let mut signed = targets();
        signed["targets"]["dir/file"] = json!({"length": 3, "hashes": hashes});
        signed
    };
    let sha256 = target(b"abc")["hashes"]["sha256"].clone();
    for bad in [json!({}), json!({"blake3": "00"}), json!({"sha256": "00"}), json!({"sha256": sha256, "sha512": "zz"})]
    {
        assert!(why::<Targets>(&listing(bad)).starts_with(r#"signed.targets["dir/file"].hashes: "#));
    }
    assert!(parse::<Targets>(&listing(json!({"sha256": sha256, "blake3": "zz"}))).is_ok());
}

#[test]
fn every_listed_hash_and_the_length_of_a_target_must_match() {
    let mut signed = targets();
    signed["targets"]["good"] = target(b"abc");
    signed["targets"]["long"] = target(b"abc");
    signed["targets"]["long"]["length"] = json!(4);
    signed["targets"]["wrong"] = target(b"abc");
    signed["targets"]["wrong"]["hashes"]["sha512"] = json!("0".repeat(128));
    let parsed = parse::<Targets>(&signed).unwrap();
    let verify = |name: &str, bytes: &[u8]| parsed.targets.get(&TargetPath::from(name)).unwrap().unwrap().verify(bytes);
    assert_eq!(verify("good", b"abc"), Ok(()));
    assert!(matches!(verify("good", b"abd"), Err(Error::HashMismatch { .. })));
    assert!(matches!(verify("good", b"abcd"), Err(Error::LengthMismatch { expected: 3, actual: 4, .. })));
    assert!(matches!(verify("long", b"abc"), Err(Error::LengthMismatch { expected: 4, actual: 3, .. })));
    assert!(
        matches!(verify("wrong", b"abc"), Err(Error::HashMismatch { mismatch, .. }) if mismatch.algorithm == "sha512")
    );
}

#[test]
fn a_repeated_key_id_in_signatures_is_refused() {
    let bytes = testing::sign(&timestamp(), &[1, 2, 1]);
    assert_eq!(
        parse_bytes::<Timestamp>(&bytes),
        Err(Error::RepeatedSignature { role: Role::Root, keyid: keyid(1).as_str().into() })
    );
}

#[test]
fn a_snapshot_lists_the_top_level_targets() {
    let mut signed = header("snapshot");
    signed["meta"] = json!({"a.json": {"version": 1}});
    assert_eq!(why::<Snapshot>(&signed), "signed.meta.targets.json: missing");
}

#[test]
fn long_foreign_text_is_cut_in_errors() {
    let mut signed = timestamp();
    signed["expires"] = json!("é".repeat(100_000));
    assert!(why::<Timestamp>(&signed).len() < 1_000);
}
