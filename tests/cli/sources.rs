//! The tests that stand in the sources, for what the documentation says about them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::pages::root;

/// A test, or a part of the one test of tests/node.
#[derive(Debug)]
pub(crate) struct Test {
    /// From its signature to its end.
    pub(crate) text: String,
    /// Whether it runs only where somebody asks for it.
    pub(crate) is_ignored: bool,
}

/// All of them, by file and name (`src/tuf/tests/basic.rs::a_name`).
pub(crate) fn tests() -> BTreeMap<String, Test> {
    let mut found = BTreeMap::new();
    for folder in ["src", "tests"] {
        collect(&root().join(folder), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut BTreeMap<String, Test>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path: PathBuf = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(root()).unwrap().display().to_string();
            read(&file, &fs::read_to_string(&path).unwrap(), found);
        }
    }
}

fn read(file: &str, text: &str, found: &mut BTreeMap<String, Test>) {
    let lines: Vec<&str> = text.lines().collect();
    let (mut marked, mut is_ignored) = (false, false);
    for (at, line) in lines.iter().enumerate() {
        let bare = line.trim_start();
        marked |= bare == "#[test]" || bare.starts_with("#[tokio::test");
        is_ignored |= bare.starts_with("#[ignore");
        let Some((before, rest)) = bare.split_once("fn ").filter(|(before, _)| before.split(' ').all(is_before_fn))
        else {
            continue;
        };
        let is_part = file.starts_with("tests/node/") && before.starts_with("pub");
        if marked || is_part {
            let end = line.len() - bare.len();
            let is_end = |line: &&&str| line.len() == end + 1 && line.ends_with('}');
            let body = lines[at..].iter().take_while(|line| !is_end(line)).map(|line| format!("{line}\n"));
            let name = rest.split(['(', '<']).next().unwrap();
            found.insert(format!("{file}::{name}"), Test { text: body.collect(), is_ignored });
        }
        (marked, is_ignored) = (false, false);
    }
}

fn is_before_fn(word: &str) -> bool {
    ["", "async", "pub", "pub(crate)", "pub(super)"].contains(&word)
}

/// Another attribute or a comment between the mark and the function changes nothing; a function without a mark is none.
#[test]
fn tests_are_found_with_their_marks() {
    let text = "#[test]\n#[ignore = \"x\"]\nfn one() {\n    a\n}\n\nfn two() {\n}\n    #[tokio::test]\n    // x\n    async fn three() {\n        b\n    }\n";
    let mut found = BTreeMap::new();
    read("src/x.rs", text, &mut found);
    let seen: Vec<_> = found.iter().map(|(name, test)| (name.as_str(), test.is_ignored, test.text.as_str())).collect();
    let three = "    async fn three() {\n        b\n";
    assert_eq!(seen, [("src/x.rs::one", true, "fn one() {\n    a\n"), ("src/x.rs::three", false, three)]);
}
