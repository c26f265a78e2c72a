//! Files: what is an envelope, and whose signature is on it.

use super::*;

fn with_layout_file(bytes: impl Into<Vec<u8>>) -> Chain {
    good().with(|chain| chain.raw_layout = Some(bytes.into()))
}

fn signed_layout() -> Value {
    let chain = good();
    serde_json::from_slice(&metablock(&chain.layout, &[OWNER])).unwrap()
}

#[test]
fn what_is_not_json_is_refused() {
    assert!(matches!(with_layout_file("{").problem().2, Problem::Json(_)));
    assert!(matches!(with_layout_file(r#"{"signed":1,"signed":2}"#).problem().2, Problem::Json(_)));
}

#[test]
fn json_without_an_envelope_is_refused() {
    assert_eq!(with_layout_file("[]").problem().2, Problem::NotA("an object"));
    assert_eq!(with_layout_file("{}").problem().2, Problem::NoEnvelope);
}

#[test]
fn a_file_with_both_envelopes_is_refused() {
    let mut both = signed_layout();
    both["payload"] = json!("");
    assert_eq!(with_layout_file(both.to_string()).problem().2, Problem::BothEnvelopes);
    let mut both = signed_layout();
    both["payloadType"] = json!("application/vnd.in-toto+json");
    assert_eq!(with_layout_file(both.to_string()).problem().2, Problem::BothEnvelopes);
}

#[test]
fn a_member_that_is_an_envelopes_but_for_case_is_refused() {
    for name in ["Signed", "SIGNATURES", "\u{17f}igned", "Payload"] {
        let mut layout = signed_layout();
        layout[name] = json!({});
        assert!(matches!(with_layout_file(layout.to_string()).problem().2, Problem::CaseVariant { .. }), "{name}");
    }
    let mut layout = signed_layout();
    layout["comment"] = json!("beside the signed part");
    assert!(with_layout_file(layout.to_string()).verify().is_ok());
}

#[test]
fn a_file_beyond_the_cap_is_refused() {
    let chain = good().with(|chain| chain.limits.layout_bytes = 100);
    assert!(matches!(chain.refusal(), Error::Limit { what: "bytes", limit: 100, .. }));
}

#[test]
fn more_signatures_than_the_cap_are_refused() {
    let chain = good().with(|chain| {
        chain.layout_signers = vec![OWNER; 3];
        chain.limits.signatures = 2;
    });
    assert!(matches!(chain.refusal(), Error::Limit { what: "signatures", limit: 2, found: 3, .. }));
    let chain = chain.with(|chain| chain.raw_layout = Some(in_dsse(&chain.layout, &[OWNER, ALICE, BOB])));
    assert!(matches!(chain.refusal(), Error::Limit { what: "signatures", limit: 2, found: 3, .. }));
}

#[test]
fn a_signature_without_a_key_id_is_refused() {
    let mut layout = signed_layout();
    layout["signatures"][0].as_object_mut().unwrap().remove("keyid");
    assert_eq!(with_layout_file(layout.to_string()).problem().2, Problem::Missing("keyid"));
}

#[test]
fn only_the_first_signature_of_a_key_counts_in_a_metablock() {
    let mut layout = signed_layout();
    let good_one = layout["signatures"][0].clone();
    let mut bad_one = good_one.clone();
    bad_one["sig"] = json!("00".repeat(64));
    layout["signatures"] = json!([good_one, bad_one]);
    assert!(with_layout_file(layout.to_string()).verify().is_ok());
    layout["signatures"] = json!([bad_one, good_one]);
    assert_eq!(with_layout_file(layout.to_string()).code(), "in-toto/layout-signature");
}

#[test]
fn a_signature_that_is_not_hex_does_not_count() {
    let mut layout = signed_layout();
    layout["signatures"][0]["sig"] = json!("zz");
    assert_eq!(with_layout_file(layout.to_string()).code(), "in-toto/layout-signature");
}

#[test]
fn an_openpgp_signature_does_not_count_for_a_plain_key() {
    let mut layout = signed_layout();
    let signature = layout["signatures"][0]["sig"].take();
    layout["signatures"][0] = json!({"keyid": keyid(OWNER), "signature": signature, "other_headers": "00"});
    assert_eq!(with_layout_file(layout.to_string()).code(), "in-toto/layout-signature");
}

#[test]
fn both_envelopes_may_be_mixed() {
    let chain = good().with(|chain| chain.raw_layout = Some(in_dsse(&chain.layout, &[OWNER])));
    assert!(chain.verify().is_ok());
    let chain = good().with(|chain| drop(chain.raw.insert(path("build", BOB), in_dsse(&build_link(), &[BOB]))));
    assert!(chain.verify().is_ok());
}

#[test]
fn a_payload_of_another_type_is_refused() {
    let layout = good().layout.to_string();
    let file = envelope("application/json", layout.as_bytes(), &[OWNER]);
    let problem = with_layout_file(file.to_string()).problem().2;
    assert_eq!(problem, Problem::PayloadType("application/json".to_owned()));
}

#[test]
fn the_payload_type_is_signed() {
    let layout = good().layout.to_string();
    let mut file = envelope("application/json", layout.as_bytes(), &[OWNER]);
    file["payloadType"] = json!("application/vnd.in-toto+json");
    assert_eq!(with_layout_file(file.to_string()).code(), "in-toto/layout-signature");
}

#[test]
fn two_signatures_of_one_key_id_are_refused_in_a_dsse_envelope() {
    let file = in_dsse(&good().layout, &[OWNER, OWNER]);
    assert_eq!(with_layout_file(file).problem().2, Problem::DuplicateSignature(keyid(OWNER)));
}

#[test]
fn a_dsse_signature_without_a_key_id_is_refused() {
    let mut file: Value = serde_json::from_slice(&in_dsse(&good().layout, &[OWNER])).unwrap();
    file["signatures"][0].as_object_mut().unwrap().remove("keyid");
    assert_eq!(with_layout_file(file.to_string()).problem().2, Problem::NoKeyId);
}

#[test]
fn an_empty_key_id_is_no_wildcard() {
    let mut file: Value = serde_json::from_slice(&in_dsse(&good().layout, &[OWNER])).unwrap();
    file["signatures"][0]["keyid"] = json!("");
    assert_eq!(with_layout_file(file.to_string()).code(), "in-toto/layout-signature");
}

#[test]
fn the_payload_of_a_dsse_envelope_is_read_as_strictly() {
    let file = envelope("application/vnd.in-toto+json", br#"{"_type":"layout","_type":"link"}"#, &[OWNER]);
    let (_, at, problem) = with_layout_file(file.to_string()).problem();
    assert_eq!(at, "payload");
    assert!(matches!(problem, Problem::Json(_)));
}

#[test]
fn a_layout_is_told_from_a_link() {
    let chain = good();
    assert!(is_layout(&metablock(&chain.layout, &[])));
    assert!(is_layout(&in_dsse(&chain.layout, &[])));
    assert!(!is_layout(&metablock(&build_link(), &[])));
    assert!(!is_layout(b"{}"));
}
