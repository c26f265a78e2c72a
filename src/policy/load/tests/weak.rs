//! Rules that prove less than the promise load only where they write out what they apply to (trust.md §4).

use super::minimal;
use crate::policy::{Fault, Policy, Weak};

const LITERAL: &str = "{images: [registry.example/team/*]}";
const OPEN_HOST: &str = "{images: [registry.example/team/*, \"*.example/team/*\"]}";

/// A `verify` with these words is weak by `weak`, and loads only with literal hosts.
fn assert_weak(words: &str, weak: Weak) {
    let verify = format!("{{repositories: [acme], {words}}}");
    let policy = Policy::parse(&minimal(LITERAL, &verify)).unwrap();
    let rule = &policy.rules()[0];
    assert_eq!(rule.weak().iter().collect::<Vec<_>>(), [&weak], "{words}");
    assert_eq!(policy.weak_rules().collect::<Vec<_>>(), [rule]);

    let error = Policy::parse(&minimal(OPEN_HOST, &verify)).unwrap_err();
    assert_eq!(*error.fault, Fault::WeakHost { weak: vec![weak], pattern: "*.example/team/*".into() }, "{words}");
    assert_eq!(error.place.path, "rules[0].match.images[1]");
    assert_eq!(error.code(), "policy/too-wide");
    // A rule without images matches every host.
    let error = Policy::parse(&minimal("{}", &verify)).unwrap_err();
    assert_eq!(*error.fault, Fault::WeakHost { weak: vec![weak], pattern: "**".into() }, "{words}");
}

fn assert_strong(words: &str) {
    let policy = Policy::parse(&minimal(OPEN_HOST, &format!("{{repositories: [acme], {words}}}"))).unwrap();
    assert!(!policy.rules()[0].is_weak(), "{words}");
}

fn exemption(matcher: &str) -> Result<Policy, Fault> {
    let text = format!("version: 1\nrules:\n  - name: exempt\n    match: {matcher}\n    allow: a reason\n");
    Policy::parse(&text).map_err(|error| *error.fault)
}

#[test]
fn level_tuf_is_weak_and_names_the_role() {
    assert_weak("level: tuf, role: targets/app", Weak::Tuf);
    let error = Policy::parse(&minimal(LITERAL, "{repositories: [acme], level: tuf}")).unwrap_err();
    assert_eq!(*error.fault, Fault::TufWithoutRole);
    assert_eq!(
        error.to_string(),
        "policy.yaml:7:36: rules[0].verify.level: level: tuf: such a rule must name the role that signs the images"
    );
}

#[test]
fn skipped_inspections_are_weak() {
    assert_weak("inspections: skip", Weak::SkipInspections);
    assert_strong("inspections: refuse");
}

#[test]
fn a_product_by_another_name_or_side_is_weak() {
    assert_weak("product: {name: \"*.whl\"}", Weak::Product);
    assert_weak("product: {name: app.whl}", Weak::Product);
    assert_weak("product: {from: materials}", Weak::Product);
    assert_strong("product: {step: package, from: products}");
}

#[test]
fn any_layout_threshold_is_weak() {
    assert_weak("layoutThreshold: 2", Weak::LayoutThreshold);
}

#[test]
fn a_layout_role_that_may_be_online_is_weak() {
    // Nothing says who signs the images.
    assert_weak("layoutRoles: [targets/layouts]", Weak::LayoutRoles);
    // Whoever signs images signs layouts, or decides who does.
    assert_weak("role: targets/online, layoutRoles: [targets/online]", Weak::LayoutRoles);
    assert_weak("role: targets/online, layoutRoles: [targets, targets/online/layouts]", Weak::LayoutRoles);
    // Whoever signs links does.
    assert_weak("role: targets/a, linkRoles: [targets/b], layoutRoles: [targets/b/layouts]", Weak::LayoutRoles);
    assert_strong("role: targets/online, layoutRoles: [targets/layouts]");
    assert_strong("role: targets/online, layoutRoles: [targets/online-layouts]");
    assert_strong("role: targets/online/app, layoutRoles: [targets/online]");
    assert_strong("role: targets, layoutRoles: [targets]");
    assert_strong("layoutRoles: [targets]");
}

#[test]
fn modes_that_do_not_refuse_are_weak() {
    for (mode, weak) in [("warn", Weak::Warn), ("audit", Weak::Audit)] {
        let text = |matcher: &str| format!("{}    mode: {mode}\n", minimal(matcher, "{repositories: [acme]}"));
        assert_eq!(Policy::parse(&text(LITERAL)).unwrap().rules()[0].weak().iter().collect::<Vec<_>>(), [&weak]);
        let error = Policy::parse(&text(OPEN_HOST)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "policy.yaml:6:47: rules[0].match.images[1]: mode: {mode}: such a rule must write out its hosts, \
                 \"*.example/team/*\" does not"
            )
        );
    }
}

#[test]
fn every_weak_word_is_listed() {
    let words = "{repositories: [acme], inspections: skip, layoutThreshold: 1}";
    let error = Policy::parse(&minimal("{images: [\"*/app\"]}", words)).unwrap_err();
    assert_eq!(
        error.fault.to_string(),
        "inspections: skip, layoutThreshold: such a rule must write out its hosts, \"*/app\" does not"
    );
}

#[test]
fn an_exemption_needs_literal_hosts_and_exact_namespaces() {
    let policy = exemption("{namespaces: [web, db], images: [quay.io/prometheus/*]}").unwrap();
    assert_eq!(policy.rules()[0].weak().iter().collect::<Vec<_>>(), [&Weak::Allow]);
    assert!(matches!(exemption("{namespaces: [web], images: [\"*.io/x/*\"]}"), Err(Fault::WeakHost { .. })));
    assert!(matches!(exemption("{namespaces: [web]}"), Err(Fault::WeakHost { .. })));
    assert!(matches!(exemption("{}"), Err(Fault::WeakHost { .. })));
    assert_eq!(exemption("{images: [quay.io/prometheus/*]}"), Err(Fault::InexactExemption));
    assert_eq!(exemption("{namespaces: [web, \"db-*\"], images: [quay.io/x/*]}"), Err(Fault::InexactExemption));
}

#[test]
fn an_exemption_of_exact_digests_needs_no_namespace() {
    let digest = format!("sha256:{}", "0".repeat(64));
    assert!(exemption(&format!("{{images: [\"quay.io/x/y@{digest}\"]}}")).is_ok());
    // One image by name is enough to need namespaces.
    let mixed = format!("{{images: [\"quay.io/x/y@{digest}\", quay.io/x/z]}}");
    assert_eq!(exemption(&mixed), Err(Fault::InexactExemption));
    assert!(matches!(exemption(&format!("{{images: [\"**/y@{digest}\"]}}")), Err(Fault::WeakHost { .. })));
}

#[test]
fn a_layout_scope_with_a_wildcard_names_the_repository_or_the_rule_does() {
    let load = |matcher: &str| {
        Policy::parse(&minimal(matcher, "{repositories: [acme], layout: \"layouts/*\"}")).map_err(|error| *error.fault)
    };
    assert_eq!(load(LITERAL), Err(Fault::UnscopedLayout { scope: "layouts/*".into() }));
    assert!(load("{images: [registry.example/team/app]}").is_ok());
    assert_strong("layout: \"layouts/{repository}/*\"");
    // A pin is one layout, written out.
    assert_strong("layout: in-toto-metadata/4.core.layout");
}
