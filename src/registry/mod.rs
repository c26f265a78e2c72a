//! What does a tag name in a registry of images?
//!
//! It is asked only where a rule says `tags: registry`, and its answer is no evidence: the digest is judged through TUF
//! like any other. What a registry may do to whoever asks is bounded: it is one that the policy describes, over TLS, its
//! redirects are not followed, it may send for a token only to itself or to the one host that is listed, addresses that
//! are not public are reached only where the policy says so, and bytes, time and requests at once have caps.

mod challenge;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use self::challenge::Challenge;
use crate::{
    crypto::Sha256,
    image::{Repository, Tag},
    repository::{
        credentials::Credentials,
        transport::{self, Reach, host},
    },
    tuf::FetchError,
    verdict::TagFault,
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
/// Tags whose answer is kept.
const MAX_KNOWN: usize = 1024;
/// Bytes of a manifest (distribution's own cap).
const MAX_MANIFEST: usize = 4 << 20;
/// Bytes of the answer with a token.
const MAX_TOKEN: usize = 64 << 10;
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
}

/// One registry.
#[derive(Debug)]
pub struct Registry {
    base: Url,
    settings: Settings,
    client: Client,
    asking: Semaphore,
    known: Mutex<BTreeMap<String, Arc<Slot>>>,
}

/// What is known of one tag, and since when. Whoever asks holds it, and the others wait for the answer.
type Slot = tokio::sync::Mutex<Option<(Instant, Result<Sha256, TagFault>)>>;

impl Registry {
    /// A client of a registry. Nothing is contacted.
    ///
    /// # Errors
    /// The host is no name or an address that may not be reached, or the authorities are none.
    pub fn new(settings: Settings) -> Result<Self, transport::Error> {
        let (named, asked) = DOCKER_HUB;
        let host = if settings.host == named { asked } else { &settings.host };
        let (base, client) = transport::client_of(host, settings.ca_bundle.as_deref(), settings.reach)?;
        Ok(Self { base, settings, client, asking: Semaphore::new(AT_A_TIME), known: Mutex::default() })
    }

    /// The digest that a tag names now, or did ten seconds ago. Asked once for all who wait.
    pub async fn resolve(&self, image: &Repository, tag: &Tag, deadline: Instant) -> Result<Sha256, TagFault> {
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
        let late = || Err(TagFault::Unreachable(format!("{} did not answer in time", host(&self.base))));
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
    async fn ask(&self, path: &str, tag: &Tag) -> Result<Sha256, TagFault> {
        // The grammar of references leaves nothing in the two that has a meaning in a URL.
        let url = self.base.join(&format!("v2/{path}/manifests/{tag}"));
        let url = url.map_err(|error| TagFault::Unreachable(error.to_string()))?;
        let mut response = self.send(Method::HEAD, url.clone(), None).await?;
        let mut authorization = None;
        if response.status() == StatusCode::UNAUTHORIZED {
            authorization = Some(self.authorize(&response, path).await?);
            response = self.send(Method::HEAD, url.clone(), authorization.clone()).await?;
        }
        self.accept(&response)?;
        let named = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        if let Some(digest) = named.and_then(|text| text.strip_prefix("sha256:")?.parse().ok()) {
            return Ok(digest);
        }
        let response = self.send(Method::GET, url, authorization).await?;
        self.accept(&response)?;
        Ok(Sha256::of(&self.body(response, MAX_MANIFEST).await?))
    }

    fn accept(&self, response: &Response) -> Result<(), TagFault> {
        let (host, status) = (host(response.url()), response.status());
        match status {
            StatusCode::OK => Ok(()),
            StatusCode::NOT_FOUND => Err(TagFault::NoSuchTag),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(TagFault::Credentials(format!("{host} does not show it to us (HTTP {})", status.as_u16())))
            }
            _ if status.is_redirection() => Err(TagFault::Unreachable(format!(
                "{host} redirects (HTTP {}), which is not followed",
                status.as_u16()
            ))),
            _ => Err(TagFault::Unreachable(format!("{host} answered HTTP {}", status.as_u16()))),
        }
    }

    /// What to send where the registry wants to know who asks (RFC 7235; distribution, "Token authentication").
    async fn authorize(&self, response: &Response, path: &str) -> Result<HeaderValue, TagFault> {
        let wanted = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        match wanted.filter_map(Challenge::read).next() {
            Some(Challenge::Basic) => {
                let known = self.known_at(response.url(), None).await?;
                known.ok_or_else(|| TagFault::Credentials(format!("{} wants credentials", host(response.url()))))
            }
            Some(Challenge::Bearer { realm, service }) => self.token(&realm, service.as_deref(), path).await,
            None => Err(TagFault::Unreachable(format!("{} does not say how to log in", host(response.url())))),
        }
    }

    async fn token(&self, realm: &str, service: Option<&str>, path: &str) -> Result<HeaderValue, TagFault> {
        let elsewhere = || TagFault::Tokens(realm.chars().take(100).collect());
        let mut url = Url::parse(realm).map_err(|_| elsewhere())?;
        let place = host(&url);
        let is_listed = place == host(&self.base) || self.settings.tokens.as_ref() == Some(&place);
        let plain = url.username().is_empty() && url.password().is_none();
        if url.scheme() != "https" || !is_listed || !plain || !self.settings.reach.allows(&url) {
            return Err(elsewhere());
        }
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        // What is asked for is ours to say, whatever the challenge suggests.
        url.query_pairs_mut().append_pair("scope", &format!("repository:{path}:pull"));
        let known = self.known_at(&url, None).await?;
        let sent = Instant::now();
        let mut response = self.send(Method::GET, url.clone(), known.clone()).await?;
        if response.status() == StatusCode::UNAUTHORIZED && known.is_some() {
            // A rotated Secret has others.
            let renewed = self.known_at(&url, Some(sent)).await?;
            response = self.send(Method::GET, url, renewed).await?;
        }
        self.accept(&response)?;

        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let bad = || TagFault::Unreachable(format!("{place} gave no token"));
        let body = self.body(response, MAX_TOKEN).await?;
        let token: Token = serde_json::from_slice(&body).map_err(|_| bad())?;
        let token = token.token.or(token.access_token).ok_or_else(bad)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| bad())?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The credentials for a place, where there are some and they are for it.
    async fn known_at(&self, url: &Url, since: Option<Instant>) -> Result<Option<HeaderValue>, TagFault> {
        match self.settings.credentials.as_ref().filter(|credentials| credentials.are_for(url)) {
            Some(credentials) => {
                let login = credentials.value(since).await.map_err(|error| match error {
                    FetchError::Credentials(why) => TagFault::Credentials(why),
                    other => TagFault::Unreachable(other.to_string()),
                })?;
                let none =
                    || TagFault::Credentials("a registry wants a token or a password, not a certificate".to_owned());
                login.header.ok_or_else(none).map(Some)
            }
            None => Ok(None),
        }
    }

    async fn send(&self, method: Method, url: Url, authorization: Option<HeaderValue>) -> Result<Response, TagFault> {
        let place = host(&url);
        let mut request = self.client.request(method, url).header(ACCEPT, MANIFESTS);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        request.send().await.map_err(|error| TagFault::Unreachable(transport::failure(&place, error)))
    }

    async fn body(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, TagFault> {
        let place = host(response.url());
        let mut bytes = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|error| TagFault::Unreachable(transport::failure(&place, error)))?;
            let Some(chunk) = chunk else { return Ok(bytes) };
            if bytes.len().saturating_add(chunk.len()) > limit {
                return Err(TagFault::Unreachable(format!("{place} answers with more than {limit} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
    }
}
