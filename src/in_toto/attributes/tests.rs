use serde_json::json;

use super::*;

fn limits() -> Limits {
    Limits::default()
}

fn rule(text: &str) -> AttributeRule {
    AttributeRule::parse(text, false, None, &limits()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    AttributeRule::parse(text, false, None, &limits()).map(|_| ()).expect_err(text)
}

fn statement() -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app", "digest": {"sha256": "aa"}}],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": "PASSED", "failedTests": [], "count": 7, "ratio": 0.5, "big": 9_007_199_254_740_993_i64,
            "huge": u64::MAX, "none": null, "flag": true,
            "results": [
                {"name": "a", "vulnerabilities": [{"id": "CVE-1", "severity": "LOW"}]},
                {"name": "b", "vulnerabilities": []},
                {"name": "c"},
            ],
        },
    })
}

fn problem(text: &str) -> AttributeProblem {
    problem_of(&rule(text), &statement())
}

fn problem_of(rule: &AttributeRule, statement: &Value) -> AttributeProblem {
    match hold(std::slice::from_ref(rule), statement, &Meter::new(limits().attribute_cost)) {
        Err(Unheld::Failure(failure)) => failure.problem,
        Err(Unheld::TooCostly(_)) => panic!("{} is too costly", rule.text),
        Ok(_) => panic!("{} holds", rule.text),
    }
}

#[track_caller]
fn holds(text: &str) {
    let meter = Meter::new(limits().attribute_cost);
    match hold(&[rule(text)], &statement(), &meter) {
        Ok(no_claims) => assert_eq!(no_claims, [false], "{text}"),
        Err(Unheld::Failure(failure)) => panic!("{failure}"),
        Err(Unheld::TooCostly(_)) => panic!("{text} is too costly"),
    }
}

#[test]
fn what_is_true_of_a_statement_holds() {
    for text in [
        "predicate.result == 'PASSED'",
        "size(predicate.failedTests) == 0",
        "predicate.failedTests.size() == 0 && size(subject) != 0",
        "predicateType == 'https://in-toto.io/attestation/test-result/v0.1'",
        "predicate['result'] in ['PASSED', 'WARNED']",
        "subject[0].name == 'app' && subject.exists(s, s.digest['sha256'] == 'aa')",
        "predicate.count > 6 && predicate.count == 7.0 && predicate.ratio < 1",
        "predicate.big == 9007199254740993 && predicate.big != 9007199254740992",
        "predicate.huge > 9223372036854775807",
        "predicate.none == null && predicate.flag",
        "predicate.results.all(r, !has(r.vulnerabilities) || r.vulnerabilities.all(v, v.severity != 'CRITICAL'))",
        "predicate.results.exists_one(r, r.name == 'b')",
        "predicate.results.map(r, r.name) == ['a', 'b', 'c']",
        "predicate.results.filter(r, r.name != 'b').size() == 2",
        "predicate.results.filter(r, r.name != 'b').all(r, r.name.startsWith('a') || r.name.endsWith('c'))",
        "has(predicate.flag) ? predicate.flag : false",
        "{'x': predicate.count}.x == 7 && string(predicate.count) == '7'",
        "{'app': 'aa'}[subject[0].name] == subject[0].digest.sha256",
        // As in cel-go, what decides makes up for what is missing.
        "predicate.missing == 1 || predicate.result == 'PASSED'",
    ] {
        holds(text);
    }
}

#[test]
fn whatever_is_not_true_does_not_hold() {
    assert_eq!(problem("predicate.result == 'FAILED'"), AttributeProblem::False);
    assert_eq!(problem("predicate.result"), AttributeProblem::NotBoolean("string".into()));
    assert_eq!(problem("predicate.count"), AttributeProblem::NotBoolean("int".into()));
    assert_eq!(problem("predicate"), AttributeProblem::NotBoolean("map".into()));
    assert_eq!(problem("predicate.missing == 1"), AttributeProblem::NoClaim("missing".into()));
    assert_eq!(problem("predicate['missing'] == 1"), AttributeProblem::NoClaim("missing".into()));
    for text in [
        "predicate.result.a == 1",
        "predicate.none.a == 1",
        "predicate.failedTests[0] == 1",
        "predicate.count / 0 == 1",
        "predicate.huge + 1u > 0u",
        "predicate.result + 1 == 'PASSED1'",
        "predicate.results < 1",
        "size(predicate.count) == 1",
        "int(predicate.result) == 1",
        "!predicate.result",
        "predicate.result && true",
        // The order of a map's members is nobody's.
        "predicate.all(k, k != '')",
    ] {
        assert!(matches!(problem(text), AttributeProblem::NoValue(_)), "{text}");
    }
    assert_eq!(
        problem("predicate.all(k, true)"),
        AttributeProblem::NoValue("a macro goes over a list, not over a map".into())
    );
}

