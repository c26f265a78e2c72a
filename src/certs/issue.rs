//! An authority of our own and the certificates it issues.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::Error;

/// How long before its making a certificate is valid from: other machines' clocks may be behind.
pub(super) const LEEWAY: SignedDuration = SignedDuration::from_mins(10);

/// A certificate and its private key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate alone: whoever checks it has the authority's from elsewhere.
    pub certificate: String,
    /// The private key (PKCS#8). Never printed.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// A certificate authority for one webhook.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// A new authority with a new ECDSA P-256 key.
    pub fn generate(name: &str, now: Timestamp, lifetime: SignedDuration) -> Result<Self, Error> {
        let mut params = params(Vec::new(), name, now, lifetime)?;
        // It may sign servers and nothing that signs again.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority with this certificate and key, both as PEM.
    pub fn load(certificate: &str, key: &str) -> Result<Self, Error> {
        let pair = KeyPair::from_pem(key).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, pair).map_err(failed)?;
        Ok(Self { issuer, certificate: certificate.to_owned() })
    }

    /// The authority's private key as PEM (PKCS#8). Never printed.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The authority's own certificate as PEM: what goes into `caBundle`.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A server certificate with a new key for `names`: host names and IP addresses.
    pub fn issue(&self, names: &[String], now: Timestamp, lifetime: SignedDuration) -> Result<Pair, Error> {
        let common_name = names.first().map_or("", String::as_str);
        let mut params = params(names.to_vec(), common_name, now, lifetime)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}

fn params(
    names: Vec<String>,
    common_name: &str,
    now: Timestamp,
    lifetime: SignedDuration,
) -> Result<CertificateParams, Error> {
    /// X.509 ends common names there; service names in Kubernetes get longer, but stand in the alternative names.
    const MAX_COMMON_NAME: usize = 64;
    let mut params = CertificateParams::new(names).map_err(failed)?;
    let common_name: String = common_name.chars().take(MAX_COMMON_NAME).collect();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date(now.checked_sub(LEEWAY).map_err(failed)?)?;
    params.not_after = date(now.checked_add(lifetime).map_err(failed)?)?;
    Ok(params)
}

fn date(at: Timestamp) -> Result<time::OffsetDateTime, Error> {
    time::OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::NotIssued { why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_and_times_that_no_certificate_can_hold() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24);
        let day = SignedDuration::from_hours(24);
        let authority = Authority::generate("test", now, day).unwrap();
        assert!(matches!(authority.issue(&["ümlaut".to_owned()], now, day), Err(Error::NotIssued { .. })));
        assert!(matches!(Authority::generate("test", now, SignedDuration::MAX), Err(Error::NotIssued { .. })));
        let pair = authority.issue(&["a".repeat(63) + ".svc", "127.0.0.1".to_owned()], now, day).unwrap();
        assert!(!format!("{pair:?}").contains("PRIVATE"));
    }
}
