//! Statements in place of links, and the subject that is the image.

use super::*;
use crate::{
    evidence::requirement::{PredicateType, StepName},
    policy::Fault,
};

const V1: &str = "https://slsa.dev/provenance/v1";

fn verify(words: &str) -> String {
    format!("{{repositories: [acme], layout: \"layouts/{{repository}}/*\", {words}}}")
}

fn fault(words: &str) -> (String, Fault) {
    let error = Policy::parse(&minimal("{images: [registry.example/**]}", &verify(words))).unwrap_err();
    (error.place.path, *error.fault)
}

fn step(name: &str) -> StepName {
    StepName::parse(name).unwrap()
}

#[test]
fn the_product_of_a_predicate_type_names_the_statements_of_its_step() {
    let demand = requirement(&verify(&format!("product: {{step: build, predicateType: \"{V1}\"}}")));
    assert_eq!(demand.product.predicate_type, Some(PredicateType::ProvenanceV1));
    assert_eq!(demand.statements.of(&step("build")), Some(PredicateType::ProvenanceV1));
    // Saying it twice is no contradiction, and there may be more.
    let more = "statements: {build: https://slsa.dev/provenance/v1, test: https://in-toto.io/attestation/link/v0.3}";
    let demand = requirement(&verify(&format!("product: {{step: build, predicateType: \"{V1}\"}}, {more}")));
    assert_eq!(demand.statements.steps().count(), 2);
    assert_eq!(demand.statements.of(&step("test")), Some(PredicateType::LinkV03));
    // Without it the image is bound as with links.
    let demand = requirement(&verify("statements: {build: https://slsa.dev/provenance/v0.2}"));
    assert_eq!(demand.statements.of(&step("build")), Some(PredicateType::ProvenanceV02));
    assert_eq!(demand.product.predicate_type, None);
}

#[test]
fn it_is_no_weak_rule() {
    let text = minimal("{images: [\"**\"]}", &verify(&format!("product: {{step: build, predicateType: \"{V1}\"}}")));
    assert!(!Policy::parse(&text).unwrap().rules()[0].is_weak());
}

#[test]
fn a_predicate_type_that_is_not_read_is_an_error_that_lists_those_that_are() {
    for words in ["statements: {build: https://slsa.dev/provenance/v1.0}", "product: {step: a, predicateType: slsa}"] {
        match fault(words).1 {
            Fault::UnknownWord { known, .. } => assert_eq!(known, PredicateType::ALL.map(PredicateType::as_str)),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn provenance_for_two_steps_is_refused() {
    let (place, found) =
        fault("statements: {build: https://slsa.dev/provenance/v1, push: https://slsa.dev/provenance/v1}");
    assert_eq!(place, "rules[0].verify.statements");
    assert!(matches!(found, Fault::SharedPredicateType(_)), "{found}");
    let (_, found) =
        fault(&format!("product: {{step: push, predicateType: \"{V1}\"}}, statements: {{build: \"{V1}\"}}"));
    assert!(matches!(found, Fault::SharedPredicateType(_)), "{found}");
    let both = "statements: {a: https://in-toto.io/attestation/link/v0.3, b: https://in-toto.io/attestation/link/v0.3}";
    assert_eq!(requirement(&verify(both)).statements.steps().count(), 2);
}

#[test]
fn words_that_contradict_each_other_are_refused() {
    let product = |words: &str| format!("product: {{predicateType: \"{V1}\"{words}}}");
    let (place, found) = fault(&product(""));
    assert_eq!((place.as_str(), found), ("rules[0].verify.product", Fault::MissingKey("step".into())));
    for word in ["from: materials", "from: products", "name: app"] {
        let (place, found) = fault(&product(&format!(", step: build, {word}")));
        assert_eq!(place, format!("rules[0].verify.product.{}", &word[..4]));
        assert_eq!(found, Fault::MeansNothing { beside: "predicateType" });
    }
    let (place, found) =
        fault(&format!("{}, statements: {{build: https://slsa.dev/provenance/v0.2}}", product(", step: build")));
    assert_eq!(place, "rules[0].verify.product.predicateType");
    let statements = PredicateType::ProvenanceV02;
    assert_eq!(found, Fault::TwoPredicateTypes { step: "build".into(), statements });
    assert_eq!(fault("statements: {}").1, Fault::EmptyList);
    assert_eq!(fault("statements: {\"a/b\": https://slsa.dev/provenance/v1}").0, "rules[0].verify.statements[\"a/b\"]");
    let tuf =
        "{repositories: [acme], level: tuf, role: targets/a, statements: {build: https://slsa.dev/provenance/v1}}";
    let error = Policy::parse(&minimal("{images: [registry.example/**]}", tuf)).unwrap_err();
    assert_eq!(*error.fault, Fault::MeansNothing { beside: "level: tuf" });
}

#[test]
fn a_layout_over_predicates_counts_only_where_the_word_is() {
    use crate::evidence::requirement::Predicates;
    let product = format!("product: {{step: build, predicateType: \"{V1}\"}}");
    assert_eq!(requirement(&verify(&product)).predicates, Predicates::Deny);
    assert_eq!(requirement(&verify(&format!("{product}, predicates: deny"))).predicates, Predicates::Deny);
    assert_eq!(requirement(&verify(&format!("{product}, predicates: allow"))).predicates, Predicates::Allow);
    match fault("predicates: yes").1 {
        Fault::UnknownWord { known, .. } => assert_eq!(known, ["deny", "allow"]),
        other => panic!("{other}"),
    }
}
