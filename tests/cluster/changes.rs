//! Changes of what runs already: `kubectl set image`, `kubectl debug`, and the calls that are not made.

use serde_json::{Value, json};

use crate::support::{
    chain::NAME,
    cluster::Cluster,
    images::Images,
    objects,
    webhook::{Settings, Webhook},
};

fn start(name: &str, before: &[Value]) -> (Webhook, &'static Images) {
    let cluster = Cluster::shared();
    let images = Images::shared();
    let settings = Settings::file(cluster, name, &images.chain, &images.chain.policy());
    (Webhook::start(cluster, name, &settings, before), images)
}

#[test]
fn an_ephemeral_container_is_judged_and_the_pod_it_joins_is_not() {
    // From a time before the webhook: neither of its images would be admitted now.
    let mut old = objects::pod("old", "vendor.example/tool:1");
    objects::add_container(&mut old["spec"], "initContainers", "init", &Images::shared().unknown);
    let (webhook, images) = start("debug", &[old]);
    let debug = |name: &str, image: &str| webhook.kubectl.run(&format!("debug old --image={image} -c {name}"));

    let text = debug("unknown", &images.unknown).refused();
    assert!(text.contains("1 of 1 image refused: [image/unknown] "), "{text}");
    assert!(text.contains("spec.ephemeralContainers[0].image: "), "{text}");
    let text = debug("tag", &format!("{NAME}:1.4")).refused();
    assert!(text.contains("1 of 1 image refused: [image/not-pinned] "), "{text}");

    debug("good", &images.good).succeeded();
    let containers = &webhook.kubectl.json("pod/old")["spec"]["ephemeralContainers"];
    assert_eq!(containers.as_array().unwrap().len(), 1);
    assert_eq!(containers[0]["image"], *images.good);
}

#[test]
fn set_image_is_judged_by_the_image_that_it_sets() {
    let mut old = objects::deployment("old", "vendor.example/tool:1", 0);
    objects::add_container(&mut old["spec"]["template"]["spec"], "containers", "other", "vendor.example/other:1");
    let (webhook, images) = start("set-image", &[old]);
    let set = |image: &str| webhook.kubectl.run(&format!("set image deployment/old other={image}"));

    let text = set(&images.stolen).refused();
    let prefix = "error: failed to patch image update to pod template: admission webhook \"verify.pratique.dev\" \
                  denied the request: 1 of 1 image refused: [in-toto/threshold-not-met] ";
    assert!(text.starts_with(prefix), "{text}");
    assert!(text.contains("spec.template.spec.containers[1].image: "), "{text}");
    assert_eq!(set(&images.good).succeeded(), "deployment.apps/old image updated\n");
}

#[test]
fn the_webhook_is_called_for_every_change_of_images_and_for_no_other() {
    let (webhook, images) = start("calls", &[]);
    let kinds = objects::templates("app", &images.good);
    let pod = (objects::pod("app", &images.good), &[] as &[&str]);
    for (object, template) in kinds.iter().chain([&pod]) {
        let kind = object["kind"].as_str().unwrap().to_lowercase();
        let name = format!("{kind}/app");
        let before = webhook.calls("verify");
        webhook.kubectl.apply(object).succeeded();
        assert_eq!(webhook.calls("verify"), before + 1, "creation of {kind}");

        webhook.kubectl.ok(&format!("annotate {name} note=x"));
        webhook.kubectl.ok(&format!("label {name} note=x"));
        assert_eq!(webhook.calls("verify"), before + 1, "metadata of {kind}");

        let change = match template {
            [] => json!({"spec": {"activeDeadlineSeconds": 100}}),
            path => {
                let change = json!({"metadata": {"annotations": {"note": "x"}}});
                path.iter().rev().fold(change, |inner, &name| json!({name: inner}))
            }
        };
        webhook.kubectl.patch(&name, &change).succeeded();
        assert_eq!(webhook.calls("verify"), before + 2, "change of {kind}");
    }
    webhook.kubectl.ok(&format!("debug app --image={} -c debugger", images.good));
    webhook.kubectl.ok("delete pod/app");
}

#[test]
fn after_the_process_has_gone_creating_fails_closed_and_metadata_still_changes() {
    let (mut webhook, images) = start("gone", &[]);
    webhook.kubectl.apply(&objects::pod("app", &images.good)).succeeded();
    webhook.signal("KILL");
    assert_eq!(webhook.wait(), Some(128 + 9));
    let text = webhook.kubectl.apply(&objects::pod("other", &images.good)).refused();
    assert!(text.contains("failed calling webhook \"verify.pratique.dev\""), "{text}");
    assert!(text.contains("connect: connection refused"), "{text}");
    webhook.kubectl.ok("annotate pod/app note=x");
    webhook.kubectl.ok("delete pod/app");
}

#[test]
fn asked_to_end_it_ends_well() {
    let (mut webhook, _) = start("end", &[]);
    webhook.signal("TERM");
    assert_eq!(webhook.wait(), Some(0), "{}", webhook.log());
}
