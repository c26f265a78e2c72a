//! Keeping a repository fresh while the process lives.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{Repository, RepositoryError, transport::between};
use crate::{
    telemetry::{Metrics, metrics::RefreshOutcome},
    tuf::{self, Role, RoleChain},
};

/// After a failed refresh the next one comes sooner than usual, but not at once.
const RETRY: Duration = Duration::from_secs(10);

impl Repository {
    /// Refreshes every `pause`, a little more or less, for ever. `clock` is read at every refresh, and `after` is
    /// called after each that succeeded.
    pub async fn keep_fresh(
        self: Arc<Self>,
        pause: Duration,
        metrics: Arc<Metrics>,
        clock: impl Fn() -> Timestamp,
        after: impl Fn(&Self),
    ) {
        loop {
            let refreshed = self.refresh_and_tell(&metrics, clock()).await;
            if refreshed {
                after(&self);
            }
            let pause = if refreshed { pause } else { pause.min(RETRY) };
            tokio::time::sleep(jittered(pause)).await;
        }
    }

    /// Counts what was raised since this was last asked.
    pub fn count_alerts(&self, metrics: &Metrics) {
        for alert in self.take_alerts() {
            metrics.trust_alert(self.name().as_str(), alert.code);
        }
    }

    /// Adds what went over the network since this was last asked.
    fn count_traffic(&self, metrics: &Metrics) {
        let (requests, bytes) = self.transport.take_traffic();
        metrics.transferred(self.name().as_str(), requests, bytes);
    }

    /// One refresh, counted and logged. Whether it succeeded.
    pub async fn refresh_and_tell(&self, metrics: &Metrics, now: Timestamp) -> bool {
        let before = self.generation();
        let name = self.name().as_str();
        let refreshed = self.refresh(now).await;
        self.count_alerts(metrics);
        self.count_traffic(metrics);
        for (copy, serves) in self.transport.copies() {
            metrics.copy_serves(name, copy, serves);
        }
        match refreshed {
            Ok(generation) => {
                let unchanged = before.is_some_and(|before| Arc::ptr_eq(&before, &generation));
                let outcome = if unchanged { RefreshOutcome::Unchanged } else { RefreshOutcome::Updated };
                metrics.refreshed(name, outcome, now);
                let trusted = generation.trusted();
                for (role, file) in [
                    (Role::Root, trusted.root()),
                    (Role::Timestamp, trusted.timestamp()),
                    (Role::Snapshot, trusted.snapshot()),
                    (Role::Targets(RoleChain::top()), trusted.targets()),
                ] {
                    metrics.trusted(name, &role.to_string(), file.version, file.expires);
                }
                if !unchanged {
                    tracing::info!(
                        repository = name,
                        root = trusted.root().version,
                        timestamp = trusted.timestamp().version,
                        snapshot = trusted.snapshot().version,
                        targets = trusted.targets().version,
                        "a new generation is trusted"
                    );
                }
                true
            }
            Err(error) => {
                let outcome = if error.is_outage() { RefreshOutcome::Unavailable } else { RefreshOutcome::Refused };
                metrics.refreshed(name, outcome, now);
                tracing::warn!(repository = name, code = error.code(), %error, "the refresh failed");
                false
            }
        }
    }
}

impl RepositoryError {
    /// Whether nothing was judged: no answer came, or one without what has to be there.
    pub fn is_outage(&self) -> bool {
        !matches!(self, Self::Tuf(error)
            if !matches!(error, tuf::Error::Fetch { .. } | tuf::Error::Missing { .. }))
    }
}

/// Between nine and eleven tenths of a pause, so that replicas do not come all at once.
fn jittered(pause: Duration) -> Duration {
    between(pause.mul_f64(0.9), pause.mul_f64(1.1))
}
