//! Is there anything in this API server that names images and is not judged?
//!
//! Its OpenAPI documents are walked: every operation that writes, every object that it takes. A new field or a new kind
//! fails these tests until somebody has said here what it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{
    cluster::Cluster,
    deploy, helm,
    images::Images,
    kubectl::Kubectl,
    wait,
    webhook::{Settings, Webhook},
};

/// Fields with "image" in their names, or that stand in an object with it in its name, and what they are.
const FIELDS: [(&str, &str, Image); 19] = [
    ("v1.Container", "image", Image::Judged),
    ("v1.EphemeralContainer", "image", Image::Judged),
    ("v1.ImageVolumeSource", "reference", Image::Judged),
    ("v1.Volume", "image", Image::Leads),
    ("v1.Container", "imagePullPolicy", Image::No("when the kubelet asks the registry")),
    ("v1.EphemeralContainer", "imagePullPolicy", Image::No("when the kubelet asks the registry")),
    ("v1.ImageVolumeSource", "pullPolicy", Image::No("when the kubelet asks the registry")),
    ("v1.PodSpec", "imagePullSecrets", Image::No("credentials, which select no image")),
    ("v1.ServiceAccount", "imagePullSecrets", Image::No("credentials, which select no image")),
    ("v1.RBDVolumeSource", "image", Image::No("a block device in a Ceph pool")),
    ("v1.RBDPersistentVolumeSource", "image", Image::No("a block device in a Ceph pool")),
    ("v1.ContainerStatus", "image", Image::No("what a kubelet says of what runs")),
    ("v1.ContainerStatus", "imageID", Image::No("what a kubelet says of what runs")),
    ("v1.VolumeStatus", "image", Image::No("what a kubelet says of what runs")),
    ("v1.ImageVolumeStatus", "imageRef", Image::No("what a kubelet says of what runs")),
    ("v1.NodeStatus", "images", Image::No("what a kubelet says of its disk")),
    ("v1.NodeSystemInfo", "osImage", Image::No("the name of an operating system")),
    ("v1.ContainerImage", "names", Image::No("what a kubelet says of its disk")),
    ("v1.ContainerImage", "sizeBytes", Image::No("what a kubelet says of its disk")),
];

/// What a field is.
#[derive(Clone, Copy, PartialEq)]
enum Image {
    /// The name of an image that runs or is mounted.
    Judged,
    /// An object with such a name in it.
    Leads,
    /// None, because.
    No(&'static str),
}

/// Operations that take a PodSpec and are no matter of the webhook's rules, and why.
const ELSEWHERE: [(&str, &str); 3] = [
    ("pods/status", "the API server keeps the spec as it is"),
    ("pods/resize", "the API server lets only resources of containers change"),
    ("*/status", "the API server keeps the spec as it is"),
];

/// All schemas, by name, and all resources that can be written with the schema that they take.
struct Api {
    schemas: BTreeMap<String, Value>,
    /// `apps/v1 deployments`, and `v1 pods/ephemeralcontainers`.
    writes: BTreeMap<String, String>,
}

impl Api {
    fn read(kubectl: &Kubectl) -> Self {
        let mut api = Self { schemas: BTreeMap::new(), writes: BTreeMap::new() };
        let documents: Value = serde_json::from_str(&kubectl.ok("get --raw /openapi/v3")).unwrap();
        for (path, document) in documents["paths"].as_object().unwrap() {
            let Some(group_version) = path.strip_prefix("apis/").or_else(|| path.strip_prefix("api/")) else {
                continue;
            };
            // `apis/apps`, and not `apis/apps/v1`, only lists.
            let url = document["serverRelativeURL"].as_str().unwrap();
            api.add(group_version, &serde_json::from_str(&kubectl.ok(&format!("get --raw {url}"))).unwrap());
        }
        assert!(api.schemas.len() > 500 && api.writes.len() > 100, "{} {}", api.schemas.len(), api.writes.len());
        api
    }

