//! What does the API server ask, which images does the object name, and how is the API server answered?
//!
//! ```text
//! bytes ─Request::parse─▶ Request ─Workload::read─▶ [ImageUse] ─▶ … [Verdict] ─Answer::judged─▶ AdmissionReview
//! ```
//!
//! The semantics of the API server that this relies on: a `status` is read only where `allowed` is false, audit
//! annotations have keys without a slash, and a warning with a line break is dropped without a word.

mod config_map;
mod custom;
mod deadline;
mod error;
mod image_review;
mod live;
mod object;
mod origin;
mod respond;
mod review;
mod walk;
mod workload;

pub use config_map::config_map_entry;
pub use custom::{CustomKind, FieldPath};
pub use deadline::{budget, parse_timeout};
pub use error::Error;
pub use image_review::ImageReview;
pub use live::{LiveImage, LivePod, Owner};
pub use origin::{BREAK_GLASS, Origin};
pub use respond::{Answer, Entry, Outcome, Reply, Status};
pub use review::{GroupVersionKind, GroupVersionResource, Operation, Request, User};
pub use workload::{ImageKind, ImageUse, KINDS, KnownKind, Limits, Workload};
