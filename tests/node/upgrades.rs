//! Upgrades and rollbacks: other values are in force, what the program keeps is as it was, and no review is lost.

use serde_json::{Value, json};

use crate::{
    story::Story,
    support::{objects, releases::NAME},
};

/// What belongs to the program, or to nobody: no upgrade may touch it.
fn kept(story: &Story) -> Vec<Value> {
    let own = |what: &str| story.own.json(what)["data"].clone();
    let roots = story.own.json("configmaps --selector=app.kubernetes.io/instance=pratique");
    let roots = roots["items"].as_array().unwrap().iter().filter(|object| object["immutable"] == true);
    let roots: Vec<_> = roots.map(|object| object["data"].clone()).collect();
    assert_eq!(roots.len(), 1);
    let bundle = |kind: &str| {
        let configuration = story.cluster.admin.json(&format!("{kind}webhookconfiguration/pratique"));
        configuration["webhooks"][0]["clientConfig"]["caBundle"].clone()
    };
    vec![
        own("secret/pratique-tls"),
        own("configmap/pratique-trust-shop"),
        json!(roots),
        bundle("validating"),
        bundle("mutating"),
    ]
}

fn policy(story: &Story) -> Value {
    let data = story.own.json("configmap/pratique-policy")["data"].clone();
    serde_saphyr::from_str(data["policy.yaml"].as_str().unwrap()).unwrap()
}

pub(crate) fn and_rollbacks_lose_no_review(story: &Story) {
    let before = kept(story);

    let stream = story.stream();
    let mut values = story.values();
    values["log"] = json!({"format": "text"});
    values["pin"] = json!("all");
    values["policy"]["rules"][0]["name"] = json!("renamed");
    // The policy was edited by hand before, and helm does not write over that unasked.
    let text = story.helm.apply("upgrade", &values).refused();
    assert!(text.contains("conflict with \"kubectl-patch\" using v1: .data.policy.yaml"), "{text}");
    assert_eq!(policy(story), story.releases.policy(&[]));
    story.helm.apply("upgrade --force-conflicts", &values).succeeded();
    story.settled();
    let reviews = stream.end();
    story.said(&format!("an upgrade: {reviews} reviews, none lost"));
    assert!(reviews > 100);
    assert_eq!(kept(story), before);
    let text = story.shop.dry_run(&objects::pod("bad", &story.images.stolen.reference())).refused();
    assert!(text.contains("rule \"renamed\""), "{text}");
    let template = objects::deployment("pinned", &format!("{NAME}:1.1"), 0);
    let pinned = || {
        let printed = story.shop.dry_run(&template).succeeded();
        let object: Value = serde_json::from_str(&printed).unwrap();
        object["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(pinned(), story.images.newer.reference());

    let stream = story.stream();
    story.helm.run("rollback pratique 1 --wait").succeeded();
    story.settled();
    let reviews = stream.end();
    story.said(&format!("a rollback: {reviews} reviews, none lost"));
    assert!(reviews > 100);
    assert_eq!(kept(story), before);
    assert_eq!(policy(story), story.releases.policy(&[]));
    assert_eq!(pinned(), format!("{NAME}:1.1"));
}
