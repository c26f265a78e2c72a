//! What the benchmarks have in common: a supply chain, a review about it, and the webhook with and without TLS.

pub(crate) mod answer;
pub(crate) mod chain;
pub(crate) mod entries;
pub(crate) mod review;
pub(crate) mod tls;

use tokio::runtime::{Builder, Runtime};

/// As `pratique serve` has it.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().unwrap()
}

/// One thread, for who is not the server.
pub(crate) fn caller() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
