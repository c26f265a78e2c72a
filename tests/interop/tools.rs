//! Attestations as cosign and witness make them, by their own libraries, in one supply chain: a step under `witness run`,
//! whose attestor `link` is exported, and the image that `cosign attest --key` attests.

use std::{fs, path::Path, process::Command};

use jiff::Timestamp;
use pratique::{
    crypto::{KeyId, Scheme, Sha256},
    publish::{Format, Layout, SigningKey, Step},
};
use serde_json::{Value, json};

use crate::{DAY, MANIFEST, NAME, golang, statements::Attested};

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const COLLECTION: &str = "https://witness.testifysec.com/attestation-collection/v0.1";
const RULE: &str = "statements: {build: \"https://in-toto.io/attestation/link/v0.3\"}, \
                    product: {step: image, predicateType: \"https://slsa.dev/provenance/v1\"}";

/// The good chain, of which each test changes one thing.
struct Chain {
    folder: tempfile::TempDir,
    witness: SigningKey,
    /// The id that witness writes: of the key's PEM.
    keyid: KeyId,
    cosign: SigningKey,
    step: &'static str,
    command: &'static str,
    attested: &'static [u8],
}

impl Chain {
    fn new() -> Self {
        let key = || SigningKey::generate(Scheme::EcdsaP256Sha256).unwrap();
        let (witness, cosign) = (key(), key());
        let folder = tempfile::tempdir().unwrap();
        let keyid = KeyId::from(Sha256::of(witness.public_pem().unwrap().as_bytes()).to_string().as_str());
        Self { folder, witness, keyid, cosign, step: "build", command: "cp main.c app", attested: MANIFEST }
    }

    fn run(&self, program: &Path, args: &[&str]) -> String {
        let made = Command::new(program).args(args).current_dir(self.folder.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    fn read(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.folder.path().join(name)).unwrap()).unwrap()
    }

    /// What witness wrote: the link and the collection.
    fn witnessed(&self) -> (Value, Value) {
        let path = |name: &str| self.folder.path().join(name);
        fs::write(path("witness.pem"), self.witness.to_pem().unwrap()).unwrap();
        fs::create_dir(path("work")).unwrap();
        fs::write(path("work/main.c"), "int main;").unwrap();
        let files = ["witness.pem", self.step, "work", "link.json", "collection.json"];
        let args = [files.as_slice(), &["sh", "-c", self.command]].concat();
        assert_eq!(self.run(&golang("witness", "run"), &args), self.keyid.as_str());
        (self.read("link.json"), self.read("collection.json"))
    }

    /// What cosign wrote.
    fn attested(&self) -> Value {
        let path = |name: &str| self.folder.path().join(name);
        let predicate = json!({
            "buildDefinition": {
                "buildType": "https://ci.example/v1", "externalParameters": {"ref": "refs/tags/v1.4"},
                "resolvedDependencies": [{"uri": "file:app", "digest": {"sha256": Sha256::of(b"int main;").to_string()}}],
            },
            "runDetails": {"builder": {"id": "https://ci.example/runner"}},
        });
        fs::write(path("predicate.json"), predicate.to_string()).unwrap();
        fs::write(path("cosign.pem"), self.cosign.to_pem().unwrap()).unwrap();
        let digest = Sha256::of(self.attested).to_string();
        self.run(&golang("cosign", "attest"), &["cosign.pem", NAME, &digest, "predicate.json", "image.json"]);
        self.read("image.json")
    }

    /// What `pratique verify` says of the image with this evidence.
    fn judged(&self, evidence: &[&Value]) -> (Option<i32>, String) {
        self.judged_by(&self.keyid, &self.cosign, evidence)
    }

