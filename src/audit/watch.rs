//! When is what runs judged again? When the Pods change, when what is trusted changes, when something expires, and from
//! time to time.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{Auditor, Inventory, Report, digests::Digests, pods::Pods, policy_reports::PolicyReports, tell::Teller};
use crate::{
    crypto::Sha256,
    telemetry::{
        Metrics,
        audit::{FirstRefusal, RunningImages, RunningPods},
    },
    verifier::World,
};

/// Changes that come together are judged together.
const SETTLE: Duration = Duration::from_secs(1);

/// Between two runs there are as many times the duration of one, so that a large cluster in motion does not take a whole
/// processor.
const REST: u32 = 4;

/// How soon it is tried again what could not be judged or written.
const AGAIN: Duration = Duration::from_secs(30);

/// What a watch needs.
pub struct Watch {
    /// The policy in force with its repositories.
    pub world: Arc<ArcSwapOption<World>>,
    /// Rung when either may have changed.
    pub changed: Arc<Notify>,
    /// What runs.
    pub pods: Arc<Pods>,
    /// After this time everything is judged again.
    pub interval: Duration,
    /// Where numbers go.
    pub metrics: Arc<Metrics>,
    /// Who tells those who look after workloads.
    pub teller: Teller,
    /// Where the digests in use are published, if anywhere.
    pub digests: Option<Digests>,
    /// Where findings are kept for those who read PolicyReports, if anywhere.
    pub reports: Option<PolicyReports>,
}

impl Watch {
    /// Judges for ever. `clock` is read once for each run, and `done` called after it, or with what it waits for.
    pub async fn run(mut self, clock: impl Fn() -> Timestamp, done: impl Fn(Result<(), String>)) {
        let auditor = Auditor::default();
        let mut seen = None;
        let mut due = Instant::now();
        loop {
            let changed = tokio::select! {
                () = self.pods.changed() => true,
                () = self.changed.notified() => false,
                () = sleep_until(due) => true,
            };
            sleep(SETTLE).await;
            let Some((inventory, left_out)) = self.pods.inventory() else {
                done(Err(self.pods.why_not_listed()));
                continue;
            };
            let Some(world) = self.world.load_full() else {
                done(Err("no policy is in force".to_owned()));
                continue;
            };
            for (_, repository) in world.repositories() {
                repository.tried().await;
            }
            let trusted = trusted(&world);
            // Refreshes may ring more often than it is due.
            if !changed && Instant::now() < due && seen.as_ref() == Some(&trusted) {
                continue;
            }
            let (now, begun) = (clock(), Instant::now());
            let report = auditor.audit(&world, &inventory, now).await;
            let lasted = begun.elapsed();
            self.count(&report, &inventory, left_out);
            let written = self.write(&report, now).await;
            seen = Some(trusted);
            done(Ok(()));
            due = Instant::now() + pause(self.interval, &report, written, now);
            sleep(lasted.saturating_mul(REST).min(self.interval)).await;
        }
    }

    fn count(&self, report: &Report, inventory: &Inventory, left_out: usize) {
        let audit = self.metrics.audit();
        let unreadable = inventory.unreadable.len();
        let states =
            [("judged", inventory.pods.saturating_sub(unreadable)), ("unreadable", unreadable), ("left-out", left_out)];
        audit.pods(states.map(|(state, count)| (RunningPods { state }, count)));
        let images = report.counts().into_iter();
        audit.images(images.map(|((verdict, class, code), count)| (RunningImages { verdict, class, code }, count)));
        let others = report.findings.iter().filter(|finding| finding.judged.other.is_some());
        audit.another(others.map(|finding| finding.uses.count).sum());
        let first = report.first_refusals().into_iter();
        audit.first_refusals(
            first.map(|((repository, code, renewal), at)| (FirstRefusal { repository, code, renewal }, at)),
        );
        audit.ran(report.at);
    }

    /// Whether everything was written that had to be.
    async fn write(&mut self, report: &Report, now: Timestamp) -> bool {
        let mut all = self.teller.tell(report, now).await;
        if let Some(digests) = &mut self.digests {
            all &= digests.publish(report).await;
        }
        if let Some(reports) = &mut self.reports {
            all &= reports.write(report).await;
        }
        all
    }
}

/// Until the next run, if nothing changes before: at the latest when the first verdict ends by itself.
fn pause(interval: Duration, report: &Report, written: bool, now: Timestamp) -> Duration {
    let again = !written || report.findings.iter().any(|finding| finding.outage().is_some());
    let pause = if again { interval.min(AGAIN) } else { interval };
    let endings = report.findings.iter().filter_map(|finding| finding.judged.nothing_renewed.ending());
    let ends = endings.map(|ending| ending.at).min();
    let until = ends.and_then(|at| Duration::try_from(at.duration_since(now)).ok());
    until.map_or(pause, |until| pause.min(until))
}

/// What verdicts rest on: the policy, and the files from which all others are trusted.
fn trusted(world: &World) -> (Sha256, Vec<Sha256>) {
    let generations = world.repositories().filter_map(|(_, repository)| repository.generation());
    let files = generations.flat_map(|generation| generation.trusted().top_level().map(|(_, file)| file.sha256));
    (world.policy().hash(), files.collect())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::audit::tests::{DAY, Project, by_digest, image, now, pod, report};

    #[tokio::test]
    async fn what_ends_is_judged_again_at_that_instant_and_what_failed_soon() {
        let interval = Duration::from_secs(300);
        let project = Project::usual();
        let good = by_digest(project.release(&image("app")));
        let world = project.world("", "").await;
        let at = async |now| report(&world, &[pod(&good, "")], now).await;
        assert_eq!(pause(interval, &at(now()).await, true, now()), interval);
        assert_eq!(pause(interval, &at(now()).await, false, now()), AGAIN, "something was not written");
        let before = now() + DAY - SignedDuration::from_secs(7);
        assert_eq!(pause(interval, &at(before).await, true, before), Duration::from_secs(7), "the timestamp expires");
        let after = now() + DAY;
        assert_eq!(pause(interval, &at(after).await, true, after), interval, "it has expired, and nothing else will");
    }
}
