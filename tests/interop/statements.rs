//! Statements that other implementations made and signed are evidence here.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use jiff::Timestamp;
use pratique::{
    crypto::{KeyId, Scheme, Sha256},
    publish::{Format, Layout, SigningKey, Step},
};
use tempfile::TempDir;

use crate::{DAY, LAYOUT, MANIFEST, NAME, golang, python};

const TYPES: [(&str, &str); 3] = [
    ("link", "https://in-toto.io/attestation/link/v0.3"),
    ("slsa-0.2", "https://slsa.dev/provenance/v0.2"),
    ("slsa-1", "https://slsa.dev/provenance/v1"),
];

/// A repository with one image, whose one step has a Statement.
pub(crate) struct Attested {
    pub(crate) folder: TempDir,
    pub(crate) predicate_type: &'static str,
}

impl Attested {
    /// The image is published with evidence by python of `attested`, which may be another one.
    fn by_python(options: &[&str], attested: &[u8], predicate_type: &'static str) -> Self {
        let published = Self { folder: tempfile::tempdir().unwrap(), predicate_type };
        let path = |name: &str| published.folder.path().join(name);
        fs::write(path("attested.json"), attested).unwrap();
        let (out, manifest) = (path("evidence"), path("attested.json"));
        let mut args = vec![out.as_path(), Path::new(NAME), manifest.as_path()];
        args.extend(options.iter().map(Path::new));
        let made = python("make_statement.py", &args);
        assert!(made.status.success(), "{options:?}: {}", String::from_utf8_lossy(&made.stderr));
        published.publish();
        published
    }

    /// The same with evidence by in-toto-golang, and a layout that lists the key under the id that it has there.
    fn by_golang(scheme: Scheme, version: &str, attested: &[u8], predicate_type: &'static str) -> Self {
        let published = Self { folder: tempfile::tempdir().unwrap(), predicate_type };
        let path = |name: &str| published.folder.path().join(name);
        fs::create_dir(path("evidence")).unwrap();
        let key = SigningKey::generate(scheme).unwrap();
        fs::write(path("ci.pem"), key.to_pem().unwrap()).unwrap();
        let digest = Sha256::of(attested).to_string();
        let made = Command::new(golang("in-toto-golang", "provenance"))
            .args(["ci.pem", NAME, &digest, version, "evidence/provenance.intoto.jsonl"])
            .current_dir(published.folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let keyid = KeyId::from(String::from_utf8(made.stdout).unwrap().trim());
        let mut object = key.key_object().unwrap();
        object["keyid"] = keyid.as_str().into();
        let owner = SigningKey::generate(Scheme::Ed25519).unwrap();
        let build = Step::new("build").functionary_id(&keyid).products(&[&format!("CREATE {NAME}"), "DISALLOW *"]);
        let layout = Layout::new(Timestamp::now() + DAY).key(&keyid, object).step(build);
        fs::write(path("evidence/root.layout"), layout.sign(Format::Dsse, &[&owner]).unwrap()).unwrap();
        fs::write(path("evidence/owner.pub"), owner.public_pem().unwrap()).unwrap();
        published.publish();
        published
    }

    /// With the files that are in `evidence`: `root.layout`, `owner.pub` and `provenance.intoto.jsonl`.
    pub(crate) fn publish(&self) {
        let path = |name: &str| self.folder.path().join(name);
        fs::write(path("manifest.json"), MANIFEST).unwrap();
        let add = format!(
            "repo add-layout repo evidence/root.layout --key evidence/owner.pub --path {LAYOUT} --image {NAME}"
        );
        let image = format!(
            "repo add-image repo {NAME}:1.4 manifest.json --layout {LAYOUT} --attestation evidence/provenance.intoto.jsonl"
        );
        for line in ["repo init repo", &add, &image] {
            let output = self.run(line);
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        }
        fs::copy(path("repo/metadata/1.root.json"), path("root.json")).unwrap();
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pratique"));
        command.args(line.split_whitespace()).current_dir(self.folder.path()).output().unwrap()
    }

    /// What `pratique verify` says under a rule with these words.
    pub(crate) fn verify(&self, words: &str) -> (Option<i32>, String) {
        let url = self.folder.path().join("repo");
        let policy = format!(
            "version: 1
repositories:
  acme: {{url: \"file://{}\", root: root.json}}
rules:
  - name: own
    match: {{images: [\"registry.example/**\"]}}
    verify: {{repositories: [acme], layout: \"layouts/{{repository}}/*\", {words}}}
",
            url.display()
        );
        fs::write(self.folder.path().join("policy.yaml"), policy).unwrap();
        let output = self.run(&format!("verify --policy policy.yaml {NAME}@sha256:{}", Sha256::of(MANIFEST)));
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    }

    fn by_subject(&self) -> (Option<i32>, String) {
        self.verify(&format!("product: {{step: build, predicateType: \"{}\"}}", self.predicate_type))
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn statements_by_other_implementations_are_evidence() {
    for (predicate, predicate_type) in TYPES {
        for (signer, scheme) in [("sslib", "ed25519"), ("cosign", "ecdsa"), ("bundle", "rsa")] {
            let options = ["--predicate", predicate, "--signer", signer, "--scheme", scheme];
            let attested = Attested::by_python(&options, MANIFEST, predicate_type);
            let (code, text) = attested.by_subject();
            assert_eq!(code, Some(0), "{options:?}: {text}");
            let as_link = format!("statements: {{build: \"{predicate_type}\"}}");
            let (code, text) = attested.verify(&as_link);
            assert_eq!(code, Some(0), "{options:?}: {text}");
            let (code, text) = attested.verify("inspections: refuse");
            assert_eq!(code, Some(1), "{options:?}: {text}");
            assert!(text.contains("[in-toto/threshold-not-met]"), "{text}");
        }
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn statements_by_other_implementations_about_another_image_are_not() {
    for (predicate, predicate_type) in TYPES {
        let attested =
            Attested::by_python(&["--predicate", predicate, "--signer", "cosign"], b"another", predicate_type);
        let (code, text) = attested.by_subject();
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("[evidence/not-bound]"), "{text}");
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn provenance_by_in_toto_golang_is_evidence_for_its_own_image_alone() {
    for (version, predicate_type) in [("0.2", TYPES[1].1), ("1", TYPES[2].1)] {
        for scheme in [Scheme::Ed25519, Scheme::EcdsaP256Sha256, Scheme::RsaPssSha256] {
            let attested = Attested::by_golang(scheme, version, MANIFEST, predicate_type);
            let (code, text) = attested.by_subject();
            assert_eq!(code, Some(0), "{scheme:?} {version}: {text}");
        }
        let attested = Attested::by_golang(Scheme::Ed25519, version, b"another", predicate_type);
        let (code, text) = attested.by_subject();
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("[evidence/not-bound]"), "{text}");
    }
}
