//! What the sans-io client asks of whoever does IO, as plain data.

/// One file to fetch, named relative to the metadata or the targets of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FetchRequest {
    /// Below which of the two locations of the repository.
    pub base: FetchBase,
    /// The file name, segments already percent-encoded where they must be (`1.team%2Fa.json`).
    pub path: String,
    /// Bytes after which the transfer is to be cut (endless data, TUF 1.5.2).
    pub max_bytes: u64,
}

/// The two locations of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FetchBase {
    /// Where `root.json` and the other roles are.
    Metadata,
    /// Where target files are.
    Targets,
}

/// Why a file was not fetched. "Not found" is an answer; everything else is the lack of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The repository answered that it has no such file (HTTP 404 or 403, no such file).
    #[error("not found")]
    NotFound,
    /// The file is longer than the request allows.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// `max_bytes` of the request.
        limit: u64,
    },
    /// No whole answer arrived in time.
    #[error("timed out")]
    TimedOut,
    /// The repository could not be reached, or answered with an error of its own.
    #[error("{0}")]
    Unreachable(String),
    /// The repository wants to be asked with credentials, and those that are configured cannot be had, are not for it, or
    /// are not taken by it. Says what is wrong with them, never what they are.
    #[error("{0}")]
    Credentials(String),
}
