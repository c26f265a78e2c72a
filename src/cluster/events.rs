//! What an administrator should see without reading logs: Kubernetes Events.
//!
//! Writing one never holds up a review: events go through a short queue, and what does not fit is counted and
//! dropped. The account may create events and not change them, so repetitions are left out instead of counted up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::sync::mpsc;

use crate::telemetry::{Metrics, sanitise_lines};

/// How bad it is; the API knows two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// To be known.
    Normal,
    /// To be looked at.
    Warning,
}

/// One thing that happened to one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// How bad it is.
    pub kind: Kind,
    /// Why, in one CamelCase word (`PolicyRejected`).
    pub reason: &'static str,
    /// What was being done, in one CamelCase word (`LoadPolicy`).
    pub action: &'static str,
    /// The text. Cut where the API refuses more.
    pub note: String,
    /// The object that it happened to. The Event stands in its namespace.
    pub regarding: ObjectReference,
}

/// Where events are handed in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    queue: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
}

/// Writes what is handed in.
pub struct Writer {
    client: Client,
    instance: String,
    queue: mpsc::Receiver<Event>,
    metrics: Arc<Metrics>,
    /// When what was last written.
    written: BTreeMap<String, Timestamp>,
}

/// Writes Events one by one, each under a name of its own choice: what is there already is not said again, not even by a
/// process that has forgotten that it said it.
pub struct Recorder {
    client: Client,
    controller: &'static str,
    instance: String,
    metrics: Arc<Metrics>,
}

/// What became of an Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It is there now.
    Written,
    /// It was there already.
    AlreadyThere,
    /// It could not be written, and why.
    Failed(String),
}

/// Bytes of a note; the API refuses 1024 and more.
const MAX_NOTE: usize = 1000;
/// Events that wait.
const QUEUE: usize = 256;
/// Texts that are remembered so that they are not repeated.
const REMEMBERED: usize = 1024;
/// After this time the same may be said again.
const REPEAT: SignedDuration = SignedDuration::from_mins(10);
/// For one Event to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// `reportingController` of all of them.
const CONTROLLER: &str = "pratique.dev/webhook";

impl Events {
    /// A queue and the writer at its end, who has to be run. `instance` is the name of this replica.
    pub fn new(client: Client, instance: &str, metrics: Arc<Metrics>) -> (Self, Writer) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let instance = cut(instance, 128).to_owned();
        let writer = Writer { client, instance, queue, metrics: metrics.clone(), written: BTreeMap::new() };
        (Self { queue: sender, metrics }, writer)
    }

    /// Hands an event in. Does not wait and does not fail.
    pub fn write(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            self.metrics.event_written(false);
        }
    }
}

impl Recorder {
    /// `controller` and `instance` say who reports.
    pub fn new(client: Client, controller: &'static str, instance: &str, metrics: Arc<Metrics>) -> Self {
        Self { client, controller, instance: cut(instance, 128).to_owned(), metrics }
    }

    /// Writes an Event under a name, and waits until that is done.
    pub async fn record(&self, event: Event, name: String, now: Timestamp) -> Recorded {
        let named = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
        let event = object(event, named, (self.controller, &self.instance), now);
        let recorded = create(&self.client, &event).await;
        if recorded != Recorded::AlreadyThere {
            self.metrics.event_written(recorded == Recorded::Written);
        }
        recorded
    }
}

impl Writer {
    /// Writes until every [`Events`] is gone. `clock` is read for every event.
    pub async fn run(mut self, clock: impl Fn() -> Timestamp) {
        while let Some(event) = self.queue.recv().await {
            let now = clock();
            if !self.is_new(&event, now) {
                continue;
            }
            // Not the object's name, as is usual: that may come from a request and be no name at all.
            let unnamed = ObjectMeta { generate_name: Some("pratique-".to_owned()), ..ObjectMeta::default() };
            let event = object(event, unnamed, (CONTROLLER, &self.instance), now);
            let recorded = create(&self.client, &event).await;
            if let Recorded::Failed(error) = &recorded {
                tracing::warn!(%error, reason = event.reason, note = event.note, "an Event could not be written");
            }
            self.metrics.event_written(recorded == Recorded::Written);
        }
    }

    fn is_new(&mut self, event: &Event, now: Timestamp) -> bool {
        let recent = |at: &Timestamp| now.duration_since(*at) < REPEAT;
        let object = &event.regarding;
        let key = format!("{:?}", (&object.kind, &object.namespace, &object.name, event.reason, &event.note));
        if self.written.get(&key).is_some_and(recent) {
            return false;
        }
        if self.written.len() >= REMEMBERED {
            self.written.retain(|_, at| recent(at));
        }
        if self.written.len() < REMEMBERED {
            self.written.insert(key, now);
        }
        true
    }
}

