//! What was decided about an image, and how is that said?
//!
//! A [`Refusal`] is built once, where a check failed, and rendered everywhere: the message of `kubectl`, `explain`,
//! Events, audit annotations, metric labels. An [`Admitted`] exists only where there is a proof, an exemption that a
//! rule spells out, or a rule that says that it does not enforce.

mod admitted;
pub mod codes;
mod explain;
pub mod picture;
mod refusal;
pub mod render;
mod text;

pub use admitted::{Admitted, AdmittedBy, Exemption, Judged, Leniency, Proofs, Staleness, Verdict};
pub use codes::{Class, CodeInfo};
pub use explain::explain;
pub use refusal::{Cause, Context, Pinning, Refusal};
pub use text::{deceives, fit, is_plain, sanitise, sanitise_lines};
