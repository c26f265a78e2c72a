use std::fs;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::publish::{Commit, KeyRing, NewRole, Plan, RoleKeyPlan, Side, SigningKey, metadata::Scope};

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn bad() -> Sha256 {
    Sha256::of(b"bad")
}

/// A repository of which two of three people sign targets, each on a machine of his own; root is alice's.
struct World {
    temp: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { temp: tempfile::tempdir().unwrap() };
        let plan = Plan { targets: RoleKeyPlan { keys: 3, threshold: 2 }, ..Plan::default() };
        let mut keys = plan.keys_from_seed("test").unwrap();
        keys.save_to(&world.path("publisher")).unwrap();
        Publisher::init(&world.path("repo"), keys, &plan, now()).unwrap().commit().unwrap();
        let root = fs::read(world.path("publisher/root.json")).unwrap();
        for (name, keys) in
            [("alice", &["targets-1", "root-1"] as &[_]), ("bob", &["targets-2"]), ("carol", &["targets-3"])]
        {
            fs::create_dir_all(world.path(name).join("offline")).unwrap();
            fs::write(world.path(name).join("root.json"), &root).unwrap();
            for key in keys {
                let key = format!("offline/{key}.pem");
                fs::rename(world.path("publisher").join(&key), world.path(name).join(&key)).unwrap();
            }
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn open(&self) -> Publisher {
        Publisher::open(&self.path("repo"), KeyRing::open(&self.path("publisher")).unwrap(), now()).unwrap()
    }

    fn revoke(&self, reason: &str, request: &str) -> Request {
        let mut publisher = self.open();
        publisher.revoke("targets", bad(), reason).unwrap();
        publisher.export(&self.path(request)).unwrap();
        self.read(request)
    }

    fn read(&self, request: &str) -> Request {
        Request::read(&self.path(request)).unwrap()
    }

    fn sign(&self, request: &str, person: &str) -> Result<Vec<SignedRole>, Error> {
        let mut keys = KeyRing::open(&self.path(person)).unwrap();
        Request::read(&self.path(request))?.sign(&mut keys, false, now())
    }

    fn review(&self, request: &Request, person: &str) -> Result<crate::publish::Review, Error> {
        request.review(&mut KeyRing::open(&self.path(person)).unwrap(), false, now())
    }

    fn import(&self, request: &str) -> Result<Commit, Error> {
        self.open().import(&Request::read(&self.path(request))?, &[])
    }

    /// Every file of the repository.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path("repo")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path)
                } else {
                    drop(files.insert(path.clone(), fs::read(path).unwrap()))
                }
            }
        }
        files
    }

    /// Changes what is to be signed, as whoever has the request in hands can.
    fn tamper(&self, request: &str, role: &str, change: impl FnOnce(&mut Value)) {
        let path = self.path(request).join(format!("drafts/2.{role}.json"));
        let mut signed = strict::parse(&fs::read(&path).unwrap()).unwrap();
        change(&mut signed);
        let version = signed["version"].as_u64().unwrap();
        fs::write(self.path(request).join(format!("drafts/{version}.{role}.json")), signed.to_string()).unwrap();
        fs::write(self.path(request).join(format!("to-sign/{version}.{role}")), strict::canonical(&signed)).unwrap();
    }
}

