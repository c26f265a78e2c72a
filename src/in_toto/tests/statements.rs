//! Statements in place of links: which count, for which step, and what is in them.

use super::*;

const FILE: &str = "provenance.intoto.jsonl";

fn hex(text: &str) -> String {
    crate::crypto::Sha256::of(text.as_bytes()).to_string()
}

fn digest(text: &str) -> Value {
    json!({"sha256": hex(text)})
}

fn subjects() -> Value {
    json!([{"name": "app", "digest": digest("app")}, {"name": "log", "digest": digest("log")}])
}

fn statement(predicate_type: PredicateType, predicate: Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": subjects(),
        "predicateType": predicate_type.as_str(), "predicate": predicate,
    })
}

fn source() -> Value {
    json!([{"uri": "src/a", "digest": digest("source")}])
}

fn provenance() -> Value {
    let definition = json!({
        "buildType": "https://actions.github.io/buildtypes/workflow/v1", "externalParameters": {"ratio": 1.5},
        "resolvedDependencies": source(),
    });
    let predicate = json!({"buildDefinition": definition, "runDetails": {"builder": {"id": "https://ci.example"}}});
    statement(PredicateType::ProvenanceV1, predicate)
}

fn provenance_02() -> Value {
    let predicate = json!({
        "builder": {"id": "https://ci.example"}, "buildType": "https://ci.example/v1", "materials": source(),
    });
    let mut statement = statement(PredicateType::ProvenanceV02, predicate);
    statement["_type"] = json!("https://in-toto.io/Statement/v0.1");
    statement
}

fn link_statement(step: &str) -> Value {
    let materials = json!([{"name": "src/a", "digest": digest("source")}]);
    let predicate = json!({"name": step, "command": ["make"], "materials": materials});
    statement(PredicateType::LinkV03, predicate)
}

/// `build` wants Statements of this type, and has none.
fn wanting(predicate_type: PredicateType) -> Chain {
    good().with(|chain| {
        chain.add("fetch", ALICE, link("fetch", json!({}), json!({"src/a": digest("source")})));
        chain.links.remove(&path("build", BOB));
        chain.options.statements = statements(&[("build", predicate_type)]).unwrap();
    })
}

fn statements(steps: &[(&str, PredicateType)]) -> Result<Statements, SharedPredicateType> {
    let steps = steps.iter().map(|(step, predicate_type)| (StepName::parse(step).unwrap(), *predicate_type));
    Statements::new(steps.collect())
}

/// The same with these envelopes, one a line.
fn with(envelopes: &[Value]) -> Chain {
    let lines: String = envelopes.iter().map(|envelope| format!("{envelope}\n")).collect();
    with_file(lines)
}

fn with_file(bytes: impl Into<Vec<u8>>) -> Chain {
    wanting(PredicateType::ProvenanceV1).with(|chain| chain.attestations.push((FILE.to_owned(), bytes.into())))
}

fn sealed(payload: &Value, signers: &[u8]) -> Value {
    envelope("application/vnd.in-toto+json", payload.to_string().as_bytes(), signers)
}

fn changed(change: impl FnOnce(&mut Value)) -> Chain {
    let mut payload = provenance();
    change(&mut payload);
    with(&[sealed(&payload, &[BOB])])
}

fn without_keyids(mut envelope: Value, keyid: Option<&str>) -> Value {
    for signature in envelope["signatures"].as_array_mut().unwrap() {
        match keyid {
            Some(keyid) => signature["keyid"] = json!(keyid),
            None => drop(signature.as_object_mut().unwrap().remove("keyid")),
        }
    }
    envelope
}

