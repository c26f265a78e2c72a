//! What is known to have been done to TUF clients, one test for each, with the code that it is refused by.
//!
//! The numbers are those of the table in docs/tuf.md, which names further tests of each, those of the transports and of
//! the disk among them. The other modules beside this one look at the same things closer.

use serde_json::{Value, json};

use crate::{
    crypto::Sha256,
    tuf::{
        Error, FetchError, Lookup, Trusted,
        testing::{Client, Repo, at, chain, file, found, is_absent, key_object, keyid, sign},
    },
};

fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> &'static str {
    outcome.unwrap_err().code()
}

fn refresh(repo: &Repo) -> Result<Trusted, Error> {
    Client::new(repo).refresh(repo)
}

fn lookup(repo: &Repo, path: &str) -> Result<Lookup, Error> {
    let mut client = Client::new(repo);
    let trusted = client.refresh(repo)?;
    client.lookup(repo, &trusted, path)
}

/// A repository whose role `name` says something else, signed as it must be.
fn with(name: &str, change: impl FnOnce(&mut Value)) -> Repo {
    let mut repo = Repo::new();
    change(repo.role(name));
    repo.publish_as_is(name);
    if name == "targets" {
        repo.publish(&["snapshot"]);
    }
    if name != "timestamp" && name != "root" {
        repo.publish(&["timestamp"]);
    }
    repo
}

/// A repository whose timestamp is these bytes.
fn with_timestamp(bytes: impl Into<Vec<u8>>) -> Repo {
    let mut repo = Repo::new();
    repo.serve("timestamp", bytes.into());
    repo
}

fn timestamp_text() -> String {
    let repo = Repo::new();
    String::from_utf8(repo.files["timestamp.json"].clone()).unwrap()
}

/// A repository that delegates `patterns` to one role, which lists `path`.
fn team(patterns: &[&str], path: &str) -> Repo {
    let mut repo = Repo::new();
    repo.delegate("targets", "team", 10, patterns);
    repo.add_target("team", path, b"x");
    repo.publish_all();
    repo
}

#[test]
fn attack_01_a_body_without_end() {
    let long = json!("x".repeat(600 << 10));
    assert_eq!(code(refresh(&with("timestamp", |signed| signed["x"] = long.clone()))), "tuf/too-large");
    let mut repo = Repo::new();
    let client = Client::new(&repo);
    repo.role("root")["x"] = long;
    repo.publish(&["root"]);
    assert_eq!(code(client.clone().refresh(&repo)), "tuf/too-large");
}

#[test]
fn attack_02_a_server_that_drips_or_never_answers() {
    let repo = Repo::new();
    for path in ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let mut client = Client::new(&repo);
        client.outages.insert(path.to_owned(), FetchError::TimedOut);
        let error = client.refresh(&repo).unwrap_err();
        assert_eq!((error.code(), error.is_outage()), ("tuf/unreachable", true), "{path}");
    }
}

#[test]
fn attack_03_three_hundred_root_rotations() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    for _ in 0..300 {
        repo.publish(&["root"]);
    }
    assert_eq!(client.clone().refresh(&repo).unwrap().root().version, 301);
    client.settings.limits.root_rotations = 256;
    assert_eq!(code(client.refresh(&repo)), "tuf/root-rotations");
    assert_eq!(client.refresh(&repo).unwrap().root().version, 301, "the second refresh goes on where the first ended");
}

#[test]
fn attack_04_a_root_on_the_way_has_expired() {
    let mut repo = Repo::new();
    let client = Client::new(&repo);
    repo.role("root")["expires"] = json!("2029-01-01T00:00:00Z");
    repo.publish(&["root"]);
    assert_eq!(code(client.clone().refresh(&repo)), "tuf/expired");
    repo.role("root")["expires"] = json!("2031-01-01T00:00:00Z");
    repo.publish(&["root"]);
    assert!(client.clone().refresh(&repo).is_ok());
}

