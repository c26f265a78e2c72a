//! The manifest or the index of an image, read by one strict parser.
//!
//! Runtimes have disagreed on whether a document is a manifest or an index (CVE-2021-41190), on which of two equal
//! members counts, and on what an index within an index means. Everything of that kind is refused here.

use std::fmt;

use serde_json::{Map, Value};

use super::{Error, ManifestFault};
use crate::crypto::{Sha256, json};

/// Bytes of a manifest (OCI distribution-spec: registries accept at least 4 MiB, and none is known to accept more).
pub const MAX_BYTES: usize = 4 << 20;
/// Entries of an index, and layers of an image.
pub const MAX_DESCRIPTORS: usize = 1024;
/// Values of its JSON: some dozens for each of the entries, annotations included.
const MAX_VALUES: usize = 100_000;

/// The operating system of entries that are no images, such as those that builders make for attestations.
pub const NO_IMAGE: &str = "unknown";

const IMAGE_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// What an image digest can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// One image.
    Image {
        /// Its configuration.
        config: Descriptor,
        /// Its layers, from the base up.
        layers: Vec<Descriptor>,
    },
    /// One image for each of several platforms.
    Index {
        /// The entries, in order.
        children: Vec<Child>,
    },
}

/// A pointer to a blob or a manifest (OCI image-spec, "Descriptors").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Descriptor {
    /// What it points to.
    pub media_type: String,
    /// Its digest.
    pub digest: Sha256,
    /// Its bytes.
    pub size: u64,
}

/// One entry of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The image manifest.
    pub descriptor: Descriptor,
    /// What it runs on, if the index says.
    pub platform: Option<Platform>,
}

/// What an image runs on. Displays as `os/arch` or `os/arch/variant`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    /// `linux`
    pub os: String,
    /// `arm`
    pub architecture: String,
    /// `v7`
    pub variant: Option<String>,
}

impl Platform {
    /// Reads `os/arch` or `os/arch/variant`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(|part| !part.is_empty() && part.bytes().all(is_plain)) {
            return None;
        }
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some((*variant).to_owned())),
            _ => return None,
        };
        Some(Self { os: (*os).to_owned(), architecture: (*architecture).to_owned(), variant })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// Reads the bytes that an image digest names.
///
/// # Errors
/// [`Error::AmbiguousManifest`] for anything that is not clearly one image manifest or one index of image manifests,
/// [`Error::UnsupportedDigest`] for a descriptor by another algorithm than sha256.
pub fn parse(bytes: &[u8]) -> Result<Manifest, Error> {
    if bytes.len() > MAX_BYTES {
        return Err(ManifestFault::TooLarge { length: bytes.len(), limit: MAX_BYTES }.into());
    }
    let Value::Object(document) = json::parse_at_most(bytes, MAX_VALUES).map_err(ManifestFault::Json)? else {
        return Err(ManifestFault::NotAnObject.into());
    };
    let version = document.get("schemaVersion").unwrap_or(&Value::Null);
    if version.as_u64() != Some(2) {
        return Err(ManifestFault::SchemaVersion(version.to_string()).into());
    }
    if is_index(&document)? { parse_index(&document) } else { parse_image(&document) }
}

/// Tells by the members what the document is, and holds `mediaType` against it.
fn is_index(document: &Map<String, Value>) -> Result<bool, ManifestFault> {
    let declared = match document.get("mediaType") {
        None => None,
        Some(Value::String(text)) if IMAGE_TYPES.contains(&text.as_str()) => Some(false),
        Some(Value::String(text)) if INDEX_TYPES.contains(&text.as_str()) => Some(true),
        Some(other) => return Err(ManifestFault::MediaType(other.as_str().map_or(other.to_string(), str::to_owned))),
    };
    let found: Vec<&'static str> =
        ["config", "layers", "manifests", "fsLayers"].into_iter().filter(|name| document.contains_key(*name)).collect();
    let actual = match found.as_slice() {
        ["config", "layers"] => Some(false),
        ["manifests"] => Some(true),
        _ => None,
    };
    match (actual, declared) {
        (Some(actual), None) => Ok(actual),
        (Some(actual), Some(declared)) if actual == declared => Ok(actual),
        (_, Some(true)) => Err(ManifestFault::Members { found, wanted: "an index" }),
        (_, Some(false)) => Err(ManifestFault::Members { found, wanted: "an image manifest" }),
        (None, None) => Err(ManifestFault::Members { found, wanted: "either an image manifest or an index" }),
    }
}

