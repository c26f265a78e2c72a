//! The Helm chart: what it refuses to render, whether the API server takes what it renders, what the webhook's account
//! cannot do with its rights, and how the webhook configurations come and go.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::support::{
    cluster::Cluster,
    helm::{self, find},
    kubectl::{Kubectl, Output},
    tools::tool,
    wait,
};

/// Values that must not render, and what is said.
const HOLES: [(&[&str], &str); 16] = [
    (&["policy="], "policy is empty"),
    (&["image.digest="], "image.digest is empty"),
    (&["image.digest=sha256:123"], "does not match pattern"),
    (&["image.repository="], "image.repository is empty"),
    (&["relicas=2"], "additional properties 'relicas' not allowed"),
    (&["guards.webhookConfigurations=false"], "a stolen token makes itself cluster-admin"),
    (&["bootstrapNamespaces={kube-system,here}"], "the webhook cannot be asked about its own namespace"),
    (&["certificates.mode=existing"], "certificates.existing.secretName is empty"),
    (&["repositories.other.root=none"], "repositories has other, which the policy does not name"),
    (&["repositories=null"], "policy names the repository acme, which the value repositories does not have"),
    (&["repositories.acme.authSecret=tuf"], "are in the Secret \"\", and repositories.acme.authSecret is \"tuf\""),
    (&["repositories.acme.authSecret=../tls"], "does not match pattern"),
    (&["registries.registry.authSecret=login"], "registries has registry, which the policy does not name"),
    (&["caBundles.ca=none"], "does not match pattern"),
    (&["pin=some"], "pin"),
    (&["guards.ownNamespaceImages={registry.example/tool:1}"], "does not match pattern"),
];

/// Sets of values that differ in which objects and fields they render.
const KINDS_OF_INSTALLATION: [&[&str]; 5] = [
    &[],
    &[
        "audit.enabled=false",
        "traces.endpoint=http://otel.example:4318",
        "pin=all",
        "guards.digests=true",
        "autoscaling.enabled=true",
        "log.format=text",
        "breakGlass.enabled=true",
    ],
    &["webhooks.install=plain", "pin=off", "networkPolicy.enabled=false", "podDisruptionBudget.enabled=false"],
    &["certificates.mode=existing", "certificates.existing.secretName=given", "guards.webhookConfigurations=false"],
    &[
        "certificates.mode=cert-manager",
        "monitoring.serviceMonitor.enabled=true",
        "monitoring.podMonitor.enabled=true",
        "monitoring.prometheusRule.enabled=true",
        "monitoring.dashboard.enabled=true",
        "audit.policyReports=false",
    ],
];

#[test]
fn values_that_would_leave_a_hole_do_not_render() {
    for (values, said) in HOLES {
        let error = helm::template("pratique", "here", values).expect_err(&values.join(","));
        assert!(error.contains(said), "{values:?}: {error}");
    }
    let error = helm::template_without_example("pratique", "here", &[]).unwrap_err();
    assert!(error.contains("image.repository is empty") || error.contains("policy is empty"), "{error}");
}

/// What the chart renders with another policy and these values.
fn with_policy(policy: &str, values: &[&str]) -> Result<Vec<Value>, String> {
    let folder = Cluster::shared().folder("chart-policy");
    let file = folder.join(format!("{}.yaml", pratique::crypto::Sha256::of(format!("{policy}{values:?}").as_bytes())));
    fs::write(&file, json!({"policy": policy}).to_string()).unwrap();
    let file = file.display().to_string();
    let sets = values.iter().flat_map(|value| ["--set", *value]);
    let args: Vec<&str> = ["--values", "examples/values.yaml", "--values", &file].into_iter().chain(sets).collect();
    helm::template_without_example("pratique", "here", &args)
}

/// Of all roles of an account, the rules about one resource.
fn rules_about(objects: &[Value], account: &str, resource: &str) -> Vec<Value> {
    let roles = objects.iter().filter(|object| {
        object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role")) && object["metadata"]["name"] == account
    });
    let rules = roles.flat_map(|role| role["rules"].as_array().unwrap());
    rules.filter(|rule| rule["resources"] == json!([resource])).cloned().collect()
}

