//! How does one file of a repository get here, and when is the attempt given up?
//!
//! What a repository may do to whoever fetches from it is bounded in one place each: bytes by the request's
//! `max_bytes` (endless data, TUF 1.5.2), time by one deadline over the whole transfer (slow retrieval), places by
//! following redirects only to hosts that are listed and by joining paths only after every segment was looked at.

mod challenge;
mod client;
pub(crate) mod distribution;
mod file;
mod http;
mod mirrors;
pub(crate) mod oci;
mod redirect;
mod retry;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod traffic;

use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;

pub use self::{
    client::Access,
    redirect::{Reach, Redirects},
};
pub(crate) use self::{
    client::{Clients, client_of, clients_of, failure, host},
    mirrors::Mirror,
    retry::between,
};
use self::{
    file::Folder,
    http::Http,
    oci::{Oci, Place},
    traffic::Traffic,
};
use super::bundle::Held;
use crate::tuf::{FetchError, FetchRequest};

/// Where a repository keeps its two kinds of files, as `http://`, `https://` or `file://` URLs of folders, or `oci://` of
/// repositories in a registry of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locations {
    /// The folder of `root.json` and the other roles.
    pub metadata: String,
    /// The folder of the target files; a client that only refreshes needs none.
    pub targets: Option<String>,
}

impl Locations {
    /// The usual layout: `metadata/` and `targets/` under one URL.
    pub fn below(url: &str) -> Self {
        let url = url.trim_end_matches('/');
        Self { metadata: format!("{url}/metadata/"), targets: Some(format!("{url}/targets/")) }
    }
}

/// Fetches files of one repository. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Transport {
    mirrors: Arc<[Mirror]>,
    recording: Option<Recording>,
    traffic: Arc<Traffic>,
}

/// What was fetched of a repository and was verified. Clones are one recording.
#[derive(Debug, Clone, Default)]
pub struct Recording(Arc<Mutex<Held>>);

impl Recording {
    /// All of it until now.
    pub fn held(&self) -> Held {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, request: &FetchRequest, bytes: &[u8]) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert((request.base, request.path.clone()), bytes.into());
    }
}

#[derive(Debug, Clone)]
enum Source {
    Http(Box<Http>),
    Oci(Box<Oci>),
    Folder(Folder),
    Held(Arc<Held>),
}

/// Why a repository cannot be fetched from at all: its configuration, never its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a URL, or one that cannot name a folder.
    #[error("{url:?} is not the URL of a repository: {why}")]
    BadUrl {
        /// The text, without user name and password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A URL of a scheme that this transport does not speak.
    #[error("{url:?} has the scheme {scheme:?}, a repository has http, https, oci or file")]
    UnknownScheme {
        /// The URL, without user name and password.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// A CA bundle that holds no certificate, or one that is none.
    #[error("the CA bundle cannot be used: {why}")]
    BadCaBundle {
        /// What is wrong with it.
        why: String,
    },
    /// An `https` repository, and nothing on this machine says which authorities to believe.
    #[error("no CA certificate was found to check {host} with: give a CA bundle, or name one in SSL_CERT_FILE{why}")]
    NoCaCertificates {
        /// The host of the repository.
        host: String,
        /// `: ` and what went wrong on the way, or nothing.
        why: String,
    },
    /// Credentials that are for another host than that of a URL, or would be read on their way there.
    #[error("the credentials of the repository cannot be sent to {host}: they are for one host, over TLS")]
    Unbound {
        /// The host of the repository.
        host: String,
    },
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be built: {why}")]
    Client {
        /// What its library says.
        why: String,
    },
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadUrl { .. } | Self::UnknownScheme { .. } => "policy/bad-repository-url",
            Self::BadCaBundle { .. } => "policy/bad-ca-bundle",
            Self::Unbound { .. } => "policy/bad-credentials",
            Self::NoCaCertificates { .. } => "internal/no-ca-certificates",
            Self::Client { .. } => "internal/http-client",
        }
    }
}

