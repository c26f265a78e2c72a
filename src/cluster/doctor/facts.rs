//! What the API server says about an installation and what stands around it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use http::header::DATE;
use jiff::{Timestamp, fmt::rfc2822};
use k8s_openapi::api::{
    admissionregistration::v1::{
        MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
        ValidatingWebhookConfiguration,
    },
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, Pod, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{Api, Client, Resource, ResourceExt as _, api::ListParams, client::Body};
use serde::de::DeserializeOwned;

use super::{Installation, Unknown};
use crate::{cluster::roots::Roots, image::Reference, policy::Policy, tuf::Limits};

/// How many objects the API server hands over at once.
const PAGE: u32 = 500;

/// Everything that is examined.
#[derive(Debug, Default)]
pub struct Facts {
    /// The time here.
    pub now: Option<Timestamp>,
    /// The time of the API server, to the second.
    pub server_time: Option<Timestamp>,
    /// The webhook's Deployment.
    pub deployment: Option<Deployment>,
    /// The disruption budgets of its namespace.
    pub budgets: Vec<PodDisruptionBudget>,
    /// Where the API server asks.
    pub validating: Option<ValidatingWebhookConfiguration>,
    /// Where it asks about tags.
    pub mutating: Option<MutatingWebhookConfiguration>,
    /// Whether the account's patch of these is narrowed: policy and binding.
    pub self_guard: (bool, bool),
    /// The policy, or why there is none.
    pub policy: Option<Result<Policy, String>>,
    /// Roots of trust that cannot be had: the repository, and why.
    pub missing_roots: Vec<(String, String)>,
    /// The hosts of the policy's repositories and of our own image, and where they are as seen from here.
    pub hosts: BTreeMap<String, BTreeSet<IpAddr>>,
    /// The namespaces with their labels.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// The addresses of Services and Pods, and their namespaces.
    pub addresses: BTreeMap<IpAddr, String>,
    /// Pods without which a cluster does not come up.
    pub essential: BTreeSet<PodFacts>,
}

/// A Pod without which a cluster does not come up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodFacts {
    /// Its namespace.
    pub namespace: String,
    /// What it does.
    pub does: Essential,
}

/// What a cluster needs to come up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Essential {
    /// Names.
    Dns,
    /// The network of Pods.
    Cni,
    /// Volumes.
    Csi,
    /// Our certificate, where cert-manager issues it.
    CertManager,
}

/// Asks for everything. Objects that are not there are facts too; only an API server that does not answer, or that does
/// not let us look, is an error.
pub async fn gather(client: &Client, installation: &Installation, now: Timestamp) -> Result<Facts, Unknown> {
    let Installation { namespace, name } = installation;
    let mut facts = Facts { now: Some(now), server_time: server_time(client).await?, ..Facts::default() };
    facts.deployment = get(&Api::<Deployment>::namespaced(client.clone(), namespace), name).await?;
    facts.budgets = list(&Api::<PodDisruptionBudget>::namespaced(client.clone(), namespace)).await?;
    facts.validating = get(&Api::<ValidatingWebhookConfiguration>::all(client.clone()), name).await?;
    facts.mutating = get(&Api::<MutatingWebhookConfiguration>::all(client.clone()), name).await?;
    let guard = format!("{name}-self-guard");
    let policy = get(&Api::<ValidatingAdmissionPolicy>::all(client.clone()), &guard).await?;
    let binding = get(&Api::<ValidatingAdmissionPolicyBinding>::all(client.clone()), &guard).await?;
    facts.self_guard = (policy.is_some(), binding.is_some());
    read_policy(client, installation, &mut facts).await?;
    for namespace in list(&Api::<Namespace>::all(client.clone())).await? {
        facts.namespaces.insert(namespace.name_any(), namespace.metadata.labels.unwrap_or_default());
    }
    for service in list(&Api::<Service>::all(client.clone())).await? {
        let namespace = service.namespace().unwrap_or_default();
        facts.addresses.extend(addresses(&service).map(|address| (address, namespace.clone())));
    }
    let issuer = facts.validating.as_ref().is_some_and(|found| found.annotations().contains_key(INJECTED));
    for pod in list(&Api::<Pod>::all(client.clone())).await? {
        let namespace = pod.namespace().unwrap_or_default();
        // Those of the host are the node's, whose other Pods are anywhere.
        if pod.spec.as_ref().is_some_and(|spec| spec.host_network != Some(true)) {
            let ips = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
            let ips = ips.filter_map(|ip| ip.ip.parse().ok());
            facts.addresses.extend(ips.map(|address| (address, namespace.clone())));
        }
        let does = essential(&pod).filter(|does| *does != Essential::CertManager || issuer);
        facts.essential.extend(does.map(|does| PodFacts { namespace, does }));
    }
    Ok(facts)
}

/// By which cert-manager is told to write our `caBundle`.
const INJECTED: &str = "cert-manager.io/inject-ca-from";

