//! `pratique serve-audit`: judges what runs for as long as it lives.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::task::JoinHandle;

use super::{
    now,
    wiring::{self, Wired, namespaced, told_to_stop},
};
use crate::{
    audit::{
        digests::Digests,
        pods::Pods,
        policy_reports::PolicyReports,
        tell::{CONTROLLER, Teller},
        watch::Watch,
    },
    cluster::events::Recorder,
    server::{Health, Limits, Observer, Part},
    telemetry::Metrics,
};

/// Options of the audit.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to serve /healthz, /readyz and /metrics
    #[arg(long, env = "PRATIQUE_HEALTH_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    health_listen: SocketAddr,
    #[command(flatten)]
    source: wiring::Args,
    /// Seconds after which everything is judged again, though nothing has changed
    #[arg(long, env = "PRATIQUE_AUDIT_INTERVAL", default_value = "300", value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,
    /// The ConfigMap in which the digests in use are published; it has to be there
    #[arg(long, env = "PRATIQUE_DIGESTS_CONFIGMAP", value_name = "NAMESPACE/NAME")]
    digests_configmap: Option<String>,
    /// A namespace whose Pods are not judged: that of the webhook, about which it is not asked (repeatable)
    #[arg(long, env = "PRATIQUE_EXCEPT_NAMESPACES", value_name = "NAME", value_delimiter = ',')]
    except_namespace: Vec<String>,
    /// Write no PolicyReports, though their kind is installed
    #[arg(long, env = "PRATIQUE_NO_POLICY_REPORTS")]
    no_policy_reports: bool,
}

/// Serves until the process is told to stop.
pub fn run(args: Args) -> anyhow::Result<u8> {
    args.source.start_log(None)?;
    super::runtime()?.block_on(serve(args))?;
    Ok(0)
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::default());
    let health = Arc::new(Health::new([Part::Policy, Part::Repositories, Part::Pods]));
    let client = kube::Client::try_default().await.context("the API server")?;
    let digests = args.digests_configmap.as_deref().map(namespaced).transpose()?;
    let stop = told_to_stop()?;
    let observer = Observer::bind(args.health_listen, Limits::default(), health.clone(), metrics.clone()).await?;
    tracing::info!(address = %observer.address(), "listening");

    let Wired { world, lack: _, changed, mut tasks, cluster: _, client: _ } =
        args.source.follow(&health, &metrics).await?;
    let pods = Arc::new(Pods::new(args.except_namespace.iter().cloned().collect()));
    tasks.push(tokio::spawn(pods.clone().follow(client.clone())));
    let wrote = |object| {
        let metrics = metrics.clone();
        move |written| metrics.audit().wrote(object, written)
    };
    let watch = Watch {
        world,
        changed,
        pods,
        interval: Duration::from_secs(args.interval),
        teller: Teller::new(Recorder::new(client.clone(), CONTROLLER, &args.source.instance, metrics.clone())),
        digests: digests.map(|(namespace, name)| Digests::new(client.clone(), &namespace, &name, wrote("digests"))),
        reports: (!args.no_policy_reports).then(|| PolicyReports::new(client, wrote("policy-report"))),
        metrics: metrics.clone(),
    };
    let told = move |judged| match judged {
        Ok(()) => health.ready(Part::Pods),
        Err(why) => health.waiting(Part::Pods, why),
    };
    tasks.push(tokio::spawn(watch.run(now, told)));
    let ended = observer.run(stop).await;
    tasks.iter().for_each(JoinHandle::abort);
    Ok(ended?)
}
