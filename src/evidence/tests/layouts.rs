//! Which layout counts: scope, retirement, keys, and the lists that lead to it.

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::fixture::*;
use crate::{
    crypto::Sha256,
    evidence::{Requirement, requirement::LayoutScope, separation},
    publish::{Format, LinkSource, NewRole, Side, SigningKey, metadata::Scope},
    tuf::{Delegated, Settings, Trusted},
};

/// Changes what the image's target lists, as only the online role's key can.
fn relist(fixture: &mut Fixture, digest: Sha256, list: Value) {
    fixture.with_online_keys(|editor| {
        let path = format!("{NAME}@sha256:{digest}");
        let mut entry = editor.signed("images").unwrap()["targets"][&path].clone();
        entry["custom"] = list;
        editor.list_target("images", &path, entry).unwrap();
    });
}

fn listed(fixture: &Fixture, digest: Sha256) -> Vec<String> {
    let path = format!("{NAME}@sha256:{digest}");
    let list = fixture.publisher.editor().signed("images").unwrap()["targets"][&path]["custom"]["in-toto"].clone();
    serde_json::from_value(list).unwrap()
}

#[test]
fn t5_a_layout_that_nobody_scoped_is_refused() {
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout(now() + SignedDuration::from_hours(24));
    fixture.add_layout(LAYOUT, &layout, &[]);
    let image = fixture.add_image("1.0", None);
    assert_eq!(fixture.judge_by(&image, &unscoped()).unwrap_err().code(), "layout/not-scoped");
    assert!(fixture.judge(&image).is_ok(), "the rule's scope alone suffices");
}

#[test]
fn t5_a_layout_of_a_foreign_project_is_refused_by_the_rules_scope() {
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout(now() + SignedDuration::from_hours(24));
    let foreign = "layouts/registry.example/team/other/app.layout";
    fixture.add_layout(foreign, &layout, &[]);
    let links = fixture.people.links(NAME, Sha256::of(&manifest("1.0")));
    let image = fixture.add_image_with("1.0", None, foreign, links);
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "layout/out-of-scope");
}

#[test]
fn t5_a_layout_of_a_foreign_project_is_refused_by_the_offline_roles_scope() {
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout(now() + SignedDuration::from_hours(24));
    fixture.add_layout(LAYOUT, &layout, &["registry.example/team/other", "registry.example/other/**"]);
    let image = fixture.add_image("1.0", None);
    // Both must hold where both are given.
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "layout/out-of-scope");
    assert_eq!(fixture.judge_by(&image, &unscoped()).unwrap_err().code(), "layout/out-of-scope");
}

#[test]
fn t5_a_scope_that_cannot_be_read_closes_the_layout() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    for images in [json!(NAME), json!([7]), json!(["not a pattern"])] {
        fixture.edit_layout_custom(LAYOUT, "images", images.clone());
        assert_eq!(fixture.judge(&image).unwrap_err().code(), "layout/malformed-scope", "{images}");
    }
}

#[test]
fn t5_a_retired_layout_serves_the_images_it_served_and_no_new_one() {
    let mut fixture = Fixture::new();
    let old = fixture.add_image("1.0", None);
    let digests = fixture.publisher.retire_layout("targets", LAYOUT, None).unwrap();
    assert!(digests.contains(&old.digest));
    let new = fixture.add_image("2.0", None);
    assert_eq!(fixture.judge(&old).err(), None);
    assert_eq!(fixture.judge(&new).unwrap_err().code(), "layout/retired");
}

#[test]
fn t5_a_retired_layout_cannot_be_reopened_by_the_online_role() {
    let mut fixture = Fixture::new();
    fixture.add_image("1.0", None);
    fixture.publisher.retire_layout("targets", LAYOUT, None).unwrap();
    let new = fixture.add_image("2.0", None);
    let list = format!("{LAYOUT}.digests");
    fixture.publisher.remove_target("targets", &list).unwrap();
    assert_eq!(fixture.judge(&new).unwrap_err().code(), "evidence/not-a-target");
    fixture.with_online_keys(|editor| {
        editor
            .add_target(
                "images",
                &list,
                json!({"digests": [format!("sha256:{}", new.digest)]}).to_string().as_bytes(),
                Map::new(),
            )
            .unwrap();
    });
    assert_eq!(fixture.judge_published(&new, &requirement()).unwrap_err().code(), "layout/digest-list-wrong-role");
}

