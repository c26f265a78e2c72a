//! What is allowed and seldom wanted.

use super::*;

fn lints(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut layout = good().layout;
    change(&mut layout);
    let found = lint(&metablock(&layout, &[]), &Limits::default()).unwrap();
    found.iter().filter(|lint| !lint.is_note()).map(ToString::to_string).collect()
}

#[test]
fn a_step_that_one_key_can_forge_is_noted() {
    let mut layout = good().layout;
    layout["steps"][1]["threshold"] = json!(2);
    let found = lint(&metablock(&layout, &[]), &Limits::default()).unwrap();
    assert!(found.iter().all(Lint::is_note));
    let expected = r#"step "fetch" needs one functionary: whoever has the key of one can make the link alone"#;
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_step_that_nothing_leads_to_is_named() {
    let expected = r#"step "fetch" is not chained to the final product: no MATCH leads from there to what it recorded"#;
    let allow = json!([["ALLOW", "src/*"], ["DISALLOW", "*"]]);
    assert_eq!(lints(|layout| layout["steps"][1]["expected_materials"] = allow.clone()), [expected]);
    // An inspection may lead there as well, and so may a rule for products.
    let rules = json!([["MATCH", "src/*", "WITH", "PRODUCTS", "FROM", "fetch"], ["DISALLOW", "*"]]);
    assert!(
        lints(|layout| {
            layout["steps"][1]["expected_materials"] = allow.clone();
            layout["inspect"] = json!([{
                "_type": "inspection", "name": "look", "run": ["true"], "expected_materials": rules, "expected_products": [],
            }]);
        })
        .is_empty()
    );
    assert!(
        lints(|layout| {
            layout["steps"][1]["expected_materials"] = allow.clone();
            layout["steps"][1]["expected_products"] = rules.clone();
        })
        .is_empty()
    );
}

#[test]
fn a_match_of_a_list_with_itself_is_named() {
    let rule = |source: &str| {
        let mut rule = vec!["MATCH", "*"];
        rule.extend(if source.is_empty() { vec![] } else { vec!["IN", source] });
        rule.extend(["WITH", "PRODUCTS", "FROM", "build"]);
        json!([rule, ["DISALLOW", "*"]])
    };
    let found = lints(|layout| layout["steps"][1]["expected_products"] = rule(""));
    let expected = r#""build", products: MATCH * WITH PRODUCTS FROM build compares the list with itself, so that it proves nothing"#;
    assert_eq!(found, [expected]);
    assert!(lints(|layout| layout["steps"][1]["expected_products"] = rule("a")).is_empty());
    // What came out is compared with what went in.
    let materials = json!([["MATCH", "*", "WITH", "MATERIALS", "FROM", "build"], ["DISALLOW", "*"]]);
    assert!(lints(|layout| layout["steps"][1]["expected_products"] = materials.clone()).is_empty());
}

/// What is loose about the good chain after a change, as seen from a step.
fn loosened(bound: &str, change: impl FnOnce(&mut Chain)) -> Vec<String> {
    let mut chain = good();
    change(&mut chain);
    loose(&chain.verify().unwrap(), bound, None, &Limits::default()).iter().map(ToString::to_string).collect()
}

#[test]
fn only_a_match_that_consumed_chains_a_step() {
    let unchained = |step: &str| {
        format!("step {step:?} is not chained to the final product: no MATCH leads from there to what it recorded")
    };
    assert_eq!(loosened("build", |_| {}), Vec::<String>::new());
    assert_eq!(loosened("fetch", |_| {}), [unchained("build")]);
    let found = loosened("build", |chain| {
        chain.layout["steps"][1]["expected_materials"][1] = json!(["ALLOW", "*"]);
        chain.link("build", BOB)["materials"] = json!({"other": {"sha256": "aa"}});
    });
    assert_eq!(found, [unchained("fetch")]);
    let found = loosened("build", |chain| {
        chain.layout["steps"][1]["expected_products"] = json!([["CREATE", "app"]]);
    });
    let expected =
        r#"rules for products of the last step, "build", do not end in DISALLOW *: what they do not name is allowed"#;
    assert_eq!(found, [expected]);
}

#[test]
fn a_good_layout_has_nothing_to_say_about() {
    assert_eq!(lints(|_| {}), Vec::<String>::new());
}

#[test]
fn a_last_step_with_open_products_is_named() {
    let found = lints(|layout| layout["steps"][1]["expected_products"] = json!([["CREATE", "app"]]));
    let expected =
        r#"rules for products of the last step, "build", do not end in DISALLOW *: what they do not name is allowed"#;
    assert_eq!(found, [expected]);
}

#[test]
fn a_match_that_demands_nothing_is_named() {
    let found = lints(|layout| drop(layout["steps"][1]["expected_materials"].as_array_mut().unwrap().pop()));
    let expected =
        r#""build", materials: no DISALLOW follows MATCH src/* WITH PRODUCTS FROM fetch, so that it demands nothing"#;
    assert_eq!(found, [expected]);
}

#[test]
fn a_match_against_nothing_is_named() {
    let found = lints(|layout| layout["steps"][1]["expected_materials"][0][5] = json!("fetsch"));
    assert!(found[0].ends_with(r#"names "fetsch", which is not a step that it can see"#), "{found:?}");
    assert!(found[1].starts_with(r#"step "fetch" is not chained"#) && found.len() == 2, "{found:?}");
}

#[test]
fn a_step_cannot_see_an_inspection() {
    let found = lints(|layout| {
        layout["steps"][1]["expected_materials"][0][5] = json!("look");
        let rules = json!([["MATCH", "*", "WITH", "PRODUCTS", "FROM", "look"], ["DISALLOW", "*"]]);
        layout["inspect"] = json!([{
            "_type": "inspection", "name": "look", "run": ["true"], "expected_materials": rules, "expected_products": [],
        }]);
    });
    assert!(found[0].starts_with(r#""build", materials: MATCH"#), "{found:?}");
    assert!(found[1].starts_with(r#"step "fetch" is not chained"#) && found.len() == 2, "{found:?}");
}

#[test]
fn a_pattern_that_others_read_differently_is_named() {
    let found = lints(|layout| layout["steps"][0]["expected_products"][0] = json!(["CREATE", "src/[a-]"]));
    let expected = r#""fetch", products: the pattern of CREATE src/[a-] is read differently by other implementations"#;
    assert_eq!(found, [expected]);
}

#[test]
fn a_link_is_not_looked_through() {
    assert_eq!(lint(&metablock(&build_link(), &[]), &Limits::default()).unwrap_err().code(), "in-toto/malformed");
}