#[test]
fn the_account_may_get_the_secrets_that_the_values_name_and_the_policy_reaches_for_no_other() {
    let policy = "version: 1\nrepositories:\n  acme: {url: \"https://tuf.example\", root: acme.root.json, auth: \
                  {secretRef: acme-tuf}}\nrules: []\n";
    for values in [&["certificates.mode=cert-manager"][..], &["repositories.acme.authSecret=other"]] {
        let error = with_policy(policy, values).unwrap_err();
        let said = "the credentials of repository acme are in the Secret \"acme-tuf\", and ";
        assert!(error.contains(said), "{values:?}: {error}");
    }
    let values = ["repositories.acme.authSecret=acme-tuf", "certificates.mode=cert-manager"];
    let objects = with_policy(policy, &values).unwrap();
    let get = json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["acme-tuf"], "verbs": ["get"]}]);
    for account in ["pratique", "pratique-audit"] {
        assert_eq!(json!(rules_about(&objects, account, "secrets")), get, "{account}");
    }
    let registries = "registries: {registry: {auth: {secretRef: login}}}\n";
    let error = with_policy(&format!("{policy}{registries}"), &values).unwrap_err();
    assert!(error.contains("the credentials of registry registry are in the Secret \"login\", and "), "{error}");
    let values = [values[0], values[1], "registries.registry.authSecret=login"];
    let objects = with_policy(&format!("{policy}{registries}"), &values).unwrap();
    let named = |account| {
        let rules = rules_about(&objects, account, "secrets").into_iter();
        rules.map(|rule| rule["resourceNames"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(named("pratique"), [json!(["acme-tuf"]), json!(["login"])]);
    assert_eq!(named("pratique-audit"), [json!(["acme-tuf"])]);
    // The audit asks a registry for layers, and for nothing else.
    let rule = "rules:\n- {name: own, match: {}, verify: {repositories: [acme], layers: {registry: registry}}}\n";
    let looks = format!("{}{registries}", policy.replace("rules: []\n", rule));
    let objects = with_policy(&looks, &values).unwrap();
    let about = rules_about(&objects, "pratique-audit", "secrets");
    assert_eq!(
        about.iter().map(|rule| &rule["resourceNames"]).collect::<Vec<_>>(),
        [&json!(["acme-tuf"]), &json!(["login"])]
    );
    let without = helm::template("pratique", "here", &values[1..2]).unwrap();
    assert_eq!(rules_about(&without, "pratique", "secrets"), Vec::<Value>::new());
}

#[test]
fn images_that_run_are_known_only_where_the_audit_is() {
    let policy = "version: 1\nrepositories:\n  acme: {url: \"https://tuf.example\", root: acme.root.json, stale: \
                  {knownImages: 72h}}\nrules: []\n";
    let error = with_policy(policy, &["audit.enabled=false"]).unwrap_err();
    assert!(error.contains("the audit is who knows which images run"), "{error}");
    let objects = with_policy(policy, &["pin=pods"]).unwrap();
    let known = rules_about(&objects, "pratique", "configmaps");
    let digests = json!({
        "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["pratique-digests"],
        "verbs": ["get", "list", "watch"],
    });
    assert!(known.contains(&digests), "{known:?}");
    let without = helm::template("pratique", "here", &["audit.enabled=false"]).unwrap();
    assert!(!rules_about(&without, "pratique", "configmaps").contains(&digests));
}

#[test]
fn the_certificates_that_the_policy_names_stand_beside_the_roots() {
    let policy = "version: 1\nrepositories:\n  acme: {url: \"https://tuf.example\", root: acme.root.json, caBundle: \
                  ca}\nregistries: {registry: {caBundle: ca}}\nrules: []\n";
    let error = with_policy(policy, &["pin=off"]).unwrap_err();
    assert!(error.contains("the caBundle of acme is ca, which the value caBundles does not have"), "{error}");
    let given = "caBundles.ca=-----BEGIN CERTIFICATE-----";
    let objects = with_policy(policy, &[given]).unwrap();
    let roots = objects.iter().find(|object| object["data"]["acme.root.json"].is_string()).unwrap();
    assert_eq!((&roots["data"]["ca"], &roots["immutable"]), (&json!("-----BEGIN CERTIFICATE-----"), &json!(true)));
    let taken = "caBundles.acme\\.root\\.json=-----BEGIN CERTIFICATE-----";
    let error = with_policy(policy, &[given, taken]).unwrap_err();
    assert!(error.contains("caBundles has acme.root.json, which is the key of a root"), "{error}");
}

#[test]
fn the_webhook_may_ask_who_may_break_the_glass_where_that_is_on() {
    let policy = "version: 1\nrepositories:\n  acme: {url: \"https://tuf.example\", root: \
                  acme.root.json}\nrules: []\nbreakGlass: {namespaces: [prod]}\n";
    let error = with_policy(policy, &["breakGlass.enabled=false"]).unwrap_err();
    assert!(error.contains("policy has breakGlass, and breakGlass.enabled is off"), "{error}");
    let objects = with_policy(policy, &["breakGlass.enabled=true"]).unwrap();
    let ask =
        json!([{"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}]);
    assert_eq!(json!(rules_about(&objects, "pratique", "subjectaccessreviews")), ask);
    assert_eq!(rules_about(&objects, "pratique-audit", "subjectaccessreviews"), Vec::<Value>::new());
    let without = helm::template("pratique", "here", &[]).unwrap();
    assert_eq!(rules_about(&without, "pratique", "subjectaccessreviews"), Vec::<Value>::new());
}

/// Makes a namespace in which the Pod Security Standard `restricted` holds.
fn restricted(name: &str) -> Kubectl {
    let kubectl = Cluster::shared().namespace(name);
    kubectl.ok(&format!(
        "label namespace {name} pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted"
    ));
    kubectl
}

fn without_warning(output: Output, object: &Value) {
    let warnings = output.stderr.clone();
    output.succeeded();
    assert_eq!(warnings, "", "{object}");
}

fn server_side(kubectl: &Kubectl, object: &Value) -> Output {
    kubectl.feed("apply --server-side --dry-run=server -f -", &object.to_string())
}

#[test]
fn the_api_server_takes_every_object_without_a_warning() {
    let cluster = Cluster::shared();
    let kubectl = restricted("chart-kinds");
    for file in tool("crds.sh", &[]) {
        cluster.admin().ok(&format!("apply --server-side -f {file}"));
    }
    for (kind, name) in [("issuer", "cert-manager.io"), ("prometheusrule", "monitoring.coreos.com")] {
        wait::until("the operators' kinds are served", || kubectl.run(&format!("get {kind}s.{name}")).result());
    }
    for values in KINDS_OF_INSTALLATION {
        let objects = helm::template("pratique", "chart-kinds", values).unwrap();
        assert!(objects.len() >= 20, "{} objects for {values:?}", objects.len());
        for object in &objects {
            // A Pod is not taken without its account.
            if object["kind"] == "ServiceAccount" {
                kubectl.feed("apply --server-side --force-conflicts -f -", &object.to_string()).succeeded();
            }
        }
        for object in &objects {
            without_warning(server_side(&kubectl, object), object);
        }
    }
}

#[test]
fn every_metric_that_an_alert_or_the_dashboard_names_is_one_of_the_program() {
    let values = ["monitoring.prometheusRule.enabled=true", "monitoring.dashboard.enabled=true"];
    let objects = helm::template("pratique", "here", &values).unwrap();
    let rule = find(&objects, "PrometheusRule", "pratique");
    let dashboard = find(&objects, "ConfigMap", "pratique-dashboard");
    let dashboard: Value = serde_json::from_str(dashboard["data"]["pratique.json"].as_str().unwrap()).unwrap();
    let mut expressions = Vec::new();
    collect(rule, "expr", &mut expressions);
    collect(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() > 20, "{expressions:?}");
    let read =
        |file: &str| fs::read_to_string(format!("{}/src/telemetry/{file}.rs", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let source = read("metrics") + &read("audit");
    for expression in expressions {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for metric in words.filter_map(|word| word.strip_prefix("pratique_")) {
            let family =
                ["_total", "_bucket", "_info"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric);
            assert!(source.contains(&format!("\"{family}\"")), "no metric {metric}: {expression}");
        }
    }
}

/// The texts below a key, wherever it is.
fn collect(value: &Value, key: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| match value.as_str() {
            Some(text) if name == key => into.push(text.to_owned()),
            _ => collect(value, key, into),
        }),
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, into)),
        _ => {}
    }
}

/// The objects of the chart that a test needs, applied under a name of their own in a namespace of their own, and the
/// webhook configurations so that they concern that namespace alone.
struct Installed {
    own: Kubectl,
    name: String,
    objects: Vec<Value>,
}

impl Installed {
    fn new(name: &str, kinds: &[&str]) -> Self {
        let own = Cluster::shared().namespace(name);
        let name = name.to_owned();
        let objects = render(&name, "all");
        for object in &objects {
            if kinds.contains(&object["kind"].as_str().unwrap())
                && object["metadata"]["annotations"]["helm.sh/hook"].is_null()
            {
                own.feed("apply --server-side -f -", &object.to_string()).succeeded();
            }
        }
        Self { own, name, objects }
    }

    fn configuration(&self, kind: &str) -> String {
        format!("{kind}webhookconfiguration/{}", self.name)
    }
}

/// With the webhook configurations narrowed to the namespace `name-enforced`.
fn render(name: &str, pin: &str) -> Vec<Value> {
    let values = [format!("fullnameOverride={name}"), format!("pin={pin}"), "webhooks.install=plain".to_owned()];
    let mut objects = helm::template(name, name, &values.each_ref().map(String::as_str)).unwrap();
    let entries = objects.iter_mut().filter_map(|object| object.get_mut("webhooks")?.as_array_mut());
    for webhook in entries.flatten() {
        webhook["namespaceSelector"]["matchExpressions"].as_array_mut().unwrap().push(json!({
            "key": "kubernetes.io/metadata.name", "operator": "In", "values": [format!("{name}-enforced")],
        }));
    }
    objects
}

#[test]
fn a_stolen_token_can_change_the_authority_of_our_own_webhooks_and_nothing_else() {
    const KINDS: [&str; 8] = [
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    ];
    let installed = Installed::new("chart-stolen", &[&KINDS[..], &["MutatingWebhookConfiguration"]].concat());
    let (thief, _) = Cluster::shared().service_account("chart-stolen", "chart-stolen");
    let validating = installed.configuration("validating");
    let patch = |target: &str, patch: &Value| {
        thief.feed(&format!("patch {target} --type=json --patch-file=/dev/stdin"), &json!([patch]).to_string())
    };
    let replace = |path: &str, value: Value| json!({"op": "replace", "path": path, "value": value});
    // The policy is in effect once the first of its refusals is seen.
    wait::until("the policy is in effect", || {
        let tried = patch(&validating, &replace("/webhooks/0/failurePolicy", json!("Ignore")));
        if tried.code == Some(0) {
            let back = json!([replace("/webhooks/0/failurePolicy", json!("Fail"))]);
            installed.own.feed(&format!("patch {validating} --type=json --patch-file=/dev/stdin"), &back.to_string());
            return Err("not refused".to_owned());
        }
        Ok(())
    });

    let only = "this account may change nothing of a webhook but clientConfig.caBundle";
    let anything = json!([{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}]);
    let elsewhere = json!({"url": "https://evil.example/", "caBundle": ""});
    let entry = json!({"name": "evil.pratique.dev", "clientConfig": elsewhere, "admissionReviewVersions": ["v1"],
        "sideEffects": "None"});
    let refusals = [
        (replace("/webhooks/0/failurePolicy", json!("Ignore")), only),
        (replace("/webhooks/0/rules", anything), only),
        (replace("/webhooks/0/clientConfig", elsewhere.clone()), only),
        (replace("/webhooks/0/clientConfig/service/name", json!("other")), only),
        (replace("/webhooks/0/namespaceSelector", json!({})), only),
        (json!({"op": "add", "path": "/webhooks/0/objectSelector", "value": {"matchLabels": {"no": "pods"}}}), only),
        (replace("/webhooks/0/matchConditions/0/expression", json!("false")), only),
        (replace("/webhooks/0/matchPolicy", json!("Exact")), only),
        (replace("/webhooks/0/timeoutSeconds", json!(1)), only),
        (replace("/webhooks/0/sideEffects", json!("None")), only),
        (json!({"op": "add", "path": "/webhooks/-", "value": entry}), "neither add nor remove nor move webhooks"),
        (json!({"op": "remove", "path": "/webhooks/0"}), "neither add nor remove nor move webhooks"),
        (
            json!({"op": "move", "from": "/webhooks/0", "path": "/webhooks/1"}),
            "neither add nor remove nor move webhooks",
        ),
        (json!({"op": "add", "path": "/metadata/labels/x", "value": "y"}), "may not change metadata"),
        (json!({"op": "add", "path": "/metadata/finalizers", "value": ["x/y"]}), "may not change metadata"),
    ];
    for (change, said) in &refusals {
        let text = patch(&validating, change).refused();
        assert!(text.contains(said), "{change}: {text}");
    }
    let mutating = installed.configuration("mutating");
    let text = patch(&mutating, &replace("/webhooks/0/failurePolicy", json!("Fail"))).refused();
    assert!(text.contains(only), "{text}");

    // What RBAC alone refuses.
    thief.run(&format!("delete {validating}")).refused();
    let other = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "evil"}, "webhooks": []});
    thief.feed("create -f -", &other.to_string()).refused();
    thief.run("get secrets").refused();
    thief.run("get pods").refused();
    thief.run("get configmaps").refused();

    for configuration in [&validating, &mutating] {
        let bundle = json!({"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": certificate()});
        patch(configuration, &bundle).succeeded();
    }
}

