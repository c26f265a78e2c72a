use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;
use crate::policy::Policy;

fn installation() -> Installation {
    Installation { namespace: "pratique-system".to_owned(), name: "pratique".to_owned() }
}

/// An installation with which nothing is wrong.
fn good() -> Facts {
    let own = "pratique-system";
    let entry = |name: &str, policy: &str, operator: &str, values: &[&str]| {
        json!({
            "name": name, "failurePolicy": policy, "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"caBundle": "Y2E="},
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": operator, "values": values},
            ]},
        })
    };
    let labels = json!({"app": "pratique"});
    let mut facts = Facts {
        now: Some("2026-06-01T00:00:00Z".parse().unwrap()),
        server_time: Some("2026-06-01T00:01:59Z".parse().unwrap()),
        deployment: serde_json::from_value(json!({
            "spec": {"replicas": 3, "selector": {}, "template": {"metadata": {"labels": labels}}},
            "status": {"availableReplicas": 3},
        }))
        .unwrap(),
        budgets: serde_json::from_value(json!([{
            "spec": {"selector": {"matchLabels": labels}},
            "status": {"disruptionsAllowed": 1, "expectedPods": 3, "currentHealthy": 3, "desiredHealthy": 2},
        }]))
        .unwrap(),
        validating: serde_json::from_value(json!({"webhooks": [
            entry("verify.pratique.dev", "Fail", "NotIn", &[own, "kube-system", "tuf"]),
            entry("bootstrap.pratique.dev", "Ignore", "In", &["kube-system", "tuf"]),
        ]}))
        .unwrap(),
        self_guard: (true, true),
        policy: Some(Ok(Policy::parse("version: 1\nrules: []\n").unwrap())),
        hosts: BTreeMap::from([
            ("tuf.example".to_owned(), BTreeSet::from(["192.0.2.1".parse().unwrap()])),
            ("tuf.tuf.svc.cluster.local".to_owned(), BTreeSet::from(["10.0.0.7".parse().unwrap()])),
        ]),
        addresses: BTreeMap::from([
            ("10.0.0.7".parse().unwrap(), "tuf".to_owned()),
            ("10.0.0.8".parse().unwrap(), "shop".to_owned()),
        ]),
        essential: BTreeSet::from([PodFacts { namespace: "kube-system".to_owned(), does: Essential::Dns }]),
        ..Facts::default()
    };
    let labelled = BTreeMap::from([("pod-security.kubernetes.io/enforce".to_owned(), "baseline".to_owned())]);
    facts.namespaces.insert("shop".to_owned(), labelled);
    facts.namespaces.insert("kube-system".to_owned(), BTreeMap::new());
    facts
}

/// The findings that are not good, each as `check: text`.
fn wrong(facts: &Facts) -> Vec<(Level, String)> {
    let findings = examine(facts, &installation()).into_iter().filter(|finding| finding.level != Level::Good);
    findings.map(|finding| (finding.level, format!("{}: {}", finding.check, finding.text))).collect()
}

#[test]
fn a_good_installation_has_nothing_wrong_and_everything_is_looked_at() {
    assert_eq!(wrong(&good()), []);
    let findings = examine(&good(), &installation());
    let checks: BTreeSet<_> = findings.iter().map(|finding| finding.check).collect();
    let all = ["clock", "coming-up", "deployment", "disruption", "guard", "pod-security", "policy", "webhooks"];
    assert_eq!(checks, BTreeSet::from(all));
}

