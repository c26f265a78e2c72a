//! `reviews/*.json`: a review, the images that are to be found in it, and the whole answer.
//!
//! `PRATIQUE_BLESS=1 cargo test --test admission` writes what is found and answered now; read the difference.

use std::{collections::BTreeMap, fs, path::PathBuf};

use pratique::admission::{Answer, Entry, ImageKind, ImageUse, Limits, Reply, Request, Workload};
use serde_json::{Value, json};

use crate::verdicts;

fn cases() -> BTreeMap<String, (PathBuf, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/admission/reviews");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let case = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), (path, case))
        })
        .collect()
}

fn request(review: &Value) -> Request {
    Request::parse(&serde_json::to_vec(review).unwrap()).unwrap()
}

fn answer(request: &Request) -> (Vec<String>, Answer) {
    match Workload::read(request, &[], &Limits::default()) {
        Ok(workload) => {
            let uses = workload
                .uses
                .iter()
                .map(|image_use| format!("{}: {} ({})", image_use.field, image_use.image, image_use.kind.as_str()));
            (uses.collect(), Answer::judged(request, &workload, &verdicts::judge(&workload)))
        }
        Err(error) => (Vec::new(), Answer::unreadable(request, &error)),
    }
}

#[test]
fn every_review_is_answered_as_it_is_written_down() {
    let bless = std::env::var_os("PRATIQUE_BLESS").is_some();
    let mut different = Vec::new();
    let cases = cases();
    assert!(cases.len() > 40, "the reviews are not where they were");
    for (name, (path, mut case)) in cases {
        let (uses, answer) = answer(&request(&case["review"]));
        let (uses, answer) = (json!(uses), answer.to_json()["response"].clone());
        if case["uses"] != uses || case["answer"] != answer {
            different.push(format!("{name}\n  uses   {uses}\n  answer {answer:#}"));
            if bless {
                case["uses"] = uses;
                case["answer"] = answer;
                fs::write(path, format!("{case:#}\n")).unwrap();
            }
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

#[test]
fn every_image_is_where_its_pointer_says() {
    let mut seen = 0;
    for (name, (_, case)) in cases() {
        let request = request(&case["review"]);
        let Ok(workload) = Workload::read(&request, &[], &Limits::default()) else { continue };
        for image_use in workload.uses {
            let there = case["review"]["request"]["object"].pointer(&image_use.pointer);
            let there = there.and_then(Value::as_str).unwrap_or_default();
            assert_eq!(there, image_use.image, "{name}: {}", image_use.field);
            seen += 1;
        }
    }
    assert!(seen > 40);
}

#[test]
fn every_answer_is_an_admission_review_that_another_reader_understands() {
    use kube::core::{DynamicObject, admission::AdmissionReview};
    for (name, (_, case)) in cases() {
        let request = request(&case["review"]);
        let (_, answer) = answer(&request);
        let mut json = answer.to_json();
        // That reader wants a status also where the API has none.
        if json["response"].get("status").is_none() {
            json["response"]["status"] = json!({});
        }
        let review: AdmissionReview<DynamicObject> = serde_json::from_value(json).unwrap();
        let response = review.response.unwrap();
        assert_eq!(response.uid, request.uid, "{name}");
        if !response.allowed {
            assert!(matches!(response.result.code, 403 | 429 | 500 | 503), "{name}");
            assert!(!response.result.message.is_empty() && !response.result.reason.is_empty(), "{name}");
        }
    }
}

#[test]
fn what_brings_the_cluster_up_passes_an_outage_and_never_a_verdict() {
    for (name, call_failure) in [
        ("outage", true),
        ("fetching", true),
        ("misconfigured", true),
        ("unknown-kind", true),
        ("mixed", false),
        ("pod-create", false),
        ("wrong-type-image", false),
        ("pod-delete", false),
    ] {
        let (_, answer) = answer(&request(&cases()[name].1["review"]));
        assert!(matches!(answer.reply(Entry::Closed), Reply::Review(_)), "{name}");
        match answer.reply(Entry::Bootstrap) {
            Reply::CallFailure(text) => assert!(call_failure && text.starts_with("not a verdict: "), "{name}: {text}"),
            Reply::Review(review) => {
                assert!(!call_failure, "{name}");
                assert_eq!(review, answer.to_json(), "{name}");
            }
        }
    }
}

#[test]
fn pinning_appends_the_digest_and_keeps_what_the_user_wrote() {
    use base64::Engine as _;
    let cases = cases();
    let request = request(&cases["deployment-create"].1["review"]);
    let workload = Workload::read(&request, &[], &Limits::default()).unwrap();
    let digest: pratique::crypto::Sha256 = "9c".repeat(32).parse().unwrap();
    // What could not be resolved stays a tag.
    let known = workload.uses.iter().filter(|image_use| !image_use.image.contains("model"));
    let digests = known.map(|image_use| (image_use.field.clone(), digest)).collect();
    let json = Answer::pinned(&request, &workload.uses, &digests).to_json();
    let response = &json["response"];
    assert_eq!(response["allowed"], true);
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = base64::prelude::BASE64_STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    assert_eq!(
        patch,
        json!([
            {"op": "replace", "path": "/spec/template/spec/initContainers/0/image",
             "value": format!("denied.example/team/init:1@sha256:{digest}")},
            {"op": "replace", "path": "/spec/template/spec/containers/1/image",
             "value": format!("denied.example/team/api:1.4@sha256:{digest}")},
        ])
    );
    assert!(response.get("auditAnnotations").is_none(), "only validating entries set them");
}

#[test]
fn pinning_writes_out_a_tag_that_is_implied() {
    use base64::Engine as _;
    let request = request(&cases()["deployment-create"].1["review"]);
    let digest: pratique::crypto::Sha256 = "9c".repeat(32).parse().unwrap();
    for (image, expected) in [
        ("registry.example/app", "registry.example/app:latest"),
        ("registry.example:5000/app", "registry.example:5000/app:latest"),
        ("registry.example:5000/app:1", "registry.example:5000/app:1"),
    ] {
        let (field, pointer) = ("spec.image".to_owned(), "/spec/image".to_owned());
        let image_use = ImageUse { field, pointer, image: image.to_owned(), kind: ImageKind::Container };
        let digests = BTreeMap::from([(image_use.field.clone(), digest)]);
        let json = Answer::pinned(&request, &[image_use], &digests).to_json();
        let patch = base64::prelude::BASE64_STANDARD.decode(json["response"]["patch"].as_str().unwrap()).unwrap();
        let patch: Value = serde_json::from_slice(&patch).unwrap();
        assert_eq!(patch[0]["value"], format!("{expected}@sha256:{digest}"));
    }
}

#[test]
fn pinning_with_nothing_to_pin_is_no_patch() {
    let request = request(&cases()["deployment-create"].1["review"]);
    let workload = Workload::read(&request, &[], &Limits::default()).unwrap();
    for answer in [Answer::pinned(&request, &workload.uses, &BTreeMap::new()), Answer::silent(&request)] {
        assert_eq!(answer.to_json()["response"], json!({"uid": request.uid, "allowed": true}));
    }
}
