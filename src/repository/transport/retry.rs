//! When is it worth asking the same server again?
//!
//! Where it said that it cannot answer now, or the connection broke: a few times, after pauses that differ from one
//! client to the next, and never beyond the deadline of the whole. What arrived and does not verify is no such case: the
//! same server would only serve it again.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::Instant;

use crate::tuf::FetchError;

/// How often a file is asked for in all.
const ATTEMPTS: u32 = 3;
/// The pause after the first attempt, about; twice as long after each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// Why an attempt brought nothing.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: FetchError,
    /// Whether the next attempt may go better.
    pub(super) passing: bool,
}

impl From<FetchError> for Failed {
    fn from(error: FetchError) -> Self {
        Self { error, passing: false }
    }
}

/// Whether a status says that the server has trouble, and nothing about the file.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The attempts at one file.
///
/// ```text
/// loop {
///     match attempt(attempts.patience()).await {
///         Ok(done) => return Ok(done),
///         Err(failed) => attempts.pause_after(failed).await?,
///     }
/// }
/// ```
#[derive(Debug)]
pub(super) struct Attempts {
    deadline: Instant,
    left: u32,
    pause: Duration,
}

impl Attempts {
    /// None begins after `deadline`.
    pub(super) fn until(deadline: Instant) -> Self {
        Self { deadline, left: ATTEMPTS, pause: PAUSE }
    }

    /// Until when the server may be silent in the attempt that begins now: the last one has all the time there is, the
    /// others leave half of it.
    pub(super) fn patience(&mut self) -> Instant {
        self.left = self.left.saturating_sub(1);
        let now = Instant::now();
        let half = self.deadline.saturating_duration_since(now).checked_div(2).unwrap_or_default();
        if self.left == 0 { self.deadline } else { now.checked_add(half).unwrap_or(self.deadline) }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// There is none: it would not help, or time or attempts have run out.
    pub(super) async fn pause_after(&mut self, failed: Failed) -> Result<(), FetchError> {
        if !failed.passing || self.left == 0 {
            return Err(failed.error);
        }
        let pause = between(self.pause.mul_f64(0.5), self.pause.mul_f64(1.5));
        self.pause = self.pause.saturating_mul(2);
        match Instant::now().checked_add(pause).filter(|at| *at < self.deadline) {
            Some(at) => tokio::time::sleep_until(at).await,
            // What went wrong tells more than that time ran out.
            None => return Err(failed.error),
        }
        Ok(())
    }
}

/// A random time between two, so that clients do not come all at once.
pub(crate) fn between(low: Duration, high: Duration) -> Duration {
    // Nobody gains by foreseeing it, so it is not taken from the cryptographic generator, which takes long to start.
    low.saturating_add(high.saturating_sub(low).mul_f64(fastrand::f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_time_stays_between_its_bounds() {
        let (low, high) = (Duration::from_secs(90), Duration::from_secs(110));
        let times: Vec<Duration> = (0..1000).map(|_| between(low, high)).collect();
        assert!(times.iter().all(|time| (low..=high).contains(time)));
        assert!(times.iter().any(|time| *time != times[0]), "they all come at the same time");
    }

    fn failure(passing: bool) -> Failed {
        Failed { error: FetchError::Unreachable("busy".into()), passing }
    }

    /// Makes attempts that fail, and returns how much of the time each of them leaves.
    async fn leaves(deadline: Instant, passing: bool) -> Vec<Duration> {
        let mut attempts = Attempts::until(deadline);
        let mut leaves = Vec::new();
        loop {
            leaves.push(deadline - attempts.patience());
            if let Err(error) = attempts.pause_after(failure(passing)).await {
                assert_eq!(error, FetchError::Unreachable("busy".into()));
                return leaves;
            }
        }
    }

    #[tokio::test]
    async fn an_attempt_is_repeated_a_few_times_only_where_that_may_help_and_never_beyond_the_deadline() {
        let later = || Instant::now() + Duration::from_secs(60);
        assert_eq!(leaves(later(), false).await.len(), 1);
        let leaves_half = leaves(later(), true).await;
        let [first, second, last] = leaves_half[..] else { panic!("{leaves_half:?}") };
        assert!(first > Duration::from_secs(15) && second > Duration::from_secs(15), "{leaves_half:?}");
        assert_eq!(last, Duration::ZERO);
        // Sooner than any pause ends.
        assert_eq!(leaves(Instant::now() + Duration::from_millis(40), true).await.len(), 1);
    }
}
