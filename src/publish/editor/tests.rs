use std::collections::BTreeMap;

use super::*;
use crate::publish::metadata::{RoleKeys, Scope};

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed([seed; 32])
}

fn repository(dir: &Path) -> Editor {
    let keys = [key(1), key(2), key(3), key(4)];
    let roles: BTreeMap<&str, RoleKeys> = ["root", "targets", "snapshot", "timestamp"]
        .into_iter()
        .zip(&keys)
        .map(|(role, key)| (role, RoleKeys::of(&[key], 1).unwrap()))
        .collect();
    let mut editor = Editor::new(dir);
    editor.put("root", metadata::root(1, now(), &roles));
    let mut targets = metadata::targets(1, now());
    metadata::delegate(&mut targets, "team/a", &RoleKeys::of(&[&key(5)], 1).unwrap(), &Scope::everything(), false);
    editor.put("targets", targets);
    editor.put("team/a", metadata::targets(7, now()));
    editor.add_target("team/a", "registry.example/app:1", b"manifest", Map::new()).unwrap();
    for (role, key) in [("root", 0), ("targets", 1)] {
        editor.sign(role, &[&keys[key]]).unwrap();
    }
    editor.sign("team/a", &[&key(5)]).unwrap();
    editor.draft_snapshot(2, now()).unwrap();
    editor.sign("snapshot", &[&keys[2]]).unwrap();
    editor.draft_timestamp(3, now()).unwrap();
    editor.sign("timestamp", &[&keys[3]]).unwrap();
    editor
}

#[test]
fn the_same_seeds_and_times_give_the_same_bytes() {
    let dir = Path::new("unused");
    assert_eq!(repository(dir).files().unwrap(), repository(dir).files().unwrap());
}

#[test]
fn files_have_the_names_of_consistent_snapshots_and_the_timestamp_comes_last() {
    let files = repository(Path::new("unused")).files().unwrap();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let manifest = format!("targets/registry.example/{}.app:1", Sha256::of(b"manifest"));
    assert_eq!(
        names,
        [
            manifest.as_str(),
            "metadata/7.team%2Fa.json",
            "metadata/1.targets.json",
            "metadata/2.snapshot.json",
            "metadata/1.root.json",
            "metadata/timestamp.json",
        ]
    );
}

#[test]
fn what_is_written_is_read_back_with_its_delegations_and_its_very_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut written = repository(dir.path());
    written.write().unwrap();
    let read = Editor::open(dir.path()).unwrap();
    assert_eq!(read.roles(), written.roles());
    for role in written.roles() {
        assert_eq!(read.document(role.as_str()), written.document(role.as_str()));
    }
    assert!(written.files().unwrap().is_empty(), "a second write has nothing to do");
}

#[test]
fn a_changed_role_is_not_written_unsigned() {
    let mut editor = repository(Path::new("unused"));
    editor.set_version("team/a", 8).unwrap();
    assert_eq!(editor.files(), Err(Error::Unsigned("team/a".into())));
    editor.sign("team/a", &[]).unwrap();
    assert!(editor.files().is_ok(), "without signatures is what was asked for");
}

#[test]
fn a_role_stays_in_the_snapshot() {
    let mut editor = repository(Path::new("unused"));
    editor.documents.remove(&RoleName::from("team/a"));
    editor.draft_snapshot(3, now()).unwrap();
    assert_eq!(editor.signed("snapshot").unwrap()["meta"]["team/a.json"]["version"], 7);
}

#[test]
fn no_target_path_leads_out_of_the_folder() {
    for path in ["../x", "/x", "a//b", "a/./b", "a/..", "", "a\0"] {
        assert_eq!(target_file(path, "h"), Err(Error::TargetPath(path.to_owned())), "{path:?}");
    }
    assert_eq!(file_stem(&"../x?".into()), "..%2Fx%3F");
}
