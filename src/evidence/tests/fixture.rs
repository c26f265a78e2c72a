//! A published supply chain in a folder, with hooks where an attacker can reach in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::{
    crypto::Sha256,
    evidence::{
        Error, Limits, Name, Need, Progress, Proof, RepositoryName, Requirement, Subject, View, judge,
        requirement::LayoutScope, resolve_tag,
    },
    image::{
        Descriptor, Repository,
        layer::{Layer, LayerFault},
    },
    publish::{
        Document, Editor, Format, KeyRing, Layout, Link, LinkSource, NewImage, NewLayout, Plan, Publisher, Side,
        SigningKey, Step,
    },
    tuf::{Delegated, FetchError, FetchRequest, Refresh, Settings, Stored, TargetPath, Trusted, fetch::FetchBase},
};

pub(super) const NAME: &str = "registry.example/team/app";
pub(super) const LAYOUT: &str = "layouts/registry.example/team/app/app.layout";

pub(super) fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

pub(super) fn seed(name: &str) -> SigningKey {
    SigningKey::ed25519_from_seed(*Sha256::of(name.as_bytes()).as_bytes())
}

/// Who owns the project, and who makes its steps.
pub(super) struct People {
    pub(super) owner: SigningKey,
    pub(super) builder: SigningKey,
    pub(super) pusher: SigningKey,
}

impl People {
    pub(super) fn of(project: &str) -> Self {
        let key = |role: &str| seed(&format!("{project}/{role}"));
        Self { owner: key("owner"), builder: key("builder"), pusher: key("pusher") }
    }

    /// Two steps: `build` makes the binary, `push` makes the image from it.
    pub(super) fn layout(&self, expires: Timestamp) -> Layout {
        self.layout_with(expires, &[&format!("CREATE {NAME}"), "DISALLOW *"])
    }

    pub(super) fn layout_with(&self, expires: Timestamp, push_products: &[&str]) -> Layout {
        Layout::new(expires)
            .step(Step::new("build").functionary(&self.builder).unwrap().products(&["CREATE app", "DISALLOW *"]))
            .step(
                Step::new("push")
                    .functionary(&self.pusher)
                    .unwrap()
                    .materials(&["MATCH app WITH PRODUCTS FROM build", "DISALLOW *"])
                    .products(push_products),
            )
    }

    /// The links of both steps for one image.
    pub(super) fn links(&self, name: &str, digest: Sha256) -> Vec<LinkSource> {
        self.links_with(&[(name, digest)])
    }

    pub(super) fn links_with(&self, products: &[(&str, Sha256)]) -> Vec<LinkSource> {
        let binary = Sha256::of(b"binary");
        let build = Link::new("build").product("app", binary);
        let push = Link::new("push").material("app", binary);
        let push = products.iter().fold(push, |link, (name, digest)| link.product(name, *digest));
        [(build, &self.builder), (push, &self.pusher)]
            .into_iter()
            .map(|(link, key)| LinkSource {
                name: link.file_name(key).unwrap(),
                bytes: link.sign(Format::Metablock, key).unwrap(),
            })
            .collect()
    }
}

pub(super) fn manifest(label: &str) -> Vec<u8> {
    let digest = Sha256::of(label.as_bytes());
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{digest}","size":2}},"layers":[]}}"#
    )
    .into_bytes()
}

/// A repository that is being published.
pub(super) struct Fixture {
    dir: tempfile::TempDir,
    root: Vec<u8>,
    pub(super) publisher: Publisher,
    pub(super) people: People,
    /// The layers of images that were fetched.
    pub(super) layers: BTreeMap<Descriptor, Result<Arc<Layer>, LayerFault>>,
}

impl Fixture {
    /// A repository with the layout of `app`, and no image yet.
    pub(super) fn new() -> Self {
        let people = People::of("app");
        let mut fixture = Self::empty();
        fixture.people = people;
        let layout = fixture.people.layout(now() + SignedDuration::from_hours(24 * 90));
        fixture.add_layout(LAYOUT, &layout, &[NAME]);
        fixture
    }

