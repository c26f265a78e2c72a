//! Layouts over predicates (ITE-10, ITE-11) through TUF: where they count, and what a thief of the online keys makes of
//! them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::fixture::*;
use crate::{
    crypto::{Sha256, dsse},
    evidence::{
        Error, Proof, Requirement, Subject,
        requirement::{PredicateType, Predicates, Product, Statements, StepName},
    },
    publish::{LinkSource, NewLayout, SigningKey},
};

const FILE: &str = "attestations.intoto.jsonl";
const SCANNED: &str = "https://in-toto.io/attestation/vulns/v0.1";
const PROVENANCE: PredicateType = PredicateType::ProvenanceV1;

fn ci() -> SigningKey {
    seed("ci")
}

fn scanner() -> SigningKey {
    seed("scanner")
}

fn digest() -> Sha256 {
    Sha256::of(&manifest("1.0"))
}

fn sealed(payload: &Value, key: &SigningKey) -> Vec<u8> {
    let payload_type = "application/vnd.in-toto+json";
    let payload = payload.to_string();
    let sig = STANDARD.encode(key.sign(&dsse::pae(payload_type, payload.as_bytes())).unwrap());
    let signatures = json!([{"keyid": key.keyid().unwrap().as_str(), "sig": sig}]);
    let envelope = json!({"payloadType": payload_type, "payload": STANDARD.encode(payload), "signatures": signatures});
    format!("{envelope}\n").into_bytes()
}

fn statement(predicate_type: &str, digest: Sha256, predicate: Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": predicate_type, "predicate": predicate,
        "subject": [{"name": NAME, "digest": {"sha256": digest.to_string()}}],
    })
}

fn built(digest: Sha256, builder: &str) -> Vec<u8> {
    let definition =
        json!({"buildType": "https://ci.example/v1", "externalParameters": {}, "resolvedDependencies": []});
    let predicate = json!({"buildDefinition": definition, "runDetails": {"builder": {"id": builder}}});
    sealed(&statement(PROVENANCE.as_str(), digest, predicate), &ci())
}

fn scanned(digest: Sha256, severity: &str) -> Vec<u8> {
    let result = json!([{"vulnerability": {"id": "CVE-1"}, "severity": [{"method": "nvd", "score": severity}]}]);
    sealed(&statement(SCANNED, digest, json!({"scanner": {"result": result}})), &scanner())
}

fn good_ones() -> Vec<u8> {
    [built(digest(), "https://ci.example"), scanned(digest(), "low")].concat()
}

/// `build` by CI makes the image, and `scan` is about what it made.
fn layout() -> Value {
    let listed = |key: &SigningKey| {
        let object = key.key_object().unwrap();
        let keyid = key.keyid().unwrap();
        json!({"keyID": keyid, "keyType": object["keytype"], "scheme": object["scheme"], "keyVal": object["keyval"]})
    };
    let expected = |predicate_type: &str, key: &SigningKey, rule: &str| {
        json!([{
            "predicateType": predicate_type, "functionaries": [key.keyid().unwrap()], "threshold": 1,
            "expectedAttributes": [{"rule": rule}],
        }])
    };
    let severe = "predicate.scanner.result.all(found, found.severity.all(said, said.score != 'critical'))";
    json!({
        "_type": "layout", "expires": "2030-03-01T00:00:00Z",
        "functionaries": {ci().keyid().unwrap().as_str(): listed(&ci()), scanner().keyid().unwrap().as_str(): listed(&scanner())},
        "steps": [
            {"name": "build", "expectedPredicates":
                expected(PROVENANCE.as_str(), &ci(), "predicate.runDetails.builder.id == 'https://ci.example'")},
            {"name": "scan", "expectedMaterials": [format!("MATCH {NAME} WITH PRODUCTS FROM build"), "DISALLOW *"],
                "expectedPredicates": expected(SCANNED, &scanner(), severe)},
        ],
    })
}

/// The rule's words: `predicates: allow, product: {step: build, predicateType: …}`.
fn allowed() -> Requirement {
    let product = Product { step: Some("build".to_owned()), predicate_type: Some(PROVENANCE), ..Product::default() };
    Requirement { product, statements: asked("build", PROVENANCE), predicates: Predicates::Allow, ..requirement() }
}

fn asked(step: &str, predicate_type: PredicateType) -> Statements {
    Statements::new([(StepName::parse(step).unwrap(), predicate_type)].into()).unwrap()
}

fn published(layout: &Value, signer: &SigningKey) -> (Fixture, Subject) {
    let mut fixture = Fixture::empty();
    let keys = vec![fixture.people.owner.public_pem().unwrap().into_bytes()];
    let (path, images, role) = (LAYOUT.to_owned(), vec![NAME.to_owned()], "targets".to_owned());
    let bytes = sealed(layout, signer);
    fixture.publisher.add_layout(NewLayout { path, bytes, keys, images, role }).unwrap();
    let files = vec![LinkSource { name: FILE.to_owned(), bytes: good_ones() }];
    let image = fixture.add_image_with("1.0", Some("1.0"), LAYOUT, files);
    (fixture, image)
}

fn good_one() -> (Fixture, Subject) {
    published(&layout(), &People::of("app").owner)
}

/// What becomes of the image when a thief of the online keys lists these Statements.
fn judged(bytes: &[u8]) -> Result<Proof, Error> {
    let (mut fixture, image) = good_one();
    assert!(fixture.judge_by(&image, &allowed()).is_ok());
    fixture.with_online_keys(|editor| {
        let path = format!("in-toto-metadata/{}/{FILE}", digest());
        editor.add_target("images", &path, bytes, Map::new()).unwrap();
    });
    fixture.judge_published(&image, &allowed())
}

