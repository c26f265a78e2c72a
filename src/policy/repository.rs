//! The TUF repositories of a policy: where they are, which root is pinned, what is never believed again.

use core::net::Ipv6Addr;
use std::{collections::BTreeMap, fmt, num::NonZeroU64};

use jiff::SignedDuration;

use super::{
    Fault,
    outline::{Located, Path},
    raw::{RawAuth, RawRepository},
    values,
};
use crate::tuf::RoleChain;

/// Each may cost a share of the time that one refresh has.
const MAX_MIRRORS: usize = 4;

/// A TUF repository as a policy describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TufRepository {
    /// Below which its metadata are.
    pub metadata: BaseUrl,
    /// Below which its target files are.
    pub targets: BaseUrl,
    /// Copies of it, in the order in which they are asked where it fails.
    pub mirrors: Vec<Mirror>,
    /// The key (of the ConfigMap of roots) or file of the pinned root.
    pub root: FileName,
    /// How long after one refresh the next one begins.
    pub refresh: SignedDuration,
    /// Versions below which nothing is believed, even by a cluster without a memory (trust.md §5, R6).
    pub minimum: Minimum,
    /// How far ahead of now a timestamp or snapshot may expire (trust.md §2.8).
    pub max_validity: SignedDuration,
    /// How old the last refresh may be; bounded by TUF's own expiries alone when absent.
    pub max_age: Option<SignedDuration>,
    /// How long before something that people have to renew expires users are warned.
    pub expiry_warning: SignedDuration,
    /// How long after the signed expiry of timestamp and snapshot an image that runs in this cluster may be started again
    /// (trust.md A4); not at all when absent.
    pub stale_known_images: Option<SignedDuration>,
    /// The key (of the ConfigMap of roots) or file of the certificates that its server is trusted by; the usual ones
    /// when absent.
    pub ca_bundle: Option<FileName>,
    /// With which credentials it is asked, if with any.
    pub auth: Option<Auth>,
    /// The proxy that takes every request.
    pub proxy: Option<BaseUrl>,
    /// Hosts, with their ports unless these are the usual ones, to which redirects are followed.
    pub redirects: Vec<String>,
    /// Counted up by hand to drop every rollback floor (trust.md §5, R7).
    pub epoch: NonZeroU64,
}

/// Where a copy of a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Below which its metadata are.
    pub metadata: BaseUrl,
    /// Below which its target files are.
    pub targets: BaseUrl,
}

/// Which credentials a repository is asked with, and which host alone may see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The Secret that holds them.
    pub secret: SecretName,
    /// The host of both locations in lower case, with its port unless that is 443.
    pub host: String,
}

/// The name of a Secret: a DNS subdomain, and so also the name of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName(String);

/// Versions below which metadata are refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Minimum {
    /// Of the root.
    pub root: Option<u64>,
    /// Of the timestamp.
    pub timestamp: Option<u64>,
    /// Of the snapshot.
    pub snapshot: Option<u64>,
    /// Of targets roles.
    pub roles: BTreeMap<RoleChain, u64>,
}

/// An absolute location that ends in `/`, without credentials, query and fragment.
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
}

/// The name of a file without a folder, which is also a key of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName(String);

impl TufRepository {
    pub(super) fn load(raw: &RawRepository, at: &Path) -> Result<Self, Located> {
        let (metadata, targets) = locations(raw, at)?;
        let duration = |text: &Option<String>, key: &str| {
            text.as_deref().map(|text| values::duration(text, &at.key(key))).transpose()
        };
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        let ca_bundle = raw.ca_bundle.as_deref().map(|text| FileName::load(text, &at.key("caBundle"))).transpose()?;
        let mirrors = load_mirrors(raw.mirrors.as_deref(), &metadata, &at.key("mirrors"))?;
        let urls = || mirrors.iter().flat_map(|copy| [&copy.metadata, &copy.targets]).chain([&metadata, &targets]);
        if ca_bundle.is_some() && urls().all(|url| url.scheme != Scheme::Https) {
            return Err(at.key("caBundle").fault(Fault::MeansNothing { beside: "a location that is not https" }));
        }
        let in_network = urls().any(|url| url.scheme != Scheme::File);
        for (word, given) in [("proxy", raw.proxy.is_some()), ("redirects", raw.redirects.is_some())] {
            if given && !in_network {
                return Err(at.key(word).fault(Fault::MeansNothing { beside: "a location that is a folder" }));
            }
        }
        let epoch = raw.epoch.unwrap_or(1);
        let epoch = NonZeroU64::new(epoch)
            .ok_or_else(|| at.key("epoch").fault(values::value("0", "an epoch: the first one is 1")))?;
        let auth = raw.auth.as_ref().map(|raw| Auth::load(raw, &metadata, &targets, &at.key("auth"))).transpose()?;
        Ok(Self {
            metadata,
            targets,
            mirrors,
            auth,
            root: FileName::load(&raw.root, &at.key("root"))?,
            refresh: duration(&raw.refresh, "refresh")?.unwrap_or(SignedDuration::from_secs(60)),
            minimum: Minimum::load(raw.minimum.as_ref(), &at.key("minimum"))?,
            max_validity: duration(&raw.max_validity, "maxValidity")?.unwrap_or(days(30)),
            max_age: duration(&raw.max_age, "maxAge")?,
            expiry_warning: duration(&raw.expiry_warning, "expiryWarning")?.unwrap_or(days(7)),
            stale_known_images: match &raw.stale {
                Some(raw) => Some(values::duration(&raw.known_images, &at.key("stale").key("knownImages"))?),
                None => None,
            },
            ca_bundle,
            proxy: raw.proxy.as_deref().map(|text| load_proxy(text, &at.key("proxy"))).transpose()?,
            redirects: load_redirects(raw.redirects.as_deref(), &at.key("redirects"))?,
            epoch,
        })
    }
}