/// An authority in base64, as `caBundle` has it.
fn certificate() -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(Cluster::shared().authority().pem())
}

/// Runs `pratique webhooks …` with the cluster admin's rights; its exit status and what it said.
fn webhooks(args: &[&str]) -> (Option<i32>, String) {
    let kubeconfig = Cluster::shared().admin_kubeconfig();
    let mut pratique = Command::new(env!("CARGO_BIN_EXE_pratique"));
    let output = pratique.arg("webhooks").args(args).env_clear().env("KUBECONFIG", kubeconfig).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_webhook_configurations_come_when_the_pods_are_ready_keep_their_authority_and_go() {
    let name = "chart-hooks";
    let installed = Installed::new(name, &["Deployment", "ServiceAccount"]);
    let folder = Cluster::shared().folder(name);
    let manifest = |pin: &str| {
        let objects = if pin == "all" { installed.objects.clone() } else { render(name, pin) };
        let configurations = objects.iter().filter(|object| object["webhooks"].is_array());
        let text: Vec<String> = configurations.map(ToString::to_string).collect();
        let file = folder.join(format!("{pin}.yaml"));
        fs::write(&file, text.join("\n---\n")).unwrap();
        file.display().to_string()
    };
    let ca = folder.join("ca.crt");
    fs::write(&ca, Cluster::shared().authority().pem()).unwrap();
    let apply = |file: &str, timeout: &str| {
        let deployment = format!("--deployment={name}/{name}");
        let ca = format!("--ca-file={}", ca.display());
        webhooks(&["apply", "--name", name, "--file", file, &deployment, "--timeout", timeout, &ca])
    };
    let find = |kind: &str| installed.own.run(&format!("get {} -o json", installed.configuration(kind)));

    let all = manifest("all");
    let (code, said) = apply(&all, "0");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("Deployment {name}/{name} is not available after 0 s")), "{said}");
    find("validating").refused();

    make_available(&installed.own, name);
    assert_eq!(apply(&all, "30"), (Some(0), String::new()));
    let bundles = |kind: &str| {
        let found: Value = serde_json::from_str(&find(kind).succeeded()).unwrap();
        let entries = found["webhooks"].as_array().unwrap();
        entries.iter().map(|entry| entry["clientConfig"]["caBundle"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(bundles("validating"), vec![json!(certificate()); 3]);
    assert_eq!(bundles("mutating"), vec![json!(certificate())]);

    // A rotation, by another manager of the field; then an upgrade that pins no more and has an entry less.
    fs::write(&ca, "another").unwrap();
    let mut fewer: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&all).unwrap()).unwrap();
    fewer.retain(|object| object["kind"] == "ValidatingWebhookConfiguration");
    fewer[0]["webhooks"].as_array_mut().unwrap().retain(|entry| entry["name"] != "bootstrap.pratique.dev");
    let upgraded = folder.join("upgraded.yaml");
    fs::write(&upgraded, fewer[0].to_string()).unwrap();
    assert_eq!(apply(&upgraded.display().to_string(), "30"), (Some(0), String::new()));
    assert_eq!(bundles("validating"), vec![json!(certificate()); 2]);
    find("mutating").refused();

    for _ in 0..2 {
        assert_eq!(webhooks(&["remove", "--name", name]), (Some(0), String::new()));
        find("validating").refused();
    }
}

