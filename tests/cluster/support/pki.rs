//! Certificates for one run of the tests.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// A certification authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "pratique cluster tests");
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// The CA's own certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes certificate and key of a server with these names (DNS names or addresses).
    pub(crate) fn server(&self, names: &[&str], certificate: &Path, key: &Path) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server");
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth, certificate, key);
    }

    /// Writes certificate and key of a user of the Kubernetes API.
    pub(crate) fn user(&self, name: &str, group: Option<&str>, certificate: &Path, key: &Path) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth, certificate, key);
    }

    fn issue(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose, certificate: &Path, key: &Path) {
        params.extended_key_usages = vec![usage];
        let pair = KeyPair::generate().unwrap();
        fs::write(certificate, params.signed_by(&pair, &self.issuer).unwrap().pem()).unwrap();
        fs::write(key, pair.serialize_pem()).unwrap();
    }
}

/// Writes a key pair without a certificate: the one that signs tokens of service accounts.
pub(crate) fn key_pair(private: &Path, public: &Path) {
    let pair = KeyPair::generate().unwrap();
    fs::write(private, pair.serialize_pem()).unwrap();
    fs::write(public, pair.public_key_pem()).unwrap();
}
