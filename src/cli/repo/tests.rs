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
fn what_a_layout_leaves_loose_is_said() {
    let temp = folder();
    let (path, layout) = (temp.path().join("root.layout"), temp.path().display().to_string() + "/root.layout");
    let open = format!(
        "{layout}: warning: rules for products of the last step, \"build\", do not end in DISALLOW *: what they do not \
         name is allowed\n"
    );
    let alone = format!(
        "{layout}: note: step \"build\" needs one functionary: whoever has the key of one can make the link alone\n"
    );
    assert_eq!(repo(&temp, "lint $/root.layout"), Ok(format!("{open}{alone}exit code 1\n")));
    // It is published all the same.
    let out = repo(&temp, &format!("add-layout $/repo $/root.layout --key $/owner.pub --path {LAYOUT} --image {NAME}"));
    assert!(out.as_ref().unwrap().ends_with(&format!("{open}{alone}")), "{out:?}");
    // One file that is no layout is an error, and no verdict.
    fs::write(&path, "{}").unwrap();
    assert!(repo(&temp, "lint $/root.layout").unwrap_err().contains("root.layout: [in-toto/malformed] layout: "));
    let (owner, builder) = (SigningKey::ed25519_from_seed([1; 32]), SigningKey::ed25519_from_seed([2; 32]));
    let step = Step::new("build").functionary(&builder).unwrap().products(&["CREATE *", "DISALLOW *"]);
    fs::write(&path, Layout::new(now()).step(step).sign(Format::Dsse, &[&owner]).unwrap()).unwrap();
    assert_eq!(repo(&temp, "lint $/root.layout"), Ok(alone), "a note is no mistake");
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

/// Moves the offline keys to a person's folder, with the root of trust.
fn part_with_offline_keys(temp: &TempDir) {
    let keys = temp.path().join("repo.keys");
    fs::create_dir(temp.path().join("person")).unwrap();
    fs::rename(keys.join("offline"), temp.path().join("person/offline")).unwrap();
    fs::copy(temp.path().join("repo/metadata/1.root.json"), temp.path().join("person/root.json")).unwrap();
}

#[test]
fn a_revocation_goes_to_the_keys_and_comes_back() {
    let temp = folder();
    part_with_offline_keys(&temp);
    let revoke = format!("revoke $/repo sha256:{} --reason CVE-2026-1", Sha256::of(MANIFEST));
    assert!(repo(&temp, &revoke).unwrap_err().contains("targets needs 1 of its keys to sign, 0 are at hand"));
    let out = repo(&temp, &format!("{revoke} --export $/request")).unwrap();
    assert!(out.contains("to be signed: targets v2, expires 2027-06-01T12:00:00Z\n"), "{out}");
    assert!(out.ends_with("\n  minimum: {targets: 2}\n"), "{out}");
    assert!(repo(&temp, "import-signatures $/repo $/request").unwrap_err().contains("0 have signed; missing: "));

    let shown = repo(&temp, "sign $/request --keys $/person --show").unwrap();
    assert!(shown.starts_with("targets v2 (after v1), expires 2027-06-01T12:00:00Z\n  needs 1 of "), "{shown}");
    assert!(shown.contains(&format!("\n  + targets[\"revoked/sha256/{}\"]: {{", Sha256::of(MANIFEST))), "{shown}");
    assert!(!temp.path().join("request/signatures").exists());
    let signed = repo(&temp, "sign $/request --keys $/person").unwrap();
    assert!(signed.starts_with(&shown) && signed.contains("\nsigned targets v2, "), "{signed}");

    let out = repo(&temp, "import-signatures $/repo $/request").unwrap();
    assert!(out.contains("signed targets v2, ") && out.contains("signed timestamp v2, "), "{out}");
    assert!(out.ends_with("\n  minimum: {targets: 2}\n"), "{out}");
    assert!(repo(&temp, "import-signatures $/repo $/request").unwrap_err().contains("make the change again"));
}

#[test]
fn a_request_is_signed_as_it_is_and_nothing_else_is_one() {
    let temp = folder();
    part_with_offline_keys(&temp);
    repo(&temp, "sign $/repo targets --export $/request").unwrap();
    assert!(repo(&temp, "sign $/request targets --keys $/person").unwrap_err().contains("signed as it is"));
    assert!(repo(&temp, "sign $/repo --show").unwrap_err().contains("holds no request"));
    assert!(repo(&temp, "sign $/repo targets --export $/request").unwrap_err().contains("already exists"));
    fs::write(temp.path().join("request/request.json"), r#"{"format":2,"roles":[]}"#).unwrap();
    assert!(repo(&temp, "sign $/request --keys $/person").unwrap_err().contains("format 2 is not 1"));
}

#[test]
fn what_expires_soon_is_renewed_and_what_cannot_be_is_told() {
    let temp = folder();
    assert!(!repo(&temp, "renew $/repo --within 1d").unwrap().contains("signed images"));
    let out = repo(&temp, "renew $/repo").unwrap();
    assert!(out.contains("signed images v2") && !out.contains("signed targets"), "{out}");
    part_with_offline_keys(&temp);
    let out = repo(&temp, "renew $/repo --within 2y").unwrap();
    assert!(out.contains("signed images v3"), "{out}");
    assert!(
        out.contains("not renewed: targets expires 2027-06-01T12:00:00Z: 1 of its keys must sign, 0 at hand"),
        "{out}"
    );
    assert!(out.contains("not renewed: root expires ") && out.ends_with("exit code 1\n"), "{out}");

    let out = repo(&temp, "renew $/repo --within 2y --export $/request").unwrap();
    assert!(out.contains("to be signed: root v2") && out.contains("to be signed: targets v2"), "{out}");
    assert!(!out.contains("images"), "{out}");
    repo(&temp, "sign $/request --keys $/person").unwrap();
    let out = repo(&temp, "import-signatures $/repo $/request").unwrap();
    assert!(out.contains("signed root v2") && out.contains("signed targets v2"), "{out}");
}

#[test]
fn attestations_are_listed_instead_of_links_and_nothing_else_is_taken_for_one() {
    let temp = folder();
    repo(&temp, &format!("add-layout $/repo $/root.layout --key $/owner.pub --path {LAYOUT} --image {NAME}")).unwrap();
    let put = |name: &str, text: &str| fs::write(temp.path().join(name), text).unwrap();
    // {"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}
    let payload =
        "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbXSwicHJlZGljYXRlVHlwZSI6IngifQ==";
    let envelope = format!(r#"{{"payloadType":"application/vnd.in-toto+json","payload":"{payload}","signatures":[]}}"#);
    put("provenance.jsonl", &format!("{envelope}\n{envelope}\n"));
    put("bad.jsonl", &format!("{envelope}\n{{}}\n"));
    put("build.0123abcd.link", &envelope);
    let add =
        |options: &str| repo(&temp, &format!("add-image $/repo {NAME}:1.4 $/manifest --layout {LAYOUT} {options}"));
    assert!(add("").unwrap_err().contains("--link <FILE>"));
    let bad = "no file of attestations: DSSE envelopes with Statements, one or one a line";
    for file in ["bad.jsonl", "manifest", "root.layout"] {
        let error = add(&format!("--attestation $/{file}")).unwrap_err();
        assert!(error.ends_with(&format!("{file}: {bad}")), "{error}");
    }
    // What is named like a link is one.
    let error = add("--attestation $/build.0123abcd.link").unwrap_err();
    assert!(error.contains("not a link or sublayout"), "{error}");
    add("--attestation $/provenance.jsonl").unwrap();
    let listed = fs::read_to_string(temp.path().join("repo/metadata/2.images.json")).unwrap();
    let path = format!("in-toto-metadata/{}/provenance.jsonl", Sha256::of(MANIFEST));
    assert!(listed.contains(&format!("[\"{LAYOUT}\",\"{path}\"]")), "{listed}");
    let add = format!("add $/repo $/manifest --path file --layout {LAYOUT} --attestation $/provenance.jsonl");
    assert!(repo(&temp, &add).unwrap().contains("listed file, sha256:"));
}

/// The manifests of an index beside it, by digest.
fn index(temp: &TempDir) -> (Vec<Sha256>, String) {
    let image = |label: &str| {
        let digest = Sha256::of(label.as_bytes());
        let config = format!(
            r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{digest}","size":2}}"#
        );
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#)
    };
    let entry = |manifest: &str, os: &str| {
        let digest = Sha256::of(manifest.as_bytes());
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{digest}","size":{},"platform":{{"os":"{os}","architecture":"{}"}}}}"#,
            manifest.len(),
            if os == "unknown" { os } else { "amd64" }
        )
    };
    let (linux, windows, attestation) = (image("linux"), image("windows"), image("attestation"));
    let entries = [entry(&linux, "linux"), entry(&windows, "windows"), entry(&attestation, "unknown")];
    let blobs = temp.path().join("blobs");
    fs::create_dir(&blobs).unwrap();
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    fs::write(blobs.join("index"), &index).unwrap();
    for manifest in [&linux, &windows] {
        fs::write(blobs.join(Sha256::of(manifest.as_bytes()).to_string()), manifest).unwrap();
    }
    ([&linux, &windows, &attestation].map(|text| Sha256::of(text.as_bytes())).to_vec(), index)
}

#[test]
fn the_manifests_of_an_index_are_listed_too() {
    let temp = folder();
    let (children, _) = index(&temp);
    repo(&temp, &format!("add-layout $/repo $/root.layout --key $/owner.pub --path {LAYOUT}")).unwrap();
    let add = format!("add-image $/repo {NAME}:1 $/blobs/index --layout {LAYOUT} --link $/links");
    let listed = |out: &str, child: usize| out.contains(&format!("listed {NAME}@sha256:{}\n", children[child]));
    let out = repo(&temp, &add).unwrap();
    assert!(listed(&out, 0) && listed(&out, 1) && !listed(&out, 2), "{out}");
    let out = repo(&temp, &format!("{add} --no-children")).unwrap();
    assert!(!listed(&out, 0), "{out}");

    // One that is not there: told if it is only looked for, an error if the folder was named for it.
    fs::remove_file(temp.path().join(format!("blobs/{}", children[1]))).unwrap();
    let out = repo(&temp, &add).unwrap();
    assert!(out.contains(&format!("not listed: child sha256:{} (windows/amd64)", children[1])), "{out}");
    let named = format!("{add} --children $/blobs");
    assert!(repo(&temp, &named).unwrap_err().contains("has no file of the manifest"));
    fs::write(temp.path().join(format!("blobs/{}", children[1])), b"another").unwrap();
    assert!(repo(&temp, &add).unwrap_err().contains("not the one that it is named by"));
    let plain = format!("add-image $/repo {NAME}:1 $/manifest2 --layout {LAYOUT} --link $/links --children $/blobs");
    let linux = fs::read(temp.path().join(format!("blobs/{}", children[0]))).unwrap();
    fs::write(temp.path().join("manifest2"), linux).unwrap();
    assert!(repo(&temp, &plain).unwrap_err().contains("is no index"));
}

#[test]
fn a_file_goes_where_the_tree_of_ite3_has_it() {
    let temp = folder();
    repo(&temp, "init $/wheels --preset ite-3").unwrap();
    repo(&temp, &format!("add-layout $/wheels $/root.layout --key $/owner.pub --path {LAYOUT}")).unwrap();
    fs::write(temp.path().join("custom.json"), r#"{"root-layout-type":"core"}"#).unwrap();
    let path = "simple/nginx/nginx-1.0-py3-none-any.whl";
    let add = format!("add $/wheels $/manifest --path {path} --layout {LAYOUT} --link $/links --custom $/custom.json");
    let out = repo(&temp, &add).unwrap();
    let digest = Sha256::of(MANIFEST);
    assert!(out.contains("signed wheels-signer-n v2, "), "{out}");
    assert!(out.contains(&format!("signed in-toto-metadata-signer-{} v2, ", &digest.to_string()[..1])), "{out}");
    assert!(out.ends_with(&format!("listed {path}, sha256:{digest}\n")), "{out}");
    let role = fs::read_to_string(temp.path().join("wheels/metadata/2.wheels-signer-n.json")).unwrap();
    assert!(
        role.contains(r#""root-layout-type":"core""#) && role.contains(&format!(r#""in-toto":["{LAYOUT}","#)),
        "{role}"
    );

    assert!(repo(&temp, "add $/wheels $/manifest --path elsewhere/x").unwrap_err().contains("no role below targets"));
    let refused = repo(&temp, "add $/wheels $/manifest --path simple/q/x.whl --role wheels-signer-n").unwrap_err();
    assert!(refused.contains("wheels-signer-n is not delegated the target path"), "{refused}");
    fs::write(temp.path().join("custom.json"), r#"{"in-toto":[]}"#).unwrap();
    assert!(repo(&temp, &add).unwrap_err().contains("is written from layout and links"));
}

#[test]
fn bins_are_told_as_one() {
    let temp = folder();
    repo(&temp, "delegate $/repo bin --parent images --hash-bins 512").unwrap();
    let out = repo(&temp, "status $/repo").unwrap();
    assert!(out.ends_with("\n512 bins below images: bin-000 to bin-1ff\n"), "{out}");
    let out = repo(&temp, "add $/repo $/manifest --path some/file").unwrap();
    assert_eq!(out.lines().filter(|line| line.starts_with("signed ")).count(), 3, "{out}");
}

#[test]
fn a_key_elsewhere_signs_by_its_command() {
    let temp = folder();
    let key = SigningKey::generate(crate::crypto::Scheme::EcdsaP256Sha256).unwrap();
    let id = key.keyid().unwrap();
    fs::write(temp.path().join("hsm.pem"), key.to_pem().unwrap()).unwrap();
    fs::write(temp.path().join("hsm.pub"), key.public_pem().unwrap()).unwrap();
    let signer = format!("--signer {}=", id.short());
    let pem = temp.path().join("hsm.pem");
    let command = temp.path().join("hsm");
    let script = format!("#!/bin/sh\nexec openssl dgst -sha256 -sign {}\n", pem.display());
    fs::write(&command, script).unwrap();
    fs::set_permissions(&command, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    let rotate = "rotate $/repo images --public-key $/hsm.pub";
    assert!(repo(&temp, rotate).unwrap_err().contains("images needs 1 of its keys to sign, 0 are at hand"));
    let out = repo(&temp, &format!("{rotate} {signer}$/hsm")).unwrap();
    assert!(out.contains(&format!("signed images v2, expires 2026-06-15T12:00:00Z, by {}\n", id.short())), "{out}");
    assert!(!temp.path().join("repo.keys/online/images-2.pem").exists());
    assert!(repo(&temp, &format!("sign $/repo images {signer}$/hsm")).unwrap().contains("signed images v3"));
    let out = repo(&temp, "sign $/repo images --signer $/hsm.pub=$/hsm").unwrap();
    assert!(out.contains("signed images v4"), "by its public key: {out}");
    let other = repo(&temp, "sign $/repo images --signer $/owner.pub=$/hsm").unwrap_err();
    assert!(other.contains("no role has the key of this file"), "{other}");
    let wrong = repo(&temp, &format!("sign $/repo images {signer}/bin/echo")).unwrap_err();
    assert!(wrong.contains("what came back is no valid signature by this key"), "{wrong}");
    let unknown = repo(&temp, "sign $/repo images --signer 0000000000=/bin/echo").unwrap_err();
    assert!(unknown.contains("no role has a key of this id"), "{unknown}");
    assert!(repo(&temp, "sign $/repo --signer abc=/bin/echo").unwrap_err().contains("at least eight characters"));
}

#[test]
fn a_repository_is_adopted_and_goes_on() {
    let temp = folder();
    fs::rename(temp.path().join("repo.keys"), temp.path().join("old.keys")).unwrap();
    assert!(repo(&temp, "adopt $/repo --root $/old.keys/signed.json").is_err());
    let out = repo(&temp, "adopt $/repo --root $/repo/metadata/1.root.json").unwrap();
    assert!(out.contains("targets v1: ") && out.contains("1 of 1 keys sign, 0 at hand"), "{out}");
    fs::rename(temp.path().join("old.keys/online"), temp.path().join("repo.keys/online")).unwrap();
    assert!(repo(&temp, "sign $/repo images").unwrap().contains("signed images v2"));
    let late = repo(&temp, "adopt $/repo --root $/repo/metadata/1.root.json --keys $/k --at 2026-07-01T00:00:00Z");
    assert!(late.unwrap_err().contains("expired"));
}
