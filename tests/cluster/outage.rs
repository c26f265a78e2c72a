//! While the webhook is down: what cannot change an image passes, what names images is refused.
//!
//! A request passes if and only if the webhook is not called, so this is also the test of the matchConditions. One
//! that errors would refuse with another text than [`CALLED`].

use serde_json::{Value, json};

use crate::support::{
    cluster::Cluster,
    deploy::{Place, Webhooks},
    kubectl::{Kubectl, Output},
    objects, wait,
};

const IMAGE: &str = "registry.example/team/app:1";

/// Namespaces, objects in them from before the outage, and then webhooks that do not answer.
fn outage(name: &str, before: &[Value]) -> (Place, Kubectl, Webhooks) {
    let cluster = Cluster::shared();
    let place = Place::of(name);
    let kubectl = cluster.namespace(name);
    for object in before {
        kubectl.apply(object).succeeded();
    }
    let webhooks = Webhooks::install(cluster, &place, Webhooks::NOWHERE);
    (place, kubectl, webhooks)
}

#[track_caller]
fn called(output: Output) {
    let text = output.refused();
    let call = "failed calling webhook \"verify.pratique.dev\": failed to call webhook: \
                Post \"https://127.0.0.1:1/verify?timeout=10s\": dial tcp 127.0.0.1:1: connect: connection refused";
    assert!(text.contains(call), "{text}");
}

fn kind_and_name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_lowercase();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// A merge patch that sets the member at `path`.
fn at(path: &[&str], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, &name| json!({name: inner}))
}

#[test]
fn creating_any_kind_that_names_images_fails_closed() {
    let (_, kubectl, _webhooks) = outage("outage-create", &[]);
    called(kubectl.apply(&objects::pod("app", IMAGE)));
    for (object, _) in objects::templates("app", IMAGE) {
        called(kubectl.apply(&object));
    }
}

#[test]
fn a_controller_without_a_template_is_refused_before_anybody_is_asked() {
    let (_, kubectl, _webhooks) = outage("outage-no-template", &[]);
    let empty = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "app"},
        "spec": {"replicas": 0, "selector": {"app": "app"}}});
    let text = kubectl.apply(&empty).refused();
    assert!(text.ends_with("is invalid: spec.template: Required value\n"), "{text}");
}

