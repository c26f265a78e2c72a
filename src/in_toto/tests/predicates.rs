//! Layouts over predicates: steps that are attested by Statements of the types they name, and what these must say.

use super::*;

const FILE: &str = "attestations.intoto.jsonl";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const TESTED: &str = "https://in-toto.io/attestation/test-result/v0.1";
const LINK: &str = "https://in-toto.io/attestation/link/v0.3";

fn digest(text: &str) -> Value {
    json!({"sha256": crate::crypto::Sha256::of(text.as_bytes()).to_string()})
}

fn statement(predicate_type: &str, subject: Value, predicate: Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate_type,
        "predicate": predicate,
    })
}

fn app() -> Value {
    json!([{"name": "app", "digest": digest("app")}])
}

/// What was built.
fn provenance() -> Value {
    let definition = json!({
        "buildType": "https://ci.example/v1", "externalParameters": {"ref": "refs/tags/v1"},
        "resolvedDependencies": [{"uri": "src/a", "digest": digest("source")}],
    });
    statement(
        PROVENANCE,
        app(),
        json!({"buildDefinition": definition, "runDetails": {"builder": {"id": "https://ci.example"}}}),
    )
}

/// That it was tested.
fn tested() -> Value {
    statement(TESTED, app(), json!({"result": "PASSED", "failedTests": []}))
}

fn functionaries(seeds: &[u8]) -> Value {
    let object = |seed: u8| {
        let key = key_object(seed);
        json!({"keyID": key["keyid"], "keyType": key["keytype"], "scheme": key["scheme"], "keyVal": key["keyval"]})
    };
    seeds.iter().map(|seed| (keyid(*seed).to_string(), object(*seed))).collect::<serde_json::Map<_, _>>().into()
}

fn expected(predicate_type: &str, functionaries: &[u8], threshold: u32, attributes: Value) -> Value {
    let functionaries: Vec<KeyId> = functionaries.iter().map(|seed| keyid(*seed)).collect();
    json!({
        "predicateType": predicate_type, "functionaries": functionaries, "threshold": threshold,
        "expectedAttributes": attributes,
    })
}

/// `build` by bob makes `app`, which alice and carol test.
fn layout() -> Value {
    let build = json!({
        "name": "build",
        "expectedMaterials": ["ALLOW src/*", "DISALLOW *"],
        "expectedProducts": ["CREATE app", "DISALLOW *"],
        "expectedPredicates": [expected(PROVENANCE, &[BOB], 1, json!([
            {"rule": "predicate.runDetails.builder.id == 'https://ci.example'", "debug": "not our builder"},
        ]))],
    });
    let test = json!({
        "name": "test",
        "expectedMaterials": [["MATCH", "app", "WITH", "PRODUCTS", "FROM", "build"], ["DISALLOW", "*"]],
        "expectedPredicates": [expected(TESTED, &[ALICE, CAROL], 2, json!([
            "predicate.result == 'PASSED'",
            {"rule": "size(predicate.failedTests) == 0", "allowIfNoClaim": true},
        ]))],
    });
    json!({
        "_type": "layout", "expires": "2030-01-01T00:00:00Z", "functionaries": functionaries(&[ALICE, BOB, CAROL]),
        "steps": [build, test],
    })
}

fn sealed(payload: &Value, signers: &[u8]) -> Value {
    envelope("application/vnd.in-toto+json", payload.to_string().as_bytes(), signers)
}

fn good_envelopes() -> Vec<Value> {
    vec![sealed(&provenance(), &[BOB]), sealed(&tested(), &[ALICE]), sealed(&tested(), &[CAROL])]
}

fn with(layout: &Value, envelopes: &[Value]) -> Chain {
    let lines: String = envelopes.iter().map(|envelope| format!("{envelope}\n")).collect();
    good().with(|chain| {
        chain.links.clear();
        chain.raw_layout = Some(in_dsse(layout, &[OWNER]));
        chain.attestations = vec![(FILE.to_owned(), lines.into_bytes())];
        chain.options.predicates = true;
    })
}

