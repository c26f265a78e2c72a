//! Objects of every kind that names images.

use serde_json::{Value, json};

/// A Pod with one container, called `app`.
pub(crate) fn pod(name: &str, image: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(image)})
}

/// A Deployment with one container, called `app`.
pub(crate) fn deployment(name: &str, image: &str, replicas: u32) -> Value {
    workload(
        "apps/v1",
        "Deployment",
        name,
        json!({
            "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name, image),
        }),
    )
}

/// Adds a container to the list with this name in a PodSpec.
pub(crate) fn add_container(pod_spec: &mut Value, list: &str, name: &str, image: &str) {
    let list = &mut pod_spec[list];
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().unwrap().push(json!({"name": name, "image": image}));
}

/// One object of each kind with a template, which starts nothing by itself, and the path of its template.
pub(crate) fn templates(name: &str, image: &str) -> Vec<(Value, &'static [&'static str])> {
    const TEMPLATE: &[&str] = &["spec", "template"];
    let labels = json!({"app": name});
    let selector = json!({"matchLabels": labels});
    let template = || template(name, image);
    let job_template = {
        let mut template = template();
        template["spec"]["restartPolicy"] = json!("Never");
        template
    };
    // Without ReplicaSets of its own.
    let mut paused = deployment(name, image, 0);
    paused["spec"]["paused"] = json!(true);
    vec![
        (paused, TEMPLATE),
        (
            workload(
                "apps/v1",
                "ReplicaSet",
                name,
                json!({
                    "replicas": 0, "selector": selector, "template": template(),
                }),
            ),
            TEMPLATE,
        ),
        (
            workload(
                "apps/v1",
                "StatefulSet",
                name,
                json!({
                    "replicas": 0, "serviceName": name, "selector": selector, "template": template(),
                }),
            ),
            TEMPLATE,
        ),
        // There is no node to run it on.
        (workload("apps/v1", "DaemonSet", name, json!({"selector": selector, "template": template()})), TEMPLATE),
        (
            workload(
                "v1",
                "ReplicationController",
                name,
                json!({
                    "replicas": 0, "selector": labels, "template": template(),
                }),
            ),
            TEMPLATE,
        ),
        (workload("batch/v1", "Job", name, json!({"suspend": true, "template": job_template})), TEMPLATE),
        (
            workload(
                "batch/v1",
                "CronJob",
                name,
                json!({
                    "suspend": true, "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": job_template}},
                }),
            ),
            &["spec", "jobTemplate", "spec", "template"],
        ),
        (
            json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}, "template": template()}),
            &["template"],
        ),
    ]
}

fn workload(api_version: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn template(name: &str, image: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}}, "spec": pod_spec(image)})
}

fn pod_spec(image: &str) -> Value {
    json!({"containers": [{"name": "app", "image": image}]})
}