/// A foreign kind that is called like one of ours, and keeps its images elsewhere: no condition may speak for it.
#[test]
fn a_kind_that_no_condition_names_is_asked_about_at_every_change() {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "jobs.tests.example"},
        "spec": {
            "group": "tests.example", "scope": "Namespaced",
            "names": {"kind": "Job", "plural": "jobs", "singular": "job"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    let admin = Cluster::shared().admin();
    admin.apply(&definition).succeeded();
    admin.ok("wait --for=condition=Established customresourcedefinition/jobs.tests.example --timeout=60s");
    let job = json!({"apiVersion": "tests.example/v1", "kind": "Job", "metadata": {"name": "app"},
        "spec": {"tasks": [{"image": IMAGE}]}});
    let (_, kubectl, webhooks) = outage("outage-foreign", &[job]);
    webhooks.edit(|entries| {
        let rule = json!({"apiGroups": ["tests.example"], "apiVersions": ["v1"], "resources": ["jobs"],
            "operations": ["CREATE", "UPDATE"], "scope": "Namespaced"});
        entries[0]["rules"].as_array_mut().unwrap().push(rule);
    });
    let annotate = || kubectl.run("annotate jobs.tests.example/app note=x --dry-run=server --overwrite");
    wait::until("the rule is in effect", || match annotate().code {
        Some(0) => Err("not called".to_owned()),
        _ => Ok(()),
    });
    called(annotate());
    called(kubectl.patch("jobs.tests.example/app", &json!({"spec": {"tasks": []}})));
}

#[test]
fn changing_a_template_fails_closed_and_changing_anything_else_passes() {
    let kinds = objects::templates("app", IMAGE);
    let before: Vec<Value> = kinds.iter().map(|(object, _)| object.clone()).collect();
    let (_, kubectl, _webhooks) = outage("outage-templates", &before);
    for (object, template) in &kinds {
        let name = kind_and_name(object);
        println!("{name}");
        kubectl.ok(&format!("annotate {name} note=x"));
        kubectl.ok(&format!("label {name} note=x"));
        let finalizers = |list: Value| kubectl.patch(&name, &at(&["metadata", "finalizers"], list));
        finalizers(json!(["tests.example/held"])).succeeded();
        finalizers(json!([])).succeeded();
        // The one thing that may be changed in the template of every kind.
        called(kubectl.patch(&name, &at(template, json!({"metadata": {"annotations": {"note": "x"}}}))));
    }
    for (name, spec) in [
        ("deployment/app", json!({"replicas": 1})),
        ("replicaset/app", json!({"replicas": 1})),
        ("statefulset/app", json!({"replicas": 1})),
        ("daemonset/app", json!({"minReadySeconds": 1})),
        ("replicationcontroller/app", json!({"replicas": 1})),
        ("job/app", json!({"parallelism": 2})),
        ("cronjob/app", json!({"schedule": "0 0 2 1 *"})),
    ] {
        println!("{name}");
        kubectl.patch(name, &json!({"spec": spec})).succeeded();
    }
}

#[test]
fn changing_the_spec_of_a_pod_fails_closed_and_changing_its_metadata_passes() {
    let (_, kubectl, _webhooks) = outage("outage-pod", &[objects::pod("app", IMAGE)]);
    kubectl.ok("annotate pod/app note=x");
    kubectl.ok("label pod/app note=x");
    called(kubectl.run("set image pod/app app=registry.example/team/app:2"));
    called(kubectl.patch("pod/app", &json!({"spec": {"activeDeadlineSeconds": 100}})));
    called(kubectl.run("debug app --image=registry.example/team/debug:1 -c debugger"));
}

#[test]
fn a_held_pod_is_released_and_gone() {
    let mut held = objects::pod("app", IMAGE);
    held["metadata"]["finalizers"] = json!(["tests.example/held"]);
    let (_, kubectl, _webhooks) = outage("outage-finalizer", &[held]);
    kubectl.ok("delete pod/app --wait=false");
    assert!(kubectl.json("pod/app")["metadata"]["deletionTimestamp"].is_string());
    kubectl.patch("pod/app", &json!({"metadata": {"finalizers": []}})).succeeded();
    let text = kubectl.run("get pod/app").refused();
    assert_eq!(text, "Error from server (NotFound): pods \"app\" not found\n");
}

#[test]
fn a_deployment_is_scaled_down_and_deleted_and_its_controllers_follow() {
    let (_, kubectl, _webhooks) = outage("outage-scale", &[objects::deployment("app", IMAGE, 0)]);
    let replicas = |what: &str, wanted: u64| {
        wait::until(what, || {
            let sets = kubectl.json("replicasets");
            let found = sets["items"][0]["spec"]["replicas"].as_u64();
            if found == Some(wanted) { Ok(()) } else { Err(format!("{found:?} replicas")) }
        });
    };
    // The ReplicaSet follows, its Pods do not come.
    kubectl.ok("scale deployment/app --replicas=2");
    replicas("scaled up", 2);
    kubectl.ok("scale deployment/app --replicas=0");
    replicas("scaled down", 0);
    assert_eq!(kubectl.json("pods")["items"], json!([]));
    // The garbage collector changes the metadata of Deployment and ReplicaSets.
    kubectl.ok("delete deployment/app --cascade=foreground --timeout=60s");
    assert_eq!(kubectl.json("replicasets")["items"], json!([]));
}

#[test]
fn the_largest_objects_do_not_cost_a_condition_too_much() {
    let mut large = objects::pod("app", IMAGE);
    let value = "x".repeat(1_000);
    let env: Vec<Value> = (0..1_000).map(|n| json!({"name": format!("N{n}"), "value": value})).collect();
    large["spec"]["containers"][0]["env"] = json!(env);
    let create = large.to_string();
    let cluster = Cluster::shared();
    let kubectl = cluster.namespace("outage-large");
    kubectl.feed("create -f -", &create).succeeded();
    let _webhooks = Webhooks::install(cluster, &Place::of("outage-large"), Webhooks::NOWHERE);
    kubectl.ok("annotate pod/app note=x");
    called(kubectl.patch("pod/app", &json!({"spec": {"activeDeadlineSeconds": 100}})));
}

#[test]
fn bootstrap_namespaces_stay_open_and_the_audit_log_says_so() {
    let cluster = Cluster::shared();
    let place = Place::of("outage-bootstrap");
    let bootstrap = cluster.namespace(&place.bootstrap);
    let (_, _, _webhooks) = outage("outage-bootstrap", &[]);
    bootstrap.apply(&objects::pod("app", IMAGE)).succeeded();
    let log = cluster.audit_log(&place.bootstrap);
    let created = log.iter().find(|event| event["objectRef"]["resource"] == "pods").unwrap();
    let annotations = created["annotations"].as_object().unwrap().iter();
    let opened: Vec<&Value> =
        annotations.filter(|(key, _)| key.starts_with("failed-open.")).map(|(_, by)| by).collect();
    assert_eq!(opened, ["pin.pratique.dev", "bootstrap.pratique.dev"]);
}

#[test]
fn the_webhook_itself_can_start_and_its_policy_be_mended() {
    let cluster = Cluster::shared();
    let own = cluster.namespace("outage-own-system");
    let (_, _, _webhooks) = outage("outage-own", &[]);
    own.apply(&objects::pod("app", IMAGE)).succeeded();
    own.ok("create configmap pratique-policy --from-literal=policy.yaml=x");
}

#[test]
fn only_the_policy_is_asked_about_among_the_config_maps() {
    let cluster = Cluster::shared();
    let own = cluster.namespace("outage-policy-system");
    let (place, _, _webhooks) = outage("outage-policy", &[]);
    own.ok("create configmap pratique-policy --from-literal=policy.yaml=x");
    own.ok("create configmap something --from-literal=policy.yaml=x");
    let generated = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "some-"}});
    own.feed("create -f -", &generated.to_string()).succeeded();
    let asked: Vec<(Value, bool)> = cluster
        .audit_log(&place.own)
        .iter()
        .filter(|event| event["objectRef"]["resource"] == "configmaps" && event["user"]["username"] == "admin")
        // A generated name is not in the log.
        .map(|event| {
            (event["objectRef"]["name"].clone(), event["annotations"].to_string().contains("policy.pratique.dev"))
        })
        .collect();
    let expected = [(json!("pratique-policy"), true), (json!("something"), false), (Value::Null, false)];
    assert_eq!(asked, expected);
}
