//! Links: what went into a step and what came out of it (in-toto 4.4).

mod artifacts;
pub(super) mod in_place;

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

use super::{
    error::{Error, Problem, Unclean},
    fields::{Object, Source},
    name::StepName,
};
use crate::crypto::KeyId;

use artifacts::shown;
pub use artifacts::{Artifacts, Chosen, Digests, DigestsOf};

/// What a step or an inspection recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// What went in.
    pub materials: Artifacts,
    /// What came out.
    pub products: Artifacts,
}

/// One of the two lists of a link, and of the two rule lists of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// `materials` and `expected_materials`.
    Materials,
    /// `products` and `expected_products`.
    Products,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Materials => "materials",
            Self::Products => "products",
        })
    }
}

impl Recorded {
    /// The artifacts of one side.
    pub fn side(&self, side: Side) -> &Artifacts {
        match side {
            Side::Materials => &self.materials,
            Side::Products => &self.products,
        }
    }
}

/// A parsed link. `byproducts` and `environment` are never looked at.
pub(super) struct Link {
    /// `name`; some writers leave it empty, and then it fits no step.
    pub name: Option<String>,
    pub recorded: Recorded,
    pub command: Vec<String>,
}

impl Link {
    pub(super) fn parse(source: Source<'_>, payload: &Value) -> Result<Self, Error> {
        let link = Object::open(source, "", payload)?;
        link.check(&["_type", "name", "materials", "products"], &["byproducts", "command", "environment"])?;
        link.check_type("link")?;
        for name in ["byproducts", "environment"] {
            if link.optional(name).is_some_and(|value| !value.is_object()) {
                return Err(link.not_a(name, "an object"));
            }
        }
        let command = match link.optional("command") {
            // in-toto-golang writes `null` for a step without a command.
            None | Some(Value::Null) => Vec::new(),
            Some(_) => link.list("command")?.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect(),
        };
        let name = match link.get("name")? {
            Value::Null => None,
            _ => Some(link.text("name")?.to_owned()),
        };
        let recorded = Recorded {
            materials: listed(source, Side::Materials, link.object("materials")?)?,
            products: listed(source, Side::Products, link.object("products")?)?,
        };
        Ok(Self { name, recorded, command })
    }
}

fn listed(source: Source<'_>, side: Side, listed: &Map<String, Value>) -> Result<Artifacts, Error> {
    source.limit("artifacts", listed.len(), source.limits.artifacts)?;
    let mut artifacts = BTreeMap::new();
    for (name, value) in listed {
        checked_name(source, side, name)?;
        let digests = digests(value).ok_or_else(|| {
            source.malformed(format!("{side}.{name}"), Problem::NotA("an object of digests in hex (in-toto 4.2.3)"))
        })?;
        artifacts.insert(name.clone(), digests);
    }
    Ok(artifacts.into())
}

/// Refuses a name that is too long, or that two readers understand differently.
pub(super) fn checked_name(source: Source<'_>, side: Side, name: &str) -> Result<(), Error> {
    source.limit("bytes of an artifact name", name.len(), source.limits.artifact_name_bytes)?;
    match unclean(name) {
        None => Ok(()),
        Some(why) => Err(Error::UncleanArtifact { file: source.file.to_owned(), side, name: name.to_owned(), why }),
    }
}

fn digests(value: &Value) -> Option<Digests> {
    let mut digests = Digests::new();
    for (algorithm, digest) in value.as_object()? {
        let digest = digest.as_str()?;
        if !is_digest(digest) {
            return None;
        }
        digests.insert(algorithm.clone(), digest.to_owned());
    }
    Some(digests)
}

/// Characters of a digest: those of SHA-512 are 128.
pub(super) const MAX_DIGEST: usize = 256;

fn is_digest(text: &str) -> bool {
    // Without a branch for each byte they are looked at all at once.
    !text.is_empty() && text.len() <= MAX_DIGEST && text.bytes().fold(true, |all, byte| all & byte.is_ascii_hexdigit())
}

