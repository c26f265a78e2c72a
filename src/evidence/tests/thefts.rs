//! What a thief can do is what `policy blast` says he can: with any set of keys a thief tries all that he knows, and has an
//! image of his own admitted exactly where one of the sets that are named is among them.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::fixture::*;
use crate::{
    crypto::{Material, Sha256},
    evidence::{
        Evidence, Limits, Opinion, Proof, Reach, Requirement, Rival, Subject, agrees, forgers, forgers_of, judge,
        reach,
        requirement::{Agreement, Certificates},
        rivals, stranger_to,
    },
    forecast::blast::{Asked, Blast, KeySet, Served, Stolen},
    in_toto::{Artifacts, Lint, Recorded, Verified},
    publish::{Editor, Format, Layout, Link, NewRole, Side, SigningKey, Step, metadata::Scope},
    tuf::{Delegated, TargetPath, Trusted},
};

/// A project with all its keys, and an image that is admitted.
struct Scene {
    fixture: Fixture,
    image: Subject,
    requirement: Requirement,
    /// By the name of the role or step that they are for.
    keys: BTreeMap<&'static str, SigningKey>,
    /// The steps of the layout of the image.
    steps: Vec<Stage>,
    /// The layouts in place of links: for which step, by whom, and the file.
    sublayouts: Vec<(&'static str, &'static str, Vec<u8>)>,
    /// Another layout, its steps, and an image that was made by it.
    other: Option<(&'static str, Vec<Stage>, Option<Subject>)>,
    /// Whoever holds the key `authority` makes functionaries of the step `push`; and the certificate of one, `holder`.
    certificates: Option<(Authority, String)>,
    /// Which role is listed without hashes.
    without_hashes: Option<&'static str>,
    /// What is proven of the image, and of that of the other layout.
    proofs: OnceCell<[Option<Proof>; 2]>,
    /// The rules of the inspection that the rule asks for, if it does.
    inspection: Option<&'static [&'static str]>,
}

/// A step, and who signs its links, all of whom must; of those who may, the rest.
#[derive(Debug, Clone)]
struct Stage {
    step: &'static str,
    by: Vec<&'static str>,
    /// The step for which its layout was handed in, and by whom.
    within: Option<(&'static str, &'static str)>,
}

