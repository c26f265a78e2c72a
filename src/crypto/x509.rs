//! X.509 certificates of functionaries (in-toto ITE-7): what a certificate says of its holder, and whether an authority
//! that is trusted has issued it. The chain is verified by webpki; x509-parser reads the names.

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{extensions::GeneralName, prelude::FromDer as _};

use super::{KeyError, PublicKey};

/// Characters of the PEM of one certificate.
pub const MAX_CHARACTERS: usize = 64 << 10;

/// A certificate, read but not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    key: PublicKey,
    key_der: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    names: Names,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    is_authority: bool,
}

/// What a certificate says of its holder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The common name of the subject; empty if there is none.
    pub common_name: String,
    /// The organizations of the subject.
    pub organizations: Vec<String>,
    /// DNS names among the alternative names.
    pub dns_names: Vec<String>,
    /// Mail addresses among the alternative names.
    pub emails: Vec<String>,
    /// URIs among the alternative names.
    pub uris: Vec<String>,
}

/// A certificate that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not one certificate in PEM.
    #[error("not a PEM file with one CERTIFICATE block")]
    NotPem,
    /// The block does not hold a certificate, or one whose names can be read in two ways.
    #[error("the certificate cannot be read: {0}")]
    Malformed(&'static str),
    /// Its key cannot verify.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A certificate that no trusted authority vouches for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not issued by an authority of the layout: {0}")]
pub struct Untrusted(pub String);

impl Certificate {
    /// Reads a PEM file with one certificate.
    ///
    /// # Errors
    /// Another file, a certificate that is too large or cannot be read, or one with a key that cannot verify.
    pub fn from_pem(text: &str) -> Result<Self, Unusable> {
        if text.len() > MAX_CHARACTERS {
            return Err(Unusable::Malformed("it has more than 65536 characters"));
        }
        let block = pem::parse(text).ok().filter(|block| block.tag() == "CERTIFICATE").ok_or(Unusable::NotPem)?;
        let der = block.into_contents();
        let malformed = |_| Unusable::Malformed("it is no certificate");
        let (rest, parsed) = x509_parser::certificate::X509Certificate::from_der(&der).map_err(malformed)?;
        if !rest.is_empty() {
            return Err(Unusable::Malformed("bytes are left over"));
        }
        let time = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp());
        let not_before = time(parsed.validity().not_before).map_err(|_| Unusable::Malformed("its time is no time"))?;
        let not_after = time(parsed.validity().not_after).map_err(|_| Unusable::Malformed("its time is no time"))?;
        let key_der = parsed.public_key().raw.to_vec();
        let key = PublicKey::from_spki(&key_der, None)?;
        let names = names(&parsed)?;
        let (subject, issuer) = (parsed.subject().as_raw().to_vec(), parsed.issuer().as_raw().to_vec());
        let is_authority = parsed.is_ca();
        drop(parsed);
        Ok(Self { key, key_der, not_before, not_after, names, subject, issuer, is_authority, der })
    }

    /// Its holder's key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Its holder's key as a PEM SPKI.
    pub fn key_pem(&self) -> String {
        let block = pem::Pem::new("PUBLIC KEY", self.key_der.as_slice());
        pem::encode_config(&block, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
    }

    /// What it says of its holder.
    pub fn names(&self) -> &Names {
        &self.names
    }
}

fn names(parsed: &x509_parser::certificate::X509Certificate<'_>) -> Result<Names, Unusable> {
    let unreadable = |_| Unusable::Malformed("its subject is no text");
    let mut common_names = parsed.subject().iter_common_name();
    let common_name =
        common_names.next().map(|name| name.as_str().map(str::to_owned)).transpose().map_err(unreadable)?;
    // Readers take the first one or the last one.
    if common_names.next().is_some() {
        return Err(Unusable::Malformed("its subject has two common names"));
    }
    let organizations = parsed.subject().iter_organization().map(|name| name.as_str().map(str::to_owned));
    let mut names = Names {
        common_name: common_name.unwrap_or_default(),
        organizations: organizations.collect::<Result<_, _>>().map_err(unreadable)?,
        ..Names::default()
    };
    let alternatives = parsed.subject_alternative_name();
    let alternatives = alternatives.map_err(|_| Unusable::Malformed("its alternative names cannot be read"))?;
    for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => names.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => names.emails.push((*name).to_owned()),
            GeneralName::URI(name) => names.uris.push((*name).to_owned()),
            GeneralName::Invalid(..) => return Err(Unusable::Malformed("an alternative name cannot be read")),
            _ => {}
        }
    }
    Ok(names)
}

