//! What does this process tell those who watch over it?
//!
//! Numbers ([`metrics`]) for alerts, lines ([`tracing`]) for whoever looks into one. Neither ever holds more than a
//! bounded number of different names: no image, namespace or text of an error becomes a label.

pub mod audit;
pub mod lines;
pub mod metrics;
pub mod traces;
pub mod tracing;

pub use metrics::Metrics;

/// Foreign text on lines of ours, for those who know of no verdicts.
pub use crate::verdict::{sanitise, sanitise_lines};