    pub(super) fn empty() -> Self {
        Self::seeded("fixture")
    }

    /// One with other keys.
    pub(super) fn seeded(seed: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::default();
        let keys = plan.keys_from_seed(seed).unwrap();
        let mut publisher = Publisher::init(dir.path(), keys, &plan, now()).unwrap();
        publisher.commit().unwrap();
        let root = fs::read(dir.path().join("metadata/1.root.json")).unwrap();
        Self { dir, root, publisher, people: People::of("app"), layers: BTreeMap::new() }
    }

    /// A repository whose timestamp key is also its only targets key.
    pub(super) fn with_timestamp_key_as_targets_key() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::default();
        let mut keys = KeyRing::new();
        for (name, side) in [
            ("root-1", Side::Offline),
            ("targets-1", Side::Offline),
            ("snapshot-1", Side::Online),
            ("timestamp-1", Side::Online),
            ("images-1", Side::Online),
        ] {
            keys.add(side, name, seed(name.replace("timestamp", "targets").as_str())).unwrap();
        }
        let mut publisher = Publisher::init(dir.path(), keys, &plan, now()).unwrap();
        publisher.commit().unwrap();
        let root = fs::read(dir.path().join("metadata/1.root.json")).unwrap();
        Self { dir, root, publisher, people: People::of("app"), layers: BTreeMap::new() }
    }

    pub(super) fn add_layout(&mut self, path: &str, layout: &Layout, images: &[&str]) {
        let owner = &self.people.owner;
        self.publisher
            .add_layout(NewLayout {
                path: path.to_owned(),
                bytes: layout.sign(Format::Metablock, &[owner]).unwrap(),
                keys: vec![owner.public_pem().unwrap().into_bytes()],
                images: images.iter().map(|&image| image.to_owned()).collect(),
                role: "targets".to_owned(),
            })
            .unwrap();
    }

    /// Publishes an image with its own links under the fixture's layout.
    pub(super) fn add_image(&mut self, label: &str, tag: Option<&str>) -> Subject {
        let digest = Sha256::of(&manifest(label));
        let links = self.people.links(NAME, digest);
        self.add_image_with(label, tag, LAYOUT, links)
    }

    pub(super) fn add_image_with(
        &mut self,
        label: &str,
        tag: Option<&str>,
        layout: &str,
        links: Vec<LinkSource>,
    ) -> Subject {
        let added = self
            .publisher
            .add_image(&NewImage {
                repository: NAME.to_owned(),
                manifest: manifest(label),
                tags: tag.into_iter().map(str::to_owned).collect(),
                layout: layout.to_owned(),
                links,
                role: Some("images".to_owned()),
            })
            .unwrap();
        subject(NAME, added.digest)
    }

    /// What a thief of every online key does: any change to the online role, signed and published.
    pub(super) fn with_online_keys(&mut self, change: impl FnOnce(&mut Editor)) {
        self.publisher.commit().unwrap();
        let (mut editor, keys) = self.reopen();
        change(&mut editor);
        let images = editor.version("images").unwrap() + 1;
        editor.set_version("images", images).unwrap();
        editor.sign("images", &keys.made_for("images")).unwrap();
        self.publish(&mut editor, &keys);
    }

    fn publish(&mut self, editor: &mut Editor, keys: &KeyRing) {
        renew(editor, keys);
        self.open_again();
    }

    /// Publishes a snapshot that lists a role without hashes, or a timestamp that lists the snapshot so.
    pub(super) fn list_without_hashes(&mut self, role: &str) {
        self.publisher.commit().unwrap();
        let (mut editor, keys) = self.reopen();
        let strip = |signed: &mut Value, name: String| {
            let entry = signed["meta"][name].as_object_mut().unwrap();
            entry.retain(|member, _| member == "version");
        };
        let snapshot = editor.version("snapshot").unwrap() + 1;
        editor.draft_snapshot(snapshot, now() + SignedDuration::from_hours(48)).unwrap();
        if role != "snapshot" {
            strip(editor.edit("snapshot").unwrap(), format!("{role}.json"));
        }
        editor.sign("snapshot", &keys.made_for("snapshot")).unwrap();
        let timestamp = editor.version("timestamp").unwrap() + 1;
        editor.draft_timestamp(timestamp, now() + SignedDuration::from_hours(24)).unwrap();
        if role == "snapshot" {
            strip(editor.edit("timestamp").unwrap(), "snapshot.json".to_owned());
        }
        editor.sign("timestamp", &keys.made_for("timestamp")).unwrap();
        editor.write().unwrap();
        self.open_again();
    }

    fn open_again(&mut self) {
        // The one that is open holds the lock of the folder.
        let nowhere = self.dir.path().join("nowhere");
        self.publisher = Publisher::init(&nowhere, self.keys(), &Plan::default(), now()).unwrap();
        self.publisher = Publisher::open(self.dir.path(), self.keys(), now()).unwrap();
    }

    pub(super) fn keys(&self) -> KeyRing {
        let mut keys = Plan::default().keys_from_seed("fixture").unwrap();
        keys.trust(Document::parse(&"root".into(), self.root.clone()).unwrap());
        keys
    }

    fn reopen(&self) -> (Editor, KeyRing) {
        (Editor::open(self.dir.path()).unwrap(), self.keys())
    }

    /// Publishes what was added and judges as a client would that starts from the first root.
    pub(super) fn judge(&mut self, subject: &Subject) -> Result<Proof, Error> {
        self.judge_by(subject, &requirement())
    }

    pub(super) fn judge_by(&mut self, subject: &Subject, requirement: &Requirement) -> Result<Proof, Error> {
        self.judge_at(subject, requirement, now())
    }

    pub(super) fn judge_at(
        &mut self,
        subject: &Subject,
        requirement: &Requirement,
        at: Timestamp,
    ) -> Result<Proof, Error> {
        self.publisher.commit().unwrap();
        let limits = Limits::default();
        self.drive(at, |view| judge(subject, requirement, view, at, &limits))
    }

    pub(super) fn tag(&mut self, tag: &str, requirement: &Requirement) -> Result<Sha256, Error> {
        self.publisher.commit().unwrap();
        let repository = Repository::parse(NAME).unwrap();
        let (tag, limits) = (tag.parse().unwrap(), Limits::default());
        self.drive(now(), |view| resolve_tag(&repository, &tag, requirement, view, now(), &limits))
    }

    /// Judges what is on disk, without publishing first.
    pub(super) fn judge_published(&self, subject: &Subject, requirement: &Requirement) -> Result<Proof, Error> {
        let limits = Limits::default();
        self.drive(now(), |view| judge(subject, requirement, view, now(), &limits))
    }

    pub(super) fn drive<T>(&self, at: Timestamp, judge: impl Fn(View<'_>) -> Progress<T>) -> Result<T, Error> {
        self.drive_in(self.dir.path(), at, judge).map(|(judged, ..)| judged)
    }

    /// The same in another folder, with what was read.
    pub(super) fn drive_in<T>(
        &self,
        dir: &Path,
        at: Timestamp,
        judge: impl Fn(View<'_>) -> Progress<T>,
    ) -> Result<(T, Trusted, Delegated), Error> {
        let settings = Settings::default();
        let trusted = self.refresh_in(dir, at, &settings)?;
        let mut roles = Delegated::default();
        let mut files: BTreeMap<TargetPath, Arc<[u8]>> = BTreeMap::new();
        let repository = name();
        loop {
            let (layers, commands) = (&self.layers, None);
            let view =
                View { repository: &repository, trusted: &trusted, roles: &roles, files: &files, layers, commands };
            let needs = match judge(view) {
                Progress::Done(judgement) => {
                    let judged = judgement.outcome?;
                    return Ok((judged, trusted, roles));
                }
                Progress::Needs(needs) => needs,
            };
            assert!(!needs.is_empty());
            for need in needs {
                match need {
                    Need::Role(request) => {
                        let bytes = read(dir, &request.fetch).map_err(|error| request.failed(error))?;
                        roles.supply(&trusted, &request, &Arc::new(bytes), at)?;
                    }
                    Need::Layer(wanted) => panic!("{wanted:?} is not there"),
                    Need::File(target) => {
                        let bytes = read(dir, &trusted.target_request(&target)).unwrap();
                        files.insert(target.path.clone(), bytes.into());
                    }
                }
            }
        }
    }

    pub(super) fn refresh(&self, at: Timestamp, settings: &Settings) -> Result<Trusted, Error> {
        self.refresh_in(self.dir.path(), at, settings)
    }

    fn refresh_in(&self, dir: &Path, at: Timestamp, settings: &Settings) -> Result<Trusted, Error> {
        let mut refresh = Refresh::start(&self.root, Stored::default(), settings.clone(), at)?;
        while let Some(request) = refresh.next() {
            refresh.supply(read(dir, &request))?;
        }
        Ok(refresh.finish()?)
    }

    /// The folder of the repository.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Signs something else about a layout: `custom[member]`.
    pub(super) fn edit_layout_custom(&mut self, layout: &str, member: &str, value: Value) {
        self.offline(|editor| {
            let mut entry = editor.signed("targets").unwrap()["targets"][layout].clone();
            entry["custom"][member] = value;
            editor.list_target("targets", layout, entry).unwrap();
        });
    }

    pub(super) fn add_offline_target(&mut self, path: &str, bytes: &[u8]) {
        self.offline(|editor| editor.add_target("targets", path, bytes, Map::new()).unwrap());
    }

    /// A change by the holders of the offline keys, published.
    fn offline(&mut self, change: impl FnOnce(&mut Editor)) {
        self.publisher.commit().unwrap();
        let (mut editor, keys) = self.reopen();
        change(&mut editor);
        let version = editor.version("targets").unwrap() + 1;
        editor.set_version("targets", version).unwrap();
        editor.sign("targets", &keys.made_for("targets")).unwrap();
        self.publish(&mut editor, &keys);
    }

    /// Replaces target files behind the repository's back.
    pub(super) fn overwrite_targets(&self, change: impl Fn(&str, Vec<u8>) -> Vec<u8>) {
        let mut folders = vec![self.dir.path().join("targets")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    fs::write(&path, change(path.to_str().unwrap(), bytes)).unwrap();
                }
            }
        }
    }
}