#[test]
fn t5_a_list_of_digests_that_cannot_be_read_closes_the_layout() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    fixture.edit_layout_custom(LAYOUT, "digests", json!(["sha256:00"]));
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "layout/malformed-digest-list");
    fixture.add_offline_target("lists/bad", br#"{"digests": ["sha256:xyz"]}"#);
    fixture.edit_layout_custom(LAYOUT, "digests", json!("lists/bad"));
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "layout/malformed-digest-list");
}

#[test]
fn an_expired_layout_proves_nothing() {
    let mut fixture = Fixture::empty();
    let layout = fixture.people.layout(now() + SignedDuration::from_secs(60));
    fixture.add_layout(LAYOUT, &layout, &[NAME]);
    let image = fixture.add_image("1.0", None);
    assert!(fixture.judge(&image).is_ok());
    let error = fixture.judge_at(&image, &requirement(), now() + SignedDuration::from_secs(60)).unwrap_err();
    assert_eq!(error.code(), "in-toto/layout-expired");
}

#[test]
fn a_layout_key_that_cannot_be_read_is_an_error_and_not_one_key_less() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    let owner = format!("in-toto-pubkeys/{}.pub", Sha256::of(fixture.people.owner.public_pem().unwrap().as_bytes()));
    fixture.add_offline_target("in-toto-pubkeys/broken.pub", b"-----BEGIN NOTHING-----");
    fixture.edit_layout_custom(LAYOUT, "in-toto", json!([owner, "in-toto-pubkeys/broken.pub"]));
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "layout/unusable-key");
}

#[test]
fn every_listed_layout_key_must_have_signed_unless_the_rule_says_how_many() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    let second: SigningKey = seed("second owner");
    let owner = format!("in-toto-pubkeys/{}.pub", Sha256::of(fixture.people.owner.public_pem().unwrap().as_bytes()));
    fixture.add_offline_target("in-toto-pubkeys/second.pub", second.public_pem().unwrap().as_bytes());
    fixture.edit_layout_custom(LAYOUT, "in-toto", json!([owner, "in-toto-pubkeys/second.pub"]));
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "in-toto/layout-signature");
    let one = Requirement { layout_threshold: std::num::NonZeroU32::new(1), ..requirement() };
    assert!(fixture.judge_by(&image, &one).is_ok());
}

#[test]
fn a_pinned_layout_overrides_the_listed_one() {
    let mut fixture = Fixture::new();
    let lax = fixture.people.layout_with(now() + SignedDuration::from_hours(24), &[]);
    fixture.add_layout("layouts/lax.layout", &lax, &[NAME]);
    let links = fixture.people.links(NAME, Sha256::of(&manifest("1.0")));
    let image = fixture.add_image_with("1.0", None, "layouts/lax.layout", links);
    let pinned = Requirement { layout: Some(LayoutScope::new(LAYOUT).unwrap()), ..requirement() };
    assert_eq!(fixture.judge_by(&image, &pinned).unwrap().layout().unwrap().as_str(), LAYOUT);
    // Nobody need have kept the one that is listed.
    fixture.overwrite_targets(|path, bytes| if path.ends_with("lax.layout") { Vec::new() } else { bytes });
    assert!(fixture.judge_published(&image, &pinned).is_ok());
    let absent = Requirement { layout: Some(LayoutScope::new("layouts/absent").unwrap()), ..requirement() };
    assert_eq!(fixture.judge_by(&image, &absent).unwrap_err().code(), "evidence/not-a-target");
}