fn findings(chain: &Chain) -> Vec<Finding> {
    match chain.refusal() {
        Error::ThresholdNotMet { functionaries, .. } => functionaries.into_iter().map(|found| found.finding).collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn provenance_stands_for_the_link_of_its_step() {
    for (predicate_type, payload) in [
        (PredicateType::ProvenanceV1, provenance()),
        (PredicateType::ProvenanceV02, provenance_02()),
        (PredicateType::LinkV03, link_statement("build")),
    ] {
        let chain =
            wanting(predicate_type).with(|chain| chain.attestations.push((FILE.to_owned(), in_dsse(&payload, &[BOB]))));
        let verified = chain.verify().unwrap_or_else(|error| panic!("{predicate_type}: {error}"));
        let (_, build) = verified.last_step().unwrap();
        assert_eq!(build.functionaries, [keyid(BOB)]);
        assert_eq!(build.predicate_type, Some(predicate_type));
        assert_eq!(build.products.get("app").unwrap().get("sha256"), Some(&*hex("app")));
        assert_eq!(build.materials.get("src/a").unwrap().get("sha256"), Some(&*hex("source")));
        assert!(build.is_consumed(Side::Materials, "src/a"));
        assert_eq!(verified.first_step().unwrap().1.predicate_type, None);
    }
}

#[test]
fn without_the_rules_word_a_statement_is_nothing() {
    let chain = with(&[sealed(&provenance(), &[BOB])]);
    assert!(chain.verify().is_ok());
    let chain = chain.with(|chain| chain.options.statements = Statements::default());
    assert_eq!(findings(&chain), [Finding::NoLink, Finding::NoLink]);
    // Nor does it become one by the name of a link, with that word or without.
    let chain = chain.with(|chain| {
        chain.raw.insert(path("build", BOB), in_dsse(&provenance_02(), &[BOB]));
    });
    assert!(matches!(chain.problem().2, Problem::WrongType { .. }));
    let chain = chain.with(|chain| {
        chain.attestations.clear();
        chain.options.statements = statements(&[("build", PredicateType::ProvenanceV1)]).unwrap();
    });
    assert_eq!(findings(&chain)[0], Finding::LinkForStatement);
}

#[test]
fn a_link_is_no_statement() {
    let chain = wanting(PredicateType::ProvenanceV1).with(|chain| chain.add("build", BOB, build_link()));
    let expected = format!(
        "step \"build\" needs Statements of https://slsa.dev/provenance/v1 by 1 functionary, 0 verified: {}… a link, and \
         no Statement, {}… no Statement",
        keyid(BOB).short(),
        keyid(CAROL).short(),
    );
    assert_eq!(chain.refusal().to_string(), expected);
    // A link in a file of attestations is none either, in whatever envelope.
    let chain = with(&[sealed(&build_link(), &[BOB])]);
    assert!(matches!(chain.problem().2, Problem::Missing("subject")));
    let chain = with_file(metablock(&build_link(), &[BOB]));
    assert_eq!(chain.problem().2, Problem::NoAttestation);
}

#[test]
fn a_statement_of_another_predicate_type_does_not_count() {
    for other in [provenance_02(), link_statement("build")] {
        assert_eq!(findings(&with(&[sealed(&other, &[BOB])])), [Finding::NoStatement, Finding::NoStatement]);
    }
    let unknown = changed(|payload| payload["predicateType"] = json!("https://slsa.dev/provenance/v1.0"));
    assert_eq!(unknown.code(), "in-toto/threshold-not-met");
    // What is there instead is told, shortened.
    let long = changed(|payload| payload["predicateType"] = json!("x\n".repeat(200)));
    let told = format!("{}… no Statement; there are Statements of \"{}\"", keyid(CAROL).short(), "x\\n".repeat(50));
    assert!(long.refusal().to_string().ends_with(&told), "{}", long.refusal());
    let others: Vec<Value> = (0..9)
        .map(|number| {
            let mut payload = provenance_02();
            payload["predicateType"] = json!(format!("type-{number}"));
            sealed(&payload, &[BOB])
        })
        .collect();
    assert!(with(&others).refusal().to_string().ends_with(r#""type-3", "type-4""#), "{}", with(&others).refusal());
    // Beside the right one it does no harm.
    let others = [provenance(), provenance_02(), link_statement("test")].map(|payload| sealed(&payload, &[BOB]));
    assert!(with(&others).verify().is_ok());
}

#[test]
fn a_link_predicate_counts_for_the_step_that_it_names_alone() {
    let chain = wanting(PredicateType::LinkV03).with(|chain| {
        let lines =
            format!("{}\n{}\n", sealed(&link_statement("fetch"), &[BOB]), sealed(&link_statement("test"), &[BOB]));
        chain.attestations.push((FILE.to_owned(), lines.into_bytes()));
    });
    assert_eq!(findings(&chain), [Finding::NoStatement, Finding::NoStatement]);
    let mut nameless = link_statement("build");
    nameless["predicate"].as_object_mut().unwrap().remove("name");
    let chain = chain.with(|chain| chain.attestations = vec![(FILE.to_owned(), in_dsse(&nameless, &[BOB]))]);
    assert_eq!(chain.problem().1, "predicate");
}

#[test]
fn a_predicate_that_names_no_step_is_bound_to_one() {
    use PredicateType::{LinkV03, ProvenanceV1, ProvenanceV02};
    let error = statements(&[("build", ProvenanceV1), ("push", ProvenanceV1)]).unwrap_err();
    assert_eq!(error.steps.map(|step| step.to_string()), ["build", "push"]);
    assert!(statements(&[("build", ProvenanceV1), ("push", ProvenanceV02)]).is_ok());
    assert!(statements(&[("build", LinkV03), ("push", LinkV03)]).is_ok());
}

#[test]
fn only_the_functionaries_of_the_step_attest_it() {
    let chain = with(&[sealed(&provenance(), &[ALICE])]);
    assert_eq!(findings(&chain), [Finding::NoStatement, Finding::NoStatement, Finding::NotAuthorised]);
    // Alice is a functionary of `fetch`, and her key is in the layout.
    let anonymous = with(&[without_keyids(sealed(&provenance(), &[ALICE]), Some(""))]);
    assert_eq!(findings(&anonymous), [Finding::NoStatement, Finding::NoStatement]);
}

#[test]
fn a_statement_that_was_changed_after_signing_does_not_count() {
    let mut forged = sealed(&provenance(), &[BOB]);
    forged["payload"] = sealed(&provenance_02(), &[])["payload"].clone();
    assert_eq!(findings(&with(&[forged])), [Finding::NoStatement, Finding::NoStatement], "another type altogether");
    let mut forged = sealed(&provenance(), &[BOB]);
    let mut payload = provenance();
    payload["subject"][0]["digest"] = digest("evil");
    forged["payload"] = sealed(&payload, &[])["payload"].clone();
    assert_eq!(findings(&with(&[forged.clone()]))[0], Finding::Signature(SignatureProblem::Invalid));
    assert!(with(&[forged, sealed(&provenance(), &[BOB])]).verify().is_ok());
}

#[test]
fn a_signature_without_key_id_is_tried_with_the_keys_of_the_step() {
    // What other tools write there is no id that a layout can list.
    for keyid in [None, Some(""), Some("SHA256:9vZ+mC3hK2c"), Some("ci")] {
        let chain = with(&[without_keyids(sealed(&provenance(), &[ALICE, CAROL]), keyid)]);
        assert_eq!(chain.verify().unwrap().last_step().unwrap().1.functionaries, [super::keyid(CAROL)]);
    }
    // One that says whose it is, is not.
    let chain = with(&[without_keyids(sealed(&provenance(), &[BOB]), Some("0123456789abcdef"))]);
    assert_eq!(findings(&chain), [Finding::NoStatement, Finding::NoStatement, Finding::NotAuthorised]);
}

#[test]
fn trying_keys_has_an_end() {
    let many = vec![without_keyids(sealed(&provenance(), &[ALICE; 40]), None); 60];
    assert!(matches!(with(&many).refusal(), Error::Limit { what: "signatures to verify", limit: 2048, .. }));
}

#[test]
fn a_large_statement_is_not_digested_again_and_again() {
    let length = |envelope: &Value| {
        let payload =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, envelope["payload"].as_str().unwrap());
        dsse::pae("application/vnd.in-toto+json", &payload.unwrap()).len()
    };
    let forged = without_keyids(sealed(&provenance(), &[ALICE; 10]), None);
    let good = without_keyids(sealed(&provenance(), &[BOB]), None);
    let fetch = metablock(&link("fetch", json!({}), json!({"src/a": digest("source")})), &[ALICE]).len();
    // Two functionaries, eleven signatures.
    let read = fetch + 22 * length(&good);
    let chain = |most: usize| with(&[forged.clone(), good.clone()]).with(|chain| chain.limits.read_bytes = most);
    assert!(chain(read).verify().is_ok());
    let error = chain(read - 1).refusal();
    assert!(
        matches!(error, Error::Limit { what: "bytes read, again and again", found, .. } if found == read),
        "{error}"
    );
}

#[test]
fn artifacts_of_statements_are_counted_together() {
    // Each has three, and the one that counts is held twice.
    let two = [sealed(&provenance(), &[BOB]), sealed(&provenance(), &[ALICE])];
    let chain = |most: usize| with(&two).with(|chain| chain.limits.all_artifacts = most);
    assert!(chain(6).verify().is_ok());
    let error = chain(5).refusal();
    assert!(matches!(error, Error::Limit { what: "artifacts in all", limit: 5, found: 6, .. }), "{error}");
}

#[test]
fn a_threshold_wants_different_functionaries_and_the_same_artifacts() {
    let two = |envelopes: &[Value]| with(envelopes).with(|chain| chain.build()["threshold"] = json!(2));
    assert_eq!(findings(&two(&[sealed(&provenance(), &[BOB])])), [Finding::Verified, Finding::NoStatement]);
    // Together or apart.
    assert!(two(&[sealed(&provenance(), &[BOB, CAROL])]).verify().is_ok());
    assert!(two(&[sealed(&provenance(), &[BOB]), sealed(&provenance(), &[CAROL])]).verify().is_ok());
    let mut other = provenance();
    other["subject"][0]["digest"] = digest("other");
    let chain = two(&[sealed(&provenance(), &[BOB]), sealed(&other, &[CAROL])]);
    assert_eq!(chain.code(), "in-toto/link-disagreement");
}

#[test]
fn one_key_under_two_ids_is_one_functionary() {
    let twin = "ab".repeat(32);
    let chain = with(&[without_keyids(sealed(&provenance(), &[BOB]), None)]).with(|chain| {
        let mut object = key_object(BOB);
        object["keyid"] = json!(twin);
        chain.layout["keys"][&twin] = object;
        chain.build()["pubkeys"] = json!([keyid(BOB), twin]);
        chain.build()["threshold"] = json!(2);
    });
    assert_eq!(findings(&chain), [Finding::Verified, Finding::SameKeyAs(keyid(BOB))]);
}

#[test]
fn two_statements_by_one_functionary_are_refused_even_if_they_are_the_same() {
    let once = sealed(&provenance(), &[BOB]);
    let mut other = provenance();
    other["predicate"]["runDetails"]["metadata"] = json!({"invocationId": "2"});
    for second in [once.clone(), sealed(&other, &[BOB])] {
        match with(&[once.clone(), second]).refusal() {
            Error::AmbiguousStatement { places, .. } => {
                assert_eq!(places, ["provenance.intoto.jsonl line 1", "provenance.intoto.jsonl line 2"]);
            }
            other => panic!("{other}"),
        }
    }
    let chain = with(std::slice::from_ref(&once))
        .with(|chain| chain.attestations.push(("b".to_owned(), once.to_string().into())));
    assert_eq!(chain.code(), "in-toto/ambiguous-statement");
}

#[test]
fn a_file_is_one_document_or_has_one_on_each_line() {
    let envelope = sealed(&provenance(), &[BOB]);
    let pretty = serde_json::to_string_pretty(&envelope).unwrap();
    let other = sealed(&provenance_02(), &[BOB]);
    for text in [
        envelope.to_string(),
        format!("{envelope}\n"),
        format!("{envelope}\r\n\n{other}\r\n"),
        format!("\n{other}\n{envelope}"),
        pretty.clone(),
        pretty + "\n",
    ] {
        assert!(with_file(text.clone()).verify().is_ok(), "{text}");
        assert!(is_attestation(text.as_bytes()), "{text}");
    }
}

#[test]
fn a_bundle_of_sigstore_is_read_as_its_envelope() {
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "ci"}, "tlogEntries": []},
        "dsseEnvelope": without_keyids(sealed(&provenance(), &[BOB]), Some("")),
    });
    assert!(with_file(bundle.to_string()).verify().is_ok());
    // Its certificates count for nothing.
    let mut foreign = bundle.clone();
    foreign["dsseEnvelope"] = without_keyids(sealed(&provenance(), &[OWNER]), Some(""));
    assert_eq!(findings(&with_file(foreign.to_string())), [Finding::NoStatement, Finding::NoStatement]);
    let mut both = bundle.clone();
    both["payload"] = json!("");
    assert_eq!(with_file(both.to_string()).problem().2, Problem::BothEnvelopes);
    let mut none = bundle;
    none.as_object_mut().unwrap().remove("dsseEnvelope");
    none["messageSignature"] = json!({});
    assert_eq!(with_file(none.to_string()).problem().2, Problem::NoAttestation);
}

