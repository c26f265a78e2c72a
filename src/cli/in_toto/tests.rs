use std::fs;

use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::{
    crypto::json as strict,
    in_toto::{Inspected, Inspection, InspectionProblem, Recorded, StepName},
    publish::SigningKey,
};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// A supply chain of one step in a folder.
struct Folder {
    dir: tempfile::TempDir,
    key: SigningKey,
}

impl Folder {
    fn new(inspections: &Value) -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap(), key: SigningKey::ed25519_from_seed([9; 32]) };
        let keyid = folder.key.keyid().unwrap();
        let mut object = folder.key.key_object().unwrap();
        object["keyid"] = json!(keyid);
        folder.write("key.json", object.to_string().as_bytes());
        folder.write("key.pem", folder.key.public_pem().unwrap().as_bytes());
        folder.sign(
            "root.layout",
            &json!({
                "_type": "layout", "expires": "2030-01-01T00:00:00Z", "readme": "", "keys": {keyid.as_str(): object},
                "inspect": inspections,
                "steps": [{
                    "_type": "step", "name": "build", "threshold": 1, "pubkeys": [keyid], "expected_command": [],
                    "expected_materials": [], "expected_products": [["CREATE", "{APP}"], ["ALLOW", "app"], ["DISALLOW", "*"]],
                }],
            }),
        );
        folder.sign(
            &LinkName::new(&StepName::parse("build").unwrap(), &keyid).to_string(),
            &json!({
                "_type": "link", "name": "build", "materials": {}, "products": {"app": {"sha256": "aa"}},
                "command": [], "byproducts": {}, "environment": {},
            }),
        );
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    fn sign(&self, name: &str, payload: &Value) {
        let signature = hex::encode(self.key.sign(&strict::canonical(payload)).unwrap());
        let signatures = json!([{"keyid": self.key.keyid().unwrap(), "sig": signature}]);
        self.write(name, json!({"signed": payload, "signatures": signatures}).to_string().as_bytes());
    }

    /// Runs the command; `@` in front of a word stands for the folder.
    fn run(&self, arguments: &str) -> (u8, String) {
        let dir = self.dir.path().display().to_string();
        let words = format!("x --layout @/root.layout --link-dir @ {arguments}").replace('@', &dir);
        let args = Cli::parse_from(words.split_whitespace()).args;
        let mut out = Vec::new();
        let code = run(&args, "2029-01-01T00:00:00Z".parse().unwrap(), &mut out);
        (code, String::from_utf8(out).unwrap())
    }
}

#[test]
fn a_supply_chain_in_a_folder_is_verified() {
    let folder = Folder::new(&json!([]));
    for arguments in ["--layout-keys @/key.json", "--verification-keys @/key.pem", "-k @/key.pem -t ed25519"] {
        assert_eq!(folder.run(arguments), (0, "verified\n".to_owned()), "{arguments}");
    }
    assert_eq!(folder.run("-k @/key.pem --quiet"), (0, String::new()));
    let (code, text) = folder.run("-k @/key.pem --verbose");
    assert_eq!(code, 0);
    assert!(text.contains("products: ALLOW app: 1 consumed"), "{text}");
}

#[test]
fn a_refusal_has_exit_code_1_and_its_code() {
    let folder = Folder::new(&json!([]));
    let other = SigningKey::ed25519_from_seed([8; 32]).public_pem().unwrap();
    folder.write("other.pem", other.as_bytes());
    let (code, text) = folder.run("-k @/other.pem");
    assert!(code == 1 && text.starts_with("refused: [in-toto/layout-signature] "), "{text}");
}

#[test]
fn what_cannot_be_judged_has_exit_code_2() {
    let folder = Folder::new(&json!([]));
    folder.write("bad.pem", b"nothing");
    for (arguments, reason) in [
        ("", "no key is given"),
        ("-k @/absent.pem", "absent.pem"),
        ("-k @/bad.pem", "neither a PEM public key"),
        ("-k @/key.pem -t rsa", "the key's type is ed25519, not rsa"),
        ("-k @/key.pem -t ed25519 ed25519", "2 --key-types are given for 1"),
        ("-k @/key.pem --gpg ABCD", "not a key id of 8 to 40 hex digits"),
        ("-k @/key.pem --substitution-parameters {", "JSON"),
    ] {
        let (code, text) = folder.run(arguments);
        assert!(code == 2 && text.starts_with("error: ") && text.contains(reason), "{arguments}: {text}");
    }
}

