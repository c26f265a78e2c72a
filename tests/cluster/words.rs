//! The words of the policy, each at the API server: what a rule makes of a name, several requirements, instants, the rules
//! that come next, and broken glass.

use serde_json::{Value, json};

use crate::support::{
    cluster::Cluster,
    images::Images,
    kubectl::Kubectl,
    objects, wait,
    webhook::{Settings, Webhook},
};

/// Rules under which the hosts of mirrors have the images of the project.
const RULES: &str = "rules:
  - name: mirror
    match: {images: [\"mirror.example/hub/**\"]}
    as: registry.example/{1}
    verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}
  - name: tenants
    match: {images: [\"tenants.example/*/**\"]}
    as: registry.example/{2}
    verify: {repositories: [acme], layout: \"layouts/{repository}/*\", role: \"targets/{1}\"}
  - name: both
    match: {images: [\"both.example/**\"]}
    as: registry.example/{1}
    all:
      - {repositories: [acme], layout: \"layouts/{repository}/*\"}
      - {repositories: [acme], layout: \"layouts/{repository}/*\", role: targets}
  - name: soon
    match: {images: [\"soon.example/**\"]}
    as: registry.example/{1}
    verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}
    enforceFrom: 2999-01-01T00:00:00Z
    reason: the team is learning
  - name: since
    match: {images: [\"since.example/**\"]}
    as: registry.example/{1}
    verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}
    enforceFrom: 2020-01-01T00:00:00Z
next:
  - name: mirror
    match: {images: [\"mirror.example/hub/**\"]}
    verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}
";

fn start(name: &str) -> (Webhook, &'static Images) {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let policy = images.chain.policy();
    let (repositories, _) = policy.split_once("rules:\n").unwrap();
    let settings = Settings::file(cluster, name, &images.chain, &format!("{repositories}{RULES}"));
    (Webhook::start(cluster, name, &settings, &[]), images)
}

fn under(host: &str, image: &str) -> String {
    image.replacen("registry.example", host, 1)
}

/// What the webhook wrote into the audit log about the last attempt at the Pod of that name.
fn annotations(namespace: &str, pod: &str) -> Value {
    let log = Cluster::shared().audit_log(namespace);
    let created = log.iter().rfind(|event| event["objectRef"]["name"] == pod && event["verb"] == "create").unwrap();
    let all = created["annotations"].as_object().unwrap().iter();
    all.filter_map(|(key, value)| Some((key.strip_prefix("verify.pratique.dev/")?.to_owned(), value.clone()))).collect()
}

#[test]
fn a_mirrored_image_runs_by_the_evidence_of_what_it_mirrors() {
    let (webhook, images) = start("words-mirror");
    let (good, stolen) = (under("mirror.example/hub", &images.good), under("mirror.example/hub", &images.stolen));
    webhook.kubectl.apply(&objects::pod("good", &good)).succeeded();
    assert_eq!(webhook.kubectl.json("pod/good")["spec"]["containers"][0]["image"], *good);
    let text = webhook.kubectl.apply(&objects::pod("stolen", &stolen)).refused();
    assert!(text.contains(&format!("[in-toto/threshold-not-met] spec.containers[0].image: {stolen}\n")), "{text}");
    assert!(text.contains("\n  rule \"mirror\"; as registry.example/team/app; layout "), "{text}");
    // The rules that come next do not know the mirror's names: it is told as soon as it is known, and nothing changes.
    let mut number = 0;
    wait::until("what the next rules say is known", || {
        number += 1;
        let pod = format!("good-{number}");
        webhook.kubectl.apply(&objects::pod(&pod, &good)).succeeded();
        let annotations = annotations("words-mirror", &pod);
        assert_eq!(annotations["verdict"], "admitted");
        match annotations["next"].as_str() {
            Some("deny:image/unknown") => Ok(()),
            next => {
                assert_eq!(next, Some("unavailable:admission/fetching"));
                Err(webhook.log())
            }
        }
    });
    // `hub` itself is a repository that the pattern fits, and no name.
    let text = webhook.kubectl.apply(&objects::pod("none", "mirror.example/hub:1")).refused();
    assert!(text.contains("[image/unusable-name] "), "{text}");
}

#[test]
fn a_tenant_s_images_are_listed_by_the_role_of_its_name() {
    let (webhook, images) = start("words-tenants");
    webhook.kubectl.apply(&objects::pod("good", &under("tenants.example/images", &images.good))).succeeded();
    let text = webhook.kubectl.apply(&objects::pod("bad", &under("tenants.example/others", &images.good))).refused();
    assert!(text.contains("[image/wrong-role] ") && text.contains("targets/others"), "{text}");
}

#[test]
fn a_requirement_that_does_not_hold_is_named() {
    let (webhook, images) = start("words-all");
    let text = webhook.kubectl.apply(&objects::pod("app", &under("both.example", &images.good))).refused();
    assert!(text.contains("[image/wrong-role] ") && text.contains("\n  rule \"both\", part 2 of 2; as "), "{text}");
}

#[test]
fn an_instant_turns_warnings_into_refusals() {
    let (webhook, images) = start("words-instant");
    let output = webhook.kubectl.apply(&objects::pod("soon", &under("soon.example", &images.stolen)));
    assert_eq!(output.stdout, "pod/soon created\n");
    let end = " (refused from 2999-01-01T00:00:00Z on by rule \"soon\": the team is learning)\n";
    assert!(
        output.stderr.starts_with("Warning: [in-toto/threshold-not-met] ") && output.stderr.ends_with(end),
        "{}",
        output.stderr
    );
    assert_eq!(annotations("words-instant", "soon")["weak"], "enforceFrom,mode: warn");
    let text = webhook.kubectl.apply(&objects::pod("since", &under("since.example", &images.stolen))).refused();
    assert!(text.contains("[in-toto/threshold-not-met] "), "{text}");
}

/// Lets an account of the namespace do that.
pub(crate) fn allow(kubectl: &Kubectl, account: &str, name: &str, rule: &Value) {
    let group = "rbac.authorization.k8s.io";
    let api = format!("{group}/v1");
    let metadata = json!({"name": format!("{account}-{name}")});
    let role = json!({"apiVersion": api, "kind": "Role", "metadata": metadata, "rules": [rule]});
    kubectl.apply(&role).succeeded();
    let namespace = kubectl.json("serviceaccounts")["items"][0]["metadata"]["namespace"].clone();
    let binding = json!({
        "apiVersion": api, "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": metadata["name"]},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    });
    kubectl.apply(&binding).succeeded();
}

#[test]
fn the_glass_is_broken_by_whoever_may_and_by_nobody_else() {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let name = "glass";
    let enforced = crate::support::deploy::Place::of(name).enforced;
    let policy = format!("{}breakGlass: {{namespaces: [{enforced}]}}\n", images.chain.policy());
    let settings = Settings::config_maps(cluster, name, &images.chain, &policy);
    let webhook = Webhook::start(cluster, name, &settings, &[]);
    // What the webhook's account needs where glass may be broken.
    let group = "rbac.authorization.k8s.io";
    let own = cluster.admin().namespace(&webhook.place.own);
    let reviews =
        json!({"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]});
    let metadata = json!({"name": format!("{}-glass", webhook.place.own)});
    let role =
        json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": metadata, "rules": [reviews]});
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": metadata["name"]},
        "subjects": [{"kind": "ServiceAccount", "name": "pratique", "namespace": webhook.place.own}],
    });

    let accounts = ["oncall", "developer"].map(|account| {
        let metadata = json!({"name": account});
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
        webhook.kubectl.apply(&object).succeeded();
        cluster.service_account(&enforced, account).0
    });
    for account in ["oncall", "developer"] {
        // Every right to Pods and to workloads that there is.
        allow(
            &webhook.kubectl,
            account,
            "pods",
            &json!({"apiGroups": ["", "apps"], "resources": ["*"], "verbs": ["*"]}),
        );
    }
    allow(
        &webhook.kubectl,
        "oncall",
        "glass",
        &json!({"apiGroups": ["pratique.dev"], "resources": ["breakglass"], "verbs": ["use"]}),
    );
    let [oncall, developer] = accounts;
    let mut pod = objects::pod("stolen", &images.stolen);
    pod["metadata"]["annotations"] = json!({"pratique.dev/break-glass": "INC-4711"});

    // As long as the webhook may not ask, nobody breaks it.
    let text = oncall.apply(&pod).refused();
    assert!(text.contains("[in-toto/threshold-not-met] "), "{text}");
    assert_eq!(webhook.metric("pratique_break_glass_total{outcome=\"failed\"}"), 1, "{}", webhook.log());
    own.apply(&role).succeeded();
    own.apply(&binding).succeeded();
    wait::until("the webhook may ask", || oncall.dry_run(&pod).result());

    let text = developer.apply(&pod).refused();
    assert!(text.contains("[in-toto/threshold-not-met] "), "{text}");
    // A template's annotation breaks nothing, whoever wrote it.
    let mut deployment = objects::deployment("app", &images.stolen, 1);
    deployment["metadata"]["annotations"] = pod["metadata"]["annotations"].clone();
    deployment["spec"]["template"]["metadata"]["annotations"] = pod["metadata"]["annotations"].clone();
    oncall.apply(&deployment).refused();

    let output = oncall.apply(&pod);
    assert_eq!(output.stdout, "pod/stolen created\n", "{}", output.stderr);
    assert!(output.stderr.contains("(not enforced: the glass is broken: INC-4711)"), "{}", output.stderr);
    let annotations = annotations(&enforced, "stolen");
    assert_eq!((&annotations["break-glass"], &annotations["weak"]), (&json!("INC-4711"), &json!("break-glass")));
    let note = wait::until("the event is written", || {
        let events = webhook.kubectl.json("events");
        let mut events = events["items"].as_array().unwrap().iter();
        let event = events.find(|event| event["reason"] == "BreakGlass").ok_or_else(|| webhook.log())?;
        Ok(event["message"].as_str().unwrap().to_owned())
    });
    let who = format!("system:serviceaccount:{enforced}:oncall broke the glass: INC-4711\n");
    assert!(note.starts_with(&who) && note.contains("[in-toto/threshold-not-met]"), "{note}");
}