/// Everything in one online role, listed under a name of its own, and no scope but the rule's.
#[test]
fn the_shape_of_the_2018_prototype_is_read_where_the_rule_says_so() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    let layout = fixture.people.layout(now() + SignedDuration::from_hours(24));
    let layout = layout.sign(crate::publish::Format::Metablock, &[&fixture.people.owner]).unwrap();
    let owner = fixture.people.owner.public_pem().unwrap();
    fixture.with_online_keys(|editor| {
        let path = format!("{NAME}@sha256:{}", image.digest);
        let listed = editor.signed("images").unwrap()["targets"][&path]["custom"]["in-toto"].clone();
        let mut listed: Vec<serde_json::Value> = listed.as_array().unwrap().clone();
        listed.retain(|path| path != LAYOUT);
        listed.push(json!("legacy/root.layout"));
        let mut add = |path: &str, bytes: &[u8], listed: serde_json::Value| {
            let custom = listed.is_array().then(|| ("x-in-toto".to_owned(), listed)).into_iter().collect();
            editor.add_target("images", path, bytes, custom).unwrap();
        };
        add(&path, &manifest("1.0"), json!(listed));
        add("legacy/root.layout", &layout, json!(["legacy/owner.pub"]));
        add("legacy/owner.pub", owner.as_bytes(), json!(null));
    });
    let prototype = Requirement {
        custom: "x-in-toto".to_owned(),
        layout: Some(LayoutScope::new("legacy/*").unwrap()),
        layout_roles: chains(&["targets/images"]),
        ..requirement()
    };
    let proof = fixture.judge_published(&image, &prototype).unwrap();
    assert_eq!(proof.layout_chain().unwrap().to_string(), "targets/images");
    // Without each of the settings it is what it would be anywhere else.
    let code = |other: &Requirement| fixture.judge_published(&image, other).unwrap_err().code();
    let custom = requirement().custom;
    assert_eq!(code(&Requirement { custom, ..prototype.clone() }), "evidence/nothing-listed");
    let layout_roles = requirement().layout_roles;
    assert_eq!(code(&Requirement { layout_roles, ..prototype.clone() }), "layout/wrong-role");
    assert_eq!(code(&Requirement { layout: None, ..prototype }), "layout/not-scoped");
}

#[test]
fn the_list_of_evidence_must_be_readable_and_complete() {
    let cases = [
        (json!({}), "evidence/nothing-listed"),
        (json!({"in-toto": []}), "evidence/nothing-listed"),
        (json!({"in-toto": "layout"}), "evidence/malformed-list"),
        (json!({"in-toto": [1]}), "evidence/malformed-list"),
        (json!({"in-toto": [LAYOUT, LAYOUT]}), "evidence/malformed-list"),
        (json!({"in-toto": [LAYOUT, "absent"]}), "evidence/not-a-target"),
        (json!({"in-toto": vec!["x"; 1000]}), "evidence/limit"),
        (json!({"x-in-toto": [LAYOUT]}), "evidence/nothing-listed"),
        (json!({"in-toto": [LAYOUT]}), "in-toto/threshold-not-met"),
    ];
    for (custom, code) in cases {
        let mut fixture = Fixture::new();
        let image = fixture.add_image("1.0", None);
        relist(&mut fixture, image.digest, custom.clone());
        let error = fixture.judge_published(&image, &requirement()).unwrap_err();
        assert_eq!(error.code(), code, "{custom}: {error}");
    }
}

#[test]
fn exactly_one_layout_is_listed() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    let second = fixture.people.layout(now() + SignedDuration::from_hours(24));
    fixture.add_layout("layouts/registry.example/team/app/second.layout", &second, &[NAME]);
    fixture.add_offline_target("readme", b"{}");
    fixture.publisher.commit().unwrap();
    let all = listed(&fixture, image.digest);
    let links: Vec<_> = all.iter().filter(|path| path.ends_with(".link")).cloned().collect();
    let with = |extra: &[&str]| {
        let mut paths = all.clone();
        paths.extend(extra.iter().map(|&path| path.to_owned()));
        json!({ "in-toto": paths })
    };
    let cases = [
        (json!({ "in-toto": links }), "layout/missing"),
        (with(&["layouts/registry.example/team/app/second.layout"]), "layout/ambiguous"),
        (with(&["readme"]), "evidence/unknown-kind"),
    ];
    for (custom, code) in cases {
        relist(&mut fixture, image.digest, custom);
        assert_eq!(fixture.judge_published(&image, &requirement()).unwrap_err().code(), code);
    }
}

#[test]
fn two_links_of_one_step_by_one_key_are_ambiguous() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    fixture.publisher.commit().unwrap();
    let all = listed(&fixture, image.digest);
    let link = all.iter().find(|path| path.contains("/push.")).unwrap().clone();
    let copy = format!("elsewhere/{}", link.rsplit('/').next().unwrap());
    let bytes = fixture.people.links(NAME, image.digest)[1].bytes.clone();
    let mut paths = all;
    paths.push(copy.clone());
    fixture.with_online_keys(|editor| {
        editor.add_target("images", &copy, &bytes, Map::new()).unwrap();
    });
    relist(&mut fixture, image.digest, json!({ "in-toto": paths }));
    assert_eq!(fixture.judge_published(&image, &requirement()).unwrap_err().code(), "evidence/ambiguous-link");
}

#[test]
fn links_can_be_held_to_their_roles() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    let from = |names: &[&str]| Requirement { link_roles: Some(chains(names)), ..requirement() };
    assert!(fixture.judge_by(&image, &from(&["targets/images"])).is_ok());
    assert_eq!(fixture.judge_by(&image, &from(&["targets/links"])).unwrap_err().code(), "evidence/wrong-role");
}