impl Transport {
    /// A transport to `locations`. Nothing is contacted; CA certificates are read only where one URL is `https`.
    pub fn open(locations: &Locations, access: &Access) -> Result<Self, Error> {
        Self::open_all(locations, &[], access)
    }

    /// The same with copies of the repository, which are asked in this order where it fails. They are asked without
    /// its credentials, unless they are at its host.
    pub fn open_all(origin: &Locations, mirrors: &[Locations], access: &Access) -> Result<Self, Error> {
        let parsed = |locations: &Locations| {
            Ok((parse(&locations.metadata)?, locations.targets.as_deref().map(parse).transpose()?))
        };
        let origin = parsed(origin)?;
        let is_bound = |url: &&Url| match &access.credentials {
            // They may be for whoever gives the tokens of a registry.
            Some(known) => {
                known.are_for(url) || (url.scheme() == "oci" && access.tokens.as_deref() == Some(known.host()))
            }
            None => true,
        };
        if let Some(url) = [Some(&origin.0), origin.1.as_ref()].into_iter().flatten().find(|url| !is_bound(url)) {
            return Err(Error::Unbound { host: host(url) });
        }
        let mut places = vec![origin];
        for mirror in mirrors {
            places.push(parsed(mirror)?);
        }
        let urls: Vec<&Url> =
            places.iter().flat_map(|(metadata, targets)| [Some(metadata), targets.as_ref()]).flatten().collect();
        let traffic = Arc::<Traffic>::default();
        let clients = client::clients(&urls, access, &traffic)?;
        let open = |(metadata, targets): &(Url, Option<Url>)| {
            let targets = targets.as_ref().map(|url| Source::open(url, &clients)).transpose()?;
            Ok(Mirror::new(printable(metadata), Source::open(metadata, &clients)?, targets))
        };
        Ok(Self { mirrors: places.iter().map(open).collect::<Result<_, Error>>()?, recording: None, traffic })
    }

    /// A transport to what a bundle holds of a repository, and to nothing else.
    pub fn to_held(held: Held) -> Self {
        let held = Arc::new(held);
        let targets = Some(Source::Held(held.clone()));
        let mirror = Mirror::new("the bundle".to_owned(), Source::Held(held), targets);
        Self { mirrors: Arc::new([mirror]), recording: None, traffic: Arc::default() }
    }

    /// Requests to its servers, and bytes of the bodies of their answers, since this was last asked.
    pub(crate) fn take_traffic(&self) -> (u64, u64) {
        self.traffic.take()
    }

    /// The same, with everything that is verified kept in a recording.
    pub fn recorded(self, recording: &Recording) -> Self {
        Self { recording: Some(recording.clone()), ..self }
    }
}

impl Source {
    fn open(url: &Url, clients: &Option<Clients>) -> Result<Self, Error> {
        match clients {
            Some(clients) if url.scheme() == "oci" => {
                Ok(Self::Oci(Box::new(Oci::new(clients.clone(), Place::parse(url)?))))
            }
            Some(clients) if is_web(url) => Ok(Self::Http(Box::new(Http::new(clients.clone(), url.clone())))),
            _ => Folder::open(url).map(Self::Folder),
        }
    }
}

/// Whether a URL is fetched by HTTP, with or without TLS.
fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// The URL of a folder: its path ends in a slash, so that joining adds to it.
fn parse(text: &str) -> Result<Url, Error> {
    // What does not parse is not printed: it may hold a password that only a parser could cut out.
    let bad = |why: &str| Error::BadUrl { url: "…".to_owned(), why: why.to_owned() };
    let mut url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https" | "file" | "oci") {
        return Err(Error::UnknownScheme { url: printable(&url), scheme: url.scheme().to_owned() });
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::BadUrl { url: printable(&url), why: "it has a query or a fragment".to_owned() });
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// A URL as it may stand in messages and logs: without user name, password and query.
fn printable(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Whether a decoded segment of a path is the name of something, not a direction.
fn is_plain(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && !segment.contains(char::is_control)
}

/// The error for a path that leads anywhere but below the repository.
fn outside(path: &str) -> FetchError {
    FetchError::Unreachable(format!("the path {path:?} does not stay below the repository"))
}