/// There is no node: what a kubelet would say is said for it.
fn make_available(kubectl: &Kubectl, name: &str) {
    let status = json!({"status": {"phase": "Running", "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
    ]}});
    wait::until("the Deployment is available", || {
        for pod in kubectl.json("pods")["items"].as_array().unwrap() {
            let pod = pod["metadata"]["name"].as_str().unwrap();
            kubectl
                .run(&format!("patch pod {pod} --subresource=status --type=merge -p {}", compact(&status)))
                .result()?;
        }
        let status = kubectl.json(&format!("deployment/{name}"))["status"].clone();
        if status["availableReplicas"] == 3 { Ok(()) } else { Err(status.to_string()) }
    });
}

/// Without white space, at which a command is split.
fn compact(value: &Value) -> String {
    let text = value.to_string();
    assert!(!text.contains(' '), "{text}");
    text
}

#[test]
fn the_plain_manifests_are_what_the_chart_renders() {
    let folder = Cluster::shared().folder("deploy");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let rendered = Command::new(root.join("deploy/render")).arg(&folder).output().unwrap();
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files.len(), 7, "{files:?}");
    for file in files {
        let (new, old) = (fs::read_to_string(folder.join(&file)), fs::read_to_string(root.join("deploy").join(&file)));
        assert!(new.unwrap() == old.unwrap(), "{}: run deploy/render", file.display());
    }
}

