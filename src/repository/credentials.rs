//! With what does a repository know us, and who may learn it?
//!
//! Credentials are in a Secret, and the Secret names the one host that they are for. The policy names the Secret, and
//! its host is held against that of the repository each time it is read: whoever edits the policy can have them sent to
//! where they belong and nowhere else. They go out over TLS alone, and never after a redirect. Beside a token or a
//! password, or instead of them, a Secret may hold a client certificate, which is shown to that host alone.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{Url, header::HeaderValue};
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use tokio::{sync::Mutex, time::Instant};

use super::transport::host;
use crate::{crypto::Sha256, tuf::FetchError};

/// The keys of a Secret that are looked at. Nothing else in it is.
pub const KEYS: [&str; 6] = ["host", "token", "username", "password", "tls.crt", "tls.key"];

/// What a Secret holds, as far as it is looked at.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// Reads Secrets: the port through which the shell knows of them.
#[async_trait::async_trait]
pub trait Secrets: fmt::Debug + Send + Sync {
    /// The [`KEYS`] of a Secret that are there, as it is now.
    async fn read(&self, name: &str) -> Result<SecretData, SecretError>;
}

/// Why a Secret cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It is not there.
    #[error("there is no {place}")]
    Missing {
        /// Which Secret, or which folder.
        place: String,
    },
    /// It may not be read.
    #[error("{place} may not be read: the chart grants what repositories.<name>.authSecret names")]
    Forbidden {
        /// Which Secret, or which folder.
        place: String,
    },
    /// Nothing is known about it: whoever would say is away.
    #[error("{place} could not be read: {why}")]
    Unreadable {
        /// Which Secret, or which folder.
        place: String,
        /// What the system or the API server says.
        why: String,
    },
}

/// For how long credentials are used before the Secret is read again: about once a refresh.
const FRESH: Duration = Duration::from_secs(30);

/// The credentials of one repository. Clones share what was read.
#[derive(Clone)]
pub struct Credentials {
    secrets: Arc<dyn Secrets>,
    secret: String,
    host: String,
    known: Arc<Mutex<Option<Known>>>,
    shown: Arc<Shown>,
    /// Whether a host is taken that is reached without TLS, for tests.
    in_the_clear: bool,
}

/// What was read, and when.
struct Known {
    login: Login,
    at: Instant,
}

/// With what one request goes out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The value of the `Authorization` header.
    pub(crate) header: Option<HeaderValue>,
    /// Which client certificate new connections show.
    certificate: Option<Sha256>,
}

impl Login {
    pub(crate) fn has_certificate(&self) -> bool {
        self.certificate.is_some()
    }
}

/// The client certificate that connections show from now on.
#[derive(Debug, Default)]
struct Shown(ArcSwapOption<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.load_full().filter(|known| known.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        self.0.load().is_some()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials(Secret {} for {})", self.secret, self.host)
    }
}

impl Credentials {
    /// Those in a Secret, for a host in lower case, with its port unless that is 443. Nothing is read yet.
    pub fn new(secrets: Arc<dyn Secrets>, secret: &str, host: &str) -> Self {
        let (secret, host) = (secret.to_owned(), host.to_owned());
        Self { secrets, secret, host, known: Arc::default(), shown: Arc::default(), in_the_clear: false }
    }

    /// The same, also without TLS.
    #[cfg(test)]
    pub(super) fn in_the_clear(self) -> Self {
        Self { in_the_clear: true, ..self }
    }

    /// Whether they may be sent there at all.
    pub(crate) fn are_for(&self, url: &Url) -> bool {
        (matches!(url.scheme(), "https" | "oci") || self.in_the_clear) && host(url) == self.host
    }

    /// The host that may see them.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// What TLS asks for a client certificate. It has the one of the last reading.
    pub(super) fn certificate(&self) -> Arc<dyn ResolvesClientCert> {
        self.shown.clone()
    }

    /// With what a request goes out, from a reading that is younger than [`FRESH`] or began after `since`.
    ///
    /// # Errors
    /// The Secret is not there, does not name the host, or holds no credentials. While whoever keeps the Secrets is away,
    /// what was read last goes on.
    pub(crate) async fn value(&self, since: Option<Instant>) -> Result<Login, FetchError> {
        // Read once for all who ask at the same time.
        let mut known = self.known.lock().await;
        let is_recent = |known: &Known| match since {
            Some(since) => known.at > since,
            None => known.at.elapsed() < FRESH,
        };
        if let Some(known) = known.as_ref().filter(|known| is_recent(known)) {
            return Ok(known.login.clone());
        }
        let at = Instant::now();
        let read = self.secrets.read(&self.secret).await;
        if let (Err(error @ SecretError::Unreadable { .. }), known) = (&read, known.as_ref()) {
            return known.map(|known| known.login.clone()).ok_or_else(|| FetchError::Unreachable(error.to_string()));
        }
        // What is no longer good is forgotten, too.
        *known = None;
        self.shown.0.store(None);
        let data = read.map_err(|error| FetchError::Credentials(error.to_string()))?;
        let (login, certificate) = read_login(&data, &self.host).map_err(|fault| self.failed(&fault))?;
        self.shown.0.store(certificate);
        *known = Some(Known { login: login.clone(), at });
        Ok(login)
    }