impl Auth {
    fn load(raw: &RawAuth, metadata: &BaseUrl, targets: &BaseUrl, at: &Path) -> Result<Self, Located> {
        let secure = metadata.scheme == Scheme::Https && targets.scheme == Scheme::Https;
        let host = metadata.authority();
        if !secure || targets.authority() != host {
            return Err(at.fault(Fault::Unbound));
        }
        Ok(Self { secret: SecretName::load(&raw.secret_ref, &at.key("secretRef"))?, host })
    }
}

impl SecretName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn load(text: &str, at: &Path) -> Result<Self, Located> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let label = |label: &str| {
            !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(inner)
        };
        let fits = text.len() <= 253 && text.split('.').all(label);
        let wanted = "the name of a Secret: lower-case letters, digits, \"-\" and \".\"";
        if fits { Ok(Self(text.to_owned())) } else { Err(at.fault(values::value(text, wanted))) }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn load_proxy(text: &str, at: &Path) -> Result<BaseUrl, Located> {
    let url = BaseUrl::load(text, at)?;
    let after_scheme = url.text.split_once("://").map_or("", |(_, rest)| rest);
    if url.scheme == Scheme::File || after_scheme.split('/').count() != 2 {
        let wanted = "a proxy is http:// or https:// and a host";
        return Err(at.fault(Fault::Url { url: text.to_owned(), wanted }));
    }
    Ok(url)
}

fn load_mirrors(urls: Option<&[String]>, origin: &BaseUrl, at: &Path) -> Result<Vec<Mirror>, Located> {
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
        let base = BaseUrl::load(url, &at)?;
        let copy = Mirror { metadata: base.join("metadata"), targets: base.join("targets") };
        if copy.metadata == *origin || copies.contains(&copy) {
            return Err(at.fault(Fault::MeansNothing { beside: "the same location before it" }));
        }
        copies.push(copy);
    }
    Ok(copies)
}

fn load_redirects(hosts: Option<&[String]>, at: &Path) -> Result<Vec<String>, Located> {
    let Some(hosts) = hosts else { return Ok(Vec::new()) };
    if hosts.is_empty() {
        return Err(at.fault(Fault::EmptyList));
    }
    hosts.iter().enumerate().map(|(index, host)| load_host(host, &at.index(index))).collect()
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

impl Minimum {
    fn load(raw: Option<&BTreeMap<String, u64>>, at: &Path) -> Result<Self, Located> {
        let mut minimum = Self::default();
        for (role, &version) in raw.into_iter().flatten() {
            let at = at.key(role);
            if version == 0 {
                return Err(at.fault(values::value("0", "a version: the first one is 1")));
            }
            match role.as_str() {
                "root" => minimum.root = Some(version),
                "timestamp" => minimum.timestamp = Some(version),
                "snapshot" => minimum.snapshot = Some(version),
                chain => {
                    minimum.roles.insert(values::role_chain(chain, &at)?, version);
                }
            }
        }
        Ok(minimum)
    }
}

impl BaseUrl {
    /// The location, which ends in `/`.
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
    fn authority(&self) -> String {
        let behind = self.text.split_once("://").map_or("", |(_, behind)| behind);
        let authority = behind.split('/').next().unwrap_or_default().to_ascii_lowercase();
        authority.strip_suffix(":443").map_or(authority.clone(), str::to_owned)
    }

    fn load(text: &str, at: &Path) -> Result<Self, Located> {
        let fault = |wanted| at.fault(Fault::Url { url: text.to_owned(), wanted });
        if text.starts_with("oci://") {
            return Err(at.fault(Fault::NotSupported("oci://")));
        }
        let (scheme, rest) = [("https://", Scheme::Https), ("http://", Scheme::Http), ("file://", Scheme::File)]
            .into_iter()
            .find_map(|(prefix, scheme)| Some((scheme, text.strip_prefix(prefix)?)))
            .ok_or_else(|| fault("it begins with https://, http:// or file://"))?;
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

    fn join(&self, folder: &str) -> Self {
        Self { scheme: self.scheme, text: format!("{}{folder}/", self.text) }
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
        })
    }
}

impl FileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn load(text: &str, at: &Path) -> Result<Self, Located> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=253).contains(&text.len()) && text.bytes().all(plain) && text != "." && !text.starts_with("..");
        let wanted = "the name of a file without a folder: letters, digits, \".\", \"_\" and \"-\"";
        if fits { Ok(Self(text.to_owned())) } else { Err(at.fault(values::value(text, wanted))) }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn locations(raw: &RawRepository, at: &Path) -> Result<(BaseUrl, BaseUrl), Located> {
    match (&raw.url, &raw.metadata_url, &raw.targets_url) {
        (Some(url), None, None) => {
            let base = BaseUrl::load(url, &at.key("url"))?;
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
