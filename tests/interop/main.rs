//! What is written here, the reference implementations must read, and the other way round.
//!
//! `INTEROP_PYTHON` names a python that has `tests/interop/requirements.txt`; without it these tests cannot run and so
//! are ignored: `INTEROP_PYTHON=venv/bin/python cargo test --test interop -- --ignored`.

#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "tests start processes and read files")]

mod certificates;
mod publisher;
mod statements;
mod tools;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{LazyLock, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use pratique::{
    crypto::{Scheme, Sha256},
    publish::{
        Document, Error, Format, KeyRing, Layout, Link, LinkSource, NewImage, NewLayout, Plan, Publisher, RoleKeyPlan,
        SigningKey, Step,
    },
};
use tempfile::TempDir;

const NAME: &str = "registry.example/team/app";
const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";
const MANIFEST: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;
const DAY: SignedDuration = SignedDuration::from_hours(24);

struct Published {
    _temp: TempDir,
    dir: PathBuf,
    root: PathBuf,
    image: String,
}

/// A repository with one image that was tested and then built by two of three builders.
fn publish(scheme: Scheme, format: Format, now: Timestamp) -> Published {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("repository");
    let plan = Plan { root: RoleKeyPlan { keys: 3, threshold: 2 }, ..Plan::default() };
    let mut keys = plan.generate_keys(scheme).unwrap();
    keys.save_to(&temp.path().join("keys")).unwrap();
    Publisher::init(&dir, keys, &plan, now).unwrap().commit().unwrap();

    let key = || SigningKey::generate(scheme).unwrap();
    let (owners, tester, lead) = ([key(), key()], key(), key());
    let builders = [key(), key(), key()];
    let source = Sha256::of(b"source");
    let sources = Link::new("fetch").product("src/main.c", source).command(&["git", "clone"]);
    let tested = Link::new("test").material("src/main.c", source).product("report \"é\".txt", Sha256::of(b"ok"));
    let built = Link::new("build").material("src/main.c", source).product(NAME, Sha256::of(MANIFEST));

    // The lead's sublayout stands for the step "test".
    let inner = Layout::new(now + DAY * 30)
        .readme("control characters:\n\t")
        .step(Step::new("fetch").functionary(&tester).unwrap().products(&["CREATE *"]))
        .step(
            Step::new("test")
                .functionary(&tester)
                .unwrap()
                .materials(&["MATCH * WITH PRODUCTS FROM fetch", "DISALLOW *"])
                .products(&["CREATE report*", "DISALLOW *"]),
        );
    let mut build = Step::new("build").threshold(2).command(&["make"]);
    for builder in &builders {
        build = build.functionary(builder).unwrap();
    }
    let outer = Layout::new(now + DAY * 30)
        .step(Step::new("test").functionary(&lead).unwrap())
        .step(build.materials(&["ALLOW src/*", "DISALLOW *"]).products(&[&format!("CREATE {NAME}"), "DISALLOW *"]));

    let file = |folder: &str, link: &Link, key: &SigningKey| LinkSource {
        name: format!("{folder}{}", link.file_name(key).unwrap()),
        bytes: link.sign(format, key).unwrap(),
    };
    let sublayout = tested.file_name(&lead).unwrap();
    let folder = format!("{}/", sublayout.strip_suffix(".link").unwrap());
    let links = vec![
        LinkSource { name: sublayout, bytes: inner.sign(format, &[&lead]).unwrap() },
        file(&folder, &sources, &tester),
        file(&folder, &tested, &tester),
        file("", &built, &builders[0]),
        file("", &built, &builders[2]),
    ];

    let mut publisher = Publisher::open(&dir, KeyRing::open(&temp.path().join("keys")).unwrap(), now).unwrap();
    publisher
        .add_layout(NewLayout {
            path: LAYOUT.to_owned(),
            bytes: outer.sign(format, &[&owners[0], &owners[1]]).unwrap(),
            keys: owners.iter().map(|owner| owner.public_pem().unwrap().into_bytes()).collect(),
            images: vec![NAME.to_owned()],
            role: "targets".to_owned(),
        })
        .unwrap();
    let image = NewImage {
        repository: NAME.to_owned(),
        manifest: MANIFEST.to_vec(),
        tags: vec!["1.4".to_owned()],
        layout: LAYOUT.to_owned(),
        links,
        role: Some("images".to_owned()),
    };
    publisher.add_image(&image).unwrap();
    publisher.commit().unwrap();
    Published {
        root: dir.join("metadata/1.root.json"),
        dir,
        image: format!("{NAME}@sha256:{}", Sha256::of(MANIFEST)),
        _temp: temp,
    }
}

fn python(script: &str, args: &[&Path]) -> Output {
    let python = env::var("INTEROP_PYTHON").expect("INTEROP_PYTHON names a python with tests/interop/requirements.txt");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(script);
    Command::new(python).arg(script).args(args).output().unwrap()
}

/// A program of a Go module here, built once, with its modules from the proxy.
fn golang(module: &str, package: &str) -> PathBuf {
    static BUILT: LazyLock<(TempDir, Mutex<BTreeMap<String, PathBuf>>)> =
        LazyLock::new(|| (tempfile::tempdir().unwrap(), Mutex::default()));
    let (folder, built) = &*BUILT;
    let mut built = built.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let name = format!("{module}-{package}");
    if let Some(program) = built.get(&name) {
        return program.clone();
    }
    let program = folder.path().join(&name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(module);
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(format!("./{package}")).current_dir(source);
    let ended = build.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    built.insert(name, program.clone());
    program
}

impl Published {
    fn accept(&self, image: &str) -> Result<serde_json::Value, String> {
        let output = python("accept.py", &[&self.dir, &self.root, Path::new(image)]);
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout).unwrap());
        }
        Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned())
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn a_private_key_of_every_scheme_is_read_by_the_reference_implementations_library() {
    let temp = tempfile::tempdir().unwrap();
    for scheme in [Scheme::Ed25519, Scheme::EcdsaP256Sha256, Scheme::RsaPssSha256] {
        let file = temp.path().join("key.pem");
        fs::write(&file, SigningKey::generate(scheme).unwrap().to_pem().unwrap()).unwrap();
        let python =
            env::var("INTEROP_PYTHON").expect("INTEROP_PYTHON names a python with tests/interop/requirements.txt");
        let signs = "import sys; from cryptography.hazmat.primitives.serialization import load_pem_private_key as load; \
                     from securesystemslib.signer import CryptoSigner as S; \
                     S(load(open(sys.argv[1], 'rb').read(), None)).sign(b'x')";
        let output = Command::new(python).args(["-c", signs]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{scheme:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn the_reference_implementations_accept_what_is_published_here() {
    for scheme in [Scheme::Ed25519, Scheme::EcdsaP256Sha256, Scheme::EcdsaP384Sha384, Scheme::RsaPssSha256] {
        for format in [Format::Metablock, Format::Dsse] {
            let published = publish(scheme, format, Timestamp::now());
            for image in [published.image.clone(), format!("{NAME}:1.4")] {
                let accepted =
                    published.accept(&image).unwrap_or_else(|error| panic!("{scheme:?} {format:?}: {error}"));
                assert_eq!(accepted["products"][NAME]["sha256"], accepted["sha256"]);
                assert_eq!(accepted["evidence"].as_array().unwrap().len(), 6);
            }
        }
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn the_reference_implementations_do_refuse() {
    let expired = publish(Scheme::Ed25519, Format::Dsse, Timestamp::now() - DAY * 2);
    assert!(expired.accept(&expired.image).unwrap_err().starts_with("ExpiredMetadataError: timestamp"));

    let published = publish(Scheme::Ed25519, Format::Dsse, Timestamp::now());
    assert!(published.accept("registry.example/team/other:1").unwrap_err().starts_with("LookupError"));
    for entry in
        fs::read_dir(published.dir.join("targets/in-toto-metadata").join(Sha256::of(MANIFEST).to_string())).unwrap()
    {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(path, b"{}").unwrap();
        }
    }
    assert!(published.accept(&published.image).unwrap_err().contains("HashMismatch"));
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn what_the_reference_implementation_publishes_is_verified_before_it_is_built_upon() {
    for delegation in ["bins", "succinct", "paths", "nested"] {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("repository");
        let made = python("make_repository.py", &[&dir, Path::new("--delegation"), Path::new(delegation)]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let open = || {
            let mut keys = KeyRing::new();
            keys.trust(Document::parse(&"root".into(), fs::read(dir.join("root.json")).unwrap()).unwrap());
            Publisher::open(&dir, keys, Timestamp::now())
        };
        let roles: Vec<String> = open().unwrap().status().unwrap().iter().map(|role| role.role.to_string()).collect();
        let images = roles.iter().any(|role| role == "images");
        assert_eq!(images, matches!(delegation, "paths" | "nested"), "{roles:?}");

        let targets = dir.join("metadata/1.targets.json");
        let text = fs::read_to_string(&targets).unwrap();
        fs::write(&targets, text.replace("in-toto-pubkeys/owner.pub", "in-toto-pubkeys/thief.pub")).unwrap();
        assert!(matches!(open().map(|_| ()), Err(Error::Unverified { verified: 0, .. })));
    }
}

/// A repository and evidence by python-tuf, in-toto-run and in-toto-record, under a policy of ours.
struct Foreign {
    temp: TempDir,
    reference: String,
}

impl Foreign {
    fn publish(options: &[&str]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("repository");
        let args: Vec<&Path> = [dir.as_path()].into_iter().chain(options.iter().map(Path::new)).collect();
        let made = python("make_repository.py", &args);
        assert!(made.status.success(), "{options:?}: {}", String::from_utf8_lossy(&made.stderr));
        let about: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("image.json")).unwrap()).unwrap();
        let policy = format!(
            "version: 1
repositories:
  foreign: {{url: \"file://{}\", root: root.json}}
rules:
  - name: own
    match: {{images: [\"registry.example/**\"]}}
    verify: {{repositories: [foreign], layout: \"layouts/{{repository}}/*\"}}
",
            dir.display()
        );
        fs::write(temp.path().join("policy.yaml"), policy).unwrap();
        fs::copy(dir.join("root.json"), temp.path().join("root.json")).unwrap();
        Self { temp, reference: about["reference"].as_str().unwrap().to_owned() }
    }

    /// What `pratique verify` says: its exit code and its text.
    fn verify(&self, image: &str) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pratique"));
        let output = command.args(["verify", "--policy", "policy.yaml", image]).current_dir(self.temp.path()).output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    }

    /// Changes every target file whose name ends so.
    fn attack(&self, ending: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) {
        let mut folders = vec![self.temp.path().join("repository/targets")];
        let mut changed = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_str().unwrap().ends_with(ending) {
                    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
                    changed += 1;
                }
            }
        }
        assert!(changed > 0, "no file ends in {ending}");
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn what_the_reference_implementations_publish_is_admitted_and_its_attacked_twin_is_not() {
    for options in [
        &["--delegation", "bins"] as &[&str],
        &["--delegation", "succinct", "--dsse"],
        &["--delegation", "paths", "--scheme", "ecdsa"],
        &["--delegation", "nested", "--scheme", "ecdsa", "--dsse"],
        &["--delegation", "bins", "--scheme", "rsa"],
    ] {
        let foreign = Foreign::publish(options);
        for image in [foreign.reference.as_str(), "registry.example/team/app:1.4"] {
            let (code, text) = foreign.verify(image);
            assert_eq!(code, Some(0), "{options:?} {image}: {text}");
            assert!(text.contains("by rule \"own\": verified"), "{text}");
        }
        let (code, text) = foreign.verify("registry.example/team/app:1.5");
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("[image/unknown-tag]"), "{text}");

        foreign.attack(".link", |bytes| bytes.iter().map(|byte| if *byte == b'a' { b'b' } else { *byte }).collect());
        let (code, text) = foreign.verify(&foreign.reference);
        assert_eq!(code, Some(1), "{options:?}: {text}");
        assert!(text.contains("[tuf/hash-mismatch]"), "{text}");
    }
}

/// `tests/interop/differential.py` does the same for as long as it is told to.
#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn random_supply_chains_have_the_verdict_of_the_reference_or_a_stricter_one_for_a_known_reason() {
    let program = Path::new(env!("CARGO_BIN_EXE_pratique"));
    let said = python("differential.py", &[program, Path::new("--cases"), Path::new("200")]);
    let text = String::from_utf8_lossy(&said.stdout);
    println!("{text}");
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
}
