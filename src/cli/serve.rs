//! `pratique serve`: the composition root. Everything is constructed and wired here and in `wiring`, and nowhere else.

mod certificate;
mod traces;

use std::{collections::BTreeSet, net::SocketAddr, num::NonZeroU32, sync::Arc};

use anyhow::{Context as _, ensure};
use tokio::task::JoinHandle;

use super::wiring::{self, Wired, namespaced, told_to_stop};
use crate::{
    admission::CustomKind,
    certs::{Resolver, gather_randomness, server_config},
    cluster::{connect, digests},
    server::{Health, Limits, NEXT_PATIENCE, Part, Pin, Server, Settings, Webhook},
    telemetry::Metrics,
    verifier::{Budget, Verifier},
};

/// Options of the webhook.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen for the API server
    #[arg(long, env = "PRATIQUE_LISTEN", default_value = "0.0.0.0:8443", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where to serve /healthz, /readyz and /metrics without TLS
    #[arg(long, env = "PRATIQUE_HEALTH_LISTEN", value_name = "ADDRESS")]
    health_listen: Option<SocketAddr>,
    #[command(flatten)]
    certificate: certificate::Args,
    #[command(flatten)]
    source: wiring::Args,
    #[command(flatten)]
    traces: traces::Args,
    /// Which tags the mutating webhook pins to digests
    #[arg(long, env = "PRATIQUE_PIN", value_enum, default_value = "pods")]
    pin: PinArg,
    /// The ConfigMap in which the audit publishes the images that run: those that the policy may let go on while nothing
    /// fresh can be had
    #[arg(long, env = "PRATIQUE_DIGESTS_CONFIGMAP", value_name = "NAMESPACE/NAME")]
    digests_configmap: Option<String>,
    /// A further kind that names images, and where: GROUP/VERSION/RESOURCE/KIND:podSpec=PATH,image=PATH,… (repeatable)
    #[arg(long = "custom-kind", value_name = "KIND")]
    custom_kinds: Vec<CustomKind>,
    /// Judgements of images not judged before that one namespace may begin at once, after a quiet time
    #[arg(long, env = "PRATIQUE_MISS_BURST", default_value_t = Budget::default().burst, value_name = "COUNT")]
    miss_burst: NonZeroU32,
    /// Such judgements per minute that a namespace is given back
    #[arg(long, env = "PRATIQUE_MISSES_PER_MINUTE", default_value_t = Budget::default().per_minute, value_name = "COUNT")]
    misses_per_minute: NonZeroU32,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PinArg {
    Off,
    Pods,
    All,
}

/// Serves until the process is told to stop.
pub fn run(args: Args) -> anyhow::Result<u8> {
    super::runtime()?.block_on(serve(args))?;
    Ok(0)
}

async fn serve(args: Args) -> anyhow::Result<()> {
    // Beside the rest: the first connection is not to wait for it.
    tokio::task::spawn_blocking(gather_randomness);
    let traces = args.traces.start(&args.source.instance)?;
    args.source.start_log(traces.as_ref())?;
    let metrics = Arc::new(Metrics::default());
    let mut parts = vec![Part::Certificate, Part::Policy, Part::Repositories];
    parts.extend(args.source.trust_memory.is_some().then_some(Part::Trust));
    parts.extend(args.source.policy_configmap.is_some().then_some(Part::Clock));
    let health = Arc::new(Health::new(parts));

    let resolver = Arc::new(Resolver::default());
    let certificate = certificate::look_after(&args.certificate, &resolver, &health, &metrics).await?;
    let Wired { world, lack, mut tasks, cluster, client, changed: _ } = args.source.follow(&health, &metrics).await?;
    tasks.push(certificate);

    let settings = Settings { listen: args.listen, observe: args.health_listen, limits: Limits::default() };
    let server = Server::bind(&settings, server_config(resolver)?, health, metrics.clone()).await?;
    // Before anybody is told: who reads that it listens may stop it at once, and is to see it end well.
    let stop = told_to_stop()?;
    tracing::info!(address = %server.address(), "listening");
    let pin = match args.pin {
        PinArg::Off => Pin::Off,
        PinArg::Pods => Pin::Pods,
        PinArg::All => Pin::All,
    };
    let budget = Budget { burst: args.miss_burst, per_minute: args.misses_per_minute };
    let policy_configmap = args.source.policy_configmap.as_deref().map(namespaced).transpose()?;
    let resources: BTreeSet<_> = args.custom_kinds.iter().map(|custom| &custom.resource).collect();
    ensure!(resources.len() == args.custom_kinds.len(), "two --custom-kind speak of the same resource");
    let verifier = Arc::new(Verifier::new(budget));
    if let Some(digests) = args.digests_configmap.as_deref() {
        let (namespace, name) = namespaced(digests)?;
        let client = match client {
            Some(client) => client,
            None => connect::client().await.context("the API server")?,
        };
        let verifier = verifier.clone();
        tasks.push(tokio::spawn(async move {
            digests::follow(client, &namespace, &name, |list| verifier.in_use().replace(list)).await;
        }));
    }
    let custom_kinds = args.custom_kinds.clone();
    let next_patience = NEXT_PATIENCE;
    let webhook = Arc::new(Webhook {
        world,
        lack,
        verifier,
        metrics,
        pin,
        custom_kinds,
        policy_configmap,
        next_patience,
        cluster,
    });
    let ended = server.run(webhook.entries(&settings.limits), stop).await;
    tasks.iter().for_each(JoinHandle::abort);
    if let Some(traces) = traces {
        // It blocks, and needs the runtime meanwhile. Spans that are lost are no reason to end badly.
        let ended = tokio::task::spawn_blocking(move || traces.end()).await?;
        ended.unwrap_or_else(|why| tracing::warn!(why, "the last spans were not sent"));
    }
    Ok(ended?)
}
