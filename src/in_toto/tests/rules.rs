//! The rule engine, through the whole: what each rule consumes and what it refuses.

use super::*;

/// Judges product rules of a step `st`, whose link lists these artifacts; step `src` has `other` as products.
fn judge(rules: Value, materials: Value, products: Value, other: Value) -> Result<Vec<Vec<String>>, Error> {
    let chain = good().with(|chain| {
        let src = step("src", &[ALICE], 1, json!([]), json!([]));
        chain.layout["steps"] = json!([src, step("st", &[BOB], 1, json!([]), rules)]);
        chain.links.clear();
        chain.add("src", ALICE, link("src", json!({}), other));
        chain.add("st", BOB, link("st", materials, products));
    });
    let verified = chain.verify()?;
    let (_, step) = verified.last_step().unwrap();
    Ok(step.product_rules.iter().map(|rule| rule.consumed.iter().map(str::to_owned).collect()).collect())
}

fn failure(error: Error) -> RuleFailure {
    match error {
        Error::DisallowedArtifact(failure) | Error::RequiredArtifactMissing(failure) => *failure,
        other => panic!("{other}"),
    }
}

fn a() -> Value {
    json!({"sha256": "aa"})
}

fn b() -> Value {
    json!({"sha256": "bb"})
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn each_rule_consumes_what_its_name_says() {
    let (materials, products) =
        (json!({"old": a(), "gone": a(), "same": a()}), json!({"new": a(), "old": b(), "same": a()}));
    let rules = json!([["CREATE", "*"], ["DELETE", "*"], ["MODIFY", "*"], ["ALLOW", "s*"], ["DISALLOW", "*"]]);
    let consumed = judge(rules, materials, products, json!({})).unwrap();
    assert_eq!(consumed, [names(&["new"]), names(&[]), names(&["old"]), names(&["same"]), names(&[])]);
}

#[test]
fn deleted_artifacts_are_consumed_among_materials() {
    let rules = json!([["CREATE", "*"], ["DELETE", "gone"], ["DISALLOW", "*"]]);
    let chain = |materials: Value| {
        good().with(|chain| {
            chain.layout["steps"] = json!([step("st", &[BOB], 1, rules.clone(), json!([]))]);
            chain.links.clear();
            chain.add("st", BOB, link("st", materials, json!({"kept": a()})));
        })
    };
    let verified = chain(json!({"gone": a()})).verify().unwrap();
    let (_, step) = verified.last_step().unwrap();
    assert!(
        step.is_consumed(Side::Materials, "gone") && step.material_rules.iter().all(|rule| rule.consumed.len() < 2)
    );
    assert_eq!(chain(json!({"gone": a(), "kept": a()})).code(), "in-toto/disallowed-artifact");
}

#[test]
fn disallow_refuses_what_is_left() {
    let rules = json!([["CREATE", "a*"], ["DISALLOW", "*"]]);
    let error = judge(rules, json!({}), json!({"a1": a(), "b1": b(), "b2": b()}), json!({})).unwrap_err();
    assert_eq!(error.to_string(), r#""st", rule 2 for products, DISALLOW *: "b1" has sha256:bb, and 1 more"#);
    assert_eq!(error.code(), "in-toto/disallowed-artifact");
}

#[test]
fn require_wants_a_name_that_is_still_there() {
    let missing = judge(json!([["REQUIRE", "b"]]), json!({"b": a()}), json!({"a": a()}), json!({})).unwrap_err();
    assert_eq!(missing.code(), "in-toto/required-artifact-missing");
    assert_eq!(missing.to_string(), r#""st", rule 1 for products, REQUIRE b: "b" is not listed"#);

    let consumed = judge(json!([["ALLOW", "*"], ["REQUIRE", "a"]]), json!({}), json!({"a": a()}), json!({}));
    let rule = Rule::parse(&json!(["ALLOW", "*"])).unwrap();
    assert_eq!(failure(consumed.unwrap_err()).before, [NearMiss::Consumed(rule)]);

    // Not a pattern, and it does not consume.
    assert!(judge(json!([["REQUIRE", "*"]]), json!({}), json!({"a": a()}), json!({})).is_err());
    assert!(judge(json!([["REQUIRE", "a"], ["DISALLOW", "a"]]), json!({}), json!({"a": a()}), json!({})).is_err());
}

#[test]
fn what_no_rule_meets_is_allowed_and_does_not_count_as_consumed() {
    let chain = good().with(|chain| {
        chain.build()["expected_products"] = json!([["CREATE", "log"]]);
    });
    let verified = chain.verify().unwrap();
    let (_, build) = verified.last_step().unwrap();
    assert!(build.products.contains("app"));
    assert!(build.is_consumed(Side::Products, "log") && !build.is_consumed(Side::Products, "app"));
}

#[test]
fn keywords_of_rules_may_be_in_any_case() {
    assert!(judge(json!([["create", "a"], ["Disallow", "*"]]), json!({}), json!({"a": a()}), json!({})).is_ok());
}

fn matching(words: &str, products: Value, other: Value) -> Result<Vec<Vec<String>>, Error> {
    let rule: Vec<&str> = words.split(' ').collect();
    judge(json!([rule, ["DISALLOW", "*"]]), json!({}), products, other)
}

#[test]
fn match_consumes_equal_names_with_equal_digests() {
    assert!(matching("MATCH * WITH PRODUCTS FROM src", json!({"a": a()}), json!({"a": a()})).is_ok());
    let error = matching("MATCH * WITH PRODUCTS FROM src", json!({"a": a()}), json!({"a": b()})).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#""st", rule 2 for products, DISALLOW *: "a" has sha256:aa; MATCH * WITH PRODUCTS FROM src found "a" with sha256:bb"#
    );
    let error = matching("MATCH * WITH PRODUCTS FROM src", json!({"a": a()}), json!({"b": a()})).unwrap_err();
    assert!(matches!(&failure(error).before[..], [NearMiss::NotThere { name, .. }] if name == "a"));
}

#[test]
fn match_wants_the_same_algorithms_and_the_same_spelling() {
    let both = json!({"sha256": "aa", "sha512": "bb"});
    for (ours, theirs) in
        [(a(), both.clone()), (both, a()), (a(), json!({"sha256": "AA"})), (a(), json!({"sha512": "aa"}))]
    {
        assert!(matching("MATCH * WITH PRODUCTS FROM src", json!({"a": ours}), json!({"a": theirs})).is_err());
    }
}

#[test]
fn match_does_not_take_equal_digests_that_prove_nothing() {
    for digests in [json!({}), json!({"md5": "aa"})] {
        let error =
            matching("MATCH * WITH PRODUCTS FROM src", json!({"a": digests}), json!({"a": digests})).unwrap_err();
        assert!(matches!(failure(error).before[..], [NearMiss::NoDigest(_)]));
    }
}

#[test]
fn match_takes_folders_off_and_puts_folders_in_front() {
    for words in [
        "MATCH * IN out WITH PRODUCTS IN dist/x FROM src",
        "MATCH * IN out/ WITH PRODUCTS IN dist/x/ FROM src",
        "MATCH a/* IN out WITH PRODUCTS IN dist/x FROM src",
    ] {
        assert!(matching(words, json!({"out/a/b": a()}), json!({"dist/x/a/b": a()})).is_ok(), "{words}");
    }
    // The prefix is a whole folder, and a name without it is not meant.
    for words in ["MATCH * IN ou WITH PRODUCTS FROM src", "MATCH out/* IN out WITH PRODUCTS FROM src"] {
        assert!(
            matching(words, json!({"out/a": a()}), json!({"t/a": a(), "a": a(), "out/a": a()})).is_err(),
            "{words}"
        );
    }
    assert!(matching("MATCH * IN out WITH PRODUCTS FROM src", json!({"a": a()}), json!({"a": a()})).is_err());
    // Wildcards do not act in prefixes.
    assert!(matching("MATCH * IN * WITH PRODUCTS FROM src", json!({"out/a": a()}), json!({"a": a()})).is_err());
}

#[test]
fn match_looks_into_the_list_and_the_step_that_it_names() {
    assert!(matching("MATCH * WITH MATERIALS FROM src", json!({"a": a()}), json!({"a": a()})).is_err());
    assert!(matching("MATCH * WITH PRODUCTS FROM SRC", json!({"a": a()}), json!({"a": a()})).is_err());
    assert!(matching("MATCH * WITH PRODUCTS FROM st", json!({"a": a()}), json!({})).is_ok());
    let unknown =
        judge(json!([["MATCH", "*", "WITH", "PRODUCTS", "FROM", "nowhere"]]), json!({}), json!({"a": a()}), json!({}));
    assert_eq!(unknown.unwrap(), [names(&[])]);
}

#[test]
fn match_refuses_names_that_the_reference_joins_to_something_else() {
    let unclean = |words: &str, name: &str, other: &str| {
        let error = matching(words, json!({name: a()}), json!({other: a()})).unwrap_err();
        matches!(error, Error::UncleanArtifact { why: Unclean::Prefixed, .. })
    };
    assert!(unclean("MATCH * IN d WITH PRODUCTS FROM src", "d/a\\b", "a\\b"));
    assert!(unclean("MATCH * WITH PRODUCTS IN d FROM src", "a\\b", "d/a\\b"));
    assert!(unclean("MATCH * WITH PRODUCTS IN d FROM src", "/a", "/a"));
    assert!(unclean("MATCH * IN oci: WITH PRODUCTS FROM src", "oci://a", "/a"));
    assert!(matching("MATCH * WITH PRODUCTS FROM src", json!({"a\\b": a()}), json!({"a\\b": a()})).is_ok());
}
