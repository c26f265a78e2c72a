//! A project that has provenance from its CI and no links: one layout with one step, which Statements attest, and whose
//! subject is the image (binding C of T2).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::fixture::*;
use crate::{
    crypto::{Sha256, dsse},
    evidence::{
        Error, Proof, Requirement, Subject,
        requirement::{Platforms, PredicateType, Product, Statements, StepName, Tags, Via},
    },
    publish::{Format, Layout, Link, LinkSource, NewImage, SigningKey, Step},
};

const FILE: &str = "provenance.intoto.jsonl";
const PROVENANCE: PredicateType = PredicateType::ProvenanceV1;
const OTHER: &str = "registry.example/team/other";

fn ci() -> SigningKey {
    seed("ci")
}

fn tester() -> SigningKey {
    seed("tester")
}

fn digest() -> Sha256 {
    Sha256::of(&manifest("1.0"))
}

fn provenance(subjects: &Value) -> Value {
    let definition = json!({
        "buildType": "https://ci.example/v1", "externalParameters": {},
        "resolvedDependencies": [{"uri": "git+https://git.example/app@refs/tags/1.0", "digest": {"gitCommit": "ab12"}}],
    });
    let details = json!({"builder": {"id": "https://ci.example/runner"}});
    json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": PROVENANCE.as_str(),
        "predicate": {"buildDefinition": definition, "runDetails": details},
    })
}

fn of(name: &str, digest: Sha256) -> Value {
    json!({"name": name, "digest": {"sha256": digest.to_string()}})
}

/// As CI signs it: no key id.
fn sealed(payload: &Value, key: &SigningKey) -> Vec<u8> {
    sealed_as("application/vnd.in-toto+json", payload, key)
}

fn sealed_as(payload_type: &str, payload: &Value, key: &SigningKey) -> Vec<u8> {
    let payload = payload.to_string();
    let sig = STANDARD.encode(key.sign(&dsse::pae(payload_type, payload.as_bytes())).unwrap());
    let signatures = json!([{"keyid": "", "sig": sig}]);
    let mut line = json!({"payloadType": payload_type, "payload": STANDARD.encode(payload), "signatures": signatures})
        .to_string()
        .into_bytes();
    line.push(b'\n');
    line
}

fn good_one() -> Vec<u8> {
    sealed(&provenance(&json!([of(NAME, digest())])), &ci())
}

/// `build` by CI. Its rules say nothing of the image.
fn layout() -> Layout {
    Layout::new(now() + SignedDuration::from_hours(24)).step(Step::new("build").functionary(&ci()).unwrap())
}

/// The same, and `test` by a tester and by CI, by links.
fn layout_of_two() -> Layout {
    layout().step(Step::new("test").functionary(&tester()).unwrap().functionary(&ci()).unwrap())
}

/// The rule's words: `product: {step: build, predicateType: …}`.
fn by_subject() -> Requirement {
    let product = Product { step: Some("build".to_owned()), predicate_type: Some(PROVENANCE), ..Product::default() };
    Requirement { product, statements: statements(&[("build", PROVENANCE)]), ..requirement() }
}

fn statements(steps: &[(&str, PredicateType)]) -> Statements {
    let steps = steps.iter().map(|(step, predicate_type)| (StepName::parse(step).unwrap(), *predicate_type));
    Statements::new(steps.collect()).unwrap()
}

/// The image, published with these files under a layout.
fn published(layout: &Layout, files: Vec<LinkSource>) -> (Fixture, Subject) {
    let mut fixture = Fixture::empty();
    fixture.add_layout(LAYOUT, layout, &[NAME]);
    let image = fixture.add_image_with("1.0", Some("1.0"), LAYOUT, files);
    (fixture, image)
}

fn source(name: &str, bytes: Vec<u8>) -> LinkSource {
    LinkSource { name: name.to_owned(), bytes }
}

fn link(link: &Link, key: &SigningKey) -> LinkSource {
    LinkSource { name: link.file_name(key).unwrap(), bytes: link.sign(Format::Dsse, key).unwrap() }
}

