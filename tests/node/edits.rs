//! An edit of the policy is in force within seconds, and one that does not load is refused.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    story::Story,
    support::{kubectl::Output, releases::NAME, wait},
};

/// The promise is two seconds, to which come the API server's own, and those of a machine that is busy otherwise.
const SOON: Duration = Duration::from_secs(10);

fn put(story: &Story, policy: &Value) -> Output {
    story.own.patch("configmap/pratique-policy", &json!({"data": {"policy.yaml": policy.to_string()}}))
}

pub(crate) fn of_the_policy_are_in_force_soon_or_refused(story: &Story) {
    let image = format!("{NAME}@{}", story.images.unknown.digest);
    let allow = json!({
        "name": "moved", "match": {"namespaces": ["shop"], "images": [image]}, "allow": "its supply chain is on its way",
        "until": "2099-01-01T00:00:00Z",
    });
    put(story, &story.releases.policy(&[allow])).succeeded();
    in_force(story, &image, true);
    put(story, &story.releases.policy(&[])).succeeded();
    in_force(story, &image, false);

    let before = story.own.json("configmap/pratique-policy")["data"].clone();
    let mut bad = story.releases.policy(&[]);
    bad["rules"][0]["verify"]["layuot"] = json!("layouts/*");
    let text = put(story, &bad).refused();
    assert!(text.contains("admission webhook \"policy.pratique.dev\" denied the request: "), "{text}");
    assert!(text.contains("layuot"), "{text}");
    assert_eq!(story.own.json("configmap/pratique-policy")["data"], before);
    story.said("edits of the policy are in force soon, and bad ones are refused");
}

/// Waits until every replica answers so about an image.
fn in_force(story: &Story, image: &str, allowed: bool) {
    wait::within(SOON, "the edit is in force", || {
        let answers: Vec<Value> = story.pods().iter().map(|pod| story.ask(pod, image)).collect();
        let all = answers.iter().all(|answer| answer["allowed"] == allowed);
        if all && answers.len() == 3 { Ok(()) } else { Err(format!("{answers:?}")) }
    });
}