#[test]
fn the_table_of_values_is_that_of_the_values() {
    let folder = Cluster::shared().folder("chart-readme");
    let program = tool("helm.sh", &["helm-docs"]).pop().unwrap();
    let mut docs = Command::new(program);
    docs.args(["--dry-run", "--log-level=error", "--chart-search-root"]).arg(helm::chart()).current_dir(&folder);
    let generated = String::from_utf8(docs.output().unwrap().stdout).unwrap();
    let kept = fs::read_to_string(helm::chart().join("README.md")).unwrap();
    assert!(!kept.is_empty() && generated.trim() == kept.trim(), "run helm-docs:\n{generated}");
}

#[test]
fn the_values_that_the_documentation_shows_render() {
    let folder = Cluster::shared().folder("chart-documentation");
    let page = |name: &str| fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let block = |name: &str, beginning: &str| {
        let text = page(name);
        let found = text.split("```yaml\n").find(|block| block.starts_with(beginning));
        let (block, _) = found.unwrap_or_else(|| panic!("{name} has no {beginning}")).split_once("```").unwrap();
        let file = folder.join(format!("{name}.yaml"));
        fs::write(&file, block).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let values = block("installing.md", "# file: my-values.yaml\n");
    let root = folder.join("acme.root.json");
    fs::write(&root, r#"{"signed": {"_type": "root"}, "signatures": []}"#).unwrap();
    let root = format!("repositories.acme.root={}", root.display());
    let args = ["--values", &values, "--set-file", &root, "--values", &block("monitoring.md", "monitoring:\n")];
    let objects = helm::template_without_example("pratique", "here", &args).unwrap();
    find(&objects, "PrometheusRule", "pratique");
    let text = Value::from(objects).to_string();
    assert!(text.contains("cni-system"), "{text}");
}