    fn judged_by(&self, keyid: &KeyId, cosign: &SigningKey, evidence: &[&Value]) -> (Option<i32>, String) {
        let published = Attested { folder: tempfile::tempdir().unwrap(), predicate_type: PROVENANCE };
        let path = |name: &str| published.folder.path().join("evidence").join(name);
        fs::create_dir(published.folder.path().join("evidence")).unwrap();
        let mut object = self.witness.key_object().unwrap();
        object["keyid"] = json!(keyid);
        let build = Step::new("build").functionary_id(keyid);
        let build = build.materials(&["ALLOW main.c", "DISALLOW *"]).products(&["CREATE file:app", "DISALLOW *"]);
        // Of another tool, with digests by one algorithm: what witness has by three is not equal to them.
        let image = Step::new("image").functionary(cosign).unwrap();
        let image =
            image.materials(&["ALLOW file:app", "DISALLOW *"]).products(&[&format!("CREATE {NAME}"), "DISALLOW *"]);
        let layout = Layout::new(Timestamp::now() + DAY).key(keyid, object).step(build).step(image);
        let owner = SigningKey::generate(Scheme::Ed25519).unwrap();
        fs::write(path("root.layout"), layout.sign(Format::Dsse, &[&owner]).unwrap()).unwrap();
        fs::write(path("owner.pub"), owner.public_pem().unwrap()).unwrap();
        let lines: String = evidence.iter().map(|envelope| format!("{envelope}\n")).collect();
        fs::write(path("provenance.intoto.jsonl"), lines).unwrap();
        published.publish();
        published.verify(RULE)
    }

    fn refused(&self, evidence: &[&Value], why: &str) -> String {
        let (code, text) = self.judged(evidence);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(why), "{why}: {text}");
        text
    }
}

#[test]
#[ignore = "needs go and its modules"]
fn attestations_by_cosign_and_witness_are_evidence() {
    let chain = Chain::new();
    let ((link, collection), image) = (chain.witnessed(), chain.attested());
    let (code, text) = chain.judged(&[&link, &image]);
    assert_eq!(code, Some(0), "{text}");
    // The collection, which witness writes beside, says nothing that is asked for.
    let (code, text) = chain.judged(&[&link, &collection, &image]);
    assert_eq!(code, Some(0), "{text}");
    let text = chain.refused(&[&collection, &image], "[in-toto/threshold-not-met]");
    assert!(text.contains(COLLECTION), "{text}");
    chain.refused(&[&link], "[in-toto/threshold-not-met]");
    chain.refused(&[&image], "[in-toto/threshold-not-met]");
    chain.refused(&[&link, &image, &image], "[in-toto/ambiguous-statement]");

    // By other keys than the layout lists, and by the right one under an id that is not what witness writes.
    let other = SigningKey::generate(Scheme::EcdsaP256Sha256).unwrap();
    for (keyid, cosign) in [(&chain.keyid, &other), (&chain.witness.keyid().unwrap(), &chain.cosign)] {
        let (code, text) = chain.judged_by(keyid, cosign, &[&link, &image]);
        assert!(code == Some(1) && text.contains("[in-toto/threshold-not-met]"), "{text}");
    }
    // A payload that was changed, or taken from the other.
    for (spoiled, of) in [(&link, &collection), (&image, &link)] {
        let mut forged = spoiled.clone();
        forged["payload"] = of["payload"].clone();
        let evidence = if spoiled == &link { [&forged, &image] } else { [&link, &forged] };
        chain.refused(&evidence, "[in-toto/threshold-not-met]");
    }
}

#[test]
#[ignore = "needs go and its modules"]
fn what_cosign_and_witness_say_is_held_against_layout_and_image() {
    let chain = Chain { attested: b"another", ..Chain::new() };
    chain.refused(&[&chain.witnessed().0, &chain.attested()], "[evidence/not-bound]");
    let chain = Chain { command: "cp main.c app; cp main.c other", ..Chain::new() };
    let text = chain.refused(&[&chain.witnessed().0, &chain.attested()], "[in-toto/disallowed-artifact]");
    assert!(text.contains("file:other"), "{text}");
    let chain = Chain { step: "test", ..Chain::new() };
    chain.refused(&[&chain.witnessed().0, &chain.attested()], "[in-toto/threshold-not-met]");
}
