//! Which image does this text name, and what is in its manifest?
//!
//! A reference is parsed once into its normal form; everything after it (rules, target paths, artifact names) sees only
//! that form, so no second spelling of a name slips past a rule. Manifests are read by one strict parser.

mod error;
pub mod layer;
pub mod manifest;
mod reference;
mod registry;

pub use error::{Error, ManifestFault, ReferenceFault};
pub use manifest::{Descriptor, Manifest, Platform};
pub use reference::{Reference, Repository, Tag};
pub use registry::RegistryFault;
