//! What is read back from a disk that may be damaged, old, or someone else's.

use serde_json::json;

use crate::tuf::{
    Error, Notice, Role, Stored, Trusted,
    testing::{Client, Repo, at, chain, now, sign},
};

fn rubbish() -> Vec<Vec<u8>> {
    [&b""[..], b"[]", b"{}", b"null", b"\xff\xfe", b"{\"signed\":{},\"signatures\":[]}"].map(<[u8]>::to_vec).to_vec()
}

#[test]
fn rubbish_on_disk_is_as_good_as_nothing() {
    let repo = Repo::new();
    let mut good = Client::new(&repo);
    good.refresh(&repo).unwrap();
    for junk in rubbish() {
        for file in 0..4 {
            let mut client = good.clone();
            match file {
                0 => client.stored.roots = vec![junk.clone()],
                1 => client.stored.timestamp = Some(junk.clone()),
                2 => client.stored.snapshot = Some(junk.clone()),
                _ => client.stored.targets = Some(junk.clone()),
            }
            assert!(client.refresh(&repo).is_ok(), "file {file}: {junk:?}");
            assert_eq!(client.stored.targets.as_ref(), repo.files.get("1.targets.json"));
            assert_eq!(client.notices.len(), usize::from(file < 3), "file {file}");
        }
    }
}

#[test]
fn a_truncated_file_is_fetched_again() {
    let repo = Repo::new();
    let mut client = Client::new(&repo);
    client.refresh(&repo).unwrap();
    client.stored.snapshot.as_mut().unwrap().truncate(100);
    client.asked();
    client.refresh(&repo).unwrap();
    assert_eq!(client.asked(), ["2.root.json", "timestamp.json", "1.snapshot.json"]);
}

#[test]
fn nobody_without_keys_can_raise_a_floor() {
    let repo = Repo::new();
    let mut forged = repo.signed["timestamp"].clone();
    forged["version"] = json!(u64::MAX);
    let mut client = Client::new(&repo);
    client.stored.timestamp = Some(sign(&forged, &[99]));
    let mut forged = repo.signed["snapshot"].clone();
    forged["version"] = json!(u64::MAX);
    client.stored.snapshot = Some(sign(&forged, &[2]));
    let mut forged = repo.signed["root"].clone();
    forged["version"] = json!(2);
    client.stored.roots = vec![sign(&forged, &[2, 3, 4])];
    assert!(client.refresh(&repo).is_ok());
    assert!(matches!(
        client.notices.as_slice(),
        [
            Notice::Ignored { role: Role::Root, error: Error::Threshold { .. } },
            Notice::Ignored { role: Role::Timestamp, .. },
            Notice::Ignored { role: Role::Snapshot, .. }
        ]
    ));
}

#[test]
fn a_stored_root_that_does_not_follow_from_the_pinned_one_is_not_used() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    repo.publish(&["root"]);
    repo.publish(&["root"]);
    client.stored.roots = vec![repo.files["3.root.json"].clone()];
    assert_eq!(client.refresh(&repo).unwrap().root().version, 3);
    assert_eq!(client.asked()[0], "2.root.json");
}

#[test]
fn a_snapshot_of_a_known_version_stays_whatever_hash_is_listed_for_it() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    client.refresh(&repo).unwrap();
    let seen = client.stored.snapshot.clone();
    repo.lists_hashes = true;
    repo.role("snapshot")["note"] = json!("another content");
    repo.publish_as_is("snapshot");
    repo.publish(&["timestamp"]);
    client.asked();
    client.refresh(&repo).unwrap();
    assert_eq!(client.asked(), ["2.root.json", "timestamp.json"]);
    assert_eq!(client.stored.snapshot, seen);
    assert!(matches!(client.notices.as_slice(), [Notice::Equivocation { role: Role::Snapshot, version: 1, .. }]));
}

#[test]
fn targets_that_their_new_keys_did_not_sign_are_fetched_again() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    repo.set_keys("targets", &[40], 1);
    repo.publish(&["root"]);
    repo.publish_as_is("targets");
    client.asked();
    client.clone().refresh_after(&trusted, &repo).unwrap();
    let mut resident = client.clone();
    resident.refresh_after(&trusted, &repo).unwrap();
    client.refresh(&repo).unwrap();
    for client in [&mut client, &mut resident] {
        assert_eq!(client.asked(), ["2.root.json", "3.root.json", "timestamp.json", "1.targets.json"]);
    }
}

#[test]
fn targets_are_fetched_again_when_more_must_sign_them() {
    let mut repo = Repo::new();
    repo.set_keys("targets", &[4, 40], 1);
    repo.publish(&["root"]);
    let mut client = Client::new(&repo);
    repo.signers.insert("targets".to_owned(), vec![4]);
    repo.publish_as_is("targets");
    let trusted = client.refresh(&repo).unwrap();
    repo.set_keys("targets", &[4, 40], 2);
    repo.publish(&["root"]);
    for outcome in [client.clone().refresh_after(&trusted, &repo), client.clone().refresh(&repo)] {
        assert!(matches!(outcome, Err(Error::Threshold { threshold: 2, .. })));
    }
    repo.publish_as_is("targets");
    assert!(client.refresh_after(&trusted, &repo).is_ok());
}

