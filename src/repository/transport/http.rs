//! A repository behind a web server.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use reqwest::{
    RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, ETAG, HeaderValue, IF_NONE_MATCH, LOCATION},
};
use tokio::time::{Instant, timeout_at};

use super::{
    client::{Clients, failure, host},
    distribution::Fault,
    is_plain, outside,
    redirect::MAX_HOPS,
    retry::{Attempts, Failed, is_passing},
    traffic::Traffic,
};
use crate::{
    repository::credentials::{Credentials, Login},
    tuf::FetchError,
};

/// Files that change under one name, so that asking whether they did may save their transfer.
const CHANGING: [&str; 3] = ["timestamp.json", "snapshot.json", "targets.json"];
/// Bytes of a page that says that there is no such file; of a longer one the connection is given up.
const MAX_DRAINED: u64 = 16 << 10;
/// The longest entity tag that is kept.
const MAX_TAG: usize = 256;

/// One folder behind a web server.
#[derive(Debug, Clone)]
pub(super) struct Http {
    clients: Clients,
    /// With what the server knows us, if it is the one they are for.
    credentials: Option<Credentials>,
    base: Url,
    kept: Arc<Mutex<BTreeMap<&'static str, Kept>>>,
}

/// What a server gave under a name, and by what it calls that (RFC 9110, 8.8.3).
#[derive(Debug, Clone)]
struct Kept {
    tag: HeaderValue,
    bytes: Arc<[u8]>,
}

impl Http {
    pub(super) fn new(clients: Clients, base: Url) -> Self {
        let credentials = clients.credentials.clone().filter(|credentials| credentials.are_for(&base));
        Self { clients, credentials, base, kept: Arc::default() }
    }

    pub(super) async fn fetch(&self, path: &str, max_bytes: u64, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        let url = self.url(path)?;
        let name = CHANGING.into_iter().find(|name| *name == path);
        let mut attempts = Attempts::until(deadline);
        loop {
            match self.attempt(&url, name, max_bytes, attempts.patience()).await {
                Ok(bytes) => return Ok(bytes),
                Err(failed) => attempts.pause_after(failed).await?,
            }
        }
    }

    /// Drops what was kept: it may be what does not verify, under a tag that the server has for something else.
    pub(super) fn forget(&self) {
        self.kept().clear();
    }

    async fn attempt(
        &self,
        url: &Url,
        name: Option<&'static str>,
        max_bytes: u64,
        patience: Instant,
    ) -> Result<Vec<u8>, Failed> {
        let kept = name.and_then(|name| self.kept().get(name).cloned());
        let head = timeout_at(patience, self.head(url, kept.as_ref()));
        // Another connection may find a server that lives.
        let response = head.await.unwrap_or(Err(Failed { error: FetchError::TimedOut, passing: true }))?;
        let place = response.url().clone();
        if let Some(kept) = kept.filter(|_| response.status() == StatusCode::NOT_MODIFIED) {
            return if fits(kept.bytes.len(), max_bytes) { Ok(kept.bytes.to_vec()) } else { Err(too_large(max_bytes)) };
        }
        if let Err(failed) = accept(&response, &place) {
            self.drain(response, &place, patience).await;
            return Err(failed);
        }
        let tag = response.headers().get(ETAG).filter(|tag| tag.len() <= MAX_TAG).cloned();
        let bytes = read_body(response, &place, max_bytes, &self.clients.traffic).await?;
        if let Some(name) = name {
            let entry = tag.map(|tag| Kept { tag, bytes: bytes.as_slice().into() });
            match entry {
                Some(entry) => drop(self.kept().insert(name, entry)),
                None => drop(self.kept().remove(name)),
            }
        }
        Ok(bytes)
    }

    /// Reads what comes with an answer that is no file, so that the next request finds the connection in the pool.
    async fn drain(&self, response: Response, place: &Url, patience: Instant) {
        if response.content_length().is_some_and(|length| length <= MAX_DRAINED) {
            // What becomes of it changes nothing.
            let _ = timeout_at(patience, read_body(response, place, MAX_DRAINED, &self.clients.traffic)).await;
        }
    }

    /// The head of the answer, from wherever redirects lead.
    async fn head(&self, url: &Url, kept: Option<&Kept>) -> Result<Response, Failed> {
        self.clients.follow(self.ask(url, kept).await?).await
    }

    /// The answer of the repository itself, which is asked once more where a rotated Secret has other credentials.
    async fn ask(&self, url: &Url, kept: Option<&Kept>) -> Result<Response, Failed> {
        let Some(credentials) = &self.credentials else {
            return self.send(self.clients.plain.get(url.clone()), kept).await;
        };
        let request = |login: &Login| {
            let request = self.clients.known.get(url.clone());
            match &login.header {
                Some(value) => request.header(AUTHORIZATION, value.clone()),
                None => request,
            }
        };
        let known = credentials.value(None).await?;
        let sent = Instant::now();
        let answer = self.send(request(&known), kept).await;
        let refused = match &answer {
            Ok(response) => response.status() == StatusCode::UNAUTHORIZED,
            // A server that does not take a certificate says so by ending the connection.
            Err(failed) => failed.passing && known.has_certificate(),
        };
        if !refused {
            return answer;
        }
        let renewed = credentials.value(Some(sent)).await?;
        let answer = if renewed == known { answer } else { self.send(request(&renewed), kept).await };
        let answer = answer?;
        if answer.status() == StatusCode::UNAUTHORIZED { Err(credentials.refused().into()) } else { Ok(answer) }
    }

