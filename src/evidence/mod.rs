//! Do the signed files that belong to this image prove it? (in-toto ITE-2)
//!
//! An image's target in a TUF repository lists its layout and links; the layout's target lists the keys that verify
//! it. [`judge()`] follows those lists through TUF, holds every file against the role that may sign it, has in-toto
//! verify the whole, and binds the result to the image's digest. It ends in a [`Proof`] or an [`Error`].
//!
//! Where a rule names several repositories, one has the evidence, and [`agrees`] asks the others whether they list the
//! same.
//!
//! Pure: it sees one immutable [`View`] of a repository. Where a role or a file is not there yet it answers with what
//! it [`Need`]s and is called again, from the start, when that has arrived.

mod agreement;
mod binding;
mod collect;
mod error;
mod files;
mod inspection;
mod judge;
mod layout;
mod platforms;
mod proof;
pub mod requirement;
mod separation;
mod subject;
mod theft;
mod walk;

pub use agreement::{Opinion, Relied, agrees};
pub use error::Error;
pub use files::DigestList;
pub use judge::{judge, resolve_tag, survey};
pub use proof::{Basis, Ends, MadeBy, Proof, Step};
pub use requirement::{RepositoryName, Requirement};
pub use separation::{NoSeparation, separation};
pub use subject::{Name, Subject};
pub use theft::{Evidence, Forgers, Reach, Rival, Rivals, Signing, forgers, forgers_of, reach, rivals, stranger_to};
pub use walk::{Commands, Judgement, Limits, Need, Progress, View};

#[cfg(test)]
mod tests;
