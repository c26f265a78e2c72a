//! Which certificate does the webhook show, and how is it replaced while connections are open?
//!
//! One [`Resolver`] stands between: the TLS server asks it at every handshake, whoever brings a new certificate
//! ([`files`] that somebody else renews, or [`managed`], which issues and renews by itself) puts it in. A connection keeps the certificate it began with.

pub mod files;
pub mod issue;
pub mod managed;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls::{
    CertificateError, ClientConfig, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// A chain and the key that belongs to it, ready to serve.
#[derive(Debug, Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    expires: Timestamp,
}

/// Why a pair of certificate and key cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file is not there or cannot be read.
    #[error("{file}: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        why: String,
    },
    /// The text holds no certificate that can be parsed.
    #[error("no certificate can be read: {why}")]
    BadCertificate {
        /// What is wrong with it.
        why: String,
    },
    /// The text holds no private key that can be used.
    #[error("no private key can be read: {why}")]
    BadKey {
        /// What is wrong with it.
        why: String,
    },
    /// The key is not the one in the certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// The certificate is past its time while the one in use is not.
    #[error("the certificate expired at {expired}, the one in use is good until {current}")]
    Expired {
        /// `notAfter` of the new one.
        expired: Timestamp,
        /// `notAfter` of the one in use.
        current: Timestamp,
    },
    /// A certificate could not be made.
    #[error("the certificate cannot be issued: {why}")]
    NotIssued {
        /// What the library says.
        why: String,
    },
    /// The cryptography of this build does not make TLS.
    #[error("TLS cannot be set up: {why}")]
    Tls {
        /// What the library says.
        why: String,
    },
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        "internal/certificate"
    }
}

impl Certificate {
    /// Parses a PEM chain, the server's own certificate first, and the PEM private key to it.
    pub fn parse(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        let bad_certificate = |why: String| Error::BadCertificate { why };
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad_certificate(error.to_string()))?;
        let own = chain.first().ok_or_else(|| bad_certificate("it holds no PEM certificate".to_owned()))?;
        let (_, expires) = validity(own).map_err(bad_certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| Error::BadKey { why: error.to_string() })?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Error::KeyMismatch,
            rustls::Error::InvalidCertificate(CertificateError::BadEncoding) => bad_certificate(error.to_string()),
            error => Error::BadKey { why: error.to_string() },
        })?;
        Ok(Self { key: Arc::new(certified), expires })
    }

    /// `notAfter` of the server's own certificate.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Answers every handshake with the certificate of the moment. Without one, handshakes fail.
#[derive(Debug, Default)]
pub struct Resolver(ArcSwapOption<Certificate>);

impl Resolver {
    /// What is served now.
    pub fn current(&self) -> Option<Arc<Certificate>> {
        self.0.load_full()
    }

    /// Serves `new` from the next handshake on, unless that would be a step back: an expired certificate does not
    /// replace a valid one.
    pub fn replace(&self, new: Certificate, now: Timestamp) -> Result<(), Error> {
        if let Some(current) = self.current()
            && new.expires <= now
            && now < current.expires
        {
            return Err(Error::Expired { expired: new.expires, current: current.expires });
        }
        self.0.store(Some(Arc::new(new)));
        Ok(())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Whatever name was asked for: the API server knows us by the service's name, probes by an address.
        self.0.load().as_ref().map(|certificate| certificate.key.clone())
    }
}

/// A TLS server (1.2 and 1.3; HTTP/2 and 1.1) that shows what `resolver` holds.
pub fn server_config(resolver: Arc<Resolver>) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Tls { why: error.to_string() })?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A TLS client (1.2 and 1.3) that believes the authorities in `pem` and nobody else.
pub fn client_config(pem: &[u8]) -> Result<ClientConfig, Error> {
    client_of(roots(pem)?)
}

/// A TLS client that believes nobody, for whoever has to give one and speaks in the clear.
pub fn plain_client_config() -> Result<ClientConfig, Error> {
    client_of(RootCertStore::empty())
}

fn client_of(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Tls { why: error.to_string() })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The authorities in `pem`, of which there has to be one.
fn roots(pem: &[u8]) -> Result<RootCertStore, Error> {
    let bad = |why: String| Error::BadCertificate { why };
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(pem) {
        roots.add(authority.map_err(|error| bad(error.to_string()))?).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("it holds no PEM certificate".to_owned()));
    }
    Ok(roots)
}

/// Passed explicitly everywhere: what a process-wide default would be depends on which crate set it first.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Has the process gather its first randomness, which takes tens of milliseconds of a processor: aws-lc measures how the
/// time of its own instructions varies. Whoever shakes hands first would wait for that.
pub fn gather_randomness() {
    // Who needs it asks again, and says what is wrong.
    let _ = provider().secure_random.fill(&mut [0; 32]);
}

/// `notBefore` and `notAfter`.
fn validity(certificate: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let at = |time: ASN1Time| Timestamp::from_second(time.timestamp()).map_err(|error| error.to_string());
    Ok((at(parsed.validity().not_before)?, at(parsed.validity().not_after)?))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::{issue::Authority, *};

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn pair(days: i64) -> issue::Pair {
        let authority = Authority::generate("test", now(), SignedDuration::from_hours(24)).unwrap();
        authority.issue(&["localhost".to_owned()], now(), SignedDuration::from_hours(24 * days)).unwrap()
    }

    fn certificate(days: i64) -> Certificate {
        let pair = pair(days);
        Certificate::parse(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap()
    }

    #[test]
    fn reads_when_a_certificate_expires() {
        assert_eq!(certificate(90).expires(), now() + SignedDuration::from_hours(24 * 90));
    }

    #[test]
    fn refuses_a_key_of_another_certificate() {
        let (one, two) = (pair(1), pair(1));
        let refused = Certificate::parse(one.certificate.as_bytes(), two.key.as_bytes());
        assert_eq!(refused.unwrap_err(), Error::KeyMismatch);
    }

    #[test]
    fn refuses_what_is_no_certificate_and_no_key() {
        let pair = pair(1);
        let (certificate, key) = (pair.certificate.as_bytes(), pair.key.as_bytes());
        let parse = |certificate: &[u8], key: &[u8]| Certificate::parse(certificate, key).unwrap_err();
        assert!(matches!(parse(b"", key), Error::BadCertificate { .. }));
        assert!(matches!(parse(key, key), Error::BadCertificate { .. }));
        assert!(matches!(parse(&certificate[..certificate.len() / 2], key), Error::BadCertificate { .. }));
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(parse(garbage, key), Error::BadCertificate { .. }));
        assert!(matches!(parse(certificate, b""), Error::BadKey { .. }));
        assert!(matches!(parse(certificate, certificate), Error::BadKey { .. }));
        let garbage = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(matches!(parse(certificate, garbage), Error::BadKey { .. }));
    }

    #[test]
    fn an_expired_certificate_does_not_replace_a_valid_one() {
        let resolver = Resolver::default();
        let (long, short) = (certificate(90), certificate(1));
        let later = now() + SignedDuration::from_hours(48);
        resolver.replace(long.clone(), later).unwrap();
        let refused = resolver.replace(short.clone(), later);
        assert_eq!(refused, Err(Error::Expired { expired: short.expires(), current: long.expires() }));
        assert_eq!(resolver.current().unwrap().expires(), long.expires());
        // Where there is nothing better it is served: the clock may be wrong, and the API server judges for itself.
        let resolver = Resolver::default();
        resolver.replace(short, later).unwrap();
        assert!(resolver.current().is_some());
    }
}
