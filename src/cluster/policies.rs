//! Which policy is in force, and what if the newest text of it is wrong?
//!
//! ```text
//! ConfigMap ─watch─┐
//!                  ├─▶ Keeper ─parse─▶ in force ─watch channel─▶ reviews
//! file ─────poll───┘          └──────▶ metric, Event, log line; the last good one stays
//! ```

#![expect(clippy::disallowed_methods, reason = "outside a cluster the policy is a file")]

use std::{fmt, io::Read, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::Client;
use tokio::{sync::watch, time::MissedTickBehavior};

use super::{
    events::{Event, Events, Kind},
    one,
};
use crate::telemetry::{Metrics, causes, metrics::LoadOutcome};

/// The policy in force.
#[derive(Debug, PartialEq, Eq)]
pub struct PolicyState<P, E> {
    /// The policy.
    pub policy: Arc<P>,
    /// Since when.
    pub since: Timestamp,
    /// What is wrong with the newest text, if it is not the one in force.
    pub fault: Option<Fault<E>>,
}

/// Where reviews find the policy in force; `None` until there has been a good one.
pub type InForce<P, E> = watch::Receiver<State<P, E>>;

type Parse<P, E> = dyn Fn(&str) -> Result<P, E> + Send;
type State<P, E> = Option<Arc<PolicyState<P, E>>>;

/// Why a policy is not in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault<E> {
    /// There is no text.
    #[error("{place}: {why}")]
    NoText {
        /// The file, or the ConfigMap and its key.
        place: String,
        /// What is missing.
        why: String,
    },
    /// The text does not load.
    #[error("{0}")]
    Refused(E),
}

/// Keeps the last good policy in force. Generic over what a policy is only in so far as it can be parsed.
pub struct Keeper<P, E> {
    parse: Box<Parse<P, E>>,
    in_force: watch::Sender<State<P, E>>,
    place: Place,
    events: Option<Events>,
    metrics: Arc<Metrics>,
    /// The newest text, good or bad: each is judged and reported once.
    seen: Option<Result<String, String>>,
}

/// Where the text of the policy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// A key of a ConfigMap.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
}

/// Bytes of a policy; a ConfigMap holds no more.
const MAX_BYTES: u64 = 1 << 20;

impl<P, E> Keeper<P, E>
where
    P: Send + Sync + 'static,
    E: fmt::Display + Clone + Send + Sync + 'static,
{
    /// A keeper and where to look for what it keeps. Events, if any, are written on the ConfigMap.
    pub fn new(
        place: Place,
        parse: impl Fn(&str) -> Result<P, E> + Send + 'static,
        events: Option<Events>,
        metrics: Arc<Metrics>,
    ) -> (Self, InForce<P, E>) {
        let (in_force, receiver) = watch::channel(None);
        (Self { parse: Box::new(parse), in_force, place, events, metrics, seen: None }, receiver)
    }

    /// The newest text, or why there is none. Returns what is wrong with it, once.
    pub fn offer(&mut self, text: Result<String, String>, now: Timestamp) -> Result<(), Fault<E>> {
        if self.seen.as_ref() == Some(&text) {
            return Ok(());
        }
        let parsed = match &text {
            Ok(text) => (self.parse)(text).map_err(Fault::Refused),
            Err(why) => Err(Fault::NoText { place: self.place.to_string(), why: why.clone() }),
        };
        self.seen = Some(text);
        match parsed {
            Ok(policy) => {
                tracing::info!(place = %self.place, "a new policy is in force");
                self.metrics.policy_loaded(LoadOutcome::Loaded, now);
                let state = PolicyState { policy: Arc::new(policy), since: now, fault: None };
                self.in_force.send_replace(Some(Arc::new(state)));
                Ok(())
            }
            Err(fault) => {
                self.keep(&fault, now);
                Err(fault)
            }
        }
    }

    /// Looks into a file every `pause`, for ever. `clock` is read at every look.
    pub async fn follow_file(mut self, pause: Duration, clock: impl Fn() -> Timestamp) {
        let Place::File(path) = self.place.clone() else { return };
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let path = path.clone();
            let text = tokio::task::spawn_blocking(move || read(&path)).await;
            let text = text.map_err(|error| error.to_string()).flatten();
            // Reported where it was judged.
            let _ = self.offer(text, clock());
        }
    }

    /// Watches a ConfigMap, for ever. `clock` is read at every change. While the API server is away, what is in force
    /// stays.
    pub async fn follow_config_map(mut self, client: Client, clock: impl Fn() -> Timestamp) {
        let Place::ConfigMap { namespace, name, key } = self.place.clone() else { return };
        let mut changes = pin!(one::follow(client, &namespace, &name));
        while let Some(change) = changes.next().await {
            let text = match change {
                Ok(Some(map)) => text(map, &key),
                Ok(None) => Err("there is no such ConfigMap".to_owned()),
                Err(error) => {
                    tracing::warn!(place = %self.place, error = causes(&error), "the policy cannot be watched");
                    continue;
                }
            };
            // Reported where it was judged.
            let _ = self.offer(text, clock());
        }
    }

    /// The newest text is wrong: whatever was in force stays, and somebody is told.
    fn keep(&self, fault: &Fault<E>, now: Timestamp) {
        let kept = self.in_force.borrow().clone();
        let outcome = if kept.is_some() { LoadOutcome::Kept } else { LoadOutcome::Missing };
        self.metrics.policy_loaded(outcome, now);
        let place = &self.place;
        let what = match &kept {
            Some(state) => {
                tracing::error!(%place, %fault, since = %state.since, "the new policy does not load, the last good one stays");
                format!("the policy of {} stays in force", state.since)
            }
            None => {
                tracing::error!(%place, %fault, "the policy does not load, and there was none before");
                "no policy is in force".to_owned()
            }
        };
        if let Some(events) = &self.events
            && let Place::ConfigMap { namespace, name, .. } = place
        {
            events.write(Event {
                kind: Kind::Warning,
                reason: "PolicyRejected",
                action: "LoadPolicy",
                note: format!("{what}: {fault}"),
                regarding: ObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("ConfigMap".to_owned()),
                    namespace: Some(namespace.clone()),
                    name: Some(name.clone()),
                    ..ObjectReference::default()
                },
            });
        }
        if let Some(kept) = kept {
            let state = PolicyState { policy: kept.policy.clone(), since: kept.since, fault: Some(fault.clone()) };
            self.in_force.send_replace(Some(Arc::new(state)));
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::ConfigMap { namespace, name, key } => write!(f, "ConfigMap {namespace}/{name}, key {key}"),
        }
    }
}

fn text(mut map: ConfigMap, key: &str) -> Result<String, String> {
    map.data.as_mut().and_then(|data| data.remove(key)).ok_or_else(|| "there is no such key".to_owned())
}

fn read(path: &PathBuf) -> Result<String, String> {
    let open = || -> std::io::Result<String> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(MAX_BYTES.saturating_add(1)).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = open().map_err(|error| error.to_string())?;
    match u64::try_from(text.len()) {
        Ok(length) if length <= MAX_BYTES => Ok(text),
        _ => Err(format!("it has more than {MAX_BYTES} bytes")),
    }
}

#[cfg(test)]
mod tests;