#[test]
fn each_thing_that_can_be_wrong_is_found_alone() {
    type Change = fn(&mut Facts);
    fn entries(facts: &mut Facts) -> &mut Vec<k8s_openapi::api::admissionregistration::v1::ValidatingWebhook> {
        facts.validating.as_mut().unwrap().webhooks.as_mut().unwrap()
    }
    fn essential(facts: &mut Facts, does: Essential) {
        facts.essential.insert(PodFacts { namespace: "shop".to_owned(), does });
    }
    let cases: [(Change, Level, &str); 22] = [
        (|facts| facts.server_time = None, Level::Warning, "clock: the API server does not say"),
        (|facts| facts.server_time = Some("2026-05-31T23:57:59Z".parse().unwrap()), Level::Error, "clock: 121 s apart"),
        (|facts| facts.deployment = None, Level::Error, "deployment: there is no Deployment pratique-system/pratique"),
        (
            |facts| facts.deployment.as_mut().unwrap().status = None,
            Level::Error,
            "deployment: 0 of 3 pods are available",
        ),
        (
            |facts| facts.deployment.as_mut().unwrap().status.as_mut().unwrap().available_replicas = Some(2),
            Level::Warning,
            "deployment: 2 of 3 pods are available",
        ),
        (
            |facts| {
                let deployment = facts.deployment.as_mut().unwrap();
                deployment.spec.replicas = Some(1);
                deployment.status.as_mut().unwrap().available_replicas = Some(1);
            },
            Level::Warning,
            "deployment: 1 of 1 pods are available",
        ),
        (
            |facts| facts.budgets[0].status.as_mut().unwrap().disruptions_allowed = Some(0),
            Level::Warning,
            "disruption: a PodDisruptionBudget allows no pod",
        ),
        (
            |facts| facts.validating.as_mut().unwrap().webhooks = None,
            Level::Error,
            "webhooks: there is no ValidatingWebhookConfiguration pratique: nothing is verified",
        ),
        (|facts| drop(entries(facts).remove(0)), Level::Error, "webhooks: no entry fails closed"),
        (
            |facts| entries(facts)[0].client_config.ca_bundle = None,
            Level::Error,
            "webhooks: verify.pratique.dev has no caBundle",
        ),
        (
            |facts| {
                let expressions = entries(facts)[0].namespace_selector.as_mut().unwrap().match_expressions.as_mut();
                expressions.unwrap()[0].values.as_mut().unwrap().remove(0);
            },
            Level::Error,
            "webhooks: verify.pratique.dev is asked about its own namespace",
        ),
        (|facts| facts.self_guard = (true, false), Level::Warning, "guard: nothing narrows"),
        (|facts| facts.self_guard = (false, true), Level::Warning, "guard: nothing narrows"),
        (
            |facts| facts.policy = Some(Err("policy.yaml:1:1: x".to_owned())),
            Level::Error,
            "policy: the policy does not load: policy.yaml:1:1: x",
        ),
        (
            |facts| facts.missing_roots = vec![("acme".to_owned(), "gone".to_owned())],
            Level::Error,
            "roots: the root of acme: gone",
        ),
        (
            |facts| {
                facts.hosts.insert("tuf.lan".to_owned(), BTreeSet::from(["10.0.0.8".parse().unwrap()]));
            },
            Level::Error,
            "coming-up: tuf.lan is served from namespace shop",
        ),
        (
            |facts| {
                facts.hosts.insert("tuf.shop.svc".to_owned(), BTreeSet::new());
            },
            Level::Error,
            "coming-up: tuf.shop.svc is served from namespace shop",
        ),
        (
            |facts| {
                facts.hosts.insert("tuf.nowhere".to_owned(), BTreeSet::new());
            },
            Level::Warning,
            "coming-up: tuf.nowhere is not known here",
        ),
        (|facts| essential(facts, Essential::Dns), Level::Error, "coming-up: DNS runs in namespace shop"),
        (|facts| essential(facts, Essential::Cni), Level::Error, "coming-up: the network of Pods (CNI) runs in"),
        (|facts| essential(facts, Essential::Csi), Level::Error, "coming-up: volumes (CSI) runs in namespace shop"),
        (
            |facts| {
                let level = facts.namespaces.get_mut("shop").unwrap();
                level.insert("pod-security.kubernetes.io/enforce".to_owned(), "privileged".to_owned());
            },
            Level::Warning,
            "pod-security: 1 enforced namespaces have no pod-security.kubernetes.io/enforce: shop",
        ),
    ];
    for (change, level, said) in cases {
        let mut facts = good();
        change(&mut facts);
        let found = wrong(&facts);
        let [(found_level, text)] = found.as_slice() else { panic!("{said}: {found:?}") };
        assert_eq!(*found_level, level, "{text}");
        assert!(text.starts_with(said), "{text}");
    }
}
