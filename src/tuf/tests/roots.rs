//! Rotations of the root: who must sign, what may be skipped, and where it ends.

use serde_json::json;

use crate::tuf::{
    Error, FetchError, Role, Stored,
    testing::{Client, Repo, at},
};

struct Version {
    keys: &'static [u8],
    threshold: u32,
    signers: &'static [u8],
}

fn v(keys: &'static [u8], threshold: u32, signers: &'static [u8]) -> Version {
    Version { keys, threshold, signers }
}

/// The version that a client ends at, starting from the first of these roots, and whether the refresh succeeds.
fn rotate(versions: &[Version]) -> (u64, Result<(), Error>) {
    let mut repo = Repo::new();
    repo.files.remove("1.root.json");
    repo.role("root")["version"] = json!(0);
    for version in versions {
        repo.set_keys("root", version.keys, version.threshold);
        repo.signers.insert("root".to_owned(), version.signers.to_vec());
        repo.publish(&["root"]);
    }
    let mut client = Client::new(&repo);
    let outcome = client.refresh(&repo).map(drop);
    (1 + client.stored.roots.len() as u64, outcome)
}

#[test]
fn roots_are_stepped_through_as_long_as_old_and_new_keys_sign() {
    let good: &[&[Version]] = &[
        &[v(&[1], 1, &[1]), v(&[2], 1, &[2, 1]), v(&[2], 1, &[2])],
        &[v(&[1], 1, &[3, 1, 4]), v(&[2], 1, &[3, 2, 1, 4]), v(&[2], 1, &[3, 2, 4])],
        &[v(&[0, 1, 2, 3, 4], 3, &[0, 2, 4]), v(&[0, 1, 2, 3, 4], 3, &[0, 4, 1]), v(&[0, 1, 2, 3, 4], 3, &[0, 1, 3])],
        &[v(&[0, 1, 2, 3, 4], 3, &[0, 2, 4]), v(&[0, 1, 3, 4, 5], 3, &[0, 4, 1])],
        &[v(&[0, 1, 2], 3, &[0, 1, 2]), v(&[5, 6, 7], 3, &[0, 1, 2, 5, 6, 7]), v(&[5, 6, 7], 3, &[5, 6, 7])],
        &[v(&[1, 2, 3], 1, &[1]), v(&[1, 2, 3], 2, &[1, 2])],
        &[v(&[1, 2, 3], 2, &[1, 2]), v(&[1, 2, 3], 1, &[1, 2]), v(&[1, 2, 3], 1, &[1])],
    ];
    for (index, versions) in good.iter().enumerate() {
        assert_eq!(rotate(versions), (versions.len() as u64, Ok(())), "case {index}");
    }
}

#[test]
fn a_root_that_old_or_new_keys_did_not_sign_is_refused_and_the_one_before_stays() {
    let bad: &[&[Version]] = &[
        &[v(&[1], 1, &[1]), v(&[2], 1, &[2, 3, 4])],
        &[v(&[1], 1, &[1]), v(&[2], 1, &[1, 3, 4])],
        &[v(&[0, 1, 2, 3, 4], 3, &[0, 2, 4]), v(&[0, 1, 3, 4, 5], 3, &[0, 2, 4])],
        &[v(&[0, 1, 2, 3, 4], 3, &[0, 2, 4]), v(&[0, 1, 3, 4, 5], 3, &[0, 4, 5])],
        &[v(&[1, 2, 3], 1, &[1]), v(&[1, 2, 3], 2, &[2])],
        &[v(&[1, 2, 3], 2, &[1, 2]), v(&[1, 2, 3], 1, &[1])],
    ];
    for (index, versions) in bad.iter().enumerate() {
        let (reached, outcome) = rotate(versions);
        assert_eq!(reached, 1, "case {index}");
        assert!(matches!(outcome, Err(Error::Threshold { role: Role::Root, .. })), "case {index}");
    }
}

#[test]
fn a_pinned_root_that_did_not_sign_itself_is_refused_before_anything_is_asked() {
    let mut repo = Repo::new();
    repo.signers.insert("root".to_owned(), vec![4]);
    repo.publish_as_is("root");
    let mut client = Client::new(&repo);
    let error = client.refresh(&repo).unwrap_err();
    assert!(matches!(&error, Error::PinnedRoot(inner) if matches!(**inner, Error::Threshold { .. })));
    assert_eq!(error.code(), "tuf/pinned-root");
    client.pinned = b"{}".to_vec();
    assert!(matches!(client.refresh(&repo), Err(Error::PinnedRoot(_))));
    assert!(client.asked().is_empty());
}

