//! What a thief of every online key can and cannot do.

use jiff::SignedDuration;
use serde_json::{Map, json};

use super::fixture::*;
use crate::{
    crypto::Sha256,
    evidence::{
        Error, Requirement,
        requirement::{Level, Tags},
    },
    publish::Format,
    tuf,
};

#[test]
fn the_good_image_is_proven() {
    let mut fixture = Fixture::new();
    let subject = fixture.add_image("1.0", Some("1.0"));
    let proof = fixture.judge(&subject).unwrap();
    assert_eq!(proof.subject(), &subject);
    assert_eq!(proof.layout().unwrap().as_str(), LAYOUT);
    assert_eq!(proof.image_chain().to_string(), "targets/images");
    assert_eq!(proof.layout_chain().unwrap().to_string(), "targets");
    assert_eq!(proof.bound_to(), Some(("push", NAME)));
    assert_eq!(proof.steps().iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["build", "push"]);
    // The online role is the first to expire.
    assert_eq!(proof.valid_until(), now() + SignedDuration::from_hours(24 * 14));
}

#[test]
fn an_image_without_a_target_is_unknown() {
    let mut fixture = Fixture::new();
    fixture.add_image("1.0", None);
    let stranger = subject(NAME, Sha256::of(b"stranger"));
    assert_eq!(fixture.judge(&stranger).unwrap_err().code(), "image/unknown");
}

#[test]
fn another_images_evidence_does_not_prove_a_digest_nobody_signed() {
    let mut fixture = Fixture::new();
    let good = fixture.add_image("1.0", None);
    let evil = manifest("evil");
    fixture.with_online_keys(|editor| {
        let listed =
            editor.signed("images").unwrap()["targets"][format!("{NAME}@sha256:{}", good.digest)]["custom"].clone();
        let path = format!("{NAME}@sha256:{}", Sha256::of(&evil));
        editor.add_target("images", &path, &evil, listed.as_object().unwrap().clone()).unwrap();
    });
    let error = fixture.judge_published(&subject(NAME, Sha256::of(&evil)), &requirement()).unwrap_err();
    assert_eq!(error.code(), "evidence/not-bound", "{error}");
}

#[test]
fn a_target_by_digest_must_have_that_digest() {
    let mut fixture = Fixture::new();
    let good = fixture.add_image("1.0", None);
    let evil = Sha256::of(b"evil");
    fixture.with_online_keys(|editor| {
        // The honest manifest and its evidence, listed under the name of another digest.
        let entry = editor.signed("images").unwrap()["targets"][format!("{NAME}@sha256:{}", good.digest)].clone();
        editor.list_target("images", &format!("{NAME}@sha256:{evil}"), entry).unwrap();
    });
    let error = fixture.judge_published(&subject(NAME, evil), &requirement()).unwrap_err();
    assert!(matches!(error, Error::ImageDigest { listed: Some(listed), .. } if listed == good.digest), "{error}");
}

#[test]
fn t1_a_layout_with_keys_and_links_of_the_thiefs_own_is_refused() {
    let mut fixture = Fixture::new();
    fixture.add_image("1.0", None);
    let evil = manifest("evil");
    let digest = Sha256::of(&evil);
    let thief = People::of("thief");
    let path = "layouts/registry.example/team/app/thief.layout";
    fixture.with_online_keys(|editor| {
        let layout =
            thief.layout(now() + SignedDuration::from_hours(24)).sign(Format::Metablock, &[&thief.owner]).unwrap();
        let key = thief.owner.public_pem().unwrap();
        editor.add_target("images", "in-toto-pubkeys/thief.pub", key.as_bytes(), Map::new()).unwrap();
        let custom = json!({"in-toto": ["in-toto-pubkeys/thief.pub"], "images": [NAME]});
        editor.add_target("images", path, &layout, custom.as_object().unwrap().clone()).unwrap();
        let mut listed = vec![path.to_owned()];
        for link in thief.links(NAME, digest) {
            let link_path = format!("in-toto-metadata/{digest}/{}", link.name);
            editor.add_target("images", &link_path, &link.bytes, Map::new()).unwrap();
            listed.push(link_path);
        }
        let custom = json!({ "in-toto": listed });
        let image = format!("{NAME}@sha256:{digest}");
        editor.add_target("images", &image, &evil, custom.as_object().unwrap().clone()).unwrap();
    });
    let error = fixture.judge_published(&subject(NAME, digest), &requirement()).unwrap_err();
    assert_eq!(error.code(), "layout/wrong-role", "{error}");

    // The same supply chain passes once a rule trusts the online role with layouts: only T1 stands in its way.
    let careless = Requirement { layout_roles: chains(&["targets", "targets/images"]), ..requirement() };
    assert!(fixture.judge_published(&subject(NAME, digest), &careless).is_ok());
}

#[test]
fn t1_a_key_of_the_thief_beside_an_honest_layout_is_refused() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    let thief = seed("thief").public_pem().unwrap();
    fixture.publisher.commit().unwrap();
    // An offline role that lists a key path below the online one has given the online role a say in it.
    let owner_key =
        format!("in-toto-pubkeys/{}.pub", Sha256::of(fixture.people.owner.public_pem().unwrap().as_bytes()));
    fixture.publisher.remove_target("targets", &owner_key).unwrap();
    fixture.with_online_keys(|editor| {
        editor.add_target("images", &owner_key, thief.as_bytes(), Map::new()).unwrap();
    });
    let error = fixture.judge_published(&image, &requirement()).unwrap_err();
    assert_eq!(error.code(), "layout/key-wrong-role", "{error}");
}