fn refusal(judged: Result<Proof, Error>) -> (&'static str, String) {
    let error = judged.unwrap_err();
    (error.code(), error.to_string())
}

#[test]
fn t2_the_subject_of_an_expected_predicate_is_the_image() {
    let proof = judged(&good_ones()).unwrap();
    assert_eq!(proof.bound_to(), Some(("build", NAME)));
    let [build, scan] = proof.steps() else { panic!() };
    assert_eq!(
        (build.functionaries.as_slice(), scan.functionaries.as_slice()),
        (&[ci().keyid().unwrap()][..], &[scanner().keyid().unwrap()][..])
    );
    assert_eq!(
        (&build.predicate_types[..], &scan.predicate_types[..]),
        (&[PROVENANCE.to_string()][..], &[SCANNED.to_owned()][..])
    );
    assert!(
        proof.loose().iter().all(|lint| lint.to_string().contains("do not end in DISALLOW *")),
        "{:?}",
        proof.loose()
    );
}

#[test]
fn it_counts_only_where_the_rule_says_so() {
    let (mut fixture, image) = good_one();
    let denied = Requirement { predicates: Predicates::Deny, ..allowed() };
    assert_eq!(refusal(fixture.judge_by(&image, &denied)).0, "in-toto/predicates-denied");
    assert_eq!(refusal(fixture.judge(&image)).0, "in-toto/predicates-denied");
    // Every layout of this kind, and only that: a classic one stays as it is.
    let mut classic = Fixture::new();
    let image = classic.add_image("1.0", None);
    assert!(classic.judge_by(&image, &Requirement { predicates: Predicates::Allow, ..requirement() }).is_ok());
}

#[test]
fn t1_it_is_the_word_of_a_layout_role_and_signed_by_its_owner() {
    let (mut fixture, image) = good_one();
    let elsewhere = Requirement { layout_roles: chains(&["targets/other"]), ..allowed() };
    assert_eq!(refusal(fixture.judge_by(&image, &elsewhere)).0, "layout/wrong-role");
    // That TUF lists it is not enough.
    let (mut fixture, image) = published(&layout(), &ci());
    assert_eq!(refusal(fixture.judge_by(&image, &allowed())).0, "in-toto/layout-signature");
    // The thief's own layout, under the thief's role.
    let (mut fixture, image) = good_one();
    fixture.judge_by(&image, &allowed()).unwrap();
    fixture.with_online_keys(|editor| {
        editor.add_target("images", "in-toto-metadata/evil.layout", &sealed(&layout(), &ci()), Map::new()).unwrap();
        let path = format!("{NAME}@sha256:{}", digest());
        let mut entry = editor.signed("images").unwrap()["targets"][&path].clone();
        entry["custom"]["in-toto"] = json!(["in-toto-metadata/evil.layout"]);
        editor.list_target("images", &path, entry).unwrap();
    });
    assert_eq!(refusal(fixture.judge_published(&image, &allowed())).0, "layout/wrong-role");
}

#[test]
fn t2_what_the_functionaries_did_not_say_does_not_pass() {
    // A Statement is missing, or says otherwise, or is about another image.
    for (bytes, code) in [
        (built(digest(), "https://ci.example"), "in-toto/threshold-not-met"),
        ([built(digest(), "https://evil.example"), scanned(digest(), "low")].concat(), "in-toto/attribute-rule"),
        ([built(digest(), "https://ci.example"), scanned(digest(), "critical")].concat(), "in-toto/attribute-rule"),
        (
            [built(digest(), "https://ci.example"), scanned(Sha256::of(b"other"), "low")].concat(),
            "in-toto/disallowed-artifact",
        ),
        (
            [built(Sha256::of(b"other"), "https://ci.example"), scanned(Sha256::of(b"other"), "low")].concat(),
            "evidence/not-bound",
        ),
        ([good_ones(), b"{}\n".to_vec()].concat(), "in-toto/malformed"),
    ] {
        assert_eq!(refusal(judged(&bytes)).0, code);
    }
}

#[test]
fn t2_without_a_predicate_type_a_rule_of_the_step_names_the_image() {
    let unbound =
        Requirement { product: Product { step: Some("build".to_owned()), ..Product::default() }, ..allowed() };
    let (mut fixture, image) = good_one();
    assert_eq!(refusal(fixture.judge_by(&image, &unbound)).0, "evidence/not-consumed");
    let mut closed = layout();
    closed["steps"][0]["expectedProducts"] = json!([format!("CREATE {NAME}"), "DISALLOW *"]);
    let (mut fixture, image) = published(&closed, &People::of("app").owner);
    let proof = fixture.judge_by(&image, &unbound).unwrap();
    assert_eq!(proof.loose(), []);
    // A scan makes nothing.
    let scan = Requirement { product: Product { step: Some("scan".to_owned()), ..Product::default() }, ..allowed() };
    assert_eq!(refusal(fixture.judge_by(&image, &scan)).0, "evidence/not-bound");
}

#[test]
fn a_rule_that_asks_for_what_the_layout_does_not_expect_is_refused() {
    let (mut fixture, image) = good_one();
    for (step, predicate_type) in [("build", PredicateType::LinkV03), ("scan", PROVENANCE), ("biuld", PROVENANCE)] {
        let by = Requirement { statements: asked(step, predicate_type), ..allowed() };
        assert_eq!(refusal(fixture.judge_by(&image, &by)).0, "in-toto/predicate-not-expected");
    }
}