/// What becomes of an index of one manifest, under `platforms: all`, when CI has signed these subjects besides it.
fn judged_index(subjects: &[Value], products: &[&str]) -> Result<Proof, Error> {
    let child = manifest("amd64");
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": child.len(),
        "digest": format!("sha256:{}", Sha256::of(&child)), "platform": {"os": "linux", "architecture": "amd64"},
    }]})
    .to_string()
    .into_bytes();
    let named = subject(NAME, Sha256::of(&index));
    let subjects: Vec<Value> = [of(NAME, named.digest)].into_iter().chain(subjects.iter().cloned()).collect();
    let mut fixture = Fixture::empty();
    let step = Step::new("build").functionary(&ci()).unwrap().products(products);
    fixture.add_layout(LAYOUT, &Layout::new(now() + SignedDuration::from_hours(24)).step(step), &[NAME]);
    let image = NewImage {
        repository: NAME.to_owned(),
        manifest: index,
        tags: Vec::new(),
        layout: LAYOUT.to_owned(),
        links: vec![source(FILE, sealed(&provenance(&json!(subjects)), &ci()))],
        role: Some("images".to_owned()),
    };
    fixture.publisher.add_image(&image).unwrap();
    fixture.judge_by(&named, &Requirement { platforms: Platforms::All, ..by_subject() })
}

#[test]
fn t2_each_platform_is_a_subject_and_needs_no_rule_of_the_layout() {
    let child = Sha256::of(&manifest("amd64"));
    let amd64 = format!("{NAME}#linux/amd64");
    judged_index(&[of(&amd64, child)], &[]).unwrap();
    for subjects in [vec![], vec![of(&amd64, digest())], vec![of(&format!("{NAME}#linux/arm64"), child)]] {
        let error = judged_index(&subjects, &[]).unwrap_err();
        let (step, name) = ("build".to_owned(), amd64.clone());
        assert_eq!(error, Error::PlatformNotAttested { step, name, digest: child }, "{subjects:?}");
    }
    // The rules that the layout has hold all the same.
    let refused = judged_index(&[of(&amd64, child)], &[&format!("CREATE {NAME}"), "DISALLOW *"]);
    assert_eq!(refused.unwrap_err().code(), "in-toto/disallowed-artifact");
}

/// What becomes of the image when a thief of the online keys lists this file as its provenance.
fn judged(bytes: &[u8]) -> Result<Proof, Error> {
    let (mut fixture, image) = published(&layout(), vec![source(FILE, good_one())]);
    assert!(fixture.judge_by(&image, &by_subject()).is_ok());
    fixture.with_online_keys(|editor| {
        let path = format!("in-toto-metadata/{}/{FILE}", digest());
        editor.add_target("images", &path, bytes, Map::new()).unwrap();
    });
    fixture.judge_published(&image, &by_subject())
}

fn judged_with(subjects: Value) -> Result<Proof, Error> {
    judged(&sealed(&provenance(&subjects), &ci()))
}

fn refusal(judged: Result<Proof, Error>) -> (&'static str, String) {
    let error = judged.unwrap_err();
    (error.code(), error.to_string())
}

#[test]
fn t2_the_subject_of_the_provenance_is_the_image() {
    let proof = judged(&good_one()).unwrap();
    assert_eq!(proof.bound_to(), Some(("build", NAME)));
    let [build] = proof.steps() else { panic!() };
    assert_eq!(build.functionaries, [ci().keyid().unwrap()]);
    assert_eq!(build.predicate_type, Some(PROVENANCE));
    // Beside other subjects and other Statements, too.
    assert!(judged_with(json!([of("app.tar", Sha256::of(b"tar")), of(NAME, digest())])).is_ok());
    let mut sbom = provenance(&json!([of(NAME, digest())]));
    sbom["predicateType"] = json!("https://spdx.dev/Document");
    assert!(judged(&[good_one(), sealed(&sbom, &ci())].concat()).is_ok());
}

#[test]
fn t2_a_statement_of_another_predicate_type_binds_nothing() {
    let mut other = provenance(&json!([of(NAME, digest())]));
    other["predicateType"] = json!("https://slsa.dev/verification_summary/v1");
    assert_eq!(refusal(judged(&sealed(&other, &ci()))).0, "in-toto/threshold-not-met");
    // That of another type that is read does not stand for it either.
    other["predicateType"] = json!("https://slsa.dev/provenance/v0.2");
    other["predicate"] = json!({"builder": {"id": "https://ci.example"}, "buildType": "https://ci.example/v1"});
    assert_eq!(refusal(judged(&sealed(&other, &ci()))).0, "in-toto/threshold-not-met");
}

