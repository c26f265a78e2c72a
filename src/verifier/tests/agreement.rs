//! Rules that name several repositories: what they have to say alike (TAP 4, trust.md §3).

use serde_json::{Value, json};

use super::*;
use crate::publish::{Document, Editor, KeyRing};

/// The repository with the evidence, `acme`, and one that only lists images, `director`.
struct Two {
    folder: Folder,
    keys: KeyRing,
}

fn entry(length: usize, digest: &str) -> Value {
    json!({"length": length, "hashes": {"sha256": digest}})
}

impl Two {
    fn new() -> Self {
        let folder = Folder::new();
        let plan = Plan::default();
        let keys = plan.keys_from_seed("director").unwrap();
        Publisher::init(&folder.temp.path().join("director"), keys, &plan, now()).unwrap().commit().unwrap();
        Self { folder, keys: plan.keys_from_seed("director").unwrap() }
    }

    fn director(&self) -> PathBuf {
        self.folder.temp.path().join("director")
    }

    /// The director's online role lists these targets, and no others.
    fn list(&self, targets: &Value) {
        let mut editor = Editor::open(&self.director()).unwrap();
        editor.edit("images").unwrap()["targets"] = targets.clone();
        for role in ["images", "snapshot", "timestamp"] {
            let version = editor.version(role).unwrap() + 1;
            match role {
                "snapshot" => editor.draft_snapshot(version, now() + DAY * 7).unwrap(),
                "timestamp" => editor.draft_timestamp(version, now() + DAY).unwrap(),
                role => editor.set_version(role, version).unwrap(),
            }
            editor.sign(role, &self.keys.made_for(role)).unwrap();
        }
        editor.write().unwrap();
    }

    fn digest(&self) -> &str {
        self.folder.image.rsplit_once(':').unwrap().1
    }

    /// What the repository with the evidence has signed in its online role.
    fn signed(&self) -> Value {
        let editor = Editor::open(&self.folder.temp.path().join("repository")).unwrap();
        editor.signed("images").unwrap()["targets"].clone()
    }

