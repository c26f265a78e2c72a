//! Other bytes than the listed ones, files that are missing, files without end.

use serde_json::json;

use crate::tuf::{
    Error, FetchError, Role, What,
    testing::{Client, Repo, chain},
};

fn targets() -> Role {
    Role::Targets(chain("targets"))
}

#[test]
fn listed_hashes_and_lengths_that_match_are_accepted() {
    let mut repo = Repo::new();
    repo.lists_hashes = true;
    repo.publish_all();
    let mut client = Client::new(&repo);
    client.refresh(&repo).unwrap();
    client.asked();
    let trusted = client.refresh(&repo).unwrap();
    assert_eq!(client.asked(), ["2.root.json", "timestamp.json"]);
    repo.publish(&["snapshot", "timestamp"]);
    client.refresh_after(&trusted, &repo).unwrap();
    assert_eq!(
        client.asked(),
        ["2.root.json", "timestamp.json", "3.snapshot.json"],
        "the targets are known by their hash"
    );
}

#[test]
fn a_file_with_another_hash_than_listed_is_refused() {
    for (lister, listed, role) in
        [("timestamp", "snapshot.json", Role::Snapshot), ("snapshot", "targets.json", targets())]
    {
        let mut repo = Repo::new();
        let mut client = Client::new(&repo);
        client.refresh(&repo).unwrap();
        repo.publish(&["targets"]);
        if lister == "timestamp" {
            repo.publish(&["snapshot"]);
        }
        repo.role(lister)["meta"][listed]["hashes"] = json!({"sha256": "0".repeat(64)});
        repo.publish(if lister == "timestamp" { &["timestamp"] } else { &["snapshot", "timestamp"] });
        let error = client.refresh(&repo).unwrap_err();
        assert!(matches!(&error, Error::HashMismatch { what: What::Role(what), .. } if *what == role), "{error}");
        assert_eq!(client.stored.timestamp.as_ref(), repo.files.get("timestamp.json"));
        assert_eq!(client.stored.targets.as_ref(), repo.files.get("1.targets.json"));
    }
}

#[test]
fn a_file_of_another_length_than_listed_is_refused() {
    let mut repo = Repo::new();
    let length = repo.files["1.targets.json"].len() as u64;
    for (listed, code) in [(length - 1, "tuf/too-large"), (length + 1, "tuf/length-mismatch")] {
        repo.role("snapshot")["meta"]["targets.json"]["length"] = json!(listed);
        repo.publish(&["snapshot", "timestamp"]);
        assert_eq!(Client::new(&repo).refresh(&repo).unwrap_err().code(), code);
    }
}

#[test]
fn a_file_of_another_version_than_listed_is_refused() {
    for (name, role) in [("snapshot", Role::Snapshot), ("targets", targets())] {
        let mut repo = Repo::new();
        repo.role(name)["version"] = json!(7);
        repo.publish_as_is(name);
        let bytes = repo.files[&format!("7.{name}.json")].clone();
        repo.files.insert(format!("3.{name}.json"), bytes);
        let lister = if name == "snapshot" { "timestamp" } else { "snapshot" };
        repo.role(lister)["meta"][format!("{name}.json")]["version"] = json!(3);
        repo.publish(if name == "snapshot" { &["timestamp"] } else { &["snapshot", "timestamp"] });
        let error = Client::new(&repo).refresh(&repo).unwrap_err();
        assert_eq!(error, Error::VersionMismatch { role, expected: 3, actual: 7 });
    }
}

#[test]
fn a_snapshot_served_as_the_timestamp_is_refused() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    repo.set_keys("snapshot", &[3, 2], 1);
    repo.role("snapshot")["meta"]["snapshot.json"] = json!({"version": 1});
    repo.publish(&["root", "snapshot"]);
    let bytes = repo.files["2.snapshot.json"].clone();
    repo.files.insert("timestamp.json".to_owned(), bytes);
    let error = client.refresh(&repo).unwrap_err();
    assert!(matches!(error, Error::WrongType { role: Role::Timestamp, expected: "timestamp", .. }));
}

#[test]
fn a_listed_file_that_is_missing_is_an_outage_and_the_earlier_ones_are_kept() {
    for (path, role) in
        [("timestamp.json", Role::Timestamp), ("2.snapshot.json", Role::Snapshot), ("2.targets.json", targets())]
    {
        let mut repo = Repo::new();
        let mut client = Client::new(&repo);
        client.refresh(&repo).unwrap();
        repo.publish_all();
        repo.files.remove(path);
        let error = client.refresh(&repo).unwrap_err();
        assert_eq!(error, Error::Missing { what: What::Role(role) });
        assert!(error.is_outage());
        assert_eq!(client.asked().last().map(String::as_str), Some(path));
        let is_new = |stored: &Option<Vec<u8>>, path: &str| stored.as_ref() == repo.files.get(path);
        assert_eq!(is_new(&client.stored.timestamp, "timestamp.json"), path != "timestamp.json");
        assert_eq!(is_new(&client.stored.snapshot, "2.snapshot.json"), path == "2.targets.json");
    }
}

#[test]
fn an_unreachable_repository_is_an_outage() {
    let repo = Repo::new();
    for path in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let mut client = Client::new(&repo);
        client.outages.insert(path.to_owned(), FetchError::TimedOut);
        let error = client.refresh(&repo).unwrap_err();
        assert!(error.is_outage() && error.code() == "tuf/unreachable", "{error}");
    }
}

#[test]
fn a_file_without_end_is_cut_at_its_limit() {
    let mut repo = Repo::new();
    repo.role("timestamp")["padding"] = json!("x".repeat(70 << 10));
    repo.publish(&["timestamp"]);
    let error = Client::new(&repo).refresh(&repo).unwrap_err();
    assert_eq!(error, Error::TooLarge { what: What::Role(Role::Timestamp), limit: 64 << 10 });
    assert!(!error.is_outage());
}

#[test]
fn a_listed_length_does_not_lift_the_limit() {
    let mut repo = Repo::new();
    repo.role("snapshot")["meta"]["targets.json"]["length"] = json!(u64::MAX);
    repo.publish(&["snapshot", "timestamp"]);
    let mut client = Client::new(&repo);
    client.settings.limits.targets_bytes = 100;
    let error = client.refresh(&repo).unwrap_err();
    assert_eq!(error, Error::TooLarge { what: What::Role(targets()), limit: 100 });
}

#[test]
fn without_consistent_snapshots_names_carry_no_versions() {
    for absent in [false, true] {
        let mut repo = Repo::new();
        let root = repo.role("root").as_object_mut().unwrap();
        match absent {
            true => drop(root.remove("consistent_snapshot")),
            false => drop(root.insert("consistent_snapshot".to_owned(), json!(false))),
        }
        repo.publish_as_is("root");
        repo.publish_all();
        let mut client = Client::new(&repo);
        client.refresh(&repo).unwrap();
        assert_eq!(client.asked(), ["2.root.json", "timestamp.json", "snapshot.json", "targets.json"]);
    }
}