fn read(dir: &Path, request: &FetchRequest) -> Result<Vec<u8>, FetchError> {
    let folder = match request.base {
        FetchBase::Metadata => "metadata",
        FetchBase::Targets => "targets",
    };
    fs::read(dir.join(folder).join(&request.path)).map_err(|_| FetchError::NotFound)
}

pub(super) fn name() -> RepositoryName {
    "acme".parse().unwrap()
}

pub(super) fn requirement() -> Requirement {
    Requirement { layout: Some(LayoutScope::new("layouts/{repository}/*").unwrap()), ..Requirement::of(name()) }
}

pub(super) fn unscoped() -> Requirement {
    Requirement { layout: None, ..requirement() }
}

pub(super) fn subject(repository: &str, digest: Sha256) -> Subject {
    Subject { name: Name::Image(Repository::parse(repository).unwrap()), digest, tag: None }
}

pub(super) fn chains(names: &[&str]) -> BTreeSet<crate::tuf::RoleChain> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Signs a snapshot and a timestamp of what an editor holds, and writes all of it.
pub(super) fn renew(editor: &mut Editor, keys: &KeyRing) {
    let snapshot = editor.version("snapshot").unwrap() + 1;
    editor.draft_snapshot(snapshot, now() + SignedDuration::from_hours(48)).unwrap();
    editor.sign("snapshot", &keys.made_for("snapshot")).unwrap();
    let timestamp = editor.version("timestamp").unwrap() + 1;
    editor.draft_timestamp(timestamp, now() + SignedDuration::from_hours(24)).unwrap();
    editor.sign("timestamp", &keys.made_for("timestamp")).unwrap();
    editor.write().unwrap();
}