#[test]
fn t2_the_digest_under_another_repositorys_name_does_not_bind() {
    for name in [OTHER, "registry.example/team/app:1.0", "team/app", &format!("{NAME}#linux/amd64")] {
        let (code, text) = refusal(judged_with(json!([of(name, digest())])));
        assert_eq!(code, "evidence/not-bound");
        assert!(text.ends_with(&format!("; found the digest under the name {name}")), "{text}");
    }
}

#[test]
fn t2_the_name_with_another_digest_does_not_bind() {
    let (code, text) = refusal(judged_with(json!([of(NAME, Sha256::of(b"evil"))])));
    assert_eq!(code, "evidence/not-bound");
    assert!(text.contains(&format!("found {NAME} with sha256 {}", Sha256::of(b"evil"))), "{text}");
}

#[test]
fn t2_a_good_and_a_foreign_digest_under_one_name_are_refused() {
    for subjects in [[digest(), Sha256::of(b"evil")], [Sha256::of(b"evil"), digest()], [digest(), digest()]] {
        let (code, text) = refusal(judged_with(json!(subjects.map(|digest| of(NAME, digest)))));
        assert_eq!(code, "in-toto/malformed");
        assert!(text.contains("stands twice in the list"), "{text}");
    }
}

#[test]
fn t2_a_sha512_alone_does_not_bind_and_upper_case_is_no_digest() {
    let (code, text) = refusal(judged_with(json!([{"name": NAME, "digest": {"sha512": "ab".repeat(64)}}])));
    assert_eq!(code, "evidence/not-bound");
    assert!(text.ends_with(&format!("found {NAME} without a sha256")), "{text}");
    let upper = digest().to_string().to_uppercase();
    let (code, text) = refusal(judged_with(json!([{"name": NAME, "digest": {"sha256": upper}}])));
    assert_eq!(code, "in-toto/malformed");
    assert!(text.contains("subject[0].digest"), "{text}");
}

#[test]
fn t2_provenance_by_a_functionary_of_another_step_does_not_count() {
    let test = Link::new("test").material(NAME, digest());
    let files = |key: &SigningKey| {
        let signed = sealed(&provenance(&json!([of(NAME, digest())])), key);
        vec![source(FILE, signed), link(&test, &tester())]
    };
    let (mut fixture, image) = published(&layout_of_two(), files(&ci()));
    assert!(fixture.judge_by(&image, &by_subject()).is_ok());
    let (mut fixture, image) = published(&layout_of_two(), files(&tester()));
    assert_eq!(refusal(fixture.judge_by(&image, &by_subject())).0, "in-toto/threshold-not-met");
}

#[test]
fn t2_provenance_of_one_step_does_not_do_for_another_step_of_its_functionary() {
    // CI may do both steps, and says of one that it did.
    let (mut fixture, image) = published(&layout_of_two(), vec![source(FILE, good_one())]);
    let (code, text) = refusal(fixture.judge_by(&image, &by_subject()));
    assert_eq!(code, "in-toto/threshold-not-met");
    assert!(text.starts_with("step \"test\" needs links by 1 functionary, 0 verified"), "{text}");
}

#[test]
fn a_link_and_a_statement_do_not_stand_for_each_other() {
    let build = link(&Link::new("build").product(NAME, digest()), &ci());
    let (mut fixture, image) = published(&layout(), vec![build]);
    let (code, text) = refusal(fixture.judge_by(&image, &by_subject()));
    assert_eq!(code, "in-toto/threshold-not-met");
    assert!(text.ends_with("a link, and no Statement"), "{text}");

    let (mut fixture, image) = published(&layout(), vec![source(FILE, good_one())]);
    let (code, text) = refusal(fixture.judge(&image));
    assert_eq!(code, "in-toto/threshold-not-met");
    assert!(text.ends_with("no link"), "{text}");

    // A Statement in the place of a link is none.
    let named = LinkSource { name: Link::new("build").file_name(&ci()).unwrap(), bytes: Vec::new() };
    let (mut fixture, image) = published(&layout(), vec![source(FILE, good_one())]);
    let place = format!("in-toto-metadata/{}/{}", digest(), named.name);
    fixture.with_online_keys(|editor| {
        editor.add_target("images", &place, &good_one(), Map::new()).unwrap();
        let path = format!("{NAME}@sha256:{}", digest());
        let mut entry = editor.signed("images").unwrap()["targets"][&path].clone();
        entry["custom"]["in-toto"] = json!([LAYOUT, place]);
        editor.list_target("images", &path, entry).unwrap();
    });
    let refused = refusal(fixture.judge_published(&image, &by_subject()));
    assert_eq!(refused.0, "in-toto/threshold-not-met", "{}", refused.1);
}

