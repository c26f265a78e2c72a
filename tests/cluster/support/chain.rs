//! A supply chain as a project runs it, in a folder: keys, a layout, images with their links, a TUF repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use pratique::{
    crypto::Sha256,
    publish::{Format, KeyRing, Layout, Link, LinkSource, NewImage, NewLayout, Plan, Publisher, SigningKey, Step},
};
use serde_json::json;

/// The project's repository of images.
pub(crate) const NAME: &str = "registry.example/team/app";
/// Its layout: two of three builders have to sign.
pub(crate) const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The project.
pub(crate) struct Chain {
    folder: PathBuf,
    builders: Vec<SigningKey>,
}

/// An image to be released.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release<'a> {
    /// Told apart by this text in its configuration.
    pub(crate) content: &'a str,
    /// The tags that are to name it.
    pub(crate) tags: &'a [&'a str],
    /// Which builders sign a link, by number from 0.
    pub(crate) signed_by: &'a [usize],
}

impl Chain {
    /// A project in an empty folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let chain = Self {
            folder: folder.to_owned(),
            builders: (0..3).map(|number| SigningKey::ed25519_from_seed([number; 32])).collect(),
        };
        let plan = Plan::default();
        let mut keys = plan.keys_from_seed("cluster").unwrap();
        keys.save_to(&chain.keys()).unwrap();
        let mut publisher = Publisher::init(&chain.repository(), keys, &plan, Timestamp::now()).unwrap();
        publisher.add_layout(chain.layout()).unwrap();
        publisher.commit().unwrap();
        chain
    }

    /// Releases an image; returns its digest.
    pub(crate) fn release(&self, release: &Release<'_>) -> Sha256 {
        let manifest = manifest(release.content);
        let link = Link::new("build").product(NAME, Sha256::of(&manifest));
        let links = release.signed_by.iter().map(|&number| {
            let key = &self.builders[number];
            LinkSource { name: link.file_name(key).unwrap(), bytes: link.sign(Format::Metablock, key).unwrap() }
        });
        let image = NewImage {
            repository: NAME.to_owned(),
            tags: release.tags.iter().map(|&tag| tag.to_owned()).collect(),
            layout: LAYOUT.to_owned(),
            links: links.collect(),
            role: "images".to_owned(),
            manifest,
        };
        self.publish(|publisher| publisher.add_image(&image).unwrap().digest)
    }

    /// Revokes a digest, with the offline keys.
    pub(crate) fn revoke(&self, digest: Sha256, reason: &str) {
        self.publish(|publisher| publisher.revoke("targets", digest, reason).unwrap());
    }

    /// The lines of a policy that name this project as repository `acme`, and a rule for its images.
    pub(crate) fn policy(&self) -> String {
        format!(
            "version: 1
repositories:
  acme:
    url: file://{}
    root: acme.root.json
rules:
  - name: own-images
    match: {{images: [\"registry.example/team/**\"]}}
    verify:
      repositories: [acme]
      layout: \"layouts/{{repository}}/*\"
default: deny
",
            self.repository().display()
        )
    }

    /// The targets role as refusals name it. Not while something is being published.
    pub(crate) fn targets(&self) -> String {
        let keys = KeyRing::open(&self.keys()).unwrap();
        let publisher = Publisher::open(&self.repository(), keys, Timestamp::now()).unwrap();
        let targets = publisher.status().unwrap().into_iter().find(|status| status.role.as_str() == "targets").unwrap();
        format!("targets v{} of acme, expires {}", targets.version, targets.expires.strftime("%Y-%m-%d"))
    }

    /// The first characters of the key id of a builder.
    pub(crate) fn builder(&self, number: usize) -> String {
        self.builders[number].keyid().unwrap().short().to_string()
    }

    /// The root of trust, which is handed out.
    pub(crate) fn root(&self) -> String {
        fs::read_to_string(self.repository().join("metadata/1.root.json")).unwrap()
    }

    fn publish<T>(&self, change: impl FnOnce(&mut Publisher) -> T) -> T {
        let keys = KeyRing::open(&self.keys()).unwrap();
        let mut publisher = Publisher::open(&self.repository(), keys, Timestamp::now()).unwrap();
        let changed = change(&mut publisher);
        assert!(publisher.commit().unwrap().pending.is_empty());
        changed
    }

    fn layout(&self) -> NewLayout {
        let owner = SigningKey::ed25519_from_seed([100; 32]);
        let step = Step::new("build").threshold(2).products(&[&format!("CREATE {NAME}"), "DISALLOW *"]);
        let step = self.builders.iter().fold(step, |step, key| step.functionary(key).unwrap());
        let layout = Layout::new(Timestamp::now() + DAY * 30).step(step);
        NewLayout {
            path: LAYOUT.to_owned(),
            bytes: layout.sign(Format::Metablock, &[&owner]).unwrap(),
            keys: vec![owner.public_pem().unwrap().into_bytes()],
            images: Vec::new(),
            role: "targets".to_owned(),
        }
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }
}

/// A reference by digest.
pub(crate) fn reference(digest: Sha256) -> String {
    format!("{NAME}@sha256:{digest}")
}

/// The manifest of an image. No registry has it, and nobody asks one.
fn manifest(content: &str) -> Vec<u8> {
    let config = Sha256::of(content.as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": format!("sha256:{config}"),
            "size": content.len(),
        },
        "layers": [],
    });
    manifest.to_string().into_bytes()
}