#[test]
fn numbers_at_their_ends_make_no_trouble() {
    let statement =
        json!({"predicate": {"min": i64::MIN, "max": i64::MAX, "most": u64::MAX, "minus": -1, "large": 1e300}});
    for text in [
        "predicate.min / predicate.minus == 0",
        "predicate.min % predicate.minus == 1",
        "-predicate.min == 0",
        "predicate.min - 1 == 0",
        "predicate.max + 1 == 0",
        "predicate.max * 2 == 0",
        "predicate.most * 2u == 0u",
        "1u - 2u == 0u",
        "predicate.max % 0 == 0",
        "-9223372036854775808 / -1 == 0",
        "int(predicate.large) == 0",
        "int(predicate.most) == 0",
        "int('9223372036854775808') == 0",
        "int(double('nan')) == 0",
        "double('nan') == double('nan')",
        "predicate.large * predicate.large < 0.0",
        "string(predicate.large) == ''",
        "subject[9223372036854775807] == 1",
        "[1][-1] == 1",
        "[1][predicate.most] == 1",
        "[1][predicate.large] == 1",
        "{predicate.large: 1}.size() == 0",
    ] {
        // Debug builds would panic.
        assert_ne!(problem_of(&rule(text), &statement), AttributeProblem::NotBoolean(String::new()), "{text}");
    }
}

#[test]
fn a_claim_may_be_missing_where_the_rule_says_so_and_nothing_else_may_be_wrong() {
    let lenient = |text: &str| AttributeRule::parse(text, true, None, &limits()).unwrap();
    let meter = || Meter::new(limits().attribute_cost);
    for text in ["predicate.missing == 1", "predicate.missing.further == 1", "predicate['missing'] == 1"] {
        assert!(hold(&[lenient(text)], &statement(), &meter()).is_ok_and(|no_claims| no_claims == [true]), "{text}");
    }
    assert_eq!(problem_of(&lenient("predicate.result == 'FAILED'"), &statement()), AttributeProblem::False);
    for text in [
        "predicate.count / 0 == 1",
        "predicate.failedTests[0] == 1",
        "predicate.none.a == 1",
        "predicate.result.a == 1",
    ] {
        assert!(matches!(problem_of(&lenient(text), &statement()), AttributeProblem::NoValue(_)), "{text}");
    }
    // One entry without the member does not hide another that is wrong, whichever comes first.
    for entries in [json!([{}, {"ok": false}]), json!([{"ok": false}, {}])] {
        let statement = json!({"predicate": {"results": entries}});
        assert_eq!(problem_of(&lenient("predicate.results.all(r, r.ok)"), &statement), AttributeProblem::False);
    }
    // No predicate makes no claim.
    assert!(
        hold(&[lenient("predicate.a == 1")], &json!({"predicateType": "x"}), &meter())
            .is_ok_and(|found| found == [true])
    );
}

#[test]
fn an_expression_that_cannot_be_used_is_refused_when_it_is_read() {
    for (text, reason) in [
        ("predicate.result ==", "Syntax error"),
        ("", "Syntax error"),
        ("predicates.result == 'PASSED'", "\"predicates\" is not known"),
        ("type == 'x'", "\"type\" is not known"),
        ("type(predicate) == map", "is not known"),
        ("now() > 1", "function \"now\" is not known"),
        ("predicate.result.matches('P.*')", "function \"matches\" is not known"),
        ("predicate.all(predicate, true)", "\"predicate\" stands for something else already"),
        ("subject.all(x, subject.all(x, true))", "\"x\" stands for something else already"),
        ("subject.all(x, true) && x", "\"x\" is not known"),
        ("has(predicate)", "invalid argument to has() macro"),
        ("predicate.?result == 'PASSED'", "unsupported syntax"),
        ("Message{a: 1} == Message{a: 1}", "it makes a message"),
        ("@meter == 1", ""),
        ("`@meter` == 1", ""),
        (".predicate.result == 'PASSED'", "is not known"),
    ] {
        let found = refused(text);
        assert!(found.contains(reason), "{text}: {found}");
    }
}

