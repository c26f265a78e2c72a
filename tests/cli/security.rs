//! The table in `docs/security-table.md`, and what the threat model claims, against the sources.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    pages::{read, root},
    sources::{Test, tests},
};

/// The attackers of the threat model.
const ATTACKERS: &str = "abcdefghi";

/// Every rule of belief, in the order of the page. Who adds a rule to the program adds it here.
const RULES: [&str; 30] = [
    "E", "W", "T1", "T5", "I", "T2", "T3", "T4", "L", "X", "S", "N", "K", "P", "R1", "R2", "R3", "R4", "R5", "R6",
    "R7", "R8", "Disk", "C", "B", "A", "A1", "A4", "A5", "Rights",
];

/// The cells of a row of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix("| ")?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

fn span(text: &str) -> Option<&str> {
    text.strip_prefix('`')?.strip_suffix('`').filter(|text| !text.contains('`'))
}

/// The test that a row names: it is there, it runs by itself, and it asserts what the row says.
#[track_caller]
fn holds(found: &BTreeMap<String, Test>, name: &str, told: &str) {
    let test = found.get(name).unwrap_or_else(|| panic!("no test is {name}"));
    assert!(!test.is_ignored, "{name} does not run by itself");
    assert!(told.len() > 3 && test.text.contains(told), "{name} does not say {told:?}");
}

#[test]
fn each_attacker_has_a_cell_at_each_rule_and_the_test_of_a_cell_asserts_what_it_says() {
    let (found, page) = (tests(), read(&root().join("docs/security-table.md")));
    let (_, rules) = page.split_once("\n## The rules\n").unwrap();
    let (rules, _) = rules.split_once("\n## ").unwrap();
    let (_, glance) = page.split_once("| rule | a ").unwrap();
    let glance: BTreeMap<&str, Vec<&str>> =
        glance.lines().skip(2).map_while(cells).map(|row| (row[0], row[1..].to_vec())).collect();
    let mut names = Vec::new();
    let mut tested = 0;
    for section in rules.split("### ").skip(1) {
        let (name, _) = section.split_once(": ").unwrap();
        names.push(name);
        let mut marks: BTreeMap<char, &str> = BTreeMap::new();
        for row in section.lines().filter_map(cells).filter(|row| row[0] != "who" && !row[0].starts_with("---")) {
            let [who, tries, holds_by, told, test] = row[..] else { panic!("{name}: {row:?}") };
            assert!(!holds_by.is_empty(), "{name}, {who}: neither what holds nor why there is nothing to try");
            let is_tested = !test.is_empty();
            assert_eq!(tries == "—", !is_tested, "{name}, {who}: what is tried has a test, and nothing else has");
            if is_tested {
                let (told, test) = (span(told).unwrap(), span(test).unwrap());
                holds(&found, test, told);
                tested += 1;
            }
            assert!(!is_tested || who.len() == 1, "{name}: a test is for one attacker: {who}");
            for letter in who.split(", ") {
                let letter = letter.parse().unwrap();
                assert!(ATTACKERS.contains(letter), "{name}: no attacker {letter}");
                assert_eq!(marks.insert(letter, if is_tested { "●" } else { "·" }), None, "{name}: {letter} twice");
            }
        }
        assert_eq!(marks.keys().collect::<String>(), ATTACKERS, "{name}");
        assert_eq!(glance[name], marks.into_values().collect::<Vec<_>>(), "{name} at a glance");
    }
    assert_eq!(names, RULES);
    assert_eq!(glance.len(), RULES.len());
    assert!(tested > 100, "{tested} cells have a test");
}

/// The rows of the table below a heading: what is claimed or tried, by what it is told, and the test.
fn listed<'a>(page: &'a str, heading: &str) -> Vec<[&'a str; 3]> {
    let (_, rows) = page.split_once(heading).unwrap();
    let rows = rows.split("\n## ").next().unwrap();
    let rows = rows.lines().filter_map(cells).filter(|row| row.len() == 3 && row[1] != "told by");
    rows.filter(|row| !row[0].starts_with("---"))
        .map(|row| [row[0], span(row[1]).unwrap(), span(row[2]).unwrap()])
        .collect()
}

#[test]
fn each_claim_of_the_threat_model_and_each_trial_has_a_test_that_asserts_it() {
    let found = tests();
    let model = read(&root().join("docs/threat-model.md"));
    let table = read(&root().join("docs/security-table.md"));
    let claims = listed(&model, "\n## The claims, and their tests\n");
    let trials = listed(&table, "\n## What else is tried\n");
    assert!(claims.len() > 30 && trials.len() > 20, "{} claims, {} trials", claims.len(), trials.len());
    let mut said = BTreeSet::new();
    for [claim, told, test] in claims.into_iter().chain(trials) {
        holds(&found, test, told);
        assert!(said.insert(claim), "{claim} stands twice");
    }
}

#[test]
fn no_cell_is_filled_with_a_test_of_another_rules_everything() {
    // One test may serve a few cells; one that serves many shows nothing in particular.
    let page = read(&root().join("docs/security-table.md"));
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in page.lines().filter_map(cells).filter(|row| row.len() == 5) {
        if let Some(test) = span(row[4]) {
            used.entry(test).or_default().insert(row[1]);
        }
    }
    let often: Vec<_> = used.iter().filter(|(_, cells)| cells.len() > 3).collect();
    assert!(often.is_empty(), "{often:?}");
}
