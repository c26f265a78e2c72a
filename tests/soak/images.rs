//! The images that there are, and what a repository says of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use pratique::{
    crypto::Sha256,
    publish::{Format, Layout, Link, LinkSource, SigningKey, Step},
};
use serde_json::json;

/// The repository name of all images that are verified.
pub(crate) const NAME: &str = "registry.example/team/app";

/// The target path of their layout.
pub(crate) const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";

/// Images of each kind.
const EACH: usize = 6;

/// What is to be said of an image that is listed and not revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Two builders that any layout names agree on it.
    Good,
    /// Two builders agree on it, one of whom the narrow layout does not name.
    Late,
    /// One builder made it.
    Short,
    /// What was pushed is not what was built.
    Tampered,
    /// It is listed with the evidence of another image.
    Stolen,
    /// It is listed without evidence.
    Unsigned,
    /// No repository ever lists it.
    MadeUp,
}

const KINDS: [Kind; 7] =
    [Kind::Good, Kind::Late, Kind::Short, Kind::Tampered, Kind::Stolen, Kind::Unsigned, Kind::MadeUp];

/// Which layout is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// Three builders, of whom two must agree.
    Wide,
    /// The first two of them.
    Narrow,
}

/// An image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) kind: Kind,
    pub(crate) manifest: Vec<u8>,
    pub(crate) digest: Sha256,
}

/// All images, and who made them.
pub(crate) struct Images {
    pub(crate) all: Vec<Image>,
    builders: [SigningKey; 3],
    pusher: SigningKey,
    owner: SigningKey,
    expires: Timestamp,
}

/// What a version of the repository says.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    /// Of its timestamp.
    pub(crate) version: u64,
    pub(crate) layout: Width,
    /// The images that it lists.
    pub(crate) listed: BTreeSet<usize>,
    /// Those that it revokes, listed or not.
    pub(crate) revoked: BTreeSet<usize>,
    /// What a tag names.
    pub(crate) tags: BTreeMap<&'static str, usize>,
}

impl Images {
    pub(crate) fn new(now: Timestamp) -> Self {
        let key = |number| SigningKey::ed25519_from_seed([number; 32]);
        let image = |number: usize| {
            let kind = KINDS[number % KINDS.len()];
            let manifest = manifest(number);
            Image { kind, digest: Sha256::of(&manifest), manifest }
        };
        Self {
            all: (0..EACH * KINDS.len()).map(image).collect(),
            builders: [key(2), key(3), key(4)],
            pusher: key(5),
            owner: key(10),
            expires: now + SignedDuration::from_hours(24 * 30),
        }
    }

    /// Those of a kind.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = usize> {
        self.all.iter().enumerate().filter(move |(_, image)| image.kind == kind).map(|(number, _)| number)
    }

    /// How a Pod names it.
    pub(crate) fn reference(&self, number: usize) -> String {
        format!("{NAME}@sha256:{}", self.all[number].digest)
    }

    /// The signed layout, and the key that verifies it.
    pub(crate) fn layout(&self, width: Width) -> (Vec<u8>, Vec<u8>) {
        let named = if width == Width::Wide { &self.builders[..] } else { &self.builders[..2] };
        let build = Step::new("build").threshold(2).products(&["CREATE app", "DISALLOW *"]);
        let build = named.iter().fold(build, |step, key| step.functionary(key).unwrap());
        let push = Step::new("push")
            .materials(&["MATCH app WITH PRODUCTS FROM build", "DISALLOW *"])
            .products(&[&format!("CREATE {NAME}"), "DISALLOW *"])
            .functionary(&self.pusher)
            .unwrap();
        let layout = Layout::new(self.expires).step(build).step(push);
        let signed = layout.sign(Format::Metablock, &[&self.owner]).unwrap();
        (signed, self.owner.public_pem().unwrap().into_bytes())
    }

    /// What functionaries say of an image, as its kind is.
    pub(crate) fn links(&self, number: usize) -> Vec<LinkSource> {
        let Image { kind, digest, .. } = self.all[number];
        let built = Sha256::of(format!("binary {number}").as_bytes());
        let pushed = if kind == Kind::Tampered { Sha256::of(b"something else") } else { built };
        let image = if kind == Kind::Stolen { Sha256::of(b"another image") } else { digest };
        let builders = match kind {
            Kind::Unsigned | Kind::MadeUp => return Vec::new(),
            Kind::Late => &self.builders[1..],
            Kind::Short => &self.builders[..1],
            Kind::Good | Kind::Tampered | Kind::Stolen => &self.builders[..2],
        };
        let build = Link::new("build").product("app", built);
        let push = Link::new("push").material("app", pushed).product(NAME, image);
        let signed = builders.iter().map(|key| (&build, key)).chain([(&push, &self.pusher)]);
        let source = |(link, key): (&Link, &SigningKey)| LinkSource {
            name: link.file_name(key).unwrap(),
            bytes: link.sign(Format::Metablock, key).unwrap(),
        };
        signed.map(source).collect()
    }
}

fn manifest(number: usize) -> Vec<u8> {
    let blob = |kind: &str, what: &str| {
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{}", Sha256::of(format!("{what} {number}").as_bytes())),
            "size": 1000,
        })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", "config"),
        "layers": [blob("layer.v1.tar+gzip", "layer")],
    });
    manifest.to_string().into_bytes()
}
