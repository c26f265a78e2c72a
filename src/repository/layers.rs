//! Where do the layers of an image come from, whose files an inspection looks at?

use std::{fmt, sync::Arc};

use crate::image::{
    Descriptor,
    layer::{Layer, LayerFault},
};

/// Where the layers of an image come from: a registry, whose word is not believed.
#[async_trait::async_trait]
pub trait Layers: fmt::Debug + Send + Sync {
    /// Reads a layer from a blob that has the digest and the size of its descriptor; or says why that is refused.
    ///
    /// # Errors
    /// The blob could not be had.
    async fn layer(&self, wanted: &Descriptor) -> Result<Result<Arc<Layer>, LayerFault>, NoLayer>;
}

/// Why a layer could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("registry {registry}: {fault}")]
pub struct NoLayer {
    /// The host of the registry.
    pub registry: String,
    /// What is the matter with it.
    pub fault: NoBlob,
}

/// Why a registry did not give a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoBlob {
    /// It did not answer, does not have it, or broke off.
    #[error("{0}")]
    Unreachable(String),
    /// It wants credentials, and there are none, or others.
    #[error("{0}")]
    Credentials(String),
    /// It sends for a token to this URL, on a host that is not listed.
    #[error("it sends for a token to {0:?}")]
    Tokens(String),
}

impl NoBlob {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "image/registry-unreachable",
            Self::Credentials(_) => "policy/bad-credentials",
            Self::Tokens(_) => "policy/unlisted-token-host",
        }
    }
}
