//! Bad input to the process that serves: each gets its own clear answer, nothing is admitted, and the process stays up.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::support::{pratique, run};

const NAME: &str = "registry.example/shop/api";

/// The webhook over the demonstration's folder. Killed when it is dropped.
struct Serving {
    child: Child,
    url: String,
    client: Client,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    fn start(dir: &Path) -> Self {
        let args = ["serve", "--listen", "127.0.0.1:0", "--tls-dir", "kept/tls", "--policy", "kept/policy.yaml"];
        let mut child = pratique(dir).args(args).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = log.find(|line| line.contains("\"listening\"")).expect("it never listened");
        // What else it logs is read, so that it never waits for a reader.
        std::thread::spawn(move || log.for_each(drop));
        let entry: Value = serde_json::from_str(&line).unwrap();
        let address = entry.pointer("/fields/address").or_else(|| entry.get("address")).unwrap().as_str().unwrap();
        Self { child, url: format!("https://{address}"), client: client(&dir.join("kept/tls/ca.crt")) }
    }

    async fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> (StatusCode, String) {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", content_type);
        let response = request.body(body).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    async fn review(&self, path: &str, review: &Value) -> Value {
        let (status, text) = self.post(path, "application/json", review.to_string()).await;
        assert_eq!(status, 200, "{text}");
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        answer["response"].take()
    }
}

fn client(authority: &Path) -> Client {
    let tls = pratique::certs::client_config(&fs::read(authority).unwrap()).unwrap();
    Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap()
}

fn pod(image: &str) -> Value {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": "api", "namespace": "prod", "operation": "CREATE", "userInfo": {"username": "ann"},
            "object": {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "api"},
                "spec": {"containers": [{"name": "api", "image": image}]},
            },
        },
    })
}

fn refused(response: &Value, code: u16, text: &str) {
    assert_eq!(response["allowed"], false, "{response}");
    assert_eq!(response["status"]["code"], code, "{response}");
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains(text), "{message}");
}

fn demo(dir: &Path) -> String {
    let ran = run(dir, &["demo", "--keep", "kept"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let manifest = fs::read(dir.join("kept/release-1.4/manifest.json")).unwrap();
    format!("{NAME}@sha256:{}", pratique::crypto::Sha256::of(&manifest))
}

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
