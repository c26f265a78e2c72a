//! The people of a project: its builders, who sign links, and its owner, who signs the layout.

use jiff::{SignedDuration, Timestamp};
use pratique::{
    crypto::Sha256,
    publish::{Format, Layout, Link, LinkSource, SigningKey, Step},
};
use serde_json::json;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A project that makes one image.
pub(crate) struct Project {
    name: &'static str,
    builders: Vec<SigningKey>,
}

impl Project {
    /// The project whose images are in the repository of this name. Its keys are the same in every run.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, builders: (0..3).map(|number| SigningKey::ed25519_from_seed([number; 32])).collect() }
    }

    /// The layout, in which two of three builders have to sign, and the public key of the owner who signed it.
    pub(crate) fn layout(&self) -> (Vec<u8>, Vec<u8>) {
        let owner = SigningKey::ed25519_from_seed([100; 32]);
        let step = Step::new("build").threshold(2).products(&[&format!("CREATE {}", self.name), "DISALLOW *"]);
        let step = self.builders.iter().fold(step, |step, key| step.functionary(key).unwrap());
        let layout = Layout::new(Timestamp::now() + DAY * 30).step(step);
        (layout.sign(Format::Metablock, &[&owner]).unwrap(), owner.public_pem().unwrap().into_bytes())
    }

    /// Links that say that the builders of these numbers, from 0, made the image with this manifest. A number beyond
    /// the builders is a stranger's.
    pub(crate) fn links(&self, manifest: &[u8], signed_by: &[u8]) -> Vec<LinkSource> {
        let link = Link::new("build").product(self.name, Sha256::of(manifest));
        let keys = signed_by.iter().map(|&number| SigningKey::ed25519_from_seed([number; 32]));
        keys.map(|key| LinkSource {
            name: link.file_name(&key).unwrap(),
            bytes: link.sign(Format::Metablock, &key).unwrap(),
        })
        .collect()
    }

    /// The first characters of the key id of a builder.
    pub(crate) fn builder(&self, number: usize) -> String {
        self.builders[number].keyid().unwrap().short().to_string()
    }
}

/// The manifest of an image. No registry has it, and nobody asks one.
pub(crate) fn manifest(content: &str) -> Vec<u8> {
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
