//! A project that publishes images, and a policy that verifies them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use pratique::{
    crypto::Sha256,
    policy::Policy,
    publish::{
        Bins, Editor, Format, Layout, Link, LinkSource, NewLayout, NewRole, Plan, Publisher, Side, SigningKey, Step,
        metadata::{self, Scope},
    },
    verifier::World,
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::review;

const NAME: &str = "registry.example/team/app";
const SEED: &str = "benchmark";
const LEVELS: [u8; 32] = [11; 32];
const BINS: [u8; 32] = [12; 32];
const DAY: SignedDuration = SignedDuration::from_hours(24);
const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";

/// How large the project is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Images that the repository lists.
    pub(crate) images: usize,
    /// Targets that it lists beside them.
    pub(crate) others: usize,
    /// Bins that the online role spreads its targets over by their hashes; 0 for none, else a power of two.
    pub(crate) bins: usize,
    /// Roles, each below the one before, that lead to the one that lists the images.
    pub(crate) levels: usize,
    /// Source files that the first two steps record.
    pub(crate) sources: usize,
    /// Steps between building and pushing, each with one link.
    pub(crate) steps: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { images: 10, others: 0, bins: 0, levels: 0, sources: 100, steps: 0 }
    }
}

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
    pub(crate) fn publish(images: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shape = Shape { images: images.clamp(Shape::default().images, review::DISTINCT), ..Shape::default() };
        let digests = publish(&folder.path().join("repository"), &shape);
        Self { folder, digests }
    }

    /// The images of a Pod with `count` containers.
    pub(crate) fn references(&self, count: usize) -> Vec<String> {
        let images: Vec<_> = self.digests.iter().map(|digest| reference(*digest)).collect();
        review::images_of(&images, count)
    }

    /// A policy in force that has not contacted the repository yet and keeps no state.
    pub(crate) async fn world(&self) -> Arc<World> {
        let policy = policy(&format!("file://{}", self.repository().display()), 0);
        let policy = Arc::new(Policy::parse(&policy).unwrap());
        let root = fs::read(self.repository().join("metadata/1.root.json")).unwrap();
        let files = BTreeMap::from([("acme.root.json".to_owned(), root)]);
        Arc::new(World::build(policy, &files, None, None, None).await.unwrap())
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }
}

/// Publishes a project in a new folder, and says which images it has.
pub(crate) fn publish(dir: &Path, shape: &Shape) -> Vec<Sha256> {
    let (now, plan) = (Timestamp::now(), Plan { timestamp_validity: DAY * 7, ..Plan::default() });
    let keys = plan.keys_from_seed(SEED).unwrap();
    let mut publisher = Publisher::init(dir, keys, &plan, now).unwrap();
    let functionaries = Functionaries::new();
    let owner = SigningKey::ed25519_from_seed([10; 32]);
    let layout = NewLayout {
        path: LAYOUT.to_owned(),
        bytes: functionaries.layout(shape, now).sign(Format::Metablock, &[&owner]).unwrap(),
        keys: vec![owner.public_pem().unwrap().into_bytes()],
        images: Vec::new(),
        role: "targets".to_owned(),
    };
    publisher.add_layout(layout).unwrap();
    let role = delegate(&mut publisher, shape);
    assert!(publisher.commit().unwrap().pending.is_empty(), "keys are missing");

    // Tens of thousands of targets at once: whoever publishes them one after another looks at everything each time.
    let mut listing = Listing { editor: publisher.into_parts().0, role, bins: shape.bins, targets: BTreeMap::new() };
    let digests = (0..shape.images).map(|number| {
        let manifest = manifest(number, shape);
        let digest = Sha256::of(&manifest);
        let mut evidence = vec![LAYOUT.to_owned()];
        for link in functionaries.links(number, shape, digest) {
            let path = format!("in-toto-metadata/{digest}/{}", link.name);
            listing.add(&path, link.bytes, Map::new());
            evidence.push(path);
        }
        listing.add(&reference(digest), manifest, Map::from_iter([("in-toto".to_owned(), json!(evidence))]));
        digest
    });
    let digests = digests.collect();
    for number in 0..shape.others {
        let digest = digest_of(usize::MAX, number);
        let links = (0..4).map(|link| format!("in-toto-metadata/{digest}/step-{link}.4a81d2c0.link"));
        let evidence: Vec<_> = [LAYOUT.to_owned()].into_iter().chain(links).collect();
        let custom = Map::from_iter([("in-toto".to_owned(), json!(evidence))]);
        let entry = metadata::target_entry(&number.to_be_bytes(), custom);
        listing.list(&format!("registry.example/others/app@sha256:{digest}"), entry);
    }
    listing.write(now);
    digests
}

/// Targets that are going to be listed.
struct Listing {
    editor: Editor,
    role: String,
    bins: usize,
    targets: BTreeMap<String, Map<String, Value>>,
}

impl Listing {
    /// A target with its file.
    fn add(&mut self, path: &str, bytes: Vec<u8>, custom: Map<String, Value>) {
        self.list(path, metadata::target_entry(&bytes, custom));
        let (folder, name) = path.rsplit_once('/').unwrap();
        self.editor.add_file(&format!("targets/{folder}/{}.{name}", Sha256::of(&bytes)), bytes);
    }

    fn list(&mut self, path: &str, entry: Value) {
        let role = match self.bins {
            0 => self.role.clone(),
            bins => {
                let bits = bins.trailing_zeros();
                let hash = Sha256::of(path.as_bytes());
                let start = u32::from_be_bytes(*hash.as_bytes().first_chunk().unwrap());
                format!("bin-{:0digits$x}", start >> (32 - bits), digits = bits.div_ceil(4) as usize)
            }
        };
        self.targets.entry(role).or_default().insert(path.to_owned(), entry);
    }

