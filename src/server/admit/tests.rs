//! Reviews, as the API server sends them, at each entry.

use std::{
    io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use axum::body::{Bytes, to_bytes};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::*;
use crate::publish::{Plan, Publisher};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn ours() -> Option<(String, String)> {
    Some(("prod".to_owned(), "pratique-policy".to_owned()))
}

/// A webhook without a policy.
fn unset() -> Arc<Webhook> {
    let (world, pin) = (Arc::new(ArcSwapOption::empty()), Pin::Pods);
    Arc::new(Webhook {
        world,
        lack: Arc::default(),
        verifier: Arc::default(),
        metrics: Arc::default(),
        pin,
        custom_kinds: vec![],
        policy_configmap: ours(),
        // However busy the machine is.
        next_patience: Duration::from_secs(60),
        cluster: None,
    })
}

/// A webhook over a policy whose repository is in `folder`, or nowhere.
async fn webhook(folder: &Path, pin: Pin) -> Arc<Webhook> {
    webhook_by(folder, pin, "").await
}

/// The same, with more words in the policy.
async fn webhook_by(folder: &Path, pin: Pin, words: &str) -> Arc<Webhook> {
    let temp = tempfile::tempdir().unwrap();
    let root = if folder.exists() { folder } else { publish(temp.path()) }.join("metadata/1.root.json");
    let text = format!(
        "version: 1\nrepositories:\n  acme: {{url: \"file://{}\", root: root.json}}\nrules:\n  \
         - {{name: own, match: {{images: [\"registry.example/**\"]}}, verify: {{repositories: [acme]}}}}\n{words}",
        folder.display()
    );
    let files = BTreeMap::from([("root.json".to_owned(), std::fs::read(root).unwrap())]);
    let world = World::build(Arc::new(Policy::parse(&text).unwrap()), &files, None, None, None).await.unwrap();
    let world = Arc::new(ArcSwapOption::from_pointee(world));
    Arc::new(Webhook {
        world,
        lack: Arc::default(),
        verifier: Arc::default(),
        metrics: Arc::default(),
        pin,
        custom_kinds: vec![],
        policy_configmap: ours(),
        // However busy the machine is.
        next_patience: Duration::from_secs(60),
        cluster: None,
    })
}

/// Publishes a repository that signs the tag `registry.example/app:1` and nothing else.
fn publish(folder: &Path) -> &Path {
    let plan = Plan { online_validity: DAY, snapshot_validity: DAY, ..Plan::default() };
    let keys = plan.keys_from_seed("admit").unwrap();
    let mut publisher = Publisher::init(folder, keys, &plan, Timestamp::now()).unwrap();
    publisher.commit().unwrap();
    let (mut editor, keys) = publisher.into_parts();
    editor.add_target("images", "registry.example/app:1", b"manifest", Map::new()).unwrap();
    editor.set_version("images", 2).unwrap();
    editor.sign("images", &keys.made_for("images")).unwrap();
    editor.draft_snapshot(2, Timestamp::now() + DAY).unwrap();
    editor.sign("snapshot", &keys.made_for("snapshot")).unwrap();
    editor.draft_timestamp(2, Timestamp::now() + DAY).unwrap();
    editor.sign("timestamp", &keys.made_for("timestamp")).unwrap();
    editor.write().unwrap();
    folder
}

async fn call(webhook: &Arc<Webhook>, entry: Entry, body: &str) -> (StatusCode, Vec<u8>) {
    let shared = Shared { webhook: webhook.clone(), gate: Gate::new(&Limits::default()) };
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let response =
        admit(State(shared), Call { entry, body: Bytes::from(body.to_owned()), deadline, span: tracing::Span::none() })
            .await;
    (response.status(), to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
}

fn review(kind: (&str, &str, &str), name: &str, object: &Value) -> String {
    let (group, kind, resource) = kind;
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "name": name, "namespace": "prod", "object": object,
        "kind": {"group": group, "version": "v1", "kind": kind},
        "resource": {"group": group, "version": "v1", "resource": resource},
    }})
    .to_string()
}

