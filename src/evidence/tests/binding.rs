//! T2: the verified supply chain must speak of this image.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::fixture::*;
use crate::{
    crypto::Sha256,
    evidence::{
        Error, Requirement, Subject,
        requirement::{Product, ProductFrom, Tags, Template},
    },
    pattern::Fnmatch,
    publish::{Format, Layout, Link, LinkSource, Step},
};

/// A published image whose `push` step has these products and rules.
fn pushed(rules: &[&str], products: &[(&str, Sha256)]) -> (Fixture, Subject) {
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout_with(now() + SignedDuration::from_hours(24), rules);
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let links = fixture.people.links_with(products);
    let image = fixture.add_image_with("1.0", Some("1.0"), LAYOUT, links);
    (fixture, image)
}

fn digest() -> Sha256 {
    Sha256::of(&manifest("1.0"))
}

#[test]
fn t2_another_digest_under_the_name_does_not_bind() {
    let (mut fixture, image) = pushed(&[&format!("CREATE {NAME}")], &[(NAME, Sha256::of(b"other"))]);
    let error = fixture.judge(&image).unwrap_err();
    assert!(matches!(&error, Error::NotBound { found: Some(found), .. } if found.starts_with(NAME)), "{error}");
}

#[test]
fn t2_the_digest_under_another_name_does_not_bind() {
    for name in ["registry.example/team/other", "registry.example/team/app2", "app", "registry.example/team/app:1.0"] {
        let (mut fixture, image) = pushed(&["ALLOW *"], &[(name, digest())]);
        assert_eq!(fixture.judge(&image).unwrap_err().code(), "evidence/not-bound", "{name}");
    }
}

#[test]
fn t2_what_only_the_implicit_allow_let_through_does_not_bind() {
    let (mut fixture, image) = pushed(&[], &[(NAME, digest())]);
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "evidence/not-consumed");
    let (mut fixture, image) = pushed(&["ALLOW registry.example/*"], &[(NAME, digest())]);
    assert!(fixture.judge(&image).is_ok());
}

#[test]
fn t2_a_platform_of_the_image_binds_by_its_own_product() {
    let rules: &[&str] = &["ALLOW registry.example/*", "DISALLOW *"];
    for name in ["#linux/amd64", "#linux/arm/v7"] {
        let (mut fixture, image) = pushed(rules, &[(&format!("{NAME}{name}"), digest())]);
        assert!(fixture.judge(&image).is_ok(), "{name}");
    }
    for name in ["#", "#linux", "#linux/", "#linux/arm/v7/x", "#linux/*", "#/amd64"] {
        let (mut fixture, image) = pushed(rules, &[(&format!("{NAME}{name}"), digest())]);
        assert!(fixture.judge(&image).is_err(), "{name}");
    }
}

#[test]
fn t2_the_rule_may_bind_another_step() {
    let layout = |fixture: &Fixture| {
        Layout::new(now() + SignedDuration::from_hours(24))
            .step(Step::new("push").functionary(&fixture.people.pusher).unwrap().products(&[&format!("CREATE {NAME}")]))
            .step(
                Step::new("scan")
                    .functionary(&fixture.people.builder)
                    .unwrap()
                    .materials(&["MATCH * WITH PRODUCTS FROM push"]),
            )
    };
    let mut fixture = Fixture::empty();
    fixture.add_layout(LAYOUT, &layout(&fixture), &[NAME]);
    let links = [
        (Link::new("push").product(NAME, digest()), &fixture.people.pusher),
        (Link::new("scan").material(NAME, digest()), &fixture.people.builder),
    ]
    .map(|(link, key)| LinkSource { name: link.file_name(key).unwrap(), bytes: link.sign(Format::Dsse, key).unwrap() });
    let image = fixture.add_image_with("1.0", None, LAYOUT, links.into());
    let by = |step: Option<&str>, from| Requirement {
        product: Product { step: step.map(str::to_owned), from, ..Product::default() },
        ..requirement()
    };
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "evidence/not-bound");
    assert!(fixture.judge_by(&image, &by(Some("push"), ProductFrom::Products)).is_ok());
    assert!(fixture.judge_by(&image, &by(None, ProductFrom::Materials)).is_ok());
    let error = fixture.judge_by(&image, &by(Some("publish"), ProductFrom::Products)).unwrap_err();
    assert_eq!(error.code(), "evidence/no-such-step");
}

#[test]
fn t2_a_product_by_glob_binds_what_the_glob_names() {
    let (mut fixture, image) = pushed(&["ALLOW *"], &[("dist/app.whl", digest())]);
    let by = |glob: &str| Requirement {
        product: Product { name: Some(Fnmatch::new(glob)), ..Product::default() },
        ..requirement()
    };
    assert!(fixture.judge_by(&image, &by("dist/*.whl")).is_ok());
    assert_eq!(fixture.judge_by(&image, &by("dist/*.tar")).unwrap_err().code(), "evidence/not-bound");
}

#[test]
fn t4_an_attested_tag_needs_the_functionaries_word() {
    let attested = Requirement { tags: Tags::Attested, ..requirement() };
    let tagged = |image: &Subject| Subject { tag: Some("1.0".parse().unwrap()), ..image.clone() };
    let (mut fixture, image) = pushed(&["ALLOW *"], &[(NAME, digest())]);
    assert!(fixture.judge_by(&image, &attested).is_ok(), "without a tag there is nothing to attest");
    assert_eq!(fixture.judge_by(&tagged(&image), &attested).unwrap_err().code(), "evidence/tag-not-attested");
    let name = format!("{NAME}:1.0");
    let (mut fixture, image) = pushed(&["ALLOW *"], &[(NAME, digest()), (&name, digest())]);
    assert!(fixture.judge_by(&tagged(&image), &attested).is_ok());
    let (mut fixture, image) = pushed(&["ALLOW *"], &[(NAME, digest()), (&name, Sha256::of(b"old"))]);
    assert_eq!(fixture.judge_by(&tagged(&image), &attested).unwrap_err().code(), "evidence/tag-not-attested");
    // What only the implicit ALLOW let through attests nothing.
    let allow = format!("ALLOW {NAME}");
    let (mut fixture, image) = pushed(&[&allow], &[(NAME, digest()), (&name, digest())]);
    assert_eq!(fixture.judge_by(&tagged(&image), &attested).unwrap_err().code(), "evidence/tag-not-attested");
}

#[test]
fn a_tag_enters_a_parameter_only_if_it_is_signed_for_this_digest() {
    let parameters = BTreeMap::from([("tag".to_owned(), Template::parameter("{tag}").unwrap())]);
    let by_tag = Requirement { parameters, ..requirement() };
    let tagged = |image: &Subject, tag: &str| Subject { tag: Some(tag.parse().unwrap()), ..image.clone() };
    let (mut fixture, image) = pushed(&["ALLOW *"], &[(NAME, digest())]);
    assert!(fixture.judge_by(&tagged(&image, "1.0"), &by_tag).is_ok());
    assert_eq!(fixture.judge_by(&image, &by_tag).unwrap_err().code(), "evidence/parameter-without-tag");
    assert_eq!(fixture.judge_by(&tagged(&image, "9"), &by_tag).unwrap_err().code(), "image/unknown-tag");
    let other = fixture.add_image("2.0", Some("2.0"));
    assert_ne!(other.digest, image.digest);
    assert_eq!(fixture.judge_by(&tagged(&image, "2.0"), &by_tag).unwrap_err().code(), "image/tag-mismatch");
}
