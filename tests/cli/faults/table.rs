//! The table in `docs/faults.md` against the sources.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The functions of all sources and tests that are marked as tests or run by one of tests/node.
fn functions(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path: PathBuf = entry.path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let (mut marked, story) = (false, path.parent().unwrap().ends_with("tests/node"));
            for line in text.lines().map(str::trim) {
                match line.split_once("fn ").filter(|(before, _)| before.split(' ').all(is_before_fn)) {
                    Some((before, rest)) => {
                        if marked || (story && before.starts_with("pub")) {
                            found.insert(rest.split(['(', '<']).next().unwrap().to_owned());
                        }
                        marked = false;
                    }
                    None => marked |= line == "#[test]" || line.starts_with("#[tokio::test"),
                }
            }
        }
    }
}

fn is_before_fn(word: &str) -> bool {
    ["", "async", "pub", "pub(crate)", "pub(super)"].contains(&word)
}

#[test]
fn every_test_that_the_table_of_faults_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    for dir in ["src", "tests"] {
        functions(&root.join(dir), &mut found);
    }
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
