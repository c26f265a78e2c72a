//! The layout: its signatures, its time, its form, its parameters and its inspections.

use super::*;
use crate::crypto::{KeyError, PublicKey, openpgp};

fn layout_problem(change: impl FnOnce(&mut Value)) -> (String, Problem) {
    let (file, at, problem) = good().with(|chain| change(&mut chain.layout)).problem();
    assert_eq!(file, "layout");
    (at, problem)
}

fn remove(value: &mut Value, name: &str) {
    value.as_object_mut().unwrap().remove(name).unwrap();
}

#[test]
fn a_layout_needs_a_key_to_be_verified_with() {
    assert_eq!(good().with(|chain| chain.keys.clear()).refusal(), Error::NoLayoutKeys);
}

#[test]
fn an_unsigned_layout_is_refused() {
    let error = good().with(|chain| chain.layout_signers.clear()).refusal();
    let missing = vec![(keyid(OWNER), SignatureProblem::Missing)];
    assert_eq!(error, Error::LayoutSignature { threshold: 1, verified: 0, missing });
}

#[test]
fn a_layout_that_was_changed_after_signing_is_refused() {
    let mut file: Value = serde_json::from_slice(&metablock(&good().layout, &[OWNER])).unwrap();
    file["signed"]["readme"] = json!("changed");
    let error = good().with(|chain| chain.raw_layout = Some(file.to_string().into_bytes())).refusal();
    let missing = vec![(keyid(OWNER), SignatureProblem::Invalid)];
    assert_eq!(error, Error::LayoutSignature { threshold: 1, verified: 0, missing });
}

#[test]
fn every_given_key_must_have_signed() {
    let chain = good().with(|chain| chain.keys.push(owner_key(CAROL)));
    let missing = vec![(keyid(CAROL), SignatureProblem::Missing)];
    assert_eq!(chain.refusal(), Error::LayoutSignature { threshold: 2, verified: 1, missing });
    assert!(chain.with(|chain| chain.layout_signers.push(CAROL)).verify().is_ok());
}

#[test]
fn a_threshold_counts_different_keys() {
    let chain = good().with(|chain| {
        chain.keys = vec![owner_key(OWNER), owner_key(CAROL), owner_key(BOB)];
        chain.options.layout_threshold = threshold(2);
    });
    assert!(matches!(chain.refusal(), Error::LayoutSignature { threshold: 2, verified: 1, .. }));
    assert!(chain.with(|chain| chain.layout_signers.push(CAROL)).verify().is_ok());

    // The same key under another id, with a signature under each.
    let chain = good().with(|chain| {
        let twin = LayoutKey::new("0123456789".into(), signer(OWNER).public().unwrap());
        chain.keys = vec![owner_key(OWNER), twin, owner_key(CAROL)];
        chain.options.layout_threshold = threshold(2);
        let mut file: Value = serde_json::from_slice(&metablock(&chain.layout, &[OWNER, OWNER])).unwrap();
        file["signatures"][1]["keyid"] = json!("0123456789");
        chain.raw_layout = Some(file.to_string().into_bytes());
    });
    assert!(matches!(chain.refusal(), Error::LayoutSignature { threshold: 2, verified: 1, .. }));
}

#[test]
fn a_layout_is_expired_at_its_expiry() {
    let chain = good().with(|chain| chain.now = "2029-12-31T23:59:59.999Z".parse().unwrap());
    assert!(chain.verify().is_ok());
    let now = "2030-01-01T00:00:00Z".parse().unwrap();
    let chain = good().with(|chain| chain.now = now);
    assert_eq!(chain.refusal(), Error::LayoutExpired { expires: now, now });
}

#[test]
fn a_layout_must_say_when_it_expires_even_in_a_dsse_envelope() {
    for form in [metablock, in_dsse] {
        let chain = good().with(|chain| {
            remove(&mut chain.layout, "expires");
            chain.raw_layout = Some(form(&chain.layout, &[OWNER]));
        });
        assert_eq!(chain.problem().2, Problem::Missing("expires"));
    }
    let (at, _) = layout_problem(|layout| layout["expires"] = json!(""));
    assert_eq!(at, "expires");
}

#[test]
fn a_link_in_place_of_the_layout_is_refused() {
    let chain = good().with(|chain| chain.layout = build_link());
    assert_eq!(chain.problem().2, Problem::WrongType { expected: "layout", found: "link".to_owned() });
}

