//! The manifests of `deploy/`, as they are and as a test needs them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{cluster::Cluster, kubectl::Kubectl, lab, objects, wait};

/// The namespaces of a test, in the places of those that the manifests name.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// An ordinary namespace.
    pub(crate) enforced: String,
    /// In place of `kube-system`.
    pub(crate) bootstrap: String,
    /// In place of `pratique-system`.
    pub(crate) own: String,
}

impl Place {
    /// The places of the test that is called `name`. The namespaces are not made.
    pub(crate) fn of(name: &str) -> Self {
        Self { enforced: name.to_owned(), bootstrap: format!("{name}-bootstrap"), own: format!("{name}-system") }
    }

    /// The places of the test whose own namespace this is.
    pub(crate) fn of_own(namespace: &str) -> Self {
        Self::of(namespace.strip_suffix("-system").unwrap())
    }

    fn put(&self, text: &mut Value) {
        let name = match text.as_str() {
            Some("pratique-system") => &self.own,
            Some("kube-system") => &self.bootstrap,
            _ => return,
        };
        *text = Value::from(name.as_str());
    }
}

/// The path of a file of `deploy/`.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// The objects in a file of `deploy/`.
pub(crate) fn objects(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&fs::read_to_string(file(name)).unwrap()).unwrap()
}

/// The one object of a kind in a file of `deploy/`.
pub(crate) fn object(name: &str, kind: &str) -> Value {
    let mut found = objects(name).into_iter().filter(|object| object["kind"] == kind);
    let object = found.next().unwrap_or_else(|| panic!("no {kind} in {name}"));
    assert!(found.next().is_none(), "more than one {kind} in {name}");
    object
}

/// The name of the ConfigMap of `policy.yaml` that has the roots of trust.
pub(crate) fn roots() -> String {
    let names =
        objects("policy.yaml").into_iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned());
    names.into_iter().find(|name| name.starts_with("pratique-roots-")).unwrap()
}

/// Puts an object of `install.yaml` into another namespace, so that several can be installed.
pub(crate) fn move_to(object: &mut Value, namespace: &str) {
    match &mut object["metadata"]["namespace"] {
        Value::String(own) => namespace.clone_into(own),
        // Cluster-scoped: told apart by name.
        _ => suffix(&mut object["metadata"]["name"], namespace),
    }
    if object["roleRef"]["kind"] == "ClusterRole" {
        suffix(&mut object["roleRef"]["name"], namespace);
    }
    for subject in object["subjects"].as_array_mut().into_iter().flatten() {
        subject["namespace"] = json!(namespace);
    }
}

fn suffix(name: &mut Value, suffix: &str) {
    *name = json!(format!("{}-{suffix}", name.as_str().unwrap()));
}

/// Applies the account of a file of `deploy/` and its rights, all for a namespace of the test.
pub(crate) fn install_account(own: &Kubectl, file: &str, namespace: &str) {
    let rights = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
    for mut object in objects(file) {
        if object["kind"].as_str().is_some_and(|kind| rights.contains(&kind)) {
            move_to(&mut object, namespace);
            own.apply(&object).succeeded();
        }
    }
}

/// A file of `deploy/` with a ValidatingAdmissionPolicy and its binding, for one test. It stays, and concerns only the
/// namespaces of this test.
pub(crate) fn install_policy(admin: &Kubectl, file: &str, place: &Place) {
    for mut object in objects(file) {
        suffix(&mut object["metadata"]["name"], &place.enforced);
        if object["kind"] == "ValidatingAdmissionPolicy" {
            narrow(&mut object["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"], place);
        } else {
            suffix(&mut object["spec"]["policyName"], &place.enforced);
        }
        admin.apply(&object).succeeded();
    }
}

/// `deploy/webhooks.yaml` for one test: it selects only the namespaces of this test, and instead of the Service a port
/// of this machine is called. Deleted when it is dropped.
pub(crate) struct Webhooks {
    admin: Kubectl,
    name: String,
}

