//! The other side of the trust: keys, signatures, TUF repositories, layouts and links.
//!
//! Used by the command line, the demonstration and tests; no admission depends on it.
//!
//! - [`Publisher`] is what a release engineer needs: it knows which role signs what, verifies what it signs on top of,
//!   and raises versions.
//! - [`Editor`] below it does what it is told: any role, any version, any key. Tests build attacked repositories with it.
//! - [`Request`] carries a change to keys that are elsewhere and back; [`ExternalSigner`] is a key that signs by other
//!   means.
//! - [`layout`] and [`link`] write in-toto metadata, as Metablocks or in DSSE envelopes.

mod adopt;
mod bins;
mod commit;
mod delegations;
mod diff;
mod documents;
mod editor;
mod elsewhere;
mod error;
mod folder;
mod import;
mod init;
pub mod key;
mod keyring;
pub mod layout;
pub mod link;
mod memory;
pub mod metadata;
mod place;
mod preset;
mod publisher;
mod renew;
mod request;
mod review;
mod roles;
mod sign;
mod targets;
mod verify;

pub use bins::BinGroup;
pub use commit::{Commit, SignedRole, parse_validity};
pub use delegations::Bins;
pub use documents::Document;
pub use editor::Editor;
pub use elsewhere::{ExternalSigner, NewKey};
pub use error::Error;
pub use init::{Plan, RoleKeyPlan};
pub use key::{SigningKey, SigningKeyError};
pub use keyring::{KeyRing, Side};
pub use layout::{Layout, Step};
pub use link::Link;
pub use publisher::{Publisher, RoleStatus};
pub use renew::{Expiring, KeysElsewhere};
pub use request::Request;
pub use review::{Review, ReviewedRole, SignerSet};
pub use roles::NewRole;
pub use sign::Format;
pub use targets::{AddedImage, LinkSource, NewFile, NewImage, NewLayout, Revoked};
