//! What a registry of images does not say or give.

/// Why a registry did not say what a tag names, or did not give a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryFault {
    /// It has no such tag.
    #[error("it has no image under this tag")]
    NoSuchTag,
    /// It was not reached, broke off, does not have the layer, or its answer is none.
    #[error("{0}")]
    Unreachable(String),
    /// It wants credentials, and there are none, or others.
    #[error("{0}")]
    Credentials(String),
    /// It sends for a token to this URL, on a host that is not listed.
    #[error("it sends for a token to {0:?}, which is neither itself nor its tokens in the policy")]
    Tokens(String),
}

impl RegistryFault {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchTag => "image/not-in-registry",
            Self::Unreachable(_) => "image/registry-unreachable",
            Self::Credentials(_) => "policy/bad-credentials",
            Self::Tokens(_) => "policy/unlisted-token-host",
        }
    }
}
