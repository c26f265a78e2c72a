//! What is a stolen key good for? Which roles and which functionaries could have an image pass that nobody made.
//!
//! Nothing is admitted by what is found here: it is for people, and for the tests of the rules of belief.

mod cases;
mod forgers;
mod layouts;
mod plans;
mod reach;
mod search;

pub use forgers::{Forgers, forgers, forgers_of};
pub use layouts::{Rival, Rivals, rivals};
pub use plans::Signing;
pub use reach::{Evidence, Reach, reach};

use crate::crypto::Sha256;

/// A digest that nobody has signed.
pub fn stranger_to(known: Sha256) -> Sha256 {
    Sha256::of(format!("another image than {known}").as_bytes())
}
