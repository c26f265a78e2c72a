//! Reviews with an API server behind the webhook.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::{
    admission::{BREAK_GLASS, Request},
    cluster::{events::Writer, testing::ApiServer},
    policy::Policy,
    server::{Entry, NEXT_PATIENCE, Pin},
};

/// A webhook whose repository is nowhere, so that nothing it verifies can be judged; and who writes its Events.
async fn webhook(server: &ApiServer, glass: &str) -> (Webhook, Writer) {
    let temp = tempfile::tempdir().unwrap();
    let plan = crate::publish::Plan::default();
    let keys = plan.keys_from_seed("aftermath").unwrap();
    let mut publisher = crate::publish::Publisher::init(temp.path(), keys, &plan, Timestamp::now()).unwrap();
    publisher.commit().unwrap();
    let root = std::fs::read(temp.path().join("metadata/1.root.json")).unwrap();
    let text = format!(
        "version: 1
repositories: {{acme: {{url: \"file:///nowhere\", root: root.json}}}}
rules:
  - {{name: own, match: {{images: [\"registry.example/**\"]}}, verify: {{repositories: [acme]}}}}
  - {{name: trial, match: {{images: [\"trial.example/**\"]}}, verify: {{repositories: [acme]}}, mode: warn}}
{glass}"
    );
    let files = BTreeMap::from([("root.json".to_owned(), root)]);
    let world = World::build(Arc::new(Policy::parse(&text).unwrap()), &files, None, None, None).await.unwrap();
    let (events, writer) = Events::new(server.client(), "replica-1", Arc::default());
    let webhook = Webhook {
        world: Arc::new(ArcSwapOption::from_pointee(world)),
        lack: Arc::default(),
        verifier: Arc::default(),
        metrics: Arc::default(),
        pin: Pin::Off,
        custom_kinds: Vec::new(),
        policy_configmap: None,
        next_patience: NEXT_PATIENCE,
        cluster: Some(Cluster { access: Access::new(server.client()), events }),
    };
    (webhook, writer)
}

const GLASS: &str = "breakGlass: {namespaces: [prod]}\n";

fn asked() -> Value {
    let metadata = json!({"name": "app", "annotations": {BREAK_GLASS: "the registry is down"}});
    let digest = "0".repeat(64);
    let image = format!("registry.example/app@sha256:{digest}");
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "name": "app", "namespace": "prod",
        "object": {"metadata": metadata, "spec": {"containers": [{"image": image}]}},
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "userInfo": {"username": "ann", "groups": ["oncall"]},
    }})
}

async fn answer(webhook: &Webhook, review: &Value) -> Value {
    let body = review.to_string();
    let request = Request::parse(body.as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let call = Call { entry: Entry::Verify, body: Bytes::from(body), deadline, span: tracing::Span::none() };
    webhook.answer(&call, &request, Timestamp::now()).await.to_json()["response"].take()
}

/// The notes of the Events, and what they are about.
async fn events(webhook: Webhook, writer: Writer, server: &ApiServer) -> Vec<(String, Value)> {
    drop(webhook);
    writer.run(crate::cluster::testing::now).await;
    let written = server.posted().into_iter().filter(|(path, _)| path.ends_with("/events"));
    written.map(|(_, event)| (event["note"].as_str().unwrap().to_owned(), event["regarding"].clone())).collect()
}

#[tokio::test]
async fn broken_glass_admits_what_is_refused_and_is_heard_everywhere() {
    let server = ApiServer::start().await;
    server.grant(json!({"allowed": true}));
    let (webhook, writer) = webhook(&server, GLASS).await;
    let response = answer(&webhook, &asked()).await;
    assert_eq!(response["allowed"], true);
    let annotations = &response["auditAnnotations"];
    assert_eq!(annotations["break-glass"], "the registry is down");
    assert_eq!((&annotations["weak"], &annotations["code"]), (&json!("break-glass"), &json!("tuf/missing")));
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.ends_with(" (not enforced: the glass is broken: the registry is down)"), "{warning}");
    let metrics = webhook.metrics.render();
    assert!(metrics.contains("pratique_break_glass_total{outcome=\"broken\"} 1\n"), "{metrics}");
    assert!(metrics.contains("pratique_decisions_total{verdict=\"break-glass\",class=\"unavailable\""), "{metrics}");
    let events = events(webhook, writer, &server).await;
    let [(note, regarding)] = &events[..] else { panic!("{events:?}") };
    assert!(note.starts_with("ann broke the glass: the registry is down\nnot a verdict: 1 of 1 image"), "{note}");
    assert_eq!(
        (&regarding["kind"], &regarding["name"], &regarding["namespace"]),
        (&json!("Pod"), &json!("app"), &json!("prod"))
    );
}

/// Each of these alone keeps the glass whole.
#[tokio::test]
async fn the_glass_stays_whole_unless_everybody_agrees() {
    let server = ApiServer::start().await;
    let refused = async |glass: &str, change: &dyn Fn(&mut Value)| {
        let (webhook, writer) = webhook(&server, glass).await;
        let mut review = asked();
        change(&mut review["request"]);
        let response = answer(&webhook, &review).await;
        assert_eq!((&response["allowed"], response["auditAnnotations"].get("break-glass")), (&json!(false), None));
        let metrics = webhook.metrics.render();
        assert!(!metrics.contains("outcome=\"broken\""), "{metrics}");
        assert_eq!(events(webhook, writer, &server).await, []);
        metrics
    };
    server.grant(json!({"allowed": true}));
    let nothing = |_: &mut Value| {};
    refused("", &nothing).await;
    refused("breakGlass: {namespaces: [staging]}\n", &nothing).await;
    refused("breakGlass: {namespaces: [prod], until: 2020-01-01T00:00:00Z}\n", &nothing).await;
    refused(GLASS, &|request| request["namespace"] = json!("staging")).await;
    refused(GLASS, &|request| request["operation"] = json!("UPDATE")).await;
    let annotations = |request: &mut Value| request["object"]["metadata"]["annotations"] = json!({BREAK_GLASS: " "});
    refused(GLASS, &annotations).await;
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app", "uid": "7", "controller": true}]);
    refused(GLASS, &|request| request["object"]["metadata"]["ownerReferences"] = owner.clone()).await;
    // The annotation of a template, and of the object around it.
    refused(GLASS, &|request| {
        let pod = request["object"].take();
        request["object"] = json!({"metadata": pod["metadata"], "spec": {"template": pod}});
        request["kind"] = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
        request["resource"] = json!({"group": "apps", "version": "v1", "resource": "deployments"});
    })
    .await;
    // Nobody needed to be asked so far.
    assert_eq!(server.posted(), []);

    server.grant(json!({"allowed": false}));
    assert!(refused(GLASS, &nothing).await.contains("pratique_break_glass_total{outcome=\"refused\"} 1\n"));
    server.grant(json!({"allowed": true, "evaluationError": "who knows"}));
    assert!(refused(GLASS, &nothing).await.contains("pratique_break_glass_total{outcome=\"failed\"} 1\n"));
    server.forbid();
    assert!(refused(GLASS, &nothing).await.contains("pratique_break_glass_total{outcome=\"failed\"} 1\n"));
}

#[tokio::test]
async fn without_an_api_server_nobody_breaks_the_glass() {
    let server = ApiServer::start().await;
    server.grant(json!({"allowed": true}));
    let (mut webhook, _) = webhook(&server, GLASS).await;
    webhook.cluster = None;
    assert_eq!(answer(&webhook, &asked()).await["allowed"], false);
}

#[tokio::test]
async fn a_dry_run_leaves_no_event() {
    let server = ApiServer::start().await;
    server.grant(json!({"allowed": true}));
    let (webhook, writer) = webhook(&server, GLASS).await;
    let mut review = asked();
    review["request"]["dryRun"] = json!(true);
    assert_eq!(answer(&webhook, &review).await["allowed"], true);
    assert_eq!(events(webhook, writer, &server).await, []);
}

#[tokio::test]
async fn a_warning_about_a_pod_that_a_controller_made_goes_to_its_owner() {
    let server = ApiServer::start().await;
    let (webhook, writer) = webhook(&server, "").await;
    let mut review = asked();
    let image = format!("trial.example/app@sha256:{}", "0".repeat(64));
    review["request"]["object"]["spec"]["containers"][0]["image"] = json!(image);
    // By hand: whoever made it reads the warning.
    assert_eq!(answer(&webhook, &review).await["warnings"].as_array().unwrap().len(), 1);
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-7", "uid": "7", "controller": true});
    review["request"]["object"]["metadata"]["ownerReferences"] = json!([owner]);
    assert_eq!(answer(&webhook, &review).await["allowed"], true);
    let events = events(webhook, writer, &server).await;
    let [(note, regarding)] = &events[..] else { panic!("{events:?}") };
    assert!(
        note.starts_with("not enforced: not a verdict: 1 of 1 image could not be judged: [tuf/missing] "),
        "{note}"
    );
    let expected =
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-7", "uid": "7", "namespace": "prod"});
    assert_eq!(*regarding, expected);
}

#[tokio::test]
async fn a_reason_is_one_line_wherever_it_is_heard() {
    let server = ApiServer::start().await;
    server.grant(json!({"allowed": true}));
    let (webhook, writer) = webhook(&server, GLASS).await;
    let hostile = "x\nnot a verdict: all is well\u{1b}[2K\u{202e}";
    let mut review = asked();
    review["request"]["object"]["metadata"]["annotations"][BREAK_GLASS] = json!(hostile);
    let response = answer(&webhook, &review).await;
    assert_eq!(response["allowed"], true, "{response}");
    let told = [&response["auditAnnotations"]["break-glass"], &response["warnings"][0]];
    for text in told.map(|text| text.as_str().unwrap()) {
        assert!(!text.chars().any(char::is_control) && !text.contains('\u{202e}'), "{text:?}");
        assert!(text.contains("x\\u{a}not a verdict"), "{text:?}");
    }
    let events = events(webhook, writer, &server).await;
    let [(note, _)] = &events[..] else { panic!("{events:?}") };
    assert!(note.starts_with("ann broke the glass: x\\u{a}not a verdict: all is well\\u{1b}[2K\\u{202e}\n"), "{note}");
}
