//! Datadog's wheel 1.10.0 as their client verified it on 30 July 2022: through TUF to the layout that the client pins,
//! the link that a developer signed with OpenPGP and those that machines signed with RSA.
//!
//! The wheel itself is not in the data, and not needed: its digest stands in what is signed. The layout's inspection
//! would unpack it; the rule skips that and binds the wheel by what the last step used.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use pratique::{
    crypto::{KeyId, Sha256, openpgp},
    evidence::Ends,
    in_toto::{self, Error, Finding, Inspections, LayoutKey, Limits, LinkFile, Options, SignatureProblem, SupplyChain},
    policy::Policy,
    tuf::TargetPath,
    verdict::{AdmittedBy, Verdict},
    verifier::{FileQuestion, Verifier, World},
};
use serde_json::Value;

const WHEEL: &str = "simple/datadog-active-directory/datadog_active_directory-1.10.0-py2.py3-none-any.whl";
const LINKS: &str = "in-toto-metadata/73c79d67b14f88b372c8ddf3a760135c6e0db188f71936392175c2c946773079";
const VALID: &str = "2022-07-30T00:00:00Z";
/// The developer who tagged the release.
const DEVELOPER: &str = "c295cf63";

fn shared() -> Option<PathBuf> {
    let shared = std::env::var_os("PRATIQUE_SHARED").map(|shared| PathBuf::from(shared).join("datadog"));
    let shared = shared.filter(|folder| folder.is_dir());
    if shared.is_none() {
        println!("external data absent: PRATIQUE_SHARED does not name a folder with datadog/");
    }
    shared
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The rule of their client: the layout is pinned, a link for each of three steps, the parameters of this wheel.
fn policy_text(archive: &Path) -> String {
    let archive = archive.display();
    format!(
        "version: 1
repositories:
  datadog:
    metadataUrl: file://{archive}/metadata
    targetsUrl: file://{archive}/targets
    root: root.json
rules:
  - name: wheels
    match: {{images: [\"files.example/**\"]}}
    verify:
      repositories: [datadog]
      layout: in-toto-metadata/4.core.root.layout
      inspections: skip
      product:
        step: wheels-signer
        from: materials
        name: \"*/simple/datadog-active-directory/datadog_active_directory-1.10.0-py2.py3-none-any.whl\"
      parameters:
        wheel_distribution_name: datadog_active_directory
        package_version: 1.10.0
        python_tag: py2.py3
        standard_distribution_name: datadog-active-directory
        package_github_dir: active_directory
default: deny
"
    )
}

fn policy(archive: &Path, change: impl FnOnce(String) -> String) -> Arc<Policy> {
    Arc::new(Policy::parse(&change(policy_text(archive))).unwrap())
}

fn digest(shared: &Path) -> Sha256 {
    let role = fs::read(shared.join("2022-07/metadata/2833.wheels-signer-a.json")).unwrap();
    let role: Value = serde_json::from_slice(&role).unwrap();
    role["signed"]["targets"][WHEEL]["hashes"]["sha256"].as_str().unwrap().parse().unwrap()
}

/// The verdict of the webhook's own code on the wheel.
fn verdict(policy: &Arc<Policy>, shared: &Path, digest: Sha256, now: &str) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let root = fs::read(shared.join("roots/9.root.json")).unwrap();
        let files = BTreeMap::from([("root.json".to_owned(), root)]);
        let world = World::build(policy.clone(), &files, None, None, None).await.unwrap();
        for (_, repository) in world.repositories() {
            // Where it fails, the verdict says so.
            let _ = repository.refresh(at(now)).await;
        }
        let (rule, path) = (&policy.rules()[0], TargetPath::from(WHEEL));
        let question = FileQuestion { rule, path: &path, digest };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        Verifier::default().verify_file(&world, &question, at(now), deadline).await
    })
}

fn code(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Admitted(_) => "admitted",
        Verdict::Refused(refusal) => refusal.code(),
    }
}

