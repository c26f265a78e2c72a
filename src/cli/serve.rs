//! `pratique serve`: the composition root. Everything is constructed and wired here and nowhere else.

mod certificate;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use arc_swap::ArcSwapOption;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

use super::now;
use crate::{
    admission::CustomKind,
    certs::{Resolver, server_config},
    cluster::{
        events::{Event, Events, Kind},
        policies::{InForce, Keeper, Place},
        roots::Roots,
    },
    evidence::RepositoryName,
    policy::{self, Policy},
    repository::Repository,
    server::{Health, Limits, POLICY_KEY, Part, Pin, Server, Settings, Webhook},
    telemetry::{self, Metrics, metrics::LoadOutcome},
    tuf,
    verifier::{Budget, Verifier, World, named_files},
};

/// How often files are looked at: an edit of the policy has to be in force within two seconds.
const LOOK: Duration = Duration::from_secs(1);

/// How soon a policy that cannot be put in force is tried again: what it lacked may have come, and nothing says so.
const AGAIN: Duration = Duration::from_secs(3);

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
    /// The policy, in a file
    #[arg(long, env = "PRATIQUE_POLICY", value_name = "FILE", required_unless_present = "policy_configmap")]
    policy: Option<PathBuf>,
    /// The policy, in the key policy.yaml of a ConfigMap
    #[arg(
        long,
        env = "PRATIQUE_POLICY_CONFIGMAP",
        value_name = "NAMESPACE/NAME",
        conflicts_with = "policy",
        requires = "roots_configmap"
    )]
    policy_configmap: Option<String>,
    /// The folder with the roots that the policy names; by default that of the policy
    #[arg(long, env = "PRATIQUE_ROOTS", value_name = "DIR", conflicts_with = "roots_configmap")]
    roots: Option<PathBuf>,
    /// The immutable ConfigMap with the roots that the policy names
    #[arg(long, env = "PRATIQUE_ROOTS_CONFIGMAP", value_name = "NAMESPACE/NAME")]
    roots_configmap: Option<String>,
    /// The folder that keeps what is trusted over restarts
    #[arg(long, env = "PRATIQUE_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// Which tags the mutating webhook pins to digests
    #[arg(long, env = "PRATIQUE_PIN", value_enum, default_value = "pods")]
    pin: PinArg,
    /// A further kind that names images, and where: GROUP/VERSION/RESOURCE/KIND:podSpec=PATH,image=PATH,… (repeatable)
    #[arg(long = "custom-kind", value_name = "KIND")]
    custom_kinds: Vec<CustomKind>,
    /// Judgements of images not judged before that one namespace may begin at once, after a quiet time
    #[arg(long, env = "PRATIQUE_MISS_BURST", default_value_t = Budget::default().burst, value_name = "COUNT")]
    miss_burst: NonZeroU32,
    /// Such judgements per minute that a namespace is given back
    #[arg(long, env = "PRATIQUE_MISSES_PER_MINUTE", default_value_t = Budget::default().per_minute, value_name = "COUNT")]
    misses_per_minute: NonZeroU32,
    /// How log lines look
    #[arg(long, env = "PRATIQUE_LOG_FORMAT", value_enum, default_value = "json")]
    log_format: LogFormat,
    /// Which log lines are written
    #[arg(long, env = "PRATIQUE_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// The name of this replica in Events
    #[arg(long, env = "HOSTNAME", default_value = "pratique", value_name = "NAME")]
    instance: String,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PinArg {
    Off,
    Pods,
    All,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

type Policies = InForce<Policy, policy::Error>;

/// Serves until the process is told to stop.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let format = match args.log_format {
        LogFormat::Json => telemetry::tracing::Format::Json,
        LogFormat::Text => telemetry::tracing::Format::Text,
    };
    telemetry::tracing::start(format, &args.log)?;
    super::runtime()?.block_on(serve(args))?;
    Ok(0)
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::default());
    let health = Arc::new(Health::new([Part::Certificate, Part::Policy, Part::Repositories]));

    let resolver = Arc::new(Resolver::default());
    let mut tasks = vec![certificate::look_after(&args.certificate, &resolver, &health, &metrics).await?];

    let (policies, roots, events) = follow_policy(&args, &metrics, &mut tasks).await?;
    let world = Arc::new(ArcSwapOption::empty());
    let builder = Builder {
        policies,
        roots,
        events,
        state: args.state.clone(),
        world: world.clone(),
        health: health.clone(),
        metrics: metrics.clone(),
        refreshing: BTreeMap::new(),
    };
    tasks.push(tokio::spawn(builder.run()));

    let settings = Settings { listen: args.listen, observe: args.health_listen, limits: Limits::default() };
    let server = Server::bind(&settings, server_config(resolver)?, health, metrics.clone()).await?;
    tracing::info!(address = %server.address(), "listening");
    let pin = match args.pin {
        PinArg::Off => Pin::Off,
        PinArg::Pods => Pin::Pods,
        PinArg::All => Pin::All,
    };
    let budget = Budget { burst: args.miss_burst, per_minute: args.misses_per_minute };
    let policy_configmap = args.policy_configmap.as_deref().map(namespaced).transpose()?;
    let resources: BTreeSet<_> = args.custom_kinds.iter().map(|custom| &custom.resource).collect();
    ensure!(resources.len() == args.custom_kinds.len(), "two --custom-kind speak of the same resource");
    let verifier = Arc::new(Verifier::new(budget));
    let webhook =
        Arc::new(Webhook { world, verifier, metrics, pin, custom_kinds: args.custom_kinds.clone(), policy_configmap });
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let ended = server.run(webhook.entries(&settings.limits), shutdown).await;
    tasks.iter().for_each(JoinHandle::abort);
    Ok(ended?)
}