impl Webhooks {
    /// Nobody listens there, so every call fails at once.
    pub(crate) const NOWHERE: u16 = 1;

    /// Applies the configurations and waits until the API server acts on all of them. The namespace `place.enforced`
    /// has to be there.
    pub(crate) fn install(cluster: &Cluster, place: &Place, port: u16) -> Self {
        let admin = cluster.admin().clone();
        let name = Self::name(place);
        for configuration in narrowed(cluster, place, &name, port) {
            admin.apply(&configuration).succeeded();
        }
        let webhooks = Self { admin, name };
        webhooks.wait(cluster, place);
        webhooks
    }

    /// The name of both configurations.
    pub(crate) fn name(place: &Place) -> String {
        format!("pratique-{}", place.enforced)
    }

    /// What the entries of both configurations believe, as base64, each once.
    pub(crate) fn ca_bundles(&self) -> BTreeSet<String> {
        let kinds = ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"];
        let found = kinds.map(|kind| self.admin.json(&format!("{kind}/{}", self.name)));
        let entries = found.iter().flat_map(|configuration| configuration["webhooks"].as_array().unwrap());
        entries.map(|entry| entry["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Changes the list of validating entries. The API server may act on the old one for a moment.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut Vec<Value>)) {
        let kind_and_name = format!("validatingwebhookconfiguration/{}", self.name);
        let mut webhooks = self.admin.json(&kind_and_name)["webhooks"].clone();
        change(webhooks.as_array_mut().unwrap());
        self.admin.patch(&kind_and_name, &json!({"webhooks": webhooks})).succeeded();
    }

    /// An image that nobody signed is refused by verify, and the audit log shows that pin was called before.
    fn wait(&self, cluster: &Cluster, place: &Place) {
        let probe = objects::pod("probe", "unsigned.example/probe:1");
        let kubectl = self.admin.namespace(&place.enforced);
        wait::until("the webhook configurations are in effect", || {
            let output = kubectl.dry_run(&probe);
            if !output.stderr.contains("\"verify.pratique.dev\"") {
                return Err(format!("not refused by verify.pratique.dev: {output:?}"));
            }
            let log = cluster.audit_log(&place.enforced);
            let pinned = log.iter().any(|event| event["annotations"].to_string().contains("pin.pratique.dev"));
            if pinned { Ok(()) } else { Err("pin.pratique.dev was not called".to_owned()) }
        });
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        for kind in ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
            // Of no consequence to the other tests; a failed test must not fail a second time here.
            self.admin.run(&format!("delete {kind} {}", self.name));
        }
    }
}

/// The objects of `deploy/webhooks.yaml` under this name, for the namespaces of one test and a port of this machine.
pub(crate) fn narrowed(cluster: &Cluster, place: &Place, name: &str, port: u16) -> Vec<Value> {
    let mut configurations = objects("webhooks.yaml");
    for configuration in &mut configurations {
        configuration["metadata"]["name"] = Value::from(name);
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            narrow(&mut webhook["namespaceSelector"]["matchExpressions"], place);
            redirect(&mut webhook["clientConfig"], port, &cluster.authority().pem());
        }
    }
    configurations
}

fn narrow(expressions: &mut Value, place: &Place) {
    let expressions = expressions.as_array_mut().unwrap();
    for expression in expressions.iter_mut() {
        expression["values"].as_array_mut().unwrap().iter_mut().for_each(|value| place.put(value));
    }
    expressions.push(json!({
        "key": "kubernetes.io/metadata.name", "operator": "In",
        "values": [place.enforced, place.bootstrap, place.own],
    }));
}

fn redirect(client: &mut Value, port: u16, ca: &str) {
    let path = client["service"]["path"].as_str().unwrap();
    *client =
        json!({"url": format!("https://{}:{port}{path}", lab::webhook()), "caBundle": BASE64_STANDARD.encode(ca)});
}
