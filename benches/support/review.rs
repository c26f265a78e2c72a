//! The body that the API server sends when the controller of a ReplicaSet makes a Pod.

use axum::body::Bytes;
use serde_json::{Map, Value, json};

/// Where it is sent to.
pub(crate) const PATH: &str = "/verify?timeout=10s";

/// How many different images one object may name.
pub(crate) const DISTINCT: usize = 64;

/// The images of a Pod with so many containers: as many different ones as it may name.
pub(crate) fn images_of(images: &[String], count: usize) -> Vec<String> {
    images.iter().take(DISTINCT).cycle().take(count).cloned().collect()
}

/// A Pod with one container for each image, with the fields that the API server and its built-in plugins add.
pub(crate) fn of_pod(images: &[String]) -> Bytes {
    let name = "app-6d4cf56db6-x7k2p";
    let review = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "name": name,
            "namespace": "prod-shop",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "uid": "0b0a5a3e-9d5c-4f0e-8a53-3f2f0f0b7d11",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
            },
            "object": {
                "kind": "Pod",
                "apiVersion": "v1",
                "metadata": metadata(name, images.len()),
                "spec": spec(images),
                "status": {"phase": "Pending", "qosClass": "Burstable"},
            },
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    });
    Bytes::from(review.to_string())
}

fn metadata(name: &str, containers: usize) -> Value {
    let owned: Map<_, _> = (0..containers)
        .map(|number| {
            let fields = json!({
                ".": {}, "f:env": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:livenessProbe": {}, "f:name": {},
                "f:ports": {}, "f:readinessProbe": {}, "f:resources": {}, "f:securityContext": {},
                "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {},
            });
            (format!("k:{{\"name\":\"app-{number}\"}}"), fields)
        })
        .collect();
    json!({
        "name": name,
        "generateName": "app-6d4cf56db6-",
        "namespace": "prod-shop",
        "uid": "5a1c5f0e-0b6e-4a55-9d8e-0d7d1c3f3b11",
        "creationTimestamp": "2026-09-01T08:00:00Z",
        "labels": {"app.kubernetes.io/name": "app", "pod-template-hash": "6d4cf56db6"},
        "annotations": {"prometheus.io/scrape": "true"},
        "ownerReferences": [{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-6d4cf56db6",
            "uid": "7a0b8a58-8f3f-4a3f-9f0e-52a1c9d0b6a1", "controller": true, "blockOwnerDeletion": true,
        }],
        "managedFields": [{
            "manager": "kube-controller-manager",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-09-01T08:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:annotations": {}, "f:generateName": {}, "f:labels": {}, "f:ownerReferences": {}},
                "f:spec": {
                    "f:containers": owned, "f:dnsPolicy": {}, "f:enableServiceLinks": {}, "f:restartPolicy": {},
                    "f:schedulerName": {}, "f:securityContext": {}, "f:terminationGracePeriodSeconds": {},
                },
            },
        }],
    })
}

fn spec(images: &[String]) -> Value {
    let containers: Vec<_> = images.iter().enumerate().map(|(number, image)| container(number, image)).collect();
    let toleration =
        |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    json!({
        "volumes": [{
            "name": "kube-api-access-q6v8m",
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{
                        "path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                    }]}},
                ],
                "defaultMode": 420,
            },
        }],
        "containers": containers,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "app",
        "serviceAccount": "app",
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "schedulerName": "default-scheduler",
        "tolerations": [toleration("node.kubernetes.io/not-ready"), toleration("node.kubernetes.io/unreachable")],
        "priority": 0,
        "enableServiceLinks": true,
        "preemptionPolicy": "PreemptLowerPriority",
    })
}

fn container(number: usize, image: &str) -> Value {
    let probe = |path: &str| {
        json!({
            "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        })
    };
    json!({
        "name": format!("app-{number}"),
        "image": image,
        "args": ["serve", "--config=/etc/app/config.yaml"],
        "ports": [{"name": "http", "containerPort": 8080 + number, "protocol": "TCP"}],
        "env": [
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "app", "key": "token"}}},
        ],
        "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "volumeMounts": [{
            "name": "kube-api-access-q6v8m", "readOnly": true,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        }],
        "livenessProbe": probe("/healthz"),
        "readinessProbe": probe("/readyz"),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": false},
    })
}
