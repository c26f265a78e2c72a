//! The manifests of `deploy/`: does the API server take them as they are, and do they grant no more than they should?

use std::{collections::BTreeSet, process::Command};

use serde_json::{Value, json};

use crate::support::{
    cluster::Cluster,
    deploy,
    kubectl::{Kubectl, Output},
    wait,
};

const NAMESPACE: &str = "pratique-system";

/// Applies `install.yaml` and `policy.yaml` as they are: the tests that need them share the one namespace.
fn installed() -> Kubectl {
    static INSTALLED: std::sync::LazyLock<Kubectl> = std::sync::LazyLock::new(|| {
        let admin = Cluster::shared().admin();
        for file in ["namespace.yaml", "install.yaml", "policy.yaml"] {
            without_warning(admin.run(&apply(file)));
        }
        admin.namespace(NAMESPACE)
    });
    INSTALLED.clone()
}

fn apply(file: &str) -> String {
    format!("apply --server-side -f {}", deploy::file(file).display())
}

fn without_warning(output: Output) {
    let warnings = output.stderr.clone();
    output.succeeded();
    assert_eq!(warnings, "");
}

#[test]
fn the_manifests_are_taken_without_a_warning_and_the_pods_are_made() {
    let kubectl = installed();
    wait::until("the pods are made", || {
        let pods = kubectl.json("pods")["items"].as_array().unwrap().len();
        if pods == 3 { Ok(()) } else { Err(format!("{pods} pods; {}", kubectl.ok("get events"))) }
    });
    let quiet = |output: Output| (output.code, output.stderr);
    let webhooks = quiet(Cluster::shared().admin().run(&(apply("webhooks.yaml") + " --dry-run=server")));
    assert_eq!(webhooks, (Some(0), String::new()));
}

