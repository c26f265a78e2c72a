//! Good workloads run, and bad ones are refused.

use serde_json::json;

use crate::{story::Story, support::objects};

pub(crate) fn run_if_they_are_good_and_only_then(story: &Story) {
    let mut deployment = objects::deployment("api", &story.images.good.reference(), 2);
    deployment["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["8080"]);
    deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"port": 8080}});
    story.shop.apply(&deployment).succeeded();
    story.shop.ok("rollout status deployment/api --timeout=60s");
    let text = story.shop.apply(&objects::pod("bad", &story.images.stolen.reference())).refused();
    assert!(text.contains("[in-toto/threshold-not-met]"), "{text}");
}
