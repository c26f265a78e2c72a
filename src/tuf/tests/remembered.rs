//! What replicas remember together, whoever writes there.

use std::num::NonZeroU64;

use proptest::{prelude::*, sample::select};
use serde_json::json;

use crate::tuf::{
    Error, Joined, MemoryFault, Notice, Remembered, Role, Stored,
    testing::{Client, Repo, sign},
};

fn epoch(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap()
}

fn join(there: Option<&Remembered>, mine: &Stored, pinned: &[u8]) -> Result<Joined, Error> {
    Remembered::join(there, mine.clone(), pinned, epoch(1))
}

fn without_targets(stored: &Stored) -> Stored {
    Stored { targets: None, ..stored.clone() }
}

/// A repository after `steps` publications, and what a client of it knows after each. The third root takes the key of the
/// timestamp away.
fn history() -> (Vec<u8>, Vec<Stored>) {
    let mut repo = Repo::new();
    let mut client = Client::new(&repo);
    let mut known = vec![Stored::default()];
    for step in 0..6 {
        match step {
            2 => {
                repo.set_keys("timestamp", &[2, 12], 1);
                repo.publish(&["root"]);
            }
            4 => {
                repo.set_keys("timestamp", &[22], 1);
                repo.publish(&["root"]);
            }
            _ => {}
        }
        repo.publish_all();
        client.refresh(&repo).unwrap();
        known.push(without_targets(&client.stored));
    }
    (client.pinned, known)
}

fn remembered(stored: &Stored, pinned: &[u8]) -> Remembered {
    join(None, stored, pinned).unwrap().remembered
}

/// Root, timestamp and snapshot as versions; the root outweighs, for it may take the others away.
fn height(stored: &Stored, pinned: &[u8]) -> (u64, u64, u64) {
    let files = Remembered::files(stored.clone(), pinned).unwrap();
    let of = |role: Role| files.iter().find(|(known, _)| *known == role).map_or(0, |(_, file)| file.version);
    (of(Role::Root), of(Role::Timestamp), of(Role::Snapshot))
}

#[test]
fn what_is_remembered_only_rises_whoever_writes_in_which_order() {
    let (pinned, known) = history();
    let any = || select(known.clone());
    let config = ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(a in any(), b in any(), c in any())| {
        let write = |there: &Remembered, mine: &Stored| join(Some(there), mine, &pinned).unwrap();
        let one = write(&remembered(&a, &pinned), &b);
        let other = write(&remembered(&b, &pinned), &a);
        prop_assert_eq!(&one.remembered, &other.remembered, "commutative");
        prop_assert_eq!(&write(&one.remembered, &b).remembered, &one.remembered, "idempotent");
        let left = write(&one.remembered, &c).remembered;
        let right = write(&remembered(&a, &pinned), &write(&remembered(&b, &pinned), &c).floors).remembered;
        prop_assert_eq!(left, right, "associative");
        for part in [&a, &b] {
            prop_assert!(height(&one.floors, &pinned) >= height(part, &pinned), "monotone");
        }
        prop_assert_eq!(one.more, height(&one.floors, &pinned) > height(&b, &pinned));
        prop_assert!(one.notices.is_empty() && !one.unusable && one.reset.is_none());
    });
}

#[test]
fn a_floor_that_nobody_signed_is_passed_over_and_the_rest_counts() {
    let (pinned, known) = history();
    let honest = remembered(&known[2], &pinned);
    let timestamp: serde_json::Value = serde_json::from_slice(honest.timestamp.as_ref().unwrap()).unwrap();
    let mut signed = timestamp["signed"].clone();
    signed["version"] = json!(1_u64 << 63);
    let forged = Remembered { timestamp: Some(sign(&signed, &[99])), ..honest.clone() };
    let joined = join(Some(&forged), &Stored::default(), &pinned).unwrap();
    assert!(matches!(&joined.notices[..], [Notice::Ignored { role: Role::Timestamp, error: Error::Threshold { .. } }]));
    assert_eq!((joined.floors.timestamp, &joined.floors.snapshot), (None, &known[2].snapshot));
    assert!(!joined.unusable);
}

