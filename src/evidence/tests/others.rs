//! What those can and cannot do who hold less than the online keys: a functionary, the registry, a namespace.

use serde_json::{Map, json};

use super::fixture::*;
use crate::{
    crypto::Sha256,
    evidence::{Error, Limits, Requirement, requirement::Level, resolve_tag},
    image::Repository,
    publish::{Format, Layout, Link, LinkSource, Step},
};

fn signed(link: Link, key: &crate::publish::SigningKey) -> LinkSource {
    LinkSource { name: link.file_name(key).unwrap(), bytes: link.sign(Format::Metablock, key).unwrap() }
}

/// The layout of the fixture with two who may push, of whom both must.
fn two_pushers(fixture: &Fixture) -> Layout {
    let people = &fixture.people;
    Layout::new(now() + jiff::SignedDuration::from_hours(24))
        .step(Step::new("build").functionary(&people.builder).unwrap().products(&["CREATE app", "DISALLOW *"]))
        .step(
            Step::new("push")
                .functionary(&people.pusher)
                .unwrap()
                .functionary(&people.builder)
                .unwrap()
                .threshold(2)
                .materials(&["MATCH app WITH PRODUCTS FROM build", "DISALLOW *"])
                .products(&[&format!("CREATE {NAME}"), "DISALLOW *"]),
        )
}

#[test]
fn a_link_that_the_image_does_not_list_is_not_used() {
    let mut fixture = Fixture::new();
    let digest = Sha256::of(&manifest("1.0"));
    let links = fixture.people.links(NAME, digest);
    let (build, push) = (links[0].clone(), links[1].clone());
    let image = fixture.add_image_with("1.0", None, LAYOUT, vec![build]);
    fixture.publisher.commit().unwrap();
    // The functionary has signed it, and it is a target that is found where links of the image are.
    let path = format!("in-toto-metadata/{digest}/{}", push.name);
    fixture.with_online_keys(|editor| editor.add_target("images", &path, &push.bytes, Map::new()).unwrap());
    assert_eq!(fixture.judge_published(&image, &requirement()).unwrap_err().code(), "in-toto/threshold-not-met");
    fixture.with_online_keys(|editor| {
        let image = format!("{NAME}@sha256:{digest}");
        let mut entry = editor.signed("images").unwrap()["targets"][&image].clone();
        entry["custom"]["in-toto"].as_array_mut().unwrap().push(json!(path));
        editor.list_target("images", &image, entry).unwrap();
    });
    assert!(fixture.judge_published(&image, &requirement()).is_ok());
}

#[test]
fn one_functionary_does_not_meet_a_threshold_of_two() {
    let mut fixture = Fixture::empty();
    let layout = two_pushers(&fixture);
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let mut links = fixture.people.links(NAME, Sha256::of(&manifest("evil")));
    let evil = fixture.add_image_with("evil", None, LAYOUT, links.clone());
    assert_eq!(fixture.judge(&evil).unwrap_err().code(), "in-toto/threshold-not-met");

    let push = Link::new("push").material("app", Sha256::of(b"binary")).product(NAME, Sha256::of(&manifest("1.0")));
    links = fixture.people.links(NAME, Sha256::of(&manifest("1.0")));
    links.push(signed(push, &fixture.people.builder));
    let good = fixture.add_image_with("1.0", None, LAYOUT, links);
    assert!(fixture.judge(&good).is_ok());
}

#[test]
fn t2_the_functionary_of_an_earlier_step_binds_nothing() {
    let mut fixture = Fixture::empty();
    // The step before the last may make what it likes.
    let people = &fixture.people;
    let layout = Layout::new(now() + jiff::SignedDuration::from_hours(24))
        .step(Step::new("build").functionary(&people.builder).unwrap().products(&["ALLOW *"]))
        .step(Step::new("push").functionary(&people.pusher).unwrap().products(&["ALLOW *"]));
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let (good, evil) = (Sha256::of(&manifest("1.0")), Sha256::of(&manifest("evil")));
    let links = vec![
        signed(Link::new("build").product(NAME, evil), &fixture.people.builder),
        signed(Link::new("push").product(NAME, good), &fixture.people.pusher),
    ];
    let image = fixture.add_image_with("1.0", None, LAYOUT, links.clone());
    assert!(fixture.judge(&image).is_ok());
    let image = fixture.add_image_with("evil", None, LAYOUT, links);
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "evidence/not-bound");
}

