//! The registries that may be asked what a tag names, and for layers.

use super::{
    FileName,
    location::load_host,
    outline::{Located, Path},
    raw::RawRegistry,
    repository::{Auth, SecretName, load_redirects},
};

/// A registry as a policy describes it. It is asked only by rules with `tags: registry` or `layers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// The other host to which it may send for a token, with its port unless that is 443.
    pub tokens: Option<String>,
    /// The key (of the ConfigMap of roots) or file of the certificates that it is trusted by.
    pub ca_bundle: Option<FileName>,
    /// Whether its addresses may be private ones.
    pub private: bool,
    /// With which credentials it is asked. They are for whoever gives its tokens, where that is another host.
    pub auth: Option<Auth>,
    /// Hosts, with their ports unless these are the usual ones, to which it may send for layers.
    pub redirects: Vec<String>,
}

impl RegistrySettings {
    pub(super) fn load(host: &str, raw: &RawRegistry, at: &Path) -> Result<Self, Located> {
        load_host(host, at)?;
        let tokens = raw.tokens.as_deref().map(|text| load_host(text, &at.key("tokens"))).transpose()?;
        let auth = raw.auth.as_ref().map(|auth| {
            let secret = SecretName::load(&auth.secret_ref, &at.key("auth").key("secretRef"))?;
            Ok(Auth { secret, host: tokens.clone().unwrap_or_else(|| host.to_owned()) })
        });
        let redirects = load_redirects(raw.redirects.as_deref(), &at.key("redirects"))?;
        let ca_bundle = raw.ca_bundle.as_deref().map(|text| FileName::load(text, &at.key("caBundle"))).transpose()?;
        Ok(Self { tokens, ca_bundle, private: raw.private.unwrap_or(false), auth: auth.transpose()?, redirects })
    }
}
