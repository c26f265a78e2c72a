//! A policy before it is applied.

use std::{collections::BTreeSet, fs};

use jiff::{SignedDuration, Timestamp};
use pratique::publish::{KeyRing, NewRole, Publisher, Side, SigningKey, metadata::Scope};

use crate::support::run;

const POLICY: &str = "version: 1
repositories:
  acme:
    url: https://tuf.acme.example
    root: acme.root.json
rules:
  - name: own-images
    match: {images: [\"registry.acme.example/**\"]}
    verify:
      repositories: [acme]
      layout: \"layouts/{repository}/*\"
default: deny
";

#[test]
fn a_good_policy_loads_and_its_weak_rules_are_listed() {
    let temp = tempfile::tempdir().unwrap();
    let weak = "  - name: moved
    match: {namespaces: [monitoring], images: [\"quay.io/prometheus/*\"]}
    allow: moved to our registry by March
default: deny
";
    fs::write(temp.path().join("policy.yaml"), POLICY.replace("default: deny\n", weak)).unwrap();
    let ran = run(temp.path(), &["policy", "check", "policy.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let expected = "weak: rule moved: allow\n\
                    policy.yaml: loads: 1 repositories, 2 rules, 1 of them weak, 0 warnings\n";
    assert_eq!(ran.out, expected);
}

#[test]
fn an_unknown_key_is_an_error_with_its_line() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("policy.yaml"), POLICY.replace("    verify:", "    verifi:")).unwrap();
    let ran = run(temp.path(), &["policy", "check", "policy.yaml"]);
    assert_eq!(ran.code, Some(2), "{}", ran.out);
    assert!(ran.err.contains("policy.yaml:9:"), "{}", ran.err);
    assert!(ran.err.contains("verifi"), "{}", ran.err);
}

#[test]
fn a_rule_that_no_image_reaches_is_a_warning_and_with_strict_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let second = "  - name: second
    match: {images: [\"registry.acme.example/team/**\"]}
    verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}
default: deny
";
    fs::write(temp.path().join("policy.yaml"), POLICY.replace("default: deny\n", second)).unwrap();
    let ran = run(temp.path(), &["policy", "check", "policy.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with("warning: policy.yaml: 12:5: rules[1]: no image reaches rule second"), "{}", ran.out);
    assert_eq!(run(temp.path(), &["policy", "check", "--strict", "policy.yaml"]).code, Some(1));
}

#[test]
fn keys_that_are_not_separate_are_found_in_the_repository() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    assert_eq!(run(dir, &["demo", "--keep", "kept"]).code, Some(0));
    let check = ["policy", "check", "--strict", "--fetch", "kept/policy.yaml"];
    assert_eq!(run(dir, &check).code, Some(0));

    // The key of the role that signs layouts is given to a machine that signs builds.
    let keys = dir.join("kept/repository.keys");
    let key = fs::read_to_string(keys.join("offline/targets-1.pem")).unwrap();
    let role = NewRole {
        name: "builds".to_owned(),
        parent: "targets".to_owned(),
        scope: Scope::everything(),
        terminating: false,
        threshold: 1,
        validity: SignedDuration::from_hours(24),
    };
    let keys = KeyRing::open(&keys).unwrap();
    let mut publisher = Publisher::open(&dir.join("kept/repository"), keys, Timestamp::now()).unwrap();
    publisher.delegate(&role, Side::Online, vec![SigningKey::from_pem(&key).unwrap()]).unwrap();
    publisher.commit().unwrap();
    let ran = run(dir, &check);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    let warning =
        "[trust/no-separation] repository acme: the keys of targets/builds also meet the threshold of targets";
    assert!(ran.out.contains(warning), "{}", ran.out);
}

#[test]
fn a_root_that_is_not_there_is_named() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("policy.yaml"), POLICY).unwrap();
    let ran = run(temp.path(), &["policy", "check", "--fetch", "policy.yaml"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("acme.root.json, which the policy names"), "{}", ran.err);
}

#[test]
fn the_next_rules_are_promoted_in_the_text() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("policy.yaml");
    let next = "next: # from May on
  - name: strict
    match: {images: [\"registry.acme.example/**\"]}
    verify: {repositories: [acme], layout: \"layouts/{repository}/*\", tags: deny}
    mode: warn
default: deny
";
    let text = POLICY.replace("default: deny\n", next);
    fs::write(&file, &text).unwrap();
    let ran = run(temp.path(), &["policy", "check", "policy.yaml"]);
    assert!(ran.out.contains("weak: next rule strict: mode: warn\n"), "{}", ran.out);
    let ran = run(temp.path(), &["policy", "promote", "policy.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.contains("\nrules: # from May on\n  - name: strict\n") && !ran.out.contains("own-images"),
        "{}",
        ran.out
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(run(temp.path(), &["policy", "promote", "policy.yaml", "-o", "policy.yaml"]).code, Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), ran.out);
    let ran = run(temp.path(), &["policy", "promote", "policy.yaml"]);
    assert_eq!((ran.code, ran.err.contains("the policy has no next rules")), (Some(2), true), "{}", ran.err);
}

const CASES: &str = "cases:
  - image: registry.acme.example/app:1
    rule: own-images
  - name: nothing from elsewhere
    image: evil.example/app:1
    namespace: prod
    use: init
    verdict: denied
    code: policy/no-rule
";

/// Cases that need no repository but that of the demonstration.
fn tried(cases: &str) -> crate::support::Ran {
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(run(temp.path(), &["demo", "--keep", "kept"]).code, Some(0));
    fs::write(temp.path().join("cases.yaml"), cases).unwrap();
    run(temp.path(), &["policy", "test", "kept/policy.yaml", "cases.yaml"])
}

#[test]
fn cases_of_a_policy_are_tried() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("policy.yaml"), POLICY).unwrap();
    fs::write(temp.path().join("cases.yaml"), "cases:\n  - {image: registry.acme.example/app:1, rule: own-images}\n")
        .unwrap();
    // Which rule it is needs neither roots nor repositories.
    let ran = run(temp.path(), &["policy", "test", "policy.yaml", "cases.yaml"]);
    let expected = "RESULT  RULE        VERDICT  CODE  CASE\n\
                    ok      own-images  -        -     registry.acme.example/app:1\n1 of 1 cases are as expected\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), expected), "{}", ran.err);

    let cases = CASES.replace(
        "registry.acme.example/app:1\n    rule: own-images",
        "registry.example/shop/api:1.0\n    verdict: admitted",
    );
    let ran = tried(&cases);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("denied    policy/no-rule  nothing from elsewhere\n"), "{}", ran.out);
    let wrong = cases.replace("verdict: admitted", "code: tuf/revoked").replace("verdict: denied", "verdict: admitted");
    let ran = tried(&wrong);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    for complaint in [
        "        code \"tuf/revoked\" is expected, found none\n",
        "        verdict \"admitted\" is expected, found \"denied\"\n",
        "\n0 of 2 cases are as expected\n",
    ] {
        assert!(ran.out.contains(complaint), "{complaint}{}", ran.out);
    }
}

#[test]
fn cases_that_could_never_fail_are_errors() {
    let base = CASES.replace("    rule: own-images\n", "    verdict: denied\n");
    for (from, to, text) in [
        ("code: policy/no-rule", "code: policy/no-rul", "cases[1].code: \"policy/no-rul\" is no code"),
        ("    verdict: denied\n    code: policy/no-rule\n", "", "cases[1]: expects nothing"),
        ("code: policy/no-rule", "rule: missing", "cases[1].rule: the policy has no rule \"missing\""),
        ("use: init", "use: sidecar", "sidecar"),
        ("namespace: prod", "namespac: prod", "namespac"),
        ("use: init", "next: true", "cases[1]: the policy has no next rules"),
    ] {
        let ran = tried(&base.replace(from, to));
        assert_eq!((ran.code, ran.err.contains(text)), (Some(2), true), "{to}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn the_schema_is_printed() {
    let temp = tempfile::tempdir().unwrap();
    let ran = run(temp.path(), &["policy", "schema"]);
    assert_eq!(ran.code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

/// The image of the demonstration that nothing is wrong with: its tag is moved there by a thief.
fn good_image(dir: &std::path::Path) -> String {
    let refused = run(dir, &["verify", "--policy", "kept/policy.yaml", "registry.example/shop/api:1.4"]);
    let (_, digest) = refused.out.split_once("found registry.example/shop/api with sha256 ").unwrap();
    format!("registry.example/shop/api@sha256:{}", digest.get(..64).unwrap())
}

fn blast(dir: &std::path::Path, image: &str, strict: bool) -> (Option<i32>, serde_json::Value) {
    let strict: &[&str] = if strict { &["--strict"] } else { &[] };
    let ran = run(dir, &[&["policy", "blast", "--format", "json", "kept/policy.yaml", image], strict].concat());
    (ran.code, serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err)))
}

/// Whose keys each set is of.
fn owners(found: &serde_json::Value) -> Vec<Vec<String>> {
    let sets = found["sets"].as_array().unwrap().iter();
    sets.map(|set| {
        let keys = set["keys"].as_array().unwrap().iter();
        let mut owners: Vec<String> = keys.map(|key| key["of"].to_string()).collect();
        owners.sort();
        owners
    })
    .collect()
}

#[test]
fn whose_keys_would_be_enough_is_told_and_whether_online_ones_are() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    assert_eq!(run(dir, &["demo", "--keep", "kept"]).code, Some(0));
    let image = good_image(dir);
    let (code, found) = blast(dir, &image, true);
    assert_eq!((code, &found["rule"], &found["complete"]), (Some(0), &"own-images".into(), &true.into()));
    let texts = |sets: &[&[&str]]| -> Vec<Vec<String>> {
        let sorted = |set: &[&str]| set.iter().map(|owner| format!("[\"{owner}\"]")).collect::<BTreeSet<_>>();
        sets.iter().map(|set| sorted(set).into_iter().collect()).collect()
    };
    let online = ["snapshot of acme", "targets/images of acme", "timestamp of acme"];
    let offline = ["snapshot of acme", "targets of acme", "timestamp of acme"];
    assert_eq!(owners(&found), texts(&[&["root of acme"], &offline, &[&["step push"], &online[..]].concat()]));
    let shown = run(dir, &["policy", "blast", "kept/policy.yaml", &image]);
    assert!(shown.out.contains("\n2. 3 keys\n") && !shown.out.contains("none of them offline"), "{}", shown.out);

    // What is refused tells nothing, and what proves nothing needs nobody.
    let refused = run(dir, &["policy", "blast", "kept/policy.yaml", "registry.example/shop/api:1.4"]);
    assert!(refused.code == Some(2) && refused.err.contains("[evidence/not-bound]"), "{}", refused.err);
    let policy = fs::read_to_string(dir.join("kept/policy.yaml")).unwrap();
    let exempt =
        "rules:\n  - name: moved\n    match: {namespaces: [default], images: [\"quay.io/x/*\"]}\n    allow: moving\n";
    fs::write(dir.join("kept/policy.yaml"), policy.replacen("rules:\n", exempt, 1)).unwrap();
    let (code, found) = blast(dir, "quay.io/x/y:1", true);
    assert_eq!((code, owners(&found)), (Some(1), vec![vec![]]));

    // A key of a machine that also signs layouts.
    fs::write(dir.join("kept/policy.yaml"), policy).unwrap();
    let keys = dir.join("kept/repository.keys");
    let key = fs::read_to_string(keys.join("offline/targets-1.pem")).unwrap();
    let keys = KeyRing::open(&keys).unwrap();
    let mut publisher = Publisher::open(&dir.join("kept/repository"), keys, Timestamp::now()).unwrap();
    publisher.rotate("timestamp", Side::Online, vec![SigningKey::from_pem(&key).unwrap()], 1).unwrap();
    publisher.commit().unwrap();
    let (code, found) = blast(dir, &image, true);
    assert_eq!(code, Some(1), "{found:#}");
    let both = "[\"targets of acme\",\"timestamp of acme\"]".to_owned();
    assert!(owners(&found).contains(&vec!["[\"snapshot of acme\"]".to_owned(), both]), "{found:#}");
    assert_eq!(blast(dir, &image, false).0, Some(0));
}
