//! What a thief can do is what `policy blast` says he can: with any set of keys a thief tries all that he knows, and has an
//! image of his own admitted exactly where one of the sets that are named is among them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::fixture::*;
use crate::{
    crypto::{Material, Sha256},
    evidence::{Limits, Reach, Requirement, Subject, forgers, judge, reach, requirement::Agreement, stranger_to},
    forecast::blast::{Asked, Blast, KeySet, Stolen},
    in_toto::{Artifacts, Recorded},
    publish::{Editor, Format, Layout, Link, SigningKey, Step},
    tuf::{Delegated, TargetPath, Trusted},
};

/// A project with all its keys, and an image that is admitted.
struct Scene {
    fixture: Fixture,
    image: Subject,
    requirement: Requirement,
    /// By the name of the role or step that they are for.
    keys: BTreeMap<&'static str, SigningKey>,
    /// Who signs the links of each step, all of whom must; of those who may, the rest.
    steps: Vec<(&'static str, Vec<&'static str>)>,
    /// The rules of the inspection that the rule asks for, if it does.
    inspection: Option<&'static [&'static str]>,
}

const TUF: [&str; 5] = ["root", "timestamp", "snapshot", "targets", "images"];

impl Scene {
    fn new(requirement: Requirement, layout: impl FnOnce(&People) -> Layout) -> Self {
        Self::of(Fixture::empty(), requirement, layout)
    }

    fn of(mut fixture: Fixture, requirement: Requirement, layout: impl FnOnce(&People) -> Layout) -> Self {
        let layout = layout(&fixture.people);
        fixture.add_layout(LAYOUT, &layout, &[NAME]);
        let image = fixture.add_image("1.0", None);
        let people = People::of("app");
        let mut keys: BTreeMap<&str, SigningKey> =
            [("builder", people.builder), ("pusher", people.pusher), ("scanner", seed("app/scanner"))].into();
        for role in TUF {
            let pem = fixture.publisher.keys().made_for(role)[0].to_pem().unwrap();
            keys.insert(role, SigningKey::from_pem(&pem).unwrap());
        }
        let steps = vec![("build", vec!["builder"]), ("push", vec!["pusher"])];
        Self { fixture, image, requirement, keys, steps, inspection: None }
    }

    /// With a step after the image was pushed.
    fn with_scan(pushed: &[&str], materials: &[&str], products: &[&str]) -> Self {
        let mut scene = Self::new(requirement(), |people| {
            people.layout_with(now() + SignedDuration::from_hours(24 * 90), pushed).step(
                Step::new("scan").functionary(&seed("app/scanner")).unwrap().materials(materials).products(products),
            )
        });
        scene.requirement.product.step = Some("push".to_owned());
        scene.steps.push(("scan", vec!["scanner"]));
        let mut links = scene.fixture.people.links(NAME, scene.image.digest);
        let scan = Link::new("scan").material(NAME, scene.image.digest);
        let key = seed("app/scanner");
        links.push(crate::publish::LinkSource {
            name: scan.file_name(&key).unwrap(),
            bytes: scan.sign(Format::Metablock, &key).unwrap(),
        });
        scene.fixture.add_image_with("1.0", None, LAYOUT, links);
        scene
    }

    fn materials(&self, names: &BTreeSet<&str>) -> BTreeSet<Material> {
        names.iter().map(|name| self.keys[name].public().unwrap().material()).collect()
    }

    /// What is said of it before anything is stolen.
    fn blast(&mut self) -> Blast {
        self.blast_with(Vec::new())
    }

    fn blast_with(&mut self, others: Vec<Stolen<'_>>) -> Blast {
        self.fixture.publisher.commit().unwrap();
        let (limits, dir) = (Limits::default(), self.fixture.dir().to_owned());
        let (proof, ..) = self
            .fixture
            .drive_in(&dir, now(), |view| judge(&self.image, &self.requirement, view, now(), &limits))
            .unwrap();
        let (reach, trusted, roles) = reached(&self.fixture, &self.image, &self.requirement, proof.layout());
        let asked = Asked {
            requirement: &self.requirement,
            evidence: Stolen { name: "acme", trusted: &trusted, roles: &roles, reach: &reach },
            others,
            forgers: &forgers(&proof, &self.requirement, &limits),
            verified: proof.verified(),
        };
        Blast::of(&asked.ways())
    }

