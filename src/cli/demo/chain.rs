//! The project of the demonstration: its people, its layouts, its releases and its TUF repository, all in one folder.

#![expect(clippy::disallowed_methods, reason = "the supply chain is laid out in files, to be looked at")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    crypto::{Scheme, Sha256},
    publish::{
        Editor, Format, KeyRing, Layout, Link, LinkSource, NewImage, NewLayout, Plan, Publisher, SigningKey, Step,
    },
};

/// The canonical name of the project's images.
pub(super) const NAME: &str = "registry.example/shop/api";
/// The folder below which the policy expects the layouts of [`NAME`].
pub(super) const LAYOUTS: &str = "layouts/registry.example/shop/api";
/// The TUF role whose keys are online: it signs images and links.
pub(super) const ONLINE: &str = "images";
/// The TUF role whose keys are offline: it signs layouts and revocations.
pub(super) const OFFLINE: &str = "targets";

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Everybody who holds a key of the supply chain.
pub(super) struct People {
    /// Signs layouts.
    pub(super) owner: SigningKey,
    /// Tags sources.
    pub(super) ada: SigningKey,
    /// Build, two of three.
    pub(super) builders: [SigningKey; 3],
    /// Pushes images.
    pub(super) cleo: SigningKey,
    /// Pushed images until last year; the layout of that year names her.
    pub(super) lena: SigningKey,
    /// Never had anything to do with it.
    pub(super) mallory: SigningKey,
}

impl People {
    pub(super) fn generate() -> anyhow::Result<Self> {
        let key = || SigningKey::generate(Scheme::Ed25519);
        Ok(Self {
            owner: key()?,
            ada: key()?,
            builders: [key()?, key()?, key()?],
            cleo: key()?,
            lena: key()?,
            mallory: key()?,
        })
    }

    /// The pipeline: `source`, `build` by two builders, `push` by `pusher`.
    pub(super) fn layout(&self, expires: Timestamp, pusher: &SigningKey) -> anyhow::Result<Layout> {
        let create_image = format!("CREATE {NAME}");
        let mut build = Step::new("build")
            .threshold(2)
            .materials(&["MATCH src/* WITH PRODUCTS FROM source", "DISALLOW *"])
            .products(&["CREATE bin/api", "DISALLOW *"])
            .command(&["make"]);
        for builder in &self.builders {
            build = build.functionary(builder)?;
        }
        let source = Step::new("source").functionary(&self.ada)?.products(&["CREATE src/*", "DISALLOW *"]);
        let push = Step::new("push")
            .functionary(pusher)?
            .materials(&["MATCH bin/api WITH PRODUCTS FROM build", "DISALLOW *"])
            .products(&[&create_image, "DISALLOW *"]);
        Ok(Layout::new(expires).readme("How images of shop/api are made").step(source).step(build).step(push))
    }

    /// The links of a release, one for each of `ada`, two builders and `pusher`.
    pub(super) fn links(&self, release: &str, digest: Sha256, pusher: &SigningKey) -> anyhow::Result<Vec<LinkSource>> {
        let (main, binary) = (Sha256::of(format!("source of {release}").as_bytes()), Sha256::of(release.as_bytes()));
        let source = Link::new("source").product("src/main.c", main).command(&["git", "tag", release]);
        let build = Link::new("build").material("src/main.c", main).product("bin/api", binary).command(&["make"]);
        let push = Link::new("push").material("bin/api", binary).product(NAME, digest).command(&["crane", "push"]);
        let [first, second, _] = &self.builders;
        [(&source, &self.ada), (&build, first), (&build, second), (&push, pusher)]
            .into_iter()
            .map(|(link, key)| Ok(LinkSource { name: link.file_name(key)?, bytes: link.sign(Format::Metablock, key)? }))
            .collect()
    }
}

/// The folder.
pub(super) struct Project {
    pub(super) dir: PathBuf,
    pub(super) people: People,
}

impl Project {
    /// Makes keys and an empty TUF repository with the layout that is in force.
    pub(super) fn start(dir: &Path, now: Timestamp) -> anyhow::Result<Self> {
        let project = Self { dir: dir.to_owned(), people: People::generate()? };
        let plan = Plan::default();
        let mut keys = plan.generate_keys(Scheme::Ed25519)?;
        keys.save_to(&project.keys())?;
        let mut publisher = Publisher::init(&project.repository(), keys, &plan, now)?;
        let layout = project.people.layout(now + DAY * 365, &project.people.cleo)?;
        publisher.add_layout(project.sign_layout("release", &layout)?)?;
        publisher.commit()?;
        drop(publisher);
        let root = fs::read(project.repository().join("metadata/1.root.json"))?;
        project.write("acme.root.json", &root)?;
        project.write("policy.yaml", project.policy().as_bytes())?;
        Ok(project)
    }

