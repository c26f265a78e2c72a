//! The program that goes into the image is linked in another way than the one that is tested. Both judge alike.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Ran, run};

/// The static build that `.ci/image-root` makes.
fn static_build() -> PathBuf {
    let root = std::env::var_os("PRATIQUE_IMAGE_ROOT").expect("PRATIQUE_IMAGE_ROOT names what .ci/image-root made");
    PathBuf::from(root).join("pratique")
}

/// What one build says, without the instants of now.
fn said(program: &Path, dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program).args(args).current_dir(dir).stdin(Stdio::null()).output().unwrap();
    let ran = Ran::from(output);
    let text = ran.out + &ran.err;
    let words = text.split_inclusive(char::is_whitespace);
    let of_now = |word: &&str| word.len() > 19 && word.starts_with("20") && word.contains('T') && word.contains(':');
    (ran.code, words.filter(|word| !of_now(word)).collect())
}

/// Runs both builds and returns the exit code that they share.
fn both(other: &Path, dir: &Path, args: &[&str]) -> Option<i32> {
    let ours = said(Path::new(env!("CARGO_BIN_EXE_pratique")), dir, args);
    assert_eq!(said(other, dir, args), ours, "{args:?}");
    ours.0
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

#[test]
#[ignore = "needs PRATIQUE_IMAGE_ROOT"]
fn the_static_build_judges_as_the_dynamic_one_does() {
    let other = static_build();
    let temp = tempfile::tempdir().unwrap();
    let dir = &temp.path().canonicalize().unwrap();
    assert_eq!(run(dir, &["demo", "--keep", "kept"]).code, Some(0));
    let images = fs::read(dir.join("kept/repository/metadata/2.images.json")).unwrap();
    let images: serde_json::Value = serde_json::from_slice(&images).unwrap();
    let images = images["signed"]["targets"].as_object().unwrap().keys();
    let images: Vec<&String> = images.filter(|name| name.contains("api")).collect();
    let mut codes = Vec::new();
    let unknown = "registry.example/shop/api:none".to_owned();
    for image in images.iter().copied().chain([&unknown]) {
        codes.push(both(&other, dir, &["verify", "--policy", "kept/policy.yaml", image]));
    }
    assert!(codes.contains(&Some(0)) && codes.contains(&Some(1)), "{codes:?}");

    // Every file of the repository, damaged.
    let metadata = format!("file://{}/kept/repository/metadata", dir.display());
    let targets = format!("file://{}/kept/repository/targets", dir.display());
    let options = ["tuf", "--metadata-url", &metadata, "--target-base-url", &targets, "--target-dir", "downloads"];
    let mut codes = Vec::new();
    for file in files(&dir.join("kept/repository")) {
        let good = fs::read(&file).unwrap();
        let mut changed = good.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        for bad in [&changed[..], &good[..middle], b"[]", b""] {
            fs::write(&file, bad).unwrap();
            let [ours, theirs] = [Path::new(env!("CARGO_BIN_EXE_pratique")), &other].map(|program| {
                let _ = fs::remove_dir_all(dir.join("client"));
                let _ = fs::remove_dir_all(dir.join("downloads"));
                let client = [&options[..], &["--metadata-dir", "client"]].concat();
                said(program, dir, &[&client[..], &["init", "kept/acme.root.json"]].concat());
                let download = ["--target-name", images[0], "download"];
                said(program, dir, &[&client[..], &download].concat())
            });
            assert_eq!(ours, theirs, "{}", file.display());
            codes.push(ours.0);
        }
        fs::write(&file, good).unwrap();
    }
    let refused = codes.iter().filter(|code| **code == Some(1)).count();
    assert!(refused > 0 && refused < codes.len(), "{refused} of {}", codes.len());
}
