//! With what are servers asked: TLS, certificates, proxies, pools of connections.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder, Url, redirect};
use rustls::{
    ClientConfig, RootCertStore,
    client::{ResolvesClientCert, Resumption},
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_native_certs::CertificateResult;

use super::{
    Error,
    redirect::{Reach, Redirects},
    traffic::Traffic,
};
use crate::{repository::credentials::Credentials, telemetry::causes};

/// With what a repository is approached.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// PEM certificates of the authorities to believe *instead of* the machine's.
    pub ca_bundle: Option<Vec<u8>>,
    /// With what it knows us. Never printed.
    pub credentials: Option<Credentials>,
    /// The other host to which a registry may send for a token.
    pub tokens: Option<String>,
    /// Where redirects may lead.
    pub redirects: Redirects,
    /// The URL of the proxy that takes every request.
    pub proxy: Option<String>,
}

/// How long an idle connection is kept: long enough for the files of one refresh, too short for a connection that
/// died unseen to be found in the pool and to use up the next refresh's deadline.
const IDLE: Duration = Duration::from_secs(15);
/// After this much silence during a transfer the other side is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The HTTP clients of one repository.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    /// For copies that know us by nothing.
    pub(super) plain: Client,
    /// For the host of the credentials.
    pub(super) known: Client,
    /// For the hosts that redirects lead to.
    pub(super) elsewhere: Client,
    /// For `known` alone.
    pub(super) credentials: Option<Credentials>,
    pub(super) redirects: Redirects,
    pub(super) tokens: Option<String>,
    pub(super) traffic: Arc<Traffic>,
}

/// The clients that all folders of one repository share, or `None` where no URL needs one.
pub(super) fn clients(urls: &[&Url], access: &Access, traffic: &Arc<Traffic>) -> Result<Option<Clients>, Error> {
    if urls.iter().all(|url| url.scheme() == "file") {
        return Ok(None);
    }
    let roots = authorities(urls, access, rustls_native_certs::load_native_certs)?;
    let plain = build(builder(tls(roots.clone(), None)?, access)?)?;
    let credentials = access.credentials.clone();
    let known = match &credentials {
        Some(credentials) => build(builder(tls(roots.clone(), Some(credentials.certificate()))?, access)?)?,
        None => plain.clone(),
    };
    let redirects = access.redirects.clone();
    let mut elsewhere = builder(tls(roots, None)?, access)?;
    if access.proxy.is_none() {
        // A proxy looks names up itself, and is there to say what may be reached.
        elsewhere = elsewhere.dns_resolver(redirects.resolver());
    }
    Ok(Some(Clients {
        plain,
        known,
        elsewhere: build(elsewhere)?,
        credentials,
        redirects,
        tokens: access.tokens.clone(),
        traffic: traffic.clone(),
    }))
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

/// The base URL and the client of another host that is asked over TLS, without redirects, and reached as `reach` says.
pub(crate) fn client_of(host: &str, ca_bundle: Option<&[u8]>, reach: Reach) -> Result<(Url, Client), Error> {
    let bad = |why: &str| Error::BadUrl { url: format!("https://{host}/"), why: why.to_owned() };
    let url = Url::parse(&format!("https://{host}/")).map_err(|error| bad(&error.to_string()))?;
    if !reach.allows(&url) {
        return Err(bad("it is an address that may not be reached"));
    }
    let access = Access { ca_bundle: ca_bundle.map(<[u8]>::to_vec), ..Access::default() };
    let roots = authorities(&[&url], &access, rustls_native_certs::load_native_certs)?;
    let client = builder(tls(roots, None)?, &access)?.dns_resolver(reach.resolver());
    Ok((url, build(client)?))
}

/// The base URL and the clients of another host that is asked as [`client_of`] has it, and of the hosts that its redirects
/// lead to.
pub(crate) fn clients_of(
    host: &str,
    ca_bundle: Option<&[u8]>,
    reach: Reach,
    redirects: Redirects,
) -> Result<(Url, Client, Clients), Error> {
    let (url, client) = client_of(host, ca_bundle, reach)?;
    let access = Access { ca_bundle: ca_bundle.map(<[u8]>::to_vec), redirects, ..Access::default() };
    let oci = Url::parse(&format!("oci://{host}/")).map_err(|error| Error::Client { why: error.to_string() })?;
    let clients = clients(&[&oci], &access, &Arc::default())?;
    let clients = clients.ok_or_else(|| Error::Client { why: "no client for a registry".to_owned() })?;
    Ok((url, client, clients))
}

/// Why a request brought no answer, as a text.
pub(crate) fn failure(host: &str, error: reqwest::Error) -> String {
    format!("{host}: {}", causes(&error.without_url()))
}

/// The host of a URL, with its port unless that is the usual one.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn tls(roots: RootCertStore, certificate: Option<Arc<dyn ResolvesClientCert>>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Client { why: error.to_string() })?
        .with_root_certificates(roots);
    let mut config = match certificate {
        Some(certificate) => {
            let mut config = config.with_client_cert_resolver(certificate);
            // A session that is resumed goes on with the certificate of the first one.
            config.resumption = Resumption::disabled();
            config
        }
        None => config.with_no_client_auth(),
    };
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
    } else if let Some(url) = urls.iter().find(|url| matches!(url.scheme(), "https" | "oci")) {
        let found = machine();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(Error::NoCaCertificates { host: host(url), why });
        }
    }
    Ok(roots)
}