    /// A layout as a target, with the owner's key beside it.
    pub(super) fn sign_layout(&self, name: &str, layout: &Layout) -> anyhow::Result<NewLayout> {
        let owner = &self.people.owner;
        Ok(NewLayout {
            path: layout_path(name),
            bytes: layout.sign(Format::Metablock, &[owner])?,
            keys: vec![owner.public_pem()?.into_bytes()],
            images: Vec::new(),
            role: OFFLINE.to_owned(),
        })
    }

    /// A release as its pipeline publishes it, under a layout.
    pub(super) fn release(&self, release: &str, layout: &str, links: Vec<LinkSource>) -> NewImage {
        NewImage {
            repository: NAME.to_owned(),
            tags: vec![release.to_owned()],
            layout: layout_path(layout),
            links,
            role: Some(ONLINE.to_owned()),
            manifest: manifest(release),
        }
    }

    /// Changes the repository as its owners do.
    pub(super) fn publish<T>(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut Publisher) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut publisher = Publisher::open(&self.repository(), KeyRing::open(&self.keys())?, now)?;
        let changed = change(&mut publisher)?;
        publisher.commit()?;
        Ok(changed)
    }

    /// Changes what the online role signs, as a thief of every online key does, and signs all that follows from it.
    pub(super) fn steal(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut Editor) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let keys = KeyRing::open(&self.keys())?;
        let mut editor = Editor::open(&self.repository())?;
        change(&mut editor)?;
        let next = |editor: &Editor, role: &str| anyhow::Ok(editor.version(role)? + 1);
        let version = next(&editor, ONLINE)?;
        editor.set_version(ONLINE, version)?;
        editor.sign(ONLINE, &keys.made_for(ONLINE))?;
        let version = next(&editor, "snapshot")?;
        editor.draft_snapshot(version, now + DAY * 7)?;
        editor.sign("snapshot", &keys.made_for("snapshot"))?;
        let version = next(&editor, "timestamp")?;
        editor.draft_timestamp(version, now + DAY)?;
        editor.sign("timestamp", &keys.made_for("timestamp"))?;
        editor.write()?;
        Ok(())
    }

    /// Leaves the files of a release beside the repository, as its pipeline had them.
    pub(super) fn keep_release(&self, release: &str, layout: &[u8], links: &[LinkSource]) -> anyhow::Result<()> {
        let folder = format!("release-{release}");
        self.write(&format!("{folder}/manifest.json"), &manifest(release))?;
        self.write(&format!("{folder}/root.layout"), layout)?;
        self.write(&format!("{folder}/owner.pub"), self.people.owner.public_pem()?.as_bytes())?;
        links.iter().try_for_each(|link| self.write(&format!("{folder}/links/{}", link.name), &link.bytes))
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.dir.join("repository")
    }

    fn keys(&self) -> PathBuf {
        self.dir.join("repository.keys")
    }

    pub(super) fn policy_file(&self) -> PathBuf {
        self.dir.join("policy.yaml")
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(&self.dir))?;
            fs::write(&path, bytes)
        };
        write().with_context(|| path.display().to_string())
    }

    fn policy(&self) -> String {
        format!(
            "version: 1
repositories:
  acme:
    url: file://{}
    root: acme.root.json
rules:
  - name: own-images
    match: {{images: [\"registry.example/shop/**\"]}}
    verify:
      repositories: [acme]
      layout: \"layouts/{{repository}}/*\"
default: deny
",
            self.repository().display()
        )
    }
}

/// Where a layout of the project is in the repository.
pub(super) fn layout_path(name: &str) -> String {
    format!("{LAYOUTS}/{name}.layout")
}

/// The reference of a release by its digest.
pub(super) fn by_digest(release: &str) -> String {
    format!("{NAME}@sha256:{}", digest(release))
}

/// The image digest of a release.
pub(super) fn digest(release: &str) -> Sha256 {
    Sha256::of(&manifest(release))
}

/// The manifest of a release. No registry has it, and none is asked.
pub(super) fn manifest(release: &str) -> Vec<u8> {
    let blob = |name: &str| format!("sha256:{}", Sha256::of(format!("{name} of {release}").as_bytes()));
    let config = "application/vnd.oci.image.config.v1+json";
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": config, "digest": blob("configuration"), "size": 1024},
        "layers": [{"mediaType": layer, "digest": blob("layer"), "size": 4096}],
    });
    manifest.to_string().into_bytes()
}