    /// Signs the second version of every role that lists something.
    fn write(mut self, now: Timestamp) {
        let of_seed =
            |name: &str| SigningKey::ed25519_from_seed(*Sha256::of(format!("{SEED}/{name}").as_bytes()).as_bytes());
        for (role, targets) in self.targets {
            let key = match role.as_str() {
                "images" => of_seed("images-1"),
                other if other.starts_with("bin") => SigningKey::ed25519_from_seed(BINS),
                _ => SigningKey::ed25519_from_seed(LEVELS),
            };
            self.editor.edit(&role).unwrap()["targets"] = Value::Object(targets);
            self.editor.set_version(&role, 2).unwrap();
            self.editor.sign(&role, &[&key]).unwrap();
        }
        self.editor.draft_snapshot(2, now + DAY * 7).unwrap();
        self.editor.sign("snapshot", &[&of_seed("snapshot-1")]).unwrap();
        self.editor.draft_timestamp(2, now + DAY * 7).unwrap();
        self.editor.sign("timestamp", &[&of_seed("timestamp-1")]).unwrap();
        self.editor.write().unwrap();
    }
}

/// The roles below the online one, and which of them lists the images, or has the bins that do.
fn delegate(publisher: &mut Publisher, shape: &Shape) -> String {
    let mut role = "images".to_owned();
    let new = |name: String, parent: &str| NewRole {
        name,
        parent: parent.to_owned(),
        scope: Scope::everything(),
        terminating: false,
        threshold: 1,
        validity: DAY * 7,
    };
    for level in 1..=shape.levels {
        let name = format!("level-{level}");
        let key = SigningKey::ed25519_from_seed(LEVELS);
        publisher.delegate(&new(name.clone(), &role), Side::Online, vec![key]).unwrap();
        role = name;
    }
    if shape.bins > 0 {
        let key = SigningKey::ed25519_from_seed(BINS);
        let bins = Bins::HashPrefixes(shape.bins.try_into().unwrap());
        publisher.delegate_bins(&new("bin".to_owned(), &role), bins, Side::Online, vec![key]).unwrap();
    }
    role
}

/// Where an image is pulled from.
pub(crate) fn reference(digest: Sha256) -> String {
    format!("{NAME}@sha256:{digest}")
}

/// A policy that verifies the project's images, after `rules` that are about others.
pub(crate) fn policy(url: &str, rules: usize) -> String {
    let others: String = (0..rules)
        .map(|number| {
            format!(
                "  - name: team-{number}
    match: {{namespaces: [\"team-{number}-*\"], images: [\"registry.example/team-{number}/**\"]}}
    verify: {{repositories: [acme], layout: \"layouts/{{repository}}/*\"}}
"
            )
        })
        .collect();
    format!(
        "version: 1
repositories:
  acme:
    url: {url}
    root: acme.root.json
    refresh: 1h
rules:
{others}  - name: own-images
    match: {{namespaces: [\"prod-*\"], images: [\"registry.example/team/**\"]}}
    verify:
      repositories: [acme]
      layout: \"layouts/{{repository}}/*\"
default: deny
"
    )
}

impl Functionaries {
    fn new() -> Self {
        let key = |number| SigningKey::ed25519_from_seed([number; 32]);
        Self { fetcher: key(1), builders: [key(2), key(3), key(4)], pusher: key(5) }
    }

    /// Sources are fetched, two of three builders agree on what they make of them, what they made is tested as often as
    /// there are steps for it, and pushed as an image.
    fn layout(&self, shape: &Shape, now: Timestamp) -> Layout {
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
        let tests = (0..shape.steps).map(|number| {
            Step::new(&format!("test-{number}"))
                .materials(&["MATCH app WITH PRODUCTS FROM build", "DISALLOW *"])
                .products(&["DISALLOW *"])
                .functionary(&self.fetcher)
                .unwrap()
        });
        let layout = Layout::new(now + DAY * 30).step(fetch).step(build);
        tests.fold(layout, Layout::step).step(push)
    }

    /// The links of one image: one of the fetcher, two of the builders, one of each test, one of the pusher.
    fn links(&self, number: usize, shape: &Shape, digest: Sha256) -> Vec<LinkSource> {
        let sources: Vec<_> =
            (0..shape.sources).map(|file| (format!("src/file-{file:03}.rs"), digest_of(number, file))).collect();
        let binary = digest_of(number, shape.sources);
        let fetch = sources.iter().fold(Link::new("fetch"), |link, (file, digest)| link.product(file, *digest));
        let build = sources.iter().fold(Link::new("build"), |link, (file, digest)| link.material(file, *digest));
        let build = build.product("app", binary).command(&["cargo", "build", "--release"]);
        let push = Link::new("push").material("app", binary).product(NAME, digest);
        let tests: Vec<_> =
            (0..shape.steps).map(|test| Link::new(&format!("test-{test}")).material("app", binary)).collect();
        let [first, second, _] = &self.builders;
        [(&fetch, &self.fetcher), (&build, first), (&build, second), (&push, &self.pusher)]
            .into_iter()
            .chain(tests.iter().map(|test| (test, &self.fetcher)))
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
fn manifest(number: usize, shape: &Shape) -> Vec<u8> {
    let layer = |layer: usize| {
        json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": format!("sha256:{}", digest_of(number, shape.sources + layer)),
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
