//! `pratique doctor` at a real API server, with the rights that the chart's test has.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{cluster::Cluster, helm, objects};

/// The exit status, and the findings that are not good.
fn doctor(kubeconfig: &Path, name: &str) -> (Option<i32>, Vec<String>) {
    let mut pratique = Command::new(env!("CARGO_BIN_EXE_pratique"));
    pratique.args(["doctor", "--namespace", name, "--name", name, "--format=json"]);
    let output = pratique.env_clear().env("KUBECONFIG", kubeconfig).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "");
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let wrong = findings.iter().filter(|finding| finding["level"] != "good");
    let text = |finding: &Value| {
        let member = |name: &str| finding[name].as_str().unwrap().to_owned();
        format!("{} {}: {}", member("level"), member("check"), member("text"))
    };
    (output.status.code(), wrong.map(text).collect())
}

#[test]
fn doctor_sees_with_the_rights_of_the_helm_test_what_could_lock_the_cluster_out() {
    let cluster = Cluster::shared();
    let name = "doctor";
    let own = cluster.namespace(name);
    let values = [
        "fullnameOverride=doctor",
        "webhooks.install=plain",
        "bootstrapNamespaces={kube-system,doctor-open}",
        "replicas=1",
    ];
    let rendered = helm::template(name, name, &values).unwrap();
    for object in &rendered {
        let mut object = object.clone();
        // There is no node for the Pod of the test.
        if object["kind"] == "Pod" {
            continue;
        }
        for entry in object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
            entry["namespaceSelector"]["matchExpressions"].as_array_mut().unwrap().push(json!({
                "key": "kubernetes.io/metadata.name", "operator": "In", "values": ["doctor-closed"],
            }));
        }
        own.feed("apply --server-side -f -", &object.to_string()).succeeded();
    }
    let (_, kubeconfig) = cluster.service_account(name, "doctor-doctor");
    let (code, findings) = doctor(&kubeconfig, name);
    assert_eq!(code, Some(1), "{findings:#?}");
    let starts = |text: &str| findings.iter().any(|finding| finding.starts_with(text));
    assert!(starts("error deployment: 0 of 1 pods are available"), "{findings:#?}");
    assert!(starts("error webhooks: verify.pratique.dev has no caBundle"), "{findings:#?}");
    assert!(!starts("warning guard") && !starts("error policy") && !starts("error roots"), "{findings:#?}");

    // DNS where Pods cannot be created while the webhook is down, and the repository as well.
    let closed = cluster.namespace("doctor-closed");
    cluster.admin().run("delete validatingwebhookconfiguration doctor").succeeded();
    let mut dns = objects::pod("dns", "registry.example/dns:1");
    dns["metadata"]["labels"] = json!({"k8s-app": "kube-dns"});
    closed.apply(&dns).succeeded();
    let mut policy = own.json("configmap/doctor-policy");
    let text = policy["data"]["policy.yaml"].as_str().unwrap().replace("tuf.acme.example", "tuf.doctor-closed.svc");
    policy["data"]["policy.yaml"] = json!(text);
    own.feed("replace -f -", &policy.to_string()).succeeded();
    let configuration = helm::find(&rendered, "ValidatingWebhookConfiguration", name);
    let mut configuration = configuration.clone();
    configuration["webhooks"][0]["namespaceSelector"] = json!({"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["doctor-closed"]},
    ]});
    configuration["webhooks"].as_array_mut().unwrap().truncate(1);
    own.apply(&configuration).succeeded();
    let (code, findings) = doctor(&kubeconfig, name);
    assert_eq!(code, Some(1));
    let all = findings.join("\n");
    for said in [
        "error coming-up: DNS runs in namespace doctor-closed, which is closed while the webhook is down",
        "error coming-up: tuf.doctor-closed.svc is served from namespace doctor-closed",
        "warning pod-security: 1 enforced namespaces have no pod-security.kubernetes.io/enforce: doctor-closed",
    ] {
        assert!(all.contains(said), "{all}");
    }
    cluster.admin().ok("delete validatingwebhookconfiguration,mutatingwebhookconfiguration doctor");
}

#[test]
fn without_an_api_server_doctor_knows_nothing_and_says_so() {
    let folder = Cluster::shared().folder("doctor-nowhere");
    let kubeconfig = folder.join("kubeconfig");
    let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "x", "user": {"token": "x"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]});
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    let mut pratique = Command::new(env!("CARGO_BIN_EXE_pratique"));
    let output = pratique.arg("doctor").env_clear().env("KUBECONFIG", &kubeconfig).output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(2), Vec::new()));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: /version: "));
}
