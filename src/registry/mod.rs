//! What does a tag name in a registry of images, and what is in a layer?
//!
//! It is asked only where a rule says `tags: registry` or `layers`, and its answer is no evidence: the digest is judged
//! through TUF like any other, and a layer counts for its digest. What a registry may do to whoever asks is bounded: it is one that the policy describes, over TLS, its
//! redirects are followed for layers alone and only to hosts that are listed, it may send for a token only to itself or to the one host that is listed, addresses that
//! are not public are reached only where the policy says so, and bytes, time and requests at once have caps.

pub mod layers;
pub mod push;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Method, Response, StatusCode};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::{
    crypto::Sha256,
    image::{RegistryFault, Repository, Tag},
    repository::{
        credentials::Credentials,
        transport::{
            self, Clients, Reach, Redirects,
            distribution::{self, Ask, Distribution, Fault},
            host,
        },
    },
};

/// What a registry may answer with: an image or an index, of both families.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.docker.distribution.manifest.v2+json";
/// For how long an answer serves: the Pods of one roll-out ask once.
const FRESH: Duration = Duration::from_secs(10);
/// For one answer with all that it takes.
const PATIENCE: Duration = Duration::from_secs(3);
/// Requests under way at a time, so that nobody drives us to press a registry.
const AT_A_TIME: usize = 8;
/// Layers that are read at a time: each takes a thread, and a processor while it is unpacked.
const LAYERS_AT_A_TIME: usize = 2;
/// Tags whose answer is kept.
const MAX_KNOWN: usize = 1024;
/// Bytes of a manifest (distribution's own cap).
const MAX_MANIFEST: usize = 4 << 20;
/// How Docker Hub is called where it is asked.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// How a registry is asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its host as images are named by it, with its port unless that is 443.
    pub host: String,
    /// The other host to which it may send for a token.
    pub tokens: Option<String>,
    /// PEM certificates of the authorities to believe instead of the machine's.
    pub ca_bundle: Option<Vec<u8>>,
    /// Which addresses may be reached.
    pub reach: Reach,
    /// With what it, or who gives its tokens, knows us.
    pub credentials: Option<Credentials>,
    /// Where it may send for layers.
    pub redirects: Redirects,
}

/// One registry.
#[derive(Debug)]
pub struct Registry {
    registry: Distribution,
    elsewhere: Clients,
    asking: Semaphore,
    pulling: Semaphore,
    known: Mutex<BTreeMap<String, Arc<Slot>>>,
}

/// What is known of one tag, and since when. Whoever asks holds it, and the others wait for the answer.
type Slot = tokio::sync::Mutex<Option<(Instant, Result<Sha256, RegistryFault>)>>;

impl Registry {
    /// A client of a registry. Nothing is contacted.
    ///
    /// # Errors
    /// The host is no name or an address that may not be reached, or the authorities are none.
    pub fn new(settings: Settings) -> Result<Self, transport::Error> {
        let (named, asked) = DOCKER_HUB;
        let host = if settings.host == named { asked.to_owned() } else { settings.host.clone() };
        let host = &host;
        let Settings { ca_bundle, tokens, credentials, reach, redirects, .. } = settings;
        let (base, client, elsewhere) = transport::clients_of(host, ca_bundle.as_deref(), reach, redirects)?;
        let registry = Distribution::new(client, base, tokens, credentials, reach);
        let (asking, pulling) = (Semaphore::new(AT_A_TIME), Semaphore::new(LAYERS_AT_A_TIME));
        Ok(Self { registry, elsewhere, asking, pulling, known: Mutex::default() })
    }

    /// The digest that a tag names now, or did ten seconds ago. Asked once for all who wait.
    pub async fn resolve(&self, image: &Repository, tag: &Tag, deadline: Instant) -> Result<Sha256, RegistryFault> {
        let slot = self.slot(format!("{}:{tag}", image.path()));
        let answer = async {
            let mut known = slot.lock().await;
            if let Some((at, answer)) = &*known
                && at.elapsed() < FRESH
            {
                return answer.clone();
            }
            // It is never closed.
            let _one_of_few = self.asking.acquire().await;
            let answer = self.ask(image.path(), tag).await;
            *known = Some((Instant::now(), answer.clone()));
            answer
        };
        let deadline = deadline.min(Instant::now() + PATIENCE);
        let late = || Err(RegistryFault::Unreachable(format!("{} did not answer in time", host(self.registry.base()))));
        timeout_at(deadline, answer).await.unwrap_or_else(|_| late())
    }

    fn slot(&self, name: String) -> Arc<Slot> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN && !known.contains_key(&name) {
            // What somebody waits for stays.
            known.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        known.entry(name).or_default().clone()
    }

    /// OCI distribution-spec, "Pulling manifests".
    async fn ask(&self, path: &str, tag: &Tag) -> Result<Sha256, RegistryFault> {
        // The grammar of references leaves nothing in the two that has a meaning in a URL.
        let url = self.registry.url(path, &format!("manifests/{tag}"))?;
        let ask = Ask { method: Method::HEAD, url, accept: MANIFESTS, body: None, scope: (path, "pull") };
        let response = self.registry.ask(&ask).await?;
        accept(&response)?;
        let named = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        if let Some(digest) = named.and_then(|text| text.strip_prefix("sha256:")?.parse().ok()) {
            return Ok(digest);
        }
        let response = self.registry.ask(&Ask { method: Method::GET, ..ask }).await?;
        accept(&response)?;
        Ok(Sha256::of(&distribution::body(response, MAX_MANIFEST).await?))
    }
}

fn accept(response: &Response) -> Result<(), RegistryFault> {
    match response.status() {
        StatusCode::NOT_FOUND => Err(RegistryFault::NoSuchTag),
        _ => Ok(distribution::accept(response)?),
    }
}

impl From<Fault> for RegistryFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreachable { why, .. } => Self::Unreachable(why),
            Fault::Credentials(why) => Self::Credentials(why),
            Fault::Tokens(realm) => Self::Tokens(realm),
        }
    }
}
