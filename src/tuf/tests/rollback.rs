//! Older files than those already seen, and the one way back: a root that takes away an online key.

use serde_json::json;

use crate::tuf::{
    Error, FetchError, Notice, Role, Trusted,
    testing::{Client, Repo, chain, key_object, keyid},
};

/// A repository at version 5 of everything, and a client that has seen it.
fn at_version_five() -> (Repo, Client, Trusted) {
    let mut repo = Repo::new();
    repo.delegate("targets", "team", 10, &["team/*"]);
    for _ in 0..4 {
        repo.publish_all();
    }
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    (repo, client, trusted)
}

/// That a refresh fails in the same way from the disk and from memory, and stores nothing.
fn refuses(repo: &Repo, client: &mut Client, trusted: &Trusted, expected: &Error) {
    let stored = client.stored.clone();
    assert_eq!(client.refresh_after(trusted, repo).map(drop).as_ref(), Err(expected));
    assert_eq!(client.refresh(repo).map(drop).as_ref(), Err(expected));
    assert_eq!(client.stored.timestamp, stored.timestamp);
    assert_eq!(client.stored.snapshot, stored.snapshot);
}

#[test]
fn an_older_timestamp_is_refused() {
    let (mut repo, mut client, trusted) = at_version_five();
    repo.role("timestamp")["version"] = json!(4);
    repo.publish_as_is("timestamp");
    refuses(&repo, &mut client, &trusted, &Error::Rollback { role: Role::Timestamp, stored: 5, offered: 4 });
}

#[test]
fn a_timestamp_that_names_an_older_snapshot_is_refused() {
    for lists_hashes in [false, true] {
        let (mut repo, mut client, trusted) = at_version_five();
        repo.lists_hashes = lists_hashes;
        repo.role("snapshot")["version"] = json!(4);
        repo.publish_as_is("snapshot");
        repo.publish(&["timestamp"]);
        refuses(&repo, &mut client, &trusted, &Error::Rollback { role: Role::Snapshot, stored: 5, offered: 4 });
        for lost in ["timestamp", "snapshot"] {
            let mut client = client.clone();
            match lost {
                "timestamp" => client.stored.timestamp = None,
                _ => client.stored.snapshot = None,
            }
            let error = client.refresh(&repo).unwrap_err();
            assert_eq!(error, Error::Rollback { role: Role::Snapshot, stored: 5, offered: 4 }, "without the {lost}");
        }
    }
}

#[test]
fn a_timestamp_of_the_same_version_changes_nothing() {
    let (mut repo, mut client, trusted) = at_version_five();
    let seen = client.stored.timestamp.clone();
    repo.role("timestamp")["meta"]["snapshot.json"]["version"] = json!(100);
    repo.publish_as_is("timestamp");
    client.asked();
    let again = client.refresh(&repo).unwrap();
    assert_eq!(client.asked(), ["2.root.json", "timestamp.json"]);
    assert_eq!((client.stored.timestamp.clone(), again.timestamp()), (seen, trusted.timestamp()));
    assert!(matches!(
        client.notices.as_slice(),
        [Notice::Equivocation { role: Role::Timestamp, version: 5, stored, offered: Some(offered) }] if stored != offered
    ));
}

#[test]
fn a_snapshot_in_which_a_role_goes_back_is_refused() {
    for name in ["targets", "team"] {
        let (mut repo, mut client, trusted) = at_version_five();
        repo.role("snapshot")["meta"][format!("{name}.json")]["version"] = json!(3);
        repo.publish(&["snapshot", "timestamp"]);
        let role = Role::Targets(if name == "team" { chain("targets/team") } else { chain("targets") });
        let stored = repo.signed[name]["version"].as_u64().unwrap();
        let expected = Error::Rollback { role, stored, offered: 3 };
        assert_eq!(client.refresh_after(&trusted, &repo).map(drop).as_ref(), Err(&expected));
        assert_eq!(client.refresh(&repo).map(drop), Err(expected));
    }
}

#[test]
fn a_snapshot_from_which_a_role_disappears_is_refused() {
    let (mut repo, mut client, trusted) = at_version_five();
    repo.role("snapshot")["meta"].as_object_mut().unwrap().remove("team.json");
    repo.publish(&["snapshot", "timestamp"]);
    let expected = Error::Removed { file: "team.json".to_owned(), stored: 4, snapshot: 6 };
    assert_eq!(client.refresh_after(&trusted, &repo).map(drop).as_ref(), Err(&expected));
    assert_eq!(client.refresh(&repo).map(drop).as_ref(), Err(&expected));
    assert_eq!(expected.code(), "tuf/rollback");
}

#[test]
fn what_has_expired_on_disk_is_still_a_floor() {
    let (mut repo, mut client, _) = at_version_five();
    client.now = crate::tuf::testing::at("2031-06-01T00:00:00Z");
    for name in ["root", "timestamp", "snapshot", "targets"] {
        repo.role(name)["expires"] = json!("2032-01-01T00:00:00Z");
    }
    repo.publish(&["root"]);
    repo.role("timestamp")["version"] = json!(4);
    repo.publish_as_is("timestamp");
    assert!(matches!(client.refresh(&repo), Err(Error::Rollback { role: Role::Timestamp, stored: 5, offered: 4 })));
    repo.role("timestamp")["version"] = json!(6);
    repo.publish_all();
    assert!(client.refresh(&repo).is_ok());
}