#[test]
fn signatures_of_several_machines_are_collected_and_published_whole_or_not_at_all() {
    let world = World::new();
    let before = world.files();
    let request = world.revoke("a hole", "request");
    assert_eq!(world.files(), before, "an export changes nothing");
    let to_sign = fs::read(world.path("request/to-sign/2.targets")).unwrap();
    assert_eq!(strict::canonical(&request.roles[0].signed), to_sign);

    world.sign("request", "alice").unwrap();
    match world.import("request") {
        Err(Error::MissingSignatures { threshold: 2, signed: 1, version: 2, missing, .. }) => {
            assert_eq!(missing.len(), 2);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.files(), before);

    world.sign("request", "bob").unwrap();
    let commit = world.import("request").unwrap();
    let signed: Vec<(&str, u64, usize)> =
        commit.signed.iter().map(|s| (s.role.as_str(), s.version, s.keyids.len())).collect();
    assert_eq!(signed, [("targets", 2, 2), ("snapshot", 2, 1), ("timestamp", 2, 1)]);
    let publisher = world.open();
    let path = format!("revoked/sha256/{}", bad());
    assert!(publisher.editor().signed("targets").unwrap()["targets"][&path].is_object());
    assert_eq!(publisher.editor().signed("snapshot").unwrap()["meta"]["targets.json"]["version"], 2);
    let digest = Sha256::of(b"a hole\n");
    assert_eq!(
        fs::read(world.path("repo").join(format!("targets/revoked/sha256/{digest}.{}", bad()))).unwrap(),
        b"a hole\n"
    );
    // The bytes that were signed are the bytes that are published.
    assert_eq!(strict::canonical(publisher.editor().signed("targets").unwrap()), to_sign);
}

#[test]
fn signatures_also_come_back_as_files() {
    let world = World::new();
    let request = world.revoke("a hole", "request");
    for person in ["alice", "bob"] {
        world.sign("request", person).unwrap();
    }
    let mut files = Vec::new();
    for (index, name) in folder::names(&world.path("request/signatures")).unwrap().into_iter().enumerate() {
        let to = world.path(&format!("mailed-{index}.json"));
        fs::rename(world.path("request/signatures").join(name), &to).unwrap();
        files.push(to);
    }
    assert_eq!(files.len(), 2);
    assert!(matches!(world.open().import(&request, &files[..1]), Err(Error::MissingSignatures { signed: 1, .. })));
    assert!(world.open().import(&request, &files).is_ok());
}

#[test]
fn a_request_is_stale_when_what_it_was_made_on_has_changed() {
    let world = World::new();
    for request in ["first", "second"] {
        world.revoke(request, request);
    }
    for person in ["alice", "bob"] {
        world.sign("first", person).unwrap();
        // The same version with another text: each has to be told that the first was given up.
        assert_eq!(world.sign("second", person), Err(Error::SignedOther { role: "targets".into(), version: 2 }));
        let mut keys = KeyRing::open(&world.path(person)).unwrap();
        world.read("second").sign(&mut keys, true, now()).unwrap();
    }
    world.import("first").unwrap();
    let after = world.files();
    let stale = Error::Stale { role: "targets".into(), based_on: 1, found: Some(2) };
    assert_eq!(world.import("second"), Err(stale.clone()));
    assert_eq!(
        stale.to_string(),
        "the request was made on targets v1, and the repository now has v2; make the change again"
    );
    assert_eq!(world.files(), after);
    // Published once, not twice.
    assert!(matches!(world.import("first"), Err(Error::Stale { .. })));
}

#[test]
fn a_request_outlives_what_it_does_not_touch() {
    let world = World::new();
    world.revoke("a hole", "request");
    for person in ["alice", "carol"] {
        world.sign("request", person).unwrap();
    }
    let mut publisher = world.open();
    publisher.renew("images").unwrap();
    publisher.commit().unwrap();
    drop(publisher);
    let commit = world.import("request").unwrap();
    assert_eq!((commit.version("targets"), commit.version("snapshot")), (Some(2), Some(3)));
    assert_eq!(world.open().editor().signed("snapshot").unwrap()["meta"]["images.json"]["version"], 2);
}

#[test]
fn what_was_changed_after_it_was_signed_is_not_published() {
    let world = World::new();
    world.revoke("a hole", "request");
    for person in ["alice", "bob"] {
        world.sign("request", person).unwrap();
    }
    let before = world.files();
    world.tamper("request", "targets", |signed| signed["targets"] = json!({}));
    let refused = world.import("request");
    assert!(matches!(refused, Err(Error::BadSignature { reason: "is invalid", .. })), "{refused:?}");
    assert_eq!(world.files(), before);
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let world = World::new();
    let request = world.revoke("a hole", "request");
    let thief = SigningKey::ed25519_from_seed([9; 32]);
    let signature = sign::raw(&request.roles[0].signed, &sign::named(&[&thief]).unwrap()).unwrap().remove(0);
    request.add_signatures(&[("targets".into(), signature.0.clone(), signature.1.clone())]).unwrap();
    let refused = world.import("request");
    assert!(matches!(refused, Err(Error::BadSignature { reason: "is by none of its keys", .. })), "{refused:?}");
    // Nor is one for a role that nobody asked for.
    fs::remove_dir_all(world.path("request/signatures")).unwrap();
    for person in ["alice", "bob"] {
        world.sign("request", person).unwrap();
    }
    request.add_signatures(&[("root".into(), signature.0, signature.1)]).unwrap();
    assert!(matches!(world.import("request"), Err(Error::Input { what, .. }) if what == "root"));
}

#[test]
fn an_online_key_does_not_sign_what_came_back() {
    let world = World::new();
    let mut publisher = world.open();
    publisher.rotate("images", Side::Online, vec![SigningKey::ed25519_from_seed([7; 32])], 1).unwrap();
    publisher.export(&world.path("request")).unwrap();
    drop(publisher);
    for person in ["alice", "bob"] {
        world.sign("request", person).unwrap();
    }
    let evil = json!({"registry.example/evil:1": {"length": 0, "hashes": {"sha256": bad().to_string()}}});
    world.tamper("request", "images", |images| images["targets"] = evil);
    assert!(matches!(world.import("request"), Err(Error::BadSignature { role, .. }) if role.as_str() == "images"));
    world.tamper("request", "images", |images| images["targets"] = json!({}));
    assert_eq!(world.import("request").unwrap().version("images"), Some(2));
}

#[test]
fn a_signer_sees_what_he_signs_and_not_what_he_is_told() {
    let world = World::new();
    let request = world.revoke("a hole", "request");
    fs::write(world.path("request/changes.txt"), "nothing of importance").unwrap();
    let review = world.review(&request, "alice").unwrap();
    let targets = &review.roles[0];
    assert_eq!((targets.version, targets.based_on), (2, Some(1)));
    assert_eq!((targets.needs[0].threshold, targets.needs[0].keyids.len(), targets.at_hand.len()), (2, 3, 1));
    let added = format!("+ targets[\"revoked/sha256/{}\"]: ", bad());
    assert!(targets.changes.iter().any(|line| line.starts_with(&added)), "{:?}", targets.changes);
}

#[test]
fn a_signer_without_a_root_of_trust_or_a_key_of_the_role_signs_nothing() {
    let world = World::new();
    let request = world.revoke("a hole", "request");
    fs::remove_file(world.path("bob/offline/targets-2.pem")).unwrap();
    assert!(matches!(world.sign("request", "bob"), Err(Error::Input { what, .. }) if what == "keys"));
    fs::remove_file(world.path("alice/root.json")).unwrap();
    assert!(matches!(world.review(&request, "alice"), Err(Error::Input { what, .. }) if what == "key folder"));
    assert!(!world.path("request/signatures").exists() && !world.path("alice/requested.json").exists());
}

#[test]
fn a_base_that_is_forged_or_old_is_not_signed_upon() {
    let world = World::new();
    let base = |request: &str| world.path(request).join("base/metadata/1.targets.json");
    let request = world.revoke("a hole", "forged");
    let text = fs::read_to_string(base("forged")).unwrap();
    fs::write(base("forged"), text.replace("\"targets\":{}", "\"targets\":{\"x\":{}}")).unwrap();
    assert!(matches!(world.review(&request, "alice"), Err(Error::Unverified { verified: 0, .. })));

    // Alice has signed version 2; a thief who shows her version 1 again wants a list without the revocation.
    world.revoke("a hole", "request");
    world.sign("request", "alice").unwrap();
    let mut publisher = world.open();
    publisher.renew("targets").unwrap();
    publisher.export(&world.path("again")).unwrap();
    drop(publisher);
    assert_eq!(world.sign("again", "alice"), Err(Error::SignedOther { role: "targets".into(), version: 2 }));
    world.sign("request", "bob").unwrap();
    world.import("request").unwrap();
    let mut publisher = world.open();
    publisher.renew("targets").unwrap();
    publisher.export(&world.path("third")).unwrap();
    drop(publisher);
    world.sign("third", "alice").unwrap();
    let older = Error::SignedNewer { role: "targets".into(), version: 2, signed: 3 };
    assert_eq!(world.sign("again", "alice"), Err(older));
}

#[test]
fn what_is_not_plainly_the_next_version_is_not_signed() {
    let world = World::new();
    let request = world.revoke("a hole", "request");
    let (draft, to_sign) = (world.path("request/drafts/2.targets.json"), world.path("request/to-sign/2.targets"));
    let honest = (fs::read(&draft).unwrap(), fs::read(&to_sign).unwrap());

    world.tamper("request", "targets", |signed| signed["expires"] = "2026-06-01T12:00:00Z".into());
    assert!(world.sign("request", "alice").unwrap_err().to_string().contains("has expired"));
    world.tamper("request", "targets", |signed| signed["_type"] = "root".into());
    assert!(world.sign("request", "alice").unwrap_err().to_string().contains("not targets metadata of version 2"));
    // One text to be shown, another to be signed.
    fs::write(&draft, &honest.0).unwrap();
    assert!(world.sign("request", "alice").unwrap_err().to_string().contains("other bytes would be signed than shown"));
    fs::write(&to_sign, &honest.1).unwrap();

    // A version far ahead would lock the role for ever.
    world.tamper("request", "targets", |signed| signed["version"] = u64::MAX.into());
    let list = world.path("request/request.json");
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.replace("\"version\":2", &format!("\"version\":{}", u64::MAX))).unwrap();
    assert!(world.sign("request", "alice").unwrap_err().to_string().contains("does not follow v1"));
    fs::write(&list, text).unwrap();

    let file = request.target_files().unwrap().remove(0).0;
    fs::write(world.path("request/files").join(&file), b"another\n").unwrap();
    assert!(world.review(&request, "alice").unwrap_err().to_string().contains("is not the one that is listed"));
    fs::remove_file(world.path("request/files").join(&file)).unwrap();
    for person in ["alice", "bob"] {
        world.sign("request", person).unwrap();
    }
    assert!(world.import("request").unwrap_err().to_string().contains("it is not in the request"));
}