#[test]
fn a_bad_line_refuses_the_whole_file() {
    let good_one = sealed(&provenance(), &[BOB]);
    let cyclonedx = super::envelope("application/vnd.cyclonedx+json", b"{}", &[BOB]);
    for (bad, place) in [
        ("{".to_owned(), "provenance.intoto.jsonl line 3"),
        ("[]".to_owned(), "provenance.intoto.jsonl line 3"),
        ("{}".to_owned(), "provenance.intoto.jsonl line 3"),
        (cyclonedx.to_string(), "provenance.intoto.jsonl line 3"),
        (sealed(&json!({"_type": "link"}), &[BOB]).to_string(), "provenance.intoto.jsonl line 3"),
    ] {
        let text = format!("{good_one}\n\n{bad}\n");
        assert_eq!(with_file(text.clone()).problem().0, place, "{bad}");
        assert!(!is_attestation(text.as_bytes()), "{bad}");
        assert!(with_file(format!("{bad}\n{good_one}\n")).code() == "in-toto/malformed", "{bad}");
    }
    assert_eq!(with_file("").code(), "in-toto/malformed");
    assert!(!is_attestation(b""));
}

#[test]
fn a_payload_of_another_kind_is_refused_whoever_signed_it() {
    let payload = provenance().to_string();
    let other = super::envelope("application/vnd.in-toto.provenance+json", payload.as_bytes(), &[BOB]);
    assert!(matches!(with(&[other]).problem().2, Problem::PayloadType(_)));
    // The type is signed: one that is put there afterwards does not hold.
    let mut other = super::envelope("text/plain", payload.as_bytes(), &[BOB]);
    other["payloadType"] = json!("application/vnd.in-toto+json");
    assert_eq!(findings(&with(&[other]))[0], Finding::Signature(SignatureProblem::Invalid));
}