    /// Whether somebody who holds these keys, and all that is published, can have an image of his own admitted.
    fn falls_to(&self, held: &BTreeSet<&str>) -> bool {
        let temp = tempfile::tempdir().unwrap();
        Thief::plans(self, held).into_iter().enumerate().any(|(number, plan)| {
            let dir = temp.path().join(number.to_string());
            copy(self.fixture.dir(), &dir);
            let mut thief = Thief { scene: self, held, editor: Editor::open(&dir).unwrap(), own: BTreeMap::new() };
            let image = thief.carry_out(plan);
            thief.editor.write().unwrap();
            let limits = Limits::default();
            let judged =
                self.fixture.drive_in(&dir, now(), |view| judge(&image, &self.requirement, view, now(), &limits));
            judged.is_ok()
        })
    }

    /// The sets that are named admit an image, and whatever contains none of them does not.
    #[track_caller]
    fn agrees(&mut self) -> Vec<BTreeSet<&'static str>> {
        let blast = self.blast();
        let names: Vec<&'static str> = self.keys.keys().copied().collect();
        let known: BTreeSet<Material> = self.materials(&names.iter().copied().collect());
        for KeySet(set) in &blast.sets {
            assert!(set.keys().all(|material| known.contains(material)), "{set:?}");
        }
        // Who holds one of two names of a key holds both.
        let mut held: BTreeMap<BTreeSet<Material>, BTreeSet<&str>> = BTreeMap::new();
        for number in 0..1_u32 << names.len() {
            let some: BTreeSet<&str> =
                (0..names.len()).filter(|bit| number >> bit & 1 == 1).map(|bit| names[bit]).collect();
            held.entry(self.materials(&some)).or_default().extend(some);
        }
        let is_named = |materials: &BTreeSet<Material>| {
            blast.sets.iter().any(|KeySet(set)| set.keys().all(|key| materials.contains(key)))
        };
        let (named, unnamed): (Vec<_>, Vec<_>) = held.iter().partition(|(materials, _)| is_named(materials));
        // Whoever holds less can do no more: of what is not enough the largest sets tell for all.
        let is_least = |set: &BTreeSet<Material>| !named.iter().any(|(less, _)| *less != set && less.is_subset(set));
        let is_most = |set: &BTreeSet<Material>| !unnamed.iter().any(|(more, _)| *more != set && more.is_superset(set));
        assert_eq!(named.iter().filter(|(set, _)| is_least(set)).count(), blast.sets.len());
        for (_, held) in named.iter().filter(|(set, _)| is_least(set)) {
            assert!(self.falls_to(held), "{held:?} are not enough");
        }
        for (_, held) in unnamed.iter().filter(|(set, _)| is_most(set)) {
            assert!(!self.falls_to(held), "{held:?} are enough, and named are only {:?}", blast.sets);
        }
        let name_of = |material: &Material| {
            names.iter().copied().find(|name| self.keys[name].public().unwrap().material() == *material).unwrap()
        };
        blast.sets.iter().map(|KeySet(set)| set.keys().map(name_of).collect()).collect()
    }
}

/// Who may speak about an image that nobody made.
fn reached(
    fixture: &Fixture,
    image: &Subject,
    requirement: &Requirement,
    layout: Option<&TargetPath>,
) -> (Reach, Trusted, Delegated) {
    let (limits, stranger) = (Limits::default(), stranger_to(image.digest));
    let reached = fixture
        .drive_in(fixture.dir(), now(), |view| reach(image, stranger, layout, requirement, view, now(), &limits));
    reached.unwrap()
}