    async fn send(&self, request: RequestBuilder, kept: Option<&Kept>) -> Result<Response, Failed> {
        let request = match kept {
            Some(kept) => request.header(IF_NONE_MATCH, kept.tag.clone()),
            None => request,
        };
        self.clients.traffic.asked();
        request.send().await.map_err(|error| failed(&self.base, error))
    }

    fn url(&self, path: &str) -> Result<Url, FetchError> {
        // What the client would resolve itself (`..`, also as `%2e%2e`) or cut off (`?`) never gets into a URL. An
        // encoded slash may: to the server it is a part of the name (`1.team%2Fa.json`).
        let decoded = |segment| percent_encoding::percent_decode_str(segment).decode_utf8();
        let plain = |segment| decoded(segment).is_ok_and(|segment| is_plain(&segment));
        if path.contains(['?', '#', '\\']) || !path.split('/').all(plain) {
            return Err(outside(path));
        }
        let mut url = self.base.clone();
        // The path goes in as it is: its encoding is part of the request that TUF names.
        url.set_path(&format!("{}{path}", self.base.path()));
        Ok(url)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clients {
    /// The answer from wherever redirects lead.
    pub(super) async fn follow(&self, mut response: Response) -> Result<Response, Failed> {
        for _ in 0..MAX_HOPS {
            let Some(target) = self.redirected(&response)? else { break };
            let request = self.elsewhere.get(target.clone());
            self.traffic.asked();
            response = request.send().await.map_err(|error| failed(&target, error))?;
        }
        Ok(response)
    }

    /// The same for whoever asks a registry for a blob.
    pub(crate) async fn follow_for_blob(&self, response: Response) -> Result<Response, Fault> {
        let unreachable = |Failed { error, passing }| Fault::Unreachable { why: error.to_string(), passing };
        self.follow(response).await.map_err(unreachable)
    }

    /// Where an answer sends us, if it does and the policy lets it.
    fn redirected(&self, response: &Response) -> Result<Option<Url>, FetchError> {
        let redirects = &self.redirects;
        if !is_redirect(response.status()) || redirects.are_none() {
            return Ok(None);
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        redirects.follow(response.url(), location).map(Some).map_err(|why| {
            let target = response.url().join(location).map_or_else(|_| "nowhere".to_owned(), |url| host(&url));
            FetchError::Unreachable(format!("{} redirects to {target}, {why}", host(response.url())))
        })
    }
}

/// A whole body. What the head says about its length is a hint at best, so the bytes are counted as they come.
pub(super) async fn read_body(
    mut response: Response,
    place: &Url,
    max_bytes: u64,
    traffic: &Traffic,
) -> Result<Vec<u8>, Failed> {
    let length = response.content_length().unwrap_or(0);
    if length > max_bytes {
        return Err(too_large(max_bytes));
    }
    // Its memory at once: a large role would be copied each time that it grows.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(place, error))? {
        traffic.received(chunk.len());
        if !fits(bytes.len().saturating_add(chunk.len()), max_bytes) {
            return Err(too_large(max_bytes));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn too_large(limit: u64) -> Failed {
    FetchError::TooLarge { limit }.into()
}

fn fits(length: usize, max_bytes: u64) -> bool {
    u64::try_from(length).is_ok_and(|length| length <= max_bytes)
}

/// Why a request brought no answer. URLs of redirects hold signatures, so only hosts are named.
fn failed(place: &Url, error: reqwest::Error) -> Failed {
    let passing = !is_final(&error);
    Failed { error: FetchError::Unreachable(failure(&host(place), error)), passing }
}

/// Whether the server would be asked in vain again: it is not who it should be, or cannot be asked at all.
pub(super) fn is_final(error: &reqwest::Error) -> bool {
    let mut errors = std::iter::successors(std::error::Error::source(error), |error| error.source());
    error.is_builder() || errors.any(is_wrong_certificate)
}

fn is_wrong_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    // An error of IO does not count what it wraps among its sources.
    let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let is_here = matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)));
    is_here || within.is_some_and(|error| is_wrong_certificate(error))
}

pub(super) fn is_redirect(status: StatusCode) -> bool {
    status.is_redirection() && status != StatusCode::NOT_MODIFIED
}

pub(super) fn accept(response: &Response, place: &Url) -> Result<(), Failed> {
    let status = response.status();
    let host = host(place);
    if is_redirect(status) {
        let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = target.and_then(|text| place.join(text).ok());
        let target = target.map_or_else(|| "nowhere".to_owned(), |url| super::host(&url));
        let message = format!("{host} redirects to {target} (HTTP {}), which is not followed", status.as_u16());
        return Err(FetchError::Unreachable(message).into());
    }
    match status {
        StatusCode::OK => Ok(()),
        // Object stores that may not be listed answer 403 for what they do not have (TUF 5.3.3).
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Err(FetchError::NotFound.into()),
        _ => {
            let error = FetchError::Unreachable(format!("{host} answered HTTP {}", status.as_u16()));
            Err(Failed { error, passing: is_passing(status) })
        }
    }
}
