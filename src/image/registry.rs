//! Why a registry did not say what a tag names.

/// Why a registry did not say what a tag names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagFault {
    /// It has no such tag.
    #[error("it has no image under this tag")]
    NoSuchTag,
    /// It was not reached, or its answer is none.
    #[error("{0}")]
    Unreachable(String),
    /// It wants credentials, and there are none, or others.
    #[error("{0}")]
    Credentials(String),
    /// It sends for a token to this URL, on a host that is not listed.
    #[error("it sends for a token to {0:?}, which is neither itself nor its tokens in the policy")]
    Tokens(String),
}

impl TagFault {
    /// The refusal code, one of the closed list of [`super::codes`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchTag => "image/not-in-registry",
            Self::Unreachable(_) => "image/registry-unreachable",
            Self::Credentials(_) => "policy/bad-credentials",
            Self::Tokens(_) => "policy/unlisted-token-host",
        }
    }
}
