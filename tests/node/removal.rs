//! An uninstall: the webhook configurations go first, so nothing is ever in the way, and nothing is left but what is to
//! outlive the release.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    story::Story,
    support::{objects, wait},
};

pub(crate) fn leaves_nothing_in_the_way(story: &Story) {
    let stream = story.stream_of_good();
    story.helm.run("uninstall pratique --wait").succeeded();
    let bad = objects::pod("bad", &story.images.stolen.reference());
    story.shop.apply(&bad).succeeded();
    story.said(&format!("an uninstall: {} reviews, none lost", stream.end()));

    let mut kept: BTreeSet<String> =
        ["", ".0", ".1", ".2", ".3"].map(|part| format!("ConfigMap pratique-trust-shop{part}")).into();
    kept.insert("ConfigMap pratique-roots-".to_owned());
    // The last replicas may still be ending.
    wait::until("nothing is left", || {
        let left = left(story);
        if left == kept { Ok(()) } else { Err(format!("{left:?}")) }
    });
    story.said("an uninstall leaves what is to outlive it, and nothing else");
}

/// Kind and name of every object of the release, in all namespaces and in none. The name of the roots is cut before the
/// hash in it.
fn left(story: &Story) -> BTreeSet<String> {
    let admin = &story.cluster.admin;
    let resources = admin.ok("api-resources --verbs=list --output=name");
    let resources: Vec<&str> = resources.split_whitespace().collect();
    assert!(resources.contains(&"validatingwebhookconfigurations.admissionregistration.k8s.io"), "{resources:?}");
    let command = format!("{} --all-namespaces --selector=app.kubernetes.io/instance=pratique", resources.join(","));
    let found: Value = admin.json(&command);
    let name = |object: &Value| {
        let [kind, name] = [&object["kind"], &object["metadata"]["name"]].map(|value| value.as_str().unwrap());
        let name = if name.starts_with("pratique-roots-") { "pratique-roots-" } else { name };
        format!("{kind} {name}")
    };
    found["items"].as_array().unwrap().iter().map(name).collect()
}
