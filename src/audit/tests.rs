//! What runs, judged over a repository in a folder, with a clock that the tests set.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::{
    admission::LivePod,
    crypto::Sha256,
    forecast::{Outlook, Renewal},
    policy::{Policy, UsedAs},
    publish::{
        Format, KeyRing, Layout, Link, LinkSource, NewImage, NewLayout, Plan, Publisher, Side, SigningKey, Step,
    },
    verdict::Pinning,
    verifier::{Question, TagUse, Verifier, World},
};

const NAME: &str = "registry.example/team/app";
const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";
pub(super) const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

/// A project whose roles and layout expire as a test wants it.
pub(super) struct Project {
    temp: tempfile::TempDir,
}

impl Project {
    /// A layout that expires after `layout` days; all roles hold for ten years where `change` does not say less.
    fn new(layout: i32, change: impl FnOnce(&mut Plan)) -> Self {
        let long = DAY * 3650;
        let mut plan = Plan {
            offline_validity: long,
            online_validity: long,
            snapshot_validity: long,
            timestamp_validity: long,
            ..Plan::default()
        };
        change(&mut plan);
        let project = Self { temp: tempfile::tempdir().unwrap() };
        let (owner, builder) = keys();
        let mut keys = plan.keys_from_seed("audit").unwrap();
        keys.save_to(&project.temp.path().join("keys")).unwrap();
        let mut publisher = Publisher::init(&project.folder(), keys, &plan, now()).unwrap();
        let products = [&format!("CREATE {NAME}") as &str, "DISALLOW *"];
        let step = Step::new("build").functionary(&builder).unwrap().products(&products);
        let bytes = Layout::new(now() + DAY * layout).step(step).sign(Format::Metablock, &[&owner]).unwrap();
        let keys = vec![owner.public_pem().unwrap().into_bytes()];
        let (path, role) = (LAYOUT.to_owned(), "targets".to_owned());
        publisher.add_layout(NewLayout { path, bytes, keys, images: Vec::new(), role }).unwrap();
        publisher.commit().unwrap();
        project
    }

    /// One that keeps to what `repo init` does.
    pub(super) fn usual() -> Self {
        Self::new(90, |plan| *plan = Plan::default())
    }

    fn folder(&self) -> std::path::PathBuf {
        self.temp.path().join("repository")
    }

    pub(super) fn publish(&self, at: Timestamp, change: impl FnOnce(&mut Publisher)) {
        let keys = KeyRing::open(&self.temp.path().join("keys")).unwrap();
        let mut publisher = Publisher::open(&self.folder(), keys, at).unwrap();
        change(&mut publisher);
        publisher.commit().unwrap();
    }

    pub(super) fn release(&self, manifest: &Value) -> Sha256 {
        let (_, builder) = keys();
        let manifest = manifest.to_string().into_bytes();
        let digest = Sha256::of(&manifest);
        let link = Link::new("build").product(NAME, digest);
        let bytes = link.sign(Format::Metablock, &builder).unwrap();
        let links = vec![LinkSource { name: link.file_name(&builder).unwrap(), bytes }];
        let (layout, role) = (LAYOUT.to_owned(), Some("images".to_owned()));
        let image = NewImage { repository: NAME.to_owned(), tags: Vec::new(), layout, links, role, manifest };
        self.publish(now(), |publisher| {
            publisher.add_image(&image).unwrap();
        });
        digest
    }

