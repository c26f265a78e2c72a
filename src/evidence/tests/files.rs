//! Plain files as targets (in-toto ITE-3): the same rules, with the file's own path in the place of a repository.

use serde_json::json;

use super::fixture::*;
use crate::{
    crypto::Sha256,
    evidence::{
        Error, Name, Requirement, Subject,
        requirement::{LayoutScope, Product, ProductFrom, Template},
    },
    pattern::Fnmatch,
    publish::{Format, Link, LinkSource},
    tuf::TargetPath,
};

const WHEEL: &str = "wheels/app-1.0-py3-none-any.whl";

/// A wheel that its signer used, and did not make: it stands among the materials of the last step.
fn published(fixture: &mut Fixture, wheel: &[u8]) -> Subject {
    let binary = Sha256::of(wheel);
    let people = &fixture.people;
    let links = [
        (Link::new("build").product("app", binary), &people.builder),
        (Link::new("push").material("app", binary).product(NAME, Sha256::of(b"manifest")), &people.pusher),
    ];
    let links: Vec<LinkSource> = links
        .into_iter()
        .map(|(link, key)| LinkSource {
            name: link.file_name(key).unwrap(),
            bytes: link.sign(Format::Metablock, key).unwrap(),
        })
        .collect();
    fixture.with_online_keys(|editor| {
        let mut listed = vec![LAYOUT.to_owned()];
        for link in links {
            let path = format!("in-toto-metadata/wheel/{}", link.name);
            editor.add_target("images", &path, &link.bytes, serde_json::Map::new()).unwrap();
            listed.push(path);
        }
        let custom = json!({ "in-toto": listed });
        editor.add_target("images", WHEEL, wheel, custom.as_object().unwrap().clone()).unwrap();
    });
    file(WHEEL, wheel)
}

fn file(path: &str, content: &[u8]) -> Subject {
    Subject { name: Name::File(TargetPath::from(path)), digest: Sha256::of(content), tag: None }
}

/// What a rule for wheels demands: the layout by its path, and the wheel among the materials of `push`.
fn wheels() -> Requirement {
    Requirement {
        layout: Some(LayoutScope::new(LAYOUT).unwrap()),
        product: Product {
            step: Some("push".to_owned()),
            from: ProductFrom::Materials,
            name: Some(Fnmatch::new("app")),
            ..Product::default()
        },
        ..requirement()
    }
}

#[test]
fn a_file_is_proven_by_the_step_that_used_it() {
    let mut fixture = fixture();
    let wheel = published(&mut fixture, b"wheel");
    let proof = fixture.judge_published(&wheel, &wheels()).unwrap();
    assert_eq!(proof.subject(), &wheel);
    assert_eq!(proof.bound_to(), Some(("push", "app")));
}

#[test]
fn another_file_under_the_same_path_is_not() {
    let mut fixture = fixture();
    published(&mut fixture, b"wheel");
    let error = fixture.judge_published(&file(WHEEL, b"other"), &wheels()).unwrap_err();
    assert!(matches!(error, Error::ImageDigest { .. }), "{error}");
    let error = fixture.judge_published(&file("wheels/other.whl", b"wheel"), &wheels()).unwrap_err();
    assert!(matches!(error, Error::UnknownImage { .. }), "{error}");
}

#[test]
fn a_file_that_no_step_used_is_refused() {
    let mut fixture = fixture();
    published(&mut fixture, b"wheel");
    fixture.with_online_keys(|editor| {
        let custom = editor.signed("images").unwrap()["targets"][WHEEL]["custom"].as_object().unwrap().clone();
        editor.add_target("images", WHEEL, b"evil", custom).unwrap();
    });
    let error = fixture.judge_published(&file(WHEEL, b"evil"), &wheels()).unwrap_err();
    assert!(matches!(error, Error::NotBound { kind: "material", .. }), "{error}");
}

#[test]
fn a_scope_by_repository_covers_no_file() {
    let mut fixture = fixture();
    let wheel = published(&mut fixture, b"wheel");
    let by_repository = Requirement { layout: requirement().layout, ..wheels() };
    assert!(by_repository.layout.is_some());
    let error = fixture.judge_published(&wheel, &by_repository).unwrap_err();
    assert!(matches!(error, Error::OutOfScope { by: "the rule", .. }), "{error}");
    let unscoped = Requirement { layout: None, ..wheels() };
    assert!(fixture.judge_published(&wheel, &unscoped).is_err());
}

#[test]
fn a_parameter_that_needs_a_repository_has_no_value_for_a_file() {
    let mut fixture = fixture();
    let wheel = published(&mut fixture, b"wheel");
    let parameters = [("name".to_owned(), Template::parameter("{repository}").unwrap())].into();
    let error = fixture.judge_published(&wheel, &Requirement { parameters, ..wheels() }).unwrap_err();
    assert!(matches!(error, Error::UnusableTemplate { .. }), "{error}");
}

/// The project's layout without a limit to images of its own.
fn fixture() -> Fixture {
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout(now() + jiff::SignedDuration::from_hours(24 * 90));
    fixture.add_layout(LAYOUT, &layout, &[]);
    fixture
}