/// Where the policy and the roots come from, and what follows the one.
async fn follow_policy(
    args: &Args,
    metrics: &Arc<Metrics>,
    tasks: &mut Vec<JoinHandle<()>>,
) -> anyhow::Result<(Policies, Roots, Option<(Events, ObjectReference)>)> {
    let Some(config_map) = &args.policy_configmap else {
        let path = args.policy.clone().context("neither --policy nor --policy-configmap is given")?;
        let beside = path.parent().unwrap_or(Path::new(".")).to_owned();
        let (keeper, policies) = Keeper::new(Place::File(path), Policy::parse, None, metrics.clone());
        tasks.push(tokio::spawn(keeper.follow_file(LOOK, now)));
        return Ok((policies, Roots::Folder(args.roots.clone().unwrap_or(beside)), None));
    };
    let client = kube::Client::try_default().await.context("the API server")?;
    let (namespace, name) = namespaced(config_map)?;
    let (events, writer) = Events::new(client.clone(), &args.instance, metrics.clone());
    tasks.push(tokio::spawn(writer.run(now)));
    let regarding = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("ConfigMap".to_owned()),
        namespace: Some(namespace.clone()),
        name: Some(name.clone()),
        ..ObjectReference::default()
    };
    let place = Place::ConfigMap { namespace, name, key: POLICY_KEY.to_owned() };
    let (keeper, policies) = Keeper::new(place, Policy::parse, Some(events.clone()), metrics.clone());
    tasks.push(tokio::spawn(keeper.follow_config_map(client.clone(), now)));
    let roots = args.roots_configmap.as_deref().context("--roots-configmap is not given")?;
    let (namespace, name) = namespaced(roots)?;
    Ok((policies, Roots::ConfigMap { client, namespace, name }, Some((events, regarding))))
}

pub(super) fn namespaced(text: &str) -> anyhow::Result<(String, String)> {
    let Some((namespace, name)) = text.split_once('/') else { bail!("{text:?} is not NAMESPACE/NAME") };
    ensure!(!namespace.is_empty() && !name.is_empty() && !name.contains('/'), "{text:?} is not NAMESPACE/NAME");
    Ok((namespace.to_owned(), name.to_owned()))
}

/// Puts each new policy in force together with its repositories. One that cannot be leaves the last one in force, and is
/// tried until it can: the roots may come after it, and the API server may have been away.
struct Builder {
    policies: Policies,
    roots: Roots,
    /// Where Events go, and what they are about.
    events: Option<(Events, ObjectReference)>,
    state: Option<PathBuf>,
    world: Arc<ArcSwapOption<World>>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    refreshing: BTreeMap<RepositoryName, (Arc<Repository>, JoinHandle<()>)>,
}

