use std::{collections::BTreeSet, path::PathBuf};

use serde_json::{Map, json};
use tempfile::TempDir;

use super::*;
use crate::{
    crypto::Sha256,
    publish::{
        Format, Layout, Link, LinkSource, NewImage, NewLayout, RoleKeyPlan, Side, SigningKey, Step, metadata::Scope,
    },
};

const NAME: &str = "registry.example/team/app";
const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn owner() -> SigningKey {
    SigningKey::ed25519_from_seed([100; 32])
}

fn builder() -> SigningKey {
    SigningKey::ed25519_from_seed([101; 32])
}

struct Fixture {
    _temp: TempDir,
    dir: PathBuf,
    keys: PathBuf,
}

impl Fixture {
    /// A repository with its keys on disk.
    fn new(plan: &Plan) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let fixture = Self { dir: temp.path().join("repo"), keys: temp.path().join("keys"), _temp: temp };
        let mut keys = plan.keys_from_seed("test").unwrap();
        keys.save_to(&fixture.keys).unwrap();
        let mut publisher = Publisher::init(&fixture.dir, keys, plan, now()).unwrap();
        assert!(publisher.commit().unwrap().pending.is_empty());
        fixture
    }

    fn try_open(&self) -> Result<Publisher, Error> {
        Publisher::open(&self.dir, KeyRing::open(&self.keys).unwrap(), now())
    }

    fn open(&self) -> Publisher {
        self.try_open().unwrap()
    }

    fn bytes(&self) -> Vec<(String, Vec<u8>)> {
        let names = folder::names(&self.dir.join("metadata")).unwrap();
        names
            .into_iter()
            .map(|name| (name.clone(), folder::read(&self.dir.join("metadata").join(name)).unwrap()))
            .collect()
    }
}

fn layout() -> NewLayout {
    let step = Step::new("build").functionary(&builder()).unwrap().products(&["CREATE *"]);
    let layout = Layout::new(now()).step(step);
    NewLayout {
        path: LAYOUT.to_owned(),
        bytes: layout.sign(Format::Metablock, &[&owner()]).unwrap(),
        keys: vec![owner().public_pem().unwrap().into_bytes()],
        images: vec![NAME.to_owned()],
        role: "targets".to_owned(),
    }
}

fn manifest(label: &str) -> Vec<u8> {
    let digest = Sha256::of(label.as_bytes());
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": format!("sha256:{digest}"), "size": 2});
    json!({"schemaVersion": 2, "config": config, "layers": []}).to_string().into_bytes()
}

fn digest(label: &str) -> Sha256 {
    Sha256::of(&manifest(label))
}

fn image(label: &str) -> NewImage {
    let link = Link::new("build").product(NAME, digest(label));
    NewImage {
        repository: NAME.to_owned(),
        manifest: manifest(label),
        tags: vec!["1.0".to_owned()],
        layout: LAYOUT.to_owned(),
        links: vec![LinkSource {
            name: link.file_name(&builder()).unwrap(),
            bytes: link.sign(Format::Dsse, &builder()).unwrap(),
        }],
        role: Some("images".to_owned()),
    }
}

#[test]
fn the_same_seed_and_time_give_the_same_repository() {
    let make = || {
        let fixture = Fixture::new(&Plan::default());
        let mut publisher = fixture.open();
        publisher.add_layout(layout()).unwrap();
        publisher.add_image(&image("one")).unwrap();
        publisher.commit().unwrap();
        fixture.bytes()
    };
    assert_eq!(make(), make());
}

