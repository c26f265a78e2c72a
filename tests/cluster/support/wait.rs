//! The one place that waits.

use std::{
    thread,
    time::{Duration, Instant},
};

/// No wait in these tests takes a tenth of it on a machine of two cores; a test that hangs fails after it.
const BOUND: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// Tries again until `attempt` succeeds, and fails the test with its last error when it never does.
pub(crate) fn until<T>(what: &str, attempt: impl FnMut() -> Result<T, String>) -> T {
    within(BOUND, what, attempt)
}

/// The same with a bound that is part of what is tested.
pub(crate) fn within<T>(bound: Duration, what: &str, attempt: impl FnMut() -> Result<T, String>) -> T {
    tried(bound, attempt).unwrap_or_else(|reason| panic!("{what}: not within {bound:?}: {reason}"))
}

/// The same, with the last error instead of a failed test.
pub(crate) fn tried<T>(bound: Duration, mut attempt: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(reason) if start.elapsed() > bound => return Err(reason),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