#[test]
fn expressions_have_a_size() {
    let deep = format!("{}true{}", "!(".repeat(40), ")".repeat(40));
    assert!(refused(&deep).contains("limit exceeded: 32"), "{}", refused(&deep));
    let chain = vec!["predicate.count"; 60].join(" + ") + " == 1";
    assert!(refused(&chain).contains("nested deeper than 32"), "{}", refused(&chain));
    let wide = format!("predicate.count in [{}]", vec!["1"; 600].join(","));
    assert!(refused(&wide).contains("more than 512 parts"));
    let fields = format!("predicate{} == 1", ".a".repeat(1000));
    assert!(!refused(&fields).is_empty());
}

/// Macros in macros, growing values and long texts: all end, and none holds.
#[test]
fn what_would_take_hours_is_refused() {
    const MOST: u64 = 500_000;
    let entries: Vec<Value> = (0..10_000).map(|index| json!({"name": format!("package-{index}")})).collect();
    let long = "x".repeat(1 << 20);
    let statement = json!({"predicate": {"list": entries, "long": long, "words": vec!["word"; 10_000]}});
    for text in [
        "predicate.list.all(x, predicate.list.all(y, true))",
        "predicate.list.all(x, predicate.list.exists(y, y.name == x.name) || true)",
        "predicate.list.map(x, predicate.list) != []",
        "predicate.list.all(x, predicate.list == predicate.list)",
        "predicate.words.all(x, !(predicate.long.contains('y')))",
        "predicate.words.map(x, [x, x, x, x]).map(x, [x, x, x, x]).map(x, [x, x, x, x]).map(x, [x, x, x, x]).all(x, true)",
        "predicate.words.map(x, predicate.long + predicate.long) != []",
        "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, \
         [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, [1,2,3,4,5,6,7,8,9].all(f, \
         [1,2,3,4,5,6,7,8,9].all(g, [1,2,3,4,5,6,7,8,9].all(h, true))))))))",
        // What absorbs an error absorbs no limit.
        "predicate.list.all(x, predicate.list.all(y, true)) || true",
    ] {
        let held = hold(&[rule(text)], &statement, &Meter::new(MOST));
        assert!(matches!(held, Err(Unheld::TooCostly(MOST))), "{text}");
    }
    // And what is asked of such a list in practice is not.
    let meter = Meter::new(MOST);
    let rules = [
        rule("predicate.list.all(x, x.name != 'log4j')"),
        rule("!predicate.list.exists(x, x.name.startsWith('evil'))"),
    ];
    assert!(hold(&rules, &statement, &meter).is_ok());
}

/// Threads of the webhook have two megabytes of stack, and a debug build uses far more of them than a release.
#[test]
fn the_deepest_expression_fits_the_stack() {
    let deep = |levels: usize| {
        (0..levels).fold("true".to_owned(), |inner, level| format!("[predicate].all(v{level}, {inner})"))
    };
    let parens = |levels: usize| format!("{}true{}", "(".repeat(levels), ")".repeat(levels));
    let nots = |levels: usize| "!".repeat(levels) + "true";
    let lists = |levels: usize| format!("size({}{}) == 1", "[".repeat(levels), "]".repeat(levels));
    let conditions = |levels: usize| "1<2?1:".repeat(levels) + "1";
    let dots = |levels: usize| format!("predicate{} == 1", ".a".repeat(levels));
    let calls = |levels: usize| format!("predicate{} == 1", ".size()".repeat(levels));
    let sums = |levels: usize| format!("1{} == 1", "+1".repeat(levels));
    let shapes: [&dyn Fn(usize) -> String; 8] = [&deep, &parens, &nots, &lists, &conditions, &dots, &calls, &sums];
    let fits = |text: &String| text.len() <= limits().attribute_bytes;
    let texts: Vec<String> = shapes.iter().flat_map(|shape| (1..2048).step_by(29).map(shape).filter(fits)).collect();
    let evaluate = move || {
        let mut nested = json!(1);
        for _ in 0..60 {
            nested = json!([{"a": nested}]);
        }
        let statement = json!({"predicate": nested});
        for text in &texts {
            if let Ok(rule) = AttributeRule::parse(text, false, None, &limits()) {
                let _ = hold(&[rule], &statement, &Meter::new(limits().attribute_cost));
            }
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(evaluate).unwrap().join().unwrap();
}
