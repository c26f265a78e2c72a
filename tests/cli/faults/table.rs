//! The table in `docs/faults.md` against the sources.

use std::{collections::BTreeSet, fs, path::Path};

use crate::sources::tests;

#[test]
fn every_test_that_the_table_of_faults_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = tests();
    let found: BTreeSet<&str> = tests.keys().filter_map(|test| Some(test.split_once("::")?.1)).collect();
    let page = fs::read_to_string(root.join("docs/faults.md")).unwrap();
    let (page, _) = page.split_once("\n## How soon").unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault |"));
    let mut named = 0;
    for row in rows {
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "a fault without a test: {row}");
        for name in names {
            assert!(found.contains(name), "no test is called {name}");
            named += 1;
        }
    }
    assert!(named > 40, "{named} tests are named");
}

#[test]
fn every_code_and_metric_that_the_table_of_faults_names_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let page = fs::read_to_string(docs.join("faults.md")).unwrap();
    let metrics = fs::read_to_string(docs.join("operating.md")).unwrap();
    let (mut codes, mut counted) = (0, 0);
    for text in page.split('`').skip(1).step_by(2) {
        if let Some(metric) = text.strip_prefix("pratique_") {
            let name = metric.split('{').next().unwrap();
            assert!(metrics.contains(&format!("`pratique_{name}")), "docs/operating.md has no pratique_{name}");
            counted += 1;
        } else if let Some((area, rest)) = text.split_once('/')
            && !area.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        {
            assert!(area == "trust" || pratique::verdict::codes::lookup(text).is_some(), "no code {text}");
            codes += 1;
        }
    }
    assert!(codes > 10 && counted > 5, "{codes} codes, {counted} metrics");
}
