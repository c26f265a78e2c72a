//! AdmissionReviews as an API server sends them.

#![expect(clippy::indexing_slicing, reason = "a JSON value has no index that panics, and an object takes any key")]

use serde_json::{Value, json};

/// A review of one object.
pub(super) struct Review {
    kind: (&'static str, &'static str, &'static str),
    resource: &'static str,
    subresource: &'static str,
    operation: &'static str,
    object: Value,
    old_object: Value,
}

impl Review {
    /// A Pod is created.
    pub(super) fn pod(images: &[&str]) -> Self {
        Self::of_pod(pod_spec(images))
    }

    /// A Pod is created that mounts an image as a volume.
    pub(super) fn pod_with_volume(image: &str, volume: &str) -> Self {
        let mut spec = pod_spec(&[image]);
        spec["volumes"] = json!([{"name": "data", "image": {"reference": volume}}]);
        Self::of_pod(spec)
    }

    /// `kubectl debug`: an ephemeral container joins a running Pod.
    pub(super) fn ephemeral(image: &str, debugger: &str) -> Self {
        let before = Self::pod(&[image]);
        let mut object = before.object.clone();
        object["spec"]["ephemeralContainers"] = json!([{"name": "debugger", "image": debugger}]);
        Self {
            subresource: "ephemeralcontainers",
            operation: "UPDATE",
            object,
            old_object: before.object.clone(),
            ..before
        }
    }

    /// A Deployment is created, of one container and init containers.
    pub(super) fn deployment(image: &str, init: &[&str]) -> Self {
        let mut spec = pod_spec(&[image]);
        spec["initContainers"] = containers("init", init);
        let labels = json!({"app": "api"});
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "prod"},
            "spec": {
                "replicas": 1, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        });
        Self {
            kind: ("apps", "v1", "Deployment"),
            resource: "deployments",
            subresource: "",
            operation: "CREATE",
            object,
            old_object: Value::Null,
        }
    }

    fn of_pod(spec: Value) -> Self {
        let object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "api", "namespace": "prod"}, "spec": spec,
        });
        Self {
            kind: ("", "v1", "Pod"),
            resource: "pods",
            subresource: "",
            operation: "CREATE",
            object,
            old_object: Value::Null,
        }
    }

    /// The object as a JSON patch of `replace` operations leaves it.
    pub(super) fn patch(&mut self, operations: &[Value]) {
        for operation in operations {
            let path = operation["path"].as_str().unwrap_or_default();
            if let Some(place) = self.object.pointer_mut(path) {
                *place = operation["value"].clone();
            }
        }
    }

    /// The request that the API server makes of it.
    pub(super) fn request(&self, uid: &str) -> Value {
        let (group, version, kind) = self.kind;
        let kind = json!({"group": group, "version": version, "kind": kind});
        let resource = json!({"group": group, "version": version, "resource": self.resource});
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": uid, "kind": kind, "resource": resource, "subResource": self.subresource,
                "requestKind": kind, "requestResource": resource, "requestSubResource": self.subresource,
                "name": "api", "namespace": "prod", "operation": self.operation,
                "userInfo": {"username": "ann", "groups": ["developers", "system:authenticated"]},
                "object": self.object, "oldObject": self.old_object, "dryRun": false, "options": null,
            },
        })
    }
}

fn pod_spec(images: &[&str]) -> Value {
    json!({"containers": containers("main", images)})
}

fn containers(name: &str, images: &[&str]) -> Value {
    let container = |(number, image): (usize, &&str)| json!({"name": format!("{name}-{number}"), "image": image});
    images.iter().enumerate().map(container).collect()
}
