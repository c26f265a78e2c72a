//! What a reference or a manifest can be refused for.

use crate::crypto::json::JsonError;

/// Why a reference or a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not an image reference.
    #[error("image reference {reference:?}: {fault}")]
    MalformedReference {
        /// What was given, shortened if it is too long to be shown.
        reference: String,
        /// Which part of the grammar it breaks.
        fault: ReferenceFault,
    },
    /// A digest of another algorithm than sha256, which is the only one that is compared.
    #[error("{subject:?} is named by a digest of {algorithm:?}, only sha256 is accepted")]
    UnsupportedDigest {
        /// The reference, or the place in a manifest.
        subject: String,
        /// The algorithm that was given.
        algorithm: String,
    },
    /// Two readers could understand these bytes as two different images (CVE-2021-41190).
    #[error("manifest is ambiguous: {0}")]
    AmbiguousManifest(#[from] ManifestFault),
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MalformedReference { .. } => "image/malformed-reference",
            Self::UnsupportedDigest { .. } => "image/unsupported-digest",
            Self::AmbiguousManifest(_) => "image/ambiguous-manifest",
        }
    }
}

/// Which part of the reference grammar a text breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceFault {
    /// Nothing was given.
    #[error("is empty")]
    Empty,
    /// The whole text is too long.
    #[error("has {length} bytes, at most {limit} are read")]
    TooLong {
        /// Its bytes.
        length: usize,
        /// The most that are read.
        limit: usize,
    },
    /// A character that no reference has: a control character, white space, anything that is not ASCII.
    #[error("{character:?} at byte {offset} cannot stand in a reference")]
    Character {
        /// The first such character.
        character: char,
        /// Where it stands.
        offset: usize,
    },
    /// `https://…`
    #[error("a reference has no scheme")]
    Scheme,
    /// `[::1]:5000/app`: the brackets would be read as a character class wherever the name meets a pattern.
    #[error("a registry cannot be named by an IPv6 address")]
    Ipv6,
    /// The first component looks like a host and is none.
    #[error("{0:?} is not a host name")]
    Host(String),
    /// `Registry/app`: an upper-case first component can only be a host, but lower-cased it reads as a namespace of
    /// docker.io.
    #[error("{0:?} is a host of one label: add its port, or write a namespace of docker.io in lower case")]
    SingleLabelHost(String),
    /// A port that is not 1 to 65535 without leading zeros.
    #[error("{0:?} is not a port")]
    Port(String),
    /// The repository is not in lower case.
    #[error("repository {0:?} is not in lower case")]
    UpperCase(String),
    /// A part between two `/` of the repository breaks the grammar.
    #[error("{0:?} is not a component of a repository name")]
    Component(String),
    /// The repository without its host is too long.
    #[error("repository has {length} bytes, at most {limit} are allowed")]
    RepositoryTooLong {
        /// Its bytes.
        length: usize,
        /// The most that are allowed.
        limit: usize,
    },
    /// 64 hex digits, or `sha256:` and hex digits, are an image id, not a repository.
    #[error("64 hex digits, or an algorithm and hex digits, are an image id, not a repository")]
    ImageId,
    /// What follows the `:` is not a tag.
    #[error("{0:?} is not a tag")]
    Tag(String),
    /// What follows the `@` is not a digest.
    #[error("{0:?} is not a digest: \"sha256:\" and 64 lower-case hex digits")]
    Digest(String),
    /// A repository was expected, without tag and digest.
    #[error("names a tag or a digest where a repository is expected")]
    NotARepository,
}

/// Why a manifest cannot be read in only one way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestFault {
    /// More bytes than any registry accepts.
    #[error("has {length} bytes, at most {limit} are read")]
    TooLarge {
        /// Its bytes.
        length: usize,
        /// The most that are read.
        limit: usize,
    },
    /// Not one JSON document, or one with duplicate members.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The document is not an object.
    #[error("is not an object")]
    NotAnObject,
    /// `schemaVersion` is not the number 2.
    #[error("schemaVersion is {0}, 2 is required")]
    SchemaVersion(String),
    /// A `mediaType` that is neither that of an image manifest nor of an index.
    #[error("media type {0:?} is neither an image manifest nor an index")]
    MediaType(String),
    /// Not exactly one of `manifests` and `config` with `layers`, or the other one than `mediaType` says.
    #[error("members {found:?} do not make {wanted}")]
    Members {
        /// Which of `config`, `layers`, `manifests`, `fsLayers` are there.
        found: Vec<&'static str>,
        /// What they would have to make: an image manifest, an index, or one of both.
        wanted: &'static str,
    },
    /// A member is missing or of another type.
    #[error("{place} is not {wanted}")]
    Malformed {
        /// The member, e.g. `layers[3].size`.
        place: String,
        /// What it has to be.
        wanted: &'static str,
    },
    /// More descriptors than are looked at.
    #[error("{place} has {count} entries, at most {limit} are read")]
    TooMany {
        /// `manifests` or `layers`.
        place: &'static str,
        /// How many there are.
        count: usize,
        /// The most that are read.
        limit: usize,
    },
    /// An entry of an index is not an image manifest, for example an index.
    #[error("{place} has media type {media_type:?}: an index may hold image manifests only")]
    NestedIndex {
        /// The entry.
        place: String,
        /// What it says it is.
        media_type: String,
    },
}
