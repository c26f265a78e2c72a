//! Links: whose count, how many there must be, and what is in them.

use super::*;

fn findings(chain: &Chain) -> (u32, usize, Vec<Finding>) {
    match chain.refusal() {
        Error::ThresholdNotMet { threshold, verified, functionaries, .. } => {
            (threshold, verified, functionaries.into_iter().map(|found| found.finding).collect())
        }
        other => panic!("{other}"),
    }
}

fn link_problem(change: impl FnOnce(&mut Value)) -> (String, Problem) {
    let (file, at, problem) = good().with(|chain| change(chain.link("build", BOB))).problem();
    assert_eq!(file, path("build", BOB));
    (at, problem)
}

#[test]
fn a_step_without_links_is_refused() {
    let chain = good().with(|chain| drop(chain.links.remove(&path("build", BOB))));
    assert_eq!(findings(&chain), (1, 0, vec![Finding::NoLink, Finding::NoLink]));
}

#[test]
fn a_key_of_the_layout_that_the_step_does_not_name_is_not_authorised() {
    let chain = good().with(|chain| {
        chain.links.remove(&path("build", BOB));
        chain.add("build", ALICE, build_link());
    });
    assert_eq!(findings(&chain).2, [Finding::NoLink, Finding::NoLink, Finding::NotAuthorised]);
    let expected = format!(
        r#"step "build" needs links by 1 functionary, 0 verified: {}… no link, {}… no link, {}… not authorised"#,
        keyid(BOB).short(),
        keyid(CAROL).short(),
        keyid(ALICE).short()
    );
    assert_eq!(chain.refusal().to_string(), expected);
}

#[test]
fn a_key_that_the_layout_does_not_list_cannot_sign() {
    let chain = good().with(|chain| {
        chain.layout["keys"].as_object_mut().unwrap().remove(keyid(BOB).as_str());
    });
    assert_eq!(findings(&chain).2, [Finding::NotListed, Finding::NoLink]);
}

#[test]
fn a_link_by_another_key_under_a_functionarys_name_does_not_count() {
    let chain = good().with(|chain| chain.links.get_mut(&path("build", BOB)).unwrap().1 = vec![ALICE]);
    assert_eq!(findings(&chain).2[0], Finding::Signature(SignatureProblem::Missing));
}

#[test]
fn a_link_that_was_changed_after_signing_does_not_count() {
    let chain = good().with(|chain| {
        let mut file: Value = serde_json::from_slice(&metablock(&build_link(), &[BOB])).unwrap();
        file["signed"]["products"]["app"]["sha256"] = json!("dd");
        chain.raw.insert(path("build", BOB), file.to_string().into_bytes());
    });
    assert_eq!(findings(&chain).2[0], Finding::Signature(SignatureProblem::Invalid));
    // One who signed properly makes up for it.
    assert!(chain.with(|chain| chain.add("build", CAROL, build_link())).verify().is_ok());
}

#[test]
fn a_threshold_wants_different_functionaries() {
    let two = || good().with(|chain| chain.build()["threshold"] = json!(2));
    assert_eq!(findings(&two()), (2, 1, vec![Finding::Verified, Finding::NoLink]));
    assert!(two().with(|chain| chain.add("build", CAROL, build_link())).verify().is_ok());
}

#[test]
fn one_key_under_two_ids_is_one_functionary() {
    let twin = "ab".repeat(32);
    let chain = good().with(|chain| {
        let mut object = key_object(BOB);
        object["keyid"] = json!(twin);
        chain.layout["keys"][&twin] = object;
        chain.build()["pubkeys"] = json!([keyid(BOB), twin]);
        chain.build()["threshold"] = json!(2);
        let mut file: Value = serde_json::from_slice(&metablock(&build_link(), &[BOB])).unwrap();
        file["signatures"][0]["keyid"] = json!(twin);
        chain.raw.insert("build.abababab.link".to_owned(), file.to_string().into_bytes());
    });
    assert_eq!(findings(&chain), (2, 1, vec![Finding::Verified, Finding::SameKeyAs(keyid(BOB))]));
}