impl Builder {
    async fn run(mut self) {
        // What was said about the newest policy: it is said once.
        let mut said = None;
        loop {
            let newest = self.policies.borrow_and_update().as_ref().map(|state| state.policy.clone());
            let current = self.world.load_full();
            if let Some(policy) = newest
                && current.as_deref().is_none_or(|world| !world.is_of(&policy))
            {
                match self.build(policy, current.as_deref()).await {
                    Ok(world) => self.put_in_force(world),
                    Err(error) => {
                        let text = error.to_string();
                        if said.as_ref() != Some(&text) {
                            self.keep(&error, current.is_some());
                        }
                        said = Some(text);
                        match tokio::time::timeout(AGAIN, self.policies.changed()).await {
                            Ok(Ok(())) => said = None,
                            Ok(Err(_)) => return,
                            Err(_) => {}
                        }
                        continue;
                    }
                }
            }
            if self.policies.changed().await.is_err() {
                return;
            }
            said = None;
        }
    }

    async fn build(&self, policy: Arc<Policy>, current: Option<&World>) -> anyhow::Result<World> {
        let mut files = BTreeMap::new();
        for name in named_files(&policy) {
            let bytes = self.roots.load(name.as_str(), &tuf::Limits::default()).await?;
            files.insert(name.as_str().to_owned(), bytes);
        }
        Ok(World::build(policy, &files, self.state.as_deref(), current).await?)
    }

    fn put_in_force(&mut self, world: World) {
        let world = Arc::new(world);
        let mut still = BTreeMap::new();
        let mut new = Vec::new();
        for (settings, repository) in world.repositories() {
            let name = repository.name().clone();
            let task = match self.refreshing.remove(&name) {
                Some((kept, task)) if Arc::ptr_eq(&kept, repository) => task,
                replaced => {
                    if let Some((_, task)) = replaced {
                        task.abort();
                    }
                    new.push(repository.clone());
                    let pause = Duration::try_from(settings.refresh).unwrap_or(LOOK);
                    let (repository, metrics) = (repository.clone(), self.metrics.clone());
                    let after = separation_watch(self.world.clone(), metrics.clone());
                    tokio::spawn(async move {
                        // What the disk has serves until the repository answers (A5).
                        if let Err(error) = repository.load_cache(now()).await {
                            tracing::info!(repository = %repository.name(), %error, "nothing to start from on disk");
                        }
                        repository.keep_fresh(pause, metrics, now, after).await;
                    })
                }
            };
            still.insert(name, (repository.clone(), task));
        }
        for (_, task) in std::mem::replace(&mut self.refreshing, still).into_values() {
            task.abort();
        }
        self.world.store(Some(world));
        self.health.ready(Part::Policy);
        let health = self.health.clone();
        tokio::spawn(async move {
            for repository in new {
                repository.tried().await;
            }
            health.ready(Part::Repositories);
        });
    }

    fn keep(&self, error: &anyhow::Error, kept: bool) {
        let outcome = if kept { LoadOutcome::Kept } else { LoadOutcome::Missing };
        self.metrics.policy_loaded(outcome, now());
        tracing::error!(%error, kept, "the new policy cannot be put in force");
        if !kept {
            self.health.waiting(Part::Policy, error.to_string());
        }
        if let Some((events, regarding)) = &self.events {
            events.write(Event {
                kind: Kind::Warning,
                reason: "PolicyRejected",
                action: "LoadPolicy",
                note: error.to_string(),
                regarding: regarding.clone(),
            });
        }
    }
}

/// Says after a refresh whether online keys have become able to sign layouts, once for each change of the answer (T1).
fn separation_watch(world: Arc<ArcSwapOption<World>>, metrics: Arc<Metrics>) -> impl Fn(&Repository) {
    let said = Mutex::new(BTreeSet::new());
    move |repository| {
        let Some(world) = world.load_full() else { return };
        let found = world.separation(repository);
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in found.difference(&said) {
            metrics.trust_alert(repository.name().as_str(), "trust/no-separation");
            tracing::warn!(repository = %repository.name(), code = "trust/no-separation", "{warning}");
        }
        *said = found;
    }
}
