//! Where do the layers of an image come from, whose files an inspection looks at?

use std::{fmt, sync::Arc};

use crate::image::{
    Descriptor, RegistryFault,
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
    pub fault: RegistryFault,
}
