//! A project that publishes its supply chain with `pratique repo`, as docs/publishing.md does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use jiff::Timestamp;
use pratique::publish::{KeyRing, NewImage, Publisher};
use serde_json::{Value, json};

use super::{
    machine::ADDRESS,
    project::{Project, manifest},
    registry::{Image, run},
};

/// The project's repository of images.
pub(crate) const NAME: &str = "registry.example/shop/api";
const LAYOUT: &str = "layouts/registry.example/shop/api/root.layout";

/// Where the folder is served.
pub(crate) const PORT: u16 = 8000;

/// The project, with its TUF repository in a folder.
pub(crate) struct Releases {
    folder: PathBuf,
    project: Project,
}

impl Releases {
    /// A repository with a layout, by which two of three builders have to sign, and nothing else.
    pub(crate) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let releases = Self { folder: folder.to_owned(), project: Project::new(NAME) };
        releases.repo("init", &[]);
        let (layout, key) = releases.project.layout();
        fs::write(folder.join("root.layout"), layout).unwrap();
        fs::write(folder.join("owner.pub"), key).unwrap();
        releases.repo("add-layout", &["root.layout", "--key=owner.pub", "--path", LAYOUT]);
        releases
    }

    /// Publishes an image with links by these builders.
    pub(crate) fn release(&self, image: &Image, signed_by: &[u8]) {
        let links = tempfile::tempdir_in(&self.folder).unwrap();
        for link in self.project.links(&image.manifest, signed_by) {
            fs::write(links.path().join(link.name), link.bytes).unwrap();
        }
        fs::write(self.folder.join("manifest.json"), &image.manifest).unwrap();
        let links = links.path().to_str().unwrap();
        self.repo("add-image", &[&image.name, "manifest.json", "--layout", LAYOUT, "--link", links]);
    }

    /// Revokes an image, with the offline keys.
    pub(crate) fn revoke(&self, image: &Image, reason: &str) {
        self.repo("revoke", &[&image.digest, "--reason", reason]);
    }

    /// Publishes further images that nobody has, all at once: one command for each would sign a growing list each time.
    pub(crate) fn release_many(&self, count: u32) {
        let keys = KeyRing::open(&self.folder.join("repository.keys")).unwrap();
        let mut publisher = Publisher::open(&self.folder.join("repository"), keys, Timestamp::now()).unwrap();
        for number in 0..count {
            let manifest = manifest(&format!("other {number}"));
            let image = NewImage {
                repository: NAME.to_owned(),
                tags: Vec::new(),
                layout: LAYOUT.to_owned(),
                links: self.project.links(&manifest, &[0, 1]),
                role: Some("images".to_owned()),
                manifest,
            };
            publisher.add_image(&image).unwrap();
        }
        assert!(publisher.commit().unwrap().pending.is_empty());
    }

    /// The arguments of Python that serve the repository.
    pub(crate) fn server(&self) -> String {
        format!("-m http.server --bind {ADDRESS} --directory {} {PORT}", self.folder.join("repository").display())
    }

    /// The root of trust, which is handed out.
    pub(crate) fn root(&self) -> String {
        fs::read_to_string(self.folder.join("repository/metadata/1.root.json")).unwrap()
    }

    /// A policy with the project's rule, and these further ones before it.
    pub(crate) fn policy(&self, before: &[Value]) -> Value {
        let rule = json!({
            "name": "shop", "match": {"images": ["registry.example/shop/**"]},
            "verify": {"repositories": ["shop"], "layout": "layouts/{repository}/*"},
        });
        let rules = [before, &[rule]].concat();
        json!({
            "version": 1,
            "repositories": {"shop": {"url": format!("http://{ADDRESS}:{PORT}"), "root": "shop.root.json"}},
            "rules": rules,
            "default": "deny",
        })
    }

    /// The first characters of the key id of a builder.
    pub(crate) fn builder(&self, number: usize) -> String {
        self.project.builder(number)
    }

    fn repo(&self, command: &str, args: &[&str]) {
        let mut pratique = Command::new(env!("CARGO_BIN_EXE_pratique"));
        run(pratique.args(["repo", command, "repository"]).args(args).current_dir(&self.folder));
    }
}
