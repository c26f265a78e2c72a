//! `pratique why`: why does this workload not run? The cluster is asked, not a repository: what it refused, and what it
//! would say now.

use std::{collections::BTreeSet, io::Write};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    admission::{KINDS, KnownKind},
    cluster::connect,
    verdict::sanitise,
};

/// Options of `why`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What does not run: deployment/app, pod/app-7d4f, cronjob/nightly, …
    #[arg(value_name = "KIND/NAME")]
    workload: String,
    /// Its namespace; by default that of the kubeconfig
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// What admission webhooks of ours are called in texts of the API server.
const OURS: &str = ".pratique.dev\" denied the request";

/// Asks, with the account of the kubeconfig. Exit code 0: a Pod of it would be created now; 1: it would be refused; 2:
/// not known.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<u8> {
    super::runtime()?.block_on(ask(args, out))
}

async fn ask(args: &Args, out: &mut impl Write) -> anyhow::Result<u8> {
    let (kind, name) = parse(&args.workload)?;
    let config = Config::infer().await.context("the API server")?;
    let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = connect::client_of(config).context("the API server")?;
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(kind.group, kind.version, kind.kind), kind.resource);
    let workload = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &resource).get(name).await?;
    let shown = format!("{}/{name} in namespace {namespace}", kind.kind.to_lowercase());

    let mut refused_before = refusals(&client, &namespace, &workload).await?;
    let pod = pod_of(kind, &workload).with_context(|| format!("{shown} has no Pod template"))?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let code = match Api::<Pod>::namespaced(client, &namespace).create(&dry_run, &pod).await {
        Ok(_) => {
            writeln!(out, "{shown}: a Pod of it would be created now")?;
            0
        }
        Err(kube::Error::Api(status)) if status.message.contains(OURS) => {
            writeln!(out, "{shown}: a Pod of it would be refused now")?;
            indented(out, &status.message)?;
            1
        }
        // Somebody else's refusal, or no right to try: not ours to judge by.
        Err(error) => {
            writeln!(out, "{shown}: no Pod of it can be tried: {}", sanitise(&error.to_string()))?;
            2
        }
    };
    if let Some(Refused { when, count, about, text }) = refused_before.pop() {
        writeln!(out, "last refused {when} ({count} times), {}", sanitise(&about))?;
        indented(out, &text)?;
    } else {
        writeln!(out, "no Event says that one was refused; Events are kept for an hour, as a rule")?;
    }
    Ok(code)
}

fn parse(workload: &str) -> anyhow::Result<(&'static KnownKind, &str)> {
    let Some((kind, name)) = workload.split_once('/') else { bail!("{workload:?} is not KIND/NAME") };
    let kind = kind.to_lowercase();
    let long = match kind.as_str() {
        "po" => "pod",
        "deploy" => "deployment",
        "rs" => "replicaset",
        "sts" => "statefulset",
        "ds" => "daemonset",
        "rc" => "replicationcontroller",
        "cj" => "cronjob",
        other => other,
    };
    let known = KINDS.iter().find(|known| known.resource == long || known.kind.eq_ignore_ascii_case(long));
    match known {
        Some(known) if !name.is_empty() && !name.contains('/') => Ok((known, name)),
        Some(_) => bail!("{workload:?} is not KIND/NAME"),
        None => {
            let kinds: Vec<_> = KINDS.iter().map(|known| known.kind.to_lowercase()).collect();
            bail!("{kind:?} is no kind with Pods, these are: {}", kinds.join(", "))
        }
    }
}

/// A Pod as the controller would create it, or the Pod itself once more.
fn pod_of(kind: &KnownKind, workload: &DynamicObject) -> Option<Pod> {
    let object = serde_json::to_value(workload).ok()?;
    let (spec, way) = kind.pod_spec.split_last()?;
    let template = way.iter().try_fold(&object, |value, member| value.get(member))?;
    let mut spec = template.get(spec)?.clone();
    let metadata = template.get("metadata").cloned().unwrap_or_default();
    if kind.is_pod() {
        forget_the_node(&mut spec);
    }
    let metadata = json!({
        "generateName": format!("{}-why-", workload.name_any()),
        "labels": metadata.get("labels"),
        "annotations": metadata.get("annotations"),
    });
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).ok()
}