#[test]
fn attestations_that_the_rule_does_not_ask_for_are_passed_over() {
    let mut fixture = Fixture::new();
    let mut files = fixture.people.links(NAME, digest());
    files.push(source(FILE, good_one()));
    let image = fixture.add_image_with("1.0", None, LAYOUT, files);
    assert!(fixture.judge(&image).is_ok());
    fixture.with_online_keys(|editor| {
        let path = format!("in-toto-metadata/{}/{FILE}", digest());
        editor.add_target("images", &path, b"{}\n{}\n", Map::new()).unwrap();
    });
    assert_eq!(refusal(fixture.judge_published(&image, &requirement())).0, "evidence/unknown-kind");
}

#[test]
fn a_file_with_a_bad_line_or_too_many_lines_is_refused() {
    let (code, text) = refusal(judged(&[good_one(), b"{\n".to_vec()].concat()));
    assert_eq!(code, "in-toto/malformed");
    assert!(text.contains(&format!("{FILE} line 2")), "{text}");
    let mut bare = provenance(&json!([]));
    bare["predicateType"] = json!("");
    bare["predicate"] = json!({});
    let many = sealed(&bare, &ci()).repeat(40_000);
    assert_eq!(refusal(judged(&[good_one(), many].concat())).0, "in-toto/limit");
}

#[test]
fn a_payload_of_another_kind_is_refused() {
    let other = sealed_as("application/json", &provenance(&json!([of(NAME, digest())])), &ci());
    let (code, text) = refusal(judged(&other));
    assert_eq!(code, "in-toto/malformed");
    assert!(text.contains("payload type is \"application/json\""), "{text}");
}

#[test]
fn the_same_provenance_twice_is_ambiguous() {
    assert_eq!(refusal(judged(&good_one().repeat(2))).0, "in-toto/ambiguous-statement");
    let (mut fixture, image) = published(&layout(), vec![source(FILE, good_one()), source("b.json", good_one())]);
    assert_eq!(refusal(fixture.judge_by(&image, &by_subject())).0, "in-toto/ambiguous-statement");
}

#[test]
fn provenance_of_another_image_listed_here_by_a_thief_binds_nothing() {
    let theirs = sealed(&provenance(&json!([of(OTHER, Sha256::of(b"their manifest"))])), &ci());
    assert_eq!(refusal(judged(&theirs)).0, "evidence/not-bound");
    // Nor beside the image's own: which of the two is meant?
    assert_eq!(refusal(judged(&[good_one(), theirs].concat())).0, "in-toto/ambiguous-statement");
}

#[test]
fn attestations_are_held_to_the_roles_of_links() {
    let (mut fixture, image) = published(&layout(), vec![source(FILE, good_one())]);
    let by = |role: &str| Requirement { link_roles: Some(chains(&[role])), ..by_subject() };
    assert!(fixture.judge_by(&image, &by("targets/images")).is_ok());
    assert_eq!(refusal(fixture.judge_by(&image, &by("targets"))).0, "evidence/wrong-role");
}

#[test]
fn a_rule_that_names_a_step_which_the_layout_lacks_is_refused() {
    let (mut fixture, image) = published(&layout(), vec![source(FILE, good_one())]);
    let extra = [("build", PROVENANCE), ("biuld", PredicateType::LinkV03)];
    let by = Requirement { statements: statements(&extra), ..by_subject() };
    let (code, text) = refusal(fixture.judge_by(&image, &by));
    assert_eq!(
        (code, text.as_str()),
        ("evidence/no-such-step", "the layout has no step \"biuld\", which the rule names")
    );
}

