//! An edit of the policy is in force within seconds, and one that does not load is refused.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    story::Story,
    support::{kubectl::Output, objects, releases::NAME, wait},
};

/// The promise is two seconds, to which come the API server's own, and those of a machine that is busy otherwise.
const SOON: Duration = Duration::from_secs(10);

fn put(story: &Story, policy: &Value) -> Output {
    story.own.patch("configmap/pratique-policy", &json!({"data": {"policy.yaml": policy.to_string()}}))
}

pub(crate) fn of_the_policy_are_in_force_soon_or_refused(story: &Story) {
    let image = format!("{NAME}@{}", story.images.unknown.digest);
    let pod = objects::pod("edited", &image);
    let allow = json!({
        "name": "moved", "match": {"namespaces": ["shop"], "images": [image]}, "allow": "its supply chain is on its way",
        "until": "2099-01-01T00:00:00Z",
    });
    put(story, &story.releases.policy(&[allow])).succeeded();
    // Of three replicas each has to have it.
    in_force(|| story.shop.dry_run(&pod).code == Some(0));
    put(story, &story.releases.policy(&[])).succeeded();
    in_force(|| story.shop.dry_run(&pod).code == Some(1));

    let before = story.own.json("configmap/pratique-policy")["data"].clone();
    let mut bad = story.releases.policy(&[]);
    bad["rules"][0]["verify"]["layuot"] = json!("layouts/*");
    let text = put(story, &bad).refused();
    assert!(text.contains("admission webhook \"policy.pratique.dev\" denied the request: "), "{text}");
    assert!(text.contains("layuot"), "{text}");
    assert_eq!(story.own.json("configmap/pratique-policy")["data"], before);
    story.said("edits of the policy are in force soon, and bad ones are refused");
}

fn in_force(holds: impl Fn() -> bool) {
    wait::within(SOON, "the edit is in force", || {
        let all = (0..10).all(|_| holds());
        if all { Ok(()) } else { Err("not at every replica".to_owned()) }
    });
}
