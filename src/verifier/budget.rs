//! How much a namespace may have judged anew: so that one tenant's flood of images does not use up what all others
//! need (`trust.md` §6).

use std::num::NonZeroU32;

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};

/// Namespaces after which the ones that have their whole budget again are forgotten.
const NAMESPACES: usize = 4_096;

/// Judgements that a namespace may begin: a token bucket. What memory answers, and what joins a judgement that is under
/// way, costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Judgements at once, after a quiet time.
    pub burst: NonZeroU32,
    /// Judgements per minute that are given back.
    pub per_minute: NonZeroU32,
}

impl Default for Budget {
    /// More different images at once than most namespaces hold, and a rate at which cold judgements leave most of one
    /// processor to everybody else.
    fn default() -> Self {
        const BURST: NonZeroU32 = NonZeroU32::new(256).expect("it is not zero");
        const PER_MINUTE: NonZeroU32 = NonZeroU32::new(1_000).expect("it is not zero");
        Self { burst: BURST, per_minute: PER_MINUTE }
    }
}

/// What is left of the budget of each namespace.
#[derive(Debug)]
pub(super) struct Budgets<C: Clock = DefaultClock> {
    buckets: RateLimiter<String, HashMapStateStore<String>, C, NoOpMiddleware<C::Instant>>,
}

/// The namespace has used up its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OverBudget;

impl Budgets {
    pub(super) fn new(budget: Budget) -> Self {
        Self::with_clock(budget, DefaultClock::default())
    }
}

impl<C: Clock> Budgets<C> {
    fn with_clock(budget: Budget, clock: C) -> Self {
        let quota = Quota::per_minute(budget.per_minute).allow_burst(budget.burst);
        Self { buckets: RateLimiter::new(quota, HashMapStateStore::default(), clock) }
    }

    /// Takes one judgement from the budget of `namespace`.
    pub(super) fn take(&self, namespace: &str) -> Result<(), OverBudget> {
        if self.buckets.len() > NAMESPACES {
            self.buckets.retain_recent();
        }
        self.buckets.check_key(&namespace.to_owned()).map_err(|_| OverBudget)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn budgets(burst: u32, per_minute: u32) -> (Budgets<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let budget = Budget { burst: burst.try_into().unwrap(), per_minute: per_minute.try_into().unwrap() };
        (Budgets::with_clock(budget, clock.clone()), clock)
    }

    #[test]
    fn a_burst_is_given_then_the_rate() {
        let (budgets, clock) = budgets(3, 120);
        let taken = |namespace| (0..10).take_while(|_| budgets.take(namespace).is_ok()).count();
        assert_eq!(taken("prod"), 3);
        clock.advance(Duration::from_secs(1));
        assert_eq!(taken("prod"), 2);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(taken("prod"), 3);
    }

    #[test]
    fn one_namespace_does_not_use_up_what_another_is_given() {
        let (budgets, _) = budgets(1, 1);
        assert_eq!(budgets.take("evil"), Ok(()));
        assert_eq!(budgets.take("evil"), Err(OverBudget));
        assert_eq!(budgets.take("prod"), Ok(()));
    }

    #[test]
    fn namespaces_that_came_and_went_are_forgotten() {
        let (budgets, clock) = budgets(1, 1);
        for number in 0..=NAMESPACES {
            assert_eq!(budgets.take(&format!("ci-{number}")), Ok(()));
        }
        clock.advance(Duration::from_secs(3600));
        assert_eq!(budgets.take("prod"), Ok(()));
        assert!(budgets.buckets.len() < 10, "{}", budgets.buckets.len());
    }
}
