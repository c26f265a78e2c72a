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
