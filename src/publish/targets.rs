//! Layouts, images, revocations: the targets of a repository in the shape of in-toto ITE-2.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Error, Publisher};
use crate::{
    crypto::{Sha256, dsse::Envelope, json as strict},
    image::{Reference, Repository, manifest, manifest::Manifest},
    in_toto::{LayoutKey, LinkName, is_attestation, is_layout},
    pattern::ImagePattern,
};

/// The member of `custom` that lists a target's evidence (ITE-2, ITE-3).
const IN_TOTO: &str = "in-toto";

/// What the path of a revocation starts with.
pub(super) const REVOKED: &str = "revoked/sha256/";

/// A layout to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLayout {
    /// Its target path.
    pub path: String,
    /// The signed layout.
    pub bytes: Vec<u8>,
    /// The files of the keys that verify it.
    pub keys: Vec<Vec<u8>>,
    /// Patterns on canonical repository names for which it may be used; empty leaves that to policy.
    pub images: Vec<String>,
    /// The offline role that signs it: `targets`.
    pub role: String,
}

/// An image to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImage {
    /// The repository name, in any spelling; it is listed under the canonical one.
    pub repository: String,
    /// The bytes of its manifest or index.
    pub manifest: Vec<u8>,
    /// The tags that are to name it.
    pub tags: Vec<String>,
    /// The target path of its layout.
    pub layout: String,
    /// Its links, sublayouts and attestations.
    pub links: Vec<LinkSource>,
    /// The role that signs it, and the links; without a name the first one below `targets` that may, as clients find it.
    /// Either leads on to the bin of each path.
    pub role: Option<String>,
}

/// A file to be published that is no image (in-toto ITE-3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewFile {
    /// Its target path.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The target path of its layout, if it comes with evidence.
    pub layout: Option<String>,
    /// Its links, sublayouts and attestations.
    pub links: Vec<LinkSource>,
    /// Further members of its `custom`.
    pub custom: Map<String, Value>,
    /// The role that signs it; as with [`NewImage`]. Links are listed by that role if it may, and else by the first that may.
    pub role: Option<String>,
}

/// A file of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSource {
    /// Its name: `<step>.<keyid8>.link`, below the folder of a sublayout `<step>.<keyid8>/` where it belongs to one.
    /// A file with another name is an attestation.
    pub name: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// What was listed for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedImage {
    /// The image digest.
    pub digest: Sha256,
    /// The target paths of the image: by digest, and by tag if it has one.
    pub paths: Vec<String>,
    /// The target paths of its evidence: layout first, then links.
    pub evidence: Vec<String>,
}

/// A digest that was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The target path of the revocation.
    pub path: String,
    /// The image targets that are listed with this digest; they stay listed.
    pub listed: BTreeSet<String>,
}

impl Publisher {
    /// Lists a layout and its keys under an offline role.
    pub fn add_layout(&mut self, layout: NewLayout) -> Result<(), Error> {
        if LinkName::parse(last_segment(&layout.path)).is_some() {
            return Err(Error::input(layout.path, "a layout must not be named like a link"));
        }
        if !is_layout(&layout.bytes) {
            return Err(Error::input(layout.path, "not a signed in-toto layout (Metablock or DSSE envelope)"));
        }
        if layout.keys.is_empty() {
            return Err(Error::input(layout.path, "no key that verifies the layout"));
        }
        for image in &layout.images {
            ImagePattern::new(image).map_err(|error| Error::input(image, error.to_string()))?;
        }
        self.check_delegated(&layout.role, &layout.path)?;
        let mut listed = Vec::new();
        for key in &layout.keys {
            check_key_file(key)?;
            // Named by content: a key file is never replaced by another.
            let path = format!("in-toto-pubkeys/{}.pub", Sha256::of(key));
            self.check_delegated(&layout.role, &path)?;
            self.editor.add_target(&layout.role, &path, key, Map::new())?;
            // Clients refuse a list that names a file twice.
            if !listed.contains(&path) {
                listed.push(path);
            }
        }
        let mut custom = Map::from_iter([(IN_TOTO.to_owned(), json!(listed))]);
        if !layout.images.is_empty() {
            custom.insert("images".to_owned(), json!(layout.images));
        }
        // A retired layout that is signed anew stays closed: it is listed as before for its own images alone.
        if let Some(digests) = self.find_target(&layout.path).and_then(|target| target.pointer("/custom/digests")) {
            custom.insert("digests".to_owned(), digests.clone());
        }
        self.editor.add_target(&layout.role, &layout.path, &layout.bytes, custom)
    }

