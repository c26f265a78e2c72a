//! The files of an image: its layers, each read as a stream, and what they make together.
//!
//! ```text
//! blob ─digest, size─▶ gzip | zstd | plain ─▶ tar ─▶ Layer     Layer… ─whiteouts, links─▶ files
//! ```
//!
//! Whoever holds a registry writes what is read here, so everything has a cap ([`Limits`]), and what two runtimes would
//! unpack differently is refused. A result counts only once the whole blob has the digest and the size that the manifest
//! lists: [`read`] goes on to its end for that, whatever it met on the way.

mod blob;
mod files;
mod names;
mod tar;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use blob::{Unread, read};
pub use files::files;

use crate::crypto::Sha256;

/// Caps on what layers may make this program read and keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all blobs of an image, as its manifest lists them.
    pub blob_bytes: u64,
    /// Bytes of all layers of an image, unpacked.
    pub bytes: u64,
    /// Entries of all layers of an image.
    pub entries: usize,
    /// Bytes of one name, or of the name that a link leads to.
    pub name_bytes: usize,
    /// Bytes of all names of an image.
    pub all_name_bytes: usize,
    /// Folders above a file.
    pub depth: usize,
    /// Names that are looked up to follow the symbolic links of an image.
    pub link_steps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            blob_bytes: 4 << 30,
            bytes: 16 << 30,
            entries: 200_000,
            name_bytes: 4 << 10,
            all_name_bytes: 32 << 20,
            depth: 128,
            link_steps: 4_000_000,
        }
    }
}

/// What one layer adds and takes away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layer {
    entries: BTreeMap<String, Entry>,
    /// What it hides of the layers below: names with all that is below them.
    removed: BTreeSet<String>,
    /// Folders of which it hides what the layers below have in them; the empty name is the root.
    opaque: BTreeSet<String>,
    bytes: u64,
    name_bytes: usize,
}

impl Layer {
    /// About how many bytes it takes to keep.
    pub fn weight(&self) -> usize {
        const AN_ENTRY: usize = 128;
        let count = self.entries.len() + self.removed.len() + self.opaque.len();
        self.name_bytes.saturating_add(count.saturating_mul(AN_ENTRY))
    }
}

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Folder,
    File(Sha256),
    /// A symbolic link, and where it leads.
    Link(String),
    /// Another name of a file in the layers below.
    HardLink(String),
    /// A device or a pipe.
    Special,
}

/// Why a layer, or layers together, cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayerFault {
    /// Other bytes than those that the manifest lists.
    #[error(
        "the registry gave {found_size} bytes of sha256:{found}, the manifest lists {size} bytes of sha256:{wanted}"
    )]
    Mismatch {
        /// The digest that the manifest lists.
        wanted: Sha256,
        /// And the size.
        size: u64,
        /// That of what was given.
        found: Sha256,
        /// Its bytes, at most one more than are listed.
        found_size: u64,
    },
    /// More than a cap allows.
    #[error("more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The cap.
        limit: u64,
    },
    /// A media type that is not that of a layer.
    #[error("media type {0:?} is not that of a layer in tar, plain or packed with gzip or zstd")]
    MediaType(String),
    /// Bytes that are packed in another way than the media type says.
    #[error("is packed as {found}, and its media type says {declared}")]
    Packing {
        /// As the media type has it.
        declared: &'static str,
        /// As it begins.
        found: &'static str,
    },
    /// What cannot be unpacked, or is no archive.
    #[error("is not a readable archive: {0}")]
    Malformed(String),
    /// An entry that could be unpacked in two ways, or leads out of the image.
    #[error("entry {name:?}: {why}")]
    Entry {
        /// Its name as it is written.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn limit(what: &'static str, limit: impl TryInto<u64>) -> LayerFault {
    LayerFault::Limit { what, limit: limit.try_into().unwrap_or(u64::MAX) }
}

fn entry_fault(name: &str, why: &'static str) -> LayerFault {
    const SHOWN: usize = 200;
    LayerFault::Entry { name: name.chars().take(SHOWN).collect(), why }
}