    /// Under a rule with these words, both read once.
    async fn world(&self, words: &str) -> World {
        let path = |name: &str| self.folder.temp.path().join(name);
        let policy = format!(
            "version: 1
repositories:
  acme: {{url: \"file://{}\", root: root.json, stale: {{knownImages: 72h}}}}
  director: {{url: \"file://{}\", root: director.json, stale: {{knownImages: 72h}}}}
rules:
  - name: own
    match: {{images: [\"registry.example/**\"]}}
    verify: {{repositories: [director, acme], evidence: acme, layout: \"layouts/{{repository}}/*\"{words}}}
",
            path("repository").display(),
            path("director").display()
        );
        let root = |name: &str| fs::read(path(name).join("metadata/1.root.json")).unwrap();
        let files = BTreeMap::from([
            ("root.json".to_owned(), root("repository")),
            ("director.json".to_owned(), root("director")),
        ]);
        let policy = Arc::new(Policy::parse(&policy).unwrap());
        World::build(policy, &files, Some(&self.folder.state()), None, None).await.unwrap()
    }

    async fn judge(&self, words: &str) -> Verdict {
        judge(&self.world(words).await, &self.folder.image, TagUse::NamesNow, now()).await
    }
}

fn text(verdict: &Verdict) -> String {
    verdict.refusal().map(|refusal| refusal.cause.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn an_image_that_both_list_alike_is_admitted_by_the_evidence_of_one() {
    let two = Two::new();
    let image = &two.folder.image;
    two.list(&json!({image.as_str(): two.signed()[image.as_str()]}));
    let verdict = two.judge("").await;
    assert_eq!(code(&verdict), "proof", "{verdict:?}");
    assert_eq!(verdict.to_json()["agreed"], json!(["director"]));
    assert!(crate::verdict::explain(&verdict).contains("\n  repository director lists the same\n"));
    // What the director says beside it, in `custom`, is not its business.
    two.list(
        &json!({image.as_str(): {"length": 34, "hashes": {"sha256": two.digest()}, "custom": {"in-toto": ["x"]}}}),
    );
    assert_eq!(code(&two.judge("").await), "proof");
}

#[tokio::test]
async fn repositories_that_disagree_refuse_and_both_sides_are_shown() {
    let two = Two::new();
    let image = two.folder.image.clone();
    let other = "0".repeat(64);
    for (listed, theirs) in [
        (entry(34, &other), format!("director lists sha256 {other}, 34 bytes")),
        (entry(35, two.digest()), format!("director lists sha256 {}, 35 bytes", two.digest())),
        (json!({"length": 34, "hashes": {"sha512": "0".repeat(128)}}), "director lists sha512 000".to_owned()),
    ] {
        two.list(&json!({image.as_str(): listed}));
        for words in ["", ", threshold: 1"] {
            let verdict = two.judge(words).await;
            assert_eq!(code(&verdict), "image/repositories-disagree");
            let text = text(&verdict);
            let ours = format!("disagree about {image}: acme lists sha256 {}, 34 bytes, ", two.digest());
            assert!(text.contains(&ours) && text.contains(&theirs), "{text}");
        }
    }
}

#[tokio::test]
async fn an_image_that_too_few_list_is_refused() {
    let two = Two::new();
    let verdict = two.judge("").await;
    assert_eq!(code(&verdict), "image/too-few-repositories");
    let wanted = format!(
        "2 of the rule's repositories must list the image: it is in acme; director has no target {}",
        two.folder.image
    );
    assert_eq!(text(&verdict), wanted);
    assert_eq!(code(&two.judge(", threshold: 1").await), "proof");
}

#[tokio::test]
async fn the_repository_with_the_evidence_is_never_outvoted() {
    let two = Two::new();
    let unknown = format!("{NAME}@sha256:{}", "1".repeat(64));
    two.list(&json!({unknown.as_str(): entry(34, &"1".repeat(64))}));
    let world = two.world(", threshold: 1").await;
    assert_eq!(code(&judge(&world, &unknown, TagUse::NamesNow, now()).await), "image/unknown");
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_is_an_outage_and_not_an_absence() {
    let two = Two::new();
    let image = two.folder.image.clone();
    two.list(&json!({image.as_str(): two.signed()[image.as_str()]}));
    let world = two.world("").await;
    let lenient = two.world(", threshold: 1").await;
    fs::rename(two.director(), two.folder.temp.path().join("away")).unwrap();
    let verdict = judge(&world, &image, TagUse::NamesNow, now()).await;
    assert_eq!(code(&verdict), "tuf/missing");
    assert_eq!(verdict.refusal().unwrap().context.repository.as_deref(), Some("director"));
    assert_eq!(code(&judge(&lenient, &image, TagUse::NamesNow, now()).await), "proof", "one is enough");
}

#[tokio::test]
async fn what_one_of_them_has_revoked_is_refused_whatever_the_number() {
    let two = Two::new();
    let image = two.folder.image.clone();
    two.list(&json!({image.as_str(): two.signed()[image.as_str()]}));
    let mut keys = Plan::default().keys_from_seed("director").unwrap();
    let root = fs::read(two.director().join("metadata/1.root.json")).unwrap();
    keys.trust(Document::parse(&"root".into(), root).unwrap());
    let mut publisher = Publisher::open(&two.director(), keys, now()).unwrap();
    publisher.revoke("targets", two.digest().parse().unwrap(), "CVE-2030-2").unwrap();
    publisher.commit().unwrap();
    for words in ["", ", threshold: 1"] {
        let verdict = two.judge(words).await;
        assert_eq!(code(&verdict), "tuf/revoked");
        assert!(text(&verdict).ends_with("revoked by targets: CVE-2030-2"), "{}", text(&verdict));
    }
}

#[tokio::test]
async fn all_evidence_has_to_be_listed_alike_where_the_rule_says_so() {
    let two = Two::new();
    let mut listed = two.signed();
    let words = ", agreeOn: evidence";
    // The links are in the online role, the layout and its key in the offline one.
    let editor = Editor::open(&two.folder.temp.path().join("repository")).unwrap();
    for (path, entry) in editor.signed("targets").unwrap()["targets"].as_object().unwrap() {
        listed[path] = entry.clone();
    }
    two.list(&listed);
    let verdict = two.judge(words).await;
    assert_eq!(code(&verdict), "proof", "{}", text(&verdict));
    let paths: Vec<String> = listed.as_object().unwrap().keys().cloned().collect();
    let evidence = paths.iter().filter(|path| !path.starts_with(NAME));
    assert_eq!(evidence.clone().count(), 3, "{paths:?}");
    for path in evidence {
        let mut without = listed.clone();
        without.as_object_mut().unwrap().remove(path);
        two.list(&without);
        let verdict = two.judge(words).await;
        assert_eq!(code(&verdict), "image/too-few-repositories");
        assert!(text(&verdict).ends_with(&format!("director has no target {path}")), "{}", text(&verdict));
        assert_eq!(code(&two.judge("").await), "proof", "the image alone");
        let mut other = listed.clone();
        other[path]["length"] = json!(1);
        two.list(&other);
        assert_eq!(code(&two.judge(words).await), "image/repositories-disagree");
    }
}

#[tokio::test]
async fn a_tag_has_to_name_the_same_in_both() {
    let two = Two::new();
    let tag = format!("{NAME}:1.0");
    let signed = two.signed();
    let image = two.folder.image.as_str();
    let judged = async || judge(&two.world("").await, &tag, TagUse::NamesNow, now()).await;
    two.list(&json!({image: signed[image]}));
    let verdict = judged().await;
    assert_eq!(code(&verdict), "image/too-few-repositories");
    assert!(text(&verdict).ends_with(&format!("director has no target {tag}")), "{}", text(&verdict));
    two.list(&json!({image: signed[image], tag.as_str(): entry(34, &"2".repeat(64))}));
    assert_eq!(code(&judged().await), "image/repositories-disagree");
    two.list(&json!({image: signed[image], tag.as_str(): signed[image]}));
    assert_eq!(code(&judged().await), "proof");
}

#[tokio::test]
async fn what_runs_goes_on_though_the_other_repository_is_no_longer_fresh() {
    let two = Two::new();
    let image = two.folder.image.as_str();
    two.list(&json!({image: two.signed()[image]}));
    let world = two.world("").await;
    assert_eq!(code(&judge(&world, image, TagUse::NamesNow, now()).await), "proof");
    for (_, repository) in world.repositories() {
        repository.refresh(now() + DAY).await.map(drop).unwrap_err();
    }
    let verifier = Verifier::default();
    let question = question(image, TagUse::NamesNow);
    let ask = async || verifier.verify(&world, &question, now() + DAY, Instant::now() + Duration::from_secs(60)).await;
    assert_eq!(code(&ask().await), "tuf/expired");
    verifier.in_use().replace(image);
    let verdict = ask().await;
    let stale: Vec<Value> = verdict.to_json()["stale"].as_array().unwrap().clone();
    assert_eq!(stale.iter().map(|stale| &stale["repository"]).collect::<Vec<_>>(), ["acme", "director"]);
}
