//! Which rule judges this image, and what does it demand?
//!
//! ```text
//! policy.yaml ─raw─▶ as typed ─load─▶ Policy (always valid) ─select─▶ Rule | default
//! ```
//!
//! A policy either loads as a whole or not at all, and an error names the line. Whoever can choose an image's name also
//! chooses its rule, so a rule that proves less than the promise of this program must write out where it applies.

mod bind;
mod error;
mod load;
mod location;
mod model;
mod outline;
mod promote;
mod raw;
mod registry;
mod repository;
mod schema;
mod select;
mod values;

pub use bind::{Bound, Demand, Part, Unusable};
pub use error::{Error, Fault, Place};
pub use location::{BaseUrl, Mirror, Scheme};
pub use model::{
    Action, BreakGlass, DefaultAction, ImageMatch, Matcher, Mode, Policy, Rule, RuleName, UsedAs, Warning, Weak,
};
pub use promote::{PromoteError, promote};
pub use registry::RegistrySettings;
pub use repository::{Auth, FileName, Minimum, SecretName, TufRepository};
pub use schema::schema;
pub use select::{Selected, Subject};
