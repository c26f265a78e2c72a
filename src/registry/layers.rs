//! Layers of images, read from their blobs as these come.
//!
//! A blob is believed for its digest, which the signed manifest lists. It is not kept; what is kept is which files it
//! has. It may be larger than the memory of this process: a few pieces of it are in flight, and unpacked on a thread of
//! their own.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use quick_cache::{Weighter, sync::Cache};
use reqwest::{Method, StatusCode};
use tokio::{sync::mpsc, time::timeout};

use super::Registry;
use crate::{
    image::{
        Descriptor,
        layer::{self, Layer, LayerFault, Limits, Unread},
    },
    repository::{
        layers::{Layers, NoLayer},
        transport::{
            distribution::{self, Ask, Fault},
            failure, host,
        },
    },
};

/// How long one layer may take by default: some gigabytes from near by.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// Pieces of a blob that are here and not yet read.
const IN_FLIGHT: usize = 4;
/// Bytes that are kept of what layers hold.
const MAX_KNOWN: u64 = 32 << 20;

/// Bytes that any layer is counted for, and one that is refused.
const FAULT: u64 = 1024;
/// How many layers that may be, about. So few make one cache of it: each of several would keep nothing larger than its part.
const LAYERS_KNOWN: usize = 32;

type Outcome = Result<Arc<Layer>, LayerFault>;

/// What was read of layers before, by their descriptors. Clones are one.
#[derive(Debug, Clone)]
pub struct Known(Arc<Cache<Descriptor, Outcome, Bytes>>);

/// What is kept is counted by the memory that it takes.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Descriptor, Outcome> for Bytes {
    fn weight(&self, _: &Descriptor, read: &Outcome) -> u64 {
        read.as_ref().map_or(FAULT, |layer| u64::try_from(layer.weight()).unwrap_or(u64::MAX)).clamp(FAULT, MAX_KNOWN)
    }
}

impl Default for Known {
    fn default() -> Self {
        Self(Arc::new(Cache::with_weighter(LAYERS_KNOWN, MAX_KNOWN, Bytes)))
    }
}

/// One repository of a registry, as a source of layers.
#[derive(Debug)]
pub struct Source {
    /// The registry.
    pub registry: Arc<Registry>,
    /// Its host, for messages.
    pub host: String,
    /// The repository in it.
    pub path: String,
    /// What was read before.
    pub known: Known,
    /// Caps.
    pub limits: Limits,
    /// How long one layer may take, with all that it takes.
    pub patience: Duration,
}

#[async_trait::async_trait]
impl Layers for Source {
    async fn layer(&self, wanted: &Descriptor) -> Result<Outcome, NoLayer> {
        let known = || self.known.0.get(wanted);
        if let Some(read) = known() {
            return Ok(read);
        }
        // It is never closed.
        let _one_of_few = self.registry.pulling.acquire().await;
        // Whoever was before may have read the same.
        if let Some(read) = known() {
            return Ok(read);
        }
        let no_layer = |fault| NoLayer { registry: self.host.clone(), fault };
        let late = |_| Fault::Unreachable { why: format!("{} gave no layer in time", self.host), passing: true };
        let pulled = timeout(self.patience, self.registry.pull(&self.path, wanted, &self.limits)).await;
        let read = pulled.map_err(late).flatten().map_err(|fault| no_layer(fault.into()))?.map(Arc::new);
        // What is wrong with the registry may be put right.
        if !matches!(read, Err(LayerFault::Mismatch { .. })) {
            self.known.0.insert(wanted.clone(), read.clone());
        }
        Ok(read)
    }
}

impl Registry {
    /// OCI distribution-spec, "Pulling blobs".
    async fn pull(&self, path: &str, wanted: &Descriptor, limits: &Limits) -> Result<Result<Layer, LayerFault>, Fault> {
        let url = self.registry.url(path, &format!("blobs/sha256:{}", wanted.digest))?;
        let ask = Ask { method: Method::GET, url, accept: "*/*", body: None, scope: (path, "pull") };
        let response = self.registry.ask(&ask).await?;
        // Registries in clouds have their blobs elsewhere.
        let mut response = self.elsewhere.follow_for_blob(response).await?;
        let place = host(response.url());
        if response.status() == StatusCode::NOT_FOUND {
            let why = format!("{place} does not have the layer sha256:{}", wanted.digest);
            return Err(Fault::Unreachable { why, passing: false });
        }
        distribution::accept(&response)?;
        let (pieces, received) = mpsc::channel(IN_FLIGHT);
        let (descriptor, limits) = (wanted.clone(), limits.clone());
        let blob = Pieces { received, piece: None, at: 0 };
        let reading = tokio::task::spawn_blocking(move || layer::read(&descriptor, blob, &limits));
        loop {
            let piece = match response.chunk().await {
                Ok(Some(piece)) => Ok(piece),
                Ok(None) => break,
                Err(error) => Err(failure(&place, error)),
            };
            let is_last = piece.is_err();
            // Nobody reads on where there is more than is listed.
            if pieces.send(piece).await.is_err() || is_last {
                break;
            }
        }
        drop(pieces);
        match reading.await {
            Ok(Ok(layer)) => Ok(Ok(layer)),
            Ok(Err(Unread::Fault(fault))) => Ok(Err(fault)),
            Ok(Err(Unread::Source(why))) => Err(Fault::Unreachable { why, passing: true }),
            Err(error) => Err(Fault::Unreachable { why: error.to_string(), passing: false }),
        }
    }
}

/// A blob as its pieces come.
struct Pieces<B> {
    received: mpsc::Receiver<Result<B, String>>,
    piece: Option<B>,
    at: usize,
}

impl<B: AsRef<[u8]>> Read for Pieces<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.piece.as_ref().and_then(|piece| piece.as_ref().get(self.at..)).unwrap_or_default();
            if !left.is_empty() || buffer.is_empty() {
                let mut left = left;
                let read = left.read(buffer)?;
                self.at = self.at.saturating_add(read);
                return Ok(read);
            }
            match self.received.blocking_recv() {
                Some(Ok(piece)) => (self.piece, self.at) = (Some(piece), 0),
                Some(Err(why)) => return Err(io::Error::other(why)),
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests;
