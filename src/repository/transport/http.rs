//! A repository behind a web server.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Client, ClientBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderValue, LOCATION},
    redirect,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_native_certs::CertificateResult;
use tokio::time::Instant;

use super::{
    Error, is_plain, is_web, outside,
    redirect::{MAX_HOPS, Reach, Redirects},
};
use crate::{repository::credentials::Credentials, tuf::FetchError};

/// With what a repository is approached.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// PEM certificates of the authorities to believe *instead of* the machine's.
    pub ca_bundle: Option<Vec<u8>>,
    /// With what it knows us. Never printed.
    pub credentials: Option<Credentials>,
    /// Where redirects may lead.
    pub redirects: Redirects,
    /// The URL of the proxy that takes every request.
    pub proxy: Option<String>,
}

/// How much of a library's account of a failed connection goes into a message.
const MAX_CAUSE: usize = 300;
/// How long an idle connection is kept: long enough for the files of one refresh, too short for a connection that
/// died unseen to be found in the pool and to use up the next refresh's deadline.
const IDLE: Duration = Duration::from_secs(15);
/// After this much silence during a transfer the other side is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// One folder behind a web server.
#[derive(Debug, Clone)]
pub(super) struct Http {
    clients: Clients,
    base: Url,
}

/// The HTTP clients of one repository.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    own: Client,
    /// For other hosts.
    elsewhere: Client,
    /// For `own` alone.
    credentials: Option<Credentials>,
    redirects: Redirects,
}

/// The clients that all folders of one repository share, or `None` where no URL needs one.
pub(super) fn clients(urls: &[&Url], access: &Access) -> Result<Option<Clients>, Error> {
    let credentials = access.credentials.clone();
    if let Some(credentials) = &credentials
        && let Some(url) = urls.iter().find(|url| !credentials.are_for(url))
    {
        return Err(Error::Unbound { host: host(url) });
    }
    if !urls.iter().any(|url| is_web(url)) {
        return Ok(None);
    }
    let tls = tls(urls, access)?;
    let own = builder(tls.clone(), access)?;
    let redirects = access.redirects.clone();
    let mut elsewhere = builder(tls, access)?;
    if access.proxy.is_none() {
        // A proxy looks names up itself, and is there to say what may be reached.
        elsewhere = elsewhere.dns_resolver(redirects.resolver());
    }
    Ok(Some(Clients { own: build(own)?, elsewhere: build(elsewhere)?, credentials, redirects }))
}

fn builder(tls: ClientConfig, access: &Access) -> Result<ClientBuilder, Error> {
    let builder = Client::builder()
        .user_agent(concat!("pratique/", env!("CARGO_PKG_VERSION")))
        // A redirect would let the repository send us to any address inside the cluster: see `redirect`.
        .redirect(redirect::Policy::none())
        // The environment of the process says nothing about who may see these requests.
        .no_proxy()
        .referer(false)
        .pool_idle_timeout(IDLE)
        .tcp_keepalive(KEEP_ALIVE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE)
        .tls_backend_preconfigured(tls);
    let Some(proxy) = &access.proxy else { return Ok(builder) };
    let proxy = reqwest::Proxy::all(proxy).map_err(|error| Error::Client { why: causes(&error) })?;
    Ok(builder.proxy(proxy))
}

pub(super) fn build(builder: ClientBuilder) -> Result<Client, Error> {
    builder.build().map_err(|error| Error::Client { why: causes(&error) })
}

impl Http {
    pub(super) fn new(clients: Clients, base: Url) -> Self {
        Self { clients, base }
    }