#[test]
fn attack_05_one_key_under_two_key_ids() {
    let mut repo = Repo::new();
    repo.role("root")["keys"]["alias"] = key_object(2);
    repo.role("root")["roles"]["timestamp"] = json!({"keyids": [keyid(2), "alias"], "threshold": 2});
    repo.publish_as_is("root");
    let signed = repo.signed["timestamp"].clone();
    let signature: Value = serde_json::from_slice(&sign(&signed, &[2])).unwrap();
    let one = signature["signatures"][0].clone();
    let mut alias = one.clone();
    alias["keyid"] = json!("alias");
    repo.serve("timestamp", file(&signed, vec![one, alias]));
    assert_eq!(code(refresh(&repo)), "tuf/signature-threshold");
}

#[test]
fn attack_06_key_ids_are_names_and_no_hashes() {
    let repo = Repo::new();
    let hashed = Sha256::of(&crate::crypto::json::canonical(&key_object(1))).to_string();
    assert_ne!(keyid(1), hashed);
    assert!(refresh(&repo).is_ok());
}

#[test]
fn attack_07_a_threshold_of_zero_and_a_signature_that_stands_twice() {
    let zero = |signed: &mut Value| signed["roles"]["timestamp"]["threshold"] = json!(0);
    let error = refresh(&with("root", zero)).unwrap_err();
    assert!(matches!(&error, Error::PinnedRoot(cause) if cause.code() == "tuf/malformed"), "{error}");
    let mut repo = team(&["*"], "x");
    repo.role("targets")["delegations"]["roles"][0]["threshold"] = json!(0);
    repo.publish_all();
    assert_eq!(code(refresh(&repo)), "tuf/malformed");

    let mut repo = team(&["*"], "x");
    let signed = repo.signed["team"].clone();
    repo.serve("team", sign(&signed, &[10, 10]));
    assert_eq!(code(lookup(&repo, "x")), "tuf/repeated-signature");
}

#[test]
fn attack_08_members_that_stand_twice() {
    let text = timestamp_text();
    let version = "\"version\":1}";
    assert!(text.contains(version) && refresh(&with_timestamp(text.as_str())).is_ok());
    let twice = text.replacen(version, "\"version\":1,\"version\":1}", 1);
    assert_eq!(code(refresh(&with_timestamp(twice))), "tuf/malformed");
    let (before, signed) = text.split_once("\"signed\":").unwrap();
    let two = format!("{before}\"signed\":{},\"signed\":{signed}", &signed[..signed.len() - 1]);
    assert_eq!(code(refresh(&with_timestamp(two))), "tuf/malformed");
}

#[test]
fn attack_09_corners_of_canonical_json() {
    for value in [
        json!("e\u{301}"),
        json!("\u{1}\n\t\u{7f}\u{2028}"),
        json!("\"\\/"),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(9_007_199_254_740_993_u64),
    ] {
        assert!(refresh(&with("timestamp", |signed| signed["x"] = value.clone())).is_ok(), "{value}");
    }
    assert_eq!(code(refresh(&with("timestamp", |signed| signed["x"] = json!(1.5)))), "tuf/malformed");
    assert_eq!(code(refresh(&with_timestamp(timestamp_text() + "x"))), "tuf/malformed");
    assert_eq!(code(refresh(&with_timestamp(timestamp_text() + "{}"))), "tuf/malformed");
}