fn layout(people: &People) -> Layout {
    people.layout(now() + SignedDuration::from_hours(24 * 90))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// What a thief may try.
#[derive(Debug, Clone)]
struct Plan {
    /// The role that lists it all.
    role: &'static str,
    /// Whether with a layout of his own.
    own_layout: bool,
    /// Whether with a root of his own.
    own_root: bool,
    /// In whose place he signs something, of those whose keys he holds.
    liars: Vec<&'static str>,
    /// What he signs there.
    lie: usize,
}

struct Thief<'a> {
    scene: &'a Scene,
    held: &'a BTreeSet<&'a str>,
    editor: Editor,
    /// Keys of his own for roles.
    own: BTreeMap<&'static str, SigningKey>,
}

impl Thief<'_> {
    /// All that he knows.
    fn plans(scene: &Scene, held: &BTreeSet<&str>) -> Vec<Plan> {
        let liars: Vec<&str> = scene.steps.iter().flat_map(|(_, names)| names).copied().collect();
        let liars: Vec<&str> = liars.into_iter().filter(|name| held.contains(name)).collect();
        let mut plans = Vec::new();
        for role in ["images", "targets"] {
            for own_root in [false, true] {
                plans.push(Plan { role, own_layout: true, own_root, liars: Vec::new(), lie: 0 });
            }
            for number in 1..1_u32 << liars.len() {
                let some = (0..liars.len()).filter(|bit| number >> bit & 1 == 1);
                let some: Vec<&str> = some.map(|bit| liars[bit]).collect();
                let plan = |lie| Plan { role, own_layout: false, own_root: false, liars: some.clone(), lie };
                plans.extend((0..3).map(plan));
            }
        }
        plans
    }

    fn carry_out(&mut self, plan: Plan) -> Subject {
        if plan.own_root {
            self.replace_the_root();
        }
        let evil = manifest("evil");
        let digest = Sha256::of(&evil);
        let gang = People::of("gang");
        let (layout, links) = match plan.own_layout {
            true => {
                let path = "layouts/registry.example/team/app/gang.layout";
                let own = match self.scene.inspection {
                    Some(rules) => layout(&gang).inspection("look", &["pratique", "image"], rules, &[]),
                    None => layout(&gang),
                };
                let bytes = own.sign(Format::Metablock, &[&gang.owner]).unwrap();
                let key = gang.owner.public_pem().unwrap();
                self.editor.add_target(plan.role, "in-toto-pubkeys/gang.pub", key.as_bytes(), Map::new()).unwrap();
                let custom = json!({"in-toto": ["in-toto-pubkeys/gang.pub"], "images": [NAME]});
                self.editor.add_target(plan.role, path, &bytes, object(custom)).unwrap();
                let binary = Sha256::of(b"binary");
                let build = Link::new("build").product("app", binary);
                let push = Link::new("push").material("app", binary).product(NAME, digest);
                let links = [(build, &gang.builder), (push, &gang.pusher)];
                (path, links.map(|(link, key)| signed(&link, key)).into())
            }
            false => (LAYOUT, self.links(&plan, digest)),
        };
        let mut listed = vec![layout.to_owned()];
        for (name, bytes) in links {
            let path = format!("in-toto-metadata/{digest}/{name}");
            self.editor.add_target(plan.role, &path, &bytes, Map::new()).unwrap();
            listed.push(path);
        }
        let custom = object(json!({ "in-toto": listed }));
        self.editor.add_target(plan.role, &format!("{NAME}@sha256:{digest}"), &evil, custom).unwrap();
        let mut changed = vec![plan.role];
        if plan.own_root {
            changed.push("targets");
        }
        for role in changed {
            let version = self.editor.version(role).unwrap() + 1;
            self.editor.set_version(role, version).unwrap();
            self.sign(role);
        }
        let snapshot = self.editor.version("snapshot").unwrap() + 1;
        self.editor.draft_snapshot(snapshot, now() + SignedDuration::from_hours(48)).unwrap();
        self.sign("snapshot");
        let timestamp = self.editor.version("timestamp").unwrap() + 1;
        self.editor.draft_timestamp(timestamp, now() + SignedDuration::from_hours(24)).unwrap();
        self.sign("timestamp");
        subject(NAME, digest)
    }

    /// The links of the good image, and in the place of those whose keys he holds others.
    fn links(&self, plan: &Plan, digest: Sha256) -> Vec<(String, Vec<u8>)> {
        let proof = self.scene.fixture.judge_published(&self.scene.image, &self.scene.requirement).unwrap();
        let mut links = Vec::new();
        for (step, functionaries) in &self.scene.steps {
            let said = &proof.verified().unwrap().steps()[*step];
            let said = Recorded { materials: said.materials.clone(), products: said.products.clone() };
            // Where somebody lies, only the links of liars are listed: links that differ refuse the whole.
            let lies = functionaries.iter().any(|name| plan.liars.contains(name));
            for name in functionaries.iter().filter(|name| !lies || plan.liars.contains(name)) {
                let key = &self.scene.keys[name];
                let link =
                    if plan.liars.contains(name) { self.lie(step, plan.lie, &said, digest) } else { link(step, &said) };
                links.push(signed(&link, key));
            }
        }
        links
    }

    fn lie(&self, step: &str, lie: usize, said: &Recorded, digest: Sha256) -> Link {
        let old = self.scene.image.digest.to_string();
        let new = |hex: &str| if hex == old { digest } else { hex.parse().unwrap() };
        let instead = |mut link: Link| {
            for (name, digests) in said.materials.iter() {
                link = link.material(name, new(digests.get("sha256").unwrap()));
            }
            for (name, digests) in said.products.iter() {
                link = link.product(name, new(digests.get("sha256").unwrap()));
            }
            link
        };
        let is_bound = step == self.scene.requirement.product.step.as_deref().unwrap_or("push");
        match lie {
            0 => instead(Link::new(step)),
            1 if is_bound => link(step, said).product(&format!("{NAME}#linux/amd64"), digest),
            2 if is_bound => Link::new(step).product(NAME, digest),
            _ => instead(Link::new(step)),
        }
    }

    /// Signs with what he holds, or has put in its place.
    fn sign(&mut self, role: &'static str) {
        let key = match self.own.get(role) {
            Some(own) => Some(own),
            None => self.held.contains(role).then(|| &self.scene.keys[role]),
        };
        self.editor.sign(role, &key.into_iter().collect::<Vec<_>>()).unwrap();
    }

    fn replace_the_root(&mut self) {
        for role in TUF {
            self.own.insert(role, seed(&format!("gang/{role}")));
        }
        let entry = |key: &SigningKey| (key.keyid().unwrap().to_string(), key.key_object().unwrap());
        for (role, file) in [("root", "root"), ("timestamp", "root"), ("snapshot", "root"), ("targets", "root")] {
            let (keyid, object) = entry(&self.own[role]);
            let root = self.editor.edit(file).unwrap();
            root["keys"][&keyid] = object;
            root["roles"][role] = json!({"keyids": [keyid], "threshold": 1});
        }
        let version = self.editor.version("root").unwrap() + 1;
        self.editor.set_version("root", version).unwrap();
        let mut keys = vec![&self.own["root"]];
        keys.extend(self.held.contains("root").then(|| &self.scene.keys["root"]));
        self.editor.sign("root", &keys).unwrap();
        let (keyid, object) = entry(&self.own["images"]);
        let delegations = &mut self.editor.edit("targets").unwrap()["delegations"];
        delegations["keys"][&keyid] = object;
        delegations["roles"][0]["keyids"] = json!([keyid]);
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn link(step: &str, said: &Recorded) -> Link {
    let of = |artifacts: &Artifacts| -> Vec<(String, Sha256)> {
        artifacts
            .iter()
            .map(|(name, digests)| (name.to_owned(), digests.get("sha256").unwrap().parse().unwrap()))
            .collect()
    };
    let link = of(&said.materials).iter().fold(Link::new(step), |link, (name, digest)| link.material(name, *digest));
    of(&said.products).iter().fold(link, |link, (name, digest)| link.product(name, *digest))
}

fn signed(link: &Link, key: &SigningKey) -> (String, Vec<u8>) {
    (link.file_name(key).unwrap(), link.clone().sign(Format::Metablock, key).unwrap())
}

fn set(names: &[&'static str]) -> BTreeSet<&'static str> {
    names.iter().copied().collect()
}

#[test]
fn where_keys_are_separate_no_online_keys_are_enough_and_what_is_named_is() {
    let mut scene = Scene::new(requirement(), layout);
    let sets = scene.agrees();
    let wanted = [
        set(&["root"]),
        set(&["targets", "snapshot", "timestamp"]),
        set(&["pusher", "images", "snapshot", "timestamp"]),
    ];
    assert_eq!(sets, wanted);
    assert!(!scene.blast().sets.iter().any(KeySet::is_online), "T1");
}

#[test]
fn where_an_online_key_also_signs_layouts_online_keys_are_enough() {
    let mut scene = Scene::of(Fixture::with_timestamp_key_as_targets_key(), requirement(), layout);
    let sets = scene.agrees();
    assert!(sets.iter().any(|set| !set.contains("root") && set.len() == 2), "{sets:?}");
    assert!(scene.blast().sets.iter().any(KeySet::is_online));
}

#[test]
fn where_an_online_role_may_sign_layouts_its_key_is_enough() {
    let careless = Requirement { layout_roles: chains(&["targets", "targets/images"]), ..requirement() };
    let mut scene = Scene::new(careless, layout);
    assert!(scene.agrees().contains(&set(&["images", "snapshot", "timestamp"])));
    assert!(scene.blast().sets.iter().any(KeySet::is_online));
}

#[test]
fn without_a_supply_chain_whoever_lists_images_is_enough() {
    let level = crate::evidence::requirement::Level::Tuf;
    let role = Some("targets/images".parse().unwrap());
    let mut scene = Scene::new(Requirement { level, role, ..requirement() }, layout);
    scene.steps.clear();
    let blast = scene.blast();
    let sizes: Vec<usize> = blast.sets.iter().map(|KeySet(set)| set.len()).collect();
    assert_eq!((sizes, blast.sets[1].is_online()), (vec![1, 3, 3], true), "{blast:?}");
}

/// What was pushed is what is scanned.
const TIED: [&str; 2] = ["MATCH registry.example/team/app WITH PRODUCTS FROM push", "DISALLOW *"];

/// One product more leaves what was scanned as it was, and is a platform of the image.
#[test]
fn where_platforms_may_be_added_a_step_that_looks_at_the_image_alone_is_no_hindrance() {
    let mut scene = Scene::with_scan(&["CREATE registry.example/team/app*", "DISALLOW *"], &TIED, &["DISALLOW *"]);
    let sets = scene.agrees();
    assert!(sets.contains(&set(&["pusher", "images", "snapshot", "timestamp"])), "{sets:?}");
}

#[test]
fn a_step_that_the_layout_ties_to_the_image_has_to_be_stolen_too() {
    let mut scene = Scene::with_scan(&[&format!("CREATE {NAME}"), "DISALLOW *"], &TIED, &["DISALLOW *"]);
    let sets = scene.agrees();
    let push = |names: &[&'static str]| set(&[&["pusher", "images", "snapshot", "timestamp"], names].concat());
    assert!(sets.contains(&push(&["scanner"])) && !sets.contains(&push(&[])), "{sets:?}");
}

#[test]
fn a_step_that_nothing_ties_to_the_image_is_no_hindrance() {
    let mut scene = Scene::with_scan(&[&format!("CREATE {NAME}"), "DISALLOW *"], &["ALLOW *"], &["ALLOW *"]);
    let sets = scene.agrees();
    assert!(sets.contains(&set(&["pusher", "images", "snapshot", "timestamp"])), "{sets:?}");
}

#[test]
fn a_retired_layout_leaves_its_functionaries_without_a_say() {
    let mut scene = Scene::new(requirement(), layout);
    scene.fixture.publisher.commit().unwrap();
    scene.fixture.publisher.retire_layout("targets", LAYOUT, None).unwrap();
    assert_eq!(scene.agrees(), [set(&["root"]), set(&["targets", "snapshot", "timestamp"])]);
}

#[test]
fn of_a_threshold_every_choice_is_named_and_no_smaller_one() {
    let pushers = |people: &People| {
        let scanner = seed("app/scanner");
        let push = [&people.pusher, &scanner, &people.builder]
            .into_iter()
            .fold(Step::new("push"), |step, key| step.functionary(key).unwrap());
        Layout::new(now() + SignedDuration::from_hours(24 * 90))
            .step(Step::new("build").functionary(&people.builder).unwrap().products(&["CREATE app", "DISALLOW *"]))
            .step(
                push.threshold(2)
                    .materials(&["MATCH app WITH PRODUCTS FROM build", "DISALLOW *"])
                    .products(&[&format!("CREATE {NAME}"), "DISALLOW *"]),
            )
    };
    let mut scene = Scene::new(requirement(), pushers);
    scene.steps = vec![("build", vec!["builder"]), ("push", vec!["pusher", "scanner", "builder"])];
    let digest = scene.image.digest;
    let mut links = scene.fixture.people.links(NAME, digest);
    let push = Link::new("push").material("app", Sha256::of(b"binary")).product(NAME, digest);
    for key in ["scanner", "builder"] {
        let (name, bytes) = signed(&push, &scene.keys[key]);
        links.push(crate::publish::LinkSource { name, bytes });
    }
    scene.fixture.add_image_with("1.0", None, LAYOUT, links);
    let sets = scene.agrees();
    let online = ["images", "snapshot", "timestamp"];
    for two in [["pusher", "scanner"], ["pusher", "builder"], ["scanner", "builder"]] {
        assert!(sets.contains(&set(&[&two[..], &online].concat())), "{two:?}: {sets:?}");
    }
    assert_eq!(sets.len(), 5, "{sets:?}");
}

#[test]
fn where_repositories_have_to_agree_keys_of_as_many_are_needed() {
    let mut director = Fixture::with_timestamp_key_as_targets_key();
    director.publisher.commit().unwrap();
    for (threshold, needed) in [(2, true), (1, false)] {
        let agreement = Agreement {
            others: vec!["director".parse().unwrap()],
            threshold: std::num::NonZeroUsize::new(threshold).unwrap(),
            on_evidence: false,
        };
        let mut scene = Scene::new(Requirement { agreement: Some(agreement), ..requirement() }, layout);
        let (reach, trusted, roles) = reached(&director, &scene.image, &scene.requirement, None);
        let other = Stolen { name: "director", trusted: &trusted, roles: &roles, reach: &reach };
        let sets = scene.blast_with(vec![other]).sets;
        assert!(!sets.is_empty());
        for KeySet(set) in &sets {
            let of = |repository: &str| {
                set.values().any(|key| key.of.iter().any(|name| name.ends_with(&format!(" of {repository}"))))
            };
            assert!(of("acme") && of("director") == needed, "{threshold}: {set:?}");
        }
    }
}

/// Binding (B): the inspection looks at the thief's own manifest, and finds there what he says that it is.
#[test]
fn an_inspection_binds_what_the_functionaries_of_its_step_say() {
    let rules: &[&str] = &["MATCH registry.example/team/app WITH PRODUCTS FROM push"];
    let mut by_inspection = requirement();
    by_inspection.product.inspection = Some("look".to_owned());
    let mut scene =
        Scene::new(by_inspection, |people| layout(people).inspection("look", &["pratique", "image"], rules, &[]));
    scene.inspection = Some(rules);
    assert!(scene.agrees().contains(&set(&["pusher", "images", "snapshot", "timestamp"])));
}