#[test]
fn caps_hold_for_files_lines_and_signatures() {
    let least = json!({"_type": "https://in-toto.io/Statement/v1", "subject": [], "predicateType": ""});
    let line = sealed(&least, &[]).to_string() + "\n";
    let chain = with_file(line.repeat(100_000));
    assert!(matches!(chain.refusal(), Error::Limit { what: "attestations", limit: 1024, found: 1025, .. }));
    let chain = with(&[sealed(&provenance(), &[BOB])]).with(|chain| chain.limits.link_bytes = 600);
    assert!(matches!(chain.refusal(), Error::Limit { what: "bytes", .. }));
    let chain = with(&[sealed(&provenance(), &[BOB])]).with(|chain| chain.limits.artifacts = 1);
    assert!(matches!(chain.refusal(), Error::Limit { what: "artifacts", limit: 1, found: 2, .. }));
    let chain = with(&[sealed(&provenance(), &[BOB; 65])]);
    assert!(matches!(chain.refusal(), Error::Limit { what: "signatures", limit: 64, found: 65, .. }));
    let chain = with(&[sealed(&provenance(), &[BOB, BOB])]);
    assert!(matches!(chain.problem().2, Problem::DuplicateSignature(_)));
}

#[test]
fn what_a_statement_must_have_it_has() {
    let problem = |change: &dyn Fn(&mut Value)| {
        let (file, at, problem) = changed(change).problem();
        assert_eq!(file, FILE);
        (at, problem)
    };
    let not_hex = Problem::NotA("a set of at least one digest, each in lower-case hex");
    for member in ["_type", "subject", "predicateType", "predicate"] {
        let (_, found) = problem(&|payload| drop(payload.as_object_mut().unwrap().remove(member)));
        assert!(matches!(found, Problem::Missing(missing) if missing == member), "{member}: {found}");
    }
    let wrong = problem(&|payload| payload["_type"] = json!("https://in-toto.io/Statement/v2"));
    assert!(matches!(wrong.1, Problem::WrongType { .. }));
    assert_eq!(problem(&|payload| payload["subject"] = json!([])).1, Problem::NotA("a list of at least one subject"));
    let (at, found) = problem(&|payload| payload["subject"][1] = json!({"digest": digest("log")}));
    assert_eq!((at.as_str(), found), ("subject[1]", Problem::Missing("name")));
    let (at, found) = problem(&|payload| payload["subject"][1] = json!({"name": "log"}));
    assert_eq!((at.as_str(), found), ("subject[1]", Problem::Missing("digest")));
    for bad in [
        json!({}),
        json!([]),
        json!({"sha256": ""}),
        json!({"sha256": hex("app").to_uppercase()}),
        json!({"sha256": hex("app"), "sha1": "AB"}),
        json!({"sha256": "abcd"}),
        json!({"sha512": hex("app")}),
        json!({"sha256": 1}),
        json!({"sha256": hex("app"), "gitoid:sha256": ""}),
        json!({"sha256": hex("app"), "gitoid:sha256": "gitoid: blob"}),
        json!({"sha256": hex("app"), "gitoid:sha256": "\u{e9}"}),
        json!({"sha256": hex("app"), "gitoid:sha256": "a".repeat(257)}),
    ] {
        let (at, found) = problem(&|payload| payload["subject"][0]["digest"] = bad.clone());
        assert_eq!((at.as_str(), found), ("subject[0].digest", not_hex.clone()), "{bad}");
    }
    let (at, found) =
        problem(&|payload| payload["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"] = json!({}));
    assert_eq!((at.as_str(), found), ("predicate.buildDefinition.resolvedDependencies[0].digest", not_hex));
    for member in ["buildDefinition", "runDetails"] {
        let (at, found) = problem(&|payload| drop(payload["predicate"].as_object_mut().unwrap().remove(member)));
        assert!(at == "predicate" && matches!(found, Problem::Missing(missing) if missing == member), "{member}");
    }
    let (_, found) = problem(&|payload| payload["Subject"] = json!([]));
    assert!(matches!(found, Problem::CaseVariant { .. }));
    // As witness writes them; they are compared and prove nothing.
    let witnessed = json!({"sha256": hex("app"), "gitoid:sha256": format!("gitoid:blob:sha256:{}", hex("blob"))});
    assert!(changed(|payload| payload["subject"][0]["digest"] = witnessed).verify().is_ok());
    // Members that nobody knows are the producer's own.
    assert!(changed(|payload| payload["comment"] = json!(1.5)).verify().is_ok());
}

