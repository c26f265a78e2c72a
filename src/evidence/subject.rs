//! What is to be proven.

use crate::{
    crypto::Sha256,
    image::{Repository, Tag},
};

/// One image as a rule sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The canonical repository name (N of the rules of trust).
    pub repository: Repository,
    /// SHA-256 of the manifest or index (D of the rules of trust).
    pub digest: Sha256,
    /// The tag beside the digest, if one was written. It is believed only where a signed tag target says the same.
    pub tag: Option<Tag>,
}