#[test]
fn targets_of_a_known_version_are_fetched_again_when_another_hash_or_length_is_listed() {
    for listed in ["hashes", "length"] {
        let mut repo = Repo::new();
        let mut client = Client::new(&repo);
        let trusted = client.refresh(&repo).unwrap();
        repo.lists_hashes = true;
        repo.role("targets")["note"] = json!("another content");
        repo.publish_as_is("targets");
        let kept = repo.role("snapshot")["meta"]["targets.json"][listed].take();
        repo.role("snapshot")["meta"]["targets.json"] = json!({"version": 1, listed: kept});
        repo.publish(&["snapshot", "timestamp"]);
        for outcome in [client.clone().refresh_after(&trusted, &repo), client.refresh(&repo)] {
            assert_ne!(outcome.unwrap().targets().sha256, trusted.targets().sha256, "{listed}");
        }
    }
}

#[test]
fn a_listed_sha512_is_checked_on_bytes_and_never_taken_as_known() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    repo.lists_hashes = true;
    repo.publish_all();
    let trusted = client.refresh(&repo).unwrap();
    repo.role("snapshot")["meta"]["targets.json"]["hashes"]["sha512"] = json!("0".repeat(128));
    repo.publish(&["snapshot", "timestamp"]);
    for outcome in [client.clone().refresh_after(&trusted, &repo), client.refresh(&repo)] {
        assert!(matches!(outcome, Err(Error::HashMismatch { .. })));
    }
}

#[test]
fn targets_whose_keys_only_grew_in_number_are_kept() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    repo.set_keys("targets", &[4, 40], 1);
    repo.publish(&["root"]);
    client.asked();
    client.refresh_after(&trusted, &repo).unwrap();
    assert_eq!(client.asked(), ["2.root.json", "3.root.json", "timestamp.json"]);
}

#[test]
fn a_generation_is_built_from_the_disk_alone_as_long_as_nothing_has_expired() {
    let mut repo = Repo::new();
    repo.publish(&["root"]);
    let mut client = Client::new(&repo);
    let fetched = client.refresh(&repo).unwrap();
    let load = |stored: &Stored, now| {
        Trusted::from_stored(&client.pinned, stored.clone(), client.settings.clone(), now).map(|(trusted, _)| trusted)
    };
    let loaded = load(&client.stored, now()).unwrap();
    assert_eq!(loaded.root(), fetched.root());
    assert_eq!(loaded.targets(), fetched.targets());
    assert!(matches!(load(&client.stored, at("2031-01-01T00:00:00Z")), Err(Error::Expired { role: Role::Root, .. })));
    let without = |change: fn(&mut Stored)| {
        let mut stored = client.stored.clone();
        change(&mut stored);
        load(&stored, now()).map(drop)
    };
    let not_stored = |role| Err(Error::NotStored { role });
    assert_eq!(without(|stored| stored.timestamp = None), not_stored(Role::Timestamp));
    assert_eq!(without(|stored| stored.snapshot = None), not_stored(Role::Snapshot));
    assert_eq!(without(|stored| stored.targets = None), not_stored(Role::Targets(chain("targets"))));
    // A floor under an older root is no file to work with under the newest.
    repo.set_keys("timestamp", &[2, 12], 2);
    repo.publish(&["root"]);
    client.stored.roots.push(repo.files["3.root.json"].clone());
    let outcome = Trusted::from_stored(&client.pinned, client.stored.clone(), client.settings.clone(), now());
    assert_eq!(outcome.map(drop), not_stored(Role::Timestamp));
}

#[test]
fn files_of_different_generations_on_one_disk_do_not_make_a_generation() {
    let mut repo = Repo::new();
    let mut old = Client::new(&repo);
    old.refresh(&repo).unwrap();
    repo.publish_all();
    let mut new = Client::new(&repo);
    new.refresh(&repo).unwrap();
    let mixed = |stored: Stored| Trusted::from_stored(&new.pinned, stored, new.settings.clone(), now()).map(drop);
    let error = mixed(Stored { snapshot: old.stored.snapshot.clone(), ..new.stored.clone() }).unwrap_err();
    assert_eq!(error, Error::VersionMismatch { role: Role::Snapshot, expected: 2, actual: 1 });
    let error = mixed(Stored { targets: old.stored.targets.clone(), ..new.stored.clone() }).unwrap_err();
    assert_eq!(error, Error::VersionMismatch { role: Role::Targets(chain("targets")), expected: 2, actual: 1 });
    let error = mixed(Stored { timestamp: old.stored.timestamp.clone(), ..new.stored.clone() }).unwrap_err();
    assert_eq!(error, Error::Rollback { role: Role::Snapshot, stored: 2, offered: 1 });
}

#[test]
fn what_is_handed_on_as_memory_is_a_floor_for_a_client_that_has_seen_nothing() {
    let mut repo = Repo::new();
    repo.publish(&["root"]);
    for _ in 0..3 {
        repo.publish_all();
    }
    let memory = Client::new(&repo).refresh(&repo).unwrap().memory();
    assert_eq!(memory.roots, [repo.files["2.root.json"].clone()]);
    let mut fresh = Client::new(&repo);
    fresh.stored = memory;
    repo.role("timestamp")["version"] = json!(2);
    repo.publish_as_is("timestamp");
    let error = fresh.refresh(&repo).unwrap_err();
    assert_eq!(error, Error::Rollback { role: Role::Timestamp, stored: 4, offered: 2 });
}

#[test]
fn asking_for_the_result_too_early_is_an_error() {
    let repo = Repo::new();
    let client = Client::new(&repo);
    let refresh =
        crate::tuf::Refresh::start(&client.pinned, Stored::default(), client.settings.clone(), now()).unwrap();
    assert_eq!(refresh.finish().map(drop), Err(Error::Unfinished));
}
