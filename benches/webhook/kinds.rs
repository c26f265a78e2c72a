//! Reviews of other kinds than a new Pod whose images are known and good.

use axum::body::Bytes;
use serde_json::{Value, json};

use crate::{load::Expected, support::review};

/// An image that no repository lists.
const UNLISTED: &str =
    "registry.example/team/app@sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// Where a review of this kind about images is sent, its body, and what is to be answered.
pub(crate) fn review_of(kind: usize, images: &[String]) -> (&'static str, Bytes, Expected) {
    let unlisted = [UNLISTED.to_owned()];
    let mut review: Value =
        serde_json::from_slice(&review::of_pod(if kind == 1 { &unlisted } else { images })).unwrap();
    let request = review.pointer_mut("/request").unwrap();
    let (path, expected) = match kind {
        0 => (review::PATH, Expected::Admitted),
        1 => (review::PATH, Expected::Refused),
        2 => {
            request["operation"] = json!("UPDATE");
            request["oldObject"] = request["object"].clone();
            request["object"]["metadata"]["labels"]["more"] = json!("label");
            (review::PATH, Expected::Allowed)
        }
        3 => {
            let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
            let resource = json!({"group": "apps", "version": "v1", "resource": "deployments"});
            (request["kind"], request["requestKind"]) = (kind.clone(), kind);
            (request["resource"], request["requestResource"]) = (resource.clone(), resource);
            request["name"] = json!("app");
            let (labels, pod) = (json!({"app.kubernetes.io/name": "app"}), request["object"]["spec"].take());
            request["object"] = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": "prod-shop"},
                "spec": {"replicas": 3, "selector": {"matchLabels": labels},
                         "template": {"metadata": {"labels": labels}, "spec": pod}},
            });
            (review::PATH, Expected::Allowed)
        }
        4 => ("/pin?timeout=10s", Expected::Allowed),
        other => panic!("no kind of review is called {other}"),
    };
    (path, Bytes::from(review.to_string()), expected)
}
