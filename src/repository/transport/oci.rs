//! A repository in a registry of images, as artefacts: the layout that go-tuf-mirror writes and docker/attest reads.
//!
//! ```text
//! metadata:<tag>              an image; each layer is a file, its name in the annotation tuf.io/filename
//! metadata:<delegated role>   the same for the file of one delegated role
//! targets:<hash>.<name>       an image with one layer, for a target without a folder
//! targets:<first folder>      an index for targets with folders: its entries have their whole paths in that annotation
//! ```
//!
//! A target's path names its digest, and layers are kept by theirs, so a target is asked for as a blob first. All of it
//! is verified by TUF; the digests of the registry prove nothing to us.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use percent_encoding::percent_decode_str;
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::{
    Error,
    client::Clients,
    distribution::{self, Ask, Distribution, Fault},
    http::{self, read_body},
    is_plain, outside, printable,
    retry::{Attempts, Failed},
};
use crate::{
    crypto::Sha256,
    image::{Reference, Tag},
    repository::transport::Reach,
    tuf::FetchError,
};

/// The annotation with the name of a file.
pub(crate) const FILE_NAME: &str = "tuf.io/filename";
/// The media types of the two kinds of manifests.
pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
/// Bytes of a manifest (distribution's own cap).
const MAX_MANIFEST: u64 = 4 << 20;
/// Roles whose files are in the image of the metadata.
const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];
/// How Docker Hub is called where it is asked.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// One repository of a registry.
#[derive(Debug, Clone)]
pub(super) struct Oci {
    registry: Arc<Distribution>,
    clients: Clients,
    place: Place,
    /// The files in the image of the metadata when it was last read.
    known: Arc<Mutex<BTreeMap<String, Descriptor>>>,
}

/// Where something is in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The registry, as it is asked.
    pub(crate) base: Url,
    /// The repository in it.
    pub(crate) repository: String,
    /// The tag of the metadata.
    pub(crate) tag: Tag,
}

/// What a manifest says about a layer, or an index about a manifest.
#[derive(Debug, Clone, Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Manifest {
    layers: Vec<Descriptor>,
    manifests: Vec<Descriptor>,
}

impl Place {
    /// The place of `oci://<registry>/<repository>[:<tag>]`, with a slash at its end or without.
    pub(crate) fn parse(url: &Url) -> Result<Self, Error> {
        let bad = |why: String| Error::BadUrl { url: printable(url), why };
        let text = url.as_str().strip_prefix("oci://").unwrap_or_default().trim_end_matches('/');
        let reference = Reference::parse(text).map_err(|error| bad(error.to_string()))?;
        // Elsewhere a name without a host is one of Docker Hub.
        let written = text.split('/').next().unwrap_or_default().to_ascii_lowercase();
        if written.strip_suffix(":443").unwrap_or(&written) != reference.repository.host() {
            return Err(bad("it names no registry".to_owned()));
        }
        if reference.digest.is_some() {
            return Err(bad("metadata move on, so a tag names them and no digest".to_owned()));
        }
        let (named, asked) = DOCKER_HUB;
        let host = if reference.repository.host() == named { asked } else { reference.repository.host() };
        let base = Url::parse(&format!("https://{host}/")).map_err(|error| bad(error.to_string()))?;
        let tag = reference.tag.unwrap_or_else(Tag::latest);
        Ok(Self { base, repository: reference.repository.path().to_owned(), tag })
    }
}

impl Oci {
    pub(super) fn new(clients: Clients, place: Place) -> Self {
        let credentials = clients.credentials.clone();
        let is_known = credentials.as_ref().is_some_and(|credentials| credentials.are_for(&place.base));
        let client = if is_known { clients.known.clone() } else { clients.plain.clone() };
        let (base, tokens) = (place.base.clone(), clients.tokens.clone());
        // That its addresses may be private is for whoever writes the policy to say, and he names both hosts.
        let registry =
            Arc::new(Distribution::new(client, base, tokens, credentials, Reach::Private).counted(&clients.traffic));
        Self { registry, clients, place, known: Arc::default() }
    }

    /// A file of the metadata.
    pub(super) async fn metadata(&self, path: &str, max_bytes: u64, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        let mut attempts = Attempts::until(deadline);
        loop {
            match self.metadata_once(path, max_bytes, attempts.patience()).await {
                Ok(bytes) => return Ok(bytes),
                Err(failed) => attempts.pause_after(failed).await?,
            }
        }
    }

    /// A target file.
    pub(super) async fn target(&self, path: &str, max_bytes: u64, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        let mut attempts = Attempts::until(deadline);
        loop {
            match self.target_once(path, max_bytes, attempts.patience()).await {
                Ok(bytes) => return Ok(bytes),
                Err(failed) => attempts.pause_after(failed).await?,
            }
        }
    }

    async fn metadata_once(&self, path: &str, max_bytes: u64, patience: Instant) -> Result<Vec<u8>, Failed> {
        let name = decoded(path)?;
        let role = role_of(&name).ok_or(FetchError::NotFound)?;
        let layer = if let Some(tag) = tag_of_role(role, &self.place.tag) {
            find(self.manifest(&tag, patience).await?.layers, &name)?
        } else {
            // All files of one refresh come from one state of the registry: it begins with the next root.
            let kept = if role == "root" { None } else { self.known().get(&name).cloned() };
            match kept {
                Some(layer) => layer,
                None => {
                    let manifest = self.manifest(self.place.tag.as_str(), patience).await?;
                    let named = |layer: Descriptor| Some((layer.annotations.get(FILE_NAME)?.clone(), layer));
                    let files: BTreeMap<_, _> = manifest.layers.into_iter().filter_map(named).collect();
                    let layer = files.get(&name).cloned();
                    *self.known() = files;
                    layer.ok_or(FetchError::NotFound)?
                }
            }
        };
        self.blob(&layer.digest, Some(layer.size), max_bytes, patience).await
    }

