//! Is this metadata authentic, current and consistent?
//!
//! The client of The Update Framework, specification 1.0.34 §5, without IO and without a clock:
//!
//! ```text
//! pinned root, Stored ─Refresh─▶ Trusted ─lookup─▶ Found | Absent | Needs(role) ─Delegated─▶ …
//! ```
//!
//! [`Refresh`] walks the workflow and says what to fetch and what to store; its outcome, [`Trusted`], is immutable.
//! [`Trusted::lookup`] searches the delegations and says which delegated role it needs next; [`Delegated`] verifies and
//! holds those. Whatever is wrong ends in an [`Error`]; only a finished search says that a target is absent.

mod check;
pub mod codec;
mod current;
mod delegated;
mod error;
pub mod fetch;
mod join;
mod limits;
mod lookup;
mod metadata;
mod name;
mod overview;
mod refresh;
mod remembered;
mod roots;
mod stored;
mod trusted;
mod verify;
mod workflow;

pub use current::root_version;
pub use delegated::{Delegated, LoadedRole, RoleRequest, Standing};
pub use error::{Error, What};
pub use fetch::{FetchError, FetchRequest};
pub use limits::{Floors, Limits, Settings};
pub use lookup::{Lookup, Resolved, Visit};
pub use metadata::TargetFile;
pub use name::{Role, RoleChain, RoleName, TargetPath};
pub use refresh::Refresh;
pub use remembered::{Joined, MemoryFault, Remembered};
pub use stored::{FileBytes, Notice, Persist, Stored};
pub use trusted::{FileInfo, TopLevel, Trusted};
pub use verify::{Rejection, Signers};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