#[test]
fn a_new_root_is_signed_by_its_old_and_new_keys_wherever_they_are() {
    let world = World::new();
    let mut publisher = world.open();
    publisher.rotate("root", Side::Offline, vec![SigningKey::ed25519_from_seed([5; 32])], 1).unwrap();
    let exported = publisher.export(&world.path("request")).unwrap();
    assert_eq!(exported[0].keyids.len(), 1, "the new key is here");
    drop(publisher);
    assert!(matches!(world.import("request"), Err(Error::MissingSignatures { threshold: 1, signed: 0, .. })));
    let review = world.review(&world.read("request"), "alice").unwrap();
    assert_eq!(review.roles[0].needs.len(), 2);
    world.sign("request", "alice").unwrap();
    assert_eq!(world.import("request").unwrap().version("root"), Some(2));
    assert_eq!(world.open().editor().version("root"), Ok(2));
}

#[test]
fn a_key_with_line_breaks_in_it_is_carried_too() {
    let world = World::new();
    let mut publisher = world.open();
    let key = SigningKey::generate(crate::crypto::Scheme::EcdsaP256Sha256).unwrap();
    publisher.rotate("images", Side::Online, vec![key], 1).unwrap();
    publisher.export(&world.path("request")).unwrap();
    drop(publisher);
    for person in ["alice", "bob"] {
        world.sign("request", person).unwrap();
    }
    assert_eq!(world.import("request").unwrap().version("images"), Some(2));
}