fn pod(image: &str) -> String {
    review(("", "Pod", "pods"), "app", &json!({"spec": {"containers": [{"image": image}]}}))
}

fn deployment(image: &str) -> String {
    let template = json!({"spec": {"containers": [{"image": image}]}});
    review(("apps", "Deployment", "deployments"), "app", &json!({"spec": {"template": template}}))
}

/// The response in the answer to a review.
async fn answer(webhook: &Arc<Webhook>, entry: Entry, body: &str) -> Value {
    let (status, body) = call(webhook, entry, body).await;
    assert_eq!(status, StatusCode::OK);
    serde_json::from_slice::<Value>(&body).unwrap()["response"].take()
}

/// The refusal code in the audit annotations, and the HTTP status for the user.
async fn refusal(webhook: &Arc<Webhook>, body: &str) -> (String, u64) {
    let response = answer(webhook, Entry::Verify, body).await;
    assert_eq!(response["allowed"], false);
    let code = response["auditAnnotations"]["code"].as_str().unwrap().to_owned();
    (code, response["status"]["code"].as_u64().unwrap())
}

#[tokio::test]
async fn without_a_policy_every_image_is_refused_and_what_names_none_is_not() {
    let webhook = unset();
    let image = format!("registry.example/app@{DIGEST}");
    assert_eq!(refusal(&webhook, &pod(&image)).await, ("policy/not-in-force".to_owned(), 500));
    let what = "repository acme: /state/acme: Not a directory (os error 20)".to_owned();
    webhook.lack.store(Some(Arc::new(Cause::Store { code: "internal/store", what })));
    assert_eq!(refusal(&webhook, &pod(&image)).await, ("internal/store".to_owned(), 500));
    let empty = review(("", "Pod", "pods"), "app", &json!({"spec": {"containers": []}}));
    assert_eq!(answer(&webhook, Entry::Verify, &empty).await["allowed"], true);
    // What brings the cluster up is left to the API server's `failurePolicy`.
    let (status, text) = call(&webhook, Entry::Bootstrap, &pod(&image)).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(String::from_utf8(text).unwrap().starts_with("not a verdict: "));
    // The mutating entry never refuses.
    assert_eq!(answer(&webhook, Entry::Pin, &pod("registry.example/app:1")).await["allowed"], true);
}

#[tokio::test]
async fn an_image_that_no_rule_matches_is_refused() {
    let webhook = webhook(Path::new("/nowhere"), Pin::Off).await;
    let image = format!("other.example/app@{DIGEST}");
    assert_eq!(refusal(&webhook, &pod(&image)).await, ("policy/no-rule".to_owned(), 403));
    assert_eq!(refusal(&webhook, &pod("not an image")).await, ("image/malformed-reference".to_owned(), 403));
    let sha512 = format!("registry.example/app@sha512:{}", "0".repeat(128));
    assert_eq!(refusal(&webhook, &pod(&sha512)).await, ("image/unsupported-digest".to_owned(), 403));
}

#[tokio::test]
async fn a_tag_is_refused_in_pods_and_where_nothing_pins_it() {
    let nowhere = Path::new("/nowhere");
    let (off, pods) = (webhook(nowhere, Pin::Off).await, webhook(nowhere, Pin::Pods).await);
    let (tag, digest) = ("registry.example/app:1", format!("registry.example/app@{DIGEST}"));
    let not_pinned = ("image/not-pinned".to_owned(), 403);
    let outage = ("tuf/missing".to_owned(), 503);
    // No repository is asked.
    assert_eq!(refusal(&off, &pod(tag)).await, not_pinned);
    assert_eq!(refusal(&off, &deployment(tag)).await, not_pinned);
    assert_eq!(refusal(&off, &pod(&digest)).await, outage);
    // The Pods of the template will be pinned, so what the tag names now is judged.
    assert_eq!(refusal(&pods, &deployment(tag)).await, outage);

    let temp = tempfile::tempdir().unwrap();
    for pin in [Pin::Pods, Pin::All] {
        let webhook = webhook(publish(&temp.path().join(format!("{pin:?}"))), pin).await;
        // It could have been pinned, and is a tag again.
        assert_eq!(refusal(&webhook, &pod(tag)).await, not_pinned);
        assert_eq!(refusal(&webhook, &deployment(tag)).await, ("image/unknown".to_owned(), 403));
    }
}