/// Those whose word on other certificates is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorities {
    /// Trusted by themselves.
    pub roots: Vec<Certificate>,
    /// What may stand between a root and a certificate.
    pub intermediates: Vec<Certificate>,
}

impl Authorities {
    /// Those who can issue a certificate that is taken at the time `now`: the roots, and what leads to one of them by its
    /// names. That the signatures in between hold is not verified.
    pub fn who_can_issue(&self, now: Timestamp) -> Vec<&Certificate> {
        let is_current = |certificate: &&Certificate| certificate.not_before <= now && now < certificate.not_after;
        let mut able: Vec<&Certificate> = self.roots.iter().filter(is_current).collect();
        let mut others: Vec<&Certificate> =
            self.intermediates.iter().filter(|certificate| certificate.is_authority).filter(is_current).collect();
        loop {
            let issued = |certificate: &&Certificate| able.iter().any(|known| known.subject == certificate.issuer);
            let (more, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(issued);
            if more.is_empty() {
                return able;
            }
            able.extend(more);
            others = rest;
        }
    }

    /// Verifies that a root vouches for a certificate at the time `now`, and says until when. As in-toto-golang has it,
    /// extended key usages, where a certificate has any, must hold that of a server.
    ///
    /// # Errors
    /// There is no chain of valid signatures within their times from a root to the certificate.
    pub fn verify(&self, certificate: &Certificate, now: Timestamp) -> Result<Timestamp, Untrusted> {
        let untrusted = |error: webpki::Error| Untrusted(say(&error));
        let der = |certificate: &Certificate| CertificateDer::from(certificate.der.clone());
        // webpki takes roots as trusted and does not look at their times.
        let roots = self.roots.iter().filter(|root| root.not_before <= now && now < root.not_after);
        let roots: Vec<(CertificateDer<'_>, &Certificate)> = roots.map(|root| (der(root), root)).collect();
        let anchors = roots.iter().map(|(der, _)| anchor_from_trusted_cert(der)).collect::<Result<Vec<_>, _>>();
        let anchors = anchors.map_err(untrusted)?;
        let intermediates: Vec<CertificateDer<'_>> = self.intermediates.iter().map(der).collect();
        let leaf = der(certificate);
        let leaf = EndEntityCert::try_from(&leaf).map_err(untrusted)?;
        let seconds = u64::try_from(now.as_second()).map_err(|_| Untrusted("the time is before 1970".to_owned()))?;
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let path =
            leaf.verify_for_usage(algorithms, &anchors, &intermediates, time, KeyUsage::server_auth(), None, None);
        let path = path.map_err(untrusted)?;
        let between = path.intermediate_certificates().filter_map(|used| {
            self.intermediates.iter().find(|known| known.der == used.der().as_ref()).map(|known| known.not_after)
        });
        let anchor = path.anchor();
        let root =
            anchors.iter().zip(&roots).find(|(known, _)| **known == *anchor).map(|(_, (_, root))| root.not_after);
        let ends = between.chain(root).fold(certificate.not_after, Timestamp::min);
        // Of the last second both readers say that it is within; a verdict does not last into the next.
        Ok(ends)
    }
}

fn say(error: &webpki::Error) -> String {
    match error {
        webpki::Error::UnknownIssuer => "no chain leads to a root".to_owned(),
        webpki::Error::CertExpired { .. } => "it has expired".to_owned(),
        webpki::Error::CertNotValidYet { .. } => "it is not valid yet".to_owned(),
        webpki::Error::RequiredEkuNotFoundContext(_) => "its extended key usage is not that of a server".to_owned(),
        webpki::Error::CaUsedAsEndEntity => "it is an authority's own".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
