//! `pratique status`: the replicas of the webhook, and what each knows of the TUF repositories.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::ListParams,
    core::{Selector, SelectorExt as _},
};

use super::doctor::Place;

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
}

/// What one replica says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replica {
    pub(super) pod: String,
    ready: bool,
    /// Its metrics, or why they cannot be had.
    pub(super) metrics: Result<Samples, String>,
}

/// The samples of a text in the format of OpenMetrics: for each name, labels and value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Samples(BTreeMap<String, Vec<Sample>>);

pub(super) type Labels = BTreeMap<String, String>;
pub(super) type Sample = (Labels, f64);

/// What the replicas say of one role of one repository.
#[derive(Debug, Default)]
struct KnownRole {
    /// One, where they agree.
    versions: BTreeSet<String>,
    /// The soonest, in seconds.
    expires: Option<f64>,
}

/// Asks through the API server, with the account of the kubeconfig: it has to `get` the Deployment, `list` Pods and
/// `get` pods/proxy. Exit code 0: every replica answers and is ready; 1: one is not, or does not.
pub fn run(args: &Args, now: Timestamp, out: &mut impl Write) -> anyhow::Result<u8> {
    let replicas = super::runtime()?.block_on(ask(&args.place))?;
    write(&replicas, now, out)?;
    let well = |replica: &Replica| replica.ready && replica.metrics.is_ok();
    Ok(u8::from(replicas.is_empty() || !replicas.iter().all(well)))
}

pub(super) async fn ask(place: &Place) -> anyhow::Result<Vec<Replica>> {
    let Place { namespace, name } = place;
    let client = Client::try_default().await.context("the API server")?;
    let deployment = Api::<Deployment>::namespaced(client.clone(), namespace).get(name).await?;
    let selector = Selector::try_from(deployment.spec.selector).context("the selector of the Deployment")?;
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let mut replicas = Vec::new();
    for pod in pods.list(&ListParams::default().labels_from(&selector)).await? {
        // The API server's answer is not relied on alone: another Pod's port could say anything.
        if !selector.matches(pod.labels()) || pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ready =
            conditions.filter(|condition| condition.type_ == "Ready").any(|condition| condition.status == "True");
        let name = pod.name_any();
        let metrics = match port(&pod) {
            None => Err("it has no port \"health\"".to_owned()),
            Some(port) => scrape(&client, namespace, &name, port).await,
        };
        replicas.push(Replica { pod: name, ready, metrics });
    }
    Ok(replicas)
}

fn port(pod: &Pod) -> Option<i32> {
    let containers = &pod.spec.as_ref()?.containers;
    let mut ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports.find(|port| port.name.as_deref() == Some("health")).map(|port| port.container_port)
}

async fn scrape(client: &Client, namespace: &str, pod: &str, port: i32) -> Result<Samples, String> {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics");
    let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    let text = client.request_text(request).await.map_err(|error| error.to_string())?;
    Ok(Samples::read(&text))
}

impl Samples {
    /// Lines that are no samples are passed over.
    fn read(text: &str) -> Self {
        let mut samples = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, labels, value)) = sample(line) {
                samples.0.entry(name.to_owned()).or_default().push((labels, value));
            }
        }
        samples
    }

    pub(super) fn of(&self, name: &str) -> &[Sample] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn one(&self, name: &str) -> Option<f64> {
        self.of(name).first().map(|(_, value)| *value)
    }
}

fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let (name, rest) = match line.split_once('{') {
        Some((name, rest)) => (name, Some(rest.rsplit_once('}')?)),
        None => (line.split_once(' ')?.0, None),
    };
    let (labels, value) = match rest {
        Some((labels, value)) => (labels, value),
        None => ("", line.split_once(' ')?.1),
    };
    // No label of the metrics that are read here has a comma or a quotation mark in it.
    let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    let labels = pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect();
    Some((name, labels, value.split_whitespace().next()?.parse().ok()?))
}