#[test]
fn a_new_role_comes_into_being_by_a_request() {
    let world = World::new();
    let mut publisher = world.open();
    let new = NewRole {
        name: "security".to_owned(),
        parent: "targets".to_owned(),
        scope: Scope::everything(),
        terminating: false,
        threshold: 1,
        validity: SignedDuration::from_hours(24),
    };
    publisher.delegate(&new, Side::Offline, vec![SigningKey::ed25519_from_seed([6; 32])]).unwrap();
    publisher.export(&world.path("request")).unwrap();
    drop(publisher);
    for person in ["alice", "bob"] {
        world.sign("request", person).unwrap();
    }
    let commit = world.import("request").unwrap();
    assert_eq!((commit.version("security"), commit.version("targets")), (Some(1), Some(2)));
}

#[test]
fn nothing_is_exported_without_a_change_or_over_something() {
    let world = World::new();
    assert!(matches!(world.open().export(&world.path("request")), Err(Error::Input { .. })));
    world.revoke("a hole", "request");
    let mut publisher = world.open();
    publisher.renew("targets").unwrap();
    assert_eq!(publisher.export(&world.path("request")), Err(Error::Exists(world.path("request"))));
}

#[test]
fn a_request_that_has_expired_is_not_published() {
    let world = World::new();
    let request = world.revoke("a hole", "request");
    for person in ["alice", "bob"] {
        world.sign("request", person).unwrap();
    }
    let later = now() + SignedDuration::from_hours(24 * 400);
    let mut publisher =
        Publisher::open(&world.path("repo"), KeyRing::open(&world.path("publisher")).unwrap(), later).unwrap();
    assert!(publisher.import(&request, &[]).unwrap_err().to_string().contains("has expired"));
}