#[test]
fn attack_10_unknown_members_anywhere() {
    let mut repo = team(&["*"], "x");
    let odd = json!({"b": [1, null], "a": "é"});
    for name in ["root", "timestamp", "snapshot", "targets", "team"] {
        repo.role(name)["x-odd"] = odd.clone();
    }
    repo.role("root")["keys"][keyid(2)]["x-odd"] = odd.clone();
    repo.role("root")["keys"][keyid(2)]["keyid_hash_algorithms"] = json!(["sha256", "sha512"]);
    repo.role("root")["roles"]["timestamp"]["x-odd"] = odd.clone();
    repo.role("targets")["delegations"]["x-odd"] = odd.clone();
    repo.role("targets")["delegations"]["roles"][0]["x-odd"] = odd.clone();
    repo.role("snapshot")["meta"]["targets.json"]["x-odd"] = odd.clone();
    repo.role("team")["targets"]["x"]["x-odd"] = odd;
    repo.publish_as_is("root");
    repo.publish_all();
    found(lookup(&repo, "x"));
    // They are signed: without one of them the signature is none.
    let mut signed = repo.signed["team"].clone();
    let signatures: Value = serde_json::from_slice(&repo.files[&repo.path("team")]).unwrap();
    signed["targets"]["x"].as_object_mut().unwrap().remove("x-odd");
    repo.serve("team", file(&signed, vec![signatures["signatures"][0].clone()]));
    assert_eq!(code(lookup(&repo, "x")), "tuf/signature-threshold");
}

#[test]
fn attack_11_optional_members_that_are_absent_and_other_spellings() {
    let without = |signed: &mut Value| drop(signed.as_object_mut().unwrap().remove("consistent_snapshot"));
    let mut repo = with("root", without);
    repo.publish_all();
    assert!(refresh(&repo).is_ok());
    let text = timestamp_text();
    let spelt = text.replace("\"timestamp\"", " \"\\u0074imestamp\" ").replace("\"version\":1", "\"version\" :\r\n1");
    assert_ne!(spelt, text);
    assert!(refresh(&with_timestamp(spelt)).is_ok());
}

#[test]
fn attack_12_another_major_version_of_the_specification() {
    for version in ["2.0.0", "0.9.9", "10.0.0", "1"] {
        let other = with("timestamp", |signed| signed["spec_version"] = json!(version));
        assert_eq!(code(refresh(&other)), "tuf/spec-version", "{version}");
    }
    let missing = with("timestamp", |signed| drop(signed.as_object_mut().unwrap().remove("spec_version")));
    assert_eq!(code(refresh(&missing)), "tuf/malformed");
    for version in ["1.0", "1.0.0", "1.0.99", "1.7.0"] {
        assert!(refresh(&with("timestamp", |signed| signed["spec_version"] = json!(version))).is_ok(), "{version}");
    }
}

#[test]
fn attack_13_versions_that_are_none() {
    for version in [json!(0), json!(-1), json!("1"), json!(null), json!(1.0)] {
        let other = with("timestamp", |signed| signed["version"] = version.clone());
        assert_eq!(code(refresh(&other)), "tuf/malformed", "{version}");
    }
    for version in ["18446744073709551616", "1e400", "-0", "01"] {
        let text = timestamp_text().replacen("\"version\":1}", &format!("\"version\":{version}}}"), 1);
        assert_eq!(code(refresh(&with_timestamp(text))), "tuf/malformed", "{version}");
    }
}

#[test]
fn attack_14_instants_in_another_form() {
    for text in [
        "2031-01-01T00:00:00+02:00",
        "2031-01-01T00:00:00.5Z",
        "2031-01-01T00:00:00z",
        "2031-01-01t00:00:00Z",
        "2031-01-01 00:00:00Z",
        "2031-01-01T00:00:00",
        "2031-13-01T00:00:00Z",
        "+2031-01-01T00:00:00Z",
    ] {
        let other = with("timestamp", |signed| signed["expires"] = json!(text));
        assert_eq!(code(refresh(&other)), "tuf/malformed", "{text}");
    }
}

fn bins(prefixes: &[&str]) -> Repo {
    let mut repo = Repo::new();
    let role = json!({"name": "bin", "keyids": [keyid(10)], "threshold": 1, "terminating": true,
        "path_hash_prefixes": prefixes});
    repo.delegate_as("targets", role, &[10]);
    repo.add_target("bin", "abc", b"x");
    repo.publish_all();
    repo
}

