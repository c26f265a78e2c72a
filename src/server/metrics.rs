//! What is counted about every request, and where the counts are read.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use tokio::time::Instant;

use super::Entry;
use crate::telemetry::{
    Metrics,
    metrics::{self, Answer},
};

pub(super) async fn render(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.render())
}

/// Counts the answer to a request. A handler that panics is answered for: else it would take the connection and every
/// other request on it along. The API server takes the 500 for a failed call, which `failurePolicy` decides.
pub(super) async fn observe(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let entry = Entry::at(request.uri().path());
    let path = entry.map_or_else(|| status_path(request.uri().path()), Entry::path);
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(path, "a handler panicked");
        (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response()
    });
    metrics.answered(&Answer { path, status: response.status().as_u16() }, entry.map(|_| begun.elapsed()));
    response
}

/// The label of a path that is no webhook entry. Whatever else clients invent is one label.
fn status_path(path: &str) -> &'static str {
    match path {
        "/healthz" => "/healthz",
        "/readyz" => "/readyz",
        "/metrics" => "/metrics",
        _ => "other",
    }
}
