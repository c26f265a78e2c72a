//! What is made to cost much: the largest thing within a cap still has its verdict, and one more is refused. The caps are
//! in `docs/sizing.md`; what each costs at its worst was measured by hand, for nothing here may depend on the clock.

use super::*;

/// That a chain is accepted where the cap is `found`, and refused by this very cap where it is one less.
fn exactly(what: &str, found: usize, chain: Chain, set: fn(&mut Limits) -> &mut usize) {
    let mut chain = chain;
    *set(&mut chain.limits) = found;
    if let Err(error) = chain.verify() {
        panic!("{what} within the cap: {error}");
    }
    *set(&mut chain.limits) = found - 1;
    match innermost(chain.refusal()) {
        Error::Limit { what: met, limit, found: counted, .. } => {
            assert_eq!((met, limit, counted), (what, found - 1, found), "{what}");
        }
        other => panic!("{what}: {other}"),
    }
    assert_eq!(chain.code(), "in-toto/limit");
}

fn innermost(error: Error) -> Error {
    match error {
        Error::Sublayout { error, .. } => innermost(*error),
        other => other,
    }
}

fn artifacts(number: usize) -> Value {
    let all = (0..number).map(|at| (format!("f/{at:06}"), json!({"sha256": "aa"})));
    Value::Object(all.collect())
}

/// One step `make` by alice with these rules for products, and her link.
fn made(rules: Value, products: Value) -> Chain {
    good().with(|chain| {
        chain.layout = layout(&[ALICE], vec![step("make", &[ALICE], 1, json!([]), rules)]);
        chain.links.clear();
        chain.add("make", ALICE, link("make", json!({}), products));
    })
}

/// `make` by so many functionaries whose key ids begin alike, so that all of them are named by one file.
fn alike(number: usize, payload: &Value) -> (Value, Vec<u8>) {
    let ids: Vec<String> = (0..number).map(|at| format!("0000000a{at:04x}")).collect();
    let mut outer = layout(&[], vec![step("make", &[], 1, json!([]), json!([]))]);
    outer["steps"][0]["pubkeys"] = json!(ids);
    let signature = hex::encode(signer(ALICE).sign(&strict::canonical(payload)).unwrap());
    for id in &ids {
        let mut object = key_object(ALICE);
        object["keyid"] = json!(id);
        outer["keys"][id] = object;
    }
    let signatures: Vec<Value> = ids.iter().map(|id| json!({"keyid": id, "sig": signature})).collect();
    (outer, json!({"signed": payload, "signatures": signatures}).to_string().into_bytes())
}

#[test]
fn every_cap_is_met_exactly() {
    exactly("steps", 2, good(), |limits| &mut limits.steps);
    exactly("keys", 3, good(), |limits| &mut limits.keys);
    exactly("functionaries of a step", 2, good(), |limits| &mut limits.functionaries);
    exactly("rules", 4, good(), |limits| &mut limits.rules);
    exactly("bytes in a word of a rule", 8, good(), |limits| &mut limits.rule_bytes);
    exactly("link files", 2, good(), |limits| &mut limits.link_files);
    exactly("readings of link files", 2, good(), |limits| &mut limits.readings);
    exactly("artifacts", 2, good(), |limits| &mut limits.artifacts);
    exactly("artifacts in all", 4, good(), |limits| &mut limits.all_artifacts);
    exactly("bytes of an artifact name", 5, good(), |limits| &mut limits.artifact_name_bytes);
    let signed_twice = good().with(|chain| chain.layout_signers = vec![OWNER, CAROL, BOB]);
    exactly("signatures", 3, signed_twice, |limits| &mut limits.signatures);
    let inspected = good().with(|chain| {
        let look = json!({
            "_type": "inspection", "name": "look", "run": ["true"], "expected_materials": [], "expected_products": [],
        });
        chain.layout["inspect"] = (0..3)
            .map(|at| {
                let mut look = look.clone();
                look["name"] = json!(format!("look{at}"));
                look
            })
            .collect();
        chain.options.inspections = Inspections::Skip;
    });
    exactly("inspect", 3, inspected, |limits| &mut limits.steps);
    let read: usize = good().links.values().map(|(payload, signers)| metablock(payload, signers).len()).sum();
    exactly("bytes read, again and again", read, good(), |limits| &mut limits.read_bytes);
}

