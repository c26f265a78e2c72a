//! An uninstall: the webhook configurations go first, so nothing is ever in the way, and nothing is left but what is to
//! outlive the release.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{story::Story, support::objects};

pub(crate) fn leaves_nothing_in_the_way(story: &Story) {
    let stream = story.stream_of_good();
    story.helm.run("uninstall pratique").succeeded();
    let bad = objects::pod("bad", &story.images.stolen.reference());
    story.shop.apply(&bad).succeeded();
    story.said(&format!("an uninstall: {} reviews, none lost", stream.end()));

    let left = left(story);
    let mut kept: BTreeSet<String> =
        ["", "-0", "-1", "-2", "-3"].map(|part| format!("ConfigMap pratique-trust-shop{part}")).into();
    let roots: Vec<&String> = left.iter().filter(|name| name.starts_with("ConfigMap pratique-roots-")).collect();
    assert_eq!(roots.len(), 1, "{left:?}");
    kept.extend(roots.into_iter().cloned());
    assert_eq!(left, kept);
}

/// Kind and name of every object of the release, in all namespaces and in none.
fn left(story: &Story) -> BTreeSet<String> {
    let admin = &story.cluster.admin;
    let resources = admin.ok("api-resources --verbs=list --output=name");
    let resources: Vec<&str> = resources.split_whitespace().collect();
    assert!(resources.contains(&"validatingwebhookconfigurations.admissionregistration.k8s.io"), "{resources:?}");
    let command = format!("{} --all-namespaces --selector=app.kubernetes.io/instance=pratique", resources.join(","));
    let found: Value = admin.json(&command);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = |object: &Value| format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]));
    found["items"].as_array().unwrap().iter().map(name).collect()
}