#[test]
fn the_wheel_is_verified_from_the_root_to_the_developers_signature() {
    let Some(shared) = shared() else { return };
    let verdict = verdict(&policy(&shared.join("2022-07"), |text| text), &shared, digest(&shared), VALID);
    let Verdict::Admitted(admitted) = &verdict else { panic!("{}", pratique::verdict::explain(&verdict)) };
    let AdmittedBy::Proof(proofs) = admitted.by() else { panic!("not verified") };
    let proof = proofs.iter().next().unwrap();
    assert_eq!(proof.image_chain().to_string(), "targets/wheels-signer/wheels-signer-a");
    assert_eq!(proof.layout().unwrap().as_str(), "in-toto-metadata/4.core.root.layout");
    assert_eq!(proof.layout_keys().len(), 3);
    let made: Vec<(String, String)> =
        proof.steps().iter().map(|step| (step.name.clone(), step.functionaries[0].short().to_owned())).collect();
    let expected = [("tag", DEVELOPER), ("wheels-builder", "1be24f7f"), ("wheels-signer", "b2f94f2b")];
    assert_eq!(made, expected.map(|(step, by)| (step.to_owned(), by.to_owned())));
    let (step, artifact) = proof.bound_to().unwrap();
    assert_eq!((step, artifact.rsplit('/').next()), ("wheels-signer", WHEEL.rsplit('/').next()));
    // The online roles end first; the developer's key, years later, is among the ends all the same.
    assert_eq!(proof.valid_until(), at("2022-07-31T14:15:44Z"));
    let ends = proof.ends().iter().find(|(end, _)| matches!(end, Ends::Key { .. })).unwrap();
    assert!(matches!(&ends.0, Ends::Key { keyid, step: Some(step) } if keyid.short() == DEVELOPER && step == "tag"));
    assert_eq!(ends.1.to_string().split_once('T').unwrap().0, "2028-08-28");
}

#[test]
fn another_wheel_another_layout_and_missing_parameters_are_refused() {
    let Some(shared) = shared() else { return };
    let archive = shared.join("2022-07");
    let digest = digest(&shared);
    let refusal = |change: fn(String) -> String| code(&verdict(&policy(&archive, change), &shared, digest, VALID));
    assert_eq!(
        code(&verdict(&policy(&archive, |text| text), &shared, Sha256::of(b"changed"), VALID)),
        "image/digest-mismatch"
    );
    assert_eq!(refusal(|text| text.replace("1.10.0-py2.py3-none", "1.9.0-py2.py3-none")), "evidence/not-bound");
    assert_eq!(refusal(|text| text.replace("step: wheels-signer", "step: wheels-builder")), "evidence/not-bound");
    assert_eq!(refusal(|text| text.replace("        python_tag: py2.py3\n", "")), "in-toto/parameter");
    assert_eq!(refusal(|text| text.replace("      inspections: skip\n", "")), "in-toto/inspections-refused");
    // What the wheel lists instead of the pinned layout is not there to be had.
    assert_eq!(refusal(|text| text.replace("4.core.root", "5.core.root")), "evidence/not-a-target");
}

#[test]
fn a_changed_wheel_is_refused_on_the_command_line() {
    let Some(shared) = shared() else { return };
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("policy.yaml"), policy_text(&shared.join("2022-07"))).unwrap();
    fs::copy(shared.join("roots/9.root.json"), temp.path().join("root.json")).unwrap();
    fs::write(temp.path().join("changed.whl"), "not what was signed").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pratique"));
    command.args(["verify", "--policy", "policy.yaml", "--rule", "wheels", "--at", VALID, "--target", WHEEL]);
    let output = command.arg("changed.whl").current_dir(temp.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && text.contains("[image/digest-mismatch]"), "{text}");
    assert!(text.contains(&digest(&shared).to_string()), "{text}");
}