#[test]
fn a_metablock_has_exactly_the_specifications_members() {
    for name in ["readme", "inspect", "keys", "steps"] {
        let (at, problem) = layout_problem(|layout| remove(layout, name));
        assert!(at.is_empty() && matches!(problem, Problem::Missing(missing) if missing == name), "{name}");
    }
    let (_, problem) = layout_problem(|layout| layout["rootcas"] = json!({}));
    assert_eq!(problem, Problem::Unknown("rootcas".to_owned()));
    let (at, problem) = layout_problem(|layout| layout["steps"][1]["cert_constraints"] = json!([]));
    assert_eq!((at.as_str(), problem), ("steps[1]", Problem::Unknown("cert_constraints".to_owned())));
}

#[test]
fn a_dsse_payload_may_have_more_members_but_none_that_hides_a_known_one() {
    let dsse = |name: &str| {
        good().with(|chain| {
            remove(&mut chain.layout, "readme");
            chain.layout[name] = json!("2040-01-01T00:00:00Z");
            chain.layout["steps"][0][name] = json!(1);
            chain.raw_layout = Some(in_dsse(&chain.layout, &[OWNER]));
        })
    };
    assert!(dsse("comment").verify().is_ok());
    assert!(matches!(dsse("Expires").problem().2, Problem::CaseVariant { known: "expires", .. }));
    assert!(matches!(dsse("Threshold").problem().2, Problem::CaseVariant { known: "threshold", .. }));
}

#[test]
fn types_are_checked() {
    let (at, _) = layout_problem(|layout| layout["steps"][0]["_type"] = json!("inspection"));
    assert_eq!(at, "steps[0]._type");
    for (name, value) in [("readme", json!(1)), ("keys", json!([])), ("steps", json!({})), ("inspect", json!(null))] {
        let (at, problem) = layout_problem(|layout| layout[name] = value);
        assert!(at == name && matches!(problem, Problem::NotA(_)), "{name}");
    }
    for name in ["pubkeys", "expected_command", "expected_materials"] {
        let (at, problem) = layout_problem(|layout| layout["steps"][0][name] = json!("text"));
        assert!(at.ends_with(name) && matches!(problem, Problem::NotA(_)), "{name}");
    }
}

#[test]
fn a_layout_without_steps_verifies_nothing_and_is_refused() {
    assert_eq!(layout_problem(|layout| layout["steps"] = json!([])).1, Problem::NoSteps);
}

#[test]
fn names_are_unique_across_steps_and_inspections() {
    let duplicate = Problem::DuplicateName(StepName::parse("fetch").unwrap());
    assert_eq!(layout_problem(|layout| layout["steps"][1]["name"] = json!("fetch")).1, duplicate);
    assert_eq!(layout_problem(|layout| layout["inspect"] = json!([inspection("fetch")])).1, duplicate);
}

#[test]
fn a_name_that_leaves_the_folder_of_links_is_refused() {
    let (at, problem) = layout_problem(|layout| layout["steps"][0]["name"] = json!("../fetch"));
    assert_eq!((at.as_str(), problem), ("steps[0].name", Problem::Name("../fetch".to_owned())));
}

#[test]
fn a_threshold_is_a_number_that_can_be_met_and_missed() {
    for found in [json!(0), json!(-1), json!(3), json!(true), json!("1"), json!(null), json!(4_294_967_297_u64)] {
        let (at, problem) = layout_problem(|layout| layout["steps"][1]["threshold"] = found.clone());
        assert_eq!(at, "steps[1].threshold");
        assert_eq!(problem, Problem::Threshold { found: found.to_string(), functionaries: 2 });
    }
    // A functionary named twice is one.
    let (_, problem) = layout_problem(|layout| {
        layout["steps"][1]["pubkeys"] = json!([keyid(BOB), keyid(BOB)]);
        layout["steps"][1]["threshold"] = json!(2);
    });
    assert_eq!(problem, Problem::Threshold { found: "2".to_owned(), functionaries: 1 });
}

#[test]
fn a_key_is_listed_under_its_own_id() {
    let alias = "aa".repeat(32);
    let (_, problem) = layout_problem(|layout| layout["keys"][&alias] = key_object(BOB));
    assert_eq!(problem, Problem::KeyIdMismatch { listed: alias.as_str().into(), own: keyid(BOB) });
}

#[test]
fn a_key_id_is_hex() {
    for id in ["zz-bob-the-key", "abc"] {
        let (at, _) = layout_problem(|layout| layout["keys"][id] = key_object(BOB));
        assert_eq!(at, format!("keys.{id}"));
        let (at, _) = layout_problem(|layout| layout["steps"][0]["pubkeys"] = json!([id]));
        assert_eq!(at, "steps[0].pubkeys");
    }
}