#[test]
fn t2_without_the_word_a_statement_binds_as_a_link_does() {
    let as_link = Requirement { statements: statements(&[("build", PROVENANCE)]), ..requirement() };
    let (mut fixture, image) = published(&layout(), vec![source(FILE, good_one())]);
    assert_eq!(refusal(fixture.judge_by(&image, &as_link)).0, "evidence/not-consumed");
    let step = Step::new("build").functionary(&ci()).unwrap();
    let step = step.materials(&["ALLOW git+https://git.example/app@*", "DISALLOW *"]);
    let step = step.products(&[&format!("CREATE {NAME}"), "DISALLOW *"]);
    let closed = Layout::new(now() + SignedDuration::from_hours(24)).step(step);
    let (mut fixture, image) = published(&closed, vec![source(FILE, good_one())]);
    assert!(fixture.judge_by(&image, &as_link).is_ok());
    assert!(fixture.judge_by(&image, &by_subject()).is_ok());
}

#[test]
fn t2_the_products_of_links_are_no_subjects() {
    // No policy says this; a requirement that did would not bind by what a link says.
    let by = Requirement { statements: Statements::default(), ..by_subject() };
    let build = link(&Link::new("build").product(NAME, digest()), &ci());
    let (mut fixture, image) = published(&layout(), vec![build]);
    assert_eq!(refusal(fixture.judge_by(&image, &by)).0, "evidence/not-bound");
}

#[test]
fn t4_a_tag_is_attested_by_a_subject_of_its_name() {
    let attested = Requirement { tags: Tags::Attested, ..by_subject() };
    let tagged = format!("{NAME}:1.0");
    let judged = |subjects: Value| {
        let (mut fixture, image) = published(&layout(), vec![source(FILE, sealed(&provenance(&subjects), &ci()))]);
        let image = Subject { tag: Some("1.0".parse().unwrap()), ..image };
        fixture.judge_by(&image, &attested)
    };
    assert!(judged(json!([of(NAME, digest()), of(&tagged, digest())])).is_ok());
    assert_eq!(refusal(judged(json!([of(NAME, digest())]))).0, "evidence/tag-not-attested");
    let old = json!([of(NAME, digest()), of(&tagged, Sha256::of(b"old"))]);
    assert_eq!(refusal(judged(old)).0, "evidence/tag-not-attested");
}

#[test]
fn statements_and_links_make_one_chain() {
    // The tester's link is about the image that the provenance speaks of.
    let matched = format!("MATCH {NAME} WITH PRODUCTS FROM build");
    let test = Step::new("test").functionary(&tester()).unwrap().materials(&[&matched, "DISALLOW *"]);
    let layout = layout().step(test);
    let tested = |digest| vec![source(FILE, good_one()), link(&Link::new("test").material(NAME, digest), &tester())];
    let (mut fixture, image) = published(&layout, tested(digest()));
    let proof = fixture.judge_by(&image, &by_subject()).unwrap();
    let types: BTreeMap<_, _> = proof.steps().iter().map(|step| (step.name.clone(), step.predicate_type)).collect();
    assert_eq!(types, [("build".to_owned(), Some(PROVENANCE)), ("test".to_owned(), None)].into());
    let (mut fixture, image) = published(&layout, tested(Sha256::of(b"another")));
    assert_eq!(refusal(fixture.judge_by(&image, &by_subject())).0, "in-toto/disallowed-artifact");
}

#[test]
fn t2_provenance_of_an_index_is_that_of_its_manifests_only_via_index() {
    let child = manifest("linux");
    let of_child = Sha256::of(&child);
    let entry = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{of_child}"),
        "size": child.len(), "platform": {"os": "linux", "architecture": "amd64"},
    });
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [entry]}).to_string().into_bytes();
    let signed = sealed(&provenance(&json!([of(NAME, Sha256::of(&index))])), &ci());
    let mut fixture = Fixture::empty();
    fixture.add_layout(LAYOUT, &layout(), &[NAME]);
    let image = NewImage {
        repository: NAME.to_owned(),
        manifest: index,
        tags: Vec::new(),
        layout: LAYOUT.to_owned(),
        links: vec![source(FILE, signed)],
        role: Some("images".to_owned()),
    };
    let added = fixture.publisher.add_image(&image).unwrap();
    fixture.publisher.add_children(&image, &added, &[child]).unwrap();
    let (index, child) = (subject(NAME, added.digest), subject(NAME, of_child));
    assert!(fixture.judge_by(&index, &by_subject()).is_ok());
    assert_eq!(refusal(fixture.judge_by(&child, &by_subject())).0, "evidence/not-bound");
    let via_index = Requirement { via: Some(Via::Index), ..by_subject() };
    assert_eq!(fixture.judge_by(&child, &via_index).unwrap().index(), Some(added.digest));
}
