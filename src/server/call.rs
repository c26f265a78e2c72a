//! A request to the webhook, whole and with a deadline, or the reason why it is not read.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{FromRef, FromRequest, Request},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tracing::{Span, field::Empty};

use super::Limits;
use crate::{admission, telemetry::traces};

/// What is called: one of our webhook entries (admission.md, "Webhook entries"), or the one that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// `verify.pratique.dev`: validating, fails closed.
    Verify,
    /// `bootstrap.pratique.dev`: the same check, fails open.
    Bootstrap,
    /// `pin.pratique.dev`: mutating, never denies.
    Pin,
    /// `policy.pratique.dev`: refuses edits of our policy that do not load.
    Policy,
    /// No webhook's: the API server's plugin ImagePolicyWebhook.
    ImagePolicy,
}

impl Entry {
    const ALL: [Self; 5] = [Self::Verify, Self::Bootstrap, Self::Pin, Self::Policy, Self::ImagePolicy];

    /// The path that the webhook configuration names.
    pub fn path(self) -> &'static str {
        match self {
            Self::Verify => "/verify",
            Self::Bootstrap => "/bootstrap",
            Self::Pin => "/pin",
            Self::Policy => "/policy",
            Self::ImagePolicy => "/image-policy",
        }
    }

    /// The entry at a path.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entry| entry.path() == path)
    }

    /// How long the API server waits if it does not say: what our webhook configuration sets.
    fn usual_timeout(self) -> Duration {
        Duration::from_secs(match self {
            // The plugin itself waits for 30, and does not say so.
            Self::Verify | Self::ImagePolicy => 10,
            Self::Bootstrap => 3,
            Self::Pin | Self::Policy => 5,
        })
    }
}

/// One call of an entry: an extractor for its handler.
#[derive(Debug)]
pub struct Call {
    /// Which entry.
    pub entry: Entry,
    /// The whole body. Not parsed. For as long as it is held it counts for [`Limits::bodies`].
    pub body: Bytes,
    /// When the answer has to leave.
    pub deadline: Instant,
    /// In which the answer is worked out.
    pub span: Span,
}

/// Bytes that give their share of the memory back when they are freed.
struct Counted {
    bytes: Vec<u8>,
    _memory: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a request is not read. Such a request gets an HTTP status and no AdmissionReview: without a body there is no
/// `uid` to answer to. `failurePolicy` decides what it means.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The path is none of ours.
    #[error("{path:?} is no entry of this webhook")]
    NoEntry {
        /// The path.
        path: String,
    },
    /// Not JSON.
    #[error("the content type is {found:?}, an AdmissionReview is \"application/json\"")]
    WrongType {
        /// What the head says, or nothing.
        found: String,
    },
    /// Too long.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// [`Limits::body`].
        limit: usize,
        /// Of the review, where one is to be judged and its start was read: then it is answered, and refused. Else
        /// whoever makes an object too large would have it pass where failed calls are let through.
        uid: Option<String>,
    },
    /// The body did not come in time.
    #[error("the body did not arrive within {} ms", waited.as_millis())]
    TooSlow {
        /// Until the deadline.
        waited: Duration,
    },
    /// Other bodies take all the memory that bodies may take.
    #[error("too many requests are being read")]
    Busy,
    /// The connection broke, or the body was not framed as announced.
    #[error("the body broke off: {why}")]
    BrokeOff {
        /// What the HTTP library says.
        why: String,
    },
}

impl IntoResponse for Unreadable {
    fn into_response(self) -> Response {
        if let Self::TooLarge { limit, uid: Some(uid) } = &self {
            let error = admission::Error::TooLarge { limit: *limit };
            return Json(admission::Answer::unread(uid, &error).to_json()).into_response();
        }
        let status = match self {
            Self::NoEntry { .. } => StatusCode::NOT_FOUND,
            Self::WrongType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            // The API server calls again while it has time.
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::BrokeOff { .. } => StatusCode::BAD_REQUEST,
        };
        (status, format!("{self}\n")).into_response()
    }
}

/// What bodies share. The state of every handler that takes a [`Call`] has one (`FromRef`).
#[derive(Debug, Clone)]
pub struct Gate {
    max_body: usize,
    memory: Arc<Semaphore>,
}

impl Gate {
    /// A gate with the caps of `limits`.
    pub fn new(limits: &Limits) -> Self {
        // A body that may come must be able to come.
        let memory = limits.bodies.max(limits.body).min(Semaphore::MAX_PERMITS);
        Self { max_body: limits.body, memory: Arc::new(Semaphore::new(memory)) }
    }
}

impl<S: Send + Sync> FromRequest<S> for Call
where
    Gate: FromRef<S>,
{
    type Rejection = Unreadable;

    async fn from_request(request: Request, state: &S) -> Result<Self, Unreadable> {
        let gate = Gate::from_ref(state);
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let entry = Entry::at(path).ok_or_else(|| Unreadable::NoEntry { path: path.to_owned() })?;
        let allowed = allowed(entry, head.uri.query());
        let deadline = Instant::now() + allowed;
        json(&head.headers)?;
        let span = tracing::debug_span!(target: traces::TARGET, "review", otel.kind = "server", entry = entry.path(),
            uid = Empty, namespace = Empty, kind = Empty, allowed = Empty);
        traces::join(&span, &head.headers);
        let announced = announced(&head.headers);
        if announced.is_some_and(|length| length > gate.max_body) {
            return Err(gate.too_large(entry, Vec::new(), body, deadline).await);
        }
        // All of it or nothing is taken from the memory of bodies: two that each wait for the rest would wait for ever.
        let share = u32::try_from(announced.unwrap_or(gate.max_body)).unwrap_or(u32::MAX);
        let memory = timeout_at(deadline, gate.memory.clone().acquire_many_owned(share)).await;
        let Ok(Ok(memory)) = memory else { return Err(Unreadable::Busy) };
        let read = timeout_at(deadline, gate.read(entry, announced, body, deadline)).await;
        let bytes = read.unwrap_or(Err(Unreadable::TooSlow { waited: allowed }))?;
        let body = Bytes::from_owner(Counted { bytes, _memory: memory });
        Ok(Self { entry, body, deadline, span })
    }
}

