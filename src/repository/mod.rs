//! How are the files of a TUF repository brought here, and what is kept of them?
//!
//! The client itself (`tuf`) does no IO: it says which file it wants next ([`crate::tuf::FetchRequest`]) and which
//! bytes are now trusted. Here is what does that for it: [`transport`] fetches, [`store`] keeps, [`credentials`]
//! says with what it is asked, [`bundle`] carries where no network leads, and [`memory`] is what all replicas remember
//! together. [`layers`] is the one thing that comes from elsewhere: what is in an image.

mod aside;
mod background;
pub mod bundle;
pub mod credentials;
mod generation;
pub mod layers;
mod live;
pub mod memory;
mod mirrors;
pub mod store;
mod supply;
pub mod transport;

pub use generation::Generation;
pub use live::{Error as RepositoryError, Lapsed, Repository};
