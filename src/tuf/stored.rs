//! What is handed in from and out to whoever keeps files between runs.

use std::sync::Arc;

use super::{Error, name::Role};
use crate::crypto::Sha256;

/// The bytes of one file, shared by whoever stores them and whoever looks things up in them: a targets file may be large.
pub type FileBytes = Arc<Vec<u8>>;

/// Bytes that an earlier run stored. None of them is believed: each is verified again, and what does not verify is
/// ignored. What does is at least a floor for versions, also when it has expired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Roots after the pinned one, the oldest first.
    pub roots: Vec<Vec<u8>>,
    /// The last timestamp.
    pub timestamp: Option<Vec<u8>>,
    /// The last snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// The last top-level targets file.
    pub targets: Option<Vec<u8>>,
}

impl Stored {
    /// The same after one of the changes that [`Refresh::supply`](super::Refresh::supply) returns.
    pub fn with(mut self, change: Persist) -> Self {
        let (file_name, bytes) = match change {
            Persist::Store { file_name, bytes, .. } => (file_name, Some(Arc::unwrap_or_clone(bytes))),
            Persist::Remove { file_name } => (file_name, None),
        };
        match file_name {
            "root.json" => self.roots.extend(bytes),
            "timestamp.json" => self.timestamp = bytes,
            "snapshot.json" => self.snapshot = bytes,
            _ => self.targets = bytes,
        }
        self
    }
}

/// A change to what is stored, to be made now: before anything else is asked for, for a later step may fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Persist {
    /// A file was verified.
    Store {
        /// Its name without a version (`root.json`).
        file_name: &'static str,
        /// Its version, for stores that keep every root.
        version: u64,
        /// Exactly the bytes that were received.
        bytes: FileBytes,
    },
    /// A file is no longer to be remembered (TUF 5.3.11). It comes before the root that says so: were that root stored
    /// beside a forgotten file, the file would count again in the next run.
    Remove {
        /// Its name without a version (`timestamp.json`).
        file_name: &'static str,
    },
}

/// Something that did not stop a refresh and that people should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A stored file that does not verify was passed over: damaged, tampered with, or signed by keys since rotated.
    Ignored {
        /// What it was stored as.
        role: Role,
        /// What is wrong with it.
        error: Error,
    },
    /// Two contents for one version. The one seen first stays.
    Equivocation {
        /// The file.
        role: Role,
        /// The version that both have.
        version: u64,
        /// The digest of the content that stays.
        stored: Sha256,
        /// The digest of the other, if known.
        offered: Option<Sha256>,
    },
}