#[test]
fn a_key_that_cannot_be_used_refuses_the_layout_even_when_no_step_names_it() {
    let id = "bb".repeat(32);
    let refusal = |object: Value| good().with(|chain| chain.layout["keys"][&id] = object).refusal();
    let key = |problem| Error::UnsupportedKey { keyid: id.as_str().into(), problem };

    let gpg = json!({"keyid": id, "type": "rsa", "method": "pgp+rsa-pkcsv1.5", "hashes": ["pgp+SHA2"], "keyval": {}});
    assert_eq!(refusal(gpg), key(openpgp::Unusable::Member("/keyval/public/n").into()));

    let mut other = key_object(BOB);
    other["keyid"] = json!(id);
    other["scheme"] = json!("bogus");
    let unsupported = KeyError::Unsupported { keytype: "ed25519".to_owned(), scheme: "bogus".to_owned() };
    assert_eq!(refusal(other), key(unsupported.into()));
}

#[test]
fn a_key_object_may_have_more_members() {
    let chain = good().with(|chain| {
        chain.layout["keys"][keyid(BOB).as_str()]["keyid_hash_algorithms"] = json!(["sha256", "sha512"]);
        chain.layout["keys"][keyid(BOB).as_str()]["keyval"]["private"] = json!("");
    });
    assert!(chain.verify().is_ok());
}