#[test]
fn two_subjects_of_one_name_are_refused() {
    for second in [digest("app"), digest("evil")] {
        let (at, problem) = {
            let chain = changed(|payload| {
                let subject = json!({"name": "app", "digest": second});
                payload["subject"].as_array_mut().unwrap().push(subject);
            });
            let (_, at, problem) = chain.problem();
            (at, problem)
        };
        assert_eq!((at.as_str(), problem), ("subject[2]", Problem::DuplicateArtifact("app".to_owned())));
    }
    let chain = changed(|payload| {
        let list = &mut payload["predicate"]["buildDefinition"]["resolvedDependencies"];
        list.as_array_mut().unwrap().push(json!({"name": "src/a", "digest": digest("evil")}));
    });
    assert!(matches!(chain.problem().2, Problem::DuplicateArtifact(_)), "by uri and by name");
}

#[test]
fn unclean_names_are_refused() {
    for name in ["", "./app", "a/../app", "app/", "a//b"] {
        let chain = changed(|payload| payload["subject"][0]["name"] = json!(name));
        assert_eq!(chain.code(), "in-toto/unclean-artifact", "{name:?}");
        let chain = changed(|payload| {
            payload["predicate"]["buildDefinition"]["resolvedDependencies"][0]["uri"] = json!(name);
        });
        assert_eq!(chain.code(), "in-toto/unclean-artifact", "{name:?}");
    }
}

