//! Pods go away under the reviews, politely and not, and none of these is lost.

use serde_json::{Value, json};

use crate::{
    story::Story,
    support::{helm::NAMESPACE, http, wait},
};

/// Keeps a Pod to be looked at when its containers have ended.
const FINALIZER: &str = "tests.example/look";

pub(crate) fn lose_no_review(story: &Story) {
    let pods = story.pods();
    assert_eq!(pods.len(), 3);
    let stream = story.stream();
    for pod in &pods {
        story.own.patch(&format!("pod/{pod}"), &json!({"metadata": {"finalizers": [FINALIZER]}})).succeeded();
        evict(story, pod);
    }
    story.ready();
    for pod in &pods {
        let ended = wait::until("an evicted pod has ended", || {
            let pod = story.own.json(&format!("pod/{pod}"));
            let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
            if state.is_object() { Ok(state.clone()) } else { Err(pod["status"].to_string()) }
        });
        // By itself, after SIGTERM, and before the kubelet would have killed it.
        assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(0), &json!("Completed")), "{ended}");
        story.own.patch(&format!("pod/{pod}"), &json!({"metadata": {"finalizers": null}})).succeeded();
    }
    story.settled();
    story.said(&format!("evictions of every pod: {} reviews, none lost", stream.end()));

    let stream = story.stream();
    for pod in story.pods() {
        story.own.ok(&format!("delete pod {pod} --grace-period=0 --force"));
        story.ready();
    }
    story.settled();
    story.said(&format!("deletions by force of every pod: {} reviews, none lost", stream.end()));
}

/// Through the API for that, as a drain does: the budget decides when.
fn evict(story: &Story, pod: &str) {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction");
    wait::until("the budget lets a pod go", || {
        let answer = http::request(&story.cluster.socket, "POST", &path, &eviction.to_string()).unwrap();
        let status: Value = serde_json::from_str(&answer.body).unwrap();
        match answer.status {
            201 => Ok(()),
            429 => Err(status["message"].to_string()),
            _ => panic!("{answer:?}"),
        }
    });
}