#[test]
fn a_root_of_another_version_than_asked_for_is_refused() {
    for version in [1, 3] {
        let mut repo = Repo::new();
        let mut client = Client::new(&repo);
        repo.role("root")["version"] = json!(version);
        repo.publish_as_is("root");
        let bytes = repo.files[&repo.path("root")].clone();
        repo.files.insert("2.root.json".to_owned(), bytes);
        let expected = Error::VersionMismatch { role: Role::Root, expected: 2, actual: version };
        assert_eq!(client.refresh(&repo).map(drop), Err(expected));
    }
}

#[test]
fn an_expired_root_may_be_stepped_through() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    repo.role("root")["expires"] = json!("2029-12-31T00:00:00Z");
    repo.publish(&["root"]);
    repo.role("root")["expires"] = json!("2030-12-31T00:00:00Z");
    repo.publish(&["root"]);
    assert_eq!(client.refresh(&repo).unwrap().root().version, 3);
}

#[test]
fn an_expired_last_root_is_stored_and_ends_the_refresh() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    repo.role("root")["expires"] = json!("2030-01-01T00:00:00Z");
    repo.publish(&["root"]);
    let now = at("2030-01-01T00:00:00Z");
    let expected = Error::Expired { role: Role::Root, version: 2, expires: now, now };
    assert_eq!(client.refresh(&repo).map(drop), Err(expected));
    assert_eq!(client.asked(), ["2.root.json", "3.root.json"]);
    assert_eq!(client.stored, Stored { roots: vec![repo.files["2.root.json"].clone()], ..Stored::default() });
}

#[test]
fn only_not_found_means_that_there_is_no_newer_root() {
    let repo = Repo::new();
    for (outage, code) in [
        (FetchError::TimedOut, "tuf/unreachable"),
        (FetchError::Unreachable("503".to_owned()), "tuf/unreachable"),
        (FetchError::TooLarge { limit: 1 }, "tuf/too-large"),
    ] {
        let mut client = Client::new(&repo);
        client.outages.insert("2.root.json".to_owned(), outage);
        assert_eq!(client.refresh(&repo).unwrap_err().code(), code);
        assert_eq!(client.asked(), ["2.root.json"]);
    }
}

#[test]
fn more_rotations_than_one_refresh_takes_are_reported_and_the_next_refresh_goes_on() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    for _ in 0..7 {
        repo.publish(&["root"]);
    }
    client.settings.limits.root_rotations = 5;
    let error = client.refresh(&repo).unwrap_err();
    assert_eq!(error, Error::RootRotations { limit: 5, reached: 6 });
    assert!(error.is_outage());
    assert_eq!(client.stored.roots.len(), 5);
    client.asked();
    assert_eq!(client.refresh(&repo).unwrap().root().version, 8);
    assert_eq!(client.asked()[..3], ["7.root.json", "8.root.json", "9.root.json"]);
}

#[test]
fn exactly_as_many_rotations_as_allowed_are_no_error() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    repo.publish(&["root"]);
    repo.publish(&["root"]);
    client.settings.limits.root_rotations = 2;
    assert_eq!(client.refresh(&repo).unwrap().root().version, 3);
}

#[test]
fn a_root_that_is_too_large_is_cut() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    repo.role("root")["padding"] = json!("x".repeat(600 << 10));
    repo.publish(&["root"]);
    assert_eq!(client.refresh(&repo).unwrap_err().code(), "tuf/too-large");
}

#[test]
fn the_newest_root_alone_may_be_the_anchor_of_the_next_run() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    repo.set_keys("root", &[21], 1);
    repo.signers.insert("root".to_owned(), vec![1, 21]);
    repo.publish(&["root"]);
    client.refresh(&repo).unwrap();
    client.pinned = client.stored.roots.pop().unwrap();
    client.asked();
    assert_eq!(client.refresh(&repo).unwrap().root().version, 2);
    assert_eq!(client.asked(), ["3.root.json", "timestamp.json"]);
}

#[test]
fn a_pinned_root_that_has_caught_up_with_the_stored_ones_goes_before_them() {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    repo.publish(&["root"]);
    repo.publish(&["root"]);
    client.refresh(&repo).unwrap();
    client.pinned = repo.files["2.root.json"].clone();
    client.asked();
    assert_eq!(client.refresh(&repo).unwrap().root().version, 3);
    assert_eq!(client.asked(), ["4.root.json", "timestamp.json"]);
    assert_eq!(client.notices, []);
}