#[tokio::test]
async fn the_mutating_entry_pins_what_it_is_told_to() {
    let temp = tempfile::tempdir().unwrap();
    let folder = publish(temp.path());
    let tag = "registry.example/app:1";
    for (pin, in_pods, in_templates) in [(Pin::Off, false, false), (Pin::Pods, true, false), (Pin::All, true, true)] {
        let webhook = webhook(folder, pin).await;
        for (body, wanted) in [(pod(tag), in_pods), (deployment(tag), in_templates)] {
            let response = answer(&webhook, Entry::Pin, &body).await;
            assert_eq!((&response["allowed"], response.get("patch").is_some()), (&json!(true), wanted), "{pin:?}");
        }
    }
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_refused_by_the_validating_entries_alone() {
    let webhook = webhook(Path::new("/nowhere"), Pin::Pods).await;
    let odd = review(("", "Pod", "pods"), "app", &json!({"spec": {"containers": "x"}}));
    assert_eq!(refusal(&webhook, &odd).await, ("admission/malformed".to_owned(), 403));
    let unknown = review(("example.org", "Flow", "flows"), "app", &json!({}));
    assert_eq!(refusal(&webhook, &unknown).await, ("admission/unknown-kind".to_owned(), 500));
    for body in [&odd, &unknown] {
        assert_eq!(answer(&webhook, Entry::Pin, body).await["allowed"], true);
    }
}

#[tokio::test]
async fn a_body_that_is_no_review_fails_the_call() {
    let webhook = webhook(Path::new("/nowhere"), Pin::Off).await;
    for body in ["", "{}", "{\"apiVersion\":\"admission.k8s.io/v1beta1\",\"kind\":\"AdmissionReview\"}"] {
        assert_eq!(call(&webhook, Entry::Verify, body).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn an_edit_of_the_policy_that_does_not_load_is_refused_and_no_other_config_map_is_looked_at() {
    let webhook = webhook(Path::new("/nowhere"), Pin::Off).await;
    let edit =
        |name: &str, text: &str| review(("", "ConfigMap", "configmaps"), name, &json!({"data": {"policy.yaml": text}}));
    let good = answer(&webhook, Entry::Policy, &edit("pratique-policy", "version: 1\nrules: []\n")).await;
    assert_eq!(good["allowed"], true);
    let bad = answer(&webhook, Entry::Policy, &edit("pratique-policy", "version: 2\nrules: []\n")).await;
    assert_eq!(bad["allowed"], false);
    assert!(bad["status"]["message"].as_str().unwrap().contains("[policy/unknown-word]"), "{bad}");
    let bad = answer(&webhook, Entry::Policy, &edit("pratique-policy", "version: 1\nrulez: []\n")).await;
    assert!(bad["status"]["message"].as_str().unwrap().contains("policy.yaml:2:1: rulez"), "{bad}");
    let none = review(("", "ConfigMap", "configmaps"), "pratique-policy", &json!({"data": {}}));
    assert_eq!(answer(&webhook, Entry::Policy, &none).await["allowed"], false);
    assert_eq!(answer(&webhook, Entry::Policy, &edit("other", "version: 2\n")).await["allowed"], true);
    let elsewhere = edit("pratique-policy", "version: 2\n").replace("\"prod\"", "\"elsewhere\"");
    assert_eq!(answer(&webhook, Entry::Policy, &elsewhere).await["allowed"], true);
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reference_of_a_megabyte_or_in_disguise_does_not_go_into_the_log_as_it_is() {
    let request = Request::parse(review(("", "Pod", "pods"), "api", &json!({})).as_bytes()).unwrap();
    let image = format!("\u{202e}{}", "a".repeat(1 << 20));
    let field = "spec.containers[0].image".to_owned();
    let image_use = ImageUse { field, pointer: String::new(), image, kind: admission::ImageKind::Container };
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || log.clone()).finish();
    let webhook = unset();
    let verdict = webhook.no_policy(&image_use);
    tracing::subscriber::with_default(subscriber, || webhook.tell(&request, Entry::Verify, &verdict));
    let written = written.0.lock().unwrap();
    let line = std::str::from_utf8(&written).unwrap();
    assert!(line.contains("decided") && line.contains("202e"), "{line}");
    assert!(line.len() < 4_096 && !line.contains('\u{202e}'), "{} bytes", line.len());
}

/// The annotation about the rules that come next, and the answer without it.
async fn next(webhook: &Arc<Webhook>, body: &str) -> (Option<String>, Value) {
    let mut response = answer(webhook, Entry::Verify, body).await;
    let next = response["auditAnnotations"].as_object_mut().unwrap().remove("next");
    (next.map(|next| next.as_str().unwrap().to_owned()), response)
}

#[tokio::test]
async fn the_next_rules_are_told_to_the_audit_log_and_change_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let folder = publish(temp.path());
    let rule = |name: &str, words: &str| {
        format!("  - {{name: {name}, match: {{images: [\"registry.example/**\"]}}, {words}}}\n")
    };
    let exempt = "  - {name: free, match: {namespaces: [prod], images: [\"free.example/*\"]}, allow: x}\n";
    let verify = "verify: {repositories: [acme]}";
    let (app, free) = (pod(&format!("registry.example/app@{DIGEST}")), pod("free.example/app:1"));
    for (next_rules, on_app, on_free) in [
        (String::new(), None, None),
        (format!("next:\n{}", rule("own", verify)), Some("deny:image/unknown"), Some("deny:policy/no-rule")),
        (format!("next:\n{exempt}{}", rule("warns", &format!("{verify}, mode: warn"))), None, None),
        ("next: []\n".to_owned(), Some("deny:policy/no-rule"), Some("deny:policy/no-rule")),
    ] {
        let webhook = webhook_by(folder, Pin::Pods, &format!("{exempt}{next_rules}")).await;
        let (next_of_app, refused) = next(&webhook, &app).await;
        assert_eq!(next_of_app.as_deref(), on_app, "{next_rules}");
        assert_eq!(
            (&refused["allowed"], &refused["auditAnnotations"]["code"]),
            (&json!(false), &json!("image/unknown"))
        );
        let (next_of_free, admitted) = next(&webhook, &free).await;
        assert_eq!(next_of_free.as_deref(), on_free, "{next_rules}");
        assert_eq!((&admitted["allowed"], admitted.get("warnings")), (&json!(true), None));
        let counted = webhook.metrics.render().contains("pratique_next_decisions_total{");
        assert_eq!(counted, !next_rules.is_empty(), "{next_rules}");
    }
}

#[tokio::test]
async fn an_outage_of_the_next_rules_is_no_denial_and_no_outage_of_the_answer() {
    let rules = "  - {name: free, match: {namespaces: [prod], images: [\"free.example/*\"]}, allow: x}\nnext:\n  \
                 - {name: all, match: {images: [\"free.example/**\"]}, verify: {repositories: [acme]}}\n";
    let webhook = webhook_by(Path::new("/nowhere"), Pin::Pods, rules).await;
    let (next, response) = next(&webhook, &pod(&format!("free.example/app@{DIGEST}"))).await;
    assert_eq!((next.as_deref(), &response["allowed"]), (Some("unavailable:tuf/missing"), &json!(true)));
}

/// A policy whose last rule has every image verified, whatever its host is.
const EVERY: &str = "  - {name: every, match: {images: [\"**\"]}, verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}}\n";

#[tokio::test]
async fn no_address_that_a_pod_names_is_contacted() {
    let temp = tempfile::tempdir().unwrap();
    let webhook = webhook_by(publish(temp.path()), Pin::All, EVERY).await;
    let listeners: Vec<_> = ["127.0.0.1:0", "[::1]:0"]
        .into_iter()
        .filter_map(|address| std::net::TcpListener::bind(address).ok())
        .collect();
    let port = listeners[0].local_addr().unwrap().port();
    let port6 = listeners.last().unwrap().local_addr().unwrap().port();
    for image in [
        format!("127.0.0.1:{port}/x:1"),
        format!("localhost:{port}/x:1"),
        format!("localhost:{port}/x@{DIGEST}"),
        format!("[::1]:{port6}/x:1"),
        format!("user:secret@127.0.0.1:{port}/x"),
        format!("127.0.0.1:{port}/../x"),
        format!("http://127.0.0.1:{port}/x"),
        format!("file:///etc/passwd#{port}"),
        format!("2130706433:{port}/x"),
        format!("0x7f000001:{port}/x:1"),
        format!("127.1:{port}/x:1"),
        format!("127.0.0.1:{port}/x?y=@registry.example/app"),
        format!("127.0.0.1:{port}\r\nHost: registry.example/x:1"),
        "169.254.169.254/latest/meta-data".to_owned(),
        "metadata.google.internal/computeMetadata/v1:1".to_owned(),
    ] {
        for entry in [Entry::Verify, Entry::Bootstrap] {
            let answered = answer(&webhook, entry, &pod(&image)).await;
            assert_eq!(answered["allowed"], false, "{image}");
            let text = answered["status"]["message"].as_str().unwrap();
            assert!(!text.contains("secret") || image.contains("secret"), "{text}");
        }
        answer(&webhook, Entry::Pin, &pod(&image)).await;
        answer(&webhook, Entry::Pin, &deployment(&image)).await;
    }
    for listener in listeners {
        listener.set_nonblocking(true).unwrap();
        let asked = listener.accept().map(|(_, from)| from);
        assert_eq!(asked.map_err(|error| error.kind()).unwrap_err(), io::ErrorKind::WouldBlock, "somebody came");
    }
}

#[tokio::test]
async fn no_name_that_an_attacker_chooses_becomes_a_label() {
    let temp = tempfile::tempdir().unwrap();
    let webhook = webhook_by(publish(temp.path()), Pin::Pods, EVERY).await;
    let ask = async |number: usize| {
        let image = format!("evil{number}.example/na\u{6d}e{number}:tag{number}");
        let object = json!({
            "metadata": {"labels": {format!("evil{number}"): "x"}, "annotations": {format!("evil{number}"): "x"}},
            "spec": {"containers": [{"image": image}, {"image": format!("evil\n{number}\u{202e}")}]},
        });
        let body =
            review(("", "Pod", "pods"), &format!("evil{number}"), &object).replace("prod", &format!("evil{number}"));
        for entry in [Entry::Verify, Entry::Bootstrap, Entry::Pin] {
            call(&webhook, entry, &body).await;
        }
        let foreign = review(("evil.example", &format!("Evil{number}"), &format!("evil{number}s")), "x", &object);
        call(&webhook, Entry::Verify, &foreign).await;
    };
    ask(0).await;
    let series = || webhook.metrics.render().lines().filter(|line| !line.starts_with('#')).count();
    let before = series();
    for number in 1..50 {
        ask(number).await;
    }
    assert_eq!(series(), before, "{}", webhook.metrics.render());
    assert!(before < 100, "{before} series of one webhook");
    let text = webhook.metrics.render();
    assert!(!text.to_lowercase().contains("evil"), "{text}");
    assert!(text.contains("pratique_decisions_total{verdict=\"refused\""), "{text}");
}
