//! An installation whose replicas remember together, each fed by a mirror of its own.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use pratique::tuf::{Remembered, codec::Head};
use serde_json::{Value, json};

use super::{
    chain::Chain,
    cluster::Cluster,
    deploy,
    kubectl::{Kubectl, Output},
    wait,
    webhook::{Settings, Unready, Webhook, config_map},
};

/// The head of what is remembered.
pub(crate) const HEAD: &str = "configmap/pratique-trust-acme";

/// The namespace, the account and the objects of `deploy/install.yaml`, and a project of its own.
pub(crate) struct Installation {
    cluster: &'static Cluster,
    name: String,
    /// kubectl of a cluster admin in the namespace of the webhook.
    pub(crate) own: Kubectl,
    /// The project.
    pub(crate) chain: Chain,
    settings: Settings,
}

impl Installation {
    /// Everything but a first state.
    pub(crate) fn unborn(name: &str) -> Self {
        let cluster = Cluster::shared();
        let chain = Chain::new(&cluster.folder(&format!("project-{name}")));
        let settings = Settings::config_maps(cluster, name, &chain, &policy(&chain, "")).remembering();
        let namespace = format!("{name}-system");
        let own = cluster.admin().namespace(&namespace);
        for object in trust_objects(&namespace) {
            own.feed("apply --server-side -f -", &object.to_string()).succeeded();
        }
        // In which `pratique trust` finds the roots.
        let args = json!([format!("--roots-configmap={namespace}/{}", deploy::roots())]);
        let container = json!({"name": "pratique", "image": "registry.example/pratique", "args": args});
        let labels = json!({"app": "pratique"});
        own.apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "pratique"},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [container]},
            }},
        }))
        .succeeded();
        Self { cluster, name: name.to_owned(), own, chain, settings }
    }

    /// Everything.
    pub(crate) fn new(name: &str) -> Self {
        let installation = Self::unborn(name);
        installation.trust(&["init"]).succeeded();
        installation
    }

    /// `pratique trust`, as an admin runs it.
    pub(crate) fn trust(&self, args: &[&str]) -> Output {
        self.trust_at(&self.chain.repository(), args)
    }

    /// The same where another repository is seen.
    pub(crate) fn trust_at(&self, mirror: &Path, args: &[&str]) -> Output {
        let folder = self.cluster.folder(&format!("trust-{}", self.name));
        feed(&folder, mirror);
        let mut pratique = Command::new(env!("CARGO_BIN_EXE_pratique"));
        pratique.arg("trust").args(args).arg(format!("--namespace={}-system", self.name)).current_dir(&folder);
        let output = pratique.env_clear().env("KUBECONFIG", self.cluster.admin_kubeconfig()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Replaces the policy by one with these words about the repository.
    pub(crate) fn set_policy(&self, words: &str) {
        self.put_policy(&policy(&self.chain, words));
    }

    /// Replaces the policy by one that describes another repository as well.
    pub(crate) fn add_repository(&self, lines: &str) {
        self.put_policy(&policy(&self.chain, "").replacen("rules:\n", &format!("{lines}rules:\n"), 1));
    }

    fn put_policy(&self, policy: &str) {
        self.own.apply(&config_map("pratique-policy", "policy.yaml", policy)).succeeded();
    }

    /// A replica with an empty disk, fed by a folder.
    pub(crate) fn replica(&self, name: &str, mirror: &Path) -> Webhook {
        let name = format!("{}-{name}", self.name);
        self.feed(&name, mirror);
        Webhook::start(self.cluster, &name, &self.settings, &[])
    }

    /// The same, with the API server at another address.
    pub(crate) fn replica_by(&self, name: &str, mirror: &Path, address: &str) -> Webhook {
        let name = format!("{}-{name}", self.name);
        self.feed(&name, mirror);
        Webhook::start(self.cluster, &name, &self.settings.clone().by(address), &[])
    }

    /// A replica that does not become ready, and says why in these words.
    pub(crate) fn unready(&self, name: &str, words: &str) -> Unready {
        let name = format!("{}-{name}", self.name);
        self.feed(&name, &self.chain.repository());
        Unready::start(self.cluster, &name, &self.settings, words)
    }

    /// Has a replica be fed by another folder from now on.
    pub(crate) fn feed_again(&self, replica: &str, mirror: &Path) {
        self.feed(&format!("{}-{replica}", self.name), mirror);
    }

    fn feed(&self, name: &str, mirror: &Path) {
        feed(&self.cluster.folder(&format!("webhook-{name}")), mirror);
    }

    /// The repository as it is now, for ever.
    pub(crate) fn copy(&self, name: &str) -> PathBuf {
        let copy = self.cluster.folder(&format!("copy-{}", self.name)).join(name);
        copy_folder(&self.chain.repository(), &copy);
        copy
    }

    /// The data of all objects of the memory.
    pub(crate) fn data(&self) -> Vec<Value> {
        let names = ["", ".0", ".1", ".2", ".3", ".born"];
        let data = |name| {
            let map = self.own.json(&format!("{HEAD}{name}"));
            json!([map["data"], map["binaryData"]])
        };
        names.into_iter().map(data).collect()
    }

    /// What is remembered, as `trust show` has it.
    pub(crate) fn shown(&self) -> String {
        self.trust(&["show"]).stdout
    }

    /// What is remembered.
    pub(crate) fn remembered(&self) -> Remembered {
        wait::until("what is remembered can be read", || {
            let object = self.own.json(HEAD);
            let head =
                Head::parse(object["data"]["head"].as_str().ok_or("empty")?).map_err(|error| error.to_string())?;
            let parts: Vec<Vec<u8>> = head
                .parts()
                .iter()
                .map(|named| {
                    let part = self.own.json(&format!("{HEAD}.{}", named.object));
                    BASE64_STANDARD.decode(part["binaryData"]["part"].as_str().unwrap_or_default()).unwrap()
                })
                .collect();
            head.decode(&parts).map_err(|error| error.to_string())
        })
    }

    /// Writes something else, as whoever may edit these objects.
    pub(crate) fn write(&self, remembered: &Remembered) {
        self.write_by(&self.own, remembered);
    }

    /// The same by another account.
    pub(crate) fn write_by(&self, who: &Kubectl, remembered: &Remembered) {
        let there = self.own.json(HEAD)["data"]["head"].as_str().and_then(|text| Head::parse(text).ok());
        let encoded = remembered.encode(there.as_ref()).unwrap();
        let replace = |name: &str, member: &str, data: Value| {
            // Replicas write meanwhile: as it stands is not asked.
            let mut object = self.own.json(name);
            object[member] = data;
            object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
            who.feed("replace -f -", &object.to_string()).succeeded();
        };
        for (object, bytes) in encoded.parts {
            let data = json!({"part": BASE64_STANDARD.encode(bytes)});
            replace(&format!("{HEAD}.{object}"), "binaryData", data);
        }
        replace(HEAD, "data", json!({"head": encoded.head}));
    }

    /// Hands out another root.
    pub(crate) fn pin(&self, root: &str) {
        let mut roots = config_map(&deploy::roots(), "acme.root.json", root);
        roots["immutable"] = json!(true);
        self.own.ok(&format!("delete configmap {}", deploy::roots()));
        self.own.apply(&roots).succeeded();
    }

    /// The text of the Events of a reason.
    pub(crate) fn events(&self, reason: &str) -> Vec<String> {
        let events = self.own.json("events");
        let events = events["items"].as_array().unwrap().iter();
        events
            .filter(|event| event["reason"] == reason)
            .map(|event| event["message"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The objects of the memory, for a namespace.
pub(crate) fn trust_objects(namespace: &str) -> Vec<Value> {
    let objects = deploy::objects("install.yaml").into_iter();
    let mut objects: Vec<Value> = objects
        .filter(|object| object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("pratique-trust-")))
        .collect();
    objects.iter_mut().for_each(|object| object["metadata"]["namespace"] = json!(namespace));
    objects
}

/// Each process sees another repository there.
fn policy(chain: &Chain, words: &str) -> String {
    let policy = chain.policy();
    let url = policy.lines().find(|line| line.contains("url: ")).unwrap();
    policy.replacen(url, &format!("    url: file:///proc/self/cwd/mirror\n    refresh: 1s\n{words}"), 1)
}

/// At once: nobody sees a folder without a mirror.
fn feed(folder: &Path, mirror: &Path) {
    let next = folder.join("mirror.next");
    symlink(mirror, &next).unwrap();
    fs::rename(next, folder.join("mirror")).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