    /// Lists an image by digest, and by tag, with its complete evidence.
    pub fn add_image(&mut self, image: &NewImage) -> Result<AddedImage, Error> {
        let repository = Repository::parse(&image.repository);
        let repository = repository.map_err(|error| Error::input("repository", error.to_string()))?;
        // A client refuses what two readers could understand differently, so it is better not published.
        manifest::parse(&image.manifest).map_err(|error| Error::input("manifest", error.to_string()))?;
        let digest = Sha256::of(&image.manifest);
        let mut paths = vec![format!("{repository}@sha256:{digest}")];
        for tag in image.tags.iter().collect::<BTreeSet<_>>() {
            let path = format!("{repository}:{tag}");
            Reference::parse(&path).map_err(|error| Error::input(tag, error.to_string()))?;
            paths.push(path);
        }
        let role = image.role.as_deref();
        let evidence = self.add_evidence(digest, &image.layout, &image.links, |_| role)?;
        let custom = Map::from_iter([(IN_TOTO.to_owned(), json!(evidence))]);
        for path in &paths {
            self.list(role, path, &image.manifest, custom.clone())?;
        }
        Ok(AddedImage { digest, paths, evidence })
    }

    /// Lists the manifests of an index by their digests, with the evidence of the index and its digest (`custom.index`):
    /// a rule may have the index judged in their place. Returns their target paths.
    pub fn add_children(
        &mut self,
        image: &NewImage,
        added: &AddedImage,
        children: &[Vec<u8>],
    ) -> Result<Vec<String>, Error> {
        let index = manifest::parse(&image.manifest).map_err(|error| Error::input("manifest", error.to_string()))?;
        let Manifest::Index { children: listed } = index else {
            return Err(Error::input("manifest", "this is no index, so it has no children"));
        };
        let repository = Repository::parse(&image.repository);
        let repository = repository.map_err(|error| Error::input("repository", error.to_string()))?;
        let custom = Map::from_iter([
            (IN_TOTO.to_owned(), json!(added.evidence)),
            ("index".to_owned(), json!(format!("sha256:{}", added.digest))),
        ]);
        let mut paths = Vec::new();
        for child in children {
            let digest = Sha256::of(child);
            let subject = || format!("child sha256:{digest}");
            if listed.iter().all(|entry| entry.descriptor.digest != digest) {
                return Err(Error::input(subject(), "the index does not list it"));
            }
            match manifest::parse(child).map_err(|error| Error::input(subject(), error.to_string()))? {
                Manifest::Image { .. } => {}
                Manifest::Index { .. } => return Err(Error::input(subject(), "an index within an index")),
            }
            let path = format!("{repository}@sha256:{digest}");
            self.list(image.role.as_deref(), &path, child, custom.clone())?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// Lists a plain file, with its evidence if it has any. Returns its digest and the target paths of its evidence.
    pub fn add_file(&mut self, file: &NewFile) -> Result<AddedImage, Error> {
        let digest = Sha256::of(&file.bytes);
        let role = file.role.as_deref();
        let mut custom = file.custom.clone();
        let mut evidence = Vec::new();
        match &file.layout {
            Some(layout) => {
                let may = |path: &str| role.filter(|role| self.check_delegated(role, path).is_ok());
                let places: BTreeMap<String, Option<&str>> = file
                    .links
                    .iter()
                    .map(|link| link_path(digest, &link.name))
                    .map(|path| (path.clone(), may(&path)))
                    .collect();
                evidence =
                    self.add_evidence(digest, layout, &file.links, |path| places.get(path).copied().flatten())?;
                if custom.insert(IN_TOTO.to_owned(), json!(evidence)).is_some() {
                    return Err(Error::input("custom", format!("{IN_TOTO:?} is written from layout and links")));
                }
            }
            None if file.links.is_empty() => {}
            None => return Err(Error::input("links", "there is no layout that they belong to")),
        }
        self.list(role, &file.path, &file.bytes, custom)?;
        Ok(AddedImage { digest, paths: vec![file.path.clone()], evidence })
    }

    /// Lists the links of something and returns its evidence, the layout first.
    fn add_evidence<'r>(
        &mut self,
        digest: Sha256,
        layout: &str,
        links: &[LinkSource],
        role: impl Fn(&str) -> Option<&'r str>,
    ) -> Result<Vec<String>, Error> {
        self.load_for(layout)?;
        if self.find_target(layout).is_none() {
            return Err(Error::input(layout, "no role lists this layout: add it first"));
        }
        let mut evidence = vec![layout.to_owned()];
        let mut names = BTreeSet::new();
        for link in links {
            if !is_evidence(&link.name, &link.bytes) {
                let reason = "not a link or sublayout (both named <step>.<first 8 of keyid>.link), and no file of \
                              attestations (DSSE envelopes with Statements, one or one a line)";
                return Err(Error::input(link.name.clone(), reason));
            }
            if !names.insert(&link.name) {
                return Err(Error::input(link.name.clone(), "given twice"));
            }
            let path = link_path(digest, &link.name);
            self.list(role(&path), &path, &link.bytes, Map::new())?;
            evidence.push(path);
        }
        Ok(evidence)
    }

    /// Lists a target in the role where it belongs.
    fn list(&mut self, role: Option<&str>, path: &str, bytes: &[u8], custom: Map<String, Value>) -> Result<(), Error> {
        let role = self.place(role, path)?;
        self.editor.add_target(role.as_str(), path, bytes, custom)
    }

    /// Lists a digest as revoked under an offline role. It refuses the digest under every name, and cannot be undone
    /// with online keys.
    pub fn revoke(&mut self, role: &str, digest: Sha256, reason: &str) -> Result<Revoked, Error> {
        let path = format!("{REVOKED}{digest}");
        self.check_delegated(role, &path)?;
        let custom = Map::from_iter([("reason".to_owned(), Value::from(reason))]);
        self.editor.add_target(role, &path, format!("{reason}\n").as_bytes(), custom)?;
        self.load_all()?;
        let listed = self.image_targets().into_iter().filter(|(_, (found, _))| *found == digest);
        Ok(Revoked { path, listed: listed.map(|(path, _)| path).collect() })
    }

    /// Closes a layout for new images: from now on it serves only `digests`, or, where none are given, the images that
    /// are listed with it now. Returns the digests.
    pub fn retire_layout(
        &mut self,
        role: &str,
        layout: &str,
        digests: Option<BTreeSet<Sha256>>,
    ) -> Result<BTreeSet<Sha256>, Error> {
        let no_target = || Error::NoSuchTarget { role: role.into(), path: layout.to_owned() };
        let entry = self.editor.signed(role)?["targets"].get(layout).and_then(Value::as_object);
        let mut entry = entry.ok_or_else(no_target)?.clone();
        if digests.is_none() {
            self.load_all()?;
        }
        let digests = digests.unwrap_or_else(|| {
            let images = self.image_targets().into_values();
            images
                .filter(|(_, evidence)| evidence.iter().any(|path| path == layout))
                .map(|(digest, _)| digest)
                .collect()
        });
        let path = format!("{layout}.digests");
        self.check_delegated(role, &path)?;
        let list: Vec<String> = digests.iter().map(|digest| format!("sha256:{digest}")).collect();
        self.editor.add_target(role, &path, json!({"digests": list}).to_string().as_bytes(), Map::new())?;
        let mut custom = entry.get("custom").and_then(Value::as_object).cloned().unwrap_or_default();
        custom.insert("digests".to_owned(), Value::from(path));
        entry.insert("custom".to_owned(), Value::Object(custom));
        self.editor.list_target(role, layout, Value::Object(entry))?;
        Ok(digests)
    }

    /// Takes a target off a role's list. To a client that is withholding, not revoking.
    pub fn remove_target(&mut self, role: &str, path: &str) -> Result<(), Error> {
        let role = self.place(Some(role), path).map_or_else(|_| role.to_owned(), |role| role.to_string());
        let role = role.as_str();
        if self.editor.remove_target(role, path)? {
            return Ok(());
        }
        Err(Error::NoSuchTarget { role: role.into(), path: path.to_owned() })
    }

    /// The targets that list evidence under an image's name, with digest and evidence.
    fn image_targets(&self) -> BTreeMap<String, (Sha256, Vec<String>)> {
        let mut images = BTreeMap::new();
        for role in self.editor.roles() {
            let targets = self.editor.signed(role.as_str()).ok().and_then(|signed| signed["targets"].as_object());
            for (path, entry) in targets.into_iter().flatten() {
                let digest = entry.pointer("/hashes/sha256").and_then(Value::as_str).and_then(|hex| hex.parse().ok());
                let evidence = entry.pointer("/custom/in-toto").and_then(Value::as_array);
                if let (Some(digest), Some(evidence)) = (digest, evidence) {
                    let evidence = evidence.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                    images.insert(path.clone(), (digest, evidence));
                }
            }
        }
        images
    }

    fn find_target(&self, path: &str) -> Option<&Value> {
        self.editor.roles().iter().find_map(|role| self.editor.signed(role.as_str()).ok()?["targets"].get(path))
    }
}

/// Where a link of something is listed.
fn link_path(digest: Sha256, name: &str) -> String {
    format!("in-toto-metadata/{digest}/{name}")
}

/// Whether a file can be evidence under this name: a link or sublayout, or else attestations. Nothing is verified.
fn is_evidence(name: &str, bytes: &[u8]) -> bool {
    if LinkName::parse(last_segment(name)).is_none() {
        return is_attestation(bytes);
    }
    let Ok(document) = strict::parse(bytes) else { return false };
    let signed = match document.get("signed") {
        Some(signed) => Some(signed.clone()),
        None => Envelope::from_value(&document).ok().and_then(|envelope| strict::parse(envelope.payload()).ok()),
    };
    let kind = signed.as_ref().and_then(|signed| signed.get("_type")).and_then(Value::as_str);
    matches!(kind, Some("link" | "layout"))
}

/// Refuses what clients cannot read as a key, and what must not be published.
fn check_key_file(bytes: &[u8]) -> Result<(), Error> {
    let failed = |reason: String| Error::input("key file", reason);
    if String::from_utf8_lossy(bytes).contains("PRIVATE KEY") {
        return Err(failed("holds a private key; it would be published".to_owned()));
    }
    LayoutKey::parse(bytes).map(|_| ()).map_err(|error| failed(error.to_string()))
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