#[test]
fn t4_a_revoked_image_stays_revoked_when_it_is_listed_again() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    assert!(fixture.judge(&image).is_ok());
    fixture.publisher.revoke("targets", image.digest, "CVE-2030-1").unwrap();
    let error = fixture.judge(&image).unwrap_err();
    assert!(matches!(&error, Error::Revoked { reason: Some(reason), .. } if reason == "CVE-2030-1"), "{error}");

    let bytes = manifest("1.0");
    fixture.with_online_keys(|editor| {
        let path = format!("{NAME}@sha256:{}", image.digest);
        let custom = editor.signed("images").unwrap()["targets"][&path]["custom"].as_object().unwrap().clone();
        editor.add_target("images", &path, &bytes, custom).unwrap();
        // And says that it is not revoked after all, which nobody asks him.
        editor.remove_target("images", &format!("revoked/sha256/{}", image.digest)).unwrap();
    });
    let error = fixture.judge_published(&image, &requirement()).unwrap_err();
    assert_eq!(error.code(), "tuf/revoked");
}

#[test]
fn t4_an_online_role_cannot_revoke() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    fixture.with_online_keys(|editor| {
        let path = format!("revoked/sha256/{}", image.digest);
        editor.add_target("images", &path, b"mischief", Map::new()).unwrap();
    });
    assert!(fixture.judge_published(&image, &requirement()).is_ok());
}

#[test]
fn a_link_changed_after_signing_does_not_count() {
    let mut fixture = Fixture::new();
    let digest = Sha256::of(&manifest("1.0"));
    let mut links = fixture.people.links(NAME, digest);
    let text = String::from_utf8(links[1].bytes.clone()).unwrap();
    links[1].bytes = text.replace("\"command\":[]", "\"command\":[\"x\"]").into_bytes();
    assert_ne!(links[1].bytes, text.as_bytes());
    let image = fixture.add_image_with("1.0", None, LAYOUT, links);
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "in-toto/threshold-not-met");
}

#[test]
fn a_file_that_differs_from_its_target_is_refused() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    fixture.publisher.commit().unwrap();
    fixture.overwrite_targets(
        |name, bytes| {
            if name.ends_with(".layout") { bytes.iter().rev().copied().collect() } else { bytes }
        },
    );
    let error = fixture.judge_published(&image, &requirement()).unwrap_err();
    assert!(matches!(error, Error::Tuf(tuf::Error::HashMismatch { .. })), "{error}");
}

#[test]
fn the_image_role_can_be_fixed_by_the_rule() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", Some("1.0"));
    let role = |name: &str| Requirement { role: Some(name.parse().unwrap()), ..requirement() };
    assert!(fixture.judge_by(&image, &role("targets/images")).is_ok());
    let error = fixture.judge_by(&image, &role("targets/other")).unwrap_err();
    assert_eq!(error.code(), "image/wrong-role");
    assert_eq!(fixture.tag("1.0", &role("targets/other")).unwrap_err().code(), "image/wrong-role");
}

#[test]
fn level_tuf_asks_for_no_supply_chain_but_for_revocation() {
    let mut fixture = Fixture::new();
    let tuf_only = Requirement { level: Level::Tuf, ..requirement() };
    let image = fixture.add_image_with("1.0", None, LAYOUT, Vec::new());
    assert!(fixture.judge(&image).is_err());
    assert!(fixture.judge_by(&image, &tuf_only).unwrap().layout().is_none());
    fixture.publisher.revoke("targets", image.digest, "no").unwrap();
    assert_eq!(fixture.judge_by(&image, &tuf_only).unwrap_err().code(), "tuf/revoked");
}

#[test]
fn a_tag_names_what_is_signed_for_it() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", Some("1.0"));
    assert_eq!(fixture.tag("1.0", &requirement()), Ok(image.digest));
    assert_eq!(fixture.tag("2.0", &requirement()).unwrap_err().code(), "image/unknown-tag");
    let deny = Requirement { tags: Tags::Deny, ..requirement() };
    assert_eq!(fixture.tag("1.0", &deny).unwrap_err().code(), "image/tag-denied");
}

#[test]
fn a_moved_tag_still_needs_the_proof_of_what_it_names() {
    let mut fixture = Fixture::new();
    fixture.add_image("1.0", Some("1.0"));
    let evil = manifest("evil");
    fixture.with_online_keys(|editor| {
        editor.add_target("images", &format!("{NAME}:1.0"), &evil, Map::new()).unwrap();
    });
    let repository = crate::image::Repository::parse(NAME).unwrap();
    let tag = "1.0".parse().unwrap();
    let moved = fixture
        .drive(now(), |view| {
            crate::evidence::resolve_tag(
                &repository,
                &tag,
                &requirement(),
                view,
                now(),
                &crate::evidence::Limits::default(),
            )
        })
        .unwrap();
    assert_eq!(moved, Sha256::of(&evil));
    let error = fixture.judge_published(&subject(NAME, moved), &requirement()).unwrap_err();
    assert_eq!(error.code(), "image/unknown");
}

#[test]
fn nothing_is_proven_after_the_earliest_expiry() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    let day = SignedDuration::from_hours(24);
    assert!(fixture.judge_at(&image, &requirement(), now() + day - SignedDuration::from_secs(1)).is_ok());
    let error = fixture.judge_at(&image, &requirement(), now() + day).unwrap_err();
    assert_eq!(error.code(), "tuf/expired");
}
