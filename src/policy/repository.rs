//! The TUF repositories of a policy: where they are, which root is pinned, what is never believed again.

use std::{collections::BTreeMap, fmt, num::NonZeroU64};

use jiff::SignedDuration;

use super::{
    Fault,
    location::{BaseUrl, Mirror, Scheme, load_host, load_mirrors, load_proxy, locations},
    outline::{Located, Path},
    raw::{RawAuth, RawRepository},
    values,
};
use crate::tuf::RoleChain;

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
    /// The other host to which a registry may send for a token, with its port unless that is 443.
    pub tokens: Option<String>,
    /// The proxy that takes every request.
    pub proxy: Option<BaseUrl>,
    /// Hosts, with their ports unless these are the usual ones, to which redirects are followed.
    pub redirects: Vec<String>,
    /// Counted up by hand to drop every rollback floor (trust.md §5, R7).
    pub epoch: NonZeroU64,
}

/// Which credentials a repository is asked with, and which host alone may see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The Secret that holds them.
    pub secret: SecretName,
    /// The host of both locations in lower case, with its port unless that is 443; that of the tokens of a registry
    /// where that is another.
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
        if ca_bundle.is_some() && !urls().any(BaseUrl::is_secure) {
            return Err(at.key("caBundle").fault(Fault::MeansNothing { beside: "a location that is not https" }));
        }
        let in_network = urls().any(|url| url.scheme() != Scheme::File);
        for (word, given) in [("proxy", raw.proxy.is_some()), ("redirects", raw.redirects.is_some())] {
            if given && !in_network {
                return Err(at.key(word).fault(Fault::MeansNothing { beside: "a location that is a folder" }));
            }
        }
        let epoch = raw.epoch.unwrap_or(1);
        let epoch = NonZeroU64::new(epoch)
            .ok_or_else(|| at.key("epoch").fault(values::value("0", "an epoch: the first one is 1")))?;
        let tokens = raw.tokens.as_deref().map(|text| load_host(text, &at.key("tokens"))).transpose()?;
        if tokens.is_some() && urls().all(|url| url.scheme() != Scheme::Oci) {
            return Err(at.key("tokens").fault(Fault::MeansNothing { beside: "a location that is no registry" }));
        }
        let auth = raw.auth.as_ref();
        let auth = auth.map(|raw| Auth::load(raw, (&metadata, &targets), tokens.as_deref(), &at.key("auth")));
        let auth = auth.transpose()?;
        Ok(Self {
            metadata,
            targets,
            mirrors,
            auth,
            tokens,
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
    fn load(
        raw: &RawAuth,
        (metadata, targets): (&BaseUrl, &BaseUrl),
        tokens: Option<&str>,
        at: &Path,
    ) -> Result<Self, Located> {
        let host = metadata.authority();
        if !metadata.is_secure() || !targets.is_secure() || targets.authority() != host {
            return Err(at.fault(Fault::Unbound));
        }
        let host = tokens.map_or(host, str::to_owned);
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

pub(super) fn load_redirects(hosts: Option<&[String]>, at: &Path) -> Result<Vec<String>, Located> {
    let Some(hosts) = hosts else { return Ok(Vec::new()) };
    if hosts.is_empty() {
        return Err(at.fault(Fault::EmptyList));
    }
    hosts.iter().enumerate().map(|(index, host)| load_host(host, &at.index(index))).collect()
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