#[test]
fn one_file_may_carry_the_signatures_of_two_whose_ids_begin_alike() {
    let (one, other) = (format!("{}01", "ab".repeat(8)), format!("{}02", "ab".repeat(8)));
    let chain = good().with(|chain| {
        let mut file: Value = serde_json::from_slice(&metablock(&build_link(), &[BOB, CAROL])).unwrap();
        for (index, (id, seed)) in [(&one, BOB), (&other, CAROL)].into_iter().enumerate() {
            let mut object = key_object(seed);
            object["keyid"] = json!(id);
            chain.layout["keys"][id] = object;
            file["signatures"][index]["keyid"] = json!(id);
        }
        chain.build()["pubkeys"] = json!([one, other]);
        chain.build()["threshold"] = json!(2);
        chain.raw.insert("build.abababab.link".to_owned(), file.to_string().into_bytes());
    });
    assert_eq!(chain.verify().unwrap().last_step().unwrap().1.functionaries.len(), 2);
}

#[test]
fn all_valid_links_must_agree_even_beyond_the_threshold() {
    let chain = good().with(|chain| {
        chain.add("build", CAROL, build_link());
        chain.link("build", CAROL)["products"]["app"]["sha256"] = json!("BB");
    });
    let digest = |text: &str| Some(Digests::from([("sha256".to_owned(), text.to_owned())]));
    let disagreement = Disagreement {
        step: StepName::parse("build").unwrap(),
        side: Side::Products,
        artifact: "app".to_owned(),
        says: [(keyid(BOB), digest("bb")), (keyid(CAROL), digest("BB"))],
    };
    assert_eq!(chain.refusal(), Error::LinkDisagreement(Box::new(disagreement)));
    let chain = good().with(|chain| {
        chain.add("build", CAROL, build_link());
        chain.link("build", CAROL)["materials"]["src/b"] = json!({"sha256": "aa"});
    });
    assert!(matches!(chain.refusal(), Error::LinkDisagreement(found)
        if found.side == Side::Materials && found.artifact == "src/b" && found.says[0].1.is_none()));
}

#[test]
fn commands_byproducts_and_environments_need_not_agree() {
    let chain = good().with(|chain| {
        chain.build()["expected_command"] = json!(["make"]);
        chain.link("build", BOB)["command"] = json!(["make"]);
        chain.add("build", CAROL, build_link());
        chain.link("build", CAROL)["byproducts"] = json!({"return-value": 7});
    });
    assert_eq!(chain.verify().unwrap().last_step().unwrap().1.other_command, [keyid(CAROL)]);
}

#[test]
fn an_authorised_link_that_cannot_be_read_refuses_the_whole() {
    let with = |bytes: &[u8]| good().with(|chain| drop(chain.raw.insert(path("build", CAROL), bytes.to_vec())));
    assert!(matches!(with(b"garbage").problem().2, Problem::Json(_)));
    assert_eq!(with(b"{}").problem().2, Problem::NoEnvelope);
    assert_eq!(with(&metablock(&json!({"_type": "link"}), &[])).problem().2, Problem::Missing("name"));
}

#[test]
fn files_of_others_are_not_read() {
    let chain = good().with(|chain| {
        chain.raw.insert(path("build", ALICE), b"garbage".to_vec());
        chain.raw.insert("README".to_owned(), b"garbage".to_vec());
        chain.raw.insert(format!("elsewhere/{}", path("build", CAROL)), b"garbage".to_vec());
    });
    assert!(chain.verify().is_ok());
}

#[test]
fn a_link_of_one_step_does_not_do_for_another() {
    let chain = good().with(|chain| chain.link("build", BOB)["name"] = json!("fetch"));
    let (step, found) = (StepName::parse("build").unwrap(), Some("fetch".to_owned()));
    assert_eq!(chain.refusal(), Error::StepNameMismatch { step, keyid: keyid(BOB), found });
    let chain = good().with(|chain| chain.link("build", BOB)["name"] = json!(null));
    assert!(matches!(chain.refusal(), Error::StepNameMismatch { found: None, .. }));
}

#[test]
fn two_files_of_one_name_are_refused() {
    let chain = good();
    let (layout, link) = (metablock(&chain.layout, &[OWNER]), metablock(&build_link(), &[BOB]));
    let file = || LinkFile { dir: Vec::new(), name: path("build", BOB), bytes: &link };
    let chain = SupplyChain {
        layout: &layout,
        keys: chain.keys.clone(),
        links: vec![file(), file()],
        attestations: Vec::new(),
    };
    let now = "2029-01-01T00:00:00Z".parse().unwrap();
    let error = verify(&chain, &Options::default(), now, &Limits::default()).unwrap_err();
    assert_eq!(error, Error::AmbiguousLink(path("build", BOB)));
}

