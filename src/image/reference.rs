//! References: the grammar of distribution, read strictly, and the normal form that rules and target paths see.

use std::{fmt, str::FromStr, sync::Arc};

use serde::Serialize;

use super::{Error, ReferenceFault};
use crate::crypto::Sha256;

/// Bytes of a reference: more than the longest host, port, repository, tag and digest together.
const MAX_REFERENCE: usize = 1024;
/// Bytes of a repository without its host (distribution, `RepositoryNameTotalLengthMax`).
const MAX_PATH: usize = 255;
/// Bytes of a host name, and of one of its labels (RFC 1035 2.3.4).
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;
/// Bytes of a tag (OCI distribution-spec, "Pulling manifests").
const MAX_TAG: usize = 128;

const DOCKER_HUB: &str = "docker.io";
/// The old name of Docker Hub; clients replace it. `registry-1.docker.io` is not replaced and so a host of its own.
const DOCKER_HUB_OLD: &str = "index.docker.io";

/// What a node may take for the algorithm of an image id, if nothing stands before it.
const ALGORITHMS: [&str; 3] = ["sha256", "sha384", "sha512"];

/// The canonical name of a repository: `registry.example/team/app`.
///
/// The host is in lower case and without `:443`, `docker.io` and `library/` are written out, and there is no scheme, tag
/// or digest. Two spellings of one repository are equal; the name holds no character that a pattern gives a meaning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    name: Arc<str>,
    /// Where the `/` after the host stands.
    slash: usize,
}