#[test]
fn attack_15_hash_prefixes_that_are_not_those_of_the_path() {
    // sha256("abc") = ba7816bf…
    found(lookup(&bins(&["00", "ba7"]), "abc"));
    assert!(is_absent(lookup(&bins(&["ba8", "a7"]), "abc")), "the role lists it and may not");
    for prefix in ["BA7", "", "ba7g"] {
        assert_eq!(code(lookup(&bins(&[prefix]), "abc")), "tuf/malformed", "{prefix}");
    }
}

fn succinct(bits: i64, bin: &str) -> Repo {
    let mut repo = Repo::new();
    repo.role("targets")["delegations"] = json!({"keys": {keyid(10): key_object(10)}, "succinct_roles": {
        "keyids": [keyid(10)], "threshold": 1, "bit_length": bits, "name_prefix": "bin"}});
    repo.add_role(bin, &[10]);
    repo.add_target(bin, "abc", b"x");
    repo.publish_all();
    repo
}

#[test]
fn attack_16_succinct_bins_of_any_length_and_of_none() {
    for (bits, bin) in [(1, "bin-1"), (4, "bin-b"), (14, "bin-2e9e"), (32, "bin-ba7816bf")] {
        found(lookup(&succinct(bits, bin), "abc"));
        if bits > 1 {
            let other = succinct(bits, &bin.replace('b', "c").replacen('c', "b", 1).replace("2e9e", "2e9f"));
            assert_eq!(code(lookup(&other, "abc")), "tuf/not-in-snapshot", "the bin of the path and no other");
        }
    }
    for bits in [0, 33, -1] {
        assert_eq!(code(lookup(&succinct(bits, "bin-0"), "abc")), "tuf/malformed", "{bits}");
    }
}

#[test]
fn attack_17_paths_said_in_two_ways_and_a_role_named_twice() {
    let delegating = |change: &dyn Fn(&mut Value)| {
        let mut repo = team(&["*"], "x");
        change(&mut repo.role("targets")["delegations"]["roles"]);
        repo.publish_all();
        code(lookup(&repo, "x"))
    };
    assert_eq!(delegating(&|roles| roles[0]["path_hash_prefixes"] = json!(["2d"])), "tuf/malformed");
    assert_eq!(delegating(&|roles| drop(roles[0].as_object_mut().unwrap().remove("paths"))), "tuf/malformed");
    assert_eq!(delegating(&|roles| *roles = json!([roles[0], roles[0]])), "tuf/malformed");
}

#[test]
fn attack_18_patterns_that_other_globs_would_understand() {
    for (pattern, path) in
        [("rel/**", "rel/a/b"), ("rel/{a,b}", "rel/a"), ("*", "a/b"), ("[", "x"), ("A", "a"), ("a?b", "a/b")]
    {
        assert!(is_absent(lookup(&team(&[pattern], path), path)), "{pattern}");
    }
    found(lookup(&team(&["rel/**"], "rel/a"), "rel/a"));
    found(lookup(&team(&["["], "["), "["));
}

#[test]
fn attack_19_a_role_that_speaks_beyond_its_chain_or_out_of_turn() {
    let mut repo = team(&["team/*"], "other");
    assert!(is_absent(lookup(&repo, "other")));
    repo.delegate("team", "child", 11, &["*", "*/*"]);
    repo.add_target("child", "other", b"x");
    repo.delegate("targets", "late", 12, &["*/*"]);
    repo.add_target("child", "team/a", b"first");
    repo.add_target("late", "team/a", b"second");
    repo.add_target("late", "team/b", b"second");
    repo.publish_all();
    assert!(is_absent(lookup(&repo, "other")));
    assert_eq!(found(lookup(&repo, "team/a")).chain, chain("targets/team/child"));
    assert_eq!(found(lookup(&repo, "team/b")).chain, chain("targets/late"));
    repo.role("targets")["delegations"]["roles"][0]["terminating"] = json!(true);
    repo.publish_all();
    assert!(is_absent(lookup(&repo, "team/b")));
}

