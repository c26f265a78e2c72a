use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::publish::{Format, Layout, Link, Step};

const NAME: &str = "registry.example/team/app";
const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";
const MANIFEST: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

/// Runs one line, `$` standing for the folder; returns what it printed.
fn repo(temp: &TempDir, line: &str) -> Result<String, String> {
    let line = line.replace('$', temp.path().to_str().unwrap());
    let words = ["repo"].into_iter().chain(line.split_whitespace());
    let parsed = Line::try_parse_from(words).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    let code = run(parsed.command, now(), &mut out).map_err(|error| format!("{error:#}"))?;
    let out = String::from_utf8(out).unwrap();
    Ok(if code == 0 { out } else { format!("{out}exit code {code}\n") })
}

/// A repository and, beside it, a layout with its key, a manifest and a folder of links with those of a sublayout.
fn folder() -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    let (owner, builder) = (SigningKey::ed25519_from_seed([1; 32]), SigningKey::ed25519_from_seed([2; 32]));
    let layout = Layout::new(now()).step(Step::new("build").functionary(&builder).unwrap().products(&["CREATE *"]));
    let layout = layout.sign(Format::Metablock, &[&owner]).unwrap();
    let link = Link::new("build").product(NAME, Sha256::of(MANIFEST));
    let name = link.file_name(&builder).unwrap();
    let below = temp.path().join("links").join(name.strip_suffix(".link").unwrap());
    fs::create_dir_all(&below).unwrap();
    for (file, bytes) in [
        (temp.path().join("root.layout"), layout.clone()),
        (temp.path().join("owner.pub"), owner.public_pem().unwrap().into_bytes()),
        (temp.path().join("manifest"), MANIFEST.to_vec()),
        (temp.path().join("links").join(&name), layout),
        (below.join(&name), link.sign(Format::Dsse, &builder).unwrap()),
    ] {
        fs::write(file, bytes).unwrap();
    }
    repo(&temp, "init $/repo").unwrap();
    temp
}

#[test]
fn an_image_is_published_and_revoked() {
    let temp = folder();
    repo(&temp, &format!("add-layout $/repo $/root.layout --key $/owner.pub --path {LAYOUT} --image {NAME}")).unwrap();
    let add = format!("add-image $/repo {NAME}:1.4 $/manifest --layout {LAYOUT} --link $/links --tag latest");
    let out = repo(&temp, &add).unwrap();
    let digest = Sha256::of(MANIFEST);
    for name in [format!("{NAME}@sha256:{digest}"), format!("{NAME}:1.4"), format!("{NAME}:latest")] {
        assert!(out.contains(&format!("listed {name}\n")), "{out}");
    }
    let prefix = SigningKey::ed25519_from_seed([2; 32]).keyid().unwrap().short().to_owned();
    let inner = format!("targets/in-toto-metadata/{digest}/build.{prefix}");
    assert!(temp.path().join("repo").join(inner).is_dir(), "the sublayout's links are in a folder of its name");

    let out = repo(&temp, &format!("retire-layout $/repo {LAYOUT}")).unwrap();
    assert!(out.ends_with(&format!("and no others:\n  sha256:{digest}\n")), "{out}");
    let out = repo(&temp, &format!("revoke $/repo sha256:{digest} --reason CVE-2026-1")).unwrap();
    assert!(out.contains(&format!("no longer admitted: {NAME}:latest\n")), "{out}");
    assert!(out.ends_with("\n  minimum: {targets: 4}\n"), "{out}");
    let out = repo(&temp, "status $/repo").unwrap();
    assert!(
        out.contains("timestamp v5: expires 2026-06-02T12:00:00Z (in 1d 0h); 1 of 1 keys sign, 1 at hand"),
        "{out}"
    );
}

#[test]
fn a_reference_with_another_digest_than_the_manifests_is_refused() {
    let temp = folder();
    let other = Sha256::of(b"other");
    let line = format!("add-image $/repo {NAME}@sha256:{other} $/manifest --layout {LAYOUT} --link $/links");
    assert!(repo(&temp, &line).unwrap_err().contains(&format!("the reference says sha256:{other}")));
}

#[test]
fn the_minimum_of_a_revocation_names_the_chain_of_its_role() {
    let temp = folder();
    repo(&temp, "delegate $/repo security --offline").unwrap();
    let out = repo(&temp, &format!("revoke $/repo sha256:{} --reason x --role security", Sha256::of(b"x"))).unwrap();
    assert!(out.ends_with("\n  minimum: {targets/security: 2}\n"), "{out}");
}

#[test]
fn a_refused_init_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    assert!(repo(&temp, "init $/repo --root-keys 1 --root-threshold 2").is_err());
    assert!(repo(&temp, "init $/repo --timestamp-validity 0s").is_err());
    assert!(repo(&temp, "init $/repo --online-role targets").is_err());
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn keys_lie_beside_the_repository_and_not_in_it() {
    let temp = folder();
    assert!(temp.path().join("repo.keys/offline/root-1.pem").is_file());
    let repo_folder: Vec<_> =
        fs::read_dir(temp.path().join("repo")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(repo_folder, ["metadata"]);
    assert!(repo(&temp, "init $/repo --keys $/new.keys").unwrap_err().contains("already holds a repository"));
    assert!(repo(&temp, "init $/new --keys $/repo.keys").unwrap_err().contains("already exists"));
    assert!(!temp.path().join("new.keys").exists());
}

#[test]
fn rotated_keys_sign_from_then_on() {
    let temp = folder();
    let out = repo(&temp, "rotate $/repo images --count 3 --threshold 2").unwrap();
    assert!(out.contains("signed images v2"), "{out}");
    assert!(repo(&temp, "sign $/repo images").unwrap().contains("signed images v3"));
    assert!(
        repo(&temp, "status $/repo")
            .unwrap()
            .contains("images v3: expires 2026-06-15T12:00:00Z (in 14d 0h); 2 of 3 keys sign, 3 at hand")
    );
}
