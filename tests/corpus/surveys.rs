//! What is shown to people of every case: it must break exactly where the verification does.

use std::fs;

use pratique::in_toto::{self, Inspections, LayoutKey, Limits, LinkFile, Options, Sublayouts, SupplyChain};
use serde_json::Value;

use crate::cases::{collect, now};

#[test]
fn a_survey_finds_something_broken_where_a_case_is_refused_and_nowhere_else() {
    let Some(corpus) = crate::corpus() else { return };
    let mut looked_at = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = fs::read(folder.join("case.json")) else { continue };
        let case: Value = serde_json::from_slice(&text).unwrap();
        let named = |member: &str| folder.join(case[member].as_str().unwrap());
        let layout = fs::read(named("layout")).unwrap();
        let keys = case["verification_keys"].as_array().unwrap().iter();
        let keys = keys.map(|key| LayoutKey::parse(&fs::read(folder.join(key["file"].as_str().unwrap())).unwrap()));
        let Ok(keys) = keys.collect::<Result<Vec<_>, _>>() else { continue };
        let mut links = Vec::new();
        collect(&named("links"), &mut Vec::new(), &mut links);
        let links = links.iter().map(|(dir, name, bytes)| LinkFile { dir: dir.clone(), name: name.clone(), bytes });
        let chain = SupplyChain { layout: &layout, keys, links: links.collect(), attestations: Vec::new() };
        let options = Options {
            parameters: serde_json::from_value(case["substitution_parameters"].clone()).unwrap(),
            raw_parameters: true,
            sublayouts: Sublayouts::Allow { depth: 8 },
            ..Options::default()
        };
        let (now, limits) = (now(), Limits::default());
        let verified = in_toto::verify_with(&chain, &options, &mut Inspections::Skip, now, &limits);
        let survey = in_toto::survey(&chain, &options, &mut Inspections::Skip, now, &limits);
        let broken = survey.failure.is_some() || survey.items.iter().any(|item| item.failure.is_some());
        assert_eq!(broken, verified.is_err(), "{}: {verified:?}", case["id"]);
        looked_at += 1;
    }
    assert!(looked_at > 250, "{looked_at}");
}
