//! The policy is edited while the webhook runs, by an admin who makes mistakes.

use std::time::Duration;

use crate::support::{
    cluster::Cluster,
    deploy,
    images::Images,
    objects, wait,
    webhook::{Settings, Webhook, config_map},
};

/// How soon an edit has to be in force.
const PROMPTLY: Duration = Duration::from_secs(2);
const VENDOR: &str = "vendor.example/tool:1";

fn start(name: &str) -> (Webhook, String) {
    let cluster = Cluster::shared();
    let chain = &Images::shared().chain;
    let settings = Settings::config_maps(cluster, name, chain, &chain.policy());
    (Webhook::start(cluster, name, &settings, &[]), chain.policy())
}

/// The policy with an exemption for a vendor's images in one namespace.
fn with_exemption(policy: &str, namespace: &str) -> String {
    let rule = format!(
        "rules:
  - name: vendor
    match: {{namespaces: [{namespace}], images: [\"vendor.example/*\"]}}
    allow: not signed yet
    until: 2999-01-01T00:00:00Z
"
    );
    policy.replacen("rules:\n", &rule, 1)
}

#[test]
fn an_edit_is_in_force_within_two_seconds_without_a_restart() {
    let (webhook, policy) = start("edit");
    let own = Cluster::shared().admin().namespace(&webhook.place.own);
    let pod = objects::pod("app", VENDOR);
    let text = webhook.kubectl.dry_run(&pod).refused();
    assert!(text.contains("[policy/no-rule]"), "{text}");

    let edited = with_exemption(&policy, &webhook.place.enforced);
    own.apply(&config_map("pratique-policy", "policy.yaml", &edited)).succeeded();
    wait::within(PROMPTLY, "the edit is in force", || webhook.kubectl.dry_run(&pod).result());
    webhook.kubectl.apply(&objects::pod("exempt", VENDOR)).succeeded();
    let log = Cluster::shared().audit_log(&webhook.place.enforced);
    let created = log.iter().find(|event| event["objectRef"]["name"] == "exempt").unwrap();
    assert!(created["annotations"]["verify.pratique.dev/weak"].is_string(), "{created}");

    own.apply(&config_map("pratique-policy", "policy.yaml", &policy)).succeeded();
    wait::within(PROMPTLY, "the edit is undone", || match webhook.kubectl.dry_run(&pod).code {
        Some(0) => Err("still admitted".to_owned()),
        _ => Ok(()),
    });
}

#[test]
fn a_policy_that_does_not_load_is_refused_with_its_line() {
    let (webhook, policy) = start("bad-edit");
    let own = Cluster::shared().admin().namespace(&webhook.place.own);
    let bad = policy.replacen("default: deny", "default: refuse", 1);
    let text = own.apply(&config_map("pratique-policy", "policy.yaml", &bad)).refused();
    assert!(text.contains("admission webhook \"policy.pratique.dev\" denied the request: "), "{text}");
    assert!(text.contains("policy.yaml:12:10: default: "), "{text}");
}

#[test]
fn a_bad_policy_that_came_in_all_the_same_leaves_the_last_good_one_in_force() {
    let (webhook, policy) = start("kept");
    let own = Cluster::shared().admin().namespace(&webhook.place.own);
    webhook.configurations.edit(|entries| entries.retain(|entry| entry["name"] != "policy.pratique.dev"));
    let bad = config_map("pratique-policy", "policy.yaml", &policy.replacen("version: 1", "version: 7", 1));
    wait::until("the edit is no longer refused", || own.apply(&bad).result());

    wait::within(PROMPTLY, "the edit is noticed", || match webhook.metric("pratique_policy_stale") {
        1 => Ok(()),
        _ => Err(webhook.log()),
    });
    assert_eq!(webhook.metric("pratique_policy_loads_total{outcome=\"kept\"}"), 1);
    assert!(webhook.log().contains("the new policy does not load, the last good one stays"), "{}", webhook.log());
    let note = wait::until("the event is written", || {
        let events = own.json("events");
        let events = events["items"].as_array().unwrap();
        let event = events.iter().find(|event| event["reason"] == "PolicyRejected").ok_or_else(|| webhook.log())?;
        assert_eq!(event["involvedObject"]["name"], "pratique-policy");
        assert_eq!(event["type"], "Warning");
        Ok(event["message"].as_str().unwrap().to_owned())
    });
    assert!(note.contains("version"), "{note}");

    let images = Images::shared();
    webhook.kubectl.apply(&objects::pod("app", &images.good)).succeeded();
    webhook.kubectl.apply(&objects::pod("stolen", &images.stolen)).refused();
    webhook.ready().unwrap();

    own.apply(&config_map("pratique-policy", "policy.yaml", &policy)).succeeded();
    wait::within(PROMPTLY, "the mended policy is in force", || match webhook.metric("pratique_policy_stale") {
        0 => Ok(()),
        _ => Err(webhook.log()),
    });
}

#[test]
fn the_example_is_a_policy_and_has_the_roots_that_it_names() {
    let objects = deploy::objects("policy.yaml");
    let policy = pratique::policy::Policy::parse(objects[0]["data"]["policy.yaml"].as_str().unwrap()).unwrap();
    for (name, repository) in policy.repositories() {
        let root = &objects[1]["data"][repository.root.as_str()];
        assert!(root.is_string(), "no root of {name}");
    }
    assert_eq!(objects[1]["immutable"], true);
}
