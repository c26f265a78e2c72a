//! `pratique audit` over Pods in a file.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{Ran, run};

const NAME: &str = "registry.example/shop/api";

fn demo(dir: &Path) -> String {
    let ran = run(dir, &["demo", "--keep", "kept"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let manifest = fs::read(dir.join("kept/release-1.4/manifest.json")).unwrap();
    format!("{NAME}@sha256:{}", pratique::crypto::Sha256::of(&manifest))
}

fn pod(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "prod"},
        "spec": {"containers": [{"name": "api", "image": image}]},
    })
}

fn audit(dir: &Path, text: &str, options: &[&str]) -> Ran {
    fs::write(dir.join("pods"), text).unwrap();
    run(dir, &[&["audit", "--policy", "kept/policy.yaml", "--file", "pods"], options].concat())
}

#[test]
fn pods_in_a_file_are_judged_in_every_form_that_kubectl_prints() {
    let temp = tempfile::tempdir().unwrap();
    let good = demo(temp.path());
    let list = |kind: &str, items: &[Value]| json!({"apiVersion": "v1", "kind": kind, "items": items});
    let mut plain = pod("a", &good);
    plain.as_object_mut().unwrap().remove("kind");
    let yaml = format!(
        "kind: Pod\nmetadata: {{name: a, namespace: prod}}\nspec:\n  containers:\n  - {{name: a, image: \"{good}\"}}\n"
    );
    for text in [
        pod("a", &good).to_string(),
        list("List", &[pod("a", &good)]).to_string(),
        list("PodList", &[plain]).to_string(),
        yaml.clone(),
        format!("{yaml}---\n{yaml}"),
    ] {
        let ran = audit(temp.path(), &text, &[]);
        assert_eq!(ran.code, Some(0), "{text}\n{}{}", ran.out, ran.err);
        assert!(ran.out.contains("admitted: prod: registry.example/shop/api@sha256:"), "{}", ran.out);
        assert!(ran.out.contains("1 images at "), "{}", ran.out);
    }
    let deployment = audit(temp.path(), "{\"kind\": \"Deployment\"}", &[]);
    assert_eq!((deployment.code, deployment.err.as_str()), (Some(2), "error: pods: Deployment is not a Pod\n"));
    let list = list("List", &[json!({"kind": "Deployment"})]).to_string();
    assert_eq!(audit(temp.path(), &list, &[]).code, Some(2));
    assert_eq!(audit(temp.path(), "{{", &[]).code, Some(2));
}

#[test]
fn exit_codes_and_json_say_what_was_found() {
    let temp = tempfile::tempdir().unwrap();
    let good = demo(temp.path());
    let unknown = format!("{NAME}@sha256:{}", "0".repeat(64));
    let mut another = pod("c", &good);
    another["status"] = json!({"containerStatuses": [{"name": "api", "imageID": unknown}]});
    let code = |pods: &[Value], options: &[&str]| {
        audit(temp.path(), &json!({"kind": "List", "items": pods}).to_string(), options).code
    };
    assert_eq!(code(&[], &[]), Some(0));
    assert_eq!(code(&[pod("a", &good)], &[]), Some(0));
    assert_eq!(code(&[pod("a", &good), pod("b", &unknown)], &[]), Some(1));
    assert_eq!(code(&[pod("b", &unknown)], &["--namespace", "elsewhere"]), Some(0));
    assert_eq!(code(&[another], &[]), Some(1), "another image runs");
    assert_eq!(code(&[json!({"kind": "Pod"})], &[]), Some(2), "its images cannot be found");
    // Timestamps are renewed by machines, the root by people.
    assert_eq!(code(&[pod("a", &good)], &["--at", "2999-01-01"]), Some(1));
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48)).to_string();
    assert_eq!(code(&[pod("a", &good)], &["--at", &soon]), Some(0));
    assert_eq!(code(&[pod("a", &good)], &["--at", &soon, "--nothing-renewed"]), Some(1));
    assert_eq!(code(&[pod("a", &good)], &["--at", "2001-01-01"]), Some(2), "that has passed");

    let ran = audit(temp.path(), &pod("b", &unknown).to_string(), &["--format", "json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let image = &report["images"][0];
    assert_eq!((&image["outcome"], &image["verdict"]["code"]), (&json!("refused"), &json!("image/unknown")));
    assert_eq!(image["holders"][0]["name"], "b");
    assert_eq!(image["firstRefusal"], Value::Null);
    let ran = audit(temp.path(), &pod("a", &good).to_string(), &["--format", "json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let image = &report["images"][0];
    assert_eq!(image["firstRefusal"]["renewal"], "people");
    assert_eq!(image["firstRefusalIfNothingIsRenewed"]["renewal"], "machine");

    fs::remove_dir_all(temp.path().join("kept/repository")).unwrap();
    assert_eq!(code(&[pod("a", &good)], &[]), Some(2), "nothing can be judged");
}

#[test]
fn the_rules_that_come_next_are_asked_about_what_runs_and_differences_are_told() {
    let temp = tempfile::tempdir().unwrap();
    let good = demo(temp.path());
    let pods = json!({"kind": "List", "items": [pod("a", &good), pod("b", "registry.example/tools/x:1")]}).to_string();
    let without = audit(temp.path(), &pods, &["--next"]);
    let said = "error: kept/policy.yaml has no rules that come next\n";
    assert_eq!((without.code, without.err.as_str()), (Some(2), said));

    // What is proven now may not run in prod then, and what no rule knows may.
    let policy = fs::read_to_string(temp.path().join("kept/policy.yaml")).unwrap();
    let next = "next:
  - {name: tools, match: {namespaces: [prod], images: [\"registry.example/tools/*\"]}, allow: they are moved}
";
    fs::write(temp.path().join("kept/policy.yaml"), format!("{}\n{next}", policy.trim_end())).unwrap();
    let ran = audit(temp.path(), &pods, &["--next"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    let refused = format!("refused: prod: {good}: [policy/no-rule] ");
    assert!(lines[0].starts_with(&refused) && lines[0].ends_with("; now admitted; 1 of Pod prod/a"), "{}", ran.out);
    let admitted =
        "admitted: prod: registry.example/tools/x:1: exempt by rule \"tools\": they are moved; now refused; ";
    assert!(lines[1].starts_with(admitted), "{}", ran.out);
    assert!(lines[2].contains(" by the rules that come next: 1 admitted, 1 refused, 0 not judged, "), "{}", ran.out);
    // Without the word nothing is different.
    let now = audit(temp.path(), &pods, &[]);
    assert!(now.out.starts_with(&format!("admitted: prod: {good}: verified by ")), "{}", now.out);

    let ran = audit(temp.path(), &pods, &["--next", "--format", "json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let image = &report["images"][0];
    let found = (&image["outcome"], &image["verdict"]["verdict"], &image["next"]["code"]);
    assert_eq!(found, (&json!("refused"), &json!("admitted"), &json!("policy/no-rule")));
    assert_eq!(
        audit(temp.path(), &pods, &["--next", "--at", "2999-01-01"]).code,
        Some(2),
        "outlooks are of now's rules"
    );
}
