//! What is allowed and seldom wanted.

use super::*;

fn lints(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut layout = good().layout;
    change(&mut layout);
    lint(&metablock(&layout, &[]), &Limits::default()).unwrap().iter().map(ToString::to_string).collect()
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
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with(r#"names "fetsch", which is not a step that it can see"#), "{found:?}");
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
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with(r#""build", materials: MATCH"#), "{found:?}");
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
