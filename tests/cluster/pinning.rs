//! Tags become digests on the way in, and what becomes of them is judged like anything else.

use crate::support::{
    chain::NAME,
    cluster::Cluster,
    images::Images,
    objects, wait,
    webhook::{Settings, Webhook},
};

fn start(name: &str) -> (Webhook, &'static Images) {
    let cluster = Cluster::shared();
    let images = Images::shared();
    let settings = Settings::file(cluster, name, &images.chain, &images.chain.policy()).pin("pods");
    (Webhook::start(cluster, name, &settings, &[]), images)
}

/// `name:tag@sha256:…` for an image by digest.
fn pinned(tag: &str, reference: &str) -> String {
    reference.replacen('@', &format!(":{tag}@"), 1)
}

#[test]
fn a_tag_becomes_the_digest_that_is_signed_for_it() {
    let (webhook, images) = start("pin-tag");
    webhook.kubectl.apply(&objects::pod("app", &format!("{NAME}:1.4"))).succeeded();
    assert_eq!(webhook.kubectl.json("pod/app")["spec"]["containers"][0]["image"], pinned("1.4", &images.good));
}

#[test]
fn a_tag_that_stolen_online_keys_signed_is_refused_by_what_the_functionaries_did_not_sign() {
    let (webhook, images) = start("pin-stolen");
    let text = webhook.kubectl.apply(&objects::pod("app", &format!("{NAME}:stolen"))).refused();
    assert!(text.contains("1 of 1 image refused: [in-toto/threshold-not-met] "), "{text}");
    assert!(text.contains(&format!("spec.containers[0].image: {}\n", pinned("stolen", &images.stolen))), "{text}");
    let text = webhook.kubectl.run("get pod/app").refused();
    assert!(text.contains("NotFound"), "{text}");
}

#[test]
fn a_tag_that_nobody_signed_stays_a_tag_and_is_refused() {
    let (webhook, _) = start("pin-unsigned");
    let text = webhook.kubectl.apply(&objects::pod("app", &format!("{NAME}:9.9"))).refused();
    assert!(text.contains("1 of 1 image refused: [image/unknown-tag] "), "{text}");
    assert!(text.contains(&format!("spec.containers[0].image: {NAME}:9.9\n")), "{text}");
}

#[test]
fn a_template_keeps_its_tag_and_the_pods_made_from_it_run_the_digest() {
    let (webhook, images) = start("pin-template");
    webhook.kubectl.apply(&objects::deployment("app", &format!("{NAME}:1.4"), 1)).succeeded();
    let image = wait::until("the pod is made", || {
        let pods = webhook.kubectl.json("pods");
        let image = pods["items"][0]["spec"]["containers"][0]["image"].as_str().map(str::to_owned);
        image.ok_or_else(|| webhook.kubectl.ok("describe replicasets"))
    });
    assert_eq!(image, pinned("1.4", &images.good));
    let deployment = webhook.kubectl.json("deployment/app");
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], format!("{NAME}:1.4"));
}

#[test]
fn in_a_pod_that_runs_only_the_new_ephemeral_container_is_pinned() {
    let (webhook, images) = start("pin-debug");
    webhook.kubectl.apply(&objects::pod("app", &images.newer)).succeeded();
    webhook.kubectl.ok(&format!("debug app --image={NAME}:1.4 -c debugger"));
    let spec = &webhook.kubectl.json("pod/app")["spec"];
    assert_eq!(spec["ephemeralContainers"][0]["image"], pinned("1.4", &images.good));
    assert_eq!(spec["containers"][0]["image"], *images.newer);
}
