//! The line for one image over a repository in a folder.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::*;
use crate::{
    policy::Policy,
    publish::{Document, Format, Layout, Link, LinkSource, NewImage, NewLayout, Plan, Publisher, SigningKey, Step},
};

mod agreement;
mod moments;
mod rules;
mod stale;

const NAME: &str = "registry.example/team/app";
const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

/// A repository with one image, tag `1.0`.
struct Folder {
    temp: tempfile::TempDir,
    image: String,
}

impl Folder {
    fn new() -> Self {
        Self::with_products(&[&format!("CREATE {NAME}"), "DISALLOW *"])
    }

    /// The same under a layout with these rules for products.
    fn with_products(products: &[&str]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (owner, builder) = (SigningKey::ed25519_from_seed([1; 32]), SigningKey::ed25519_from_seed([2; 32]));
        let plan = Plan::default();
        let keys = plan.keys_from_seed("verifier").unwrap();
        let mut publisher = Publisher::init(&temp.path().join("repository"), keys, &plan, now()).unwrap();
        let step = Step::new("build").functionary(&builder).unwrap().products(products);
        let layout = NewLayout {
            path: LAYOUT.to_owned(),
            bytes: Layout::new(now() + DAY * 90).step(step).sign(Format::Metablock, &[&owner]).unwrap(),
            keys: vec![owner.public_pem().unwrap().into_bytes()],
            images: Vec::new(),
            role: "targets".to_owned(),
        };
        publisher.add_layout(layout).unwrap();
        let manifest = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
        let link = Link::new("build").product(NAME, Sha256::of(&manifest));
        let links = vec![LinkSource {
            name: link.file_name(&builder).unwrap(),
            bytes: link.sign(Format::Metablock, &builder).unwrap(),
        }];
        let image = NewImage {
            repository: NAME.to_owned(),
            tags: vec!["1.0".to_owned()],
            layout: LAYOUT.to_owned(),
            links,
            role: Some("images".to_owned()),
            manifest,
        };
        let digest = publisher.add_image(&image).unwrap().digest;
        publisher.commit().unwrap();
        Self { temp, image: format!("{NAME}@sha256:{digest}") }
    }

    /// The machines go on.
    fn renew(&self, at: Timestamp) {
        let repository = self.temp.path().join("repository");
        let mut keys = Plan::default().keys_from_seed("verifier").unwrap();
        let root = fs::read(repository.join("metadata/1.root.json")).unwrap();
        keys.trust(Document::parse(&"root".into(), root).unwrap());
        let mut publisher = Publisher::open(&repository, keys, at).unwrap();
        publisher.renew("images").unwrap();
        publisher.commit().unwrap();
    }

    fn state(&self) -> PathBuf {
        self.temp.path().join("state")
    }