#[test]
fn the_rules_of_the_layout_hold_for_statements() {
    let chain = changed(|payload| {
        payload["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"] = digest("other source");
    });
    assert_eq!(chain.code(), "in-toto/disallowed-artifact");
    let chain = changed(|payload| drop(payload["subject"].as_array_mut().unwrap().remove(1)));
    assert_eq!(chain.code(), "in-toto/required-artifact-missing");
    let chain = changed(|payload| payload["subject"][0]["name"] = json!("evil"));
    assert_eq!(chain.code(), "in-toto/disallowed-artifact");
}

#[test]
fn the_steps_of_a_sublayout_are_attested_by_links() {
    let inner = layout(&[CAROL], vec![step("build", &[CAROL], 1, json!([["ALLOW", "*"]]), json!([["ALLOW", "*"]]))]);
    let chain = with(&[sealed(&provenance(), &[CAROL])]).with(|chain| {
        chain.options.sublayouts = Sublayouts::Allow { depth: 8 };
        chain.options.statements = statements(&[("test", PredicateType::ProvenanceV1)]).unwrap();
        chain.add("build", BOB, inner);
    });
    match chain.refusal() {
        Error::Sublayout { error, .. } => assert_eq!(error.code(), "in-toto/threshold-not-met"),
        other => panic!("{other}"),
    }
    // Nor by Statements for a step of that name outside.
    let chain =
        chain.with(|chain| chain.options.statements = statements(&[("build", PredicateType::ProvenanceV1)]).unwrap());
    assert_eq!(chain.verify().unwrap().last_step().unwrap().1.functionaries, [keyid(CAROL)]);
}