#[test]
fn an_image_is_listed_by_digest_and_tag_with_layout_and_links() {
    let fixture = Fixture::new(&Plan::default());
    let mut publisher = fixture.open();
    publisher.add_layout(layout()).unwrap();
    let added = publisher.add_image(&image("one")).unwrap();
    let commit = publisher.commit().unwrap();
    let signed: Vec<(&str, u64)> = commit.signed.iter().map(|s| (s.role.as_str(), s.version)).collect();
    assert_eq!(signed, [("images", 2), ("targets", 2), ("snapshot", 2), ("timestamp", 2)]);

    let digest = digest("one");
    let images = publisher.editor().signed("images").unwrap();
    let link = format!("in-toto-metadata/{digest}/build.{}.link", builder().keyid().unwrap().short());
    for path in [format!("{NAME}@sha256:{digest}"), format!("{NAME}:1.0")] {
        let entry = &images["targets"][&path];
        assert_eq!(entry["hashes"]["sha256"], digest.to_string());
        assert_eq!(entry["custom"]["in-toto"], json!([LAYOUT, link]));
        assert!(added.paths.contains(&path));
    }
    assert!(images["targets"][&link].is_object());
    let layout = &publisher.editor().signed("targets").unwrap()["targets"][LAYOUT];
    assert_eq!(layout["custom"]["images"], json!([NAME]));
    let key = layout["custom"]["in-toto"][0].as_str().unwrap();
    assert!(publisher.editor().signed("targets").unwrap()["targets"][key].is_object());
    let file = format!("targets/registry.example/team/{digest}.app:1.0");
    assert_eq!(folder::read(&fixture.dir.join(file)).unwrap(), manifest("one"));
}

#[test]
fn offline_keys_alone_sign_a_revocation_and_online_keys_alone_make_it_seen() {
    let fixture = Fixture::new(&Plan::default());
    let digest = Sha256::of(b"bad");
    let online = fixture.keys.join("online");
    let away = fixture.keys.join("away");
    std::fs::rename(&online, &away).unwrap();
    let mut publisher = fixture.open();
    publisher.revoke("targets", digest, "CVE-2026-1").unwrap();
    let commit = publisher.commit().unwrap();
    assert_eq!(commit.version("targets"), Some(2));
    assert_eq!(commit.pending, ["snapshot", "timestamp"].map(RoleName::from));
    assert_eq!(publisher.editor().signed("snapshot").unwrap()["meta"]["targets.json"]["version"], 1);
    drop(publisher);

    std::fs::rename(&away, &online).unwrap();
    std::fs::remove_dir_all(fixture.keys.join("offline")).unwrap();
    let mut publisher = fixture.open();
    publisher.commit().unwrap();
    assert_eq!(publisher.editor().signed("snapshot").unwrap()["meta"]["targets.json"]["version"], 2);
}

#[test]
fn a_missing_key_is_named_and_nothing_is_written() {
    let plan = Plan { targets: RoleKeyPlan { keys: 3, threshold: 2 }, ..Plan::default() };
    let fixture = Fixture::new(&plan);
    let before = fixture.bytes();
    for number in [1, 3] {
        std::fs::remove_file(fixture.keys.join(format!("offline/targets-{number}.pem"))).unwrap();
    }
    let mut publisher = fixture.open();
    publisher.add_layout(layout()).unwrap();
    match publisher.commit() {
        Err(Error::MissingKeys { threshold: 2, available: 1, missing, .. }) => assert_eq!(missing.len(), 2),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.bytes(), before);
}

#[test]
fn a_retired_layout_lists_the_digests_that_use_it() {
    let fixture = Fixture::new(&Plan::default());
    let mut publisher = fixture.open();
    publisher.add_layout(layout()).unwrap();
    publisher.add_image(&image("one")).unwrap();
    publisher.add_image(&image("two")).unwrap();
    let digests = publisher.retire_layout("targets", LAYOUT, None).unwrap();
    assert_eq!(digests, BTreeSet::from([digest("one"), digest("two")]));
    publisher.commit().unwrap();
    let targets = &publisher.editor().signed("targets").unwrap()["targets"];
    let list = targets[LAYOUT]["custom"]["digests"].as_str().unwrap();
    assert!(targets[list].is_object());
    assert_eq!(targets[LAYOUT]["custom"]["images"], json!([NAME]), "the rest of it stays");
    // Signed anew, with a new key perhaps, it does not serve every image again.
    let list = list.to_owned();
    publisher.add_layout(layout()).unwrap();
    assert_eq!(publisher.editor().signed("targets").unwrap()["targets"][LAYOUT]["custom"]["digests"], json!(list));
}