#[test]
fn attack_20_hundreds_of_roles_circles_and_deep_chains() {
    let mut repo = Repo::new();
    for index in 0..500 {
        repo.delegate("targets", &format!("r{index}"), 10, &["*"]);
    }
    repo.publish_all();
    assert_eq!(code(lookup(&repo, "x")), "tuf/limit");

    let mut repo = team(&["*"], "y");
    repo.delegate("team", "back", 11, &["*"]);
    repo.delegate("back", "team", 10, &["*"]);
    repo.publish_all();
    assert!(is_absent(lookup(&repo, "x")), "a circle ends");

    let mut repo = team(&["*"], "y");
    for depth in 0..20 {
        let above = if depth == 0 { "team".to_owned() } else { format!("d{depth}") };
        repo.delegate(&above, &format!("d{}", depth + 1), 11, &["*"]);
    }
    repo.publish_all();
    assert_eq!(code(lookup(&repo, "x")), "tuf/limit");
}

#[test]
fn attack_21_the_role_of_higher_priority_is_withheld() {
    let mut repo = team(&["*"], "y");
    repo.delegate("targets", "late", 12, &["*"]);
    repo.add_target("late", "x", b"x");
    repo.publish_all();
    found(lookup(&repo, "x"));
    let mut withheld = repo.clone();
    let path = withheld.path("team");
    withheld.files.remove(&path);
    assert_eq!(code(lookup(&withheld, "x")), "tuf/missing");
    repo.role("snapshot")["meta"].as_object_mut().unwrap().remove("team.json");
    repo.publish(&["snapshot", "timestamp"]);
    assert_eq!(code(lookup(&repo, "x")), "tuf/not-in-snapshot");
}

#[test]
fn attack_22_a_delegated_role_with_the_name_of_a_top_level_one() {
    for name in ["root", "timestamp", "snapshot", "targets"] {
        let mut repo = team(&["*"], "x");
        repo.role("targets")["delegations"]["roles"][0]["name"] = json!(name);
        repo.publish_all();
        assert_eq!(code(refresh(&repo)), "tuf/malformed", "{name}");
    }
}

#[test]
fn attack_23_delegated_roles_that_are_expired_rolled_back_or_removed() {
    let mut repo = team(&["*"], "x");
    repo.role("team")["expires"] = json!("2029-01-01T00:00:00Z");
    repo.publish_all();
    assert_eq!(code(lookup(&repo, "x")), "tuf/expired");

    let mut repo = team(&["*"], "x");
    repo.publish_all();
    let mut client = Client::new(&repo);
    client.refresh(&repo).unwrap();
    let before = repo.clone();
    repo.role("team")["version"] = json!(1);
    repo.publish_as_is("team");
    repo.publish(&["snapshot", "timestamp"]);
    assert_eq!(code(client.clone().refresh(&repo)), "tuf/rollback");
    let mut repo = before.clone();
    repo.role("snapshot")["meta"].as_object_mut().unwrap().remove("team.json");
    repo.publish(&["snapshot", "timestamp"]);
    assert_eq!(code(client.clone().refresh(&repo)), "tuf/rollback");
    // Versions that an attacker had raised go back with the key that he had, and with no other.
    for (name, is_forgotten) in [("snapshot", true), ("targets", false)] {
        let mut repo = before.clone();
        repo.role("team")["version"] = json!(1);
        repo.publish_as_is("team");
        repo.set_keys(name, &[33], 1);
        repo.publish(&["root", "targets", "snapshot", "timestamp"]);
        assert_eq!(client.clone().refresh(&repo).is_ok(), is_forgotten, "{name}");
    }
}