#[test]
fn parameters_are_passed_on() {
    let folder = Folder::new(&json!([]));
    assert_eq!(folder.run(r#"-k @/key.pem --substitution-parameters {"APP":"*"}"#).0, 0);
    let (code, text) = folder.run("-k @/key.pem --substitution-parameters {}");
    assert!(code == 1 && text.contains("in-toto/parameter"), "{text}");
}

#[test]
fn a_layout_with_inspections_is_refused_unless_they_may_run() {
    let inspection = json!({
        "_type": "inspection", "name": "look", "run": ["true"], "expected_materials": [], "expected_products": [],
    });
    let (code, text) = Folder::new(&json!([inspection])).run("-k @/key.pem");
    assert!(code == 1 && text.contains("in-toto/inspections-refused"), "{text}");
}

#[test]
fn links_of_sublayouts_are_found_in_their_folders() {
    let folder = Folder::new(&json!([]));
    let name = LinkName::new(&StepName::parse("build").unwrap(), &folder.key.keyid().unwrap());
    let root = folder.dir.path();
    let inner = root.join(name.folder());
    fs::create_dir(&inner).unwrap();
    fs::rename(root.join(name.to_string()), inner.join(name.to_string())).unwrap();
    fs::copy(root.join("root.layout"), root.join(name.to_string())).unwrap();
    assert_eq!(folder.run("-k @/key.pem"), (0, "verified\n".to_owned()));
}

fn inspect(dir: &Path, run: &[&str], timeout: u64) -> Result<Recorded, InspectionProblem> {
    let inspection = Inspection {
        name: StepName::parse("look").unwrap(),
        run: run.iter().map(|word| (*word).to_owned()).collect(),
        expected_materials: Vec::new(),
        expected_products: Vec::new(),
    };
    match Runner::new(dir, Duration::from_millis(timeout)).inspect(&inspection, &[])? {
        Inspected::Recorded(recorded) => Ok(recorded),
        Inspected::Skipped => panic!("skipped"),
    }
}

#[test]
fn an_inspection_records_what_was_there_before_and_after() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["sub", "sub/.git", "x.link.d"] {
        fs::create_dir(path(name)).unwrap();
    }
    for name in ["a", "sub/b", "sub/c~", "sub/.git/config", "build.01234567.link", "m.pyc", "x.link.d/y", "gone"] {
        fs::write(path(name), "abc").unwrap();
    }
    let recorded = inspect(dir.path(), &["sh", "-c", "rm gone; cp a new"], 10_000).unwrap();
    assert_eq!(recorded.materials.names().collect::<Vec<_>>(), ["a", "gone", "sub/b"]);
    assert_eq!(recorded.products.names().collect::<Vec<_>>(), ["a", "new", "sub/b"]);
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(recorded.products.get("new").unwrap().get("sha256"), Some(digest));
}

#[test]
fn an_inspection_fails_when_its_command_does() {
    let dir = tempfile::tempdir().unwrap();
    for (run, reason) in [
        (&["false"][..], "not 0"),
        (&["no-such-program-here"], "cannot run"),
        (&["pratique", "image"], "built in"),
        (&["sleep", "60"], "took longer than"),
        (&[], "empty"),
    ] {
        match inspect(dir.path(), run, if reason.starts_with("took") { 50 } else { 10_000 }) {
            Err(InspectionProblem::Failed(problem)) => assert!(problem.contains(reason), "{problem}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn statements_stand_for_links_where_the_options_say_so() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    let folder = Folder::new(&json!([]));
    let link = LinkName::new(&StepName::parse("build").unwrap(), &folder.key.keyid().unwrap()).to_string();
    fs::remove_file(folder.dir.path().join(link)).unwrap();
    let predicate = json!({"builder": {"id": "ci"}, "buildType": "ci"});
    let payload = json!({
        "_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://slsa.dev/provenance/v0.2",
        "subject": [{"name": "app", "digest": {"sha256": "ab".repeat(32)}}], "predicate": predicate,
    });
    let payload = payload.to_string();
    let payload_type = "application/vnd.in-toto+json";
    let sig = folder.key.sign(&crate::crypto::dsse::pae(payload_type, payload.as_bytes())).unwrap();
    let signatures = json!([{"sig": STANDARD.encode(sig)}]);
    let envelope = json!({"payloadType": payload_type, "payload": STANDARD.encode(payload), "signatures": signatures});
    folder.write("provenance.json", envelope.to_string().as_bytes());

    let plain = "-k @/key.pem --verbose";
    let attested = format!("{plain} --attestation @/provenance.json");
    let (code, text) = folder.run(&format!("{attested} --statement build=https://slsa.dev/provenance/v0.2"));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("  by Statements of https://slsa.dev/provenance/v0.2\n"), "{text}");
    let (code, text) = folder.run(&format!("{attested} --statement build=https://slsa.dev/provenance/v1"));
    assert_eq!(code, 1, "{text}");
    let (code, text) = folder.run(plain);
    assert_eq!((code, text.contains("no link")), (1, true), "{text}");
    for (bad, says) in [
        ("--attestation @/provenance.json", "--statement <STEP=TYPE>"),
        ("--statement build", "not STEP=TYPE"),
        ("--statement build=slsa", "type \"slsa\" is not read, these are: https://in-toto.io/attestation/link/v0.3, "),
    ] {
        let error = Cli::try_parse_from(format!("x --layout l -k k {bad}").split_whitespace()).err().unwrap();
        assert!(error.to_string().contains(says), "{error}");
    }
    let twice = format!("{attested}{}", " --statement build=https://slsa.dev/provenance/v1".repeat(2));
    assert_eq!(folder.run(&twice), (2, "error: --statement is given twice for step build\n".to_owned()));
}
