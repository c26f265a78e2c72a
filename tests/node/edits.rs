//! An edit of the policy is in force within seconds, and one that does not load is refused.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    story::Story,
    support::{http, kubectl::Output, objects, releases::NAME, wait},
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
    let loaded = loads(story);
    put(story, &story.releases.policy(&[allow])).succeeded();
    in_force(story, &loaded, 1, &pod, 201);
    put(story, &story.releases.policy(&[])).succeeded();
    in_force(story, &loaded, 2, &pod, 403);

    let before = story.own.json("configmap/pratique-policy")["data"].clone();
    let mut bad = story.releases.policy(&[]);
    bad["rules"][0]["verify"]["layuot"] = json!("layouts/*");
    let text = put(story, &bad).refused();
    assert!(text.contains("admission webhook \"policy.pratique.dev\" denied the request: "), "{text}");
    assert!(text.contains("layuot"), "{text}");
    assert_eq!(story.own.json("configmap/pratique-policy")["data"], before);
    story.said("edits of the policy are in force soon, and bad ones are refused");
}

/// How many policies each replica has loaded.
fn loads(story: &Story) -> Vec<u64> {
    let of = |pod: &String| {
        let metrics = story.page(pod, "metrics").unwrap();
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix("pratique_policy_loads_total{outcome=\"loaded\"} "));
        count.unwrap().parse().unwrap()
    };
    story.pods().iter().map(of).collect()
}

/// Waits until every replica has loaded `more` policies, and a Pod has this answer.
fn in_force(story: &Story, before: &[u64], more: u64, pod: &Value, status: u16) {
    let wanted: Vec<u64> = before.iter().map(|count| count + more).collect();
    wait::within(SOON, "the edit is in force", || {
        let path = "/api/v1/namespaces/shop/pods?dryRun=All";
        let answer = http::request(&story.cluster.socket, "POST", path, &pod.to_string()).unwrap();
        let found = (loads(story), answer.status);
        if found == (wanted.clone(), status) { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
    });
}
