//! From facts to findings.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::SignedDuration;
use k8s_openapi::{
    api::admissionregistration::v1::{ValidatingWebhook, WebhookClientConfig},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::core::{Selector, SelectorExt as _};

use super::{Essential, Facts, Finding, Installation, Level, PodFacts};

/// How far the clocks may be apart (trust.md R8).
const CLOCKS: SignedDuration = SignedDuration::from_mins(2);

/// Examines everything; what is as it should be is said too.
pub fn examine(facts: &Facts, installation: &Installation) -> Vec<Finding> {
    let examination = Examination { facts, installation, findings: Vec::new() };
    examination.all()
}

struct Examination<'a> {
    facts: &'a Facts,
    installation: &'a Installation,
    findings: Vec<Finding>,
}

impl Examination<'_> {
    fn all(mut self) -> Vec<Finding> {
        self.clock();
        self.deployment();
        self.configurations();
        self.guard();
        self.policy();
        self.coming_up();
        self.pod_security();
        self.findings
    }

    fn say(&mut self, check: &'static str, level: Level, text: String, fix: &'static str) {
        self.findings.push(Finding { check, level, text, fix });
    }

    fn clock(&mut self) {
        let (Some(here), Some(there)) = (self.facts.now, self.facts.server_time) else {
            return self.say("clock", Level::Warning, "the API server does not say what time it is".to_owned(), "");
        };
        let apart = here.duration_since(there).abs();
        let (level, fix) =
            if apart > CLOCKS { (Level::Error, "set the clocks: expiry is judged by them") } else { (Level::Good, "") };
        self.say("clock", level, format!("{} s apart from the API server's", apart.as_secs()), fix);
    }

    fn deployment(&mut self) {
        let Installation { namespace, name } = self.installation;
        let Some(deployment) = &self.facts.deployment else {
            let text = format!("there is no Deployment {namespace}/{name}");
            return self.say("deployment", Level::Error, text, "install the chart, or name the installation");
        };
        let wanted = deployment.spec.replicas.unwrap_or(1);
        let available = deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
        let text = format!("{available} of {wanted} pods are available");
        match available {
            0 => self.say("deployment", Level::Error, text, "look at its pods, their Events and their logs"),
            few if few < wanted => self.say("deployment", Level::Warning, text, "look at its pods and their Events"),
            1 => self.say("deployment", Level::Warning, text, "run two or more: with one, its restart is an outage"),
            _ => self.say("deployment", Level::Good, text, ""),
        }
        // Every budget that could select our pods counts; a drain waits for the strictest.
        let labels = deployment.spec.template.metadata.as_ref().and_then(|metadata| metadata.labels.clone());
        let labels = labels.unwrap_or_default();
        let budgets = self
            .facts
            .budgets
            .iter()
            .filter(|budget| budget.spec.as_ref().is_some_and(|spec| selects(spec.selector.as_ref(), &labels)));
        let blocked = budgets.clone().any(|budget| {
            let status = budget.status.as_ref();
            status.is_some_and(|status| status.disruptions_allowed == Some(0) && status.expected_pods > Some(0))
        });
        if blocked {
            let text = "a PodDisruptionBudget allows no pod of the webhook to be evicted now".to_owned();
            self.say("disruption", Level::Warning, text, "a drain would wait: allow one, and run two or more");
        } else {
            let text = format!("{} PodDisruptionBudgets", budgets.count());
            self.say("disruption", Level::Good, text, "");
        }
    }

    fn configurations(&mut self) {
        let name = &self.installation.name;
        let Some(entries) = self.facts.validating.as_ref().and_then(|found| found.webhooks.as_ref()) else {
            let text = format!("there is no ValidatingWebhookConfiguration {name}: nothing is verified");
            return self.say("webhooks", Level::Error, text, "pratique webhooks apply, as the chart's hook does");
        };
        let mut said = false;
        let mut error = |this: &mut Self, text: String, fix| {
            this.say("webhooks", Level::Error, text, fix);
            said = true;
        };
        if !entries.iter().any(fails_closed) {
            error(self, "no entry fails closed".to_owned(), "verify.pratique.dev has failurePolicy: Fail in the chart");
        }
        let own = self.namespace(&self.installation.namespace);
        for entry in entries {
            if fails_closed(entry) && selects(entry.namespace_selector.as_ref(), &own) {
                let text = format!("{} is asked about its own namespace: once down it cannot start", entry.name);
                error(self, text, "leave it out in the namespaceSelector; the chart's own-images policy holds there");
            }
        }
        let mutating = self.facts.mutating.iter().flat_map(|found| found.webhooks.iter().flatten());
        let clients = entries.iter().map(|entry| (&entry.name, &entry.client_config));
        for (name, client) in clients.chain(mutating.map(|entry| (&entry.name, &entry.client_config))) {
            if believes_nobody(client) {
                error(self, format!("{name} has no caBundle: every call fails"), "wait a minute, then read the log");
            }
        }
        if !said {
            let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
            self.say("webhooks", Level::Good, names.join(", "), "");
        }
    }

    fn guard(&mut self) {
        match self.facts.self_guard {
            (true, true) => {
                self.say("guard", Level::Good, "the account can change nothing but caBundle".to_owned(), "")
            }
            _ => {
                let text = "nothing narrows what the webhook's account may do to webhook configurations".to_owned();
                let fix = "guards.webhookConfigurations: true, or a certificate that somebody else brings";
                self.say("guard", Level::Warning, text, fix);
            }
        }
    }

    fn policy(&mut self) {
        match &self.facts.policy {
            None => {}
            Some(Err(why)) => {
                let text = format!("the policy does not load: {why}");
                self.say("policy", Level::Error, text, "pratique policy check says the same before it is applied");
            }
            Some(Ok(policy)) => {
                let weak: Vec<_> = policy.weak_rules().map(|rule| rule.name().as_str()).collect();
                let weak = if weak.is_empty() { "none".to_owned() } else { weak.join(", ") };
                let text = format!("{} rules, weak ones: {weak}", policy.rules().len());
                self.say("policy", Level::Good, text, "");
                for warning in policy.warnings() {
                    self.say("policy", Level::Warning, warning.to_string(), "");
                }
            }
        }
        for (repository, why) in &self.facts.missing_roots {
            let text = format!("the root of {repository}: {why}");
            self.say("roots", Level::Error, text, "without it every image of this repository is refused");
        }
    }

    fn coming_up(&mut self) {
        let mut said = false;
        for (host, addresses) in &self.facts.hosts {
            for namespace in self.namespaces_of(host, addresses) {
                if self.closed(&namespace) {
                    let text = format!(
                        "{host} is served from namespace {namespace}, which is closed while the webhook \
                                        is down"
                    );
                    self.say("coming-up", Level::Error, text, OPEN);
                    said = true;
                }
            }
            if addresses.is_empty() && !in_cluster_name(host) {
                self.say(
                    "coming-up",
                    Level::Warning,
                    format!("{host} is not known here"),
                    "look where it is served from",
                );
                said = true;
            }
        }
        for PodFacts { namespace, does } in &self.facts.essential {
            if self.closed(namespace) {
                let what = match does {
                    Essential::Dns => "DNS",
                    Essential::Cni => "the network of Pods (CNI)",
                    Essential::Csi => "volumes (CSI)",
                    Essential::CertManager => "cert-manager, which issues the webhook's certificate,",
                };
                let text = format!("{what} runs in namespace {namespace}, which is closed while the webhook is down");
                self.say("coming-up", Level::Error, text, OPEN);
                said = true;
            }
        }
        if !said {
            let text = "what the cluster needs to come up is open while the webhook is down".to_owned();
            self.say("coming-up", Level::Good, text, "");
        }
    }

    fn pod_security(&mut self) {
        const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
        let lax = self.facts.namespaces.iter().filter(|(name, labels)| {
            self.closed(name) && !labels.get(ENFORCE).is_some_and(|level| level == "baseline" || level == "restricted")
        });
        let lax: Vec<_> = lax.map(|(name, _)| name.as_str()).collect();
        if lax.is_empty() {
            let text = "every enforced namespace holds Pods to a Pod Security Standard".to_owned();
            return self.say("pod-security", Level::Good, text, "");
        }
        let shown: Vec<_> = lax.iter().take(10).copied().collect();
        let text = format!("{} enforced namespaces have no {ENFORCE}: {}", lax.len(), shown.join(", "));
        let fix =
            "baseline at least: a privileged Pod, or one with a hostPath, starts images that nobody is asked about";
        self.say("pod-security", Level::Warning, text, fix);
    }

    /// Where a host is served from, of the namespaces of this cluster. None: it is elsewhere.
    fn namespaces_of(&self, host: &str, addresses: &BTreeSet<IpAddr>) -> BTreeSet<String> {
        let mut found: BTreeSet<_> =
            addresses.iter().filter_map(|address| self.facts.addresses.get(address)).cloned().collect();
        if in_cluster_name(host) {
            found.extend(host.split('.').nth(1).map(ToOwned::to_owned));
        }
        found
    }

    /// Whether creating Pods there fails while the webhook is down.
    fn closed(&self, namespace: &str) -> bool {
        let labels = self.namespace(namespace);
        let entries = self.facts.validating.iter().flat_map(|found| found.webhooks.iter().flatten());
        entries.filter(|entry| fails_closed(entry)).any(|entry| selects(entry.namespace_selector.as_ref(), &labels))
    }

    fn namespace(&self, name: &str) -> BTreeMap<String, String> {
        let mut labels = self.facts.namespaces.get(name).cloned().unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
        labels
    }
}

const OPEN: &str = "name it in bootstrapNamespaces (verified whenever the webhook is up), or serve it from elsewhere";

fn fails_closed(entry: &ValidatingWebhook) -> bool {
    entry.failure_policy.as_deref() != Some("Ignore")
}

fn believes_nobody(client: &WebhookClientConfig) -> bool {
    client.ca_bundle.as_ref().is_none_or(|bundle| bundle.0.is_empty())
}

/// `NAME.NAMESPACE.svc`, with the cluster's domain behind it or without.
fn in_cluster_name(host: &str) -> bool {
    host.split('.').nth(2) == Some("svc")
}

/// A selector that cannot be read selects: what is not known is not counted as open.
fn selects(selector: Option<&LabelSelector>, labels: &BTreeMap<String, String>) -> bool {
    selector.is_none_or(|selector| Selector::try_from(selector.clone()).map_or(true, |read| read.matches(labels)))
}
