//! The reviews that are sent, mixed at random from a seed.

use serde_json::{Map, Value, json};

use crate::{
    images::{Images, Kind, NAME},
    oracle::{Named, Question},
    publisher::TAGS,
};

/// A review, and what is asked with it.
pub(crate) struct Review {
    pub(crate) path: &'static str,
    pub(crate) body: String,
    pub(crate) question: Question,
}

/// The kind of an object, and how deep its Pod stands in it.
struct Shape {
    group: &'static str,
    kind: &'static str,
    resource: &'static str,
    path: &'static [&'static str],
}

const POD: Shape = Shape { group: "", kind: "Pod", resource: "pods", path: &["spec"] };

const TEMPLATES: [Shape; 4] = [
    Shape { group: "apps", kind: "Deployment", resource: "deployments", path: &["spec", "template", "spec"] },
    Shape { group: "apps", kind: "StatefulSet", resource: "statefulsets", path: &["spec", "template", "spec"] },
    Shape { group: "batch", kind: "Job", resource: "jobs", path: &["spec", "template", "spec"] },
    Shape {
        group: "batch",
        kind: "CronJob",
        resource: "cronjobs",
        path: &["spec", "jobTemplate", "spec", "template", "spec"],
    },
];

/// What somebody sends next.
pub(crate) fn next(random: &mut fastrand::Rng, images: &Images) -> Review {
    let namespace = ["prod-shop", "prod-shop", "prod-shop", "prod-mail", "monitoring", "dev"][random.usize(..6)];
    let is_pod = random.u8(..4) > 0;
    let shape = if is_pod { &POD } else { &TEMPLATES[random.usize(..TEMPLATES.len())] };
    let user = ["ann", "bob", "system:serviceaccount:kube-system:replicaset-controller"][random.usize(..3)];
    let one = |random: &mut fastrand::Rng| vec![any(random, images)];
    match random.u8(..100) {
        // One image, mostly one of the team.
        0..50 => verify(shape, namespace, user, one(random), images),
        50..65 => {
            let named = (0..random.usize(2..6)).map(|_| any(random, images)).collect();
            verify(shape, namespace, user, named, images)
        }
        // Good ones alone, many.
        65..70 => {
            let good: Vec<_> = images.of(Kind::Good).map(Named::Digest).collect();
            let named = good.iter().copied().cycle().take(20).collect();
            verify(shape, namespace, user, named, images)
        }
        70..80 => {
            let named = vec![Named::Tag(TAGS[random.usize(..2)]), any(random, images)];
            let review = review(shape, namespace, user, &named, images);
            let question = Question::Pin { namespace, is_pod, images: named };
            Review { path: "/pin?timeout=10s", body: review.to_string(), question }
        }
        80..85 => {
            // Of an update only what is new is judged.
            let kept = any(random, images);
            let new = one(random);
            let all: Vec<_> = [kept].into_iter().chain(new.iter().copied()).collect();
            let mut review = review(shape, namespace, user, &all, images);
            review["request"]["operation"] = json!("UPDATE");
            review["request"]["oldObject"] = object(shape, &[kept], images);
            let question = Question::Verify { namespace, is_pod, is_mirror: false, images: new };
            Review { path: "/verify?timeout=10s", body: review.to_string(), question }
        }
        85..88 => {
            let named = one(random);
            let mut review = review(shape, namespace, user, &named, images);
            review["request"]["operation"] = json!("DELETE");
            review["request"]["oldObject"] = review["request"]["object"].take();
            let question = Question::Verify { namespace, is_pod, is_mirror: false, images: Vec::new() };
            Review { path: "/verify?timeout=10s", body: review.to_string(), question }
        }
        88..91 => {
            let named = one(random);
            let mut review = review(&POD, namespace, "system:node:one", &named, images);
            review["request"]["userInfo"]["groups"] = json!(["system:nodes"]);
            review["request"]["object"]["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
            let question = Question::Verify { namespace, is_pod: true, is_mirror: true, images: named };
            Review { path: "/verify?timeout=10s", body: review.to_string(), question }
        }
        91..95 => {
            let review = verify(shape, namespace, user, one(random), images);
            Review { path: "/bootstrap?timeout=3s", ..review }
        }
        95..98 => {
            let mut review = review(&POD, namespace, user, &[], images);
            let container = |number| json!({"name": format!("c{number}"), "image": format!("{NAME}:{number}")});
            review["request"]["object"]["spec"]["containers"] = (0..65).map(container).collect();
            Review { path: "/verify?timeout=10s", body: review.to_string(), question: Question::TooMany }
        }
        98 => {
            let mut review = review(&POD, namespace, user, &one(random), images);
            review["request"]["kind"] = json!({"group": "example.com", "version": "v1", "kind": "Machine"});
            review["request"]["resource"] = json!({"group": "example.com", "version": "v1", "resource": "machines"});
            Review { path: "/verify?timeout=10s", body: review.to_string(), question: Question::UnknownKind }
        }
        _ => seal(images),
    }
}

/// The review that tells which policy answers.
pub(crate) fn seal(images: &Images) -> Review {
    verify(&POD, "canary", "ann", vec![Named::Seal], images)
}

fn any(random: &mut fastrand::Rng, images: &Images) -> Named {
    match random.u8(..20) {
        0 => Named::Platform,
        1 => Named::Foreign,
        2 => Named::Malformed,
        3 | 4 => Named::Tag(TAGS[random.usize(..TAGS.len())]),
        5 => Named::Seal,
        _ => Named::Digest(random.usize(..images.all.len())),
    }
}

fn verify(shape: &Shape, namespace: &'static str, user: &str, named: Vec<Named>, images: &Images) -> Review {
    let body = review(shape, namespace, user, &named, images).to_string();
    let is_pod = shape.kind == "Pod";
    let question = Question::Verify { namespace, is_pod, is_mirror: false, images: named };
    Review { path: "/verify?timeout=10s", body, question }
}

fn review(shape: &Shape, namespace: &str, user: &str, named: &[Named], images: &Images) -> Value {
    let kind = json!({"group": shape.group, "version": "v1", "kind": shape.kind});
    let resource = json!({"group": shape.group, "version": "v1", "resource": shape.resource});
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": kind, "resource": resource,
            "requestKind": kind, "requestResource": resource, "name": "api", "namespace": namespace,
            "operation": "CREATE", "userInfo": {"username": user, "groups": ["system:authenticated"]},
            "object": object(shape, named, images), "dryRun": false,
        },
    })
}

fn object(shape: &Shape, named: &[Named], images: &Images) -> Value {
    let container =
        |(number, named): (usize, &Named)| json!({"name": format!("c{number}"), "image": text(*named, images)});
    let pod = json!({"containers": named.iter().enumerate().map(container).collect::<Vec<_>>()});
    let nested = shape.path.iter().rev().fold(pod, |inner, name| {
        let mut outer = Map::new();
        outer.insert((*name).to_owned(), inner);
        Value::Object(outer)
    });
    let version = if shape.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", shape.group) };
    let mut object = json!({"apiVersion": version, "kind": shape.kind, "metadata": {"name": "api"}});
    object["spec"] = nested["spec"].clone();
    object
}

fn text(named: Named, images: &Images) -> String {
    // The digest of a file that nobody has.
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    match named {
        Named::Digest(number) => images.reference(number),
        Named::Tag(tag) => format!("{NAME}:{tag}"),
        Named::Platform => format!("registry.example/platform/agent@sha256:{digest}"),
        Named::Seal => format!("registry.example/canary/seal@sha256:{digest}"),
        Named::Foreign => format!("docker.io/library/nginx@sha256:{digest}"),
        Named::Malformed => "Not A Reference!".to_owned(),
    }
}
