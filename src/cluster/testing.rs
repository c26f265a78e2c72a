//! As much of an API server as the tests of this module need, on a real socket.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

/// ConfigMaps that can be read and watched, and whatever is posted.
pub(crate) struct ApiServer {
    url: String,
    state: Arc<Shared>,
}

struct Shared {
    /// Every change so far, in order; the last one of a name is what there is.
    changes: watch::Sender<Vec<Change>>,
    posted: Mutex<Vec<(String, Value)>>,
    forbidden: Mutex<bool>,
    /// The status of every SubjectAccessReview.
    granted: Mutex<Value>,
}

#[derive(Clone)]
struct Change {
    kind: &'static str,
    name: String,
    object: Value,
}

/// The time of all tests.
pub(crate) fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Shared {
            changes: watch::Sender::new(Vec::new()),
            posted: Mutex::default(),
            forbidden: Mutex::default(),
            granted: Mutex::new(json!({"allowed": false})),
        });
        let app = Router::new()
            .route("/api/v1/namespaces/{namespace}/configmaps", get(list_or_watch))
            .route("/api/v1/namespaces/{namespace}/configmaps/{name}", get(read))
            .route("/api/v1/namespaces/{namespace}/secrets/{name}", get(read))
            .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(create))
            .route("/apis/events.k8s.io/v1/namespaces/{namespace}/events", post(create))
            .with_state(state.clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum_server::from_tcp(listener).unwrap().serve(app.into_make_service()));
        Self { url, state }
    }

    pub(crate) fn client(&self) -> Client {
        Client::try_from(kube::Config::new(self.url.parse().unwrap())).unwrap()
    }

    /// Creates or replaces a ConfigMap.
    pub(crate) fn put(&self, map: &ConfigMap) {
        self.change("MODIFIED", serde_json::to_value(map).unwrap());
    }

    /// Creates or replaces a Secret. No ConfigMap has its name.
    pub(crate) fn put_secret(&self, secret: &Secret) {
        self.change("MODIFIED", serde_json::to_value(secret).unwrap());
    }

    pub(crate) fn delete(&self, map: &ConfigMap) {
        self.change("DELETED", serde_json::to_value(map).unwrap());
    }

    /// Breaks every watch off; whoever comes again sees what there is.
    pub(crate) fn break_watches(&self) {
        self.change("ERROR", json!({"metadata": {"name": ""}, "code": 410, "reason": "Expired"}));
    }

    /// From now on nothing is allowed.
    pub(crate) fn forbid(&self) {
        *self.state.forbidden.lock().unwrap() = true;
    }

    /// The answer to who may do what, from now on.
    pub(crate) fn grant(&self, status: Value) {
        *self.state.granted.lock().unwrap() = status;
    }

    /// Path and body of everything posted.
    pub(crate) fn posted(&self) -> Vec<(String, Value)> {
        self.state.posted.lock().unwrap().clone()
    }

    fn change(&self, kind: &'static str, mut object: Value) {
        self.state.changes.send_modify(|changes| {
            if kind == "ERROR" {
                object["kind"] = json!("Status");
                object["status"] = json!("Failure");
                object["message"] = json!("too old");
            } else {
                object["metadata"]["resourceVersion"] = json!((changes.len() + 1).to_string());
                object["metadata"]["namespace"] = json!("pratique");
            }
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            changes.push(Change { kind, name, object });
        });
    }
}

impl Shared {
    fn now(&self, name: &str) -> Option<Value> {
        let changes = self.changes.borrow();
        let last = changes.iter().rev().find(|change| change.name == name)?;
        (last.kind != "DELETED").then(|| last.object.clone())
    }

    fn refusal(&self) -> Option<Response> {
        let forbidden = *self.forbidden.lock().unwrap();
        forbidden.then(|| status(StatusCode::FORBIDDEN, "Forbidden"))
    }
}

fn status(code: StatusCode, reason: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "reason": reason, "message": reason,
    });
    (code, Json(body)).into_response()
}

async fn read(State(state): State<Arc<Shared>>, Path((_, name)): Path<(String, String)>) -> Response {
    if let Some(refusal) = state.refusal() {
        return refusal;
    }
    state.now(&name).map_or_else(|| status(StatusCode::NOT_FOUND, "NotFound"), |object| Json(object).into_response())
}

async fn create(State(state): State<Arc<Shared>>, request: Request) -> Response {
    if let Some(refusal) = state.refusal() {
        return refusal;
    }
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    state.posted.lock().unwrap().push((path, body.clone()));
    let mut body = body;
    if body["kind"] == "SubjectAccessReview" {
        body["status"] = state.granted.lock().unwrap().clone();
    }
    (StatusCode::CREATED, Json(body)).into_response()
}

async fn list_or_watch(State(state): State<Arc<Shared>>, request: Request) -> Response {
    if let Some(refusal) = state.refusal() {
        return refusal;
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    // The account may watch one name and nothing else.
    let Some(name) = query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector=metadata.name%3D")) else {
        return status(StatusCode::FORBIDDEN, "Forbidden");
    };
    let name = name.to_owned();
    let known = state.changes.borrow().len();
    if !query.contains("watch=true") {
        let items: Vec<Value> = state.now(&name).into_iter().collect();
        let version = known.to_string();
        let list = json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items});
        return Json(list).into_response();
    }
    let since = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
    let since: usize = since.unwrap().parse().unwrap();
    let changes = futures::stream::unfold((state.changes.subscribe(), since), |(mut changes, seen)| async move {
        let change = changes.wait_for(|all| all.len() > seen).await.ok()?[seen].clone();
        Some((change, (changes, seen + 1)))
    });
    let mut ended = false;
    let lines = changes
        .take_while(move |change| {
            let go_on = !ended;
            ended = change.kind == "ERROR";
            std::future::ready(go_on)
        })
        .filter(move |change| std::future::ready(change.name == name || change.kind == "ERROR"))
        .map(|change| Ok::<_, std::io::Error>(format!("{}\n", json!({"type": change.kind, "object": change.object}))));
    Body::from_stream(lines).into_response()
}
