//! Names of roles and of targets.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use serde::{Deserialize, Serialize};

/// The name of a targets role: `targets` itself or a delegated one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoleName(Arc<str>);

impl RoleName {
    /// The name as metadata writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the role's file without a version: percent-encoded so that it is one segment of a URL and a safe
    /// name in a folder (`team%2Fa.json`), as python's `quote(name, safe="")` encodes.
    pub fn file_name(&self) -> String {
        format!("{}.json", percent_encoded(&self.0, b""))
    }
}

/// Keeps letters, digits, `_.-~` and what `also` lists; the rest becomes `%XX`.
pub(super) fn percent_encoded(text: &str, also: &[u8]) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl From<&str> for RoleName {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of delegations that leads to a role: `targets/team-a/app`. Never empty; the first name is `targets`.
///
/// A bare role name says nothing about who delegated to it, so trust is always given to chains. In the written form a
/// `/` within a name is `%2F` and a `%` is `%25`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleChain(Arc<[RoleName]>);

/// A text that is not a role chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a role chain: names joined by \"/\", the first being \"targets\"")]
pub struct NotARoleChain(pub String);

impl RoleChain {
    /// The top-level role.
    pub fn top() -> Self {
        Self(Arc::new([RoleName::from("targets")]))
    }

    /// The chain of a role to which this one delegates.
    pub fn child(&self, name: &RoleName) -> Self {
        Self(self.0.iter().chain([name]).cloned().collect())
    }

    /// The chain without its last role; none for the top-level role.
    pub fn parent(&self) -> Option<Self> {
        match &*self.0 {
            [] | [_] => None,
            [above @ .., _] => Some(Self(above.into())),
        }
    }

    /// The name of the role itself.
    pub fn name(&self) -> &RoleName {
        static TOP: LazyLock<RoleName> = LazyLock::new(|| RoleName::from("targets"));
        self.0.last().unwrap_or(&TOP)
    }

    /// The names, from `targets` down.
    pub fn names(&self) -> &[RoleName] {
        &self.0
    }

    /// How many delegations lie between the top-level role and this one.
    pub fn depth(&self) -> usize {
        self.0.len().saturating_sub(1)
    }
}

impl fmt::Display for RoleChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            // A name may hold a slash itself; written raw, `targets/a/b` would be two chains.
            f.write_str(&name.as_str().replace('%', "%25").replace('/', "%2F"))?;
        }
        Ok(())
    }
}

impl FromStr for RoleChain {
    type Err = NotARoleChain;

    fn from_str(text: &str) -> Result<Self, NotARoleChain> {
        let unescaped = |name: &str| RoleName::from(name.replace("%2F", "/").replace("%25", "%").as_str());
        let names: Arc<[RoleName]> = text.split('/').map(unescaped).collect();
        let chain = Self(names);
        let starts_at_the_top = chain.0.first().is_some_and(|name| name.as_str() == "targets");
        // What is not written as a chain is written is none: one chain has one text.
        if !starts_at_the_top || chain.0.iter().any(|name| name.as_str().is_empty()) || chain.to_string() != text {
            return Err(NotARoleChain(text.to_owned()));
        }
        Ok(chain)
    }
}

impl Serialize for RoleChain {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A metadata file, by what it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Who signs what.
    Root,
    /// Which snapshot is current.
    Timestamp,
    /// Which versions belong together.
    Snapshot,
    /// Which target files there are; the top-level role or a delegated one.
    Targets(RoleChain),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Snapshot => f.write_str("snapshot"),
            Self::Targets(chain) => chain.fmt(f),
        }
    }
}

/// The path of a target (TUF 4.5, TARGETPATH). It is a name and never used as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TargetPath(Arc<str>);

impl TargetPath {
    /// The path as metadata writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TargetPath {
    /// Whether the path, appended to a folder or a URL, stays below it.
    pub fn is_safe(&self) -> bool {
        self.0.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
            && !self.0.contains(|c: char| c == '\\' || c.is_control())
    }
}

impl From<&str> for TargetPath {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for TargetPath {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_files_are_named_as_pythons_quote_names_them() {
        for (name, file) in [
            ("a.b-c_d~e", "a.b-c_d~e.json"),
            ("?", "%3F.json"),
            ("#", "%23.json"),
            ("/delegatedrole", "%2Fdelegatedrole.json"),
            ("../delegatedrole", "..%2Fdelegatedrole.json"),
            ("é %", "%C3%A9%20%25.json"),
        ] {
            assert_eq!(RoleName::from(name).file_name(), file);
        }
    }

    #[test]
    fn a_chain_has_one_text_and_a_text_one_chain() {
        let flat = RoleChain::top().child(&RoleName::from("a/b"));
        let deep = RoleChain::top().child(&RoleName::from("a")).child(&RoleName::from("b"));
        assert_ne!(flat.to_string(), deep.to_string());
        for chain in [flat, deep, RoleChain::top().child(&RoleName::from("50%2F"))] {
            assert_eq!(chain.to_string().parse(), Ok(chain));
        }
        for text in ["", "targets/", "root", "a/targets", "targets/%41", "targets//a"] {
            assert!(text.parse::<RoleChain>().is_err(), "{text}");
        }
    }
}