#[test]
fn the_evidence_is_limited_in_files_and_in_bytes() {
    let mut fixture = Fixture::new();
    let image = fixture.add_image("1.0", None);
    fixture.publisher.commit().unwrap();
    let judged = |evidence_files: usize, total_bytes: u64| {
        let limits = crate::evidence::Limits { evidence_files, total_bytes, ..Default::default() };
        fixture.drive(now(), |view| crate::evidence::judge(&image, &requirement(), view, now(), &limits))
    };
    // A layout and two links.
    let proof = judged(3, 1 << 20).unwrap();
    assert_eq!(proof.steps().len(), 2);
    let error = judged(2, 1 << 20).unwrap_err();
    assert!(matches!(error, crate::evidence::Error::TooManyFiles { listed: 3, limit: 2, .. }), "{error}");
    // The largest number of bytes that is too few is one less than the smallest that is enough.
    let least = (0..1 << 16).collect::<Vec<u64>>();
    let least = least.partition_point(|bytes| judged(3, *bytes).is_err()) as u64;
    assert!(least > 1000 && judged(3, least).is_ok());
    let error = judged(3, least - 1).unwrap_err();
    assert!(matches!(error, crate::evidence::Error::TooManyBytes { limit, .. } if limit == least - 1), "{error}");
    assert_eq!(error.code(), "evidence/limit");
}

#[test]
fn a_sublayout_and_its_links_are_placed_by_their_folders() {
    let mut fixture = Fixture::new();
    let digest = Sha256::of(&manifest("1.0"));
    let inner = People::of("inner");
    let binary = Sha256::of(b"binary");
    // The builder hands in a layout of his own in place of a link.
    let compile = crate::publish::Step::new("compile")
        .functionary(&inner.builder)
        .unwrap()
        .products(&["CREATE app", "DISALLOW *"]);
    let sublayout = crate::publish::Layout::new(now() + SignedDuration::from_hours(24)).step(compile);
    let builder = &fixture.people.builder;
    let build = crate::publish::Link::new("build").file_name(builder).unwrap();
    let compile = crate::publish::Link::new("compile").product("app", binary);
    let links = vec![
        LinkSource { name: build.clone(), bytes: sublayout.sign(Format::Metablock, &[builder]).unwrap() },
        LinkSource {
            name: format!("{}/{}", build.trim_end_matches(".link"), compile.file_name(&inner.builder).unwrap()),
            bytes: compile.sign(Format::Metablock, &inner.builder).unwrap(),
        },
        fixture.people.links(NAME, digest).remove(1),
    ];
    let image = fixture.add_image_with("1.0", None, LAYOUT, links);
    assert_eq!(fixture.judge(&image).unwrap_err().code(), "in-toto/sublayout-denied");
    let allowed = Requirement { sublayouts: Some(1), ..requirement() };
    assert!(fixture.judge_by(&image, &allowed).is_ok());
}

#[test]
fn an_online_key_that_also_signs_layouts_is_noticed() {
    let mut fixture = Fixture::new();
    fixture.publisher.commit().unwrap();
    let trusted = fixture.refresh(now(), &Settings::default()).unwrap();
    let roles = Delegated::default();
    assert!(separation(&trusted, &roles, &chains(&["targets"])).is_empty());

    let joined = Fixture::with_timestamp_key_as_targets_key();
    let trusted = joined.refresh(now(), &Settings::default()).unwrap();
    let online = |trusted: &Trusted| -> Vec<String> {
        separation(trusted, &roles, &chains(&["targets"])).into_iter().map(|warning| warning.online).collect()
    };
    assert_eq!(online(&trusted), ["timestamp"]);

    // A role that signs images with the key of the role that delegates to it.
    let mut joined = Fixture::new();
    let role = NewRole {
        name: "builds".to_owned(),
        parent: "targets".to_owned(),
        scope: Scope::everything(),
        terminating: false,
        threshold: 1,
        validity: SignedDuration::from_hours(24),
    };
    let key = joined.publisher.keys().get("targets-1").unwrap().to_pem().unwrap();
    joined.publisher.delegate(&role, Side::Online, vec![SigningKey::from_pem(&key).unwrap()]).unwrap();
    joined.publisher.commit().unwrap();
    assert_eq!(online(&joined.refresh(now(), &Settings::default()).unwrap()), ["targets/builds"]);
}
