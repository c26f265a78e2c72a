//! Layouts over predicates: an attribute rule and the predicate that it is held against, a line each; and the first line
//! as a layout of its own, against the second as a Statement of its own.

#![no_main]

use std::collections::BTreeMap;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use pratique::in_toto::{AttestationFile, Inspections, LayoutKey, Limits, Options, SupplyChain, lint, verify};
use pratique_fuzz::{KEYID, key_object, seal};
use serde_json::{Value, json};

const TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let key = key_object();
    let keys = json!({KEYID: {
        "keyID": KEYID, "keyType": key["keytype"], "scheme": key["scheme"], "keyVal": key["keyval"],
    }});
    let rule = json!({"rule": first, "allowIfNoClaim": second.len() % 2 == 0});
    let expected =
        json!({"predicateType": TYPE, "functionaries": [KEYID], "threshold": 1, "expectedAttributes": [rule]});
    let layout = json!({
        "_type": "layout", "expires": "2100-01-01T00:00:00Z", "functionaries": keys,
        "steps": [{"name": "test", "expectedMaterials": ["ALLOW *"], "expectedPredicates": [expected]}],
    });
    let predicate: Value = serde_json::from_str(second).unwrap_or_default();
    let subject = json!([{"name": "app", "digest": {"sha256": "ab".repeat(32)}}]);
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": TYPE, "predicate": predicate,
    });
    let limits = Limits { attribute_cost: 20_000, ..Limits::default() };
    for (layout, statement) in
        [(layout.to_string().as_bytes(), statement.to_string().as_bytes()), (first.as_bytes(), second.as_bytes())]
    {
        let (layout, bytes) = (seal_by_key(layout), seal(statement));
        for parameters in [None, Some(BTreeMap::from([("tag".to_owned(), "1.0".to_owned())]))] {
            let options =
                Options { predicates: true, parameters, inspections: Inspections::Skip, ..Options::default() };
            let attestations = vec![AttestationFile { name: "file".to_owned(), bytes: &bytes }];
            let keys = vec![LayoutKey::from_object(&key_object()).unwrap()];
            let chain = SupplyChain { layout: &layout, keys, links: Vec::new(), attestations };
            let _ = verify(&chain, &options, Timestamp::UNIX_EPOCH, &limits);
        }
        let _ = lint(&layout, &limits);
    }
});

/// A layout says whose signature it bears.
fn seal_by_key(payload: &[u8]) -> Vec<u8> {
    let mut named: Value = serde_json::from_slice(&seal(payload)).unwrap();
    named["signatures"][0]["keyid"] = json!(KEYID);
    named.to_string().into_bytes()
}
