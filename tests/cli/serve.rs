//! Bad input to the process that serves: each gets its own clear answer, nothing is admitted, and the process stays up.

use std::{fs, time::Duration};

use serde_json::json;

use crate::serving::{Serving, demo, pod, refused};

#[tokio::test]
async fn bad_input_is_answered_and_survived() {
    let temp = tempfile::tempdir().unwrap();
    let good = demo(temp.path());
    let serving = Serving::start(temp.path());

    let (status, text) = serving.post("/verify", "application/json", "garbage").await;
    assert_eq!((status.as_u16(), text.starts_with("not an AdmissionReview: ")), (400, true), "{text}");
    let (status, text) = serving.post("/verify", "application/yaml", "kind: AdmissionReview").await;
    let wanted = "the content type is \"application/yaml\", an AdmissionReview is \"application/json\"\n";
    assert_eq!((status.as_u16(), text.as_str()), (415, wanted));
    let (status, text) = serving.post("/verify", "application/json", vec![b' '; 8 << 20]).await;
    assert_eq!((status.as_u16(), text.as_str()), (413, "the body has more than 7340032 bytes\n"));

    let mut unknown = pod(&good);
    unknown["request"]["kind"] = json!({"group": "example.com", "version": "v1", "kind": "Machine"});
    unknown["request"]["resource"] = json!({"group": "example.com", "version": "v1", "resource": "machines"});
    refused(&serving.review("/verify", &unknown).await, 500, "[admission/unknown-kind]");
    refused(&serving.review("/verify", &pod("Not A Reference!")).await, 403, "[image/");
    refused(&serving.review("/verify", &pod("")).await, 403, "[image/");

    let policy = json!({"policy.yaml": "version: 1\nrulez: []\n"});
    let mut edit = pod(&good);
    edit["request"]["kind"] = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    edit["request"]["resource"] = json!({"group": "", "version": "v1", "resource": "configmaps"});
    edit["request"]["name"] = json!("pratique-policy");
    edit["request"]["object"] = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pratique-policy"}, "data": policy,
    });
    // The policy is in a file here, so this ConfigMap is somebody else's.
    let response = serving.review("/policy", &edit).await;
    assert_eq!(response["allowed"], true, "{response}");

    let response = serving.review("/verify", &pod(&good)).await;
    assert_eq!(response["allowed"], true, "{response}");
}

#[tokio::test]
async fn a_root_that_comes_after_the_policy_puts_it_in_force() {
    let temp = tempfile::tempdir().unwrap();
    let good = demo(temp.path());
    let (root, away) = (temp.path().join("kept/acme.root.json"), temp.path().join("away.json"));
    fs::rename(&root, &away).unwrap();
    let serving = Serving::start(temp.path());
    refused(&serving.review("/verify", &pod(&good)).await, 500, "[policy/not-in-force]");
    fs::rename(&away, &root).unwrap();
    let mut pause = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..200 {
        pause.tick().await;
        if serving.review("/verify", &pod(&good)).await["allowed"] == true {
            return;
        }
    }
    panic!("the policy never came into force");
}

#[tokio::test]
async fn without_its_repository_it_judges_nothing_and_admits_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let good = demo(temp.path());
    fs::remove_dir_all(temp.path().join("kept/repository")).unwrap();
    let serving = Serving::start(temp.path());
    let response = serving.review("/verify", &pod(&good)).await;
    refused(&response, 503, "not a verdict: ");
    refused(&response, 503, "[tuf/missing]");
}

#[test]
fn an_https_collector_needs_its_authority_and_a_share_is_one() {
    let refused = |args: &[&str]| {
        let mut pratique = std::process::Command::new(env!("CARGO_BIN_EXE_pratique"));
        let output = pratique.args(["serve", "--policy=x", "--tls-dir=x"]).args(args).env_clear().output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let text = refused(&["--otlp-endpoint=https://otel.example:4318"]);
    assert!(text.contains("--otlp-ca-file: an https collector is believed by its authority"), "{text}");
    let text = refused(&["--otlp-endpoint=http://otel.example:4318", "--otlp-ratio=2"]);
    assert!(text.contains("2 is no share of 0.0 to 1.0"), "{text}");
}
