//! Would what runs now be admitted again, and until when?
//!
//! ```text
//! Pods ─watch─▶ Inventory ─Auditor: verifier, forecast─▶ [Finding] ─▶ metrics, Events, PolicyReports, digests in use
//! ```
//!
//! The webhook judges at admission; keys, images and layouts are revoked and expire later. So what runs is judged again,
//! by the same [`crate::verifier`], whenever what is trusted changes and from time to time. Nothing is evicted: whoever
//! looks after a workload is told.

pub mod digests;
mod image_id;
mod inventory;
mod judge;
pub mod pods;
pub mod policy_reports;
mod report;
pub mod tell;
pub mod watch;

pub use image_id::{Runs, runs};
pub use inventory::{Holder, Inventory, Running, Unreadable, Uses};
pub use judge::{Auditor, Judged, OtherImage};
pub use report::{Counts, Finding, Report};

#[cfg(test)]
mod tests;
