//! A supply chain as a project runs it, in a folder: keys, a layout, images with their links, a TUF repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use pratique::{
    crypto::Sha256,
    publish::{KeyRing, NewImage, NewLayout, Plan, Publisher},
};

use super::project::{Project, manifest};

/// The project's repository of images.
pub(crate) const NAME: &str = "registry.example/team/app";
/// Its layout: two of three builders have to sign.
pub(crate) const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";

/// The project.
pub(crate) struct Chain {
    folder: PathBuf,
    project: Project,
}

/// An image to be released.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release<'a> {
    /// Told apart by this text in its configuration.
    pub(crate) content: &'a str,
    /// The tags that are to name it.
    pub(crate) tags: &'a [&'a str],
    /// Which builders sign a link, by number from 0.
    pub(crate) signed_by: &'a [u8],
}

impl Chain {
    /// A project in an empty folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let chain = Self { folder: folder.to_owned(), project: Project::new(NAME) };
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
        let image = NewImage {
            repository: NAME.to_owned(),
            tags: release.tags.iter().map(|&tag| tag.to_owned()).collect(),
            layout: LAYOUT.to_owned(),
            links: self.project.links(&manifest, release.signed_by),
            role: Some("images".to_owned()),
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
        self.project.builder(number)
    }

    /// The root of trust, which is handed out.
    pub(crate) fn root(&self) -> String {
        fs::read_to_string(self.repository().join("metadata/1.root.json")).unwrap()
    }

    /// Changes the repository, and signs what that takes.
    pub(crate) fn publish<T>(&self, change: impl FnOnce(&mut Publisher) -> T) -> T {
        let keys = KeyRing::open(&self.keys()).unwrap();
        let mut publisher = Publisher::open(&self.repository(), keys, Timestamp::now()).unwrap();
        let changed = change(&mut publisher);
        assert!(publisher.commit().unwrap().pending.is_empty());
        changed
    }

    fn layout(&self) -> NewLayout {
        let (bytes, key) = self.project.layout();
        NewLayout { path: LAYOUT.to_owned(), bytes, keys: vec![key], images: Vec::new(), role: "targets".to_owned() }
    }

    /// The folder of its TUF repository.
    pub(crate) fn repository(&self) -> PathBuf {
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
