//! Images and all that they need, carried as one file. Whoever carries it may be anybody.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use pratique::crypto::Sha256;

use crate::support::{Ran, run};

const NAME: &str = "registry.example/shop/api";

/// The demonstration as `kept`, and inside its policy for a repository that nothing leads to. Beside them an image that is
/// admitted, and is not 1.0.
fn sides() -> (tempfile::TempDir, PathBuf, String) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    let ran = run(&dir, &["demo", "--keep", "kept"]);
    assert_eq!(ran.code, Some(0));
    let explain = ran.out.lines().find(|line| line.trim().starts_with("pratique explain ")).unwrap();
    let good = explain.rsplit(' ').next().unwrap().to_owned();
    let policy = fs::read_to_string(dir.join("kept/policy.yaml")).unwrap();
    let origin = policy.lines().find(|line| line.trim_start().starts_with("url: ")).unwrap();
    fs::create_dir(dir.join("inside")).unwrap();
    fs::write(dir.join("inside/policy.yaml"), policy.replace(origin, "    url: file:///nowhere/at/all")).unwrap();
    fs::copy(dir.join("kept/acme.root.json"), dir.join("inside/acme.root.json")).unwrap();
    (temp, dir, good)
}

fn export(dir: &Path, file: &str, tags: &[&str]) -> Ran {
    let images: Vec<String> = tags.iter().map(|tag| format!("{NAME}:{tag}")).collect();
    let mut args = vec!["bundle", "export", "--policy", "kept/policy.yaml"];
    for image in &images {
        args.extend(["--image", image]);
    }
    args.push(file);
    run(dir, &args)
}

fn import(dir: &Path, file: &str) -> Ran {
    run(dir, &["bundle", "import", "--policy", "inside/policy.yaml", "--state", "inside/state", file])
}

fn verify(dir: &Path, image: &str) -> Ran {
    run(dir, &["verify", "--policy", "inside/policy.yaml", "--state", "inside/state", image])
}

/// Every file of the state.
fn state(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.join("inside/state")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(files.insert(path.clone(), fs::read(path).unwrap())),
            }
        }
    }
    files
}

/// The bundle with another text in it and the digest of that.
fn changed(dir: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(dir.join(file)).unwrap();
    let end = bytes.windows(5).rposition(|window| window == b"\nend ").unwrap() + 1;
    bytes.truncate(end);
    change(&mut bytes);
    let digest = Sha256::of(&bytes);
    bytes.extend(format!("end {digest}\n").into_bytes());
    fs::write(dir.join("changed"), bytes).unwrap();
}

/// Removes one file of a bundle.
fn without(bytes: &mut Vec<u8>, name: &str) {
    let line = bytes.split(|byte| *byte == b'\n').find(|line| {
        line.starts_with(b"file ") && String::from_utf8_lossy(line).rsplit(' ').next().unwrap().contains(name)
    });
    let line = line.unwrap_or_else(|| panic!("no {name}")).to_vec();
    let length: usize = String::from_utf8_lossy(&line).split(' ').nth(3).unwrap().parse().unwrap();
    let begin = bytes.windows(line.len()).position(|window| window == line).unwrap();
    bytes.drain(begin..begin + line.len() + 1 + length + 1);
}

#[test]
fn what_is_exported_outside_admits_inside_without_a_network() {
    let (_temp, dir, _) = sides();
    let ran = export(&dir, "shop.bundle", &["1.0"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("shop.bundle: 2 images, "), "{}", ran.out);
    assert_eq!(export(&dir, "again.bundle", &["1.0"]).code, Some(0));
    assert_eq!(fs::read(dir.join("shop.bundle")).unwrap(), fs::read(dir.join("again.bundle")).unwrap());
    fs::rename(dir.join("kept/repository"), dir.join("kept/gone")).unwrap();

    let image = format!("{NAME}:1.0");
    assert_eq!(verify(&dir, &image).code, Some(2), "nothing is there yet");
    let ran = import(&dir, "shop.bundle");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("acme: root v1, timestamp v"), "{}", ran.out);
    let digest = ran.out.split("sha256:").nth(1).unwrap().get(..64).unwrap().to_owned();
    for image in [&image, &format!("{NAME}@sha256:{digest}")] {
        let ran = verify(&dir, image);
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    }
    // What was not brought in does not pass, and neither does what it is not.
    let ran = verify(&dir, &format!("{NAME}:unauthorised"));
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert_eq!(verify(&dir, "registry.example/other/app:1.0").code, Some(1));
    // Once more changes nothing.
    let before = state(&dir);
    assert_eq!(import(&dir, "shop.bundle").code, Some(0));
    assert_eq!(state(&dir), before);
}

