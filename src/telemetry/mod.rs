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

/// How much of a library's account of a failed connection goes into a message.
const MAX_CAUSE: usize = 300;

/// An error and its sources on one line; the outermost alone ("error sending request") helps nobody.
pub fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut parts: Vec<String> = Vec::new();
    for text in chain.map(ToString::to_string) {
        // Many wrappers repeat the text of what they wrap.
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    let mut text = parts.join(": ");
    text.truncate(text.floor_char_boundary(MAX_CAUSE));
    text
}
