//! A TUF repository in a registry of images: docker-registry, behind TLS and a password.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Ran, run};

const IMAGE: &str = "registry.example/shop/api:1.0";
/// `ann` with the password `s3cret`, as htpasswd writes it.
const PASSWORDS: &str = "ann:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

struct Registry {
    host: String,
    storage: PathBuf,
    process: Child,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    /// Starts one in a folder, which then has `ca.pem`, and `login` with the credentials.
    fn start(dir: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(dir.join("ca.pem"), made.cert.pem()).unwrap();
        fs::write(dir.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        fs::write(dir.join("passwords"), PASSWORDS).unwrap();
        // Another process may take the port before it is listened on.
        let registry = (0..5).find_map(|_| Self::attempt(dir)).expect("docker-registry ends");
        fs::create_dir(dir.join("login")).unwrap();
        for (key, value) in [("host", registry.host.as_str()), ("username", "ann"), ("password", "s3cret")] {
            fs::write(dir.join("login").join(key), value).unwrap();
        }
        registry
    }

    /// None if it has ended.
    fn attempt(dir: &Path) -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = free.local_addr().unwrap().to_string();
        drop(free);
        let storage = dir.join("storage");
        let settings = json!({
            "version": "0.1", "log": {"level": "error"}, "storage": {"filesystem": {"rootdirectory": storage}},
            "http": {"addr": host, "secret": "of no use",
                     "tls": {"certificate": dir.join("ca.pem"), "key": dir.join("tls.key")}},
            "auth": {"htpasswd": {"realm": "here", "path": dir.join("passwords")}},
        });
        fs::write(dir.join("settings.yml"), settings.to_string()).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(dir.join("settings.yml")).current_dir(dir);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.expect("docker-registry has to be on the PATH");
        let mut registry = Self { host, storage, process };
        let patience = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&registry.host).is_err() {
            assert!(Instant::now() < patience, "docker-registry does not listen");
            if registry.process.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::yield_now();
        }
        Some(registry)
    }

    fn url(&self) -> String {
        format!("oci://{}/acme/tuf", self.host)
    }

    /// The manifest under a tag, as it is on the disk.
    fn manifest(&self, repository: &str, tag: &str) -> Value {
        let root = self.storage.join("docker/registry/v2");
        let link =
            root.join("repositories/acme/tuf").join(repository).join("_manifests/tags").join(tag).join("current/link");
        let digest = fs::read_to_string(&link).unwrap_or_else(|error| panic!("{}: {error}", link.display()));
        self.blob(&digest)
    }

    fn blob(&self, digest: &str) -> Value {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let path =
            self.storage.join("docker/registry/v2/blobs/sha256").join(hex.get(..2).unwrap()).join(hex).join("data");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }
}

fn push(dir: &Path, registry: &Registry) -> Ran {
    let url = registry.url();
    run(dir, &["repo", "push", "kept/repository", &url, "--ca", "ca.pem", "--login", "login"])
}

/// The policy of the demonstration for a repository at this place.
fn policy(dir: &Path, place: &str) {
    let text = fs::read_to_string(dir.join("kept/policy.yaml")).unwrap();
    let origin = text.lines().find(|line| line.trim_start().starts_with("url: ")).unwrap();
    fs::write(dir.join("policy.yaml"), text.replace(origin, place)).unwrap();
    fs::copy(dir.join("kept/acme.root.json"), dir.join("acme.root.json")).unwrap();
}

fn verify(dir: &Path, image: &str) -> Ran {
    run(dir, &["verify", "--policy", "policy.yaml", "--state", "state", image])
}

