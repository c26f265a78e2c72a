//! Does this name fit this pattern? Three dialects as three types without conversion, because one text means three
//! things: [`ImagePattern`] (policy), [`TufPattern`] (delegated paths), [`Fnmatch`] (artifact rules).

mod fnmatch;
mod image;
mod tuf;

pub use fnmatch::{Apart, Fnmatch};
pub use image::{ImagePattern, NamePattern, PatternError, Wildcard};
pub use tuf::TufPattern;
