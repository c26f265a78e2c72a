//! A project that publishes images, and a policy that verifies them.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use pratique::{
    crypto::Sha256,
    policy::Policy,
    publish::{Format, Layout, Link, LinkSource, NewImage, NewLayout, Plan, Publisher, SigningKey, Step},
    verifier::World,
};
use serde_json::json;
use tempfile::TempDir;

const NAME: &str = "registry.example/team/app";
const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";
/// Images that the repository lists.
const IMAGES: usize = 10;
/// Source files that the first two steps record.
const SOURCES: usize = 100;

/// A repository in a folder that goes away with it.
pub(crate) struct Chain {
    folder: TempDir,
    digests: Vec<Sha256>,
}

/// Who does the steps.
struct Functionaries {
    fetcher: SigningKey,
    builders: [SigningKey; 3],
    pusher: SigningKey,
}

impl Chain {
    /// Publishes everything anew.
    pub(crate) fn publish() -> Self {
        let (folder, now, plan) = (tempfile::tempdir().unwrap(), Timestamp::now(), Plan::default());
        let keys = plan.keys_from_seed("benchmark").unwrap();
        let mut publisher = Publisher::init(&folder.path().join("repository"), keys, &plan, now).unwrap();
        let functionaries = Functionaries::new();
        let owner = SigningKey::ed25519_from_seed([10; 32]);
        let layout = NewLayout {
            path: LAYOUT.to_owned(),
            bytes: functionaries.layout(now).sign(Format::Metablock, &[&owner]).unwrap(),
            keys: vec![owner.public_pem().unwrap().into_bytes()],
            images: Vec::new(),
            role: "targets".to_owned(),
        };
        publisher.add_layout(layout).unwrap();
        let digests = (0..IMAGES).map(|number| {
            let manifest = manifest(number);
            let image = NewImage {
                repository: NAME.to_owned(),
                tags: Vec::new(),
                layout: LAYOUT.to_owned(),
                links: functionaries.links(number, Sha256::of(&manifest)),
                role: Some("images".to_owned()),
                manifest,
            };
            publisher.add_image(&image).unwrap().digest
        });
        let digests = digests.collect();
        assert!(publisher.commit().unwrap().pending.is_empty(), "keys are missing");
        Self { folder, digests }
    }

    /// References to `count` of the images, each to another one.
    pub(crate) fn references(&self, count: usize) -> Vec<String> {
        assert!(count <= self.digests.len(), "{count} images wanted, {} published", self.digests.len());
        self.digests.iter().take(count).map(|digest| format!("{NAME}@sha256:{digest}")).collect()
    }

    /// A policy in force that has not contacted the repository yet and keeps no state.
    pub(crate) async fn world(&self) -> Arc<World> {
        let policy = format!(
            "version: 1
repositories:
  acme:
    url: file://{}
    root: acme.root.json
rules:
  - name: own-images
    match: {{namespaces: [\"prod-*\"], images: [\"registry.example/team/**\"]}}
    verify:
      repositories: [acme]
      layout: \"layouts/{{repository}}/*\"
default: deny
",
            self.repository().display()
        );
        let policy = Arc::new(Policy::parse(&policy).unwrap());
        let root = fs::read(self.repository().join("metadata/1.root.json")).unwrap();
        let files = BTreeMap::from([("acme.root.json".to_owned(), root)]);
        Arc::new(World::build(policy, &files, None, None, None).await.unwrap())
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }
}

impl Functionaries {
    fn new() -> Self {
        let key = |number| SigningKey::ed25519_from_seed([number; 32]);
        Self { fetcher: key(1), builders: [key(2), key(3), key(4)], pusher: key(5) }
    }

    /// Sources are fetched, two of three builders agree on what they make of them, and that is pushed as an image.
    fn layout(&self, now: Timestamp) -> Layout {
        let fetch = Step::new("fetch").products(&["CREATE src/*", "DISALLOW *"]).functionary(&self.fetcher).unwrap();
        let build = Step::new("build")
            .threshold(2)
            .materials(&["MATCH src/* WITH PRODUCTS FROM fetch", "DISALLOW *"])
            .products(&["CREATE app", "DISALLOW *"]);
        let build = self.builders.iter().fold(build, |step, key| step.functionary(key).unwrap());
        let push = Step::new("push")
            .materials(&["MATCH app WITH PRODUCTS FROM build", "DISALLOW *"])
            .products(&[&format!("CREATE {NAME}"), "DISALLOW *"])
            .functionary(&self.pusher)
            .unwrap();
        Layout::new(now + SignedDuration::from_hours(24 * 30)).step(fetch).step(build).step(push)
    }

    /// The links of one image: one of the fetcher, two of the builders, one of the pusher.
    fn links(&self, number: usize, digest: Sha256) -> Vec<LinkSource> {
        let sources: Vec<_> =
            (0..SOURCES).map(|file| (format!("src/file-{file:03}.rs"), digest_of(number, file))).collect();
        let binary = digest_of(number, SOURCES);
        let fetch = sources.iter().fold(Link::new("fetch"), |link, (file, digest)| link.product(file, *digest));
        let build = sources.iter().fold(Link::new("build"), |link, (file, digest)| link.material(file, *digest));
        let build = build.product("app", binary).command(&["cargo", "build", "--release"]);
        let push = Link::new("push").material("app", binary).product(NAME, digest);
        let [first, second, _] = &self.builders;
        [(&fetch, &self.fetcher), (&build, first), (&build, second), (&push, &self.pusher)]
            .into_iter()
            .map(|(link, key)| LinkSource {
                name: link.file_name(key).unwrap(),
                bytes: link.sign(Format::Metablock, key).unwrap(),
            })
            .collect()
    }
}

/// The digest of a file that nobody has, another one for each image.
fn digest_of(image: usize, file: usize) -> Sha256 {
    Sha256::of(format!("{image}/{file}").as_bytes())
}

/// The manifest of an image. No registry has it, and nobody asks one.
fn manifest(number: usize) -> Vec<u8> {
    let layer = |layer: usize| {
        json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": format!("sha256:{}", digest_of(number, SOURCES + layer)),
            "size": 1_000_000 + layer,
        })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": format!("sha256:{}", digest_of(number, 0)),
            "size": 2_000,
        },
        "layers": (1..=5).map(layer).collect::<Vec<_>>(),
    });
    manifest.to_string().into_bytes()
}
