//! The TUF client in a folder, by the protocol of the conformance suite.

use std::{fs, path::Path};

use crate::support::{Ran, run};

const NAME: &str = "registry.example/shop/api";

/// The repository of the demonstration.
fn published(dir: &Path) -> String {
    let ran = run(dir, &["demo", "--keep", "kept"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    format!("file://{}/kept/repository", dir.canonicalize().unwrap().display())
}

fn client(dir: &Path, url: &str, rest: &[&str]) -> Ran {
    let (metadata, targets) = (format!("{url}/metadata/"), format!("{url}/targets/"));
    let options = ["tuf", "--metadata-dir", "client", "--metadata-url", &metadata, "--target-base-url", &targets];
    run(dir, &[&options, rest].concat())
}

#[test]
fn refresh_keeps_what_was_received_and_download_what_was_signed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let url = published(dir);
    assert_eq!(client(dir, &url, &["init", "kept/acme.root.json"]).code, Some(0));
    assert_eq!(fs::read(dir.join("client/root.json")).unwrap(), fs::read(dir.join("kept/acme.root.json")).unwrap());
    let ran = client(dir, &url, &["refresh"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for file in ["root.json", "timestamp.json", "snapshot.json", "targets.json"] {
        assert!(dir.join("client").join(file).is_file(), "{file}");
    }
    let same = |name| {
        fs::read(dir.join("client").join(name)).unwrap()
            == fs::read(dir.join("kept/repository/metadata").join(name)).unwrap()
    };
    assert!(same("timestamp.json"));

    let target = format!("{NAME}:1.2");
    let ran = client(dir, &url, &["--target-name", &target, "--target-dir", "downloads", "download"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let downloaded = fs::read(dir.join("downloads/registry.example%2Fshop%2Fapi%3A1.2")).unwrap();
    assert!(downloaded.starts_with(b"{\"config\":"), "{}", String::from_utf8_lossy(&downloaded));
    // The second time nobody is asked for the target.
    fs::remove_dir_all(dir.join("kept/repository/targets")).unwrap();
    let ran = client(dir, &url, &["--target-name", &target, "--target-dir", "downloads", "download"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

#[test]
fn whatever_goes_wrong_the_exit_code_is_1() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let url = published(dir);
    let failed = |rest: &[&str], text: &str| {
        let ran = client(dir, &url, rest);
        assert_eq!(ran.code, Some(1), "{rest:?}");
        assert!(ran.err.contains(text), "{}", ran.err);
    };
    failed(&["refresh"], "run `tuf init` first");
    failed(&["init", "kept/policy.yaml"], "error: ");
    failed(&["no-such-command"], "unrecognized subcommand");
    assert!(!dir.join("client/root.json").exists());
    assert_eq!(client(dir, &url, &["init", "kept/acme.root.json"]).code, Some(0));
    failed(&["--target-name", "nothing", "--target-dir", "downloads", "download"], "has no target nothing");
    failed(&["download"], "--target-dir is not given");
    fs::write(dir.join("kept/repository/metadata/timestamp.json"), "{}").unwrap();
    failed(&["refresh"], "timestamp");
}
