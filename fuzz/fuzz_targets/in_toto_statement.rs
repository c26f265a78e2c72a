//! Statements, one payload a line, in signed envelopes; and the input as a file of attestations as it is.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use pratique::in_toto::{
    AttestationFile, LayoutKey, Limits, Options, PredicateType, Statements, StepName, SupplyChain, is_attestation,
    verify,
};
use pratique_fuzz::{KEYID, key_object, seal, sign_value};
use serde_json::json;

fuzz_target!(|bytes: &[u8]| {
    let key = LayoutKey::from_object(&key_object()).unwrap();
    let step = json!({
        "_type": "step", "name": "build", "threshold": 1, "pubkeys": [KEYID], "expected_command": [],
        "expected_materials": [["MATCH", "*", "WITH", "PRODUCTS", "FROM", "build"], ["ALLOW", "*"]],
        "expected_products": [["CREATE", "*"], ["DISALLOW", "*"]],
    });
    let layout = sign_value(&json!({
        "_type": "layout", "expires": "2100-01-01T00:00:00Z", "readme": "", "inspect": [], "steps": [step],
        "keys": {KEYID: key_object()},
    }));
    let sealed: Vec<u8> = bytes.split(|byte| *byte == b'\n').take(4).flat_map(seal).collect();
    for file in [bytes, sealed.as_slice()] {
        let _ = is_attestation(file);
        for predicate_type in PredicateType::ALL {
            let steps = StepName::parse("build").map(|step| (step, predicate_type)).into_iter();
            let options =
                Options { statements: Statements::new(steps.collect()).unwrap_or_default(), ..Options::default() };
            let attestations = vec![AttestationFile { name: "file".to_owned(), bytes: file }];
            let chain = SupplyChain { layout: &layout, keys: vec![key.clone()], links: Vec::new(), attestations };
            let _ = verify(&chain, &options, Timestamp::UNIX_EPOCH, &Limits::default());
        }
    }
});