#[test]
fn the_manifests_fit_together() {
    let deployment = deploy::object("install.yaml", "Deployment");
    let service = deploy::object("install.yaml", "Service");
    let budget = deploy::object("install.yaml", "PodDisruptionBudget");
    let template = &deployment["spec"]["template"];
    let container = &template["spec"]["containers"][0];

    let labels = &template["metadata"]["labels"];
    for selector in [
        &service["spec"]["selector"],
        &deployment["spec"]["selector"]["matchLabels"],
        &budget["spec"]["selector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
    let ports: Vec<&Value> = container["ports"].as_array().unwrap().iter().map(|port| &port["name"]).collect();
    assert!(ports.contains(&&service["spec"]["ports"][0]["targetPort"]));
    for probe in ["livenessProbe", "readinessProbe"] {
        assert!(ports.contains(&&container[probe]["httpGet"]["port"]), "{probe}");
    }

    for configuration in deploy::objects("webhooks.yaml") {
        for webhook in configuration["webhooks"].as_array().unwrap() {
            let called = &webhook["clientConfig"]["service"];
            assert_eq!(called["namespace"], service["metadata"]["namespace"]);
            assert_eq!(called["name"], service["metadata"]["name"]);
            assert_eq!(called["port"], service["spec"]["ports"][0]["port"]);
        }
    }

    let watched = &deploy::object("install.yaml", "Role")["rules"][0]["resourceNames"];
    let args: Vec<&str> = container["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let config_maps = deploy::objects("policy.yaml");
    let names: Vec<&Value> = config_maps.iter().map(|object| &object["metadata"]["name"]).collect();
    assert_eq!(json!(names), *watched);
    for (option, name) in [("policy", names[0]), ("roots", names[1])] {
        let arg = format!("--{option}-configmap={NAMESPACE}/{}", name.as_str().unwrap());
        assert!(args.contains(&arg.as_str()), "no {arg} in {args:?}");
    }
}

#[test]
fn the_program_understands_the_options_of_both_deployments() {
    for file in ["install.yaml", "audit.yaml"] {
        let deployment = deploy::object(file, "Deployment");
        let args = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
        let mut pratique = Command::new(env!("CARGO_BIN_EXE_pratique"));
        let output = pratique.args(args.iter().filter_map(Value::as_str)).env_clear().output().unwrap();
        // The first thing that it then looks for is not there.
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("the API server"), "{file}: {said}");
    }
}

#[test]
fn the_webhook_entries_are_those_of_the_design() {
    let configurations = ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"]
        .map(|kind| deploy::object("webhooks.yaml", kind));
    let entries: Vec<&Value> =
        configurations.iter().flat_map(|configuration| configuration["webhooks"].as_array().unwrap()).collect();
    let table: Vec<Value> =
        entries.iter().map(|entry| json!([entry["name"], entry["failurePolicy"], entry["timeoutSeconds"]])).collect();
    assert_eq!(
        json!(table),
        json!([
            ["verify.pratique.dev", "Fail", 10],
            ["bootstrap.pratique.dev", "Ignore", 3],
            ["policy.pratique.dev", "Ignore", 5],
            ["pin.pratique.dev", "Ignore", 5],
        ])
    );
    for entry in &entries {
        assert_eq!(entry["matchPolicy"], "Equivalent");
        assert_eq!(entry["sideEffects"], "NoneOnDryRun");
        let name = entry["name"].as_str().unwrap().split('.').next().unwrap();
        assert_eq!(entry["clientConfig"]["service"]["path"], format!("/{name}"));
    }
    let [verify, bootstrap, ..] = entries.as_slice() else { panic!("{entries:?}") };
    for same in ["rules", "matchConditions"] {
        assert_eq!(verify[same], bootstrap[same]);
    }
    // Every namespace is asked about by exactly one of verify, bootstrap and, as the own one, none.
    let namespaces = |entry: &Value| {
        let values = entry["namespaceSelector"]["matchExpressions"][0]["values"].as_array().unwrap();
        values.iter().map(|value| value.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let mut open = namespaces(bootstrap);
    assert!(open.insert(NAMESPACE.to_owned()));
    assert_eq!(namespaces(verify), open);
}

/// What `auth can-i --list` prints for `account` and not for an account without any rights.
fn rights(account: &str, namespace: &str) -> BTreeSet<String> {
    let kubectl = installed().namespace(namespace);
    let list = |name: &str| {
        let user = format!("system:serviceaccount:{NAMESPACE}:{name}");
        let text = kubectl.ok(&format!("auth can-i --list --no-headers --as={user}"));
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<BTreeSet<_>>()
    };
    list(account).difference(&list("nobody")).cloned().collect()
}

#[test]
fn the_account_may_do_what_it_must_and_nothing_else() {
    let events = "events.events.k8s.io [] [] [create]";
    let everywhere = BTreeSet::from([
        events.to_owned(),
        "validatingwebhookconfigurations.admissionregistration.k8s.io [] [pratique] [get patch]".to_owned(),
        "mutatingwebhookconfigurations.admissionregistration.k8s.io [] [pratique] [get patch]".to_owned(),
    ]);
    assert_eq!(rights("pratique", "default"), everywhere);
    let trust = ["", ".0", ".1", ".2", ".3"].map(|part| format!("configmaps [] [pratique-trust-acme{part}] "));
    let mut expected = everywhere;
    expected.extend([
        "configmaps [] [pratique-policy] [get list watch]".to_owned(),
        format!("configmaps [] [{}] [get list watch]", deploy::roots()),
        "configmaps [] [pratique-trust-acme.born] [get]".to_owned(),
        "configmaps [] [pratique-digests] [get list watch]".to_owned(),
        "secrets [] [pratique-tls] [get update]".to_owned(),
    ]);
    expected.extend(trust.map(|line| line + "[get list watch update]"));
    assert_eq!(rights("pratique", NAMESPACE), expected);
}

#[test]
fn one_config_map_may_be_watched_and_not_all_of_them() {
    installed();
    let (account, _) = Cluster::shared().service_account(NAMESPACE, "pratique");
    account.ok("get configmaps --field-selector=metadata.name=pratique-policy");
    let text = account.run("get configmaps").refused();
    assert!(text.contains("cannot list resource \"configmaps\""), "{text}");
    let text = account.run("get secrets").refused();
    assert!(text.contains("cannot list resource \"secrets\""), "{text}");
}
