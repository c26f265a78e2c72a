//! What is to be proven.

use std::fmt;

use crate::{
    crypto::Sha256,
    image::{Repository, Tag},
    tuf::TargetPath,
};

/// One image, or one file, as a rule sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// What it is called.
    pub name: Name,
    /// SHA-256 of the manifest or index, or of the file (D of the rules of trust).
    pub digest: Sha256,
    /// The tag beside the digest, if one was written. It is believed only where a signed tag target says the same.
    pub tag: Option<Tag>,
}

/// What a subject is called in metadata.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// The canonical repository name of an image (N of the rules of trust).
    Image(Repository),
    /// The target path of a plain file (the packages of in-toto ITE-3).
    File(TargetPath),
}

impl Name {
    /// The repository, of an image.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Image(repository) => Some(repository),
            Self::File(_) => None,
        }
    }

    /// The name as artifacts of in-toto have it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Image(repository) => repository.as_str(),
            Self::File(path) => path.as_str(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