    async fn target_once(&self, path: &str, max_bytes: u64, patience: Instant) -> Result<Vec<u8>, Failed> {
        let name = decoded(path)?;
        let file = name.rsplit('/').next().unwrap_or_default();
        if let Some(digest) = file.get(..64).and_then(|hex| hex.parse::<Sha256>().ok()) {
            match self.blob(&format!("sha256:{digest}"), None, max_bytes, patience).await {
                Err(Failed { error: FetchError::NotFound, .. }) => {}
                found => return found,
            }
        }
        let folder = name.split_once('/').map(|(folder, _)| folder);
        let tag: Tag = folder.unwrap_or(&name).parse().map_err(|_| FetchError::NotFound)?;
        let mut manifest = self.manifest(tag.as_str(), patience).await?;
        if folder.is_some() {
            let image = find(manifest.manifests, &name)?;
            manifest = self.manifest(&image.digest, patience).await?;
        }
        let layer = find(manifest.layers, file)?;
        self.blob(&layer.digest, Some(layer.size), max_bytes, patience).await
    }

    async fn manifest(&self, reference: &str, patience: Instant) -> Result<Manifest, Failed> {
        let bytes = self.get(&format!("manifests/{reference}"), MANIFESTS, MAX_MANIFEST, patience).await?;
        let why = |error: serde_json::Error| format!("{}: no manifest: {error}", super::host(&self.place.base));
        serde_json::from_slice(&bytes).map_err(|error| FetchError::Unreachable(why(error)).into())
    }

    async fn blob(
        &self,
        digest: &str,
        size: Option<u64>,
        max_bytes: u64,
        patience: Instant,
    ) -> Result<Vec<u8>, Failed> {
        if size.is_some_and(|size| size > max_bytes) {
            return Err(FetchError::TooLarge { limit: max_bytes }.into());
        }
        // It becomes a part of a URL.
        let known: Option<Sha256> = digest.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
        let why = || format!("{}: a layer has the digest {digest:?}", super::host(&self.place.base));
        let digest = known.ok_or_else(|| FetchError::Unreachable(why()))?;
        self.get(&format!("blobs/sha256:{digest}"), "*/*", max_bytes, patience).await
    }

    async fn get(&self, what: &str, accept: &'static str, limit: u64, patience: Instant) -> Result<Vec<u8>, Failed> {
        let head = timeout_at(patience, self.head(what, accept));
        let response = head.await.unwrap_or(Err(Failed { error: FetchError::TimedOut, passing: true }))?;
        let place = response.url().clone();
        read_body(response, &place, limit, &self.clients.traffic).await
    }

    async fn head(&self, what: &str, accept: &'static str) -> Result<Response, Failed> {
        let url = self.registry.url(&self.place.repository, what)?;
        let ask = Ask { method: Method::GET, url, accept, body: None, scope: (&self.place.repository, "pull") };
        let response = self.registry.ask(&ask).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Err(FetchError::NotFound.into());
        }
        // Registries in clouds have their blobs elsewhere.
        let response = self.clients.follow(response).await?;
        if http::is_redirect(response.status()) {
            http::accept(&response, response.url())?;
        }
        distribution::accept(&response)?;
        Ok(response)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Descriptor>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the image of the metadata anew.
    pub(super) fn forget(&self) {
        self.known().clear();
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        let (error, passing) = match fault {
            Fault::Unreachable { why, passing } => (FetchError::Unreachable(why), passing),
            Fault::Credentials(why) => (FetchError::Credentials(why), false),
            Fault::Tokens(realm) => {
                let why = format!("it sends for a token to {realm}, which is not the host that tokens names");
                (FetchError::Credentials(why), false)
            }
        };
        Self { error, passing }
    }
}

/// A path as a name: undone is what it is encoded with as a URL.
fn decoded(path: &str) -> Result<String, FetchError> {
    let name = percent_decode_str(path).decode_utf8().map_err(|_| outside(path))?;
    if name.split('/').all(is_plain) { Ok(name.into_owned()) } else { Err(outside(path)) }
}

/// The role whose file this is: `images` of `3.images.json`.
pub(crate) fn role_of(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".json")?;
    let version = stem.split_once('.').filter(|(version, _)| version.bytes().all(|byte| byte.is_ascii_digit()));
    Some(version.map_or(stem, |(_, role)| role))
}

/// The tag under which the file of a delegated role is: its name, or where that cannot be a tag, or is that of the
/// metadata, a digest of it. None for the roles that are in the image of the metadata.
pub(crate) fn tag_of_role(role: &str, metadata: &Tag) -> Option<String> {
    if TOP_LEVEL.contains(&role) {
        return None;
    }
    Some(match role.parse::<Tag>() {
        Ok(tag) if tag != *metadata => role.to_owned(),
        _ => format!("role-{}", Sha256::of(role.as_bytes())),
    })
}

/// The place that a text names.
pub(crate) fn place_of(text: &str) -> Result<Place, Error> {
    let url = super::parse(text)?;
    if url.scheme() == "oci" {
        return Place::parse(&url);
    }
    Err(Error::BadUrl { url: printable(&url), why: "it names no registry: oci://".to_owned() })
}

fn find(descriptors: Vec<Descriptor>, name: &str) -> Result<Descriptor, FetchError> {
    let is_named = |descriptor: &Descriptor| descriptor.annotations.get(FILE_NAME).is_some_and(|found| found == name);
    descriptors.into_iter().find(is_named).ok_or(FetchError::NotFound)
}