#[test]
fn a_first_root_that_is_none_makes_all_of_it_unusable() {
    let (pinned, known) = history();
    let honest = remembered(&known[6], &pinned);
    for roots in [vec![b"junk".to_vec()], vec![known[6].roots[0].clone(), b"junk".to_vec()]] {
        let broken = Remembered { roots, ..honest.clone() };
        match join(Some(&broken), &known[1], &pinned) {
            Ok(joined) => {
                assert!(joined.unusable);
                assert_eq!(joined.remembered, remembered(&known[1], &pinned), "what is known here is kept");
            }
            Err(error) => assert!(matches!(error, Error::RootReplaced { .. }), "{error}"),
        }
    }
}

#[test]
fn a_newer_root_may_be_pinned_where_what_is_remembered_leads_to_it_and_the_old_one_again() {
    let (pinned, known) = history();
    let honest = remembered(&known[6], &pinned);
    assert_eq!(honest.roots.len(), 3);
    let newest = &honest.roots[2];
    let joined = join(Some(&honest), &Stored::default(), newest).unwrap();
    assert_eq!(joined.remembered, honest, "the roots before it stay");
    assert_eq!(joined.floors, Stored { roots: vec![], ..known[6].clone() });
    assert_eq!(join(Some(&joined.remembered), &Stored::default(), &pinned).unwrap().remembered, honest);
    // One that was never seen has to be signed by the newest that was.
    let seen = Remembered { roots: honest.roots[..2].to_vec(), ..remembered(&known[4], &pinned) };
    let vouched = join(Some(&seen), &Stored::default(), newest).unwrap();
    assert_eq!((vouched.remembered.roots.len(), vouched.floors.timestamp), (1, None), "it takes a key away");
    // Others' roots, of the same version and of a later one.
    let mut other = Repo::new();
    other.set_keys("root", &[77], 1);
    for version in [1, 3, 9] {
        other.role("root")["version"] = json!(version);
        let foreign = sign(&other.signed["root"], &[77]);
        let error = join(Some(&honest), &Stored::default(), &foreign).unwrap_err();
        assert!(matches!(error, Error::RootReplaced { pinned: (found, _), .. } if found == version), "{error}");
        assert_eq!(error.code(), "tuf/root-replaced");
    }
    // And one that is older than all that is remembered.
    let late = Remembered { roots: honest.roots[2..].to_vec(), ..honest };
    let error = join(Some(&late), &Stored::default(), &pinned).unwrap_err();
    assert!(matches!(error, Error::RootReplaced { pinned: (1, _), remembered: (3, _) }), "{error}");
}

#[test]
fn a_later_epoch_forgets_and_an_earlier_one_is_refused() {
    let (pinned, known) = history();
    let honest = remembered(&known[2], &pinned);
    let later = Remembered::join(Some(&honest), Stored::default(), &pinned, epoch(2)).unwrap();
    assert_eq!((later.remembered, later.reset), (Remembered::new(epoch(2), &pinned), Some(epoch(1))));
    let mut other = Repo::new();
    other.set_keys("root", &[77], 1);
    let foreign = sign(&other.signed["root"], &[77]);
    let anew = Remembered::join(Some(&honest), Stored::default(), &foreign, epoch(2)).unwrap();
    assert_eq!(anew.remembered.roots, [foreign], "another root, and a later epoch");
    let there = Remembered { epoch: epoch(3), ..honest };
    let error = Remembered::join(Some(&there), known[3].clone(), &pinned, epoch(2)).unwrap_err();
    assert_eq!(error, Error::Memory(MemoryFault::Epoch { policy: epoch(2), remembered: epoch(3) }));
}

#[test]
fn two_roots_of_one_version_are_a_fork_here_too() {
    let mut repo = Repo::new();
    let pinned = repo.files["1.root.json"].clone();
    let mut second = |note: &str| {
        repo.role("root")["version"] = json!(2);
        repo.role("root")["note"] = json!(note);
        Stored { roots: vec![sign(&repo.signed["root"], &[1])], ..Stored::default() }
    };
    let (one, other) = (second("one"), second("other"));
    let error = join(Some(&remembered(&one, &pinned)), &other, &pinned).unwrap_err();
    assert!(matches!(error, Error::RootFork { version: 2, .. }), "{error}");
}