    pub(super) async fn fetch(&self, path: &str, max_bytes: u64) -> Result<Vec<u8>, FetchError> {
        let mut response = self.ask(self.url(path)?).await?;
        for _ in 0..MAX_HOPS {
            let Some(target) = self.redirected(&response)? else { break };
            response =
                self.clients.elsewhere.get(target.clone()).send().await.map_err(|error| failed(&target, error))?;
        }
        let place = response.url().clone();
        accept(&response, &place)?;
        let too_large = FetchError::TooLarge { limit: max_bytes };
        if response.content_length().is_some_and(|length| length > max_bytes) {
            return Err(too_large);
        }
        // What the head says about the length is a hint at best, so the bytes are counted as they come.
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&place, error))? {
            let length = bytes.len().saturating_add(chunk.len());
            if u64::try_from(length).unwrap_or(u64::MAX) > max_bytes {
                return Err(too_large);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The answer of the repository itself, which is asked once more where a rotated Secret has other credentials.
    async fn ask(&self, url: Url) -> Result<Response, FetchError> {
        let Some(credentials) = &self.clients.credentials else { return self.send(url, None).await };
        let known = credentials.value(None).await?;
        let sent = Instant::now();
        let response = self.send(url.clone(), Some(known.clone())).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let renewed = credentials.value(Some(sent)).await?;
        if renewed == known {
            return Err(credentials.refused());
        }
        let response = self.send(url, Some(renewed)).await?;
        if response.status() == StatusCode::UNAUTHORIZED { Err(credentials.refused()) } else { Ok(response) }
    }

    async fn send(&self, url: Url, authorization: Option<HeaderValue>) -> Result<Response, FetchError> {
        let request = self.clients.own.get(url);
        let request = match authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        };
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

    /// Where an answer sends us, if it does and the policy lets it.
    fn redirected(&self, response: &Response) -> Result<Option<Url>, FetchError> {
        let redirects = &self.clients.redirects;
        if !response.status().is_redirection() || redirects.are_none() {
            return Ok(None);
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        redirects.follow(response.url(), location).map(Some).map_err(|why| {
            let target = response.url().join(location).map_or_else(|_| "nowhere".to_owned(), |url| host(&url));
            FetchError::Unreachable(format!("{} redirects to {target}, {why}", host(response.url())))
        })
    }
}

/// Why a request brought no answer. URLs of redirects hold signatures, so only hosts are named.
fn failed(place: &Url, error: reqwest::Error) -> FetchError {
    FetchError::Unreachable(failure(&host(place), error))
}

/// The same as a text.
pub(crate) fn failure(host: &str, error: reqwest::Error) -> String {
    format!("{host}: {}", causes(&error.without_url()))
}

/// The base URL and the client of another host that is asked over TLS, without redirects, and reached as `reach` says.
pub(crate) fn client_of(host: &str, ca_bundle: Option<&[u8]>, reach: Reach) -> Result<(Url, Client), Error> {
    let bad = |why: &str| Error::BadUrl { url: format!("https://{host}/"), why: why.to_owned() };
    let url = Url::parse(&format!("https://{host}/")).map_err(|error| bad(&error.to_string()))?;
    if !reach.allows(&url) {
        return Err(bad("it is an address that may not be reached"));
    }
    let access = Access { ca_bundle: ca_bundle.map(<[u8]>::to_vec), ..Access::default() };
    let client = builder(tls(&[&url], &access)?, &access)?.dns_resolver(reach.resolver());
    Ok((url, build(client)?))
}

fn accept(response: &Response, place: &Url) -> Result<(), FetchError> {
    let status = response.status();
    let host = host(place);
    if status.is_redirection() {
        let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = target.and_then(|text| place.join(text).ok());
        let target = target.map_or_else(|| "nowhere".to_owned(), |url| self::host(&url));
        let message = format!("{host} redirects to {target} (HTTP {}), which is not followed", status.as_u16());
        return Err(FetchError::Unreachable(message));
    }
    match status {
        StatusCode::OK => Ok(()),
        // Object stores that may not be listed answer 403 for what they do not have (TUF 5.3.3).
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Err(FetchError::NotFound),
        _ => Err(FetchError::Unreachable(format!("{host} answered HTTP {}", status.as_u16()))),
    }
}

/// The host of a URL, with its port unless that is the usual one.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn tls(urls: &[&Url], access: &Access) -> Result<ClientConfig, Error> {
    let roots = authorities(urls, access, rustls_native_certs::load_native_certs)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Client { why: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The authorities to believe. `machine` is asked only where it matters, and its certificates are the default so that
/// an administrator can add and remove some without a new image; compiled-in ones would age with the binary.
pub(super) fn authorities(
    urls: &[&Url],
    access: &Access,
    machine: impl FnOnce() -> CertificateResult,
) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = &access.ca_bundle {
        let bad = |why: String| Error::BadCaBundle { why };
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(bad("it holds no PEM certificate".to_owned()));
        }
    } else if let Some(url) = urls.iter().find(|url| url.scheme() == "https") {
        let found = machine();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(Error::NoCaCertificates { host: host(url), why });
        }
    }
    Ok(roots)
}

/// An error and its sources on one line; the outermost alone ("error sending request") helps nobody.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut parts: Vec<String> = Vec::new();
    for text in chain.map(ToString::to_string) {
        // Many wrappers repeat the text of what they wrap.
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    let mut text = parts.join(": ");
    text.truncate(text.floor_char_boundary(MAX_CAUSE));
    text
}
