//! Every metric family, in one place.
//!
//! Instants are exported as instants (`…_timestamp_seconds`), never as "seconds left": that would be wrong between
//! two scrapes, and `metric - time()` is easily written.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use super::audit::AuditMetrics;
mod labels;

use self::labels::{Alert, Connection, Copy, Load, Path, Refresh, Repository, Role, Sent};
pub use self::labels::{Answer, ConnectionError, Decision, Glass, LoadOutcome, RefreshOutcome};

/// What the answer to [`Metrics::render`] is to be labelled as.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds. The API server waits ten by default, so beyond that it does not matter how long it was.
const REVIEW_BUCKETS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 3.0, 10.0];

/// All families. One per process, shared.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: Family<Decision, Counter>,
    remembered: Gauge,
    next_decisions: Family<Decision, Counter>,
    break_glass: Family<Load, Counter>,
    review_duration: Family<Path, Histogram>,
    answers: Family<Answer, Counter>,
    connections: Gauge,
    connection_errors: Family<Connection, Counter>,
    refreshes: Family<Refresh, Counter>,
    refreshed: Family<Repository, Gauge>,
    copies: Family<Copy, Gauge>,
    requests: Family<Repository, Counter>,
    bytes: Family<Repository, Counter>,
    versions: Family<Role, Gauge>,
    expires: Family<Role, Gauge>,
    trust_alerts: Family<Alert, Counter>,
    policy_loads: Family<Load, Counter>,
    policy_stale: Gauge,
    policy_loaded: Gauge,
    certificate_loads: Family<Load, Counter>,
    certificate_expires: Gauge,
    authority_expires: Gauge,
    events: Family<Sent, Counter>,
    audit: AuditMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("pratique"),
            decisions: Family::default(),
            remembered: Gauge::default(),
            next_decisions: Family::default(),
            break_glass: Family::default(),
            review_duration: Family::new_with_constructor(|| Histogram::new(REVIEW_BUCKETS)),
            answers: Family::default(),
            connections: Gauge::default(),
            connection_errors: Family::default(),
            refreshes: Family::default(),
            refreshed: Family::default(),
            copies: Family::default(),
            requests: Family::default(),
            bytes: Family::default(),
            versions: Family::default(),
            expires: Family::default(),
            trust_alerts: Family::default(),
            policy_loads: Family::default(),
            policy_stale: Gauge::default(),
            policy_loaded: Gauge::default(),
            certificate_loads: Family::default(),
            certificate_expires: Gauge::default(),
            authority_expires: Gauge::default(),
            events: Family::default(),
            audit: AuditMetrics::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// The families, each with the sentence that `/metrics` shows. Counters get `_total` from the encoder.
    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which program this is", version);
        registry.register("decisions", "Images decided on", self.decisions.clone());
        registry.register("remembered_verdicts", "Verdicts on images that are remembered", self.remembered.clone());
        registry.register(
            "next_decisions",
            "What the next rules of the policy would have decided",
            self.next_decisions.clone(),
        );
        registry.register("break_glass", "Wishes of users to have a refused Pod run", self.break_glass.clone());
        registry.register(
            "review_duration_seconds",
            "Time from the head of a review request to its answer",
            self.review_duration.clone(),
        );
        registry.register("http_answers", "Answers of the HTTP server", self.answers.clone());
        registry.register("connections", "Connections that are open", self.connections.clone());
        registry.register(
            "connection_errors",
            "Connections that were closed before a request",
            self.connection_errors.clone(),
        );
        registry.register("repository_refreshes", "Attempts to refresh a TUF repository", self.refreshes.clone());
        registry.register(
            "repository_last_success_timestamp_seconds",
            "When a refresh of a TUF repository last succeeded",
            self.refreshed.clone(),
        );
        registry.register(
            "repository_copy_serves",
            "Whether a copy of a TUF repository has served what it was last asked for",
            self.copies.clone(),
        );
        registry.register(
            "repository_requests",
            "Requests sent to the servers of a TUF repository",
            self.requests.clone(),
        );
        registry.register(
            "repository_received_bytes",
            "Bytes of the bodies that servers of a TUF repository sent",
            self.bytes.clone(),
        );
        registry.register("repository_version", "The trusted version of a role's metadata", self.versions.clone());
        registry.register(
            "repository_expiry_timestamp_seconds",
            "When the trusted metadata of a role expires",
            self.expires.clone(),
        );
        registry.register(
            "trust_alerts",
            "Signs that somebody tampers with a repository or with what is remembered of it",
            self.trust_alerts.clone(),
        );
        registry.register("policy_loads", "Attempts to load a new policy", self.policy_loads.clone());
        registry.register(
            "policy_stale",
            "1 while the newest policy text is wrong and an older one is in force",
            self.policy_stale.clone(),
        );
        registry.register(
            "policy_load_timestamp_seconds",
            "When the policy in force was loaded",
            self.policy_loaded.clone(),
        );
        registry.register(
            "certificate_loads",
            "Attempts to load a new serving certificate",
            self.certificate_loads.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the serving certificate expires",
            self.certificate_expires.clone(),
        );
        registry.register(
            "certificate_authority_expiry_timestamp_seconds",
            "When the authority of a certificate that the webhook issued itself expires",
            self.authority_expires.clone(),
        );
        registry.register("events", "Kubernetes Events written", self.events.clone());
        self.audit.register(registry);
    }

    /// Everything, in the OpenMetrics text format (see [`CONTENT_TYPE`]).
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail; what a label's encoder could fail with, it would show here as a cut text.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// What the audit of running workloads counts.
    pub fn audit(&self) -> &AuditMetrics {
        &self.audit
    }

    /// One image was decided on.
    pub fn decided(&self, decision: &Decision) {
        self.decisions.get_or_create(decision).inc();
    }

    /// So many verdicts are remembered now.
    pub fn remembered(&self, verdicts: usize) {
        self.remembered.set(i64::try_from(verdicts).unwrap_or(i64::MAX));
    }

    /// The rules that come next were asked about one image; it changed nothing.
    pub fn decided_next(&self, decision: &Decision) {
        self.next_decisions.get_or_create(decision).inc();
    }

    /// Somebody asked to break the glass.
    pub fn glass(&self, outcome: Glass) {
        self.break_glass.get_or_create(&Load { outcome: outcome.label() }).inc();
    }

    /// One request was answered. Only those of a webhook entry have a duration worth a histogram.
    pub fn answered(&self, answer: &Answer, review: Option<Duration>) {
        self.answers.get_or_create(answer).inc();
        if let Some(duration) = review {
            self.review_duration.get_or_create(&Path { path: answer.path }).observe(duration.as_secs_f64());
        }
    }

    /// A connection was opened.
    pub fn connected(&self) {
        self.connections.inc();
    }

    /// A connection was closed.
    pub fn disconnected(&self) {
        self.connections.dec();
    }

    /// A connection was closed before it brought a request.
    pub fn connection_failed(&self, error: ConnectionError) {
        self.connection_errors.get_or_create(&Connection { error: error.label() }).inc();
    }

    /// An attempt to refresh a repository ended.
    pub fn refreshed(&self, repository: &str, outcome: RefreshOutcome, now: Timestamp) {
        let repository = repository.to_owned();
        self.refreshes.get_or_create(&Refresh { repository: repository.clone(), outcome: outcome.label() }).inc();
        if matches!(outcome, RefreshOutcome::Updated | RefreshOutcome::Unchanged) {
            self.refreshed.get_or_create(&Repository { repository }).set(now.as_second());
        }
    }

    /// Whether a copy of a repository has served what it was last asked for, or gave nothing that verifies.
    pub fn copy_serves(&self, repository: &str, copy: &str, serves: bool) {
        let copy = Copy { repository: repository.to_owned(), copy: copy.to_owned() };
        self.copies.get_or_create(&copy).set(i64::from(serves));
    }

    /// So many requests were sent to a repository's servers since the last time, and so many bytes of bodies came.
    pub fn transferred(&self, repository: &str, requests: u64, bytes: u64) {
        let repository = Repository { repository: repository.to_owned() };
        self.requests.get_or_create(&repository).inc_by(requests);
        self.bytes.get_or_create(&repository).inc_by(bytes);
    }

    /// This version of a role's metadata is trusted, until `expires`. For the four top-level roles and delegated *layout* roles; image
    /// roles may be thousands.
    pub fn trusted(&self, repository: &str, role: &str, version: u64, expires: Timestamp) {
        let role = Role { repository: repository.to_owned(), role: role.to_owned() };
        self.versions.get_or_create(&role).set(i64::try_from(version).unwrap_or(i64::MAX));
        self.expires.get_or_create(&role).set(expires.as_second());
    }

    /// Something was seen that an honest repository and an honest cluster never show (`trust/tampered`, …).
    pub fn trust_alert(&self, repository: &str, code: &'static str) {
        self.trust_alerts.get_or_create(&Alert { repository: repository.to_owned(), code }).inc();
    }

    /// A new policy text was looked at.
    pub fn policy_loaded(&self, outcome: LoadOutcome, now: Timestamp) {
        self.policy_loads.get_or_create(&Load { outcome: outcome.label() }).inc();
        self.policy_stale.set(i64::from(outcome == LoadOutcome::Kept));
        if outcome == LoadOutcome::Loaded {
            self.policy_loaded.set(now.as_second());
        }
    }

    /// A new pair of certificate and key was looked at.
    pub fn certificate_loaded(&self, outcome: LoadOutcome) {
        self.certificate_loads.get_or_create(&Load { outcome: outcome.label() }).inc();
    }

    /// The serving certificate expires then.
    pub fn certificate_expires(&self, expires: Timestamp) {
        self.certificate_expires.set(expires.as_second());
    }

    /// The authority of a self-issued certificate expires then.
    pub fn authority_expires(&self, expires: Timestamp) {
        self.authority_expires.set(expires.as_second());
    }

    /// A Kubernetes Event was written, or could not be.
    pub fn event_written(&self, written: bool) {
        self.events.get_or_create(&Sent { sent: if written { "yes" } else { "no" } }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_every_family_under_its_documented_name() {
        let metrics = Metrics::default();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        metrics.decided(&Decision {
            verdict: "refused",
            class: "denied",
            code: "in-toto/threshold-not-met",
            rule: "own \"images\"".to_owned(),
        });
        metrics.remembered(12);
        metrics.answered(&Answer { path: "/verify", status: 200 }, Some(Duration::from_millis(3)));
        metrics.answered(&Answer { path: "/healthz", status: 200 }, None);
        metrics.connected();
        metrics.connection_failed(ConnectionError::Handshake);
        metrics.refreshed("acme", RefreshOutcome::Unavailable, at(10));
        metrics.refreshed("acme", RefreshOutcome::Updated, at(20));
        metrics.refreshed("acme", RefreshOutcome::Refused, at(30));
        metrics.copy_serves("acme", "https://tuf.example/metadata/", false);
        metrics.transferred("acme", 2, 700);
        metrics.transferred("acme", 1, 70);
        metrics.trusted("acme", "timestamp", 7, at(40));
        metrics.trust_alert("acme", "trust/equivocation");
        metrics.policy_loaded(LoadOutcome::Loaded, at(50));
        metrics.policy_loaded(LoadOutcome::Kept, at(60));
        metrics.certificate_loaded(LoadOutcome::Loaded);
        metrics.certificate_expires(at(70));
        metrics.event_written(true);
        let text = metrics.render();
        for line in [
            "pratique_build_info{version=\"0.1.0\"} 1",
            "pratique_decisions_total{verdict=\"refused\",class=\"denied\",code=\"in-toto/threshold-not-met\",\
             rule=\"own \\\"images\\\"\"} 1",
            "pratique_remembered_verdicts 12",
            "pratique_review_duration_seconds_count{path=\"/verify\"} 1",
            "pratique_http_answers_total{path=\"/healthz\",status=\"200\"} 1",
            "pratique_connections 1",
            "pratique_connection_errors_total{error=\"handshake\"} 1",
            "pratique_repository_refreshes_total{repository=\"acme\",outcome=\"refused\"} 1",
            "pratique_repository_last_success_timestamp_seconds{repository=\"acme\"} 20",
            "pratique_repository_copy_serves{repository=\"acme\",copy=\"https://tuf.example/metadata/\"} 0",
            "pratique_repository_requests_total{repository=\"acme\"} 3",
            "pratique_repository_received_bytes_total{repository=\"acme\"} 770",
            "pratique_repository_expiry_timestamp_seconds{repository=\"acme\",role=\"timestamp\"} 40",
            "pratique_trust_alerts_total{repository=\"acme\",code=\"trust/equivocation\"} 1",
            "pratique_policy_loads_total{outcome=\"kept\"} 1",
            "pratique_policy_stale 1",
            "pratique_policy_load_timestamp_seconds 50",
            "pratique_certificate_loads_total{outcome=\"loaded\"} 1",
            "pratique_certificate_expiry_timestamp_seconds 70",
            "pratique_events_total{sent=\"yes\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("path=\"/healthz\"} "), "only webhook entries have durations");
        assert!(text.lines().all(|line| line.starts_with('#') || line.starts_with("pratique_")));
    }
}