/// Creates an Event in its namespace.
async fn create(client: &Client, event: &v1::Event) -> Recorded {
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let api = Api::<v1::Event>::namespaced(client.clone(), namespace);
    match tokio::time::timeout(PATIENCE, api.create(&PostParams::default(), event)).await {
        Ok(Ok(_)) => Recorded::Written,
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Recorded::AlreadyThere,
        Ok(Err(error)) => Recorded::Failed(error.to_string()),
        Err(_) => Recorded::Failed("the API server does not answer".to_owned()),
    }
}

fn object(event: Event, metadata: ObjectMeta, (controller, instance): (&str, &str), now: Timestamp) -> v1::Event {
    let namespace = event.regarding.namespace.as_deref().unwrap_or("default").to_owned();
    v1::Event {
        metadata: ObjectMeta { namespace: Some(namespace), ..metadata },
        type_: Some(match event.kind {
            Kind::Normal => "Normal".to_owned(),
            Kind::Warning => "Warning".to_owned(),
        }),
        reason: Some(event.reason.to_owned()),
        action: Some(event.action.to_owned()),
        // Whoever reads it does so at a terminal.
        note: Some(cut(&sanitise_lines(&event.note), MAX_NOTE).to_owned()),
        regarding: Some(event.regarding),
        reporting_controller: Some(controller.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        event_time: Some(MicroTime(now)),
        ..v1::Event::default()
    }
}

/// As much of a text as fits into `max` bytes.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{ApiServer, now};

    #[test]
    fn a_note_holds_nothing_that_a_terminal_would_obey() {
        let note = "[trust/tampered] a\u{1b}]0;x\u{7}\u{202e}b\nsecond line\u{2028}";
        let written = object(event(note), ObjectMeta::default(), ("c", "i"), now());
        let wanted = "[trust/tampered] a\\u{1b}]0;x\\u{7}\\u{202e}b\nsecond line\\u{2028}";
        assert_eq!(written.note.as_deref(), Some(wanted));
    }

    fn event(note: &str) -> Event {
        Event {
            kind: Kind::Warning,
            reason: "PolicyRejected",
            action: "LoadPolicy",
            note: note.to_owned(),
            regarding: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("ConfigMap".to_owned()),
                namespace: Some("pratique".to_owned()),
                name: Some("pratique-policy".to_owned()),
                ..ObjectReference::default()
            },
        }
    }

    #[tokio::test]
    async fn writes_each_text_once_in_ten_minutes_and_cuts_long_ones() {
        let server = ApiServer::start().await;
        let metrics = Arc::new(Metrics::default());
        let (events, writer) = Events::new(server.client(), "replica-1", metrics.clone());
        events.write(event("first"));
        events.write(event("first"));
        events.write(event(&"ü".repeat(700)));
        let cluster_wide = ObjectReference { namespace: None, ..event("").regarding };
        events.write(Event { regarding: cluster_wide, ..event("first") });
        drop(events);
        writer.run(now).await;
        let written = server.posted();
        assert_eq!(written.len(), 3);
        assert_eq!(written[0].0, "/apis/events.k8s.io/v1/namespaces/pratique/events");
        assert_eq!(written[2].0, "/apis/events.k8s.io/v1/namespaces/default/events");
        let first = &written[0].1;
        assert_eq!(first["note"], "first");
        assert_eq!(first["type"], "Warning");
        assert_eq!(first["reportingController"], "pratique.dev/webhook");
        assert_eq!(first["reportingInstance"], "replica-1");
        assert_eq!(first["regarding"]["name"], "pratique-policy");
        assert_eq!(first["eventTime"], "2026-06-01T00:00:00.000000Z");
        assert_eq!(written[1].1["note"].as_str().unwrap(), "ü".repeat(500));
        assert!(metrics.render().contains("pratique_events_total{sent=\"yes\"} 3\n"));
    }

    #[tokio::test]
    async fn says_the_same_again_when_it_still_holds_much_later() {
        let server = ApiServer::start().await;
        let (events, writer) = Events::new(server.client(), "replica-1", Arc::new(Metrics::default()));
        events.write(event("still"));
        events.write(event("still"));
        drop(events);
        let calls = std::sync::atomic::AtomicI64::new(0);
        let tick = || calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        writer.run(|| now() + SignedDuration::from_mins(10 * tick())).await;
        assert_eq!(server.posted().len(), 2);
    }

    #[tokio::test]
    async fn neither_a_refusal_nor_a_full_queue_stops_anybody() {
        let server = ApiServer::start().await;
        server.forbid();
        let metrics = Arc::new(Metrics::default());
        let (events, writer) = Events::new(server.client(), "replica-1", metrics.clone());
        for number in 0..QUEUE + 3 {
            events.write(event(&number.to_string()));
        }
        assert!(metrics.render().contains("pratique_events_total{sent=\"no\"} 3\n"));
        drop(events);
        writer.run(now).await;
        assert!(metrics.render().contains(&format!("pratique_events_total{{sent=\"no\"}} {}\n", QUEUE + 3)));
    }
}