    fn add(&mut self, group_version: &str, document: &Value) {
        for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
            // Not what other tests define.
            if name.starts_with("io.k8s.") {
                self.schemas.insert(name.clone(), schema.clone());
            }
        }
        for (path, operations) in document["paths"].as_object().unwrap() {
            for verb in ["post", "put"] {
                let body = &operations[verb]["requestBody"]["content"];
                let Some(schema) = body.as_object().and_then(|types| reference(&types.values().next()?["schema"]))
                else {
                    continue;
                };
                let below = path.split(&format!("/{group_version}/")).nth(1).unwrap();
                let below = below.strip_prefix("namespaces/{namespace}/").unwrap_or(below);
                let resource = below.replace("/{name}", "");
                if self.schemas.contains_key(schema) {
                    self.writes.insert(format!("{group_version} {resource}"), schema.to_owned());
                }
            }
        }
    }

    /// The names of a schema and of all that it leads to.
    fn below(&self, schema: &str) -> BTreeSet<String> {
        let (mut seen, mut next) = (BTreeSet::new(), vec![schema.to_owned()]);
        while let Some(name) = next.pop() {
            if seen.insert(name.clone()) {
                references(&self.schemas[&name], &mut next);
            }
        }
        seen
    }
}

fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")
}

fn references(value: &Value, into: &mut Vec<String>) {
    into.extend(reference(value).map(ToOwned::to_owned));
    match value {
        Value::Object(members) => members.values().for_each(|value| references(value, into)),
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

/// `v1.Container` of `io.k8s.api.core.v1.Container`.
fn short(schema: &str) -> String {
    let parts: Vec<_> = schema.rsplit('.').take(2).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(".")
}

#[test]
fn every_field_that_could_name_an_image_is_known() {
    let api = Api::read(Cluster::shared().admin());
    let mut found = BTreeSet::new();
    for (name, schema) in &api.schemas {
        let in_image = short(name).to_lowercase().contains("image");
        for field in schema["properties"].as_object().into_iter().flatten().map(|(field, _)| field) {
            if in_image || field.to_lowercase().contains("image") {
                found.insert((short(name), field.clone()));
            }
        }
    }
    let known: BTreeSet<_> = FIELDS.iter().map(|(name, field, _)| ((*name).to_owned(), (*field).to_owned())).collect();
    assert_eq!(found, known);
}

#[test]
fn every_resource_that_leads_to_a_judged_image_is_in_the_rules() {
    let api = Api::read(Cluster::shared().admin());
    let judged: BTreeSet<_> = FIELDS.iter().filter(|field| field.2 == Image::Judged).map(|field| field.0).collect();
    let leading = api
        .writes
        .iter()
        .filter(|(_, schema)| api.below(schema).iter().any(|name| judged.contains(short(name).as_str())));
    let leading: BTreeSet<_> = leading.map(|(resource, _)| resource.clone()).collect();
    let elsewhere = |resource: &str| {
        let name = resource.split(' ').nth(1).unwrap();
        ELSEWHERE
            .iter()
            .any(|(known, _)| *known == name || known.strip_prefix('*').is_some_and(|end| name.ends_with(end)))
    };
    let leading: BTreeSet<_> = leading.into_iter().filter(|resource| !elsewhere(resource)).collect();
    assert_eq!(leading, ruled());
}

/// What the webhook's rules name, as [`Api::writes`] does.
fn ruled() -> BTreeSet<String> {
    let configuration = deploy::object("webhooks.yaml", "ValidatingWebhookConfiguration");
    let mut ruled = BTreeSet::new();
    for rule in configuration["webhooks"][0]["rules"].as_array().unwrap() {
        let texts = |key: &str| rule[key].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
        for (group, resource) in
            texts("apiGroups").flat_map(|group| texts("resources").map(move |r| (group.clone(), r)))
        {
            let version = rule["apiVersions"][0].as_str().unwrap();
            let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
            ruled.insert(format!("{group_version} {resource}"));
        }
    }
    ruled
}

#[test]
fn the_self_guard_names_every_field_of_a_webhook_but_the_authority() {
    let api = Api::read(Cluster::shared().admin());
    let objects = helm::template("pratique", "here", &[]).unwrap();
    let guard = helm::find(&objects, "ValidatingAdmissionPolicy", "pratique-self-guard").to_string();
    let mut fields = BTreeSet::new();
    for schema in ["ValidatingWebhook", "MutatingWebhook", "WebhookClientConfig"] {
        let schema = &api.schemas[&format!("io.k8s.api.admissionregistration.v1.{schema}")];
        fields.extend(schema["properties"].as_object().unwrap().keys().cloned());
    }
    for field in fields {
        let named = guard.contains(&format!(".{field} == old.")) || guard.contains(&format!(".?{field} == old."));
        assert_eq!(named, !["caBundle", "clientConfig"].contains(&field.as_str()), "{field}");
    }
}

#[test]
fn a_custom_kind_is_judged_where_its_configuration_says() {
    let cluster = Cluster::shared();
    let name = "custom-kind";
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "flows.pratique.example"},
        "spec": {
            "group": "pratique.example", "scope": "Namespaced",
            "names": {"kind": "Flow", "plural": "flows", "singular": "flow"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    });
    cluster.admin().apply(&crd).succeeded();
    cluster.admin().ok("wait --for=condition=Established crd/flows.pratique.example --timeout=60s");
    let values = [
        "customKinds[0].group=pratique.example",
        "customKinds[0].version=v1",
        "customKinds[0].resource=flows",
        "customKinds[0].kind=Flow",
        "customKinds[0].podSpecs={spec.template.spec}",
        "customKinds[0].images={spec.steps[*].image}",
    ];
    let objects = helm::template("pratique", "here", &values).unwrap();
    let deployment = helm::find(&objects, "Deployment", "pratique");
    let args = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    const KIND: &str =
        "--custom-kind=pratique.example/v1/flows/Flow:podSpec=spec.template.spec,image=spec.steps[*].image";
    assert!(args.contains(&json!(KIND)), "{args:?}");

    let images = Images::shared();
    let settings = Settings::file(cluster, name, &images.chain, &images.chain.policy()).options(&[KIND]);
    let webhook = Webhook::start(cluster, name, &settings, &[]);
    let rendered = helm::find(&objects, "ConfigMap", "pratique-webhooks-apply")["data"]["webhooks.yaml"].clone();
    let rendered: Vec<Value> = serde_saphyr::from_multiple(rendered.as_str().unwrap()).unwrap();
    webhook.configurations.edit(|entries| {
        entries[0]["rules"] = rendered[0]["webhooks"][0]["rules"].clone();
        entries[0]["matchConditions"] = rendered[0]["webhooks"][0]["matchConditions"].clone();
    });
    let flow = |good: &str, step: &str| {
        json!({"apiVersion": "pratique.example/v1", "kind": "Flow", "metadata": {"name": "flow"}, "spec": {
            "template": {"spec": {"containers": [{"name": "a", "image": good}]}}, "steps": [{"image": step}],
        }})
    };
    let good = images.good.as_str();
    let bad = "vendor.example/tool:1";
    let text = wait::until("the rule is in effect", || {
        let output = webhook.kubectl.apply(&flow(good, bad));
        if output.code == Some(0) {
            webhook.kubectl.run("delete flow flow");
            return Err("admitted".to_owned());
        }
        Ok(output.stderr)
    });
    assert!(text.contains("spec.steps[0].image: vendor.example/tool:1"), "{text}");
    let text = webhook.kubectl.apply(&flow(bad, good)).refused();
    assert!(text.contains("spec.template.spec.containers[0].image: vendor.example/tool:1"), "{text}");
    webhook.kubectl.apply(&flow(good, good)).succeeded();
    let calls = webhook.calls("verify");
    webhook.kubectl.ok("label flow flow note=x");
    assert_eq!(webhook.calls("verify"), calls, "a label is no matter of the webhook");
    let text = webhook.kubectl.patch("flow/flow", &json!({"spec": {"steps": [{"image": bad}]}})).refused();
    assert!(text.contains("spec.steps[0].image"), "{text}");
}