fn good_one() -> Chain {
    with(&layout(), &good_envelopes())
}

/// The same with another layout.
fn laid_out(change: impl FnOnce(&mut Value)) -> Chain {
    let mut layout = layout();
    change(&mut layout);
    with(&layout, &good_envelopes())
}

/// The same with other words of alice about the tests.
fn said(change: impl FnOnce(&mut Value)) -> Chain {
    let mut said = tested();
    change(&mut said);
    with(&layout(), &[sealed(&provenance(), &[BOB]), sealed(&said, &[ALICE]), sealed(&tested(), &[CAROL])])
}

fn where_and_what(chain: &Chain) -> String {
    let (file, at, problem) = chain.problem();
    assert_eq!(file, "layout");
    format!("{at}: {problem}")
}

#[test]
fn statements_of_the_expected_types_whose_rules_hold_are_verified() {
    let verified = good_one().verify().unwrap();
    assert_eq!(verified.layout_signers(), [keyid(OWNER)]);
    let build = &verified.steps()["build"];
    assert_eq!(build.functionaries, [keyid(BOB)]);
    assert!(build.products.get("app").is_some_and(|digests| json!(digests.to_map()) == digest("app")));
    assert!(build.is_consumed(Side::Products, "app"));
    assert!(build.is_attested_by(PredicateType::ProvenanceV1) && !build.is_attested_by(PredicateType::LinkV03));
    let test = &verified.steps()["test"];
    assert_eq!(test.functionaries, [keyid(ALICE), keyid(CAROL)]);
    // What is tested is what goes in; nothing comes out.
    assert_eq!((test.materials.len(), test.products.len()), (1, 0));
    assert!(test.is_consumed(Side::Materials, "app"));
    let [predicate] = &test.predicates[..] else { panic!() };
    assert_eq!((predicate.predicate_type.as_str(), predicate.threshold), (TESTED, 2));
    assert_eq!(predicate.attributes.len(), 2);
    assert_eq!(predicate.attributes[0].rule, "predicate.result == 'PASSED'");
    assert!(predicate.attributes.iter().all(|trail| trail.no_claim.is_empty()));
    assert_eq!(loose(&verified, "build", None, &Limits::default()), []);
}

#[test]
fn it_is_taken_only_where_that_is_asked_for() {
    let chain = good_one().with(|chain| chain.options.predicates = false);
    assert_eq!(chain.refusal(), Error::PredicatesDenied);
    assert_eq!(chain.code(), "in-toto/predicates-denied");
    // The word changes nothing for a classic layout.
    let classic = good().with(|chain| chain.options.predicates = true);
    assert_eq!(classic.verify(), good().verify());
    assert!(classic.with(|chain| chain.attestations.push((FILE.into(), b"no attestation".into()))).verify().is_ok());
}

