//! Layouts in place of links.

use super::*;

/// The good chain in which bob hands on `build` to carol, in a step `make` of a layout of his own.
fn handed_on(depth: usize) -> Chain {
    good().with(|chain| {
        let materials = json!([["MATCH", "src/*", "WITH", "MATERIALS", "FROM", "make"], ["DISALLOW", "*"]]);
        let inner = layout(&[CAROL], vec![step("make", &[CAROL], 1, materials, json!([["ALLOW", "*"]]))]);
        chain.add("build", BOB, inner);
        let mut link = build_link();
        link["name"] = json!("make");
        chain.links.insert(inner_path(), (link, vec![CAROL]));
        chain.options.sublayouts = Sublayouts::Allow { depth };
    })
}

fn inner_path() -> String {
    format!("build.{}/{}", keyid(BOB).short(), path("make", CAROL))
}

fn inner_error(chain: &Chain) -> Error {
    match chain.refusal() {
        Error::Sublayout { step, keyid: by, error } if step.as_str() == "build" && by == keyid(BOB) => *error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_sublayout_stands_in_for_a_link() {
    let verified = handed_on(1).verify().unwrap();
    let (_, build) = verified.last_step().unwrap();
    assert!(build.products.contains("app"));
    assert_eq!(build.functionaries, [keyid(BOB)]);
    assert_eq!(build.sublayouts[&keyid(BOB)].last_step().unwrap().1.functionaries, [keyid(CAROL)]);
    assert_eq!(build.sublayouts[&keyid(BOB)].layout_signers(), [keyid(BOB)]);
}

#[test]
fn sublayouts_are_denied_unless_the_options_allow_them() {
    let chain = handed_on(1).with(|chain| chain.options.sublayouts = Sublayouts::Deny);
    assert_eq!(chain.refusal(), Error::SublayoutDenied { step: StepName::parse("build").unwrap(), keyid: keyid(BOB) });
}

#[test]
fn sublayouts_have_a_depth() {
    assert!(matches!(handed_on(0).refusal(), Error::SublayoutTooDeep { depth: 1, allowed: 0, .. }));
    let chain = handed_on(9).with(|chain| chain.limits.sublayout_depth = 0);
    assert!(matches!(chain.refusal(), Error::SublayoutTooDeep { depth: 1, allowed: 0, .. }));

    let deeper = |depth| {
        handed_on(depth).with(|chain| {
            let (link, _) = chain.links.remove(&inner_path()).unwrap();
            let inner = layout(&[ALICE], vec![step("make", &[ALICE], 1, json!([]), json!([]))]);
            chain.links.insert(inner_path(), (inner, vec![CAROL]));
            let folder = inner_path().strip_suffix(".link").unwrap().to_owned();
            chain.links.insert(format!("{folder}/{}", path("make", ALICE)), (link, vec![ALICE]));
        })
    };
    assert!(matches!(inner_error(&deeper(1)), Error::SublayoutTooDeep { depth: 2, allowed: 1, .. }));
    assert!(deeper(2).verify().is_ok());
}

#[test]
fn an_expired_sublayout_refuses_the_whole_even_beyond_the_threshold() {
    let chain = handed_on(1).with(|chain| chain.link("build", BOB)["expires"] = json!("2020-01-01T00:00:00Z"));
    assert!(matches!(inner_error(&chain), Error::LayoutExpired { .. }));
    assert_eq!(chain.code(), "in-toto/layout-expired");
    let chain = chain.with(|chain| chain.add("build", CAROL, build_link()));
    assert_eq!(chain.code(), "in-toto/layout-expired");
}

#[test]
fn the_earliest_expiry_is_that_of_any_layout() {
    let chain = handed_on(1).with(|chain| chain.link("build", BOB)["expires"] = json!("2029-06-01T00:00:00Z"));
    let verified = chain.verify().unwrap();
    assert_eq!(verified.earliest_expiry(), "2029-06-01T00:00:00Z".parse().unwrap());
    assert_eq!(verified.layout_expires(), "2030-01-01T00:00:00Z".parse().unwrap());
}

#[test]
fn a_sublayout_has_keys_of_its_own() {
    let chain = handed_on(1).with(|chain| {
        chain.link("build", BOB)["keys"].as_object_mut().unwrap().clear();
    });
    assert!(matches!(inner_error(&chain), Error::ThresholdNotMet { functionaries, .. }
        if functionaries[0].finding == Finding::NotListed));
}

#[test]
fn links_of_a_sublayout_lie_in_its_folder() {
    let chain = handed_on(1).with(|chain| {
        let link = chain.links.remove(&inner_path()).unwrap();
        chain.links.insert(path("make", CAROL), link);
    });
    assert!(matches!(inner_error(&chain), Error::ThresholdNotMet { .. }));
}

#[test]
fn rules_of_a_sublayout_are_judged() {
    let chain = handed_on(1).with(|chain| {
        chain.link("build", BOB)["steps"][0]["expected_products"] = json!([["DISALLOW", "*"]]);
    });
    assert!(matches!(inner_error(&chain), Error::DisallowedArtifact(_)));
}

#[test]
fn parameters_do_not_reach_a_sublayout() {
    let chain = handed_on(1).with(|chain| {
        chain.link("build", BOB)["steps"][0]["expected_products"] = json!([["CREATE", "{APP}"], ["DISALLOW", "*"]]);
        chain.options.parameters = Some(BTreeMap::from([("APP".to_owned(), "app".to_owned())]));
    });
    assert!(matches!(inner_error(&chain), Error::DisallowedArtifact(_)));
}

#[test]
fn inspections_of_a_sublayout_are_refused_as_well() {
    let chain = handed_on(1).with(|chain| {
        chain.link("build", BOB)["inspect"] = json!([{
            "_type": "inspection", "name": "look", "run": ["true"], "expected_materials": [], "expected_products": [],
        }]);
    });
    assert!(matches!(inner_error(&chain), Error::InspectionsRefused { .. }));
}

#[test]
fn a_sublayout_by_one_who_is_not_authorised_is_not_looked_at() {
    let chain = good().with(|chain| chain.add("build", ALICE, json!({"_type": "layout"})));
    assert!(chain.verify().is_ok());
}

#[test]
fn a_sublayout_and_a_link_must_agree() {
    let chain = handed_on(1).with(|chain| {
        chain.build()["threshold"] = json!(2);
        chain.add("build", CAROL, build_link());
    });
    assert!(chain.verify().is_ok());
    let chain = chain.with(|chain| chain.link("build", CAROL)["products"]["app"]["sha256"] = json!("dd"));
    assert_eq!(chain.code(), "in-toto/link-disagreement");
}
