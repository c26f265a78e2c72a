//! `kubectl pratique`: the program as a plugin of kubectl.

use std::{os::unix::fs::symlink, process::Command};

use serde_json::json;

use crate::support::{
    cluster::Cluster,
    images::Images,
    objects, wait,
    webhook::{Settings, Webhook},
};

/// Runs `kubectl pratique …` as a user with the plugin on the PATH.
fn plugin(command: &str) -> (Option<i32>, String, String) {
    let cluster = Cluster::shared();
    let folder = cluster.folder("plugin");
    // Another test may have put it there.
    let _ = symlink(env!("CARGO_BIN_EXE_pratique"), folder.join("kubectl-pratique"));
    let mut kubectl = Command::new(cluster.kubectl());
    kubectl.arg("pratique").args(command.split_whitespace()).env_clear().env("PATH", &folder);
    let output = kubectl.env("KUBECONFIG", cluster.admin_kubeconfig()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn why_says_what_the_cluster_refused_and_what_it_would_say_now() {
    let cluster = Cluster::shared();
    let images = Images::shared();
    let name = "plugin-why";
    let settings = Settings::file(cluster, name, &images.chain, &images.chain.policy());
    let before = [
        objects::deployment("stolen", &images.stolen, 1),
        objects::deployment("good", &images.good, 0),
        objects::pod("old", &images.unknown),
    ];
    // They are there before the webhook is, and scaled up from nothing after it.
    let before = before.map(|mut object| {
        if object["kind"] == "Deployment" {
            object["spec"]["replicas"] = json!(0);
        }
        object
    });
    let webhook = Webhook::start(cluster, name, &settings, &before);
    webhook.kubectl.ok("scale deployment/stolen --replicas=1");
    wait::until("the controller is refused a Pod", || {
        let events = webhook.kubectl.ok("get events");
        if events.contains("denied the request") { Ok(()) } else { Err(events) }
    });

    let (code, said, _) = plugin(&format!("why deploy/stolen -n {name}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.starts_with("deployment/stolen in namespace plugin-why: a Pod of it would be refused now\n"),
        "{said}"
    );
    assert!(said.contains("\n  [in-toto/threshold-not-met] spec.containers[0].image: "), "{said}");
    assert!(said.contains("\nlast refused 2") && said.contains(" times), replicaset/stolen-"), "{said}");

    let (code, said, _) = plugin(&format!("why deploy/good -n {name}"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("a Pod of it would be created now\nno Event says that one was refused"), "{said}");
    let (code, said, _) = plugin(&format!("why pod/old -n {name}"));
    assert!(code == Some(1) && said.contains("[image/unknown]"), "{said}");

    let (code, _, said) = plugin(&format!("why deploy/missing -n {name}"));
    assert_eq!((code, said.contains("\"missing\" not found")), (Some(2), true), "{said}");
    let (code, _, said) = plugin("why service/x");
    assert_eq!((code, said.contains("no kind with Pods")), (Some(2), true), "{said}");
}