#[test]
fn it_stands_in_an_envelope_that_the_owner_signed() {
    let chain = good_one().with(|chain| chain.raw_layout = Some(in_dsse(&layout(), &[BOB])));
    assert_eq!(chain.code(), "in-toto/layout-signature");
    let chain = good_one().with(|chain| chain.raw_layout = Some(metablock(&layout(), &[OWNER])));
    assert_eq!(chain.problem().2, Problem::PredicatesInMetablock);
    let chain = good_one().with(|chain| chain.now = "2030-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(chain.code(), "in-toto/layout-expired");
}

#[test]
fn it_cannot_be_handed_in_for_a_link() {
    let chain = good().with(|chain| {
        chain.options.predicates = true;
        chain.options.sublayouts = Sublayouts::Allow { depth: 8 };
        chain.links.remove(&path("build", BOB));
        chain.raw.insert(path("build", BOB), in_dsse(&layout(), &[BOB]));
        chain.attestations = good_one().attestations;
    });
    assert!(matches!(chain.refusal(), Error::Sublayout { error, .. } if *error == Error::PredicatesDenied));
}

#[test]
fn enough_functionaries_sign_each_type() {
    let short = with(&layout(), &[sealed(&provenance(), &[BOB]), sealed(&tested(), &[ALICE])]);
    match short.refusal() {
        Error::ThresholdNotMet { step, threshold: 2, verified: 1, sought: Some(sought), .. } => {
            assert_eq!((step.as_str(), sought.predicate_type.as_str()), ("test", TESTED));
        }
        other => panic!("{other}"),
    }
    // One who signs twice is one, and so is one whom the layout calls by two names.
    let twice = with(&layout(), &[good_envelopes(), vec![sealed(&tested(), &[ALICE])]].concat());
    assert_eq!(twice.code(), "in-toto/ambiguous-statement");
    let alias = "a".repeat(64);
    let aliased = laid_out(|layout| {
        let mut key = layout["functionaries"][keyid(ALICE).as_str()].clone();
        key["keyID"] = json!(alias);
        layout["functionaries"][&alias] = key;
        layout["steps"][1]["expectedPredicates"][0]["functionaries"] = json!([keyid(ALICE), alias]);
    });
    let anonymous = |payload: &Value, seed: u8| {
        let mut envelope = sealed(payload, &[seed]);
        envelope["signatures"][0]["keyid"] = json!("");
        envelope
    };
    let envelopes = [sealed(&provenance(), &[BOB]), anonymous(&tested(), ALICE)];
    let lines: String = envelopes.iter().map(|envelope| format!("{envelope}\n")).collect();
    let aliased = aliased.with(|chain| chain.attestations = vec![(FILE.to_owned(), lines.into_bytes())]);
    assert_eq!(aliased.code(), "in-toto/threshold-not-met");
    // Who may sign one type may not sign another, and whom the layout lists need not be a step's.
    let by_bob =
        with(&layout(), &[sealed(&provenance(), &[BOB]), sealed(&tested(), &[BOB]), sealed(&tested(), &[CAROL])]);
    assert_eq!(by_bob.code(), "in-toto/threshold-not-met");
    // A changed one counts for nobody.
    let mut forged = sealed(&tested(), &[ALICE]);
    forged["payload"] = sealed(&statement(TESTED, app(), json!({"result": "PASSED"})), &[ALICE])["payload"].clone();
    let forged = with(&layout(), &[sealed(&provenance(), &[BOB]), forged, sealed(&tested(), &[CAROL])]);
    assert_eq!(forged.code(), "in-toto/threshold-not-met");
}

#[test]
fn what_a_statement_says_must_hold() {
    let chain = said(|said| said["predicate"]["result"] = json!("FAILED"));
    match chain.refusal() {
        Error::AttributeRule { step, keyid: by, predicate_type, failure } => {
            assert_eq!((step.as_str(), by, predicate_type.as_str()), ("test", keyid(ALICE), TESTED));
            assert_eq!((failure.position, failure.problem), (1, AttributeProblem::False));
        }
        other => panic!("{other}"),
    }
    assert_eq!(chain.code(), "in-toto/attribute-rule");
    let missing = said(|said| drop(said["predicate"].as_object_mut().unwrap().remove("result")));
    assert_eq!(missing.code(), "in-toto/attribute-rule");
    let text = missing.refusal().to_string();
    assert!(
        text.ends_with(
            "attribute rule 1, predicate.result == 'PASSED', names \"result\", which the Statement does not have"
        ),
        "{text}"
    );
    // The author's own words are said, too.
    let mut other = provenance();
    other["predicate"]["runDetails"]["builder"]["id"] = json!("https://evil.example");
    let other = with(&layout(), &[sealed(&other, &[BOB]), sealed(&tested(), &[ALICE]), sealed(&tested(), &[CAROL])]);
    assert!(other.refusal().to_string().ends_with("is false (not our builder)"), "{}", other.refusal());
}

#[test]
fn a_claim_may_be_missing_only_where_the_rule_says_so() {
    let chain = said(|said| drop(said["predicate"].as_object_mut().unwrap().remove("failedTests")));
    let verified = chain.verify().unwrap();
    assert_eq!(verified.steps()["test"].predicates[0].attributes[1].no_claim, [keyid(ALICE)]);
    assert_eq!(said(|said| said["predicate"]["failedTests"] = json!(["a"])).code(), "in-toto/attribute-rule");
    assert_eq!(said(|said| said["predicate"]["failedTests"] = json!(3)).code(), "in-toto/attribute-rule");
    assert_eq!(said(|said| said["predicate"]["failedTests"] = Value::Null).code(), "in-toto/attribute-rule");
    // No predicate at all makes no claim, and rule 1 wants one.
    assert_eq!(said(|said| drop(said.as_object_mut().unwrap().remove("predicate"))).code(), "in-toto/attribute-rule");
    assert_eq!(said(|said| said["predicate"] = json!([1])).code(), "in-toto/malformed");
}

/// Who does not agree is heard, whoever else does (ITE-11).
#[test]
fn one_who_says_otherwise_refuses_the_step() {
    let mut failed = tested();
    failed["predicate"]["result"] = json!("FAILED");
    let mut layout = layout();
    layout["steps"][1]["expectedPredicates"][0]["threshold"] = json!(1);
    let chain = with(&layout, &[sealed(&provenance(), &[BOB]), sealed(&tested(), &[ALICE]), sealed(&failed, &[CAROL])]);
    assert_eq!(chain.code(), "in-toto/attribute-rule");
    let chain = with(&layout, &[sealed(&provenance(), &[BOB]), sealed(&tested(), &[ALICE])]);
    assert!(chain.verify().is_ok());
}

#[test]
fn rules_on_artifacts_hold_for_subjects_and_materials() {
    let other = json!([{"name": "app", "digest": digest("another")}]);
    let tested_other = |seed| sealed(&statement(TESTED, other.clone(), json!({"result": "PASSED"})), &[seed]);
    let chain = with(&layout(), &[sealed(&provenance(), &[BOB]), tested_other(ALICE), tested_other(CAROL)]);
    assert_eq!(chain.code(), "in-toto/disallowed-artifact");
    let mut more = provenance();
    more["subject"].as_array_mut().unwrap().push(json!({"name": "evil", "digest": digest("evil")}));
    let chain = with(&layout(), &[sealed(&more, &[BOB]), sealed(&tested(), &[ALICE]), sealed(&tested(), &[CAROL])]);
    assert_eq!(chain.code(), "in-toto/disallowed-artifact");
    let mut from = provenance();
    from["predicate"]["buildDefinition"]["resolvedDependencies"][0]["uri"] = json!("evil");
    let chain = with(&layout(), &[sealed(&from, &[BOB]), sealed(&tested(), &[ALICE]), sealed(&tested(), &[CAROL])]);
    assert_eq!(chain.code(), "in-toto/disallowed-artifact");
    // Two who tested two things do not agree, and one of them is not what was built.
    let chain = with(&layout(), &[sealed(&provenance(), &[BOB]), sealed(&tested(), &[ALICE]), tested_other(CAROL)]);
    assert_eq!(chain.code(), "in-toto/link-disagreement");
}

/// ITE-10: types of one step share what went in and what came out.
#[test]
fn types_of_one_step_agree() {
    let link = |step: &str, name: &str, by: &str| {
        let materials = json!([{"name": "src/a", "digest": digest(by)}]);
        statement(LINK, json!([{"name": name, "digest": digest(name)}]), json!({"name": step, "materials": materials}))
    };
    let mut layout = layout();
    let types = layout["steps"][0]["expectedPredicates"].as_array_mut().unwrap();
    types.push(expected(LINK, &[CAROL], 1, json!(["predicate.name == 'build'"])));
    let chain = |link: Value| with(&layout, &[good_envelopes(), vec![sealed(&link, &[CAROL])]].concat());
    let verified = chain(link("build", "app", "source")).verify().unwrap();
    let build = &verified.steps()["build"];
    assert_eq!(build.functionaries, [keyid(BOB), keyid(CAROL)]);
    assert_eq!(build.predicates.len(), 2);
    assert!(build.is_attested_by(PredicateType::LinkV03));
    assert_eq!(chain(link("build", "evil", "source")).code(), "in-toto/link-disagreement");
    assert_eq!(chain(link("build", "app", "other")).code(), "in-toto/link-disagreement");
    // A link says which step it is about.
    assert_eq!(chain(link("test", "app", "source")).code(), "in-toto/threshold-not-met");
    // Who may sign the one type may not sign the other.
    let by_bob = with(&layout, &[good_envelopes(), vec![sealed(&link("build", "app", "source"), &[BOB])]].concat());
    assert_eq!(by_bob.code(), "in-toto/threshold-not-met");
    // And each type is wanted.
    assert_eq!(with(&layout, &good_envelopes()).code(), "in-toto/threshold-not-met");
}

#[test]
fn what_was_asked_for_must_be_expected() {
    let asked = |step: &str, predicate_type| {
        let steps = [(StepName::parse(step).unwrap(), predicate_type)].into();
        good_one().with(|chain| chain.options.statements = Statements::new(steps).unwrap())
    };
    assert!(asked("build", PredicateType::ProvenanceV1).verify().is_ok());
    for chain in [
        asked("build", PredicateType::ProvenanceV02),
        asked("test", PredicateType::ProvenanceV1),
        asked("x", PredicateType::LinkV03),
    ] {
        assert_eq!(chain.code(), "in-toto/predicate-not-expected");
    }
}

#[test]
fn a_member_that_is_not_known_is_refused() {
    let in_test = |change: fn(&mut Value)| laid_out(|layout| change(&mut layout["steps"][1]));
    let in_expected =
        |change: fn(&mut Value)| laid_out(|layout| change(&mut layout["steps"][1]["expectedPredicates"][0]));
    for (chain, expected) in [
        (laid_out(|layout| layout["keys"] = json!({})), ": member \"inspect\" is missing"),
        (laid_out(|layout| layout["expectedSubjects"] = json!([])), ": member \"expectedSubjects\" is not known"),
        (laid_out(|layout| layout["Steps"] = json!([])), ": member \"Steps\" differs from \"steps\" only in case"),
        (laid_out(|layout| layout["steps"] = json!([])), "steps: no steps: nothing would be verified"),
        (
            laid_out(|layout| layout["expires"] = json!("2030-01-01")),
            "expires: not a time as YYYY-MM-DDTHH:MM:SSZ (in-toto 4.2.2)",
        ),
        (
            laid_out(|layout| layout["subjects"] = json!([{}])),
            "subjects: not empty: no text says what is to be verified of them",
        ),
        (
            in_test(|step| step["expected_materials"] = json!([])),
            "steps[1]: member \"expected_materials\" is not known",
        ),
        (
            in_test(|step| step["expectedMaterials"] = json!(["MATCH  app"])),
            "steps[1].expectedMaterials[0]: [\"MATCH\",\"\",\"app\"] is not a rule",
        ),
        (
            in_test(|step| step["expectedPredicates"] = json!([])),
            "steps[1].expectedPredicates: not a list of at least one: nothing would be verified",
        ),
        (in_test(|step| step["name"] = json!("build")), ": StepName(\"build\") names two steps or inspections"),
        (
            in_expected(|expected| expected["threshold"] = json!(0)),
            "steps[1].expectedPredicates[0].threshold: threshold is 0, not a whole number from 1 to 2 (the functionaries of the step)",
        ),
        (
            in_expected(|expected| expected["threshold"] = json!(3)),
            "steps[1].expectedPredicates[0].threshold: threshold is 3, not a whole number from 1 to 2 (the functionaries of the step)",
        ),
        (
            in_expected(|expected| drop(expected.as_object_mut().unwrap().remove("threshold"))),
            "steps[1].expectedPredicates[0]: member \"threshold\" is missing",
        ),
        (
            in_expected(|expected| expected["predicateType"] = json!("")),
            "steps[1].expectedPredicates[0].predicateType: not the URI of a type: it is empty",
        ),
        (
            in_expected(|expected| expected["expectedAttributes"] = json!([{"rule": "true", "warn": true}])),
            "steps[1].expectedPredicates[0].expectedAttributes[0]: member \"warn\" is not known",
        ),
        (
            in_expected(|expected| {
                expected["expectedAttributes"] = json!([{"rule": "true", "allowIfNoClaim": "true"}])
            }),
            "steps[1].expectedPredicates[0].expectedAttributes[0].allowIfNoClaim: not true or false",
        ),
        (
            in_expected(|expected| expected["expectedAttributes"] = json!(["predicat.result == 'PASSED'"])),
            "steps[1].expectedPredicates[0].expectedAttributes[0]: attribute rule predicat.result == 'PASSED' cannot be used: \"predicat\" is not known; known are predicate, predicateType, subject",
        ),
        (
            in_test(|step| step["expectedPredicates"][0]["predicateType"] = json!(PROVENANCE)),
            "steps: steps \"build\" and \"test\" both take https://slsa.dev/provenance/v1, which does not say what step it is about",
        ),
    ] {
        assert_eq!(where_and_what(&chain), expected);
    }
    let key = |change: fn(&mut Value)| laid_out(|layout| change(&mut layout["functionaries"][keyid(BOB).as_str()]));
    assert!(where_and_what(&key(|key| key["keyID"] = json!("00000000"))).contains("and says it is 00000000"));
    assert!(
        where_and_what(&key(|key| key["keyVal"]["private"] = json!(""))).contains("member \"private\" is not known")
    );
    assert_eq!(key(|key| key["keyType"] = json!("rsa")).code(), "in-toto/unsupported-key");
    let many = vec!["true"; 257];
    assert_eq!(
        laid_out(|layout| layout["steps"][0]["expectedPredicates"][0]["expectedAttributes"] = json!(many)).code(),
        "in-toto/limit"
    );
    let long = format!("'{}' == ''", "x".repeat(2048));
    assert_eq!(
        laid_out(|layout| layout["steps"][0]["expectedPredicates"][0]["expectedAttributes"] = json!([long])).code(),
        "in-toto/limit"
    );
}

#[test]
fn rules_that_read_too_much_are_refused() {
    let chain = laid_out(|layout| {
        let rule = "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, true)))";
        layout["steps"][1]["expectedPredicates"][0]["expectedAttributes"] = json!([rule]);
    });
    assert!(chain.verify().is_ok());
    let chain = chain.with(|chain| chain.limits.attribute_cost = 1_000);
    assert_eq!(chain.refusal(), Error::AttributeCost { step: StepName::parse("test").unwrap(), most: 1_000 });
    assert_eq!(chain.code(), "in-toto/limit");
}

#[test]
fn parameters_are_filled_into_attribute_rules_and_lead_out_of_no_text() {
    let chain = |value: &str| {
        let mut layout = layout();
        let rule = "predicate.buildDefinition.externalParameters.ref == 'refs/tags/{tag}' && {'a': 1}.a == 1";
        layout["steps"][0]["expectedPredicates"][0]["expectedAttributes"] = json!([rule]);
        let value = value.to_owned();
        with(&layout, &good_envelopes()).with(|chain| {
            chain.options.parameters = Some([("tag".to_owned(), value)].into());
            chain.options.raw_parameters = true;
        })
    };
    assert!(chain("v1").verify().is_ok());
    assert_eq!(chain("v2").code(), "in-toto/attribute-rule");
    for value in ["' || true || '", "\"", "\\", "a\nb"] {
        assert_eq!(chain(value).code(), "in-toto/parameter", "{value}");
    }
    let unknown = chain("v1").with(|chain| chain.options.parameters = Some(BTreeMap::new()));
    assert_eq!(unknown.code(), "in-toto/parameter");
}

#[test]
fn inspections_are_those_of_a_classic_layout() {
    let chain = laid_out(|layout| layout["inspections"] = json!([{"name": "look", "run": ["pratique", "image"]}]));
    assert_eq!(chain.code(), "in-toto/inspections-refused");
    let chain = laid_out(|layout| {
        layout["inspections"] = json!([{"name": "look", "run": ["true"], "expectedAttributes": ["true"]}]);
    });
    assert_eq!(where_and_what(&chain), "inspections[0]: member \"expectedAttributes\" is not known");
}

#[test]
fn a_survey_shows_what_is_expected_and_what_does_not_hold() {
    let chain = said(|said| said["predicate"]["result"] = json!("FAILED"));
    let layout = chain.raw_layout.clone().unwrap();
    let attestations = chain.attestations.iter();
    let attestations = attestations.map(|(name, bytes)| AttestationFile { name: name.clone(), bytes }).collect();
    let asked = SupplyChain { layout: &layout, keys: chain.keys.clone(), links: Vec::new(), attestations };
    let survey = survey(&asked, &chain.options, &mut Inspections::Refuse, chain.now, &chain.limits);
    let [build, test] = &survey.items[..] else { panic!("{survey:?}") };
    assert_eq!(build.failure, None);
    let Kind::Step { predicates, .. } = &test.kind else { panic!() };
    assert_eq!(predicates[0].predicate_type, TESTED);
    assert_eq!(predicates[0].threshold, 2);
    assert_eq!(predicates[0].attributes, ["predicate.result == 'PASSED'", "size(predicate.failedTests) == 0"]);
    assert_eq!(test.failure.as_ref().map(Error::code), Some("in-toto/attribute-rule"));
    let denied = Options { predicates: false, ..chain.options.clone() };
    let survey = super::survey(&asked, &denied, &mut Inspections::Refuse, chain.now, &chain.limits);
    assert_eq!(survey.failure, Some(Error::PredicatesDenied));
}

#[test]
fn lint_says_what_is_left_open() {
    let lints = |change: fn(&mut Value)| {
        let mut layout = layout();
        change(&mut layout);
        let found = lint(&in_dsse(&layout, &[OWNER]), &Limits::default()).unwrap();
        found.iter().map(|lint| (lint.is_note(), lint.to_string())).collect::<Vec<_>>()
    };
    let single = (
        true,
        format!(
            "step \"build\" needs one functionary for {PROVENANCE}: whoever has the key of one can make the Statement alone"
        ),
    );
    assert_eq!(lints(|_| ()), std::slice::from_ref(&single));
    let found = lints(|layout| {
        for step in layout["steps"].as_array_mut().unwrap() {
            step["expectedPredicates"][0]["expectedAttributes"] = json!([]);
        }
        layout["steps"][1]["expectedMaterials"] = json!(["ALLOW app", "DISALLOW *"]);
    });
    let unruled =
        |step, name, note| (note, format!("step {step:?}: no attribute rule for {name}, so that it may say anything"));
    let unbound = "step \"test\": no MATCH ties what its Statements are about to what another step recorded, so that they may be about anything";
    assert_eq!(
        found,
        [
            (false, unbound.to_owned()),
            single.clone(),
            unruled("build", PROVENANCE, true),
            unruled("test", TESTED, false)
        ]
    );
    // It may be tied from the other side as well.
    let found = lints(|layout| {
        layout["steps"][1]["expectedMaterials"] = json!(["ALLOW src/a", "DISALLOW *"]);
        layout["steps"][0]["expectedMaterials"] = json!(["MATCH src/* WITH MATERIALS FROM test", "DISALLOW *"]);
    });
    assert_eq!(found, [single]);
    // Seen from a supply chain that was verified so: a Statement about something else did.
    let chain = laid_out(|layout| layout["steps"][1]["expectedMaterials"] = json!(["ALLOW app"]));
    assert_eq!(
        loose(&chain.verify().unwrap(), "build", None, &Limits::default()),
        [Lint::UnboundPredicate(StepName::parse("test").unwrap())]
    );
}
