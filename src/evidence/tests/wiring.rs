//! That every word of the rule and of the layout's target arrives in the judgement, and what an outcome stands on.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::json;

use super::fixture::*;
use crate::{
    crypto::Sha256,
    evidence::{
        Basis, Judgement, Limits, Progress, Requirement, Subject, judge,
        requirement::{Inspections, Level, Template},
    },
    publish::{NewRole, Side, metadata::Scope},
    tuf::Settings,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What the outcome stands on, whatever it is.
fn basis(fixture: &mut Fixture, subject: &Subject, requirement: &Requirement) -> Basis {
    fixture.publisher.commit().unwrap();
    let limits = Limits::default();
    let judged = fixture.drive(now(), |view| match judge(subject, requirement, view, now(), &limits) {
        Progress::Needs(needs) => Progress::Needs(needs),
        Progress::Done(Judgement { basis, layout, .. }) => {
            Progress::Done(Judgement { outcome: Ok(basis.clone()), basis, layout })
        }
    });
    judged.unwrap()
}

fn visited(basis: &Basis) -> Vec<String> {
    basis.visited().iter().map(|visit| visit.chain.to_string()).collect()
}

/// Hands layouts and revocations to an offline role of their own.
fn delegate_layouts(fixture: &mut Fixture) {
    let role = NewRole {
        name: "layouts".to_owned(),
        parent: "targets".to_owned(),
        scope: Scope::everything(),
        terminating: false,
        threshold: 1,
        validity: SignedDuration::from_hours(24 * 30),
    };
    fixture.publisher.delegate(&role, Side::Offline, vec![seed("layouts")]).unwrap();
}

#[test]
fn t4_a_revocation_by_a_delegated_layout_role_is_read_before_the_image_is_believed() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    delegate_layouts(&mut fixture);
    let layout_roles = || chains(&["targets", "targets/layouts"]);
    let whole = Requirement { layout_roles: layout_roles(), ..requirement() };
    // Nothing of a supply chain comes after the revocation here.
    let tuf_only = Requirement { level: Level::Tuf, ..whole.clone() };
    for by in [&whole, &tuf_only] {
        assert_eq!(fixture.judge_by(&image, by).err(), None);
        assert!(visited(&basis(&mut fixture, &image, by)).contains(&"targets/layouts".to_owned()));
    }
    fixture.publisher.revoke("layouts", image.digest, "CVE-2030-1").unwrap();
    for by in [&whole, &tuf_only] {
        assert_eq!(fixture.judge_by(&image, by).unwrap_err().code(), "tuf/revoked");
    }
    assert!(fixture.judge(&image).is_ok(), "a role from which the rule takes no layouts revokes nothing");
}

#[test]
fn a_tag_that_is_signed_without_a_sha256_names_nothing() {
    let mut fixture = Fixture::new();
    fixture.add_image("1.0", Some("1.0"));
    fixture.with_online_keys(|editor| {
        let entry = json!({"length": 1, "hashes": {"sha512": "ab".repeat(64)}});
        editor.list_target("images", &format!("{NAME}:1.0"), entry).unwrap();
    });
    assert_eq!(fixture.tag("1.0", &requirement()).unwrap_err().code(), "image/unknown-tag");
}

#[test]
fn the_inspections_of_a_layout_are_refused_unless_the_rule_skips_them() {
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout(now() + HOUR).inspection("look", &["true"], &[], &[]);
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let image = fixture.add_image("1.0", None);
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "in-toto/inspections-refused");
    let skip = Requirement { inspections: Inspections::Skip, ..requirement() };
    assert!(fixture.judge_by(&image, &skip).is_ok());
}

#[test]
fn a_proof_ends_with_its_layout() {
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout(now() + HOUR);
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let image = fixture.add_image("1.0", None);
    assert_eq!(fixture.judge(&image).unwrap().valid_until(), now() + HOUR);
    assert_eq!(basis(&mut fixture, &image, &requirement()).valid_until(), now() + HOUR);
}

#[test]
fn a_layout_that_ends_before_the_instant_of_the_rule_does_not_count() {
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout(now() + HOUR);
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let image = fixture.add_image("1.0", None);
    let by = |not_before| Requirement { not_before: Some(not_before), ..requirement() };
    assert!(fixture.judge_by(&image, &by(now() + HOUR)).is_ok());
    let later = now() + HOUR + SignedDuration::from_secs(1);
    assert_eq!(fixture.judge_by(&image, &by(later)).unwrap_err().code(), "layout/ends-too-early");
}

#[test]
fn an_outcome_stands_on_every_role_that_was_read_also_in_vain() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    let stranger = subject(NAME, Sha256::of(b"stranger"));
    for subject in [&image, &stranger] {
        let basis = basis(&mut fixture, subject, &requirement());
        assert_eq!(visited(&basis), ["targets", "targets/images"]);
        let trusted = fixture.refresh(now(), &Settings::default()).unwrap();
        let targets = trusted.targets();
        assert_eq!((basis.visited()[0].version, basis.visited()[0].sha256), (targets.version, targets.sha256));
        assert_eq!(basis.root(), (trusted.root().version, trusted.root().sha256));
        // That of the role `images`.
        assert_eq!(basis.valid_until(), now() + HOUR * (24 * 14));
    }
}

#[test]
fn the_parameters_of_the_rule_are_filled_into_the_layout() {
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout_with(now() + HOUR, &["CREATE {image}", "DISALLOW *"]);
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let image = fixture.add_image("1.0", None);
    let given = |name: &str| Requirement {
        parameters: BTreeMap::from([(name.to_owned(), Template::parameter("{repository}").unwrap())]),
        ..requirement()
    };
    assert!(fixture.judge_by(&image, &given("image")).is_ok());
    assert_eq!(fixture.judge_by(&image, &given("other")).unwrap_err().code(), "in-toto/parameter");
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "in-toto/disallowed-artifact");
}

#[test]
fn a_listed_layout_key_that_is_no_target_is_an_error_and_not_one_key_less() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    let owner = format!("in-toto-pubkeys/{}.pub", Sha256::of(fixture.people.owner.public_pem().unwrap().as_bytes()));
    fixture.edit_layout_custom(LAYOUT, "in-toto", json!([owner, "in-toto-pubkeys/absent.pub"]));
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "evidence/not-a-target");
}

#[test]
fn a_layout_lists_so_many_keys_and_no_more() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    fixture.publisher.commit().unwrap();
    let judged = |layout_keys: usize| {
        let limits = Limits { layout_keys, ..Limits::default() };
        fixture.drive(now(), |view| judge(&image, &requirement(), view, now(), &limits))
    };
    assert!(judged(1).is_ok());
    assert_eq!(judged(0).unwrap_err().code(), "evidence/limit");
}

#[test]
fn a_template_that_lacks_something_gives_no_path_and_no_other_images_path() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", Some("1.0"));
    let by_tag = Requirement { digest_target: Template::by_tag(), ..requirement() };
    assert_eq!(fixture.judge_by(&image, &by_tag).unwrap_err().code(), "policy/unusable-template");
}
