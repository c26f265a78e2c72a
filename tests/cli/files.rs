//! A plain file, judged by the rules of an image (in-toto ITE-3).

use std::{fs, path::Path};

use jiff::{SignedDuration, Timestamp};
use pratique::publish::{Editor, KeyRing};

use crate::support::{Ran, run};

const RULE: &str = "  - name: binaries
    match: {images: [\"files.example/**\"]}
    verify:
      repositories: [acme]
      layout: layouts/registry.example/shop/api/release.layout
      product: {step: push, from: materials, name: bin/api}
default: deny
";

/// The demonstration's repository, in which a binary of release 1.4 is a target with the evidence of its image.
fn published(dir: &Path) {
    let ran = run(dir, &["demo", "--keep", "kept"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let policy = fs::read_to_string(dir.join("kept/policy.yaml")).unwrap();
    fs::write(dir.join("kept/policy.yaml"), policy.replace("default: deny\n", RULE)).unwrap();
    // What its build step made and its push step used.
    fs::write(dir.join("api"), "1.4").unwrap();

    let keys = KeyRing::open(&dir.join("kept/repository.keys")).unwrap();
    let mut editor = Editor::open(&dir.join("kept/repository")).unwrap();
    let targets = &editor.signed("images").unwrap()["targets"];
    let is_good = |entry: &&serde_json::Value| {
        let listed = entry["custom"]["in-toto"].as_array().unwrap();
        let manifest = fs::read(dir.join("kept/release-1.4/manifest.json")).unwrap();
        let digest = pratique::crypto::Sha256::of(&manifest).to_string();
        entry["hashes"]["sha256"] == digest && !listed.is_empty()
    };
    let images = targets.as_object().unwrap().iter().filter(|(path, _)| path.contains("/api@sha256:"));
    let custom = images.map(|(_, entry)| entry).find(is_good).unwrap()["custom"].as_object().unwrap().clone();
    editor.add_target("images", "bin/api", b"1.4", custom).unwrap();
    let version = editor.version("images").unwrap() + 1;
    editor.set_version("images", version).unwrap();
    editor.sign("images", &keys.made_for("images")).unwrap();
    let day = SignedDuration::from_hours(24);
    let version = editor.version("snapshot").unwrap() + 1;
    editor.draft_snapshot(version, Timestamp::now() + day).unwrap();
    editor.sign("snapshot", &keys.made_for("snapshot")).unwrap();
    let version = editor.version("timestamp").unwrap() + 1;
    editor.draft_timestamp(version, Timestamp::now() + day).unwrap();
    editor.sign("timestamp", &keys.made_for("timestamp")).unwrap();
    editor.write().unwrap();
}

fn verify(dir: &Path, rest: &[&str]) -> Ran {
    run(dir, &[&["verify", "--policy", "kept/policy.yaml"], rest].concat())
}

#[test]
fn a_file_is_verified_by_the_step_that_used_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    published(dir);
    let ran = verify(dir, &["--rule", "binaries", "--target", "bin/api", "api"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("by rule \"binaries\": verified"), "{}", ran.out);

    fs::write(dir.join("api"), "1.5").unwrap();
    let ran = verify(dir, &["--rule", "binaries", "--target", "bin/api", "api"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[image/digest-mismatch] bin/api"), "{}", ran.out);
    let ran = verify(dir, &["--rule", "binaries", "api"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[image/unknown] api"), "{}", ran.out);
}

#[test]
fn what_cannot_be_asked_is_no_verdict() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    published(dir);
    for (rest, text) in [
        (&["--rule", "binaries", "missing"] as &[&str], "missing"),
        (&["--rule", "no-such-rule", "api"], "has no such rule"),
        (&["--target", "bin/api", "api"], "--rule"),
    ] {
        let ran = verify(dir, rest);
        assert_eq!(ran.code, Some(2), "{rest:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(text), "{}", ran.err);
    }
}