async fn read_policy(client: &Client, installation: &Installation, facts: &mut Facts) -> Result<(), Unknown> {
    let Installation { namespace, name } = installation;
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let found = get(&config_maps, &format!("{name}-policy")).await?;
    let text = found.and_then(|found| found.data?.remove("policy.yaml"));
    let parsed = match text {
        None => Err(format!("ConfigMap {namespace}/{name}-policy has no policy.yaml")),
        Some(text) => Policy::parse(&text).map_err(|error| error.to_string()),
    };
    if let Ok(policy) = &parsed {
        let roots = argument(facts.deployment.as_ref(), "--roots-configmap=");
        for (repository, tuf) in policy.repositories() {
            let loaded = match roots.as_deref().and_then(|roots| roots.split_once('/')) {
                None => Err("the Deployment names no --roots-configmap".to_owned()),
                Some((namespace, name)) => {
                    let (namespace, name) = (namespace.to_owned(), name.to_owned());
                    let roots = Roots::ConfigMap { client: client.clone(), namespace, name };
                    let loaded = roots.load(tuf.root.as_str(), &Limits::default()).await;
                    loaded.map(drop).map_err(|error| error.to_string())
                }
            };
            facts.missing_roots.extend(loaded.err().map(|why| (repository.to_string(), why)));
            for url in [&tuf.metadata, &tuf.targets] {
                if let Some(host) = url.host() {
                    facts.hosts.insert(host.to_owned(), resolve(host).await);
                }
            }
        }
    }
    if let Some(host) = image_host(facts.deployment.as_ref()) {
        facts.hosts.insert(host.clone(), resolve(&host).await);
    }
    facts.policy = Some(parsed);
    Ok(())
}

/// What stands behind a flag in the arguments of the webhook's container.
fn argument(deployment: Option<&Deployment>, flag: &str) -> Option<String> {
    let containers = &deployment?.spec.template.spec.as_ref()?.containers;
    let mut args = containers.iter().flat_map(|container| container.args.iter().flatten());
    args.find_map(|arg| arg.strip_prefix(flag)).map(ToOwned::to_owned)
}

/// The registry from which our own image comes.
fn image_host(deployment: Option<&Deployment>) -> Option<String> {
    let image = deployment?.spec.template.spec.as_ref()?.containers.first()?.image.as_deref()?;
    let reference = Reference::parse(image).ok()?;
    let host = reference.repository.host();
    Some(host.split_once(':').map_or(host, |(host, _)| host).to_owned())
}

/// Nothing where the name is not known here.
async fn resolve(host: &str) -> BTreeSet<IpAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match tokio::net::lookup_host((host, 443)).await {
        Ok(found) => found.map(|address| address.ip()).collect(),
        Err(_) => BTreeSet::new(),
    }
}

fn addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    let spec = service.spec.iter();
    let own = spec.flat_map(|spec| spec.cluster_ips.iter().chain(&spec.external_ips).flatten().cloned());
    let balanced = service.status.iter().filter_map(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let balanced = balanced.flatten().filter_map(|ingress| ingress.ip.clone());
    // A headless Service has the address "None".
    own.chain(balanced).filter_map(|address| address.parse().ok())
}

fn essential(pod: &Pod) -> Option<Essential> {
    let label = |key: &str| pod.labels().get(key).map(String::as_str).unwrap_or_default();
    if matches!(label("k8s-app"), "kube-dns" | "coredns") || label("app.kubernetes.io/name") == "coredns" {
        return Some(Essential::Dns);
    }
    if label("app.kubernetes.io/name") == "cert-manager" {
        return Some(Essential::CertManager);
    }
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut paths = volumes.filter_map(|volume| Some(volume.host_path.as_ref()?.path.as_str()));
    paths.find_map(|path| match path {
        path if path.starts_with("/etc/cni") || path.starts_with("/opt/cni") => Some(Essential::Cni),
        path if path.starts_with("/var/lib/kubelet/plugins") => Some(Essential::Csi),
        _ => None,
    })
}

/// The time in the head of an answer of the API server.
async fn server_time(client: &Client) -> Result<Option<Timestamp>, Unknown> {
    let unknown = |error: &dyn std::fmt::Display| Unknown { what: "/version".to_owned(), why: error.to_string() };
    let request = http::Request::get("/version").body(Body::empty()).map_err(|error| unknown(&error))?;
    let response = client.send(request).await.map_err(|error| unknown(&error))?;
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    Ok(date.and_then(|date| rfc2822::parse(date).ok()).map(|time| time.timestamp()))
}

async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, Unknown>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let unknown = |error: kube::Error| Unknown { what: format!("{} {name}", K::kind(&())), why: error.to_string() };
    api.get_opt(name).await.map_err(unknown)
}

async fn list<K>(api: &Api<K>) -> Result<Vec<K>, Unknown>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let unknown = |error: kube::Error| Unknown { what: K::plural(&()).into_owned(), why: error.to_string() };
    let (mut all, mut next) = (Vec::new(), None::<String>);
    loop {
        let mut params = ListParams::default().limit(PAGE);
        params.continue_token = next.take();
        let page = api.list(&params).await.map_err(unknown)?;
        next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
        all.extend(page);
        if next.is_none() {
            return Ok(all);
        }
    }
}
