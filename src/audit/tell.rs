//! Whoever looks after a workload is told once, by an Event on what made its Pods.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;

use super::{Finding, Holder, Report};
use crate::{
    cluster::events::{Event, Kind, Recorded, Recorder},
    crypto::Sha256,
    verdict::render,
};

/// Who says so (`reportingController`).
pub const CONTROLLER: &str = "pratique.dev/audit";

/// Events that one run writes; the others follow.
const AT_ONCE: usize = 50;

/// After this time the same is said again, as long as it holds: Events are kept for an hour where nobody sets otherwise.
const REPEAT: SignedDuration = SignedDuration::from_hours(24);

/// Writes Events about what was found.
pub struct Teller {
    recorder: Recorder,
    /// When what was said, by the name of its Event.
    told: BTreeMap<String, Timestamp>,
}

impl Teller {
    /// One that has said nothing yet.
    pub fn new(recorder: Recorder) -> Self {
        Self { recorder, told: BTreeMap::new() }
    }

    /// Says what was not said yet. Whether all of it is said now: what could not be, or was too much at once, is not.
    pub async fn tell(&mut self, report: &Report, now: Timestamp) -> bool {
        let mut still = BTreeMap::new();
        let mut due = Vec::new();
        for finding in &report.findings {
            for Said { reason, kind, code, note } in said(finding) {
                for holder in &finding.uses.holders {
                    let name = name_of(holder, reason, code, finding);
                    match self.told.get(&name) {
                        Some(at) if now.duration_since(*at) < REPEAT => {
                            still.insert(name, *at);
                        }
                        _ => due.push((name, code, event(holder, kind, reason, note.clone()))),
                    }
                }
            }
        }
        // What no longer holds is forgotten, to be said when it holds again.
        self.told = still;
        let all = due.len() <= AT_ONCE;
        for (name, code, event) in due.into_iter().take(AT_ONCE) {
            let (reason, object) = (event.reason, event.regarding.clone());
            match self.recorder.record(event, name.clone(), now).await {
                Recorded::Written | Recorded::AlreadyThere => {
                    tracing::info!(
                        reason,
                        code,
                        kind = object.kind,
                        namespace = object.namespace,
                        name = object.name,
                        "whoever looks after it is told"
                    );
                    self.told.insert(name, now);
                }
                Recorded::Failed(error) => {
                    tracing::warn!(%error, "an Event could not be written");
                    return false;
                }
            }
        }
        all
    }
}

struct Said {
    reason: &'static str,
    kind: Kind,
    code: &'static str,
    note: String,
}

/// Outages are for those who watch over this program, not for those who run images.
fn said(finding: &Finding) -> Vec<Said> {
    let mut said = Vec::new();
    if let Some(refusal) = finding.refusal() {
        let note = format!("what runs would be refused now: {}", render::note(&[refusal], 1));
        said.push(Said { reason: "RunningImageRefused", kind: Kind::Warning, code: refusal.code(), note });
    }
    if let Some(refusal) = finding.warning() {
        let note = format!("what runs is not proven, and the rule only warns: {}", render::note(&[refusal], 1));
        said.push(Said { reason: "RunningImageNotProven", kind: Kind::Normal, code: refusal.code(), note });
    }
    if let Some(other) = &finding.judged.other {
        let note = format!("[{}] {}: {other}", other.code(), finding.uses.field);
        said.push(Said { reason: "AnotherImageRuns", kind: Kind::Warning, code: other.code(), note });
    }
    said
}

/// The same for the same finding about the same holder, whatever the words: so not even a restart says it twice.
fn name_of(holder: &Holder, reason: &str, code: &str, finding: &Finding) -> String {
    let text = format!("{:?}", (holder, reason, code, &finding.running.image, finding.running.runs));
    let digest = Sha256::of(text.as_bytes()).to_string();
    format!("pratique-{}", digest.get(..32).unwrap_or_default())
}

fn event(holder: &Holder, kind: Kind, reason: &'static str, note: String) -> Event {
    Event {
        kind,
        reason,
        action: "Audit",
        note,
        regarding: ObjectReference {
            api_version: Some(holder.api_version.clone()),
            kind: Some(holder.kind.clone()),
            namespace: Some(holder.namespace.clone()),
            name: Some(holder.name.clone()),
            uid: Some(holder.uid.clone()),
            ..ObjectReference::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        audit::tests::{Project, by_digest, image, now, pod, report},
        cluster::testing::ApiServer,
        telemetry::Metrics,
    };

    fn teller(server: &ApiServer) -> Teller {
        Teller::new(Recorder::new(server.client(), CONTROLLER, "audit-0", Arc::new(Metrics::default())))
    }

    /// A report on Pods of this number, each with an image that nobody signed, and one with a good one.
    async fn refused(pods: usize) -> Report {
        let project = Project::usual();
        let good = by_digest(project.release(&image("app")));
        let unknown = (0..pods).map(|number| by_digest(Sha256::of(&number.to_be_bytes())));
        let pods: Vec<_> = unknown.chain([good]).map(|image| pod(&image, "")).collect();
        report(&project.world("", "").await, &pods, now()).await
    }

    #[tokio::test]
    async fn the_same_is_said_once_a_day_and_again_when_it_comes_back() {
        let server = ApiServer::start().await;
        let mut teller = teller(&server);
        let (bad, good) = (refused(1).await, refused(0).await);
        for hours in [0, 1, 23] {
            assert!(teller.tell(&bad, now() + SignedDuration::from_hours(hours)).await);
        }
        let written = server.posted();
        assert_eq!(written.len(), 1);
        let (path, event) = &written[0];
        assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/prod/events");
        assert_eq!(event["reason"], "RunningImageRefused");
        assert_eq!(event["reportingController"], "pratique.dev/audit");
        let note = event["note"].as_str().unwrap();
        assert!(note.starts_with("what runs would be refused now: ") && note.contains("[image/unknown]"), "{note}");

        assert!(teller.tell(&bad, now() + SignedDuration::from_hours(24)).await);
        assert_eq!(server.posted().len(), 2, "it still holds a day later");
        assert!(teller.tell(&good, now() + SignedDuration::from_hours(25)).await);
        assert!(teller.tell(&bad, now() + SignedDuration::from_hours(26)).await);
        let written = server.posted();
        assert_eq!(written.len(), 3, "it came back");
        let names: Vec<_> = written.iter().map(|(_, event)| &event["metadata"]["name"]).collect();
        assert_eq!((names[0], names[0]), (names[1], names[2]), "the API server tells what is there already");
    }

    #[tokio::test]
    async fn a_flood_is_told_in_parts_and_what_could_not_be_said_is_said_later() {
        let server = ApiServer::start().await;
        let mut teller = teller(&server);
        let flood = refused(AT_ONCE + 7).await;
        assert!(!teller.tell(&flood, now()).await);
        assert_eq!(server.posted().len(), AT_ONCE);
        assert!(teller.tell(&flood, now()).await);
        assert_eq!(server.posted().len(), AT_ONCE + 7);

        let refusing = ApiServer::start().await;
        refusing.forbid();
        let mut teller = super::tests::teller(&refusing);
        let bad = refused(1).await;
        assert!(!teller.tell(&bad, now()).await);
        assert!(!teller.tell(&bad, now()).await, "it is tried again");
    }
}