impl Repository {
    /// Reads a repository name in any spelling.
    ///
    /// # Errors
    /// Whatever [`Reference::parse`] refuses, and a tag or a digest.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let reference = Reference::parse(text)?;
        if reference.tag.is_some() || reference.digest.is_some() {
            return Err(malformed(text, ReferenceFault::NotARepository));
        }
        Ok(reference.repository)
    }

    /// The canonical name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The registry: a host name, with its port unless that is 443.
    pub fn host(&self) -> &str {
        self.name.get(..self.slash).unwrap_or_default()
    }

    /// What follows the host.
    pub fn path(&self) -> &str {
        self.name.get(self.slash + 1..).unwrap_or_default()
    }

    /// Splits the host off as distribution's `splitDockerDomain` does, then normalises both parts.
    fn normalise(name: &str) -> Result<Self, ReferenceFault> {
        let (host, path) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (normal_host(first)?, rest.to_owned()),
            Some(_) => (DOCKER_HUB.to_owned(), name.to_owned()),
            None if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                return Err(ReferenceFault::ImageId);
            }
            None => (DOCKER_HUB.to_owned(), name.to_owned()),
        };
        let path = if host == DOCKER_HUB && !path.contains('/') { format!("library/{path}") } else { path };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceFault::UpperCase(path));
        }
        if path.len() > MAX_PATH {
            return Err(ReferenceFault::RepositoryTooLong { length: path.len(), limit: MAX_PATH });
        }
        if let Some(component) = path.split('/').find(|component| !is_component(component)) {
            return Err(ReferenceFault::Component(component.to_owned()));
        }
        Ok(Self { name: format!("{host}/{path}").into(), slash: host.len() })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Repository {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl Serialize for Repository {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

/// A tag: 1 to 128 word characters, dots and hyphens, the first a word character. Tags keep their case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Tag(Arc<str>);

impl Tag {
    /// What a reference without tag and digest means.
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Result<Self, ReferenceFault> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let fits = text.len() <= MAX_TAG
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'));
        if fits { Ok(Self(text.into())) } else { Err(ReferenceFault::Tag(text.to_owned())) }
    }
}

impl FromStr for Tag {
    type Err = ReferenceFault;

    fn from_str(text: &str) -> Result<Self, ReferenceFault> {
        Self::parse(text)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image as a workload names it, in normal form: `registry.example/team/app:1.4@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The repository.
    pub repository: Repository,
    /// The tag, if one is written. Beside a digest it says nothing: runtimes pull by the digest alone.
    pub tag: Option<Tag>,
    /// The image digest, if the image is named by it.
    pub digest: Option<Sha256>,
}

impl Reference {
    /// Reads a reference by the grammar of distribution and brings it into normal form.
    ///
    /// # Errors
    /// [`Error::MalformedReference`] for everything outside the grammar, [`Error::UnsupportedDigest`] for a digest that
    /// is not a sha256.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fault = |fault| malformed(text, fault);
        check_characters(text).map_err(fault)?;
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(parse_digest(text, digest)?)),
            None => (text, None),
        };
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest.get(last..).and_then(|component| component.find(':')) {
            Some(colon) => {
                let (name, tag) = rest.split_at(last + colon);
                (name, Some(Tag::parse(tag.strip_prefix(':').unwrap_or(tag)).map_err(fault)?))
            }
            None => (rest, None),
        };
        // Distribution's `ParseAnyReference` and containerd's CRI read `sha256:<hex>`, even a few digits of it, as the id
        // of an image that the node already has, whatever registry it came from: no rule for docker.io may admit that.
        if tag.is_some() && ALGORITHMS.contains(&name) {
            return Err(fault(ReferenceFault::ImageId));
        }
        let repository = Repository::normalise(name).map_err(fault)?;
        Ok(Self { repository, tag, digest })
    }

    /// The tag that is meant: as written, or `latest` where neither tag nor digest is.
    pub fn meant_tag(&self) -> Option<Tag> {
        self.tag.clone().or_else(|| self.digest.is_none().then(Tag::latest))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@sha256:{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn malformed(text: &str, fault: ReferenceFault) -> Error {
    const SHOWN: usize = 128;
    let mut reference: String = text.chars().take(SHOWN).collect();
    if reference.len() < text.len() {
        reference.push('…');
    }
    Error::MalformedReference { reference, fault }
}

fn check_characters(text: &str) -> Result<(), ReferenceFault> {
    if text.is_empty() {
        return Err(ReferenceFault::Empty);
    }
    if text.len() > MAX_REFERENCE {
        return Err(ReferenceFault::TooLong { length: text.len(), limit: MAX_REFERENCE });
    }
    if text.contains("://") {
        return Err(ReferenceFault::Scheme);
    }
    if text.starts_with('[') {
        return Err(ReferenceFault::Ipv6);
    }
    let known = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | ':' | '/' | '@' | '+' | '=')
    };
    match text.char_indices().find(|&(_, character)| !known(character)) {
        Some((offset, character)) => Err(ReferenceFault::Character { character, offset }),
        None => Ok(()),
    }
}

fn parse_digest(reference: &str, digest: &str) -> Result<Sha256, Error> {
    let fault = || malformed(reference, ReferenceFault::Digest(digest.to_owned()));
    let (algorithm, hex) = digest.split_once(':').ok_or_else(fault)?;
    if algorithm == "sha256" {
        return hex.parse().map_err(|_| fault());
    }
    let lower =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'.' | b'_' | b'-');
    if algorithm.is_empty() || hex.is_empty() || !algorithm.bytes().all(lower) {
        return Err(fault());
    }
    Err(Error::UnsupportedDigest { subject: reference.to_owned(), algorithm: algorithm.to_owned() })
}

/// Whether the part before the first `/` is a host. Namespaces are in lower case, so upper case can only be a host.
fn is_host(first: &str) -> bool {
    first.eq_ignore_ascii_case("localhost")
        || first.bytes().any(|byte| matches!(byte, b'.' | b':') || byte.is_ascii_uppercase())
}

fn normal_host(text: &str) -> Result<String, ReferenceFault> {
    let lower = text.to_ascii_lowercase();
    let (host, port) = match lower.split_once(':') {
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (lower.as_str(), None),
    };
    if host.len() > MAX_HOST || !host.split('.').all(is_label) {
        return Err(ReferenceFault::Host(text.to_owned()));
    }
    // A host of one label is a host only by its port: without it the name would read as a namespace of docker.io.
    let by_itself = host.contains('.') || host == "localhost";
    match port {
        None if !by_itself => Err(ReferenceFault::SingleLabelHost(text.to_owned())),
        None | Some(443) if by_itself => Ok(if host == DOCKER_HUB_OLD { DOCKER_HUB } else { host }.to_owned()),
        _ => Ok(lower),
    }
}

fn parse_port(text: &str) -> Result<u16, ReferenceFault> {
    match text.parse::<u16>() {
        // The comparison refuses `+443` and leading zeros, which would be second spellings.
        Ok(port) if port > 0 && port.to_string() == text => Ok(port),
        _ => Err(ReferenceFault::Port(text.to_owned())),
    }
}

/// `[a-z0-9]` or `[a-z0-9][a-z0-9-]*[a-z0-9]`
fn is_label(label: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = component.split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit());
    let edges = [component.bytes().next(), component.bytes().next_back()];
    edges.iter().all(|edge| edge.is_some_and(alphanumeric))
        && separators
            .filter(|run| !run.is_empty())
            .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
}

#[cfg(test)]
mod tests;
