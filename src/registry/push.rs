//! A TUF repository into a registry of images, in the layout that the transport `oci://` reads.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, Response, StatusCode, header::LOCATION};
use serde_json::{Value, json};

use crate::{
    crypto::Sha256,
    image::Tag,
    repository::{
        credentials::Credentials,
        transport::{
            self, Reach,
            distribution::{self, Ask, Distribution, Fault},
            oci::{FILE_NAME, IMAGE, INDEX, Place, place_of, role_of, tag_of_role},
        },
    },
};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const METADATA: &str = "application/vnd.tuf.metadata+json";
const TARGET: &str = "application/vnd.tuf.target";
const BYTES: &str = "application/octet-stream";
/// Entries of one index: with long names they stay below the 4 MiB that registries take.
const MAX_ENTRIES: usize = 4000;

/// Where a repository is pushed to.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The repository for metadata, `oci://<registry>/<repository>[:<tag>]`.
    pub metadata: String,
    /// The repository for targets, in the same registry.
    pub targets: String,
    /// The other host to which the registry may send for a token.
    pub tokens: Option<String>,
    /// PEM certificates of the authorities to believe instead of the machine's.
    pub ca_bundle: Option<Vec<u8>>,
    /// With what the registry knows us.
    pub credentials: Option<Credentials>,
}

/// The files of a repository, by their names as clients ask for them, nothing encoded: `1.root.json`,
/// `3.team/a.json`; `registry.example/team/<hash>.app`.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Metadata: all roots, and of every other role the version that is listed now.
    pub metadata: BTreeMap<String, Vec<u8>>,
    /// Target files.
    pub targets: BTreeMap<String, Vec<u8>>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pushed {
    /// Files that the registry did not have.
    pub uploaded: usize,
    /// Files that it had.
    pub present: usize,
}

/// Why a repository could not be pushed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A place is none in a registry, or the client cannot be made.
    #[error(transparent)]
    Place(#[from] transport::Error),
    /// The two repositories are in two registries.
    #[error("metadata and targets go to one registry")]
    TwoRegistries,
    /// The registry did not take something.
    #[error("{0}")]
    Refused(String),
    /// Two things would have one tag.
    #[error("the tag {0} would name two things")]
    TagTwice(String),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Refused(match fault {
            Fault::Unreachable { why, .. } | Fault::Credentials(why) => why,
            Fault::Tokens(realm) => format!("the registry sends for a token to {realm}: name that host"),
        })
    }
}

/// Pushes the files, what is named before what names it, so that no reader finds a timestamp without the rest.
pub async fn push(destination: &Destination, files: &Files) -> Result<Pushed, Error> {
    let metadata = place_of(&destination.metadata)?;
    let targets = place_of(&destination.targets)?;
    if metadata.base != targets.base {
        return Err(Error::TwoRegistries);
    }
    let host = transport::host(&metadata.base);
    // Both hosts are named by whoever pushes.
    let (base, client) = transport::client_of(&host, destination.ca_bundle.as_deref(), Reach::Private)?;
    let credentials = destination.credentials.clone();
    let registry = Distribution::new(client, base, destination.tokens.clone(), credentials, Reach::Private);
    let mut push = Push { registry, pushed: Pushed::default() };
    push.targets(&targets, &files.targets).await?;
    push.metadata(&metadata, &files.metadata).await?;
    Ok(push.pushed)
}

struct Push {
    registry: Distribution,
    pushed: Pushed,
}

impl Push {
    async fn targets(&mut self, place: &Place, files: &BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
        let mut tags = BTreeSet::new();
        let mut folders: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (path, bytes) in files {
            let file = path.rsplit('/').next().unwrap_or(path);
            let layer = self.blob(place, bytes, (TARGET, file)).await?;
            let image = self.image(place, &[layer]).await?;
            match path.split_once('/') {
                Some((folder, _)) => {
                    let digest = Sha256::of(image.as_bytes());
                    self.manifest(place, &format!("sha256:{digest}"), (IMAGE, &image)).await?;
                    let entry = descriptor(IMAGE, image.as_bytes(), Some(path));
                    folders.entry(as_tag(folder)).or_default().push(entry);
                }
                None => {
                    let tag = once(&mut tags, as_tag(path))?;
                    self.manifest(place, &tag, (IMAGE, &image)).await?;
                }
            }
        }
        for (folder, entries) in folders {
            for (number, entries) in entries.chunks(MAX_ENTRIES).enumerate() {
                // Ours asks for targets by their digests; whoever asks by name finds the first ones.
                let tag = if number == 0 { folder.clone() } else { as_tag(&format!("{folder}_{number}")) };
                let tag = once(&mut tags, tag)?;
                let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string();
                self.manifest(place, &tag, (INDEX, &index)).await?;
            }
        }
        Ok(())
    }