fn write(replicas: &[Replica], now: Timestamp, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "{:<44} {:<6} {:<9} {:<10} CERTIFICATE", "REPLICA", "READY", "VERSION", "POLICY")?;
    for replica in replicas {
        let ready = if replica.ready { "yes" } else { "NO" };
        write!(out, "{:<44} {ready:<6} ", replica.pod)?;
        match &replica.metrics {
            Err(why) => writeln!(out, "{why}")?,
            Ok(metrics) => {
                let build = metrics.of("pratique_build_info").first();
                let version = build.and_then(|(labels, _)| labels.get("version")).map_or("?", String::as_str);
                let policy = match metrics.one("pratique_policy_stale") {
                    Some(0.0) => "in force",
                    Some(_) => "OLD ONE",
                    None => "?",
                };
                let certificate = left(metrics.one("pratique_certificate_expiry_timestamp_seconds"), now);
                writeln!(out, "{version:<9} {policy:<10} {certificate}")?;
            }
        }
    }
    let read: Vec<_> = replicas.iter().filter_map(|replica| replica.metrics.as_ref().ok()).collect();
    let mut roles: BTreeMap<(&str, &str), KnownRole> = BTreeMap::new();
    for metrics in &read {
        for (labels, value) in metrics.of("pratique_repository_expiry_timestamp_seconds") {
            if let (Some(repository), Some(role)) = (labels.get("repository"), labels.get("role")) {
                let known = roles.entry((repository, role)).or_default();
                known.expires = Some(known.expires.map_or(*value, |soonest| soonest.min(*value)));
                let versions = metrics.of("pratique_repository_version").iter();
                known
                    .versions
                    .extend(versions.filter(|(other, _)| other == labels).map(|(_, value)| format!("{value:.0}")));
            }
        }
    }
    writeln!(out, "\n{:<20} {:<16} {:<12} EXPIRES", "REPOSITORY", "ROLE", "VERSION")?;
    for ((repository, role), KnownRole { versions, expires }) in roles {
        let versions = versions.into_iter().collect::<Vec<_>>().join(" and ");
        writeln!(out, "{repository:<20} {role:<16} {versions:<12} {}", left(expires, now))?;
    }
    let mut refreshed: BTreeMap<&str, f64> = BTreeMap::new();
    for (labels, value) in read.iter().flat_map(|read| read.of("pratique_repository_last_success_timestamp_seconds")) {
        if let Some(repository) = labels.get("repository") {
            let oldest = refreshed.entry(repository).or_insert(*value);
            *oldest = oldest.min(*value);
        }
    }
    for (repository, oldest) in refreshed {
        writeln!(out, "{repository}: every replica has refreshed it since {}", instant(oldest))?;
    }
    Ok(())
}

/// The instant, and how far it is away.
fn left(expires: Option<f64>, now: Timestamp) -> String {
    let Some(expires) = expires else { return "?".to_owned() };
    let left =
        SignedDuration::try_from_secs_f64(expires).unwrap_or_default() - SignedDuration::from_secs(now.as_second());
    match left.as_hours() {
        _ if left.is_negative() => format!("{}, EXPIRED", instant(expires)),
        hours if hours < 48 => format!("{}, in {hours} h", instant(expires)),
        hours => format!("{}, in {} days", instant(expires), hours / 24),
    }
}

fn instant(seconds: f64) -> String {
    let since = SignedDuration::try_from_secs_f64(seconds).unwrap_or_default();
    Timestamp::from_second(since.as_secs()).map_or_else(|_| "?".to_owned(), |instant| instant.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP pratique_build Which program this is.
pratique_build_info{version=\"0.1.0\"} 1
pratique_policy_stale 0
pratique_certificate_expiry_timestamp_seconds 1780358400
pratique_repository_version{repository=\"acme\",role=\"timestamp\"} 7
pratique_repository_expiry_timestamp_seconds{repository=\"acme\",role=\"timestamp\"} 1780358400
pratique_repository_version{repository=\"acme\",role=\"root\"} 2
pratique_repository_expiry_timestamp_seconds{repository=\"acme\",role=\"root\"} 1780000000
pratique_repository_last_success_timestamp_seconds{repository=\"acme\"} 1780272000
garbage
# EOF
";

    #[test]
    fn replicas_that_differ_are_seen_and_what_expired_is() {
        let behind = METRICS.replace("role=\"timestamp\"} 7", "role=\"timestamp\"} 6").replace("stale 0", "stale 1");
        let replicas = [
            Replica { pod: "pratique-1".to_owned(), ready: true, metrics: Ok(Samples::read(METRICS)) },
            Replica { pod: "pratique-2".to_owned(), ready: false, metrics: Ok(Samples::read(&behind)) },
            Replica { pod: "pratique-3".to_owned(), ready: true, metrics: Err("forbidden".to_owned()) },
        ];
        let mut out = Vec::new();
        write(&replicas, "2026-06-01T00:00:00Z".parse().unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "\
REPLICA                                      READY  VERSION   POLICY     CERTIFICATE
pratique-1                                   yes    0.1.0     in force   2026-06-02T00:00:00Z, in 24 h
pratique-2                                   NO     0.1.0     OLD ONE    2026-06-02T00:00:00Z, in 24 h
pratique-3                                   yes    forbidden

REPOSITORY           ROLE             VERSION      EXPIRES
acme                 root             2            2026-05-28T20:26:40Z, EXPIRED
acme                 timestamp        6 and 7      2026-06-02T00:00:00Z, in 24 h
acme: every replica has refreshed it since 2026-06-01T00:00:00Z
";
        assert_eq!(text, expected);
    }
}