fn parse_image(document: &Map<String, Value>) -> Result<Manifest, Error> {
    let config = parse_descriptor("config", document.get("config"))?;
    let layers = entries(document, "layers")?
        .iter()
        .enumerate()
        .map(|(index, layer)| parse_descriptor(&format!("layers[{index}]"), Some(layer)))
        .collect::<Result<_, _>>()?;
    Ok(Manifest::Image { config, layers })
}

fn parse_index(document: &Map<String, Value>) -> Result<Manifest, Error> {
    let children = entries(document, "manifests")?
        .iter()
        .enumerate()
        .map(|(index, entry)| parse_child(&format!("manifests[{index}]"), entry))
        .collect::<Result<_, _>>()?;
    Ok(Manifest::Index { children })
}

fn parse_child(place: &str, entry: &Value) -> Result<Child, Error> {
    let descriptor = parse_descriptor(place, Some(entry))?;
    if !IMAGE_TYPES.contains(&descriptor.media_type.as_str()) {
        let fault = ManifestFault::NestedIndex { place: place.to_owned(), media_type: descriptor.media_type };
        return Err(fault.into());
    }
    let platform = match entry.get("platform") {
        None => None,
        Some(platform) => Some(parse_platform(&format!("{place}.platform"), platform)?),
    };
    Ok(Child { descriptor, platform })
}

fn parse_platform(place: &str, platform: &Value) -> Result<Platform, ManifestFault> {
    let part = |name: &str| match platform.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.bytes().all(is_plain) => {
            Ok(Some(text.clone()).filter(|text| !text.is_empty()))
        }
        Some(_) => Err(malformed(format!("{place}.{name}"), "a plain name")),
    };
    let required = |name: &str| part(name)?.ok_or_else(|| malformed(format!("{place}.{name}"), "a plain name"));
    Ok(Platform { os: required("os")?, architecture: required("architecture")?, variant: part("variant")? })
}

/// A `/` or `#` in a part would make the name of one platform out of that of another.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn parse_descriptor(place: &str, descriptor: Option<&Value>) -> Result<Descriptor, Error> {
    let Some(Value::Object(descriptor)) = descriptor else {
        return Err(malformed(place.to_owned(), "a descriptor").into());
    };
    let text = |name: &str| {
        let member = descriptor.get(name).and_then(Value::as_str);
        member.ok_or_else(|| malformed(format!("{place}.{name}"), "a text"))
    };
    let media_type = text("mediaType")?.to_owned();
    let digest = parse_digest(place, text("digest")?)?;
    let size = descriptor.get("size").and_then(Value::as_u64);
    let size = size.ok_or_else(|| malformed(format!("{place}.size"), "a number of bytes"))?;
    Ok(Descriptor { media_type, digest, size })
}

fn parse_digest(place: &str, text: &str) -> Result<Sha256, Error> {
    let fault = || malformed(format!("{place}.digest"), "a digest");
    let (algorithm, hex) = text.split_once(':').ok_or_else(fault)?;
    if algorithm != "sha256" {
        let subject = format!("{place}.digest");
        return Err(Error::UnsupportedDigest { subject, algorithm: algorithm.to_owned() });
    }
    Ok(hex.parse().map_err(|_| fault())?)
}

fn entries<'d>(document: &'d Map<String, Value>, place: &'static str) -> Result<&'d [Value], ManifestFault> {
    match document.get(place) {
        Some(Value::Array(entries)) if entries.len() <= MAX_DESCRIPTORS => Ok(entries),
        Some(Value::Array(entries)) => {
            Err(ManifestFault::TooMany { place, count: entries.len(), limit: MAX_DESCRIPTORS })
        }
        _ => Err(malformed(place.to_owned(), "a list")),
    }
}

fn malformed(place: String, wanted: &'static str) -> ManifestFault {
    ManifestFault::Malformed { place, wanted }
}

#[cfg(test)]
mod tests;