#[test]
fn a_layout_of_the_largest_size_is_read() {
    let Limits { steps, keys, rules, functionaries, .. } = Limits::default();
    let full = |steps: usize, keys: usize, rules: usize, functionaries: usize| {
        good().with(|chain| {
            let listed: Vec<String> = (0..keys).map(|at| format!("{at:08x}")).collect();
            let members = listed.iter().map(|id| {
                let mut object = key_object(ALICE);
                object["keyid"] = json!(id);
                (id.clone(), object)
            });
            let rules: Vec<Value> = (0..rules).map(|_| json!(["ALLOW", "src/*"])).collect();
            let mut last = step("last", &[], 1, json!([]), json!(rules));
            last["pubkeys"] = json!(listed[..functionaries]);
            let mut all: Vec<Value> = (1..steps)
                .map(|at| {
                    let mut one = step(&format!("s{at}"), &[], 1, json!([]), json!([]));
                    one["pubkeys"] = json!([listed[0]]);
                    one
                })
                .collect();
            all.push(last);
            chain.layout = json!({
                "_type": "layout", "expires": "2030-01-01T00:00:00Z", "readme": "", "inspect": [],
                "keys": Value::Object(members.collect()), "steps": all,
            });
            chain.links.clear();
            let names = (1..steps).map(|at| format!("s{at}")).chain(["last".to_owned()]);
            for name in names {
                let payload = link(&name, json!({}), json!({"src/a": {"sha256": "aa"}}));
                let signature = hex::encode(signer(ALICE).sign(&strict::canonical(&payload)).unwrap());
                let file = json!({"signed": payload, "signatures": [{"keyid": listed[0], "sig": signature}]});
                chain.raw.insert(format!("{name}.{}.link", listed[0]), file.to_string().into_bytes());
            }
        })
    };
    let verified = full(steps, keys, rules, functionaries).verify().unwrap();
    assert_eq!((verified.steps().len(), verified.last_step().unwrap().1.product_rules.len()), (256, 256));
    for (what, chain) in [
        ("steps", full(steps + 1, keys, rules, functionaries)),
        ("keys", full(2, keys + 1, rules, functionaries)),
        ("rules", full(2, keys, rules + 1, functionaries)),
        ("functionaries of a step", full(2, keys, rules, functionaries + 1)),
    ] {
        assert!(matches!(chain.refusal(), Error::Limit { what: met, .. } if met == what), "{what}");
    }
}