#[test]
fn t2_the_digest_of_a_part_of_the_image_does_not_bind() {
    let digest = Sha256::of(&manifest("1.0"));
    for part in ["config", "layers/0", "children/0"] {
        let mut fixture = Fixture::empty();
        let layout = fixture.people.layout_with(now() + jiff::SignedDuration::from_hours(24), &["ALLOW *"]);
        fixture.add_layout(LAYOUT, &layout, &[NAME]);
        // What the functionaries signed as a part is handed to the nodes as the whole.
        let links = fixture.people.links_with(&[(NAME, Sha256::of(b"whole")), (&format!("{NAME}/{part}"), digest)]);
        let image = fixture.add_image_with("1.0", None, LAYOUT, links);
        assert_eq!(fixture.judge(&image).unwrap_err().code(), "evidence/not-bound", "{part}");
    }
}

#[test]
fn t4_a_functionary_who_signs_a_revoked_digest_again_does_not_bring_it_back() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    fixture.publisher.revoke("targets", image.digest, "CVE-2030-1").unwrap();
    // New links, a new tag and a new listing: by the functionaries and the online keys together.
    let links = fixture.people.links_with(&[(NAME, image.digest)]);
    let again = fixture.add_image_with("1.0", Some("2.0"), LAYOUT, links);
    assert_eq!(again, image);
    assert_eq!(fixture.judge(&again).unwrap_err().code(), "tuf/revoked");
}

#[test]
fn t4_a_revoked_digest_is_refused_under_every_name() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    fixture.publisher.revoke("targets", image.digest, "CVE-2030-1").unwrap();
    for name in [NAME, "registry.example/team/other", "mirror.example/team/app"] {
        let there = subject(name, image.digest);
        for level in [Level::InToto, Level::Tuf] {
            let by = Requirement { level, ..requirement() };
            let error = fixture.judge_by(&there, &by).unwrap_err();
            assert_eq!(error.code(), "tuf/revoked", "{name}");
        }
    }
}

#[test]
fn t5_a_functionary_of_a_retired_layout_makes_nothing_new() {
    let mut fixture = Fixture::new();
    fixture.add_image("1.0", None);
    fixture.publisher.retire_layout("targets", LAYOUT, None).unwrap();
    let new = fixture.people.links(NAME, Sha256::of(&manifest("2.0")));
    let image = fixture.add_image_with("2.0", None, LAYOUT, new);
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "layout/retired");
}

#[test]
fn a_tag_that_is_moved_leads_to_no_other_parameter() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", Some("1.0"));
    let parameters =
        [("version".to_owned(), crate::evidence::requirement::Template::parameter("{tag}").unwrap())].into();
    let by_tag = Requirement { parameters, ..requirement() };
    let other = manifest("evil");
    fixture.with_online_keys(|editor| {
        editor.add_target("images", &format!("{NAME}:1.0"), &other, Map::new()).unwrap();
    });
    let tagged = crate::evidence::Subject { tag: Some("1.0".parse().unwrap()), ..image };
    let error = fixture.judge_published(&tagged, &by_tag).unwrap_err();
    assert_eq!(error.code(), "image/tag-mismatch");
}

#[test]
fn a_rule_names_which_role_says_what_a_tag_is() {
    let mut fixture = Fixture::new();
    fixture.add_image("1.0", Some("1.0"));
    fixture.publisher.commit().unwrap();
    let (repository, tag) = (Repository::parse(NAME).unwrap(), "1.0".parse().unwrap());
    let by = Requirement { role: Some("targets".parse().unwrap()), level: Level::Tuf, ..requirement() };
    let limits = Limits::default();
    let error = fixture.drive(now(), |view| resolve_tag(&repository, &tag, &by, view, now(), &limits)).unwrap_err();
    assert!(matches!(error, Error::ImageRole { .. }) && error.code() == "image/wrong-role", "{error}");
}
