//! Rules that ask the registry what a tag names, with docker-registry behind TLS and a password.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pratique::crypto::Sha256;
use serde_json::json;

use crate::support::{
    cluster::{Cluster, free_port},
    images::Images,
    objects,
    process::Process,
    project::manifest,
    wait,
    webhook::{Settings, Webhook},
};

/// `ann` with the password `s3cret`, as htpasswd writes it.
const PASSWORDS: &str = "ann:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

pub(crate) struct Registry {
    pub(crate) host: String,
    storage: PathBuf,
    process: Process,
}

impl Registry {
    pub(crate) fn start(cluster: &Cluster, name: &str) -> Self {
        let folder = cluster.folder(name);
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        cluster.authority().server(&["127.0.0.1"], &certificate, &key);
        fs::write(folder.join("passwords"), PASSWORDS).unwrap();
        let storage = folder.join("storage");
        let host = format!("127.0.0.1:{}", free_port());
        let settings = json!({
            "version": "0.1", "log": {"level": "info"}, "storage": {"filesystem": {"rootdirectory": storage}},
            "http": {"addr": host, "secret": "of no use", "tls": {"certificate": certificate, "key": key}},
            "auth": {"htpasswd": {"realm": "here", "path": folder.join("passwords")}},
        });
        fs::write(folder.join("settings.yml"), settings.to_string()).unwrap();
        let log = folder.join("log");
        // Without the program this panics: nothing passes unseen.
        let args = [PathBuf::from("serve"), folder.join("settings.yml")];
        let process = Process::start(Path::new("docker-registry"), args, &[], &folder, &log);
        wait::until("docker-registry listens (it has to be on the PATH)", || {
            std::net::TcpStream::connect(&host).map_err(|error| format!("{error}: {}", process.log()))
        });
        Self { host, storage, process }
    }

    /// Puts an image under a tag, as a push leaves it on the disk.
    fn put(&self, tag: &str, manifest: &[u8]) {
        let digest = Sha256::of(manifest).to_string();
        let root = self.storage.join("docker/registry/v2");
        let repository = root.join("repositories/team/app/_manifests");
        let link = format!("sha256:{digest}");
        for (file, content) in [
            (root.join("blobs/sha256").join(digest.get(..2).unwrap()).join(&digest).join("data"), manifest),
            (repository.join("revisions/sha256").join(&digest).join("link"), link.as_bytes()),
            (repository.join("tags").join(tag).join("current/link"), link.as_bytes()),
            (repository.join("tags").join(tag).join("index/sha256").join(&digest).join("link"), link.as_bytes()),
        ] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
    }

    /// Puts a layer of the image, likewise.
    pub(crate) fn put_layer(&self, layer: &[u8]) {
        let digest = Sha256::of(layer).to_string();
        let link =
            self.storage.join("docker/registry/v2/repositories/team/app/_layers/sha256").join(&digest).join("link");
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        fs::write(link, format!("sha256:{digest}")).unwrap();
        self.replace_layer(layer, layer);
    }

    /// Has other bytes under the digest of a layer, as whoever holds the registry can.
    pub(crate) fn replace_layer(&self, layer: &[u8], other: &[u8]) {
        let digest = Sha256::of(layer).to_string();
        let folder = self.storage.join("docker/registry/v2/blobs/sha256").join(digest.get(..2).unwrap()).join(&digest);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("data"), other).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

#[test]
fn a_registry_says_what_a_tag_names_and_the_functionaries_whether_that_may_run() {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let name = "registry";
    let registry = Registry::start(cluster, name);
    let host = &registry.host;
    // No tag target of the repository has these names.
    registry.put("moved", &manifest("good"));
    registry.put("thief", &manifest("stolen"));
    registry.put("foreign", &manifest("nobody knows it"));

    let beside = cluster.folder(&format!("webhook-{name}"));
    fs::write(beside.join("registry.ca.pem"), cluster.authority().pem()).unwrap();
    fs::create_dir_all(beside.join("login")).unwrap();
    for (key, value) in [("host", host.as_str()), ("username", "ann"), ("password", "s3cret")] {
        fs::write(beside.join("login").join(key), value).unwrap();
    }
    let policy = images.chain.policy();
    let (repositories, _) = policy.split_once("rules:\n").unwrap();
    let policy = format!(
        "{repositories}registries:
  \"{host}\": {{private: true, caBundle: registry.ca.pem, auth: {{secretRef: login}}}}
rules:
  - name: asked
    match: {{images: [\"{host}/**\"]}}
    as: registry.example/{{1}}
    verify: {{repositories: [acme], layout: \"layouts/{{repository}}/*\", tags: registry}}
"
    );
    let settings = Settings::file(cluster, name, &images.chain, &policy).pin("pods");
    let webhook = Webhook::start(cluster, name, &settings, &[]);
    let image = |tag: &str| format!("{host}/team/app:{tag}");

    webhook.kubectl.apply(&objects::pod("moved", &image("moved"))).succeeded();
    let (_, digest) = images.good.split_once('@').unwrap();
    let pinned = webhook.kubectl.json("pod/moved")["spec"]["containers"][0]["image"].clone();
    assert_eq!(pinned, format!("{}@{digest}", image("moved")), "{}", registry.log());

    // What it says is no evidence of anything.
    let text = webhook.kubectl.apply(&objects::pod("thief", &image("thief"))).refused();
    assert!(text.contains("[in-toto/threshold-not-met] "), "{text}");
    let text = webhook.kubectl.apply(&objects::pod("foreign", &image("foreign"))).refused();
    assert!(text.contains("[image/unknown] "), "{text}");
    let text = webhook.kubectl.apply(&objects::deployment("thief", &image("thief"), 1)).refused();
    assert!(text.contains("[in-toto/threshold-not-met] "), "{text}");
    // A tag that is signed in the repository and is not in the registry is nothing under this rule.
    let text = webhook.kubectl.apply(&objects::pod("none", &image("1.4"))).refused();
    assert!(text.contains("[image/not-in-registry] ") && text.contains(host), "{text}");
    webhook.kubectl.apply(&objects::deployment("moved", &image("moved"), 1)).succeeded();

    let log = webhook.log();
    assert!(!log.contains("s3cret") && !log.contains("Basic "), "{log}");
}