/// What the API server put into a Pod that it has created would be refused in another.
fn forget_the_node(spec: &mut Value) {
    const TOKEN: &str = "kube-api-access-";
    let named = |value: &Value| value.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with(TOKEN));
    let Some(spec) = spec.as_object_mut() else { return };
    spec.remove("nodeName");
    spec.remove("ephemeralContainers");
    if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
        volumes.retain(|volume| !named(volume));
    }
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for mounts in containers.into_iter().flatten().filter_map(|container| container.get_mut("volumeMounts")) {
            if let Some(mounts) = mounts.as_array_mut() {
                mounts.retain(|mount| !named(mount));
            }
        }
    }
}

/// One Event about a refusal.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Refused {
    when: String,
    count: i32,
    about: String,
    text: String,
}

/// What Events say of the workload, of its controllers and of theirs, the newest last.
async fn refusals(client: &Client, namespace: &str, workload: &DynamicObject) -> anyhow::Result<Vec<Refused>> {
    let uids = family(client, namespace, workload).await?;
    let events = Api::<Event>::namespaced(client.clone(), namespace).list(&ListParams::default()).await?;
    let about = events.into_iter().filter(|event| {
        event.message.as_deref().is_some_and(|text| text.contains(OURS))
            && event.involved_object.uid.as_ref().is_some_and(|uid| uids.contains(uid))
    });
    let mut found: Vec<_> = about.map(refused).collect();
    found.sort();
    Ok(found)
}

fn refused(event: Event) -> Refused {
    let seen = event.last_timestamp.or(event.first_timestamp).map(|time| time.0.to_string());
    let seen = seen.or(event.event_time.map(|time| time.0.to_string()));
    let regarding = event.involved_object;
    let (kind, name) = (regarding.kind.unwrap_or_default().to_lowercase(), regarding.name.unwrap_or_default());
    Refused {
        when: seen.unwrap_or_default(),
        count: event.count.unwrap_or(1),
        about: format!("{kind}/{name}"),
        text: event.message.unwrap_or_default(),
    }
}

/// The uids of the workload and of the ReplicaSets and Jobs that it controls.
async fn family(client: &Client, namespace: &str, workload: &DynamicObject) -> anyhow::Result<BTreeSet<String>> {
    let mut uids: BTreeSet<_> = workload.uid().into_iter().collect();
    for known in KINDS.iter().filter(|known| matches!(known.kind, "ReplicaSet" | "Job")) {
        let kind = GroupVersionKind::gvk(known.group, known.version, known.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, known.resource);
        let all = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
        for object in all.list_metadata(&ListParams::default()).await? {
            if object.owner_references().iter().any(|owner| uids.contains(&owner.uid)) {
                uids.extend(object.metadata.uid);
            }
        }
    }
    Ok(uids)
}

/// What others wrote: an Event may be by anybody who may write in the namespace.
fn indented(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    text.lines().try_for_each(|line| writeln!(out, "  {}", sanitise(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_does_not_reach_the_terminal_as_it_is() {
        let mut shown = Vec::new();
        indented(&mut shown, "denied\n\u{1b}[2Jok\u{202e}\r\n\u{9b}31m").unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(shown, "  denied\n  \\u{1b}[2Jok\\u{202e}\n  \\u{9b}31m\n");
    }

    #[test]
    fn a_workload_is_named_as_for_kubectl() {
        let parsed = |text| parse(text).map(|(kind, name)| (kind.resource, name)).map_err(|error| error.to_string());
        assert_eq!(parsed("deploy/app"), Ok(("deployments", "app")));
        assert_eq!(parsed("Deployments/app"), Ok(("deployments", "app")));
        assert_eq!(parsed("po/app"), Ok(("pods", "app")));
        assert_eq!(parsed("CronJob/app"), Ok(("cronjobs", "app")));
        for (text, said) in [
            ("app", "\"app\" is not KIND/NAME"),
            ("pod/", "\"pod/\" is not KIND/NAME"),
            ("pod/a/b", "\"pod/a/b\" is not KIND/NAME"),
        ] {
            assert_eq!(parsed(text), Err(said.to_owned()));
        }
        assert!(parsed("service/app").unwrap_err().starts_with("\"service\" is no kind with Pods, these are: pod, "));
    }
}
