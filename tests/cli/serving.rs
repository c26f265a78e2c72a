//! The process that serves, over the demonstration's folder, and reviews as an API server sends them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::support::{pratique, run};

/// The repository of images of the demonstration.
const NAME: &str = "registry.example/shop/api";

/// How to start the webhook.
const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--tls-dir", "kept/tls"];

/// The webhook over the demonstration's folder. Killed when it is dropped.
pub(crate) struct Serving {
    child: Child,
    /// Where it listens.
    pub(crate) url: String,
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
    /// With the demonstration's policy.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::with(dir, &["--policy", "kept/policy.yaml"])
    }

    /// With these further arguments.
    pub(crate) fn with(dir: &Path, more: &[&str]) -> Self {
        let mut command = pratique(dir);
        command.args(SERVE).args(more);
        Self::by(dir, &mut command)
    }

    /// The same, by a script that ends with `exec "$@"`, in namespaces of its own for users and mounts: what it mounts
    /// nobody else sees.
    pub(crate) fn in_namespaces(dir: &Path, script: &str, more: &[&str]) -> Self {
        Self::by_script(dir, &["unshare", "--map-root-user", "--mount"], script, more)
    }

    /// By a script that ends with `exec "$@"`, run by a command that replaces itself with it.
    pub(crate) fn by_script(dir: &Path, before: &[&str], script: &str, more: &[&str]) -> Self {
        let mut command = Command::new(before[0]);
        command.args(&before[1..]).args(["sh", "-euc", script, "sh", env!("CARGO_BIN_EXE_pratique")]);
        command.current_dir(dir).stdin(Stdio::null()).args(SERVE).args(more);
        Self::by(dir, &mut command)
    }

    fn by(dir: &Path, command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (mut log, mut seen) =
            (BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap), String::new());
        let line = log.find(|line| {
            seen.push_str(line);
            line.contains("\"listening\"")
        });
        let line = line.unwrap_or_else(|| panic!("it never listened: {seen}"));
        // What else it logs is read, so that it never waits for a reader.
        std::thread::spawn(move || log.for_each(drop));
        let entry: Value = serde_json::from_str(&line).unwrap();
        let address = entry.pointer("/fields/address").or_else(|| entry.get("address")).unwrap().as_str().unwrap();
        Self { child, url: format!("https://{address}"), client: client(&dir.join("kept/tls/ca.crt")) }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Whether it runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends something to a path; no answer is an error.
    pub(crate) async fn send(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<(StatusCode, String), reqwest::Error> {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", content_type);
        let response = request.body(body).send().await?;
        Ok((response.status(), response.text().await?))
    }

    /// The same where there is an answer.
    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, String) {
        self.send(path, content_type, body).await.unwrap()
    }

    /// The answer to a review.
    pub(crate) async fn review(&self, path: &str, review: &Value) -> Value {
        let (status, text) = self.post(path, "application/json", review.to_string()).await;
        assert_eq!(status, 200, "{text}");
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        answer["response"].take()
    }

    /// Asks about an image again and again, until the answer has these words; `admitted` stands for that it may run.
    /// Whatever was answered until then is not to admit it.
    pub(crate) async fn says(&self, image: &str, words: &str) -> Value {
        self.says_one_of(image, &[words]).await
    }

    /// The same with one of these words.
    pub(crate) async fn says_one_of(&self, image: &str, words: &[&str]) -> Value {
        until(words, async || {
            let answer = self.review("/verify?timeout=10s", &pod(image)).await;
            let admitted = answer["allowed"] == true;
            assert!(!admitted || words.contains(&"admitted"), "not {words:?}: {answer}");
            let message = answer["status"]["message"].as_str().unwrap_or_default();
            if admitted || words.iter().any(|words| message.contains(words)) { Ok(answer) } else { Err(answer) }
        })
        .await
    }

    /// Waits until an image is admitted again, and says how long that took.
    pub(crate) async fn recovers(&self, fault: &str, image: &str) {
        let began = Instant::now();
        self.says(image, "admitted").await;
        println!("{fault}: admitted {} ms after it was mended", began.elapsed().as_millis());
    }

    /// Asks about an image that may be admitted until the answer has these words.
    pub(crate) async fn becomes(&self, image: &str, words: &str) {
        until(&[words], async || {
            let answer = self.review("/verify?timeout=10s", &pod(image)).await;
            let message = answer["status"]["message"].as_str().unwrap_or_default();
            if message.contains(words) { Ok(()) } else { Err(answer) }
        })
        .await;
    }

    /// Waits until a page has these words.
    pub(crate) async fn shows(&self, path: &str, words: &str) {
        until(&[path, words], async || {
            let page = self.page(path).await;
            if page.contains(words) { Ok(()) } else { Err(page.into()) }
        })
        .await;
    }

    /// Waits until one more refresh of a repository has failed.
    pub(crate) async fn fails_to_refresh(&self) {
        let failed = async || {
            let page = self.page("/metrics").await;
            let failed = |line: &&str| line.contains("\"unavailable\"") || line.contains("\"refused\"");
            let refreshes = page.lines().filter(|line| line.starts_with("pratique_repository_refreshes_total{"));
            refreshes.filter(failed).map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>()
        };
        let before = failed().await;
        until(&["a refresh that fails"], async || if failed().await > before { Ok(()) } else { Err(Value::Null) })
            .await;
    }

    /// A page that everybody may read.
    pub(crate) async fn page(&self, path: &str) -> String {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap().text().await.unwrap()
    }
}

