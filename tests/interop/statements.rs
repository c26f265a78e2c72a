//! Statements that other implementations made and signed are evidence here.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use pratique::crypto::Sha256;
use tempfile::TempDir;

use crate::{LAYOUT, MANIFEST, NAME, python};

const TYPES: [(&str, &str); 3] = [
    ("link", "https://in-toto.io/attestation/link/v0.3"),
    ("slsa-0.2", "https://slsa.dev/provenance/v0.2"),
    ("slsa-1", "https://slsa.dev/provenance/v1"),
];

/// A repository with one image, whose one step has a Statement.
struct Attested {
    folder: TempDir,
    predicate_type: &'static str,
}

impl Attested {
    /// The image is published with the evidence of `attested`, which may be another's.
    fn publish(options: &[&str], attested: &[u8], predicate_type: &'static str) -> Self {
        let published = Self { folder: tempfile::tempdir().unwrap(), predicate_type };
        let path = |name: &str| published.folder.path().join(name);
        fs::write(path("attested.json"), attested).unwrap();
        fs::write(path("manifest.json"), MANIFEST).unwrap();
        let (out, manifest) = (path("evidence"), path("attested.json"));
        let mut args = vec![out.as_path(), Path::new(NAME), manifest.as_path()];
        args.extend(options.iter().map(Path::new));
        let made = python("make_statement.py", &args);
        assert!(made.status.success(), "{options:?}: {}", String::from_utf8_lossy(&made.stderr));
        let add = format!(
            "repo add-layout repo evidence/root.layout --key evidence/owner.pub --path {LAYOUT} --image {NAME}"
        );
        let image = format!(
            "repo add-image repo {NAME}:1.4 manifest.json --layout {LAYOUT} --attestation evidence/provenance.intoto.jsonl"
        );
        for line in ["repo init repo", &add, &image] {
            let output = published.run(line);
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        }
        fs::copy(path("repo/metadata/1.root.json"), path("root.json")).unwrap();
        published
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pratique"));
        command.args(line.split_whitespace()).current_dir(self.folder.path()).output().unwrap()
    }

    /// What `pratique verify` says under a rule with these words.
    fn verify(&self, words: &str) -> (Option<i32>, String) {
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
            let attested = Attested::publish(&options, MANIFEST, predicate_type);
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
        let attested = Attested::publish(&["--predicate", predicate, "--signer", "cosign"], b"another", predicate_type);
        let (code, text) = attested.by_subject();
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("[evidence/not-bound]"), "{text}");
    }
}