/// What is wrong with a name. in-toto-golang cleans names as paths and the reference takes them literally: `./a` and `a`
/// are one artifact to the former, two to the latter, and rules can be evaded between them (CVE-2021-41087). Only names
/// on which both agree are accepted.
fn unclean(name: &str) -> Option<Unclean> {
    if is_usual(name.as_bytes()) {
        return None;
    }
    if name.is_empty() {
        return Some(Unclean::Empty);
    }
    if name.contains('\0') {
        return Some(Unclean::Nul);
    }
    let is_uri = name.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme));
    let last = name.matches('/').count();
    for (index, segment) in name.split('/').enumerate() {
        // An absolute path begins with an empty segment, `oci://x` has one behind the scheme (ITE-4).
        let may_be_empty = last > 0 && (index == 0 || (index == 1 && is_uri && last > 1)) && index != last;
        match segment {
            "" if !may_be_empty => return Some(Unclean::EmptySegment),
            "." | ".." => return Some(Unclean::DotSegment),
            _ => {}
        }
    }
    None
}

/// Whether a name is clean at first sight: no segment is empty or begins with a dot. Without a branch for each byte they are
/// looked at all at once.
fn is_usual(name: &[u8]) -> bool {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return false };
    let pairs = name.iter().zip(name.iter().skip(1));
    let is_odd = |one: u8, next: u8| (one == 0) | ((one == b'/') & ((next == b'/') | (next == b'.')));
    let any_odd = pairs.fold(false, |any, (one, next)| any | is_odd(*one, *next));
    !any_odd && !matches!(first, b'/' | b'.') && !matches!(last, b'/' | 0)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Two valid links about one step that differ; the first difference found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// The step.
    pub step: StepName,
    /// In which list.
    pub side: Side,
    /// The artifact.
    pub artifact: String,
    /// The functionaries, and what each says; `None` where it does not list the artifact.
    pub says: [(KeyId, Option<Digests>); 2],
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, side, artifact, says: [(one, first), (other, second)] } = self;
        let say = |digests: &Option<Digests>| digests.as_ref().map_or("nothing".to_owned(), show);
        let (step, one, other) = (step.as_str(), one.short(), other.short());
        write!(f, "the links for step {step:?} disagree on {side}: for {artifact:?}, {one}… says {}, ", say(first))?;
        write!(f, "{other}… says {}", say(second))
    }
}

/// Digests as messages show them.
pub(super) fn show(digests: &Digests) -> String {
    shown(digests.iter().map(|(algorithm, hex)| (algorithm.as_str(), hex.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_clean_when_every_reader_reads_them_alike() {
        for name in
            ["a", "a/b", "/etc/passwd", "oci://registry.example/team/app", ".hidden", "a/..b", "a b\n", "*", "#"]
        {
            assert_eq!(unclean(name), None, "{name:?}");
        }
        for (name, why) in [
            ("", Unclean::Empty),
            ("a\0", Unclean::Nul),
            (".", Unclean::DotSegment),
            ("./a", Unclean::DotSegment),
            ("a/../b", Unclean::DotSegment),
            ("oci://../b", Unclean::DotSegment),
            ("a/", Unclean::EmptySegment),
            ("/", Unclean::EmptySegment),
            ("//a", Unclean::EmptySegment),
            ("a//b", Unclean::EmptySegment),
            ("1x://b", Unclean::EmptySegment),
            ("oci://", Unclean::EmptySegment),
            ("oci:///b", Unclean::EmptySegment),
            ("oci://a//b", Unclean::EmptySegment),
        ] {
            assert_eq!(unclean(name), Some(why), "{name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_clean_at_first_sight_is_clean(name in "[a./\\x00é]{0,40}") {
            let is_odd = |segment: &str| segment.is_empty() || segment.starts_with('.');
            let is_clean = !name.contains('\0') && !name.split('/').any(is_odd);
            proptest::prop_assert_eq!(is_usual(name.as_bytes()), is_clean);
        }
    }
}