#[test]
fn attack_24_hashes_that_are_wrong_unknown_or_none() {
    let outcome = |hashes: Value| {
        let mut repo = Repo::new();
        repo.add_target("targets", "x", b"x");
        repo.role("targets")["targets"]["x"]["hashes"] = hashes;
        repo.publish_all();
        let resolved = match lookup(&repo, "x")? {
            Lookup::Found(resolved) => resolved,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(resolved.target.verify(b"xx")), "tuf/length-mismatch");
        resolved.target.verify(b"x")
    };
    let good = Sha256::of(b"x").to_string();
    assert_eq!(outcome(json!({"sha256": good})), Ok(()));
    assert_eq!(outcome(json!({"sha256": good, "blake2b-256": "zz"})), Ok(()));
    assert_eq!(code(outcome(json!({"sha256": good, "sha512": "0".repeat(128)}))), "tuf/hash-mismatch");
    assert_eq!(code(outcome(json!({"blake2b-256": "00"}))), "tuf/malformed");
    assert_eq!(code(outcome(json!({}))), "tuf/malformed");
    assert_eq!(code(outcome(json!({"sha256": good.to_uppercase()}))), "tuf/malformed");
}

#[test]
fn attack_25_target_paths_that_lead_out() {
    for path in ["../../x", "/etc/x", "a/../x", "a//x", "./x", "a\\x", "a\u{0}x", ""] {
        let mut repo = Repo::new();
        repo.add_target("targets", path, b"x");
        repo.publish_all();
        assert_eq!(code(lookup(&repo, path)), "tuf/unsafe-path", "{path:?}");
    }
}

#[test]
fn attack_26_the_next_root_is_not_answered_for() {
    let repo = Repo::new();
    let after = |outage| {
        let mut client = Client::new(&repo);
        client.outages.insert("2.root.json".to_owned(), outage);
        client.refresh(&repo)
    };
    assert!(after(FetchError::NotFound).is_ok(), "404, and 403 of an object store");
    assert_eq!(code(after(FetchError::Unreachable("HTTP 503".to_owned()))), "tuf/unreachable");
    assert_eq!(code(after(FetchError::TimedOut)), "tuf/unreachable");
}

#[test]
fn attack_28_a_cache_that_is_damaged_or_rolled_back() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    client.refresh(&repo).unwrap();
    let old = client.stored.clone();
    repo.publish(&["root"]);
    repo.publish_all();
    client.refresh(&repo).unwrap();
    for rubbish in [&b""[..], b"[]", b"{\"signed\":", b"null", b"\xff"] {
        let mut damaged = client.clone();
        damaged.stored.timestamp = Some(rubbish.to_vec());
        damaged.stored.snapshot = Some(rubbish.to_vec());
        damaged.stored.targets = Some(rubbish.to_vec());
        damaged.stored.roots = vec![rubbish.to_vec()];
        assert_eq!(damaged.refresh(&repo).unwrap().timestamp().version, 2);
    }
    let mut rolled_back = client.clone();
    rolled_back.stored = old;
    let trusted = rolled_back.refresh(&repo).unwrap();
    assert_eq!((trusted.root().version, trusted.timestamp().version), (2, 2), "from the pinned root on");
}

#[test]
fn attack_29_the_repository_is_out_of_reach_and_the_clock_moves() {
    let repo = Repo::new();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    let from_disk = |now: &str| {
        Trusted::from_stored(&client.pinned, client.stored.clone(), client.settings.clone(), at(now))
            .map(|(trusted, _)| trusted)
    };
    assert!(from_disk("2030-12-31T23:59:59Z").is_ok());
    assert_eq!(code(from_disk("2031-01-01T00:00:00Z")), "tuf/expired");
    // There is no floor under the clock of one machine: what holds is the date of every file and the versions seen.
    assert!(from_disk("2029-01-01T00:00:00Z").is_ok());
    client.now = at("2031-01-01T00:00:00Z");
    assert_eq!(code(client.lookup(&repo, &trusted, "x")), "tuf/expired", "the set in memory ends as well");
}