    /// The repository under a policy; `words` are added to its description.
    async fn world(&self, words: &str) -> World {
        let rules = "rules:
  - name: own
    match: {images: [\"registry.example/**\"]}
    verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}
";
        self.world_by(words, rules).await
    }

    /// The repository, also under the name `twin`, under these rules.
    async fn world_by(&self, words: &str, rules: &str) -> World {
        let repository = self.temp.path().join("repository");
        let url = repository.display();
        let policy = format!(
            "version: 1
repositories:
  acme: {{url: \"file://{url}\", root: root.json{words}}}
  twin: {{url: \"file://{url}\", root: twin.json}}
{rules}"
        );
        let root = fs::read(repository.join("metadata/1.root.json")).unwrap();
        let files = BTreeMap::from([("root.json".to_owned(), root.clone()), ("twin.json".to_owned(), root)]);
        World::build(Arc::new(Policy::parse(&policy).unwrap()), &files, Some(&self.state()), None, None).await.unwrap()
    }
}

async fn refresh(world: &World, now: Timestamp) {
    for (_, repository) in world.repositories() {
        repository.refresh(now).await.unwrap();
    }
}

fn question(reference: &str, tag: TagUse) -> Question<'_> {
    Question { field: "", reference, namespace: "prod", budgeted: true, used_as: UsedAs::Container, tag, moment: None }
}

async fn judge(world: &World, reference: &str, tag: TagUse, now: Timestamp) -> Verdict {
    let question = question(reference, tag);
    Verifier::default().verify(world, &question, now, Instant::now() + Duration::from_secs(60)).await
}

fn code(verdict: &Verdict) -> &'static str {
    verdict.label()
}

#[tokio::test]
async fn an_image_is_judged_by_what_the_repository_has() {
    let folder = Folder::new();
    let world = folder.world("").await;
    let verdict = judge(&world, &folder.image, TagUse::Refused(Pinning::Off), now()).await;
    assert_eq!(code(&verdict), "proof", "{verdict:?}");
}

#[tokio::test]
async fn a_verdict_in_memory_ends_with_what_it_stands_on() {
    let folder = Folder::new();
    let world = folder.world("").await;
    let verifier = Verifier::default();
    let question = question(&folder.image, TagUse::NamesNow);
    let deadline = Instant::now() + Duration::from_secs(60);
    assert_eq!(code(&verifier.verify(&world, &question, now(), deadline).await), "proof");
    // Without the files there is nothing to judge by again.
    fs::remove_dir_all(folder.temp.path().join("repository")).unwrap();
    let soon = now() + DAY - SignedDuration::from_secs(1);
    assert_eq!(code(&verifier.verify(&world, &question, soon, deadline).await), "proof");
    assert_eq!(code(&verifier.verify(&world, &question, now() + DAY, deadline).await), "tuf/expired");
}

#[tokio::test]
async fn users_are_warned_of_a_layout_that_leaves_something_loose() {
    let folder = Folder::with_products(&[&format!("CREATE {NAME}")]);
    let verdict = judge(&folder.world("").await, &folder.image, TagUse::NamesNow, now()).await;
    assert_eq!(code(&verdict), "proof", "{verdict:?}");
    let said = format!(
        "layout {LAYOUT}: rules for products of the last step, \"build\", do not end in DISALLOW *: what they do not \
         name is allowed; pratique repo lint says more"
    );
    assert_eq!(verdict.to_json()["warnings"], serde_json::json!([said]));
}

#[tokio::test]
async fn users_are_warned_of_what_people_have_to_renew_and_of_nothing_else() {
    // The layout ends after 90 days; timestamp, snapshot and the online role within 14.
    for (words, days) in [("", 7), (", expiryWarning: 30d", 30)] {
        let folder = Folder::new();
        let world = folder.world(words).await;
        let warnings = async |now| {
            let verdict = judge(&world, &folder.image, TagUse::NamesNow, now).await;
            verdict.to_json()["warnings"].clone()
        };
        assert_eq!(warnings(now()).await, serde_json::json!([]));
        let ahead = 90 - days;
        folder.renew(now() + DAY * ahead);
        refresh(&world, now() + DAY * ahead).await;
        assert_eq!(warnings(now() + DAY * ahead - SignedDuration::from_secs(1)).await, serde_json::json!([]));
        let said =
            format!("layout {LAYOUT} of acme expires at 2030-04-01T00:00:00Z, and the image is refused from then on");
        assert_eq!(warnings(now() + DAY * ahead).await, serde_json::json!([said]));
    }
}

#[tokio::test]
async fn a_refresh_that_is_too_long_ago_is_an_outage_where_the_policy_says_so() {
    let folder = Folder::new();
    let strict = folder.world(", maxAge: 1h").await;
    refresh(&strict, now()).await;
    let (hour, second) = (SignedDuration::from_hours(1), SignedDuration::from_secs(1));
    let pod = TagUse::Refused(Pinning::Off);
    assert_eq!(code(&judge(&strict, &folder.image, pod, now() + hour).await), "proof");
    assert_eq!(code(&judge(&strict, &folder.image, pod, now() + hour + second).await), "tuf/max-age");
    // What the disk has says nothing about when it was current.
    let again = folder.world(", maxAge: 1h").await;
    for (_, repository) in again.repositories() {
        repository.load_cache(now()).await.unwrap();
    }
    assert_eq!(code(&judge(&again, &folder.image, pod, now()).await), "tuf/max-age");

    let lenient = folder.world("").await;
    refresh(&lenient, now()).await;
    assert_eq!(code(&judge(&lenient, &folder.image, pod, now() + hour * 20).await), "proof");
}

#[tokio::test]
async fn another_epoch_begins_without_a_memory() {
    let folder = Folder::new();
    let first = folder.world("").await;
    refresh(&first, now()).await;
    assert!(folder.state().join("acme/timestamp.json").is_file());
    let second = folder.world(", epoch: 2").await;
    let (_, repository) = second.repositories().next().unwrap();
    assert_eq!(repository.load_cache(now()).await.unwrap_err().code(), "tuf/not-stored");
    refresh(&second, now()).await;
    assert!(folder.state().join("acme.2/timestamp.json").is_file());
}

#[tokio::test]
async fn a_tag_in_a_pod_is_refused_whatever_it_names_and_the_reason_says_why_it_is_still_one() {
    let folder = Folder::new();
    let world = folder.world("").await;
    let (good, unsigned) = (format!("{NAME}:1.0"), format!("{NAME}:2.0"));
    assert_eq!(code(&judge(&world, &good, TagUse::NamesNow, now()).await), "proof");
    for (reference, pinning, wanted) in [
        (&good, Pinning::Off, "image/not-pinned"),
        (&good, Pinning::Undone, "image/not-pinned"),
        (&unsigned, Pinning::Off, "image/not-pinned"),
        (&unsigned, Pinning::Undone, "image/unknown-tag"),
    ] {
        assert_eq!(code(&judge(&world, reference, TagUse::Refused(pinning), now()).await), wanted, "{reference}");
    }
}

#[tokio::test]
async fn a_review_that_joins_an_earlier_judgement_is_held_to_its_own_time() {
    let folder = Folder::new();
    let world = folder.world("").await;
    refresh(&world, now()).await;
    let verifier = Verifier::default();
    let deadline = Instant::now() + Duration::from_secs(60);
    let question = question(&folder.image, TagUse::NamesNow);
    let (first, second) = tokio::join!(
        verifier.verify(&world, &question, now(), deadline),
        verifier.verify(&world, &question, now() + DAY, deadline),
    );
    assert_eq!((code(&first), code(&second)), ("proof", "tuf/expired"));
}
