//! Is this process alive, and should it be asked?

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Version, header::CONNECTION},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;

/// What a replica needs before it is asked for verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A certificate to serve.
    Certificate,
    /// A policy that loads.
    Policy,
    /// What all replicas remember together has been read (trust.md R4).
    Trust,
    /// Per repository: the cache was verified, or one refresh was tried (trust.md A5).
    Repositories,
    /// The clock agrees with the API server's (trust.md R8).
    Clock,
    /// The Pods of the cluster were listed and judged once.
    Pods,
}

impl Part {
    /// Whether trouble that comes later takes the replica out of service. For most parts it does not (trust.md A5):
    /// without a replica every request fails, with one in trouble most are still judged.
    fn can_be_lost(self) -> bool {
        matches!(self, Self::Clock)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Policy => "policy",
            Self::Trust => "trust",
            Self::Repositories => "repositories",
            Self::Clock => "clock",
            Self::Pods => "pods",
        })
    }
}

/// The parts that are waited for, and whether the process is going away.
#[derive(Debug)]
pub struct Health {
    parts: Mutex<Parts>,
    began: Instant,
}

#[derive(Debug)]
struct Parts {
    /// `None` = ready, `Some` = why not.
    parts: BTreeMap<Part, Option<String>>,
    /// Whether all parts have been there at once.
    has_been: bool,
    draining: bool,
}

impl Health {
    /// Not ready until each of `parts` is.
    pub fn new(parts: impl IntoIterator<Item = Part>) -> Self {
        let parts = parts.into_iter().map(|part| (part, Some("not there yet".to_owned()))).collect();
        Self { parts: Mutex::new(Parts { parts, has_been: false, draining: false }), began: Instant::now() }
    }

    /// `part` is there.
    pub fn ready(&self, part: Part) {
        let mut state = self.lock();
        state.parts.insert(part, None);
        if !state.has_been && state.parts.values().all(Option::is_none) {
            state.has_been = true;
            tracing::info!(after_ms = self.began.elapsed().as_millis(), "ready");
        }
    }

    /// `part` is not there, and why. Where readiness is not withdrawn again this is ignored.
    pub fn waiting(&self, part: Part, why: impl Into<String>) {
        let mut state = self.lock();
        let reason = state.parts.entry(part).or_default();
        if reason.is_some() || part.can_be_lost() {
            *reason = Some(why.into());
        }
    }

    /// From now on no new requests, please.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// Why the replica is not to be asked, a line each; empty when it is.
    pub fn reasons(&self) -> Vec<String> {
        let state = self.lock();
        let missing = |(part, why): (&Part, &Option<String>)| why.as_ref().map(|why| format!("{part}: {why}"));
        let mut reasons: Vec<String> = state.parts.iter().filter_map(missing).collect();
        reasons.extend(state.draining.then(|| "shutting down".to_owned()));
        reasons
    }

    fn draining(&self) -> bool {
        self.lock().draining
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        // Every change above is one assignment, so a panic elsewhere leaves nothing half done.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Over HTTP/1.1, in which the API server asks, every answer of a process that goes away ends its connection. Otherwise
/// connections would be closed while they are idle, and a request that is on its way just then is lost: the client
/// cannot know whether it was taken, and sends no POST again. HTTP/2 has GOAWAY for that.
pub(super) async fn part(State(health): State<Arc<Health>>, request: Request, next: Next) -> Response {
    let version = request.version();
    let mut response = next.run(request).await;
    if version < Version::HTTP_2 && health.draining() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The process answers, so it is alive.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

pub(super) async fn readyz(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    let reasons = health.reasons();
    if reasons.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
}