#[test]
fn a_rule_in_no_known_form_refuses_the_layout_even_when_nothing_reaches_it() {
    let (at, problem) = layout_problem(|layout| layout["steps"][0]["expected_materials"][0] = json!(["FORBID", "x"]));
    assert_eq!(at, "steps[0].expected_materials[0]");
    assert_eq!(problem, Problem::Rule(r#"["FORBID","x"]"#.to_owned()));
}

#[test]
fn every_list_has_a_cap() {
    for (what, change) in [
        ("keys", (|limits| limits.keys = 2) as fn(&mut Limits)),
        ("steps", |limits| limits.steps = 1),
        ("functionaries of a step", |limits| limits.functionaries = 1),
        ("rules", |limits| limits.rules = 3),
        ("bytes in a word of a rule", |limits| limits.rule_bytes = 7),
        ("link files", |limits| limits.link_files = 1),
        ("readings of link files", |limits| limits.readings = 1),
        ("artifacts", |limits| limits.artifacts = 1),
        ("bytes of an artifact name", |limits| limits.artifact_name_bytes = 4),
    ] {
        let error = good().with(|chain| change(&mut chain.limits)).refusal();
        assert!(matches!(&error, Error::Limit { what: met, .. } if *met == what), "{what}: {error}");
    }
}

fn parameters(values: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
    Some(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

/// The good chain with `{APP}` in place of `app`.
fn parametrised(values: Option<BTreeMap<String, String>>) -> Chain {
    good().with(|chain| {
        chain.build()["expected_products"][0] = json!(["CREATE", "{APP}"]);
        chain.options.parameters = values;
    })
}

#[test]
fn parameters_are_filled_in() {
    let verified = parametrised(parameters(&[("APP", "app"), ("UNUSED", "x")])).verify().unwrap();
    let (_, build) = verified.last_step().unwrap();
    assert_eq!(build.product_rules[0].rule.to_string(), "CREATE app");
}

#[test]
fn without_parameters_braces_are_literal() {
    assert_eq!(parametrised(None).code(), "in-toto/disallowed-artifact");
    assert!(good().with(|chain| chain.build()["expected_command"] = json!(["${HOME}"])).verify().is_ok());
}

#[test]
fn a_parameter_that_is_not_given_refuses() {
    let error = parametrised(parameters(&[])).refusal();
    let problem = ParameterProblem::Unknown { name: "APP".to_owned(), text: "{APP}".to_owned() };
    assert_eq!(error, Error::Parameter { problem });
}

#[test]
fn a_value_that_acts_as_a_pattern_is_refused_unless_raw() {
    let chain = parametrised(parameters(&[("APP", "*")]));
    assert!(matches!(chain.refusal(), Error::Parameter { problem: ParameterProblem::Value { found: '*', .. } }));
    let error = chain.with(|chain| chain.options.raw_parameters = true).refusal();
    // Raw, it consumed the log that a later rule requires.
    assert_eq!(error.code(), "in-toto/required-artifact-missing");
}

#[test]
fn a_filled_in_word_has_a_cap() {
    let chain = parametrised(parameters(&[("APP", &"a".repeat(5000))]));
    assert_eq!(chain.code(), "in-toto/limit");
}

#[test]
fn a_bare_key_goes_by_the_ids_that_are_computed_for_it() {
    let pem = signer(OWNER).public_pem().unwrap();
    let key = LayoutKey::parse(pem.as_bytes()).unwrap();
    assert_eq!(key.ids()[0], keyid(OWNER));
    assert!(good().with(|chain| chain.keys = vec![key]).verify().is_ok());
    let object = LayoutKey::parse(key_object(OWNER).to_string().as_bytes()).unwrap();
    assert_eq!(object.ids(), [keyid(OWNER)]);
    assert_eq!(object.key(), &PublicKey::from_pem(&pem).unwrap().into());
}

#[test]
fn key_files_of_other_forms_are_refused() {
    let gpg = br#"{"method": "pgp+eddsa-ed25519"}"#;
    assert_eq!(LayoutKey::parse(gpg), Err(openpgp::Unusable::Member("/type").into()));
    assert_eq!(LayoutKey::parse(b"ssh-ed25519 AAAA"), Err(LayoutKeyError::Unknown));
    assert_eq!(LayoutKey::parse(b"\x7f"), Err(LayoutKeyError::Unknown));
    assert_eq!(LayoutKey::parse(b"{}"), Err(LayoutKeyError::Member("/keyval/public")));
}

fn inspection(name: &str) -> Value {
    json!({
        "_type": "inspection", "name": name, "run": ["true"],
        "expected_materials": [["MATCH", "app", "WITH", "PRODUCTS", "FROM", "build"], ["DISALLOW", "*"]],
        "expected_products": [["MATCH", "app", "WITH", "MATERIALS", "FROM", "look"], ["DISALLOW", "*"]],
    })
}

/// Records the same artifact before and after, and counts how often it was asked.
struct Records {
    digest: &'static str,
    asked: usize,
}

impl Inspector for Records {
    fn inspect(&mut self, inspection: &Inspection, folder: &[String]) -> Result<Inspected, InspectionProblem> {
        assert!(inspection.name.as_str() == "look" && inspection.run == ["true"] && folder.is_empty());
        self.asked += 1;
        let digests = Digests::from([("sha256".to_owned(), self.digest.to_owned())]);
        let artifacts = Artifacts::from([("app".to_owned(), digests)]);
        Ok(Inspected::Recorded(Recorded { materials: artifacts.clone(), products: artifacts }))
    }
}

fn inspected() -> Chain {
    good().with(|chain| chain.layout["inspect"] = json!([inspection("look")]))
}

#[test]
fn inspections_are_refused_unless_something_carries_them_out() {
    let inspections = vec![StepName::parse("look").unwrap()];
    assert_eq!(inspected().refusal(), Error::InspectionsRefused { inspections });
}

#[test]
fn skipped_inspections_are_named() {
    let verified = inspected().with(|chain| chain.options.inspections = Inspections::Skip).verify().unwrap();
    assert_eq!(verified.skipped_inspections().len(), 1);
    assert!(verified.inspections().is_empty());
}

#[test]
fn rules_of_inspections_see_steps_and_inspections() {
    let verified = inspected().verify_with(&mut Records { digest: "bb", asked: 0 }).unwrap();
    let [inspection] = verified.inspections() else { panic!() };
    assert!(inspection.material_rules[0].consumed.iter().eq(["app"]));
    assert!(inspection.material_rules[0].rule.matches_from(&StepName::parse("build").unwrap()));
    let error = inspected().verify_with(&mut Records { digest: "cc", asked: 0 }).unwrap_err();
    assert!(matches!(error, Error::DisallowedArtifact(failure) if failure.item.as_str() == "look"));
}

#[test]
fn nothing_is_inspected_unless_all_steps_hold() {
    let mut records = Records { digest: "bb", asked: 0 };
    let chain = inspected().with(|chain| chain.build()["expected_products"] = json!([["DISALLOW", "*"]]));
    assert_eq!(chain.verify_with(&mut records).unwrap_err().code(), "in-toto/disallowed-artifact");
    assert_eq!(records.asked, 0);
}

#[test]
fn rules_of_steps_do_not_see_inspections() {
    let chain = inspected().with(|chain| {
        let matching = json!(["MATCH", "app", "WITH", "PRODUCTS", "FROM", "look"]);
        chain.build()["expected_products"] = json!([matching, ["DISALLOW", "app"]]);
    });
    assert_eq!(
        chain.verify_with(&mut Records { digest: "bb", asked: 0 }).unwrap_err().code(),
        "in-toto/disallowed-artifact"
    );
}

#[test]
fn a_failed_inspection_refuses() {
    struct Fails;
    impl Inspector for Fails {
        fn inspect(&mut self, _: &Inspection, _: &[String]) -> Result<Inspected, InspectionProblem> {
            Err(InspectionProblem::Failed("no source".to_owned()))
        }
    }
    let error = inspected().verify_with(&mut Fails).unwrap_err();
    assert_eq!(error.to_string(), r#"inspection "look": no source"#);
    assert_eq!(error.code(), "inspection/failed");
}

#[test]
fn an_inspection_without_a_command_is_refused() {
    let (at, _) = layout_problem(|layout| {
        layout["inspect"] = json!([inspection("look")]);
        layout["inspect"][0]["run"] = json!([]);
    });
    assert_eq!(at, "inspect[0].run");
}