/// The archive in a folder where files can be changed.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[test]
fn a_link_that_was_changed_or_taken_away_in_the_repository_does_not_pass() {
    let Some(shared) = shared() else { return };
    let temp = tempfile::tempdir().unwrap();
    copy(&shared.join("2022-07"), temp.path());
    let judge = || verdict(&policy(temp.path(), |text| text), &shared, digest(&shared), VALID);
    assert_eq!(code(&judge()), "admitted");
    let files = fs::read_dir(temp.path().join("targets").join(LINKS)).unwrap().map(|entry| entry.unwrap().path());
    let link = files.into_iter().find(|path| path.to_string_lossy().contains(DEVELOPER)).unwrap();
    let mut bytes = fs::read(&link).unwrap();
    bytes[1000] ^= 1;
    fs::write(&link, bytes).unwrap();
    assert_eq!(code(&judge()), "tuf/hash-mismatch");
    fs::remove_file(&link).unwrap();
    assert_eq!(code(&judge()), "tuf/missing");
}

/// Layout, keys and links alone, past TUF: what in-toto itself refuses.
struct Chain {
    layout: Vec<u8>,
    keys: Vec<LayoutKey>,
    links: BTreeMap<String, Vec<u8>>,
    parameters: BTreeMap<String, String>,
}

/// Files of a folder by their names without the hash in front.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let named = entries.map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().split_once('.').unwrap().1.to_owned();
        (name, fs::read(path).unwrap())
    });
    named.collect()
}

impl Chain {
    fn open(shared: &Path) -> Self {
        let targets = shared.join("2022-07/targets");
        let mut layouts = files(&targets.join("in-toto-metadata"));
        let keys = files(&targets.join("in-toto-pubkeys"));
        let parameters = [
            ("wheel_distribution_name", "datadog_active_directory"),
            ("package_version", "1.10.0"),
            ("python_tag", "py2.py3"),
            ("standard_distribution_name", "datadog-active-directory"),
            ("package_github_dir", "active_directory"),
        ];
        Self {
            layout: layouts.remove("4.core.root.layout").unwrap(),
            keys: keys.values().map(|pem| LayoutKey::parse(pem).unwrap()).collect(),
            links: files(&targets.join(LINKS)),
            parameters: parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }
    }

    fn verify(&self, now: &str) -> Result<in_toto::Verified, Error> {
        let links = self.links.iter();
        let links = links.map(|(name, bytes)| LinkFile { dir: Vec::new(), name: name.clone(), bytes }).collect();
        let chain = SupplyChain { layout: &self.layout, keys: self.keys.clone(), links, attestations: Vec::new() };
        let parameters = Some(self.parameters.clone());
        let options = Options { parameters, inspections: Inspections::Skip, ..Options::default() };
        in_toto::verify(&chain, &options, at(now), &Limits::default())
    }

    fn link(&mut self, prefix: &str) -> (String, Value) {
        let (name, bytes) = self.links.iter().find(|(name, _)| name.contains(prefix)).unwrap();
        (name.clone(), serde_json::from_slice(bytes).unwrap())
    }