/// Tries again until `attempt` succeeds, and fails the test with what came last when it never does.
async fn until<T>(what: &[&str], mut attempt: impl AsyncFnMut() -> Result<T, Value>) -> T {
    /// No wait in these tests takes a third of it on a machine of two cores.
    const BOUND: Duration = Duration::from_secs(60);
    let (began, mut pause) = (Instant::now(), tokio::time::interval(Duration::from_millis(50)));
    loop {
        pause.tick().await;
        match attempt().await {
            Ok(found) => return found,
            Err(last) => assert!(began.elapsed() < BOUND, "never {what:?}: {last}"),
        }
    }
}

fn client(authority: &Path) -> Client {
    let tls = pratique::certs::client_config(&fs::read(authority).unwrap()).unwrap();
    // Each request on a connection of its own, as whoever comes new has it. No API server ever waits this long.
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(Duration::from_secs(60));
    client.tls_backend_preconfigured(tls).build().unwrap()
}

/// A review of a Pod with one image.
pub(crate) fn pod(image: &str) -> Value {
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

/// Fails unless this is a refusal with this code and these words.
pub(crate) fn refused(response: &Value, code: u16, text: &str) {
    assert_eq!(response["allowed"], false, "{response}");
    assert_eq!(response["status"]["code"], code, "{response}");
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains(text), "{message}");
}

/// Makes the demonstration's folder; the image that is made as the layout says.
pub(crate) fn demo(dir: &Path) -> String {
    demo_of_both(dir).0
}

/// The same, and an image that a thief of online keys lists with the evidence of the good one.
pub(crate) fn demo_of_both(dir: &Path) -> (String, String) {
    let ran = run(dir, &["demo", "--keep", "kept"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let manifest = fs::read(dir.join("kept/release-1.4/manifest.json")).unwrap();
    let good = format!("{NAME}@sha256:{}", pratique::crypto::Sha256::of(&manifest));
    // The first command that is suggested to verify something.
    let line = ran.out.lines().find(|line| line.trim().starts_with("pratique verify ")).unwrap();
    let bad = line.rsplit(' ').next().unwrap().to_owned();
    assert!(bad.starts_with(NAME) && bad != good, "{line}");
    (good, bad)
}