    /// The error where the server does not take what the Secret holds.
    pub(super) fn refused(&self) -> FetchError {
        let Self { secret, host, .. } = self;
        FetchError::Credentials(format!("{host} does not take the credentials in Secret {secret} (HTTP 401)"))
    }

    fn failed(&self, fault: &Fault) -> FetchError {
        let Self { secret, host, .. } = self;
        FetchError::Credentials(format!("Secret {secret} is not used for {host}: {fault}"))
    }
}

/// Why a Secret is not used. What it holds is not repeated, not even its host: it may be a Secret for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it has no key \"host\" that names the host it is for")]
    NoHost,
    #[error("its key \"host\" names another host")]
    ForeignHost,
    #[error("it holds neither \"token\", nor \"username\" and \"password\", nor \"tls.crt\" and \"tls.key\"")]
    NoCredentials,
    #[error("it holds both \"token\" and \"username\" or \"password\"")]
    TwoCredentials,
    #[error("its key {0:?} holds what an HTTP header cannot carry")]
    Unfit(&'static str),
    #[error("it holds one of \"tls.crt\" and \"tls.key\", and they are of use together")]
    HalfCertificate,
    #[error("its key {0:?} does not hold what its name says, in PEM")]
    NoPem(&'static str),
    #[error("its key \"tls.key\" is not the one of its \"tls.crt\"")]
    OtherKey,
}

/// What a Secret holds for `host`: an `Authorization` header, a client certificate, or both.
fn read_login(data: &SecretData, host: &str) -> Result<(Login, Option<Arc<CertifiedKey>>), Fault> {
    let named = text(data, "host").ok_or(Fault::NoHost)??.to_ascii_lowercase();
    if named.strip_suffix(":443").unwrap_or(&named) != host {
        return Err(Fault::ForeignHost);
    }
    let (header, certificate) = (authorization(data)?, certificate(data)?);
    if header.is_none() && certificate.is_none() {
        return Err(Fault::NoCredentials);
    }
    let fingerprint = |known: &Arc<CertifiedKey>| Sha256::of(known.cert.first().map_or(&[], AsRef::as_ref));
    Ok((Login { header, certificate: certificate.as_ref().map(fingerprint) }, certificate))
}

fn text<'a>(data: &'a SecretData, key: &'static str) -> Option<Result<&'a str, Fault>> {
    let bytes = data.get(key)?;
    // Files and editors end lines; no credentials do.
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let text = str::from_utf8(bytes).ok().filter(|text| !text.is_empty() && !text.contains(char::is_control));
    Some(text.ok_or(Fault::Unfit(key)))
}

/// `Bearer` (RFC 6750) or `Basic` (RFC 7617).
fn authorization(data: &SecretData) -> Result<Option<HeaderValue>, Fault> {
    let (unfit, value) = match (text(data, "token"), text(data, "username"), text(data, "password")) {
        (Some(token), None, None) => ("token", format!("Bearer {}", token?)),
        (None, Some(username), Some(password)) => {
            let (username, password) = (username?, password?);
            if username.contains(':') {
                return Err(Fault::Unfit("username"));
            }
            ("password", format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}"))))
        }
        (Some(_), _, _) => return Err(Fault::TwoCredentials),
        (None, None, None) => return Ok(None),
        _ => return Err(Fault::NoCredentials),
    };
    // One word: a space would begin something else.
    let is_word = value.bytes().filter(|byte| *byte == b' ').count() == 1 && value.is_ascii();
    let value = HeaderValue::from_str(&value).ok().filter(|_| is_word);
    let mut value = value.ok_or(Fault::Unfit(unfit))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// The client certificate with its key, as a Secret of type `kubernetes.io/tls` has them.
fn certificate(data: &SecretData) -> Result<Option<Arc<CertifiedKey>>, Fault> {
    let (certificates, key) = match (data.get("tls.crt"), data.get("tls.key")) {
        (None, None) => return Ok(None),
        (Some(certificates), Some(key)) => (certificates, key),
        _ => return Err(Fault::HalfCertificate),
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(Fault::NoPem("tls.crt"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Fault::NoPem("tls.key"))?;
    let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider());
    certified.map(|certified| Some(Arc::new(certified))).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Fault::OtherKey,
        rustls::Error::InvalidCertificate(_) => Fault::NoPem("tls.crt"),
        _ => Fault::NoPem("tls.key"),
    })
}

/// Where there are no Secrets.
#[derive(Debug)]
pub struct NoSecrets;

#[async_trait::async_trait]
impl Secrets for NoSecrets {
    async fn read(&self, name: &str) -> Result<SecretData, SecretError> {
        Err(SecretError::Missing { place: format!("Secret {name} here") })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{
        Mutex as Lock,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Secrets in memory.
    #[derive(Debug, Default)]
    pub(crate) struct Kept {
        answer: Lock<Option<Result<SecretData, SecretError>>>,
        readings: AtomicUsize,
    }

    impl Kept {
        pub(crate) fn with(data: &[(&str, &str)]) -> Arc<Self> {
            let kept = Arc::new(Self::default());
            kept.put(Ok(data));
            kept
        }

        pub(crate) fn put(&self, answer: Result<&[(&str, &str)], SecretError>) {
            let owned = |data: &[(&str, &str)]| {
                data.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
            };
            *self.answer.lock().unwrap() = Some(answer.map(owned));
        }

        pub(crate) fn readings(&self) -> usize {
            self.readings.load(Ordering::SeqCst)
        }
    }

    #[async_trait::async_trait]
    impl Secrets for Kept {
        async fn read(&self, name: &str) -> Result<SecretData, SecretError> {
            assert_eq!(name, "tuf");
            self.readings.fetch_add(1, Ordering::SeqCst);
            self.answer.lock().unwrap().clone().unwrap()
        }
    }

    fn of(data: &[(&str, &str)]) -> Result<String, Fault> {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        read_login(&data, "tuf.example:8443").map(|(login, _)| {
            let value = login.header.unwrap();
            assert!(value.is_sensitive());
            value.to_str().unwrap().to_owned()
        })
    }

    const HOST: (&str, &str) = ("host", "tuf.example:8443");

    #[test]
    fn a_secret_holds_a_token_or_a_name_with_a_password_and_names_its_host() {
        assert_eq!(of(&[HOST, ("token", "s3cret")]).unwrap(), "Bearer s3cret");
        assert_eq!(of(&[("host", "TUF.example:8443\n"), ("token", "s3cret\r\n")]).unwrap(), "Bearer s3cret");
        let basic = of(&[HOST, ("username", "ann"), ("password", "open: sesame")]).unwrap();
        assert_eq!(basic, format!("Basic {}", BASE64_STANDARD.encode("ann:open: sesame")));
    }

    #[test]
    fn refuses_a_secret_that_is_for_another_host_or_says_not_for_which() {
        assert_eq!(of(&[("token", "s3cret")]), Err(Fault::NoHost));
        for host in ["tuf.example", "tuf.example:443", "evil.example", "tuf.example:8443.evil.example", "*"] {
            assert_eq!(of(&[("host", host), ("token", "s3cret")]), Err(Fault::ForeignHost), "{host}");
        }
        assert_eq!(of(&[("host", ""), ("token", "s3cret")]), Err(Fault::Unfit("host")));
        let usual = SecretData::from([
            ("host".to_owned(), b"tuf.example:443".to_vec()),
            ("token".to_owned(), b"s3cret".to_vec()),
        ]);
        assert!(read_login(&usual, "tuf.example").is_ok());
    }

    #[test]
    fn refuses_what_is_not_one_kind_of_credentials_or_does_not_fit_into_a_header() {
        assert_eq!(of(&[HOST]), Err(Fault::NoCredentials));
        assert_eq!(of(&[HOST, ("username", "ann")]), Err(Fault::NoCredentials));
        assert_eq!(of(&[HOST, ("token", "s3cret"), ("password", "x")]), Err(Fault::TwoCredentials));
        assert_eq!(of(&[HOST, ("username", "a:b"), ("password", "x")]), Err(Fault::Unfit("username")));
        for odd in ["s3cret\r\nHost: other.example", "s3cret\0", "two words", "", "\u{e9}"] {
            assert_eq!(of(&[HOST, ("token", odd)]), Err(Fault::Unfit("token")), "{odd:?}");
        }
    }

    #[test]
    fn a_client_certificate_comes_with_its_key_alone_or_beside_a_token() {
        let made = rcgen::generate_simple_self_signed(["webhook".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let login = |data: &[(&str, &str)]| {
            let data = data.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
            read_login(&data, "tuf.example:8443").map(|(login, shown)| {
                assert_eq!(login.has_certificate(), shown.is_some());
                (login.header.is_some(), shown.is_some())
            })
        };
        let (crt, pem) = (("tls.crt", certificate.as_str()), ("tls.key", key.as_str()));
        assert_eq!(login(&[HOST, crt, pem]), Ok((false, true)));
        assert_eq!(login(&[HOST, crt, pem, ("token", "s3cret")]), Ok((true, true)));
        assert_eq!(login(&[crt, pem]), Err(Fault::NoHost), "a certificate is for a host, too");
        assert_eq!(login(&[HOST, crt]), Err(Fault::HalfCertificate));
        assert_eq!(login(&[HOST, pem]), Err(Fault::HalfCertificate));
        assert_eq!(login(&[HOST, crt, ("tls.key", "no key")]), Err(Fault::NoPem("tls.key")));
        assert_eq!(login(&[HOST, ("tls.crt", "none"), pem]), Err(Fault::NoPem("tls.crt")));
        assert_eq!(login(&[HOST, ("tls.crt", &key), pem]), Err(Fault::NoPem("tls.crt")));
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert_eq!(login(&[HOST, crt, ("tls.key", &other)]), Err(Fault::OtherKey));
    }

    fn credentials(kept: &Arc<Kept>) -> Credentials {
        Credentials::new(kept.clone(), "tuf", "tuf.example")
    }

    async fn sent(credentials: &Credentials) -> Result<HeaderValue, FetchError> {
        credentials.value(None).await.map(|login| login.header.unwrap())
    }

    /// What was read is as old as it may become.
    async fn grow_old(credentials: &Credentials) {
        credentials.known.lock().await.as_mut().unwrap().at -= FRESH;
    }

    const GOOD: [(&str, &str); 2] = [("host", "tuf.example"), ("token", "s3cret")];

    #[test]
    fn they_go_to_their_host_over_tls_and_nowhere_else() {
        let credentials = credentials(&Kept::with(&GOOD));
        let are_for = |url: &str| credentials.are_for(&Url::parse(url).unwrap());
        assert!(are_for("https://tuf.example/metadata/") && are_for("https://TUF.example:443/"));
        for url in ["http://tuf.example/", "https://tuf.example:8443/", "https://evil.example/", "file:///tuf.example"]
        {
            assert!(!are_for(url), "{url}");
        }
    }

    #[tokio::test]
    async fn a_secret_is_read_again_after_a_while_and_a_rotated_one_is_used() {
        let kept = Kept::with(&GOOD);
        let credentials = credentials(&kept);
        assert_eq!(sent(&credentials).await.unwrap(), "Bearer s3cret");
        kept.put(Ok(&[GOOD[0], ("token", "rotated")]));
        assert_eq!(sent(&credentials).await.unwrap(), "Bearer s3cret");
        assert_eq!(kept.readings(), 1);
        grow_old(&credentials).await;
        assert_eq!(sent(&credentials).await.unwrap(), "Bearer rotated");
        assert!(!format!("{credentials:?}").contains("rotated"));
    }

    #[tokio::test]
    async fn a_secret_that_is_gone_or_foreign_is_not_used_any_more_and_one_out_of_sight_is() {
        let place = || "Secret pratique/tuf".to_owned();
        let away = || Err(SecretError::Unreadable { place: place(), why: "timed out".into() });
        let kept = Kept::with(&GOOD);
        kept.put(away());
        let credentials = credentials(&kept);
        let why = "Secret pratique/tuf could not be read: timed out".to_owned();
        assert_eq!(sent(&credentials).await, Err(FetchError::Unreachable(why)));
        kept.put(Ok(&GOOD));
        assert!(credentials.value(None).await.is_ok());
        grow_old(&credentials).await;
        kept.put(away());
        assert!(credentials.value(None).await.is_ok());
        kept.put(Err(SecretError::Missing { place: place() }));
        let gone = FetchError::Credentials("there is no Secret pratique/tuf".into());
        assert_eq!(sent(&credentials).await, Err(gone));
        // It was forgotten: an outage does not bring it back.
        kept.put(away());
        assert!(matches!(credentials.value(None).await, Err(FetchError::Unreachable(_))));
        kept.put(Ok(&[("host", "evil.example"), GOOD[1]]));
        let foreign = "Secret tuf is not used for tuf.example: its key \"host\" names another host".to_owned();
        assert_eq!(sent(&credentials).await, Err(FetchError::Credentials(foreign)));
    }
}
