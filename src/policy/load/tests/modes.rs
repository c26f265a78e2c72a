//! Several requirements of one rule, and rules that refuse from an instant on.

use jiff::Timestamp;

use super::{WHOLE, minimal};
use crate::policy::{Fault, Mode, Policy, Weak};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn with(words: &str) -> String {
    format!("{}    {words}\n", minimal("{images: [registry.example/**]}", "{repositories: [acme]}"))
}

fn fault(text: &str) -> (String, Fault) {
    let error = Policy::parse(text).unwrap_err();
    (error.place.path.clone(), *error.fault)
}

const BOTH: &str = "version: 1
repositories:
  vendor: {url: https://tuf.vendor.example, root: vendor.root.json}
  acme: {url: https://tuf.acme.example, root: acme.root.json}
rules:
  - name: approved
    match: {images: [\"vendor.example/**\"]}
    all:
      - {repositories: [vendor]}
      - {repositories: [acme], sublayouts: allow}
";

#[test]
fn each_requirement_of_a_rule_is_one() {
    let policy = Policy::parse(BOTH).unwrap();
    let parts = policy.rules()[0].bind_file().unwrap();
    let repositories: Vec<&str> = parts.iter().map(|part| part.requirement.repository.as_str()).collect();
    assert_eq!(repositories, ["vendor", "acme"]);
    assert_eq!((parts[0].requirement.sublayouts, parts[1].requirement.sublayouts), (None, Some(8)));
    assert_eq!(policy.warnings(), []);
    // Verdicts on one part are no verdicts on another, also where both say the same.
    let twice = Policy::parse(&BOTH.replace("[acme], sublayouts: allow", "[vendor]")).unwrap();
    let parts = twice.rules()[0].bind_file().unwrap();
    assert_ne!(parts[0].hash, parts[1].hash);
}

#[test]
fn one_weak_requirement_makes_the_rule_weak() {
    let text = BOTH.replace("sublayouts: allow", "inspections: skip");
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.rules()[0].weak().iter().collect::<Vec<_>>(), [&Weak::SkipInspections]);
    let (path, fault) = fault(&text.replace("vendor.example/**", "*.example/**"));
    assert_eq!((path.as_str(), matches!(fault, Fault::WeakHost { .. })), ("rules[0].match.images[0]", true));
}

#[test]
fn faults_of_a_requirement_are_found_in_the_list() {
    let error = Policy::parse(&BOTH.replace("[acme], sublayouts", "[acmee], sublayouts")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("policy.yaml:10:25: rules[0].all[1].repositories[0]: repository \"acmee\" is unknown"),
        "{error}"
    );
    let error = Policy::parse(&BOTH.replace("sublayouts:", "sublayout:")).unwrap_err();
    assert!(error.to_string().starts_with("policy.yaml:10:32: rules[0].all[1].sublayout: unknown key"), "{error}");
    let (start, _) = BOTH.split_once("    all:").unwrap();
    assert_eq!(fault(&format!("{start}    all: []\n")), ("rules[0].all".into(), Fault::EmptyList));
    let (path, fault) = fault(&format!("{start}    all: [{}]\n", ["{repositories: [acme]}"; 9].join(", ")));
    assert_eq!((path.as_str(), fault), ("rules[0].all", Fault::TooMany { what: "requirements", count: 9, limit: 8 }));
}

#[test]
fn a_rule_has_one_of_verify_all_and_allow() {
    let (path, fault) = fault(&with("all: [{repositories: [acme]}]"));
    assert_eq!(path, "rules[0]");
    assert_eq!(fault, Fault::OneOf { wanted: "verify, all and allow", found: vec!["verify", "all"] });
}

#[test]
fn a_rule_refuses_from_its_instant_on_and_is_weak_before() {
    let from = "enforceFrom: 2027-04-01T00:00:00Z";
    for (words, before) in [(from.to_owned(), Mode::Warn), (format!("{from}\n    mode: audit"), Mode::Audit)] {
        let policy = Policy::parse(&with(&words)).unwrap();
        let rule = &policy.rules()[0];
        let (last, first) = (at("2027-03-31T23:59:59.999Z"), at("2027-04-01T00:00:00Z"));
        assert_eq!((rule.mode(last), rule.mode(first)), (before, Mode::Enforce));
        assert_eq!(rule.weak().iter().collect::<Vec<_>>(), [&Weak::EnforceFrom]);
        assert_eq!(rule.weak_at(last).collect::<Vec<_>>(), [Weak::EnforceFrom]);
        assert_eq!(rule.weak_at(first).collect::<Vec<_>>(), []);
    }
    // It is weak until then, so it writes out its hosts.
    let (path, fault) = fault(&with(from).replace("registry.example/**", "\"*.example/**\""));
    assert_eq!(path, "rules[0].match.images[0]");
    assert_eq!(fault.to_string(), "enforceFrom: such a rule must write out its hosts, \"*.example/**\" does not");
}

#[test]
fn instants_and_reasons_are_read_strictly() {
    let (path, fault) = fault(&with("enforceFrom: 2027-04-01"));
    assert_eq!((path.as_str(), matches!(fault, Fault::Value { .. })), ("rules[0].enforceFrom", true));
    let contradiction = with("enforceFrom: 2027-04-01T00:00:00Z\n    mode: enforce");
    let nothing = Fault::MeansNothing { beside: "mode: enforce" };
    assert_eq!(super::modes::fault(&contradiction), ("rules[0].enforceFrom".into(), nothing));
    let (path, fault) = super::modes::fault(&with("reason: \"a\\nb\""));
    assert_eq!((path.as_str(), matches!(fault, Fault::Value { .. })), ("rules[0].reason", true));
    let policy = Policy::parse(&with("reason: the teams are signing\n    mode: warn")).unwrap();
    assert_eq!(policy.rules()[0].reason(), Some("the teams are signing"));
    for word in ["enforceFrom: 2027-04-01T00:00:00Z", "reason: why", "mode: warn"] {
        let key = word.split(':').next().unwrap();
        let text = WHOLE.replace("    until: 2027", &format!("    {word}\n    until: 2027"));
        assert_eq!(super::modes::fault(&text), (format!("rules[2].{key}"), Fault::MeansNothing { beside: "allow" }));
    }
    for (word, beside) in [("verify", "verify"), ("all", "all")] {
        let text = match word {
            "verify" => with("until: 2027-04-01T00:00:00Z"),
            _ => format!("{BOTH}    until: 2027-04-01T00:00:00Z\n"),
        };
        assert_eq!(super::modes::fault(&text), ("rules[0].until".into(), Fault::MeansNothing { beside }));
    }
}

#[test]
fn the_glass_may_be_broken_in_namespaces_by_name() {
    let with = |words: &str| format!("{WHOLE}breakGlass: {{{words}}}\n");
    let policy = Policy::parse(&with("namespaces: [web, db], until: 2027-04-01T00:00:00Z")).unwrap();
    let glass = policy.break_glass().unwrap();
    let (last, first) = (at("2027-03-31T23:59:59Z"), at("2027-04-01T00:00:00Z"));
    assert!(glass.may_be_broken("web", last) && glass.may_be_broken("db", last));
    assert!(!glass.may_be_broken("web", first) && !glass.may_be_broken("dev", last));
    assert_eq!(Policy::parse(WHOLE).unwrap().break_glass(), None);
    assert_eq!(fault(&with("namespaces: []")), ("breakGlass.namespaces".into(), Fault::EmptyList));
    for name in ["\"*\"", "web-*", "Web", "\"\""] {
        let (path, fault) = fault(&with(&format!("namespaces: [{name}]")));
        assert_eq!(
            (path.as_str(), matches!(fault, Fault::Value { .. } | Fault::NoValue)),
            ("breakGlass.namespaces[0]", true)
        );
    }
    assert_eq!(fault(&with("until: 2027-04-01T00:00:00Z")).1, Fault::MissingKey("namespaces".into()));
}
