//! Every case, judged with the time of its ground truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

use jiff::Timestamp;
use pratique::{
    cli::in_toto::Runner,
    in_toto::{self, LayoutKey, Limits, LinkFile, Options, Sublayouts, SupplyChain, Verified},
};
use serde_json::Value;

/// Cases that are judged otherwise than wanted, each with the reason. A case that is neither here nor judged as wanted
/// fails the test, and so does one that is here and judged as wanted.
const DEVIATIONS: &[(&str, &[&str])] = &[
    (
        "RSA-PSS is verified with a salt as long as the digest, which every known tool makes",
        &["011-rsa-pss-max-salt", "012-rsa-pss-zero-salt"],
    ),
    ("a link that names no step fits none (in-toto 4.4)", &["365-shape-link-name-null-dsse"]),
    (
        "OpenPGP keys of type DSA: no vetted library here verifies it, and no new key should be one",
        &["431-gpg-dsa-link"],
    ),
];

#[derive(Debug, Default)]
struct Counts {
    as_wanted: BTreeMap<String, usize>,
    other: Vec<String>,
    crashed: Vec<String>,
}

#[test]
fn cases_are_judged_as_wanted_but_for_known_deviations() {
    let Some(corpus) = crate::corpus() else { return };
    let known: BTreeMap<&str, &str> =
        DEVIATIONS.iter().flat_map(|(reason, ids)| ids.iter().map(move |id| (*id, *reason))).collect();
    let mut counts = Counts::default();
    let mut deviating = BTreeSet::new();
    let mut folders: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        let Ok(text) = fs::read(folder.join("case.json")) else { continue };
        let case: Value = serde_json::from_slice(&text).unwrap();
        let id = case["id"].as_str().unwrap();
        let class = case["class"].as_str().unwrap();
        let wanted = case["recommended"].as_str().unwrap();
        match catch_unwind(AssertUnwindSafe(|| judge(&folder, &case))) {
            Err(_) => counts.crashed.push(id.to_owned()),
            Ok(result) => {
                let judged = if result.is_ok() { "pass" } else { "fail" };
                if let Err(error) = &result {
                    println!("{id}: {error}");
                }
                if judged == wanted {
                    *counts.as_wanted.entry(class.to_owned()).or_default() += 1;
                } else {
                    let error = result.err().unwrap_or_default();
                    let reason = known.get(id).copied().unwrap_or("NOT KNOWN");
                    counts.other.push(format!("{id} ({class}): {judged}, wanted {wanted} ({reason}): {error}"));
                    deviating.insert(id.to_owned());
                }
            }
        }
    }
    println!("as wanted: {:?}", counts.as_wanted);
    println!("other: {}\n  {}", counts.other.len(), counts.other.join("\n  "));
    println!("crashed: {:?}", counts.crashed);
    assert_eq!(counts.crashed, Vec::<String>::new());
    let known: BTreeSet<String> = known.keys().map(|id| (*id).to_owned()).collect();
    assert_eq!(deviating, known, "left: judged otherwise than wanted; right: known");
}

/// in-toto-golang's own example of a layout with authorities and constraints, whose links are by listed keys. Go accepts
/// it, python rejects it, and so do we unless we are asked to.
#[test]
fn certificates_are_taken_as_in_go_where_they_are_asked_for() {
    let Some(corpus) = crate::corpus() else { return };
    let folder = corpus.join("458-upstream-go-demo-layout");
    let case: Value = serde_json::from_slice(&fs::read(folder.join("case.json")).unwrap()).unwrap();
    let refused = judge(&folder, &case).unwrap_err();
    assert!(refused.starts_with("[in-toto/certificates-denied]"), "{refused}");
    judge_by(&folder, &case, true).unwrap();
}

fn judge(folder: &Path, case: &Value) -> Result<Verified, String> {
    judge_by(folder, case, false)
}

fn judge_by(folder: &Path, case: &Value, certificates: bool) -> Result<Verified, String> {
    let layout = fs::read(folder.join(case["layout"].as_str().unwrap())).unwrap();
    let mut keys = Vec::new();
    for key in case["verification_keys"].as_array().unwrap() {
        let bytes = fs::read(folder.join(key["file"].as_str().unwrap())).unwrap();
        keys.push(LayoutKey::parse(&bytes).map_err(|error| format!("key: {error}"))?);
    }
    let mut links = Vec::new();
    collect(&folder.join(case["links"].as_str().unwrap()), &mut Vec::new(), &mut links);
    let links =
        links.iter().map(|(dir, name, bytes)| LinkFile { dir: dir.clone(), name: name.clone(), bytes }).collect();
    let options = Options {
        parameters: serde_json::from_value(case["substitution_parameters"].clone()).unwrap(),
        raw_parameters: true,
        certificates,
        sublayouts: Sublayouts::Allow { depth: 8 },
        ..Options::default()
    };
    // Commands change their folder; the corpus stays as it is.
    let work = tempfile::tempdir().unwrap();
    if let Some(product) = case["product"].as_str() {
        copy(&folder.join(product), work.path());
    }
    let mut runner = Runner::new(work.path(), Duration::from_secs(10));
    let chain = SupplyChain { layout: &layout, keys, links, attestations: Vec::new() };
    in_toto::verify_with(&chain, &options, &mut runner, now(), &Limits::default())
        .map_err(|error| format!("[{}] {error}", error.code()))
}

/// The ground truth's layouts expire in 2099 or before 2022.
pub(crate) fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn collect(dir: &Path, folder: &mut Vec<String>, links: &mut Vec<(Vec<String>, String, Vec<u8>)>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            folder.push(name);
            collect(&entry.path(), folder, links);
            folder.pop();
        } else {
            links.push((folder.clone(), name, fs::read(entry.path()).unwrap()));
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