    async fn metadata(&mut self, place: &Place, files: &BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
        let mut top_level = Vec::new();
        for (name, bytes) in files {
            let layer = self.blob(place, bytes, (METADATA, name)).await?;
            let Some(role) = role_of(name) else { continue };
            match tag_of_role(role, &place.tag) {
                None => top_level.push(layer),
                Some(tag) => {
                    let image = self.image(place, &[layer]).await?;
                    self.manifest(place, &tag, (IMAGE, &image)).await?;
                }
            }
        }
        let image = self.image(place, &top_level).await?;
        self.manifest(place, place.tag.as_str(), (IMAGE, &image)).await
    }

    async fn image(&mut self, place: &Place, layers: &[Value]) -> Result<String, Error> {
        let empty = b"{}";
        self.upload(place, empty).await?;
        let config = descriptor(CONFIG, empty, None);
        Ok(json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers}).to_string())
    }

    async fn blob(&mut self, place: &Place, bytes: &[u8], (kind, name): (&str, &str)) -> Result<Value, Error> {
        if self.upload(place, bytes).await? {
            self.pushed.uploaded = self.pushed.uploaded.saturating_add(1);
        } else {
            self.pushed.present = self.pushed.present.saturating_add(1);
        }
        Ok(descriptor(kind, bytes, Some(name)))
    }

    /// OCI distribution-spec, "Pushing a blob monolithically". Whether it was not there.
    async fn upload(&self, place: &Place, bytes: &[u8]) -> Result<bool, Error> {
        let digest = format!("sha256:{}", Sha256::of(bytes));
        let head = self.ask(place, Method::HEAD, &format!("blobs/{digest}"), None).await?;
        if head.status() != StatusCode::NOT_FOUND {
            distribution::accept(&head)?;
            return Ok(false);
        }
        let begun = self.ask(place, Method::POST, "blobs/uploads/", Some((BYTES, &[]))).await?;
        taken(&begun, "an upload")?;
        let location = begun.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let base = self.registry.base();
        let url = begun.url().join(location).ok().filter(|url| {
            // What is sent there are our credentials, too.
            url.scheme() == base.scheme() && transport::host(url) == transport::host(base)
        });
        let elsewhere = || Error::Refused(format!("{} wants an upload elsewhere", transport::host(base)));
        let mut url = url.ok_or_else(elsewhere)?;
        url.query_pairs_mut().append_pair("digest", &digest);
        let scope = (place.repository.as_str(), "pull,push");
        let ask = Ask { method: Method::PUT, url, accept: "*/*", body: Some((BYTES, bytes)), scope };
        taken(&self.registry.ask(&ask).await?, "a file")?;
        Ok(true)
    }

    async fn manifest(&self, place: &Place, reference: &str, (kind, text): (&str, &str)) -> Result<(), Error> {
        let what = format!("manifests/{reference}");
        taken(&self.ask(place, Method::PUT, &what, Some((kind, text.as_bytes()))).await?, &what)
    }

    async fn ask(
        &self,
        place: &Place,
        method: Method,
        what: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Response, Error> {
        let url = self.registry.url(&place.repository, what)?;
        let scope = (place.repository.as_str(), "pull,push");
        Ok(self.registry.ask(&Ask { method, url, accept: "*/*", body, scope }).await?)
    }
}

fn taken(response: &Response, what: &str) -> Result<(), Error> {
    if response.status() == StatusCode::NOT_FOUND {
        return Err(Error::Refused(format!("{} does not take {what} (HTTP 404)", transport::host(response.url()))));
    }
    Ok(distribution::accept(response)?)
}

fn descriptor(kind: &str, bytes: &[u8], name: Option<&str>) -> Value {
    let digest = format!("sha256:{}", Sha256::of(bytes));
    let mut descriptor = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
    if let (Some(name), Some(members)) = (name, descriptor.as_object_mut()) {
        members.insert("annotations".to_owned(), json!({FILE_NAME: name}));
    }
    descriptor
}

/// A name as a tag: its own where it can be one.
fn as_tag(name: &str) -> String {
    let fits = |(at, char): (usize, char)| {
        let is_word = char.is_ascii_alphanumeric() || char == '_';
        if is_word || (at > 0 && matches!(char, '.' | '-')) { char } else { '_' }
    };
    let tag: String = name.chars().enumerate().map(fits).collect();
    if tag.parse::<Tag>().is_ok() { tag } else { format!("sha256-{}", Sha256::of(name.as_bytes())) }
}

fn once(tags: &mut BTreeSet<String>, tag: String) -> Result<String, Error> {
    if tags.insert(tag.clone()) { Ok(tag) } else { Err(Error::TagTwice(tag)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_own_tag_where_it_can_be_one() {
        assert_eq!(as_tag("registry.example"), "registry.example");
        assert_eq!(as_tag("127.0.0.1:5000"), "127.0.0.1_5000");
        assert_eq!(as_tag(".app@1"), "_app_1");
        let long = "x".repeat(129);
        assert_eq!(as_tag(&long), format!("sha256-{}", Sha256::of(long.as_bytes())));
        assert!(as_tag("").parse::<Tag>().is_ok());
    }
}
