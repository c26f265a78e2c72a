//! What is written here, the reference implementations must read, and the other way round.
//!
//! `INTEROP_PYTHON` names a python that has `tests/interop/requirements.txt`; without it these tests cannot run and so
//! are ignored: `INTEROP_PYTHON=venv/bin/python cargo test --test interop -- --ignored`.

#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "tests start processes and read files")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
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
        role: "images".to_owned(),
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
