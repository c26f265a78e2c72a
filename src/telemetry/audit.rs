//! What the audit of running workloads counts. Nothing is shown by a process that audits nothing.

use std::{
    collections::BTreeSet,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// What the containers and volumes of the cluster run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct RunningImages {
    /// As in the decisions of the webhook.
    pub verdict: &'static str,
    /// As in the decisions of the webhook.
    pub class: &'static str,
    /// As in the decisions of the webhook.
    pub code: &'static str,
}

/// A refusal that is coming.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct FirstRefusal {
    /// The repository, by its name in the policy; empty where none is asked.
    pub repository: String,
    /// The code (a closed list).
    pub code: &'static str,
    /// `machine` or `people`: who can prevent it.
    pub renewal: &'static str,
}

/// What becomes of the Pods of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct RunningPods {
    /// `judged`, `unreadable`, `left-out`.
    pub state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    object: &'static str,
    outcome: &'static str,
}

/// One number, and none at all until it is set: 0 would be an instant, too.
#[derive(Debug, Clone, Default)]
struct Single(Arc<Mutex<Option<i64>>>);

impl Single {
    fn set(&self, value: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }
}

impl EncodeMetric for Single {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let value = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        value.map_or(Ok(()), |value| encoder.encode_gauge(&value))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// Gauges of which those of the last run are all there are.
#[derive(Debug)]
struct Gauges<L: Clone + Eq + Hash + Ord> {
    family: Family<L, Gauge>,
    shown: Mutex<BTreeSet<L>>,
}

impl<L: Clone + Eq + Hash + Ord> Default for Gauges<L> {
    fn default() -> Self {
        Self { family: Family::default(), shown: Mutex::default() }
    }
}

impl<L: Clone + Eq + Hash + Ord> Gauges<L> {
    fn set(&self, values: impl IntoIterator<Item = (L, i64)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *shown);
        for (label, value) in values {
            self.family.get_or_create(&label).set(value);
            gone.remove(&label);
            shown.insert(label);
        }
        for label in &gone {
            self.family.remove(label);
        }
    }
}

/// All families of the audit.
#[derive(Debug, Default)]
pub struct AuditMetrics {
    pods: Gauges<RunningPods>,
    images: Gauges<RunningImages>,
    another: Single,
    first_refusal: Gauges<FirstRefusal>,
    last_run: Single,
    writes: Family<Write, Counter>,
}

impl AuditMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("running_pods", "Pods of the cluster", self.pods.family.clone());
        registry.register(
            "running_images",
            "Containers and volumes of the cluster, by what would be said about their images now",
            self.images.family.clone(),
        );
        registry.register(
            "running_another_images",
            "Containers and volumes whose node says that it runs another image than the Pod names",
            self.another.clone(),
        );
        registry.register(
            "first_refusal_timestamp_seconds",
            "When the first image that runs and is admitted now will be refused",
            self.first_refusal.family.clone(),
        );
        registry.register("audit_last_run_timestamp_seconds", "When what runs was last judged", self.last_run.clone());
        registry.register("audit_writes", "Objects written by the audit", self.writes.clone());
    }

    /// How many Pods there are.
    pub fn pods(&self, counts: impl IntoIterator<Item = (RunningPods, usize)>) {
        self.pods.set(counts.into_iter().map(|(label, count)| (label, gauge(count))));
    }

    /// How many containers and volumes run images of each verdict.
    pub fn images(&self, counts: impl IntoIterator<Item = (RunningImages, usize)>) {
        self.images.set(counts.into_iter().map(|(label, count)| (label, gauge(count))));
    }

    /// How many containers and volumes run another image than the Pod names.
    pub fn another(&self, count: usize) {
        self.another.set(gauge(count));
    }

    /// The first refusals that are coming.
    pub fn first_refusals(&self, first: impl IntoIterator<Item = (FirstRefusal, Timestamp)>) {
        self.first_refusal.set(first.into_iter().map(|(label, at)| (label, at.as_second())));
    }

    /// Everything was judged.
    pub fn ran(&self, now: Timestamp) {
        self.last_run.set(now.as_second());
    }

    /// An object (`digests`, `policy-report`) was written, or could not be.
    pub fn wrote(&self, object: &'static str, written: bool) {
        let outcome = if written { "written" } else { "failed" };
        self.writes.get_or_create(&Write { object, outcome }).inc();
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::telemetry::Metrics;

    use super::*;

    #[test]
    fn what_no_longer_runs_is_no_longer_shown() {
        let metrics = Metrics::default();
        let shown = |name: &str| {
            let text = metrics.render();
            let lines = text.lines().filter(|line| line.starts_with(name)).map(str::to_owned);
            lines.collect::<Vec<_>>()
        };
        for name in ["pratique_running_", "pratique_first_", "pratique_audit_"] {
            assert_eq!(shown(name), [""; 0], "nothing was audited");
        }
        let label = |code| RunningImages { verdict: "refused", class: "denied", code };
        let audit = metrics.audit();
        audit.images([(label("tuf/revoked"), 3), (label("image/unknown"), 1)]);
        audit.images([(label("tuf/revoked"), 2)]);
        let only = r#"pratique_running_images{verdict="refused",class="denied",code="tuf/revoked"} 2"#;
        assert_eq!(shown("pratique_running_images"), [only]);
        audit.images([]);
        assert_eq!(shown("pratique_running_images"), [""; 0]);

        let now = Timestamp::from_second(50).unwrap();
        let (repository, code, renewal) = ("acme".to_owned(), "tuf/expired", "people");
        audit.first_refusals([(FirstRefusal { repository, code, renewal }, now)]);
        audit.ran(now);
        audit.another(1);
        audit.wrote("digests", true);
        audit.pods([(RunningPods { state: "judged" }, 7)]);
        for line in [
            r#"pratique_first_refusal_timestamp_seconds{repository="acme",code="tuf/expired",renewal="people"} 50"#,
            "pratique_audit_last_run_timestamp_seconds 50",
            "pratique_running_another_images 1",
            r#"pratique_audit_writes_total{object="digests",outcome="written"} 1"#,
            r#"pratique_running_pods{state="judged"} 7"#,
        ] {
            assert!(metrics.render().lines().any(|found| found == line), "{line}\n{}", metrics.render());
        }
    }
}