#[test]
fn metadata_changed_on_the_web_server_is_not_signed_again() {
    let fixture = Fixture::new(&Plan::default());
    let (mut thief, _) = fixture.open().into_parts();
    thief.list_target("targets", "layouts/evil", json!({})).unwrap();
    thief.sign("targets", &[&owner()]).unwrap();
    thief.write().unwrap();
    match fixture.try_open().map(|_| ()) {
        Err(Error::Unverified { role, verified: 0, threshold: 1, .. }) => assert_eq!(role.as_str(), "targets"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_older_targets_file_put_back_with_online_keys_is_not_built_upon() {
    let fixture = Fixture::new(&Plan::default());
    let (old, keys) = fixture.open().into_parts();
    let mut publisher = fixture.open();
    publisher.revoke("targets", Sha256::of(b"bad"), "stolen").unwrap();
    publisher.commit().unwrap();
    drop(publisher);
    std::fs::remove_file(fixture.dir.join("metadata/2.targets.json")).unwrap();
    let mut thief = old;
    thief.draft_snapshot(9, now()).unwrap();
    thief.sign("snapshot", &keys.side(Side::Online)).unwrap();
    thief.draft_timestamp(9, now()).unwrap();
    thief.sign("timestamp", &keys.side(Side::Online)).unwrap();
    thief.write().unwrap();
    assert_eq!(fixture.try_open().map(|_| ()), Err(Error::RolledBack { role: "targets".into(), found: 1, signed: 2 }));
}

#[test]
fn another_text_under_the_version_that_was_signed_is_not_built_upon() {
    let fixture = Fixture::new(&Plan::default());
    let (mut twin, keys) = fixture.open().into_parts();
    twin.list_target("images", "registry.example/other", json!({})).unwrap();
    twin.sign("images", &keys.made_for("images")).unwrap();
    twin.write().unwrap();
    assert_eq!(fixture.try_open().map(|_| ()), Err(Error::Replaced { role: "images".into(), version: 1 }));
}

#[test]
fn a_root_that_does_not_follow_from_the_trusted_one_is_refused() {
    let fixture = Fixture::new(&Plan::default());
    let thief_plan = Plan::default();
    let thief = Publisher::init(Path::new("unused"), thief_plan.keys_from_seed("thief").unwrap(), &thief_plan, now());
    let (mut thief, keys) = thief.unwrap().into_parts();
    thief.set_version("root", 2).unwrap();
    thief.sign("root", &keys.made_for("root")).unwrap();
    let forged = thief.document("root").unwrap().bytes();
    std::fs::write(fixture.dir.join("metadata/2.root.json"), forged).unwrap();
    assert!(matches!(fixture.try_open().map(|_| ()), Err(Error::Unverified { version: 2, verified: 0, .. })));
}

#[test]
fn without_a_trusted_root_nothing_is_opened() {
    let fixture = Fixture::new(&Plan::default());
    std::fs::remove_file(fixture.keys.join("root.json")).unwrap();
    assert!(matches!(fixture.try_open().map(|_| ()), Err(Error::Input { .. })));
}

#[test]
fn two_publishers_do_not_change_one_repository_at_once() {
    let fixture = Fixture::new(&Plan::default());
    let _held = fixture.open();
    assert_eq!(fixture.try_open().map(|_| ()), Err(Error::Locked(fixture.dir.clone())));
}

#[test]
fn a_path_outside_the_delegation_is_refused_when_it_is_added() {
    let plan = Plan { scope: Scope::Paths(vec!["registry.example/*".to_owned()]), ..Plan::default() };
    let fixture = Fixture::new(&plan);
    let mut publisher = fixture.open();
    publisher.add_layout(layout()).unwrap();
    let refused = publisher.add_image(&NewImage { links: Vec::new(), ..image("one") });
    let path = format!("{NAME}@sha256:{}", digest("one"));
    assert_eq!(refused, Err(Error::NotDelegated { role: "images".into(), path }), "the star stops at the slash");
}

#[test]
fn what_clients_would_refuse_is_not_published() {
    let fixture = Fixture::new(&Plan::default());
    let mut publisher = fixture.open();
    let mut add_layout = |layout| matches!(publisher.add_layout(layout), Err(Error::Input { .. }));
    assert!(add_layout(NewLayout { bytes: b"{}".to_vec(), ..layout() }));
    assert!(add_layout(NewLayout { keys: Vec::new(), ..layout() }));
    assert!(add_layout(NewLayout { keys: vec![b"key".to_vec()], ..layout() }));
    assert!(add_layout(NewLayout { path: "layouts/build.0123abcd.link".to_owned(), ..layout() }));
    assert!(add_layout(NewLayout { images: vec!["Registry.example/**".to_owned()], ..layout() }));
    let private = owner().to_pem().unwrap().into_bytes();
    assert!(add_layout(NewLayout { keys: vec![private], ..layout() }), "a private key is not for everyone");

    let mut add_image = |image: NewImage| matches!(publisher.add_image(&image), Err(Error::Input { .. }));
    assert!(add_image(image("one")), "its layout is not there");
    publisher.add_layout(layout()).unwrap();
    let mut add_image = |image: NewImage| matches!(publisher.add_image(&image), Err(Error::Input { .. }));
    let link = image("one").links[0].clone();
    assert!(add_image(NewImage { links: vec![link.clone(), link.clone()], ..image("one") }));
    assert!(add_image(NewImage { links: vec![LinkSource { bytes: b"[]".to_vec(), ..link.clone() }], ..image("one") }));
    assert!(add_image(NewImage { links: vec![LinkSource { name: "build.link".to_owned(), ..link }], ..image("one") }));
    assert!(add_image(NewImage { manifest: b"{}".to_vec(), ..image("one") }));
    assert!(add_image(NewImage { repository: "registry.example/App".to_owned(), ..image("one") }));
    assert!(add_image(NewImage { tags: vec!["1.0@2".to_owned()], ..image("one") }));
    assert!(!add_image(image("one")));
}

#[test]
fn an_image_is_listed_under_its_canonical_name() {
    let fixture = Fixture::new(&Plan::default());
    let mut publisher = fixture.open();
    publisher.add_layout(layout()).unwrap();
    let added =
        publisher.add_image(&NewImage { repository: "Registry.Example:443/team/app".to_owned(), ..image("one") });
    assert_eq!(added.unwrap().paths[1], format!("{NAME}:1.0"));
}

#[test]
fn a_role_keeps_its_own_validity() {
    let plan = Plan { online_validity: jiff::SignedDuration::from_hours(5), ..Plan::default() };
    let fixture = Fixture::new(&plan);
    let mut publisher = fixture.open();
    publisher.renew("images").unwrap();
    publisher.commit().unwrap();
    assert_eq!(publisher.editor().signed("images").unwrap()["expires"], "2026-06-01T17:00:00Z");
    assert_eq!(publisher.editor().signed("timestamp").unwrap()["expires"], "2026-06-02T12:00:00Z");
    assert_eq!(publisher.editor().signed("root").unwrap()["version"], 1, "what did not change is not signed again");
}

#[test]
fn a_taken_off_target_must_have_been_listed() {
    let fixture = Fixture::new(&Plan::default());
    let mut publisher = fixture.open();
    assert!(matches!(publisher.remove_target("images", "x"), Err(Error::NoSuchTarget { .. })));
    let (mut editor, _) = publisher.into_parts();
    editor.add_target("images", "x", b"", Map::new()).unwrap();
    assert!(editor.remove_target("images", "x").unwrap());
}
