//! Where is something to be read from, as a URL?

use core::net::Ipv6Addr;
use std::fmt;

use super::{
    Fault,
    outline::{Located, Path},
    raw::RawRepository,
    values,
};
use crate::image::Reference;

/// Each may cost a share of the time that one refresh has.
const MAX_MIRRORS: usize = 4;

/// An absolute location without credentials, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BaseUrl {
    scheme: Scheme,
    text: String,
}

/// How a location is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Over TLS.
    Https,
    /// In the clear: TUF does not rely on the transport.
    Http,
    /// From a folder.
    File,
    /// From a registry of images, over TLS.
    Oci,
}

/// Where a copy of a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Below which its metadata are.
    pub metadata: BaseUrl,
    /// Below which its target files are.
    pub targets: BaseUrl,
}

impl BaseUrl {
    /// The location, which ends in `/` unless it is in a registry.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How it is read.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, without a port; none of a folder.
    pub fn host(&self) -> Option<&str> {
        let (_, behind) = self.text.split_once("://").filter(|_| self.scheme != Scheme::File)?;
        let authority = behind.split('/').next()?;
        let port = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        Some(port.map_or(authority, |(host, _)| host))
    }

    /// The host in lower case, with its port unless that is the usual one of TLS; empty of a folder.
    pub(super) fn authority(&self) -> String {
        let behind = self.text.split_once("://").map_or("", |(_, behind)| behind);
        let authority = behind.split('/').next().unwrap_or_default().to_ascii_lowercase();
        authority.strip_suffix(":443").map_or(authority.clone(), str::to_owned)
    }

    fn load(text: &str, at: &Path) -> Result<Self, Located> {
        let fault = |wanted| at.fault(Fault::Url { url: text.to_owned(), wanted });
        if let Some(name) = text.strip_prefix("oci://") {
            let wanted = "oci:// is followed by a registry, a repository and perhaps a tag";
            let reference = Reference::parse(name.trim_end_matches('/')).ok().filter(|name| name.digest.is_none());
            let is_written_out = |reference: &Reference| name.starts_with(reference.repository.host());
            let reference = reference.filter(is_written_out).ok_or_else(|| fault(wanted))?;
            let tag = reference.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            return Ok(Self { scheme: Scheme::Oci, text: format!("oci://{}{tag}", reference.repository) });
        }
        let (scheme, rest) = [("https://", Scheme::Https), ("http://", Scheme::Http), ("file://", Scheme::File)]
            .into_iter()
            .find_map(|(prefix, scheme)| Some((scheme, text.strip_prefix(prefix)?)))
            .ok_or_else(|| fault("it begins with https://, http://, file:// or oci://"))?;
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            // The text holds a password: it is not repeated.
            let wanted = "credentials do not stand in a URL";
            return Err(at.fault(Fault::Url { url: format!("{scheme}://…"), wanted }));
        }
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte);
        if !rest.bytes().all(plain) {
            return Err(fault("it has no query, fragment, space or character that needs encoding"));
        }
        match scheme {
            Scheme::File if !rest.starts_with('/') => return Err(fault("file:// is followed by an absolute path")),
            Scheme::Https | Scheme::Http if !is_authority(authority) => return Err(fault("it names a host")),
            _ => {}
        }
        let text = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
        Ok(Self { scheme, text })
    }

    /// Whether it is reached over TLS.
    pub(super) fn is_secure(&self) -> bool {
        matches!(self.scheme, Scheme::Https | Scheme::Oci)
    }

    /// What is below it: a folder, or a repository of a registry.
    fn join(&self, folder: &str) -> Self {
        let text = match self.scheme {
            Scheme::Oci => format!("{}/{folder}", self.text),
            _ => format!("{}{folder}/", self.text),
        };
        Self { scheme: self.scheme, text }
    }

    /// Whether it names a tag.
    fn has_tag(&self) -> bool {
        self.scheme == Scheme::Oci && self.text.rsplit('/').next().is_some_and(|last| last.contains(':'))
    }

    /// The location below which metadata and targets are.
    fn load_parent(text: &str, at: &Path) -> Result<Self, Located> {
        let base = Self::load(text, at)?;
        if base.has_tag() {
            let wanted = "a tag stands in metadataUrl, beside targetsUrl";
            return Err(at.fault(Fault::Url { url: text.to_owned(), wanted }));
        }
        Ok(base)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::File => "file",
            Self::Oci => "oci",
        })
    }
}

pub(super) fn locations(raw: &RawRepository, at: &Path) -> Result<(BaseUrl, BaseUrl), Located> {
    match (&raw.url, &raw.metadata_url, &raw.targets_url) {
        (Some(url), None, None) => {
            let base = BaseUrl::load_parent(url, &at.key("url"))?;
            Ok((base.join("metadata"), base.join("targets")))
        }
        (None, Some(metadata), Some(targets)) => {
            Ok((BaseUrl::load(metadata, &at.key("metadataUrl"))?, BaseUrl::load(targets, &at.key("targetsUrl"))?))
        }
        (url, metadata, targets) => {
            let given = [("url", url), ("metadataUrl", metadata), ("targetsUrl", targets)];
            let found = given.into_iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key).collect();
            Err(at.fault(Fault::OneOf { wanted: "url, and metadataUrl with targetsUrl", found }))
        }
    }
}

pub(super) fn load_mirrors(urls: Option<&[String]>, origin: &BaseUrl, at: &Path) -> Result<Vec<Mirror>, Located> {
    let Some(urls) = urls else { return Ok(Vec::new()) };
    if urls.is_empty() {
        return Err(at.fault(Fault::EmptyList));
    }
    if urls.len() > MAX_MIRRORS {
        return Err(at.fault(Fault::TooMany { what: "mirrors", count: urls.len(), limit: MAX_MIRRORS }));
    }
    let mut copies: Vec<Mirror> = Vec::new();
    for (index, url) in urls.iter().enumerate() {
        let at = at.index(index);
        let base = BaseUrl::load_parent(url, &at)?;
        let copy = Mirror { metadata: base.join("metadata"), targets: base.join("targets") };
        if copy.metadata == *origin || copies.contains(&copy) {
            return Err(at.fault(Fault::MeansNothing { beside: "the same location before it" }));
        }
        copies.push(copy);
    }
    Ok(copies)
}

pub(super) fn load_proxy(text: &str, at: &Path) -> Result<BaseUrl, Located> {
    let url = BaseUrl::load(text, at)?;
    let after_scheme = url.text.split_once("://").map_or("", |(_, rest)| rest);
    if !matches!(url.scheme, Scheme::Http | Scheme::Https) || after_scheme.split('/').count() != 2 {
        let wanted = "a proxy is http:// or https:// and a host";
        return Err(at.fault(Fault::Url { url: text.to_owned(), wanted }));
    }
    Ok(url)
}

/// A host as it stands in a URL.
pub(super) fn load_host(host: &str, at: &Path) -> Result<String, Located> {
    let lower = host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".:-[]".contains(&byte));
    // The usual port is never a part of the host that a URL has.
    let usual = host.ends_with(":443") && !host.ends_with("::443");
    if !lower || usual || !is_authority(host) {
        return Err(at.fault(values::value(host, "a host in lower case, with its port unless that is 443")));
    }
    Ok(host.to_owned())
}

/// A host name or address, perhaps with a port.
fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => match (address.parse::<Ipv6Addr>(), rest.strip_prefix(':')) {
            (Ok(_), port) if rest.is_empty() || port.is_some() => ("ipv6", port),
            _ => return false,
        },
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let digits =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    host.split('.').all(label) && port.is_none_or(digits)
}