#[test]
#[ignore = "needs docker-registry"]
fn a_repository_that_is_pushed_to_a_registry_is_read_from_there() {
    let temp = tempfile::tempdir().unwrap();
    let dir = &temp.path().canonicalize().unwrap();
    assert_eq!(run(dir, &["demo", "--keep", "kept"]).code, Some(0));
    let registry = Registry::start(dir);
    let place = format!("    url: {}\n    caBundle: ca.pem\n    auth: {{secretRef: login}}", registry.url());
    policy(dir, &place);

    // Nothing is there yet: an answer, and none that admits.
    let ran = verify(dir, IMAGE);
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[tuf/missing] "), "{}{}", ran.out, ran.err);

    let ran = push(dir, &registry);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains(" files pushed, "), "{}", ran.out);
    let ran = verify(dir, IMAGE);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    // The same images pass and the same ones do not, as of the folder.
    let ran = verify(dir, "registry.example/shop/api:1.4");
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[evidence/not-bound]"), "{}{}", ran.out, ran.err);

    // The layout that others read: names in annotations, a delegated role under its own tag, an index for a folder.
    let names = |manifest: &Value, list: &str| -> Vec<String> {
        let entries = manifest[list].as_array().unwrap();
        entries.iter().map(|entry| entry["annotations"]["tuf.io/filename"].as_str().unwrap().to_owned()).collect()
    };
    let metadata = names(&registry.manifest("metadata", "latest"), "layers");
    assert!(metadata.contains(&"1.root.json".to_owned()) && metadata.contains(&"timestamp.json".to_owned()));
    let [role] = &names(&registry.manifest("metadata", "images"), "layers")[..] else { panic!("one file for a role") };
    assert!(role.ends_with(".images.json"), "{role}");
    let index = registry.manifest("targets", "registry.example");
    let paths = names(&index, "manifests");
    assert!(paths.len() > 3 && paths.iter().all(|path| path.starts_with("registry.example/shop/")), "{paths:?}");
    let image = registry.blob(index["manifests"][0]["digest"].as_str().unwrap());
    let file = paths[0].rsplit('/').next().unwrap();
    assert_eq!(names(&image, "layers"), [file]);
    let hex = file.split('.').next().unwrap();
    assert_eq!(image["layers"][0]["digest"], format!("sha256:{hex}"));

    // Again: only what is new goes there. And what is new is obeyed.
    let ran = push(dir, &registry);
    assert!(ran.out.contains(": 0 files pushed, "), "{}{}", ran.out, ran.err);
    let digest = run(dir, &["explain", "--policy", "policy.yaml", "--format", "json", IMAGE]);
    let digest: Value = serde_json::from_str(&digest.out).unwrap();
    let digest = format!("sha256:{}", digest["digest"].as_str().unwrap().trim_start_matches("sha256:"));
    let ran = run(dir, &["repo", "revoke", "kept/repository", &digest, "--reason", "stolen"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert_eq!(push(dir, &registry).code, Some(0));
    let ran = verify(dir, IMAGE);
    assert!(ran.out.contains("[tuf/revoked] "), "{}{}", ran.out, ran.err);
}

#[test]
#[ignore = "needs docker-registry"]
fn a_registry_is_asked_with_the_credentials_of_its_host_and_is_one_copy_among_others() {
    let temp = tempfile::tempdir().unwrap();
    let dir = &temp.path().canonicalize().unwrap();
    assert_eq!(run(dir, &["demo", "--keep", "kept"]).code, Some(0));
    let registry = Registry::start(dir);
    assert_eq!(push(dir, &registry).code, Some(0));
    let url = registry.url();

    policy(dir, &format!("    url: {url}\n    caBundle: ca.pem"));
    let ran = verify(dir, IMAGE);
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[policy/bad-credentials] ") && ran.out.contains("wants credentials"), "{}", ran.out);
    fs::write(dir.join("login/password"), "wrong").unwrap();
    policy(dir, &format!("    url: {url}\n    caBundle: ca.pem\n    auth: {{secretRef: login}}"));
    let ran = verify(dir, IMAGE);
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("[policy/bad-credentials] ") && !ran.out.contains("wrong"), "{}", ran.out);
    let ran = push(dir, &registry);
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("does not show it to us (HTTP 401)"), "{}", ran.err);

    let copy = format!("file://{}/kept/repository", dir.display());
    policy(dir, &format!("    url: {url}\n    caBundle: ca.pem\n    mirrors: [\"{copy}\"]"));
    let ran = verify(dir, IMAGE);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}