#[test]
fn an_image_that_is_refused_is_not_exported() {
    let (_temp, dir, _) = sides();
    let ran = export(&dir, "shop.bundle", &["1.0", "1.4"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[evidence/not-bound] "), "{}", ran.out);
    assert!(!dir.join("shop.bundle").exists());
}

#[test]
fn an_older_bundle_takes_nothing_back_and_a_newer_one_revokes() {
    let (_temp, dir, good) = sides();
    let before = import_of_each(&dir, &good);
    // The older one is refused as a whole.
    let ran = import(&dir, "old.bundle");
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("[tuf/rollback] "), "{}", ran.err);
    assert_eq!(state(&dir), before);
    let ran = verify(&dir, &format!("{NAME}:1.0"));
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[tuf/revoked] "), "{}", ran.out);
}

/// Imports a bundle, and a newer one that revokes its image. Returns the state after it.
fn import_of_each(dir: &Path, good: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    assert_eq!(export(dir, "old.bundle", &["1.0"]).code, Some(0));
    let ran = import(dir, "old.bundle");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let digest = ran.out.split("sha256:").nth(1).unwrap().get(..64).unwrap().to_owned();
    let digest = format!("sha256:{digest}");
    let ran = run(dir, &["repo", "revoke", "kept/repository", &digest, "--reason", "stolen"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let ran = run(dir, &["bundle", "export", "--policy", "kept/policy.yaml", "--image", good, "new.bundle"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let ran = import(dir, "new.bundle");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    state(dir)
}

#[test]
fn a_bundle_that_is_not_whole_or_not_signed_as_it_is_changes_nothing() {
    let (_temp, dir, _) = sides();
    assert_eq!(export(&dir, "shop.bundle", &["1.0"]).code, Some(0));
    let refused = |what: &str, texts: &[&str]| {
        let ran = import(&dir, "changed");
        assert_eq!(ran.code, Some(2), "{what}: {}{}", ran.out, ran.err);
        assert!(texts.iter().all(|text| ran.err.contains(text)), "{what}: {}", ran.err);
        assert_eq!(state(&dir), BTreeMap::new(), "{what}");
    };
    let whole = fs::read(dir.join("shop.bundle")).unwrap();
    fs::write(dir.join("changed"), &whole[..whole.len() / 2]).unwrap();
    refused("cut off", &["it is cut off"]);
    let text = whole.iter().position(|byte| *byte == b'{').unwrap();
    let mut flipped = whole.clone();
    flipped[text + 1] ^= 1;
    fs::write(dir.join("changed"), flipped).unwrap();
    refused("damaged", &["it was damaged on its way"]);

    changed(&dir, "shop.bundle", |bytes| without(bytes, "snapshot.json"));
    refused("without a snapshot", &["[tuf/missing] "]);
    changed(&dir, "shop.bundle", |bytes| without(bytes, ".images.json"));
    refused("without a role", &["[tuf/missing] "]);
    changed(&dir, "shop.bundle", |bytes| without(bytes, ".link"));
    refused("without a link", &["[tuf/missing] "]);
    changed(&dir, "shop.bundle", |bytes| {
        let at = bytes.windows(9).position(|window| window == b"\"_type\":\"").unwrap();
        bytes[at + 10] ^= 1;
    });
    refused("with another role", &["[tuf/"]);
    changed(&dir, "shop.bundle", |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap().replace("file acme ", "file evil ");
        *bytes = text.into_bytes();
    });
    refused("of another repository", &["files of the repository evil, which the policy does not name"]);
    // Another root of trust.
    assert_eq!(run(&dir, &["repo", "init", "other"]).code, Some(0));
    fs::copy(dir.join("shop.bundle"), dir.join("changed")).unwrap();
    fs::copy(dir.join("other/metadata/1.root.json"), dir.join("inside/acme.root.json")).unwrap();
    refused("under another root", &["[tuf/signature-threshold] "]);
}

#[test]
fn a_bundle_is_unpacked_into_a_folder_that_a_cluster_reads() {
    let (_temp, dir, good) = sides();
    let unpack = |file: &str| run(&dir, &["bundle", "unpack", "--policy", "inside/policy.yaml", file, "inside/served"]);
    assert_eq!(export(&dir, "old.bundle", &["1.0"]).code, Some(0));
    let ran = unpack("old.bundle");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let policy = fs::read_to_string(dir.join("inside/policy.yaml")).unwrap();
    let served = policy.replace("file:///nowhere/at/all", &format!("file://{}/inside/served", dir.display()));
    fs::write(dir.join("inside/served.yaml"), served).unwrap();
    let verify = |image: &str| run(&dir, &["verify", "--policy", "inside/served.yaml", image]).code;
    assert_eq!(verify(&format!("{NAME}:1.0")), Some(0));
    assert_ne!(verify(&good), Some(0), "it was not carried in");

    // The next one is added, and the older one does not come back.
    assert_eq!(run(&dir, &["repo", "sign", "kept/repository", "images"]).code, Some(0));
    let ran = run(&dir, &["bundle", "export", "--policy", "kept/policy.yaml", "--image", &good, "new.bundle"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert_eq!(unpack("new.bundle").code, Some(0));
    assert_eq!((verify(&good), verify(&format!("{NAME}:1.0"))), (Some(0), Some(0)));
    let ran = unpack("old.bundle");
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains(" is served there"), "{}", ran.err);

    // A path that leads out, in a bundle that is whole otherwise.
    let line = "file acme targets 1 ../../out\n";
    changed(&dir, "new.bundle", |bytes| {
        let at = bytes.windows(18).position(|window| window == b"file acme targets ").unwrap();
        bytes.splice(at..at, format!("{line}x\n").into_bytes());
    });
    let ran = unpack("changed");
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("\"../../out\" is not the path of a file below a folder"), "{}", ran.err);
    assert!(!dir.join("out").exists() && !dir.join("inside/out").exists());
}
