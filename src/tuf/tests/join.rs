//! What several places remember, brought together.

use proptest::{prelude::*, sample::select};
use serde_json::json;

use crate::tuf::{
    Error, Notice, Role, Stored,
    testing::{Client, Repo, sign},
};

/// Four roots, of which the third takes the timestamp's key away, and the timestamps and snapshots of a repository in
/// each of those times.
struct History {
    pinned: Vec<u8>,
    roots: Vec<Vec<u8>>,
    timestamps: Vec<Vec<u8>>,
    snapshots: Vec<Vec<u8>>,
}

fn history() -> History {
    let mut repo = Repo::new();
    let pinned = repo.files["1.root.json"].clone();
    let (mut timestamps, mut snapshots) = (vec![], vec![]);
    let mut note = |repo: &mut Repo| {
        for _ in 0..2 {
            repo.publish_all();
            timestamps.push(repo.files["timestamp.json"].clone());
            snapshots.push(repo.files[&repo.path("snapshot")].clone());
        }
        // Another content of the last version.
        let again = repo.signed["snapshot"]["version"].to_string();
        repo.role("snapshot")["note"] = json!(again);
        repo.publish_as_is("snapshot");
        snapshots.push(repo.files[&repo.path("snapshot")].clone());
    };
    note(&mut repo);
    repo.set_keys("timestamp", &[2, 12], 2);
    repo.publish(&["root"]);
    note(&mut repo);
    repo.set_keys("timestamp", &[12, 22], 1);
    repo.publish(&["root"]);
    repo.role("timestamp")["version"] = json!(1);
    repo.role("snapshot")["version"] = json!(1);
    note(&mut repo);
    repo.set_keys("snapshot", &[3, 13], 2);
    repo.publish(&["root"]);
    note(&mut repo);
    timestamps.push(b"junk".to_vec());
    snapshots.push(sign(&json!({"_type": "snapshot"}), &[3]));
    let roots = (2..=4).map(|version| repo.files[&format!("{version}.root.json")].clone()).collect();
    History { pinned, roots, timestamps, snapshots }
}

fn join(history: &History, one: &Stored, other: &Stored) -> Stored {
    Stored::join(&history.pinned, one.clone(), other.clone()).unwrap().0
}

fn any_stored(history: &History) -> impl Strategy<Value = Stored> + use<> {
    let maybe = |files: &[Vec<u8>]| select(files.iter().cloned().map(Some).chain([None]).collect::<Vec<_>>());
    let roots = history.roots.clone();
    (0..=roots.len(), maybe(&history.timestamps), maybe(&history.snapshots)).prop_map(
        move |(known, timestamp, snapshot)| Stored {
            roots: roots[..known].to_vec(),
            timestamp,
            snapshot,
            targets: None,
        },
    )
}

#[test]
fn a_join_does_not_depend_on_order_or_repetition() {
    let history = history();
    let stored = || any_stored(&history);
    let config = ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(a in stored(), b in stored(), c in stored())| {
        let ab = join(&history, &a, &b);
        prop_assert_eq!(&ab, &join(&history, &b, &a));
        prop_assert_eq!(&ab, &join(&history, &ab, &ab));
        prop_assert_eq!(&ab, &join(&history, &ab, &a));
        prop_assert_eq!(join(&history, &ab, &c), join(&history, &a, &join(&history, &b, &c)));
    });
}

#[test]
fn the_newest_of_each_file_is_taken() {
    let mut repo = Repo::new();
    let mut early = Client::new(&repo);
    early.refresh(&repo).unwrap();
    repo.publish(&["root"]);
    repo.publish_all();
    let mut late = Client::new(&repo);
    late.refresh(&repo).unwrap();
    let (joined, notices) = Stored::join(&early.pinned, early.stored.clone(), late.stored.clone()).unwrap();
    assert_eq!(joined, Stored { targets: early.stored.targets.clone(), ..late.stored.clone() });
    assert_eq!(notices, []);
    let mixed = Stored { timestamp: early.stored.timestamp, ..late.stored.clone() };
    let (joined, _) = Stored::join(&early.pinned, mixed, Stored { roots: vec![], ..late.stored.clone() }).unwrap();
    assert_eq!(joined, late.stored);
}

#[test]
fn what_a_root_of_one_made_forgotten_is_forgotten_in_the_other() {
    let mut repo = Repo::new();
    for _ in 0..4 {
        repo.publish_all();
    }
    let mut before = Client::new(&repo);
    before.refresh(&repo).unwrap();
    repo.set_keys("timestamp", &[12], 1);
    repo.publish(&["root"]);
    for name in ["snapshot", "timestamp"] {
        repo.role(name)["version"] = json!(2);
        repo.publish_as_is(name);
    }
    let mut after = Client::new(&repo);
    after.refresh(&repo).unwrap();
    let (joined, _) = Stored::join(&before.pinned, before.stored.clone(), after.stored.clone()).unwrap();
    assert_eq!((joined.timestamp, joined.snapshot), (after.stored.timestamp.clone(), after.stored.snapshot.clone()));
    let only_root = Stored { roots: after.stored.roots, ..Stored::default() };
    let (joined, _) = Stored::join(&before.pinned, before.stored, only_root.clone()).unwrap();
    assert_eq!(Stored { targets: None, ..joined }, only_root);
}

#[test]
fn two_roots_of_one_version_are_a_fork() {
    let mut repo = Repo::new();
    let pinned = repo.files["1.root.json"].clone();
    let mut second = |note: &str, seeds: &[u8]| {
        repo.role("root")["version"] = json!(2);
        repo.role("root")["note"] = json!(note);
        let roots = vec![sign(&repo.signed["root"], seeds)];
        Stored { roots, ..Stored::default() }
    };
    let (one, other, resigned) = (second("one", &[1]), second("other", &[1]), second("one", &[1, 9]));
    let fork = |one: &Stored, other: &Stored| Stored::join(&pinned, one.clone(), other.clone());
    let error = fork(&one, &other).unwrap_err();
    assert!(matches!(error, Error::RootFork { version: 2, .. }));
    assert_eq!(fork(&other, &one).unwrap_err(), error);
    assert_eq!(fork(&one, &resigned).unwrap(), fork(&resigned, &one).unwrap(), "more signatures are no other root");
}

#[test]
fn what_does_not_verify_is_left_out_and_told() {
    let repo = Repo::new();
    let mut client = Client::new(&repo);
    client.refresh(&repo).unwrap();
    let mut forged = repo.signed["timestamp"].clone();
    forged["version"] = json!(u64::MAX);
    let attacked = Stored { timestamp: Some(sign(&forged, &[99])), ..Stored::default() };
    let (joined, notices) = Stored::join(&client.pinned, attacked, client.stored.clone()).unwrap();
    assert_eq!(joined, client.stored);
    assert!(matches!(notices.as_slice(), [Notice::Ignored { role: Role::Timestamp, error: Error::Threshold { .. } }]));
}