#[test]
fn two_hundred_thousand_artifacts_are_read_and_one_more_is_not() {
    let limit = Limits::default().artifacts;
    let with = |number: usize| {
        // As it is signed: to build a tree of it takes longer than to judge it.
        let products: Vec<String> = (0..number).map(|at| format!(r#""f/{at:06}":{{"sha256":"aa"}}"#)).collect();
        let payload = format!(
            r#"{{"_type":"link","byproducts":{{}},"command":[],"environment":{{}},"materials":{{}},"name":"make","products":{{{}}}}}"#,
            products.join(",")
        );
        let (keyid, sig) = (keyid(ALICE), hex::encode(signer(ALICE).sign(payload.as_bytes()).unwrap()));
        let file = format!(r#"{{"signatures":[{{"keyid":"{keyid}","sig":"{sig}"}}],"signed":{payload}}}"#);
        made(json!([["ALLOW", "f/*"], ["DISALLOW", "*"]]), json!({}))
            .with(|chain| drop(chain.raw.insert(path("make", ALICE), file.into_bytes())))
    };
    assert_eq!(with(limit).verify().unwrap().last_step().unwrap().1.product_rules[0].consumed.len(), limit);
    let error = with(limit + 1).refusal();
    assert!(matches!(error, Error::Limit { what: "artifacts", found, .. } if found == limit + 1), "{error}");
}

/// Patterns for which a matcher that tries everything takes longer than anyone waits.
#[test]
fn a_pattern_that_explodes_is_matched_or_refused() {
    let name = "a".repeat(4000);
    let products = json!({name.as_str(): {"sha256": "aa"}});
    let many_stars = "*a".repeat(2000) + "*b";
    let disallow = |pattern: &str| made(json!([["DISALLOW", pattern]]), products.clone());
    assert!(disallow(&many_stars).verify().is_ok());
    assert_eq!(disallow(&("*a".repeat(2000) + "*")).code(), "in-toto/disallowed-artifact");
    let class = format!("*{}b", "[!b]".repeat(1000));
    assert!(disallow(&class).verify().is_ok());
    assert_eq!(disallow(&class[..class.len() - 1]).code(), "in-toto/disallowed-artifact");
}

#[test]
fn rules_times_artifacts_have_a_budget_and_what_is_beyond_it_is_never_accepted() {
    // What stands behind the last star fits nearly, everywhere.
    let pattern = format!("*{}b", "a".repeat(500));
    let long: Value = (0..10).map(|at| (format!("{}{at}", "a".repeat(1000)), json!({"sha256": "aa"}))).collect();
    for rule in [
        json!(["CREATE", pattern]),
        json!(["DELETE", pattern]),
        json!(["MODIFY", pattern]),
        json!(["ALLOW", pattern]),
        json!(["DISALLOW", pattern]),
        json!(["MATCH", pattern, "WITH", "PRODUCTS", "FROM", "make"]),
    ] {
        let budget = |steps| made(json!([rule.clone()]), long.clone()).with(|chain| chain.limits.rule_steps = steps);
        assert!(budget(10 << 20).verify().is_ok(), "{rule}");
        let error = budget(1 << 20).refusal();
        let Error::Limit { what: "comparisons by rules", limit, found, .. } = error else { panic!("{rule}: {error}") };
        // One name more at most than the cap.
        assert!(limit == 1 << 20 && found > limit && found < limit + (1 << 20), "{rule}: {found}");
    }
    // Short names and patterns that tell at once, but many of both, and names that are looked for.
    for rule in [
        json!(["ALLOW", "x"]),
        json!(["CREATE", "x"]),
        json!(["MATCH", "*", "WITH", "PRODUCTS", "FROM", "nobody"]),
        json!(["MATCH", "*", "WITH", "PRODUCTS", "IN", "g", "FROM", "make"]),
        json!(["DELETE", "*"]),
    ] {
        let rules: Vec<Value> = (0..256).map(|_| rule.clone()).collect();
        let budget = |steps| made(json!(rules), artifacts(1000)).with(|chain| chain.limits.rule_steps = steps);
        assert!(budget(20 << 20).verify().is_ok(), "{rule}");
        assert_eq!(budget(1 << 20).code(), "in-toto/limit", "{rule}");
    }
}

#[test]
fn steps_sublayouts_and_inspections_spend_one_budget() {
    struct Same(Value);
    impl Inspector for Same {
        fn inspect(&mut self, _: &Inspection, _: &[String]) -> Result<Inspected, InspectionProblem> {
            let digests = Digests::from([("sha256".to_owned(), "aa".to_owned())]);
            let names = self.0.as_object().unwrap().keys().cloned();
            let materials: Artifacts = names.map(|name| (name, digests.clone())).collect();
            Ok(Inspected::Recorded(Recorded { materials, products: Artifacts::new() }))
        }
    }
    let rules: Vec<Value> = (0..100).map(|_| json!(["CREATE", "x"])).collect();
    let all = artifacts(100);
    let look = |name: &str| {
        json!({
            "_type": "inspection", "name": name, "run": ["true"], "expected_materials": rules, "expected_products": [],
        })
    };
    let chain = |looks: usize, steps: usize| {
        made(json!([]), json!({})).with(|chain| {
            let names = || (0..steps).map(|at| format!("s{at}"));
            let steps = names().map(|name| step(&name, &[ALICE], 1, json!([]), json!(rules))).collect();
            chain.layout = layout(&[ALICE], steps);
            chain.layout["inspect"] = (0..looks).map(|at| look(&format!("look{at}"))).collect();
            chain.links.clear();
            names().for_each(|name| chain.add(&name, ALICE, link(&name, json!({}), all.clone())));
            // Each of them takes 90,000.
            chain.limits.rule_steps = 300_000;
        })
    };
    assert!(chain(2, 1).verify_with(&mut Same(all.clone())).is_ok());
    for (looks, steps) in [(0, 4), (2, 2), (3, 1)] {
        let error = chain(looks, steps).verify_with(&mut Same(all.clone())).unwrap_err();
        assert!(matches!(error, Error::Limit { what: "comparisons by rules", .. }), "{looks} {steps}: {error}");
    }
    // What inspections record is held as what links do.
    let held =
        |most: usize| chain(3, 1).with(|chain| (chain.limits.rule_steps, chain.limits.all_artifacts) = (1 << 20, most));
    assert!(held(400).verify_with(&mut Same(all.clone())).is_ok());
    let error = held(399).verify_with(&mut Same(all.clone())).unwrap_err();
    assert!(matches!(error, Error::Limit { what: "artifacts in all", found: 400, .. }), "{error}");

    // A sublayout in whose one step the rules are, at each depth.
    let nested = |depth: usize| {
        good().with(|chain| {
            let one = |rules: &[Value]| layout(&[ALICE], vec![step("make", &[ALICE], 1, json!([]), json!(rules))]);
            chain.layout = one(&rules);
            chain.links.clear();
            chain.options.sublayouts = Sublayouts::Allow { depth: 8 };
            chain.limits.rule_steps = 300_000;
            let mut place = String::new();
            for _ in 0..depth {
                let file = place.clone() + &path("make", ALICE);
                chain.links.insert(file.clone(), (one(&rules), vec![ALICE]));
                place = file.strip_suffix("link").map(|folder| folder[..folder.len() - 1].to_owned() + "/").unwrap();
            }
            chain.links.insert(place + &path("make", ALICE), (link("make", json!({}), all.clone()), vec![ALICE]));
        })
    };
    assert!(nested(2).verify().is_ok());
    assert!(matches!(innermost(nested(3).refusal()), Error::Limit { what: "comparisons by rules", .. }));
}

#[test]
fn documents_nested_deep_are_refused_wherever_it_is() {
    let nested = |depth: usize| (0..depth).fold(json!(0), |inner, _| json!([inner]));
    let in_link = |depth: usize, form: fn(&Value, &[u8]) -> Vec<u8>| {
        good().with(|chain| {
            let mut payload = build_link();
            payload["byproducts"] = json!({"x": nested(depth)});
            chain.raw.insert(path("build", BOB), form(&payload, &[BOB]));
        })
    };
    for (form, within) in [(metablock as fn(&Value, &[u8]) -> Vec<u8>, 61), (in_dsse, 62)] {
        assert!(in_link(within, form).verify().is_ok());
        let (_, _, problem) = in_link(within + 1, form).problem();
        assert!(problem.to_string().contains("deep"), "{problem}");
    }
    let (_, _, problem) = good()
        .with(|chain| {
            let text = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
            chain.raw_layout = Some(format!(r#"{{"signed":{text},"signatures":[]}}"#).into_bytes());
        })
        .problem();
    assert!(problem.to_string().contains("recursion") || problem.to_string().contains("deep"), "{problem}");
}

#[test]
fn values_that_take_more_memory_than_bytes_are_counted() {
    let with_values = |number: usize, beside: bool| {
        good().with(|chain| {
            let mut document: Value = serde_json::from_slice(&metablock(&build_link(), &[BOB])).unwrap();
            let values: Vec<Value> = (0..number).map(|_| json!({"": 0})).collect();
            match beside {
                true => document["comment"] = json!(values),
                // A command of other things than words is read in the ordinary way.
                false => document["signed"]["command"] = json!(values),
            }
            chain.raw.insert(path("build", BOB), document.to_string().into_bytes());
            chain.limits.json_values = 1000;
        })
    };
    for beside in [false, true] {
        assert!(!matches!(with_values(400, beside).verify(), Err(Error::Malformed { .. })));
        let (file, _, problem) = with_values(500, beside).problem();
        assert!(file == path("build", BOB) && problem.to_string().contains("more than 1000 values"), "{problem}");
    }
}

#[test]
fn a_file_that_many_functionaries_are_named_by_is_not_read_again_and_again() {
    let payload = link("make", json!({}), artifacts(100));
    let named = |number: usize, set: &dyn Fn(&mut Limits, usize)| {
        let (outer, file) = alike(number, &payload);
        good().with(|chain| {
            set(&mut chain.limits, file.len());
            chain.layout = outer;
            chain.links.clear();
            chain.raw.insert("make.0000000a.link".to_owned(), file);
        })
    };
    assert!(named(64, &|_, _| ()).verify().is_ok());
    let ten = |limits: &mut Limits, length: usize| limits.read_bytes = 10 * length;
    assert!(named(10, &ten).verify().is_ok());
    assert!(matches!(named(11, &ten).refusal(), Error::Limit { what: "bytes read, again and again", .. }));
    let held = |limits: &mut Limits, _: usize| limits.all_artifacts = 1000;
    assert!(named(10, &held).verify().is_ok());
    assert!(matches!(named(11, &held).refusal(), Error::Limit { what: "artifacts in all", .. }));
}

/// Two functionaries of one name hand on to two of one name, and so on: a dozen files, and ways without number.
#[test]
fn ways_through_sublayouts_do_not_multiply() {
    let ways = |depth: usize| {
        good().with(|chain| {
            chain.options.sublayouts = Sublayouts::Allow { depth: 8 };
            chain.links.clear();
            let (outer, _) = alike(2, &json!({}));
            let (_, inner) = alike(2, &outer);
            let (_, leaf) = alike(2, &link("make", json!({}), artifacts(100)));
            chain.layout = outer;
            let file = |level: usize| "make.0000000a/".repeat(level) + "make.0000000a.link";
            (0..depth).for_each(|level| drop(chain.raw.insert(file(level), inner.clone())));
            chain.raw.insert(file(depth), leaf);
        })
    };
    // 2 + 4 + … + 512 readings, and each hands what it has on.
    assert!(ways(8).verify().is_ok());
    let capped = |depth: usize, readings: usize| ways(depth).with(|chain| chain.limits.readings = readings);
    assert!(capped(7, 510).verify().is_ok());
    assert!(matches!(innermost(capped(7, 509).refusal()), Error::Limit { what: "readings of link files", .. }));
    let held = ways(7).with(|chain| chain.limits.all_artifacts = 5000);
    assert!(matches!(innermost(held.refusal()), Error::Limit { what: "artifacts in all", .. }));
    assert_eq!(innermost(ways(9).refusal()).code(), "in-toto/sublayout-too-deep");
}

#[test]
fn words_do_not_grow_beyond_a_layout_by_their_parameters() {
    let grown = |words: usize| {
        good().with(|chain| {
            chain.options.parameters = Some(BTreeMap::from([("A".to_owned(), "a".repeat(4000))]));
            chain.build()["expected_command"] = json!((0..words).map(|_| "{A}").collect::<Vec<_>>());
        })
    };
    assert!(grown(1000).verify().is_ok());
    let error = grown(1100).refusal();
    assert!(matches!(error, Error::Limit { what: "bytes in all words", .. }), "{error}");
    // And one word alone.
    let one = good().with(|chain| {
        chain.options.parameters = Some(BTreeMap::from([("A".to_owned(), "a".repeat(4000))]));
        chain.build()["expected_command"] = json!(["{A}".repeat(100_000)]);
    });
    assert!(matches!(one.refusal(), Error::Limit { what: "bytes in a word of a command", .. }));
}

#[test]
fn a_digest_is_as_long_as_digests_are() {
    let with = |length: usize| made(json!([]), json!({"app": {"sha512": "a".repeat(length)}}));
    assert!(with(256).verify().is_ok());
    let (_, at, problem) = with(257).problem();
    assert!(at == "products.app" && matches!(problem, Problem::NotA(_)), "{at}: {problem}");
}
