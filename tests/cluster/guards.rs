//! The ValidatingAdmissionPolicies of `deploy/`: what holds without the webhook.

use serde_json::{Value, json};

use crate::support::{
    cluster::Cluster,
    deploy::{self, Place},
    kubectl::Kubectl,
    objects, wait,
};

const FOREIGN: &str = "vendor.example/tool:1";

fn pod_with(image: &str, list: &str, item: Value) -> Value {
    let mut pod = objects::pod("other", image);
    pod["spec"][list] = json!([item]);
    pod
}

/// In every place where a Pod can name an image, `bad` is refused and `good` is not.
fn holds_everywhere(kubectl: &Kubectl, good: &str, bad: &str, message: &str) {
    let refused = |output: crate::support::kubectl::Output, list: &str| {
        let text = output.refused();
        assert!(text.contains(&format!("denied request: {message} ({list})")), "{text}");
    };
    wait::until("the policy is in effect", || match kubectl.dry_run(&objects::pod("probe", bad)).code {
        Some(0) => Err("admitted".to_owned()),
        _ => Ok(()),
    });
    kubectl.apply(&objects::pod("good", good)).succeeded();
    refused(kubectl.apply(&objects::pod("other", bad)), "containers");
    let init = json!({"name": "init", "image": bad});
    refused(kubectl.apply(&pod_with(good, "initContainers", init)), "initContainers");
    let volume = json!({"name": "data", "image": {"reference": bad}});
    refused(kubectl.apply(&pod_with(good, "volumes", volume)), "volumes");
    refused(kubectl.run(&format!("debug good --image={bad} -c debugger")), "ephemeralContainers");
    kubectl.ok(&format!("debug good --image={good} -c debugger"));
    refused(kubectl.run(&format!("set image pod/good app={bad}")), "containers");
    // What ran before can still be labelled, and deleted.
    kubectl.ok("label pod/old note=x");
    kubectl.ok("delete pod/old");
}

#[test]
fn in_our_own_namespace_only_our_own_image_runs() {
    let cluster = Cluster::shared();
    let place = Place::of("guard-own");
    let own = cluster.namespace(&place.own);
    own.apply(&objects::pod("old", FOREIGN)).succeeded();
    let container = &deploy::object("install.yaml", "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap();
    deploy::install_policy(cluster.admin(), "guard.yaml", &place);
    holds_everywhere(&own, image, FOREIGN, "only the image of pratique runs in its namespace");
}

#[test]
fn where_digests_are_demanded_no_pod_names_a_tag() {
    let cluster = Cluster::shared();
    let place = Place::of("guard-digests");
    let kubectl = cluster.namespace(&place.enforced);
    kubectl.apply(&objects::pod("old", FOREIGN)).succeeded();
    deploy::install_policy(cluster.admin(), "digests.yaml", &place);
    let digest = "@sha256:".to_owned() + &"0123456789abcdef".repeat(4);
    let good = format!("registry.example/team/app:1{digest}");
    holds_everywhere(&kubectl, &good, FOREIGN, "images are named by digest here");
    let misleading = format!("registry.example/team/app{digest}a");
    kubectl.apply(&objects::pod("other", &misleading)).refused();
}

#[test]
fn the_policies_are_sound_for_the_api_server() {
    let cluster = Cluster::shared();
    let place = Place::of("guard-sound");
    for (file, name) in [("guard.yaml", "pratique-own-images"), ("digests.yaml", "pratique-digests")] {
        deploy::install_policy(cluster.admin(), file, &place);
        let policy = format!("validatingadmissionpolicy/{name}-{}", place.enforced);
        let checked = wait::until("the API server has checked the types", || {
            let status = cluster.admin().json(&policy)["status"].clone();
            if status["observedGeneration"].is_u64() { Ok(status) } else { Err(status.to_string()) }
        });
        assert_eq!(checked["typeChecking"], json!({}), "{file}");
    }
}