/// Everything at version 1 again, without the delegated role, as an attacker or a recovery would publish it.
fn back_to_one(repo: &mut Repo) {
    for name in ["targets", "snapshot", "timestamp"] {
        repo.role(name)["version"] = json!(1);
    }
    repo.role("snapshot")["meta"].as_object_mut().unwrap().remove("team.json");
    repo.role("targets").as_object_mut().unwrap().remove("delegations");
    for name in ["targets", "snapshot", "timestamp"] {
        repo.publish_as_is(name);
    }
}

#[test]
fn a_root_that_takes_away_an_online_key_lets_versions_go_back() {
    for name in ["timestamp", "snapshot"] {
        let (mut repo, mut client, trusted) = at_version_five();
        repo.set_keys(name, &[30], 1);
        repo.publish(&["root"]);
        back_to_one(&mut repo);
        let from_memory = client.clone().refresh_after(&trusted, &repo).unwrap();
        let from_disk = client.refresh(&repo).unwrap();
        for trusted in [from_memory, from_disk] {
            let versions = [trusted.root(), trusted.timestamp(), trusted.snapshot(), trusted.targets()];
            assert_eq!(versions.map(|file| file.version), [2, 1, 1, 1], "{name}");
        }
        // A file of the key that was taken away is none, should it still lie on the disk.
        match name {
            "timestamp" => client.stored.timestamp = trusted.memory().timestamp,
            _ => client.stored.snapshot = trusted.memory().snapshot,
        }
        assert_eq!(client.refresh(&repo).unwrap().timestamp().version, 1);
    }
}

#[test]
fn what_a_root_made_forgotten_stays_forgotten_though_the_refresh_fails_later() {
    for name in ["timestamp", "snapshot"] {
        let (mut repo, mut client, _) = at_version_five();
        repo.set_keys(name, &[30], 1);
        repo.publish(&["root"]);
        back_to_one(&mut repo);
        client.outages.insert("timestamp.json".to_owned(), FetchError::TimedOut);
        assert!(client.refresh(&repo).is_err());
        assert_eq!((client.stored.roots.len(), &client.stored.timestamp, &client.stored.snapshot), (1, &None, &None));
        client.outages.clear();
        assert_eq!(client.refresh(&repo).unwrap().snapshot().version, 1, "{name}");
    }
}

#[test]
fn replacing_the_key_behind_a_key_id_is_taking_it_away() {
    let (mut repo, mut client, _) = at_version_five();
    repo.role("root")["keys"][keyid(2)] = key_object(30);
    repo.publish(&["root"]);
    repo.signers.insert("timestamp".to_owned(), vec![30]);
    repo.role("root")["keys"][keyid(30)] = key_object(30);
    repo.role("root")["roles"]["timestamp"]["keyids"] = json!([keyid(30)]);
    repo.publish(&["root"]);
    back_to_one(&mut repo);
    assert_eq!(client.refresh(&repo).unwrap().timestamp().version, 1);
}

#[test]
fn adding_an_online_key_or_raising_a_threshold_lets_nothing_go_back() {
    for (keys, threshold) in [(&[2, 12][..], 1), (&[2, 12][..], 2)] {
        let (mut repo, mut client, trusted) = at_version_five();
        repo.set_keys("timestamp", keys, threshold);
        repo.publish(&["root"]);
        back_to_one(&mut repo);
        let expected = Error::Rollback { role: Role::Timestamp, stored: 5, offered: 1 };
        assert_eq!(client.refresh_after(&trusted, &repo).map(drop).as_ref(), Err(&expected));
        assert_eq!(client.refresh(&repo).map(drop).as_ref(), Err(&expected));
        // The root is stored by now; the next run must still remember.
        assert_eq!(client.refresh(&repo).map(drop).as_ref(), Err(&expected), "threshold {threshold}");
    }
}

#[test]
fn rotating_other_keys_lets_nothing_go_back() {
    let (mut repo, mut client, trusted) = at_version_five();
    repo.set_keys("targets", &[30], 1);
    repo.set_keys("root", &[1, 31], 1);
    repo.publish(&["root"]);
    back_to_one(&mut repo);
    refuses(&repo, &mut client, &trusted, &Error::Rollback { role: Role::Timestamp, stored: 5, offered: 1 });
}

#[test]
fn after_a_raised_threshold_the_same_version_with_more_signatures_is_accepted() {
    let (mut repo, mut client, trusted) = at_version_five();
    repo.set_keys("timestamp", &[2, 12], 2);
    repo.set_keys("snapshot", &[3, 13], 2);
    repo.publish(&["root"]);
    repo.publish_as_is("snapshot");
    repo.publish_as_is("timestamp");
    client.asked();
    let again = client.clone().refresh_after(&trusted, &repo).unwrap();
    assert_eq!(again.timestamp().version, 5);
    client.refresh(&repo).unwrap();
    assert_eq!(client.asked(), ["2.root.json", "3.root.json", "timestamp.json", "5.snapshot.json"]);
    assert_eq!(client.stored.timestamp.as_ref(), repo.files.get("timestamp.json"));
}