#[test]
fn a_metablock_link_has_exactly_the_specifications_members() {
    for name in ["name", "materials", "products", "byproducts", "command", "environment"] {
        let (_, problem) = link_problem(|link| drop(link.as_object_mut().unwrap().remove(name)));
        assert!(matches!(problem, Problem::Missing(missing) if missing == name), "{name}");
    }
    let (_, problem) = link_problem(|link| link["x"] = json!(1));
    assert_eq!(problem, Problem::Unknown("x".to_owned()));
    let (_, problem) = link_problem(|link| link["_type"] = json!("Link"));
    assert!(matches!(problem, Problem::WrongType { .. }));
    for name in ["materials", "products", "byproducts", "command", "environment"] {
        let (at, problem) = link_problem(|link| link[name] = json!("text"));
        assert!(at == name && matches!(problem, Problem::NotA(_)), "{name}");
    }
}

#[test]
fn a_dsse_link_may_leave_out_what_is_not_judged() {
    let chain = good().with(|chain| {
        let link = chain.link("build", BOB).as_object_mut().unwrap();
        link.remove("byproducts");
        link.remove("environment");
        link.remove("command");
        let bytes = in_dsse(&Value::Object(link.clone()), &[BOB]);
        chain.raw.insert(path("build", BOB), bytes);
    });
    assert!(chain.verify().is_ok());
}

#[test]
fn a_link_without_a_command_may_say_null() {
    assert!(good().with(|chain| chain.link("build", BOB)["command"] = json!(null)).verify().is_ok());
}

#[test]
fn digests_are_hex() {
    for digests in [json!(null), json!({"sha256": ""}), json!({"sha256": "zz"}), json!({"sha256": 1}), json!("aa")] {
        let (at, problem) = link_problem(|link| link["products"]["app"] = digests.clone());
        assert!(at == "products.app" && matches!(problem, Problem::NotA(_)), "{digests}");
    }
}

#[test]
fn an_artifact_name_that_readers_understand_differently_is_refused() {
    for (name, why) in [("./app", Unclean::DotSegment), ("a//b", Unclean::EmptySegment), ("", Unclean::Empty)] {
        let error = good().with(|chain| chain.link("build", BOB)["products"][name] = json!({"sha256": "aa"})).refusal();
        let (file, side, name) = (path("build", BOB), Side::Products, name.to_owned());
        assert_eq!(error, Error::UncleanArtifact { file, side, name, why });
    }
}

#[test]
fn a_link_beyond_the_cap_is_refused() {
    let chain = good().with(|chain| {
        chain.limits.link_bytes = 2000;
        chain.limits.layout_bytes = 3000;
        chain.link("build", BOB)["byproducts"]["stdout"] = json!("x".repeat(4000));
    });
    assert!(matches!(chain.refusal(), Error::Limit { what: "bytes", limit: 3000, .. }));
}

/// Four steps, each by one, whose links together are large enough to be read side by side, in two goes.
fn large() -> Chain {
    const NAMES: [&str; 4] = ["one", "two", "three", "four"];
    const BY: [u8; 4] = [ALICE, BOB, CAROL, ALICE];
    let products: serde_json::Map<String, Value> =
        (0..35_000).map(|at| (format!("folder/{at:06}"), json!({"sha256": "ab".repeat(32)}))).collect();
    good().with(|chain| {
        let steps = NAMES.iter().zip(BY).map(|(name, by)| step(name, &[by], 1, json!([]), json!([])));
        chain.layout = layout(&[ALICE, BOB, CAROL], steps.collect());
        chain.links.clear();
        for (name, by) in NAMES.iter().zip(BY) {
            chain.add(name, by, link(name, json!({}), products.clone().into()));
        }
    })
}

#[test]
fn large_links_are_judged_as_small_ones_are_and_in_the_order_of_their_steps() {
    let mut chain = large();
    let verified = chain.verify().unwrap();
    for step in verified.steps().values() {
        assert_eq!((step.products.len(), step.findings.len()), (35_000, 1));
    }

    // The first step in which something is wrong refuses, whatever is wrong in later ones and however soon that shows.
    chain.raw.insert(path("four", ALICE), b"{}".to_vec());
    assert_eq!(chain.problem().0, path("four", ALICE));
    chain.links.get_mut(&path("three", CAROL)).unwrap().1 = vec![BOB];
    assert!(matches!(chain.refusal(), Error::ThresholdNotMet { step, .. } if step.as_str() == "three"));
    chain.raw.insert(path("two", BOB), b"[".to_vec());
    assert_eq!(chain.problem().0, path("two", BOB));

    // What is held is counted in that order as well.
    chain.limits.all_artifacts = 34_999;
    assert!(
        matches!(chain.refusal(), Error::Limit { file, what: "artifacts in all", .. } if file == path("one", ALICE))
    );
}
