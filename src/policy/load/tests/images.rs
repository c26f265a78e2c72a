//! Words about what is within an image.

use super::{minimal, requirement};
use crate::{
    evidence::requirement::{Platforms, Via},
    image::Platform,
    policy::Policy,
};

fn refused(verify: &str) -> String {
    let error = Policy::parse(&minimal("{images: [registry.example/**]}", verify)).unwrap_err();
    format!("[{}] {}", error.code(), error.fault)
}

#[test]
fn platforms_are_a_word_or_a_list() {
    let platforms = |word: &str| requirement(&format!("{{repositories: [acme], platforms: {word}}}")).platforms;
    assert_eq!(requirement("{repositories: [acme]}").platforms, Platforms::Any);
    assert_eq!(platforms("any"), Platforms::Any);
    assert_eq!(platforms("all"), Platforms::All);
    let these = ["linux/amd64", "linux/arm/v7"].map(|text| Platform::parse(text).unwrap());
    assert_eq!(platforms("[linux/amd64, linux/arm/v7]"), Platforms::These(these.into()));
    for (word, code) in [
        ("every", "policy/unknown-word"),
        ("[]", "policy/missing-value"),
        ("[linux]", "policy/malformed-value"),
        ("[linux/*]", "policy/malformed-value"),
        ("[linux/arm/v7/x]", "policy/malformed-value"),
        ("[linux/]", "policy/malformed-value"),
    ] {
        let refused = refused(&format!("{{repositories: [acme], platforms: {word}}}"));
        assert!(refused.starts_with(&format!("[{code}]")), "{word}: {refused}");
    }
}

#[test]
fn an_image_may_be_bound_by_an_inspection_or_by_a_step_and_not_by_both() {
    let bound = requirement("{repositories: [acme], product: {inspection: look}}");
    assert_eq!(bound.product.inspection.as_deref(), Some("look"));
    for words in [
        "product: {inspection: look, step: push}",
        "product: {inspection: look, from: products}",
        "product: {inspection: look, name: \"*\"}",
        "product: {inspection: look}, inspections: skip",
        "product: {from: materials}, platforms: all",
        "product: {name: \"*.whl\"}, platforms: [linux/amd64]",
        "level: tuf, role: targets/a, platforms: all",
        "level: tuf, role: targets/a, via: index",
    ] {
        let refused = refused(&format!("{{repositories: [acme], {words}}}"));
        assert!(refused.starts_with("[policy/contradiction]"), "{words}: {refused}");
    }
}

#[test]
fn layers_come_from_a_registry_that_the_policy_describes() {
    let with = |registry: &str| {
        let text =
            minimal("{images: [registry.example/**]}", "{repositories: [acme], layers: {registry: blobs.example}}");
        Policy::parse(&text.replacen("rules:", &format!("registries:\n  {registry}\nrules:"), 1))
    };
    let policy = with("blobs.example: {redirects: [cloud.example]}").unwrap();
    assert_eq!(policy.registries()["blobs.example"].redirects, ["cloud.example"]);
    let demanded = super::demanded(&policy.rules()[0]);
    assert_eq!(demanded.layers.unwrap().registry, "blobs.example");
    let error = with("other.example: {}").unwrap_err();
    assert_eq!(error.code(), "policy/unknown-registry");
    assert!(error.to_string().contains("layers.registry"), "{error}");
    assert_eq!(with("blobs.example: {redirects: [\"*.example\"]}").unwrap_err().code(), "policy/malformed-value");
    let refused = refused("{repositories: [acme], level: tuf, role: targets/a, layers: {registry: blobs.example}}");
    assert!(refused.starts_with("[policy/contradiction]") || refused.starts_with("[policy/unknown-registry]"));
}

#[test]
fn an_index_may_stand_for_its_manifests() {
    assert_eq!(requirement("{repositories: [acme]}").via, None);
    assert_eq!(requirement("{repositories: [acme], via: index}").via, Some(Via::Index));
    assert!(refused("{repositories: [acme], via: child}").starts_with("[policy/unknown-word]"));
}