fn stage(step: &'static str, by: &[&'static str]) -> Stage {
    Stage { step, by: by.to_vec(), within: None }
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
        let mut keys: BTreeMap<&str, SigningKey> = [("builder", people.builder), ("pusher", people.pusher)].into();
        for role in TUF {
            let pem = fixture.publisher.keys().made_for(role)[0].to_pem().unwrap();
            keys.insert(role, SigningKey::from_pem(&pem).unwrap());
        }
        let steps = vec![stage("build", &["builder"]), stage("push", &["pusher"])];
        let (sublayouts, other, certificates, proofs) = (Vec::new(), None, None, OnceCell::new());
        Self {
            fixture,
            image,
            requirement,
            keys,
            steps,
            sublayouts,
            other,
            certificates,
            proofs,
            without_hashes: None,
            inspection: None,
        }
    }

    /// With a step after the image was pushed.
    fn with_scan(pushed: &[&str], materials: &[&str], products: &[&str]) -> Self {
        let mut scene = Self::new(requirement(), |people| {
            people.layout_with(now() + SignedDuration::from_hours(24 * 90), pushed).step(
                Step::new("scan").functionary(&seed("app/scanner")).unwrap().materials(materials).products(products),
            )
        });
        scene.requirement.product.step = Some("push".to_owned());
        scene.steps.push(stage("scan", &["scanner"]));
        scene.keys.insert("scanner", seed("app/scanner"));
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
        // It would list it with hashes again.
        if self.without_hashes.is_none() {
            self.fixture.publisher.commit().unwrap();
        }
        let (limits, dir) = (Limits::default(), self.fixture.dir().to_owned());
        let drive = |image: &Subject| {
            self.fixture.drive_in(&dir, now(), |view| judge(image, &self.requirement, view, now(), &limits))
        };
        let (proof, ..) = drive(&self.image).unwrap();
        let here = Evidence::Here(proof.layout());
        let (reach, trusted, roles) = reached(&self.fixture, &self.image, &self.requirement, here);
        let (found, ..) = self
            .fixture
            .drive_in(&dir, now(), |view| {
                rivals(&self.image, stranger_to(self.image.digest), &self.requirement, view, now(), &limits)
            })
            .unwrap();
        assert!(!found.is_cut && !reach.is_cut);
        let layouts = if proof.layout().is_some() { found.layouts.as_slice() } else { &[] };
        let proofs: Vec<(&Rival, Proof)> = layouts
            .iter()
            .flat_map(|rival| {
                rival.images.iter().filter_map(|image| Some((rival, drive(image).ok()?.0))).collect::<Vec<_>>()
            })
            .collect();
        let mut served: Vec<(Option<&str>, &Verified, _)> = Vec::new();
        let forgers = |proof: &Proof| forgers(proof, &self.image.name, &self.requirement, &limits);
        if let Some(verified) = proof.verified().filter(|_| !reach.is_retired) {
            served.push((None, verified, forgers(&proof)));
        }
        for (rival, other) in &proofs {
            let name = (proof.layout() != Some(&rival.layout)).then(|| rival.layout.as_str());
            served.push((name, other.verified().unwrap(), forgers(other)));
        }
        for rival in layouts.iter().filter(|rival| proof.layout() != Some(&rival.layout)) {
            let forgers = forgers_of(&rival.unsaid, &self.image, &self.requirement, &limits);
            served.push((Some(rival.layout.as_str()), rival.unsaid.as_verified(), forgers));
        }
        assert!(served.iter().all(|(.., forgers)| !forgers.is_rough));
        let layouts = served.iter().map(|(other, verified, forgers)| Served { other: *other, verified, forgers });
        let asked = Asked {
            requirement: &self.requirement,
            evidence: Stolen { name: "acme", trusted: &trusted, roles: &roles, reach: &reach },
            others,
            layouts: layouts.collect(),
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
    evidence: Evidence<'_>,
) -> (Reach, Trusted, Delegated) {
    let (limits, stranger) = (Limits::default(), stranger_to(image.digest));
    let reached = fixture
        .drive_in(fixture.dir(), now(), |view| reach(image, stranger, evidence, requirement, view, now(), &limits));
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
    /// Whether by the other layout that is there.
    other_layout: bool,
    /// Whether with a root of his own.
    own_root: bool,
    /// Which roles he publishes under the version that they have.
    quiet: &'static [&'static str],
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

/// How many he knows of.
const LIES: usize = 4;

impl Thief<'_> {
    /// All that he knows.
    fn plans(scene: &Scene, held: &BTreeSet<&str>) -> Vec<Plan> {
        let mut plans = Vec::new();
        let none = Plan {
            role: "images",
            own_layout: true,
            other_layout: false,
            own_root: false,
            quiet: &[],
            liars: Vec::new(),
            lie: 0,
        };
        let other = scene.other.iter().map(|(_, steps, _)| (true, steps));
        for role in ["images", "targets"] {
            for own_root in [false, true] {
                plans.push(Plan { role, own_root, ..none.clone() });
            }
            // Whoever lists links, it is no matter.
            let lists = if held.contains("images") { "images" } else { "targets" };
            for (other_layout, steps) in other.clone().chain([(false, &scene.steps)]).filter(|_| role == lists) {
                let mut liars: BTreeSet<&str> = steps.iter().flat_map(|stage| &stage.by).copied().collect();
                liars.retain(|name| held.contains(name) || *name == "holder" && held.contains("authority"));
                let liars: Vec<&str> = liars.into_iter().collect();
                for number in 1..1_u32 << liars.len() {
                    let some = (0..liars.len()).filter(|bit| number >> bit & 1 == 1);
                    let some: Vec<&str> = some.map(|bit| liars[bit]).collect();
                    // In the place of a sublayout of a liar stands a link.
                    let is_moot = |stage: &Stage| {
                        let outer = stage.within.is_some_and(|(_, outer)| some.contains(&outer));
                        outer && stage.by.iter().any(|name| some.contains(name))
                    };
                    if steps.iter().any(is_moot) {
                        continue;
                    }
                    plans.extend((0..LIES).map(|lie| Plan {
                        role,
                        own_layout: false,
                        other_layout,
                        liars: some.clone(),
                        lie,
                        ..none.clone()
                    }));
                }
            }
        }
        // Where no hash is listed, nobody sees another file of the same version.
        let quiet = |plan: &Plan, quiet| Plan { quiet, ..plan.clone() };
        let more: Vec<Plan> = match scene.without_hashes {
            None => Vec::new(),
            Some("snapshot") => plans.iter().map(|plan| quiet(plan, &["snapshot"])).collect(),
            Some(_) => plans.iter().map(|plan| quiet(plan, &["images", "targets", "snapshot"])).collect(),
        };
        plans.extend(more);
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
            false => (self.scene.other.as_ref().filter(|_| plan.other_layout).map_or(LAYOUT, |other| other.0), {
                self.links(&plan, digest)
            }),
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
            if !plan.quiet.contains(&role) {
                let version = self.editor.version(role).unwrap() + 1;
                self.editor.set_version(role, version).unwrap();
            }
            self.sign(role);
        }
        if plan.quiet.contains(&"images") {
            return subject(NAME, digest);
        }
        let snapshot = self.editor.version("snapshot").unwrap() + u64::from(plan.quiet.is_empty());
        self.editor.draft_snapshot(snapshot, now() + SignedDuration::from_hours(48)).unwrap();
        self.sign("snapshot");
        if !plan.quiet.is_empty() {
            return subject(NAME, digest);
        }
        let timestamp = self.editor.version("timestamp").unwrap() + 1;
        self.editor.draft_timestamp(timestamp, now() + SignedDuration::from_hours(24)).unwrap();
        self.sign("timestamp");
        subject(NAME, digest)
    }

    /// The links of the good image, and in the place of those whose keys he holds others.
    fn links(&self, plan: &Plan, digest: Sha256) -> Vec<(String, Vec<u8>)> {
        let scene = self.scene;
        let (steps, image) = match &scene.other {
            Some((_, steps, image)) if plan.other_layout => (steps, image.as_ref()),
            _ => (&scene.steps, Some(&scene.image)),
        };
        let of = |image: &Subject| scene.fixture.judge_published(image, &scene.requirement).unwrap();
        let other = || scene.other.as_ref().and_then(|(.., image)| image.as_ref().map(of));
        let [own, other] = scene.proofs.get_or_init(|| [Some(of(&scene.image)), other()]);
        let proof = if plan.other_layout { other } else { own };
        let old = image.unwrap_or(&scene.image).digest;
        let mut links = Vec::new();
        for Stage { step, by, within } in steps {
            let mut verified = proof.as_ref().map(|proof| proof.verified().unwrap());
            let mut folder = String::new();
            if let Some((outer, name)) = within {
                if plan.liars.contains(name) {
                    // What stands in its place is no layout.
                    continue;
                }
                let keyid = scene.keys[name].keyid().unwrap();
                folder = format!("{outer}.{}/", keyid.short());
                verified = verified.map(|verified| &verified.steps()[*outer].sublayouts[&keyid]);
            }
            let said = verified.map(|verified| {
                let step = &verified.steps()[*step];
                Recorded { materials: step.materials.clone(), products: step.products.clone() }
            });
            // Where somebody lies, only the links of liars are listed: links that differ refuse the whole.
            let lies = by.iter().any(|name| plan.liars.contains(name));
            for name in by.iter().filter(|name| !lies || plan.liars.contains(name)) {
                let handed_in = scene.sublayouts.iter().find(|(of, by, _)| (of, by) == (step, name));
                let link = match (&said, handed_in) {
                    (_, Some((.., bytes))) if !lies => {
                        let file = Link::new(step).file_name(&scene.keys[name]).unwrap();
                        links.push((file, bytes.clone()));
                        continue;
                    }
                    (said, _) if lies => {
                        let said = said.clone().unwrap_or_default();
                        self.lie((step, within.is_some()), plan.lie, &said, old, digest)
                    }
                    (Some(said), _) => link(step, said),
                    // Nobody has signed it.
                    (None, _) => continue,
                };
                let (file, bytes) = match &scene.certificates {
                    Some((authority, certificate)) if *name == "holder" => match self.held.contains("holder") {
                        true => certified(&link, &scene.keys["holder"], certificate),
                        false if lies => {
                            let (key, certificate) = authority.issue("gang/holder");
                            certified(&link, &key, &certificate)
                        }
                        false => certified(&link, &scene.keys["holder"], certificate),
                    },
                    _ => signed(&link, &scene.keys[name]),
                };
                links.push((format!("{folder}{file}"), bytes));
            }
        }
        links
    }

    fn lie(&self, (step, is_inner): (&str, bool), lie: usize, said: &Recorded, old: Sha256, digest: Sha256) -> Link {
        let old = old.to_string();
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
        let bound = self.scene.requirement.product.step.as_deref();
        let is_bound = is_inner || step == bound.unwrap_or("push") || self.scene.other.is_some() && step == "release";
        match lie {
            0 => instead(Link::new(step)),
            1 if is_bound => link(step, said).product(&format!("{NAME}#linux/amd64"), digest),
            2 if is_bound => Link::new(step).product(NAME, digest),
            3 if is_bound => {
                let materials = said.materials.iter().filter(|(name, _)| *name != NAME);
                let materials = materials.map(|(name, digests)| (name.to_owned(), digests.to_map())).collect();
                link(step, &Recorded { materials, products: Artifacts::new() }).product(NAME, digest)
            }
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

#[test]
fn what_the_snapshot_lists_without_hashes_is_replaced_without_snapshot_and_timestamp() {
    let mut scene = Scene::new(requirement(), layout);
    scene.fixture.list_without_hashes("images");
    scene.without_hashes = Some("images");
    let sets = scene.agrees();
    assert_eq!(sets, [set(&["root"]), set(&["pusher", "images"]), set(&["targets", "snapshot", "timestamp"])]);
}

#[test]
fn a_snapshot_that_the_timestamp_lists_without_hashes_is_replaced_without_the_timestamp() {
    let mut scene = Scene::new(requirement(), layout);
    scene.fixture.list_without_hashes("snapshot");
    scene.without_hashes = Some("snapshot");
    let sets = scene.agrees();
    assert_eq!(sets, [set(&["root"]), set(&["targets", "snapshot"]), set(&["pusher", "images", "snapshot"])]);
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

/// The same is said of every image that is proven, and what closes it.
#[test]
fn that_platforms_may_be_added_which_a_later_step_has_not_looked_at_is_found_loose() {
    let loose = |pushed: &[&str], materials: &[&str]| -> Vec<String> {
        let mut scene = Scene::with_scan(pushed, materials, &["DISALLOW *"]);
        let proof = scene.fixture.judge_by(&scene.image, &scene.requirement).unwrap();
        let found = proof.loose().iter().filter(|lint| matches!(lint, Lint::UnseenPlatforms { .. }));
        found.map(ToString::to_string).collect()
    };
    let open = "CREATE registry.example/team/app*";
    assert_eq!(
        loose(&[open, "DISALLOW *"], &TIED),
        [format!(
            "step \"push\": {open} lets it add platforms that \"scan\" has not looked at; DISALLOW {NAME}#* closes that"
        )]
    );
    assert_eq!(loose(&[&format!("CREATE {NAME}"), "ALLOW *#windows/*", "DISALLOW *"], &TIED).len(), 1);
    for closed in [
        &[&*format!("DISALLOW {NAME}#*"), open, "DISALLOW *"][..],
        &[&*format!("CREATE {NAME}"), "DISALLOW *"],
        &[&*format!("CREATE {NAME}"), "CREATE *#*/*/*/*", "DISALLOW *"],
    ] {
        assert_eq!(loose(closed, &TIED), [""; 0], "{closed:?}");
    }
    // Nobody looks at it anyway.
    assert_eq!(loose(&[open, "DISALLOW *"], &["ALLOW *"]), [""; 0]);
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
    scene.keys.insert("scanner", seed("app/scanner"));
    scene.steps = vec![stage("build", &["builder"]), stage("push", &["pusher", "scanner", "builder"])];
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
        let (reach, trusted, roles) = reached(&director, &scene.image, &scene.requirement, Evidence::Elsewhere(None));
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

/// An authority of certificates for `push`.
struct Authority {
    params: rcgen::CertificateParams,
    key: rcgen::KeyPair,
    pem: String,
}

impl Authority {
    fn new(seed: &SigningKey) -> Self {
        let key = rcgen::KeyPair::from_pem(&seed.to_pem().unwrap()).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "acme");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    fn issue(&self, name: &str) -> (SigningKey, String) {
        let holder = seed(name);
        let key = rcgen::KeyPair::from_pem(&holder.to_pem().unwrap()).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "pusher");
        let pem = params.signed_by(&key, &rcgen::Issuer::from_params(&self.params, &self.key)).unwrap().pem();
        (holder, pem)
    }
}

/// A link with the certificate of its signer.
fn certified(link: &Link, key: &SigningKey, certificate: &str) -> (String, Vec<u8>) {
    let (name, bytes) = signed(link, key);
    let mut file: Value = serde_json::from_slice(&bytes).unwrap();
    file["signatures"][0]["cert"] = json!(certificate);
    (name, file.to_string().into_bytes())
}

fn source((name, bytes): (String, Vec<u8>)) -> crate::publish::LinkSource {
    crate::publish::LinkSource { name, bytes }
}

const ONLINE: [&str; 3] = ["images", "snapshot", "timestamp"];

fn with_online(names: &[&'static str]) -> BTreeSet<&'static str> {
    set(&[names, &ONLINE].concat())
}

/// The pattern decides which platform the thief makes up, and it need not be one that there is.
#[test]
fn where_some_platforms_may_be_added_one_of_them_is() {
    let pushed = ["CREATE registry.example/team/app", "CREATE registry.example/team/app#linux/*", "DISALLOW *"];
    let mut scene = Scene::with_scan(&pushed, &TIED, &["DISALLOW *"]);
    assert!(scene.agrees().contains(&with_online(&["pusher"])));
}

/// The thief leaves out what he was given and keeps what is required.
#[test]
fn what_stands_in_the_way_is_left_out_and_the_rest_stays() {
    let rules =
        ["MATCH registry.example/team/app WITH PRODUCTS FROM build", "CREATE registry.example/team/app", "DISALLOW *"];
    let mut scene = Scene::new(requirement(), |people| {
        let build = Step::new("build").functionary(&people.builder).unwrap();
        let push = Step::new("push").functionary(&people.pusher).unwrap();
        let materials = ["REQUIRE app", "MATCH * WITH PRODUCTS FROM build", "DISALLOW *"];
        Layout::new(now() + SignedDuration::from_hours(24 * 90))
            .step(build.products(&["ALLOW *"]))
            .step(push.materials(&materials).products(&rules))
    });
    let (digest, binary) = (scene.image.digest, Sha256::of(b"binary"));
    let build = Link::new("build").product("app", binary).product(NAME, digest);
    let push = Link::new("push").material("app", binary).material(NAME, digest).product(NAME, digest);
    let links = vec![source(signed(&build, &scene.keys["builder"])), source(signed(&push, &scene.keys["pusher"]))];
    scene.fixture.add_image_with("1.0", None, LAYOUT, links);
    assert!(scene.agrees().contains(&with_online(&["pusher"])));
}

/// `push` is handed on to the packer, in a layout of the pusher; `checked`: and to somebody who looks at what was packed.
fn handed_on(checked: &[&str]) -> Scene {
    let mut scene = Scene::new(Requirement { sublayouts: Some(1), ..requirement() }, layout);
    let (packer, checker) = (seed("app/packer"), seed("app/checker"));
    let digest = scene.image.digest;
    let pack = Step::new("pack").functionary(&packer).unwrap();
    let mut inner = Layout::new(now() + SignedDuration::from_hours(24 * 90))
        .step(pack.materials(&["ALLOW app", "DISALLOW *"]).products(&[&format!("CREATE {NAME}"), "DISALLOW *"]));
    let mut links = scene.fixture.people.links(NAME, digest);
    links.retain(|link| link.name.starts_with("build."));
    let packed = Link::new("pack").material("app", Sha256::of(b"binary")).product(NAME, digest);
    let mut inside = vec![signed(&packed, &packer)];
    let within = Some(("push", "pusher"));
    scene.steps.push(Stage { step: "pack", by: vec!["packer"], within });
    scene.keys.insert("packer", seed("app/packer"));
    if !checked.is_empty() {
        inner = inner.step(Step::new("check").functionary(&checker).unwrap().materials(checked).products(checked));
        let link = Link::new("check").material(NAME, digest).product(NAME, digest);
        inside.push(signed(&link, &checker));
        scene.steps.push(Stage { step: "check", by: vec!["checker"], within });
        scene.keys.insert("checker", checker);
    }
    let pusher = &scene.keys["pusher"];
    let bytes = inner.sign(Format::Metablock, &[pusher]).unwrap();
    let name = Link::new("push").file_name(pusher).unwrap();
    let folder = name.strip_suffix(".link").unwrap().to_owned();
    links.push(source((name, bytes.clone())));
    links.extend(inside.into_iter().map(|(name, bytes)| source((format!("{folder}/{name}"), bytes))));
    scene.sublayouts.push(("push", "pusher", bytes));
    scene.fixture.add_image_with("1.0", None, LAYOUT, links);
    scene
}

#[test]
fn to_whom_a_step_is_handed_on_is_as_good_as_who_handed_it_on() {
    let sets = handed_on(&[]).agrees();
    assert!(sets.contains(&with_online(&["packer"])) && sets.contains(&with_online(&["pusher"])), "{sets:?}");
}

#[test]
fn the_rules_of_a_sublayout_say_whom_it_takes() {
    let tied = ["MATCH registry.example/team/app WITH PRODUCTS FROM pack", "DISALLOW *"];
    let sets = handed_on(&tied).agrees();
    assert!(
        sets.contains(&with_online(&["packer", "checker"])) && sets.contains(&with_online(&["pusher"])),
        "{sets:?}"
    );
    // The last step says what came out, and nothing ties that to what was packed.
    let sets = handed_on(&["ALLOW *"]).agrees();
    assert!(sets.contains(&with_online(&["checker"])), "{sets:?}");
}

/// A layout of his own for the step is worth no more than a link, and no less.
#[test]
fn a_functionary_may_hand_on_a_step_to_the_thief_where_sublayouts_are_allowed() {
    let mut scene = Scene::new(Requirement { sublayouts: Some(1), ..requirement() }, layout);
    let gang = seed("gang/packer");
    let evil = Sha256::of(&manifest("evil"));
    let pack = Step::new("pack").functionary(&gang).unwrap().materials(&["ALLOW *"]).products(&["ALLOW *"]);
    let inner = Layout::new(now() + SignedDuration::from_hours(24)).step(pack);
    let pusher = &scene.keys["pusher"];
    let name = Link::new("push").file_name(pusher).unwrap();
    let folder = name.strip_suffix(".link").unwrap().to_owned();
    let packed = Link::new("pack").material("app", Sha256::of(b"binary")).product(NAME, evil);
    let (inside, bytes) = signed(&packed, &gang);
    let mut links = scene.fixture.people.links(NAME, evil);
    links.retain(|link| link.name.starts_with("build."));
    links.push(source((name, inner.sign(Format::Metablock, &[pusher]).unwrap())));
    links.push(source((format!("{folder}/{inside}"), bytes)));
    assert!(scene.agrees().contains(&with_online(&["pusher"])));
    let image = scene.fixture.add_image_with("evil", None, LAYOUT, links);
    assert!(scene.fixture.judge_by(&image, &scene.requirement).is_ok());
    assert_eq!(scene.fixture.judge(&image).unwrap_err().code(), "in-toto/sublayout-denied");
}

#[test]
fn an_authority_of_certificates_makes_functionaries() {
    let mut scene = Scene::new(Requirement { certificates: Certificates::Allow, ..requirement() }, layout);
    let authority = Authority::new(&seed("app/authority"));
    let (holder, certificate) = authority.issue("app/holder");
    let mut by_certificate = layout(&scene.fixture.people).to_value();
    let id = "ca".repeat(32);
    let root = json!({
        "keyid": id, "keytype": "ed25519", "scheme": "ed25519", "keyid_hash_algorithms": ["sha256", "sha512"],
        "keyval": {"public": "", "certificate": authority.pem},
    });
    by_certificate["rootcas"] = json!({ id: root });
    by_certificate["steps"][1]["pubkeys"] = json!([]);
    by_certificate["steps"][1]["threshold"] = json!(1);
    by_certificate["steps"][1]["cert_constraints"] = json!([{
        "common_name": "pusher", "dns_names": [], "emails": [], "organizations": [], "roots": ["*"], "uris": [],
    }]);
    let owner = &scene.fixture.people.owner;
    let signature = hex::encode(owner.sign(&crate::crypto::json::canonical(&by_certificate)).unwrap());
    let file = json!({"signed": by_certificate, "signatures": [{"keyid": owner.keyid().unwrap(), "sig": signature}]});
    scene
        .fixture
        .publisher
        .add_layout(crate::publish::NewLayout {
            path: LAYOUT.to_owned(),
            bytes: file.to_string().into_bytes(),
            keys: vec![owner.public_pem().unwrap().into_bytes()],
            images: vec![NAME.to_owned()],
            role: "targets".to_owned(),
        })
        .unwrap();
    let push = Link::new("push").material("app", Sha256::of(b"binary")).product(NAME, scene.image.digest);
    let mut links = scene.fixture.people.links(NAME, scene.image.digest);
    links.retain(|link| link.name.starts_with("build."));
    links.push(source(certified(&push, &holder, &certificate)));
    scene.fixture.add_image_with("1.0", None, LAYOUT, links);
    scene.keys.extend([("holder", holder), ("authority", seed("app/authority"))]);
    scene.keys.remove("pusher");
    scene.steps = vec![stage("build", &["builder"]), stage("push", &["holder"])];
    scene.certificates = Some((authority, certificate));
    let sets = scene.agrees();
    assert!(sets.contains(&with_online(&["holder"])) && sets.contains(&with_online(&["authority"])), "{sets:?}");
    let blast = scene.blast();
    let names: BTreeSet<&str> =
        blast.sets.iter().flat_map(|set| set.0.values()).flat_map(|key| &key.of).map(String::as_str).collect();
    assert!(names.contains("the authority \"acme\" of step push"), "{names:?}");
}

const OTHER: &str = "layouts/registry.example/team/app/other.layout";

/// A layout beside that of the image: whoever releases can say that it is the image, after somebody has compiled it.
fn with_other_layout(made: bool) -> Scene {
    let mut scene = Scene::new(requirement(), layout);
    scene.keys.extend([("compiler", seed("app/compiler")), ("intern", seed("app/intern"))]);
    let compile =
        Step::new("compile").functionary(&scene.keys["compiler"]).unwrap().products(&["CREATE app", "DISALLOW *"]);
    let release = Step::new("release").functionary(&scene.keys["intern"]).unwrap();
    let materials = ["MATCH app WITH PRODUCTS FROM compile", "DISALLOW *"];
    let release = release.materials(&materials).products(&[&format!("CREATE {NAME}")]);
    let other = Layout::new(now() + SignedDuration::from_hours(24 * 90)).step(compile).step(release);
    scene.fixture.add_layout(OTHER, &other, &[NAME]);
    let image = made.then(|| {
        let compiled = Link::new("compile").product("app", Sha256::of(b"old"));
        let digest = Sha256::of(&manifest("0.9"));
        let released = Link::new("release").material("app", Sha256::of(b"old")).product(NAME, digest);
        let links =
            vec![source(signed(&compiled, &scene.keys["compiler"])), source(signed(&released, &scene.keys["intern"]))];
        scene.fixture.add_image_with("0.9", None, OTHER, links)
    });
    scene.other = Some((OTHER, vec![stage("compile", &["compiler"]), stage("release", &["intern"])], image));
    scene
}

#[test]
fn another_layout_for_the_name_is_a_way_for_its_functionaries() {
    let sets = with_other_layout(true).agrees();
    assert!(sets.contains(&with_online(&["intern"])) && sets.contains(&with_online(&["pusher"])), "{sets:?}");
}

#[test]
fn of_a_layout_by_which_nothing_was_made_every_step_has_to_be_signed() {
    let sets = with_other_layout(false).agrees();
    assert!(
        sets.contains(&with_online(&["intern", "compiler"])) && !sets.contains(&with_online(&["intern"])),
        "{sets:?}"
    );
}

#[test]
fn another_layout_that_is_retired_is_no_way() {
    let mut scene = with_other_layout(true);
    scene.fixture.publisher.commit().unwrap();
    scene.fixture.publisher.retire_layout("targets", OTHER, None).unwrap();
    let sets = scene.agrees();
    assert!(!sets.iter().any(|set| set.contains("intern")), "{sets:?}");
}

/// Who lists images in the other repository may not list layouts, nor links, there.
#[test]
fn where_repositories_have_to_agree_on_the_evidence_whoever_lists_that_has_to_be_stolen_as_well() {
    let mut director = Fixture::seeded("director");
    director.publisher.commit().unwrap();
    for on_evidence in [false, true] {
        let agreement = Agreement {
            others: vec!["director".parse().unwrap()],
            threshold: std::num::NonZeroUsize::new(2).unwrap(),
            on_evidence,
        };
        let mut scene = Scene::new(Requirement { agreement: Some(agreement), ..requirement() }, layout);
        scene.fixture.publisher.commit().unwrap();
        let proof = scene.fixture.judge_published(&scene.image, &scene.requirement).unwrap();
        let files: Vec<TargetPath> = proof.relied()[1..].iter().map(|relied| relied.path.clone()).collect();
        assert_eq!(files.is_empty(), !on_evidence);
        let layout = proof.layout().unwrap();
        let there = Evidence::Elsewhere(on_evidence.then_some((layout, &files[..])));
        let (mut reach, trusted, roles) = reached(&director, &scene.image, &scene.requirement, there);
        // As if the role that lists images there listed nothing else.
        reach.layout.retain(|chain| chain.parent().is_none());
        reach.links.retain(|chain| chain.parent().is_none());
        let other = Stolen { name: "director", trusted: &trusted, roles: &roles, reach: &reach };
        let sets = scene.blast_with(vec![other]).sets;
        let has = |set: &KeySet, name: &str| set.0.values().any(|key| key.of.contains(name));
        let in_director = |set: &KeySet| has(set, "targets of director") || has(set, "root of director");
        assert_eq!(sets.iter().all(in_director), on_evidence, "{sets:?}");
        // And so it is: the image alone does not do.
        let limits = Limits::default();
        let relied = proof.relied();
        let listed = copy_to(&director, &scene, &relied[0].path);
        let opinion = director
            .drive_in(listed.path(), now(), |view| {
                agrees(&scene.image, relied, "acme", &scene.requirement, view, now(), &limits)
            })
            .unwrap()
            .0;
        assert_eq!(opinion == Opinion::Agrees, !on_evidence, "{opinion:?}");
    }
}

/// The other repository, in which the thief lists the image and nothing else.
fn copy_to(director: &Fixture, scene: &Scene, path: &TargetPath) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    copy(director.dir(), temp.path());
    let mut editor = Editor::open(temp.path()).unwrap();
    editor.add_target("images", path.as_str(), &manifest("1.0"), Map::new()).unwrap();
    let version = editor.version("images").unwrap() + 1;
    editor.set_version("images", version).unwrap();
    let keys = crate::publish::Plan::default().keys_from_seed("director").unwrap();
    editor.sign("images", &keys.made_for("images")).unwrap();
    renew(&mut editor, &keys);
    assert_eq!(scene.image.digest, Sha256::of(&manifest("1.0")));
    temp
}

#[test]
fn whatever_a_thief_makes_fall_to_a_role_that_role_may_speak_about() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    let digits = |of: &str| Scope::HashPrefixes(of.chars().map(String::from).collect());
    for (name, scope) in [
        ("low", digits("01234567")),
        ("high", digits("89abcdef")),
        ("others", Scope::Paths(vec!["other-team/*/x-*.pem".to_owned(), "other-team/*/*.link".to_owned()])),
        ("readme", Scope::Paths(vec!["other-team/readme".to_owned(), "in-toto-metadata/*/*.pem".to_owned()])),
    ] {
        let (name, parent, validity) = (name.to_owned(), "targets".to_owned(), SignedDuration::from_hours(48));
        let new = NewRole { name: name.clone(), parent, scope, terminating: false, threshold: 1, validity };
        fixture.publisher.delegate(&new, Side::Online, vec![seed(&name)]).unwrap();
    }
    fixture.publisher.commit().unwrap();
    let layout = TargetPath::from(LAYOUT);
    let (reach, ..) = reached(&fixture, &image, &requirement(), Evidence::Here(Some(&layout)));
    let hashed = ["targets", "targets/images", "targets/low", "targets/high"];
    assert_eq!(reach.image, chains(&hashed));
    assert_eq!(reach.links, chains(&[&hashed[..], &["targets/others"]].concat()));
    assert_eq!((reach.layout, reach.is_cut), (chains(&["targets"]), false));
    let any = Requirement { layout_roles: chains(&["targets", "targets/low", "targets/high"]), ..requirement() };
    let (reach, ..) = reached(&fixture, &image, &any, Evidence::Here(Some(&layout)));
    assert_eq!(reach.layout, any.layout_roles);
}

#[test]
fn what_is_too_much_to_go_through_is_said_and_counts_as_enough() {
    let names: Vec<String> = (0..12).map(|number| format!("note-{number}")).collect();
    let mut scene = Scene::new(requirement(), |people| {
        names.iter().fold(layout(people), |all, name| all.step(Step::new(name).functionary(&people.builder).unwrap()))
    });
    scene.requirement.product.step = Some("push".to_owned());
    let mut links = scene.fixture.people.links(NAME, scene.image.digest);
    links.extend(names.iter().map(|name| source(signed(&Link::new(name), &scene.keys["builder"]))));
    scene.fixture.add_image_with("1.0", None, LAYOUT, links);
    let proof = scene.fixture.judge_by(&scene.image, &scene.requirement).unwrap();
    let found = forgers(&proof, &scene.image.name, &scene.requirement, &Limits::default());
    let steps: Vec<&str> = found.sets.iter().flatten().map(|signing| signing.step.as_str()).collect();
    assert_eq!((found.is_rough, steps), (true, vec!["push"]));
}

#[test]
fn a_sublayout_that_is_too_much_to_go_through_is_not_gone_through_to_the_end() {
    let mut scene = Scene::new(Requirement { sublayouts: Some(1), ..requirement() }, layout);
    let (digest, packer, checker) = (scene.image.digest, seed("app/packer"), seed("app/checker"));
    // Three names that lead to each other, with five digests: one step alone is soon gone through, and two are not.
    let places = ["one", "two"];
    let product = format!("MATCH {NAME} WITH PRODUCTS FROM pack");
    let moved = places.map(|place| format!("MATCH {NAME} IN {place} WITH PRODUCTS FROM pack"));
    let materials: Vec<&str> = moved.iter().map(String::as_str).chain(["ALLOW *"]).collect();
    let pack = Step::new("pack").functionary(&packer).unwrap();
    let check = Step::new("check").functionary(&checker).unwrap();
    let check = check.materials(&materials).products(&[&product, "DISALLOW *"]);
    let inner = Layout::new(now() + SignedDuration::from_hours(24)).step(pack).step(check);
    let packed = Link::new("pack").material("app", Sha256::of(b"binary")).product(NAME, digest);
    let packed = places
        .iter()
        .fold(packed, |link, place| link.product(&format!("{place}/{NAME}"), Sha256::of(place.as_bytes())));
    let checked = Link::new("check").material(NAME, digest).product(NAME, digest);
    let mut links = scene.fixture.people.links(NAME, digest);
    links.retain(|link| link.name.starts_with("build."));
    let name = Link::new("push").file_name(&scene.keys["pusher"]).unwrap();
    let folder = name.strip_suffix(".link").unwrap().to_owned();
    for (name, bytes) in [signed(&packed, &packer), signed(&checked, &checker)] {
        links.push(source((format!("{folder}/{name}"), bytes)));
    }
    links.push(source((name, inner.sign(Format::Metablock, &[&scene.keys["pusher"]]).unwrap())));
    scene.fixture.add_image_with("1.0", None, LAYOUT, links);
    let proof = scene.fixture.judge_by(&scene.image, &scene.requirement).unwrap();
    let found = forgers(&proof, &scene.image.name, &scene.requirement, &Limits::default());
    assert!(found.is_rough && !found.sets.is_empty(), "{found:?}");
}

#[test]
fn more_digests_than_can_be_tried_are_not_put_together() {
    let steps: Vec<String> = (0..6).map(|number| format!("move-{number}")).collect();
    let moved = ["one", "two"].map(|place| format!("MATCH {NAME} IN {place} WITH PRODUCTS FROM build"));
    let rules: Vec<&str> = moved.iter().map(String::as_str).collect();
    let mut scene = Scene::new(requirement(), |people| {
        let step = |name: &String| Step::new(name).functionary(&people.builder).unwrap().materials(&rules);
        steps.iter().fold(layout(people), |all, name| all.step(step(name)))
    });
    scene.requirement.product.step = Some("push".to_owned());
    let mut links = scene.fixture.people.links(NAME, scene.image.digest);
    for step in &steps {
        let link = ["one", "two"].iter().fold(Link::new(step), |link, place| {
            let digest = |side: &str| Sha256::of(format!("{side} {place} of {step}").as_bytes());
            let at = format!("{place}/{NAME}");
            link.material(&at, digest("material")).product(&at, digest("product"))
        });
        links.push(source(signed(&link, &scene.keys["builder"])));
    }
    scene.fixture.add_image_with("1.0", None, LAYOUT, links);
    let proof = scene.fixture.judge_by(&scene.image, &scene.requirement).unwrap();
    let found = forgers(&proof, &scene.image.name, &scene.requirement, &Limits::default());
    assert!(found.is_rough && !found.sets.is_empty(), "{found:?}");
}