    /// The repository under a policy; `words` are added to its description, `before` to the rules.
    pub(super) async fn world(&self, words: &str, before: &str) -> World {
        let policy = format!(
            "version: 1
repositories:
  acme: {{url: \"file://{}\", root: root.json, maxValidity: 4000d{words}}}
rules:{before}
  - name: own
    match: {{images: [\"registry.example/**\"]}}
    verify: {{repositories: [acme], layout: \"layouts/{{repository}}/*\"}}
",
            self.folder().display()
        );
        let root = fs::read(self.folder().join("metadata/1.root.json")).unwrap();
        let files = BTreeMap::from([("root.json".to_owned(), root)]);
        let world = World::build(Arc::new(Policy::parse(&policy).unwrap()), &files, None, None, None).await.unwrap();
        refresh(&world, now()).await;
        world
    }
}

fn keys() -> (SigningKey, SigningKey) {
    (SigningKey::ed25519_from_seed([1; 32]), SigningKey::ed25519_from_seed([2; 32]))
}

pub(super) async fn refresh(world: &World, now: Timestamp) {
    for (_, repository) in world.repositories() {
        repository.refresh(now).await.unwrap();
    }
}

pub(super) fn image(content: &str) -> Value {
    let config = Sha256::of(content.as_bytes());
    let media_type = "application/vnd.oci.image.config.v1+json";
    let config = json!({"mediaType": media_type, "digest": format!("sha256:{config}"), "size": 1});
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": []})
}

fn index(child: Sha256) -> Value {
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let child = json!({"mediaType": media_type, "digest": format!("sha256:{child}"), "size": 1});
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [child]})
}

pub(super) fn by_digest(digest: Sha256) -> String {
    format!("{NAME}@sha256:{digest}")
}

pub(super) fn pod(image: &str, image_id: &str) -> LivePod {
    LivePod::of(&json!({
        "metadata": {"namespace": "prod", "name": "api"},
        "spec": {"containers": [{"name": "api", "image": image}]},
        "status": {"containerStatuses": [{"name": "api", "imageID": image_id}]},
    }))
}

pub(super) async fn report(world: &World, pods: &[LivePod], now: Timestamp) -> Report {
    Auditor::default().audit(world, &Inventory::of(pods), now).await
}

async fn judged(world: &World, pod: LivePod, now: Timestamp) -> Judged {
    let report = report(world, &[pod], now).await;
    assert_eq!(report.findings.len(), 1);
    report.findings[0].judged.clone()
}

/// What the webhook would say about the image at that time, had nothing been renewed.
pub(super) async fn label_at(world: &World, reference: &str, now: Timestamp) -> &'static str {
    let question = Question {
        field: "",
        reference,
        namespace: "prod",
        budgeted: false,
        used_as: UsedAs::Container,
        tag: TagUse::Refused(Pinning::Off),
        moment: None,
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    Verifier::default().verify(world, &question, now, deadline).await.label()
}

#[track_caller]
fn ends(outlook: &Outlook) -> (Timestamp, &'static str, Renewal) {
    let ending = outlook.ending().unwrap_or_else(|| panic!("{outlook:?}"));
    (ending.at, ending.code, ending.renewal)
}

#[tokio::test]
async fn the_first_refusal_is_exact_whatever_ends_first() {
    let second = SignedDuration::from_secs(1);
    type Change = fn(&mut Plan);
    let cases: [(&str, i32, Change, i32, &str, Renewal); 6] = [
        ("layout", 40, |_| {}, 40, "in-toto/layout-expired", Renewal::People),
        ("root and targets", 90, |plan| plan.offline_validity = DAY * 30, 30, "tuf/expired", Renewal::People),
        ("the online role", 90, |plan| plan.online_validity = DAY * 20, 20, "tuf/expired", Renewal::Machine),
        ("snapshot", 90, |plan| plan.snapshot_validity = DAY * 7, 7, "tuf/expired", Renewal::Machine),
        ("timestamp", 90, |plan| plan.timestamp_validity = DAY, 1, "tuf/expired", Renewal::Machine),
        ("a day of both", 30, |plan| plan.offline_validity = DAY * 30, 30, "tuf/expired", Renewal::People),
    ];
    for (what, layout, change, days, code, renewal) in cases {
        let project = Project::new(layout, change);
        let reference = by_digest(project.release(&image("app")));
        let world = project.world("", "").await;
        let judged = judged(&world, pod(&reference, ""), now()).await;
        let at = now() + DAY * days;
        assert_eq!(ends(&judged.nothing_renewed), (at, code, renewal), "{what}");
        assert_eq!(label_at(&world, &reference, at - second).await, "proof", "{what}: a second before");
        assert_eq!(label_at(&world, &reference, at).await, code, "{what}: at that instant");
        let by_people = match renewal {
            Renewal::People => (at, code),
            Renewal::Machine => (now() + DAY * 90, "in-toto/layout-expired"),
        };
        assert_eq!(ends(&judged.machines_go_on), (by_people.0, by_people.1, Renewal::People), "{what}");
    }
}

#[tokio::test]
async fn of_several_repositories_the_one_that_leaves_too_few_counts() {
    let acme = Project::new(90, |_| {});
    let director = Project::new(90, |plan| (plan.offline_validity, plan.timestamp_validity) = (DAY * 30, DAY * 2));
    let reference = by_digest(acme.release(&image("app")));
    director.release(&image("app"));
    for (threshold, people) in [(2, (30, "tuf/expired")), (1, (90, "in-toto/layout-expired"))] {
        let policy = format!(
            "version: 1
repositories:
  acme: {{url: \"file://{}\", root: acme.json, maxValidity: 4000d}}
  director: {{url: \"file://{}\", root: director.json, maxValidity: 4000d}}
rules:
  - name: own
    match: {{images: [\"registry.example/**\"]}}
    verify: {{repositories: [acme, director], evidence: acme, threshold: {threshold}, layout: \"layouts/{{repository}}/*\"}}
",
            acme.folder().display(),
            director.folder().display()
        );
        let root = |project: &Project| fs::read(project.folder().join("metadata/1.root.json")).unwrap();
        let files =
            BTreeMap::from([("acme.json".to_owned(), root(&acme)), ("director.json".to_owned(), root(&director))]);
        let world = World::build(Arc::new(Policy::parse(&policy).unwrap()), &files, None, None, None).await.unwrap();
        refresh(&world, now()).await;
        let judged = judged(&world, pod(&reference, ""), now()).await;
        let people = (now() + DAY * people.0, people.1, Renewal::People);
        assert_eq!(ends(&judged.machines_go_on), people, "{threshold}");
        let all = if threshold == 2 { (now() + DAY * 2, "tuf/expired", Renewal::Machine) } else { people };
        assert_eq!(ends(&judged.nothing_renewed), all, "{threshold}");
    }
}

#[tokio::test]
async fn a_role_that_may_sign_layouts_is_renewed_by_people_and_one_that_signs_images_by_machines() {
    let project = Project::new(90, |plan| plan.offline_validity = DAY * 30);
    project.publish(now(), |publisher| publisher.set_validity("root", DAY * 3650).unwrap());
    let reference = by_digest(project.release(&image("app")));
    let world = project.world("", "").await;
    let judged = judged(&world, pod(&reference, ""), now()).await;
    assert_eq!(ends(&judged.machines_go_on), (now() + DAY * 30, "tuf/expired", Renewal::People));
    let what = &judged.machines_go_on.ending().unwrap().what;
    assert!(what.starts_with("targets v"), "{what}");
}

#[tokio::test]
async fn machines_that_stop_are_not_what_is_seen_two_weeks_ahead() {
    let project = Project::usual();
    let reference = by_digest(project.release(&image("app")));
    let world = project.world("", "").await;
    let judged = judged(&world, pod(&reference, ""), now()).await;
    assert_eq!(ends(&judged.nothing_renewed), (now() + DAY, "tuf/expired", Renewal::Machine));
    assert_eq!(ends(&judged.machines_go_on), (now() + DAY * 90, "in-toto/layout-expired", Renewal::People));
}

#[tokio::test]
async fn new_keys_of_the_root_move_the_first_refusal_with_them() {
    let project = Project::new(3650, |plan| plan.offline_validity = DAY * 30);
    let reference = by_digest(project.release(&image("app")));
    let world = project.world("", "").await;
    let before = judged(&world, pod(&reference, ""), now()).await;
    assert_eq!(ends(&before.machines_go_on).0, now() + DAY * 30);
    let later = now() + DAY * 20;
    project.publish(later, |publisher| {
        publisher.rotate("root", Side::Offline, vec![SigningKey::ed25519_from_seed([9; 32])], 1).unwrap();
        publisher.renew("targets").unwrap();
    });
    refresh(&world, later).await;
    let after = judged(&world, pod(&reference, ""), later).await;
    assert_eq!(ends(&after.machines_go_on), (later + DAY * 30, "tuf/expired", Renewal::People));
}

#[tokio::test]
async fn a_policy_that_wants_recent_refreshes_ends_what_is_not_refreshed() {
    let project = Project::new(90, |_| {});
    let reference = by_digest(project.release(&image("app")));
    let world = project.world(", maxAge: 12h", "").await;
    let judged = judged(&world, pod(&reference, ""), now()).await;
    let at = now() + SignedDuration::from_hours(12);
    assert_eq!(ends(&judged.nothing_renewed), (at, "tuf/max-age", Renewal::Machine));
    assert_eq!(ends(&judged.machines_go_on).1, "in-toto/layout-expired");
}

#[tokio::test]
async fn the_instant_from_which_a_rule_refuses_is_the_first_refusal_of_what_it_only_warns_about() {
    let project = Project::new(90, |_| {});
    let good = by_digest(project.release(&image("app")));
    let unknown = by_digest(Sha256::of(b"never released"));
    let soon = "
  - name: soon
    match: {namespaces: [prod], images: [\"registry.example/**\"]}
    verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}
    enforceFrom: 2030-02-01T00:00:00Z";
    let world = project.world("", soon).await;
    let from: Timestamp = "2030-02-01T00:00:00Z".parse().unwrap();
    let warned = judged(&world, pod(&unknown, ""), now()).await;
    assert_eq!(ends(&warned.machines_go_on), (from, "image/unknown", Renewal::People));
    let proven = judged(&world, pod(&good, ""), now()).await;
    assert_eq!(ends(&proven.machines_go_on), (now() + DAY * 90, "in-toto/layout-expired", Renewal::People));
}

#[tokio::test]
async fn the_end_of_an_exemption_is_seen_with_what_the_next_rule_says_then() {
    let project = Project::new(90, |_| {});
    let good = by_digest(project.release(&image("app")));
    let unknown = by_digest(Sha256::of(b"never released"));
    let exemption = |until: &str| {
        format!(
            "
  - name: moving
    match: {{namespaces: [prod], images: [\"registry.example/**\", \"vendor.example/**\"]}}
    allow: moves by March
    until: {until}"
        )
    };
    let until: Timestamp = "2030-02-01T00:00:00Z".parse().unwrap();
    let world = project.world("", &exemption("2030-02-01T00:00:00Z")).await;
    let refused = judged(&world, pod(&unknown, ""), now()).await;
    assert_eq!(refused.verdict.label(), "exemption");
    assert_eq!(ends(&refused.machines_go_on), (until, "image/unknown", Renewal::People));
    let vendor = judged(&world, pod(&format!("vendor.example/tool@sha256:{}", Sha256::of(b"tool")), ""), now()).await;
    assert_eq!(ends(&vendor.machines_go_on), (until, "policy/no-rule", Renewal::People));
    let good_later = judged(&world, pod(&good, ""), now()).await;
    assert_eq!(ends(&good_later.machines_go_on), (now() + DAY * 90, "in-toto/layout-expired", Renewal::People));

    // The layout ends before the exemption does: what is refused is refused when the exemption ends.
    let world = project.world("", &exemption("2031-01-01T00:00:00Z")).await;
    let until: Timestamp = "2031-01-01T00:00:00Z".parse().unwrap();
    let late = judged(&world, pod(&good, ""), now()).await;
    assert_eq!(ends(&late.machines_go_on), (until, "in-toto/layout-expired", Renewal::People));
}

#[tokio::test]
async fn what_is_refused_has_no_outlook_and_what_cannot_be_judged_none_that_is_known() {
    let project = Project::usual();
    let digest = project.release(&image("app"));
    let world = project.world("", "").await;
    project.publish(now(), |publisher| {
        publisher.revoke("targets", digest, "CVE-2030-1").unwrap();
    });
    refresh(&world, now()).await;
    let revoked = judged(&world, pod(&by_digest(digest), ""), now()).await;
    assert_eq!((revoked.verdict.label(), &revoked.machines_go_on), ("tuf/revoked", &Outlook::Refused));

    let tag = judged(&world, pod(&format!("{NAME}:1"), ""), now()).await;
    assert_eq!(tag.verdict.label(), "image/not-pinned");
    fs::remove_dir_all(project.folder()).unwrap();
    let policy = "version: 1\nrepositories: {acme: {url: \"file:///nowhere\", root: root.json}}\nrules:\n  - name: own\n    match: {images: [\"registry.example/**\"]}\n    verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}\n";
    let other = Project::usual();
    let root = fs::read(other.folder().join("metadata/1.root.json")).unwrap();
    let files = BTreeMap::from([("root.json".to_owned(), root)]);
    let world = World::build(Arc::new(Policy::parse(policy).unwrap()), &files, None, None, None).await.unwrap();
    let unjudged = judged(&world, pod(&by_digest(digest), ""), now()).await;
    assert_eq!((unjudged.verdict.label(), &unjudged.nothing_renewed), ("tuf/missing", &Outlook::Unknown));
}

#[tokio::test]
async fn another_image_runs_only_where_neither_digest_stands_for_the_other() {
    let project = Project::usual();
    let app = project.release(&image("app"));
    let again = {
        let mut again = image("app");
        again["annotations"] = json!({"pushed": "twice"});
        project.release(&again)
    };
    let index_of_app = project.release(&index(app));
    let other = project.release(&image("other"));
    let world = project.world("", "").await;
    let unlisted = Sha256::of(b"not in the repository");
    for (named, runs, expected) in [
        (app, app, false),
        (index_of_app, app, false),
        (app, index_of_app, false),
        (app, again, false),
        (app, other, true),
        (index_of_app, other, true),
        (app, unlisted, true),
        (index_of_app, unlisted, true),
        // Nothing is known about what the Pod names, so nothing can be said about what runs.
        (unlisted, app, false),
    ] {
        for prefix in ["", "docker-pullable://"] {
            let found = judged(&world, pod(&by_digest(named), &format!("{prefix}{}", by_digest(runs))), now()).await;
            assert_eq!(found.other, expected.then_some(OtherImage { named, runs }), "{named} {runs}");
        }
    }
    let by_id = judged(&world, pod(&by_digest(app), &format!("docker://sha256:{unlisted}")), now()).await;
    assert_eq!(by_id.other, None);
    let by_tag = judged(&world, pod(&format!("{NAME}:1"), &by_digest(app)), now()).await;
    assert_eq!((by_tag.verdict.label(), by_tag.other), ("proof", None));
}

#[tokio::test]
async fn a_report_counts_containers_and_says_what_comes_first() {
    let project = Project::usual();
    let good = by_digest(project.release(&image("app")));
    let world = project.world("", "").await;
    let unknown = by_digest(Sha256::of(b"never released"));
    let pods = [pod(&good, ""), pod(&good, ""), pod(&unknown, ""), LivePod::of(&json!({}))];
    let report = report(&world, &pods, now()).await;
    let expected = BTreeMap::from([(("refused", "denied", "image/unknown"), 1), (("verified", "", ""), 2)]);
    assert_eq!((report.pods, report.counts()), (4, expected));
    assert_eq!(report.unreadable.len(), 1);
    let acme = || "acme".to_owned();
    let first = BTreeMap::from([
        ((acme(), "in-toto/layout-expired", "people"), now() + DAY * 90),
        ((acme(), "tuf/expired", "machine"), now() + DAY),
    ]);
    assert_eq!(report.first_refusals(), first);
}
