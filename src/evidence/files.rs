//! Reading the small files that a repository holds beside layouts and links.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Error;
use crate::{
    crypto::{Sha256, json},
    in_toto::LayoutKey,
    tuf::TargetPath,
};

/// The list of paths in a target's `custom[member]`, deduplicated never: a path that stands twice is an error.
pub(super) fn listed(
    path: &TargetPath,
    custom: &Map<String, Value>,
    member: &str,
    limit: usize,
) -> Result<Vec<TargetPath>, Error> {
    let malformed = || Error::MalformedList { path: path.clone(), member: member.to_owned() };
    let Some(value) = custom.get(member) else {
        return Err(Error::NothingListed { path: path.clone(), member: member.to_owned() });
    };
    let items = value.as_array().ok_or_else(malformed)?;
    if items.is_empty() {
        return Err(Error::NothingListed { path: path.clone(), member: member.to_owned() });
    }
    if items.len() > limit {
        return Err(Error::TooManyFiles { path: path.clone(), listed: items.len(), limit });
    }
    let mut seen = BTreeSet::new();
    let mut paths = Vec::with_capacity(items.len());
    for item in items {
        let text = item.as_str().ok_or_else(malformed)?;
        if !seen.insert(text) {
            return Err(Error::ListedTwice { path: path.clone(), entry: text.to_owned() });
        }
        paths.push(TargetPath::from(text));
    }
    Ok(paths)
}

/// Reads a key file: PEM SPKI, or a securesystemslib key object in JSON.
pub(super) fn layout_key(path: &TargetPath, bytes: &[u8]) -> Result<LayoutKey, Error> {
    LayoutKey::parse(bytes).map_err(|why| Error::UnusableKey { path: path.clone(), why })
}

/// The digests that may still use a retired layout: the target file that `custom.digests` of the layout names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestList(BTreeSet<Sha256>);

impl DigestList {
    /// Reads `{"digests": ["sha256:<hex>", …]}`; anything else makes the whole file unreadable.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let value = json::parse(bytes).ok()?;
        value
            .get("digests")?
            .as_array()?
            .iter()
            .map(|item| item.as_str()?.strip_prefix("sha256:")?.parse().ok())
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Whether the digest is listed.
    pub fn contains(&self, digest: &Sha256) -> bool {
        self.0.contains(digest)
    }
}