    /// What was found of whoever may sign a step, once the links of `prefix` were changed.
    fn finding(&mut self, prefix: &str, change: impl FnOnce(&mut Value)) -> Finding {
        let (name, mut link) = self.link(prefix);
        let keyid = KeyId::from(link["signatures"][0]["keyid"].as_str().unwrap());
        change(&mut link);
        self.links.insert(name, link.to_string().into_bytes());
        match self.verify(VALID).unwrap_err() {
            Error::ThresholdNotMet { functionaries, .. } => {
                functionaries.into_iter().find(|found| found.keyid == keyid).unwrap().finding
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn what_in_toto_refuses_of_it() {
    let Some(shared) = shared() else { return };
    let open = || Chain::open(&shared);
    let verified = open().verify(VALID).unwrap();
    assert_eq!(verified.skipped_inspections().len(), 1);

    // A missing link.
    let mut chain = open();
    let (name, _) = chain.link(DEVELOPER);
    chain.links.remove(&name);
    assert_eq!(chain.verify(VALID).unwrap_err().code(), "in-toto/threshold-not-met");
    // A changed one, by OpenPGP and by RSA-PSS.
    let change = |link: &mut Value| link["signed"]["environment"] = serde_json::json!({"changed": "yes"});
    let invalid = || Finding::Signature(openpgp::Rejected::Invalid.into());
    assert_eq!(open().finding(DEVELOPER, change), invalid());
    assert_eq!(open().finding("1be24f7f", change), Finding::Signature(SignatureProblem::Invalid));
    // Changed headers of a signature: the time in them, and what they are headers of.
    let headers = |from: &'static str, to: &'static str| {
        move |link: &mut Value| {
            let headers = link["signatures"][0]["other_headers"].as_str().unwrap();
            assert!(headers.starts_with(from));
            let changed = match from {
                "" => format!("{}{to}", &headers[..headers.len() - 2]),
                _ => headers.replacen(from, to, 1),
            };
            link["signatures"][0]["other_headers"] = Value::from(changed);
        }
    };
    assert_eq!(open().finding(DEVELOPER, headers("", "ff")), invalid());
    let of_a_key = headers("04000108", "04180108");
    assert_eq!(open().finding(DEVELOPER, of_a_key), Finding::Signature(openpgp::Rejected::Headers.into()));
    // The link of one step in place of another's.
    let mut chain = open();
    let ((signer, _), (_, builder)) = (chain.link("wheels-signer"), chain.link("wheels-builder"));
    chain.links.insert(signer, builder.to_string().into_bytes());
    assert_eq!(chain.verify(VALID).unwrap_err().code(), "in-toto/threshold-not-met");
    // No parameters.
    let mut chain = open();
    chain.parameters.clear();
    assert_eq!(chain.verify(VALID).unwrap_err().code(), "in-toto/parameter");
    // The layout has expired.
    assert!(open().verify("2023-04-04T15:34:36Z").is_ok());
    assert_eq!(open().verify("2023-04-05T00:00:00Z").unwrap_err().code(), "in-toto/layout-expired");
    // An owner's key is missing, and one has not signed.
    let mut chain = open();
    chain.keys.truncate(2);
    assert!(chain.verify(VALID).is_ok());
    let pem = pratique::publish::SigningKey::ed25519_from_seed([1; 32]).public_pem().unwrap();
    chain.keys.push(LayoutKey::parse(pem.as_bytes()).unwrap());
    assert_eq!(chain.verify(VALID).unwrap_err().code(), "in-toto/layout-signature");
}

#[test]
fn the_developers_key_ends_though_the_layout_would_have_ended_before() {
    let Some(shared) = shared() else { return };
    let mut chain = Chain::open(&shared);
    let layout: Value = serde_json::from_slice(&chain.layout).unwrap();
    let (_, link) = chain.link(DEVELOPER);
    let signature = &link["signatures"][0];
    let object = &layout["signed"]["keys"][signature["keyid"].as_str().unwrap()];
    let certificate = openpgp::Certificate::from_object(object).unwrap();
    assert_eq!(certificate.subkeys().len(), 2);
    let hex = |name: &str| hex::decode(signature[name].as_str().unwrap()).unwrap();
    let signature = openpgp::Signature { headers: hex("other_headers"), value: hex("signature") };
    let message = pratique::crypto::json::canonical(&link["signed"]);
    let verify = |now: &str| certificate.master().verify(&message, &signature, at(now));
    assert_eq!(verify("2028-08-28T00:00:00Z"), Ok(()));
    let expired = openpgp::Rejected::Expired(certificate.master().expires().unwrap());
    assert_eq!(verify("2028-08-29T00:00:00Z"), Err(expired));
}