impl Gate {
    async fn read(
        &self,
        entry: Entry,
        announced: Option<usize>,
        body: Body,
        deadline: Instant,
    ) -> Result<Vec<u8>, Unreadable> {
        // What was announced is within the limit, and was taken from the memory of bodies.
        let mut bytes = Vec::with_capacity(announced.unwrap_or_default());
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| Unreadable::BrokeOff { why: error.to_string() })?;
            if bytes.len().saturating_add(chunk.len()) > self.max_body {
                begin(&mut bytes, &chunk);
                return Err(self.too_large(entry, bytes, Body::from_stream(chunks), deadline).await);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The refusal of a body that is too long, after the rest of it was thrown away: a client that is still sending
    /// does not read an answer, and closing on it would look to it like an outage.
    async fn too_large(&self, entry: Entry, mut start: Vec<u8>, body: Body, deadline: Instant) -> Unreadable {
        /// How many times the limit is read in vain.
        const PATIENCE: usize = 8;
        let discard = async {
            let mut left = self.max_body.saturating_mul(PATIENCE);
            let mut chunks = body.into_data_stream();
            while let Some(Ok(chunk)) = chunks.next().await {
                begin(&mut start, &chunk);
                left = match left.checked_sub(chunk.len()) {
                    Some(left) => left,
                    None => break,
                };
            }
        };
        // What did not come until the deadline is not waited for.
        let _ = timeout_at(deadline, discard).await;
        let judges = matches!(entry, Entry::Verify | Entry::Bootstrap);
        Unreadable::TooLarge { limit: self.max_body, uid: uid_of(&start).filter(|_| judges) }
    }
}

/// Bytes of a review in which its uid stands.
const START: usize = 1_024;

/// Adds to the start of a body what belongs to it.
fn begin(start: &mut Vec<u8>, chunk: &[u8]) {
    let missing = START.saturating_sub(start.len());
    start.extend(chunk.iter().take(missing));
}

/// The uid of a review of which no more is read: the API server writes it first.
fn uid_of(body: &[u8]) -> Option<String> {
    const BEFORE: &[u8] = br#""request":{"uid":""#;
    let start = body.get(..START).unwrap_or(body);
    let found = start.windows(BEFORE.len()).position(|window| window == BEFORE)?;
    let uid = start.get(found + BEFORE.len()..)?;
    let uid = uid.get(..uid.iter().position(|byte| *byte == b'"')?)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    (!uid.is_empty() && uid.iter().all(plain)).then(|| String::from_utf8_lossy(uid).into_owned())
}

/// From the arrival of a request until its answer has to leave: the API server's `?timeout=` less what the way back
/// takes (admission.md, "Answers").
fn allowed(entry: Entry, query: Option<&str>) -> Duration {
    const WAY_BACK: Duration = Duration::from_millis(1500);
    const AT_LEAST: Duration = Duration::from_millis(500);
    /// The API server's own limit.
    const AT_MOST: Duration = Duration::from_secs(30);
    let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let given = pairs.find(|(name, _)| *name == "timeout").and_then(|(_, value)| go_duration(value));
    let timeout = given.unwrap_or_else(|| entry.usual_timeout()).min(AT_MOST);
    timeout.saturating_sub(WAY_BACK).max(AT_LEAST)
}

/// A duration as Go writes it (`1m30s`, `1.5s`, `500ms`), as far as timeouts of webhooks need it.
fn go_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            _ => return None,
        };
        let seconds = number.parse::<f64>().ok()? * unit;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

fn json(headers: &HeaderMap) -> Result<(), Unreadable> {
    let found = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Unreadable::WrongType { found: found.into_owned() })
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_leaves_before_the_api_server_stops_waiting() {
        let millis = |query: &str| allowed(Entry::Verify, Some(query)).as_millis();
        assert_eq!(millis("timeout=10s"), 8500);
        assert_eq!(millis("dryRun=1&timeout=3s"), 1500);
        assert_eq!(millis("timeout=1s"), 500);
        assert_eq!(millis("timeout=0s"), 500);
        assert_eq!(millis("timeout=1m0s"), 28_500);
        assert_eq!(millis("timeout=2.5s"), 1000);
        assert_eq!(millis("timeout=4500ms"), 3000);
        for garbage in
            ["", "timeout", "timeout=", "timeout=10", "timeout=s", "timeout=1y", "timeout=-5s", "timeout=1..s"]
        {
            assert_eq!(millis(garbage), 8500, "{garbage}");
        }
        assert_eq!(millis("timeout=99999999999999999999999999h"), 8500);
        assert_eq!(allowed(Entry::Bootstrap, None), Duration::from_millis(1500));
    }

    #[test]
    fn every_entry_is_found_at_its_path_and_nowhere_else() {
        for entry in Entry::ALL {
            assert_eq!(Entry::at(entry.path()), Some(entry));
        }
        for path in ["/", "", "/verify/", "/Verify", "/healthz"] {
            assert_eq!(Entry::at(path), None);
        }
    }
}
