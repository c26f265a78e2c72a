//! What the commands that stay have in common: the policy, its repositories, and the signal to stop.

mod lack;
mod separation;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use arc_swap::ArcSwapOption;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
    task::JoinHandle,
};

use self::lack::Lack;
use super::now;
use crate::{
    cluster::{
        access::Access,
        clock, connect,
        events::{Event, Events, Kind},
        memory::Objects,
        policies::{InForce, Keeper, Place},
        roots::Roots,
        secrets::{InFolder, InNamespace},
    },
    evidence::RepositoryName,
    policy::{self, Policy},
    repository::{Repository, credentials::Secrets, memory::Memories},
    server::{Cluster, Health, POLICY_KEY, Part},
    telemetry::{self, Metrics, metrics::LoadOutcome, traces::Traces},
    tuf,
    verdict::Cause,
    verifier::{World, named_files},
};

/// How often files are looked at: an edit of the policy has to be in force within two seconds.
const LOOK: Duration = Duration::from_secs(1);

/// How soon a policy that cannot be put in force is tried again: what it lacked may have come, and nothing says so.
const AGAIN: Duration = Duration::from_secs(3);

/// Where the policy comes from, what is kept, and what is logged.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
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
    pub(super) policy_configmap: Option<String>,
    /// The folder with the roots that the policy names; by default that of the policy
    #[arg(long, env = "PRATIQUE_ROOTS", value_name = "DIR", conflicts_with = "roots_configmap")]
    roots: Option<PathBuf>,
    /// The immutable ConfigMap with the roots that the policy names
    #[arg(long, env = "PRATIQUE_ROOTS_CONFIGMAP", value_name = "NAMESPACE/NAME")]
    roots_configmap: Option<String>,
    /// What the ConfigMaps in which replicas remember together begin with; without it each remembers for itself
    #[arg(long, env = "PRATIQUE_TRUST_MEMORY", value_name = "NAMESPACE/PREFIX", requires = "policy_configmap")]
    pub(super) trust_memory: Option<String>,
    /// The folder that keeps what is trusted over restarts
    #[arg(long, env = "PRATIQUE_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// How log lines look
    #[arg(long, env = "PRATIQUE_LOG_FORMAT", value_enum, default_value = "json")]
    log_format: LogFormat,
    /// Which log lines are written
    #[arg(long, env = "PRATIQUE_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// The name of this replica in Events
    #[arg(long, env = "HOSTNAME", default_value = "pratique", value_name = "NAME")]
    pub(super) instance: String,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

type Policies = InForce<Policy, policy::Error>;

/// A policy with its repositories, as they are now.
pub(super) struct Wired {
    /// The policy in force; none until there has been a good one.
    pub(super) world: Arc<ArcSwapOption<World>>,
    /// Why there is none, as far as that is known.
    pub(super) lack: Arc<ArcSwapOption<Cause>>,
    /// Rung when another policy is in force, and after each refresh of a repository.
    pub(super) changed: Arc<Notify>,
    /// The API server, where the policy comes from one.
    pub(super) cluster: Option<Cluster>,
    /// A client of it, for whatever else is asked there.
    pub(super) client: Option<kube::Client>,
    /// What looks after them.
    pub(super) tasks: Vec<JoinHandle<()>>,
}

impl Args {
    /// Begins to log, and to send spans where somebody takes them.
    pub(super) fn start_log(&self, traces: Option<&Traces>) -> anyhow::Result<()> {
        let format = match self.log_format {
            LogFormat::Json => telemetry::tracing::Format::Json,
            LogFormat::Text => telemetry::tracing::Format::Text,
        };
        Ok(telemetry::tracing::start(format, &self.log, traces)?)
    }

    /// Follows the policy, and keeps its repositories fresh.
    pub(super) async fn follow(&self, health: &Arc<Health>, metrics: &Arc<Metrics>) -> anyhow::Result<Wired> {
        let mut tasks = Vec::new();
        let (policies, roots, told) = follow_policy(self, metrics, &mut tasks).await?;
        let secrets = secrets_beside(&roots);
        let memories = self.memories(&roots, told.as_ref().map(|(cluster, _)| &cluster.events))?;
        let cluster = told.as_ref().map(|(cluster, _)| cluster.clone());
        let events = told.map(|(cluster, regarding)| (cluster.events, regarding));
        let client = match &roots {
            Roots::ConfigMap { client, .. } => Some(client.clone()),
            Roots::Folder(_) => None,
        };
        if let Some(client) = &client {
            let health = health.clone();
            let told = move |compared| match compared {
                Ok(()) => health.ready(Part::Clock),
                Err(why) => health.waiting(Part::Clock, why),
            };
            tasks.push(tokio::spawn(clock::follow(client.clone(), now, told)));
        }
        let (world, lack) = (Arc::new(ArcSwapOption::empty()), Arc::new(ArcSwapOption::empty()));
        let changed = Arc::new(Notify::new());
        let builder = Builder {
            policies,
            roots,
            secrets,
            memories,
            events,
            state: self.state.clone(),
            world: world.clone(),
            lack: lack.clone(),
            changed: changed.clone(),
            health: health.clone(),
            metrics: metrics.clone(),
            refreshing: BTreeMap::new(),
            trying: None,
        };
        tasks.push(tokio::spawn(builder.run()));
        Ok(Wired { world, lack, changed, cluster, client, tasks })
    }
}

impl Args {
    fn memories(&self, roots: &Roots, events: Option<&Events>) -> anyhow::Result<Option<Objects>> {
        let (Some(place), Roots::ConfigMap { client, .. }) = (&self.trust_memory, roots) else { return Ok(None) };
        let (namespace, prefix) = namespaced(place)?;
        let instance = self.instance.clone();
        Ok(Some(Objects { client: client.clone(), namespace, prefix, instance, events: events.cloned() }))
    }
}

/// Ends when the process is told to stop.
pub(super) fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Where the policy and the roots come from, and what follows the one.
async fn follow_policy(
    args: &Args,
    metrics: &Arc<Metrics>,
    tasks: &mut Vec<JoinHandle<()>>,
) -> anyhow::Result<(Policies, Roots, Option<(Cluster, ObjectReference)>)> {
    let Some(config_map) = &args.policy_configmap else {
        let path = args.policy.clone().context("neither --policy nor --policy-configmap is given")?;
        let beside = path.parent().unwrap_or(Path::new(".")).to_owned();
        let (keeper, policies) = Keeper::new(Place::File(path), Policy::parse, None, metrics.clone());
        tasks.push(tokio::spawn(keeper.follow_file(LOOK, now)));
        return Ok((policies, Roots::Folder(args.roots.clone().unwrap_or(beside)), None));
    };
    let client = connect::client().await.context("the API server")?;
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
    let cluster = Cluster { access: Access::new(client.clone()), events };
    Ok((policies, Roots::ConfigMap { client, namespace, name }, Some((cluster, regarding))))
}

/// The Secrets of the namespace that the roots are in, which is ours; outside of a cluster folders beside the roots.
fn secrets_beside(roots: &Roots) -> Arc<dyn Secrets> {
    match roots {
        Roots::Folder(folder) => Arc::new(InFolder(folder.clone())),
        Roots::ConfigMap { client, namespace, .. } => Arc::new(InNamespace::new(client.clone(), namespace)),
    }
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
    /// Where credentials for repositories are.
    secrets: Arc<dyn Secrets>,
    /// Where replicas remember together.
    memories: Option<Objects>,
    /// Where Events go, and what they are about.
    events: Option<(Events, ObjectReference)>,
    state: Option<PathBuf>,
    world: Arc<ArcSwapOption<World>>,
    lack: Arc<ArcSwapOption<Cause>>,
    changed: Arc<Notify>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    refreshing: BTreeMap<RepositoryName, (Arc<Repository>, JoinHandle<()>)>,
    /// Waits until every repository has been tried.
    trying: Option<JoinHandle<()>>,
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

    async fn build(&self, policy: Arc<Policy>, current: Option<&World>) -> Result<World, Lack> {
        let memories = self.memories.as_ref();
        if let Some(objects) = memories {
            for name in policy.repositories().keys() {
                let known = objects.repository(name.as_str()).check().await;
                known.map_err(|error| Lack::of_memory(name, &error))?;
            }
        }
        let mut files = BTreeMap::new();
        for name in named_files(&policy) {
            let bytes = self.roots.load(name.as_str(), &tuf::Limits::default()).await?;
            files.insert(name.as_str().to_owned(), bytes);
        }
        let memories = memories.map(|objects| objects as &dyn Memories);
        let state = self.state.as_deref();
        Ok(World::build_sharing(policy, &files, state, current, Some(&self.secrets), memories).await?)
    }

    fn put_in_force(&mut self, world: World) {
        let world = Arc::new(world);
        let mut still = BTreeMap::new();
        for (settings, repository) in world.repositories() {
            let name = repository.name().clone();
            let task = match self.refreshing.remove(&name) {
                Some((kept, task)) if Arc::ptr_eq(&kept, repository) => task,
                replaced => {
                    if let Some((_, task)) = replaced {
                        task.abort();
                    }
                    let pause = Duration::try_from(settings.refresh).unwrap_or(LOOK);
                    let (repository, metrics) = (repository.clone(), self.metrics.clone());
                    let watch = separation::watch(self.world.clone(), metrics.clone(), self.events.clone());
                    let changed = self.changed.clone();
                    let after = move |repository: &Repository| {
                        watch(repository);
                        changed.notify_one();
                    };
                    tokio::spawn(look_after(repository, pause, metrics, self.health.clone(), after))
                }
            };
            still.insert(name, (repository.clone(), task));
        }
        for (_, task) in std::mem::replace(&mut self.refreshing, still).into_values() {
            task.abort();
        }
        self.world.store(Some(world));
        self.changed.notify_one();
        self.health.ready(Part::Policy);
        let health = self.health.clone();
        let all: Vec<_> = self.refreshing.values().map(|(repository, _)| repository.clone()).collect();
        let trying = tokio::spawn(async move {
            for repository in &all {
                repository.recalled().await;
            }
            health.ready(Part::Trust);
            for repository in &all {
                repository.tried().await;
            }
            health.ready(Part::Repositories);
        });
        // The one before waits for repositories that nobody may be refreshing any more.
        if let Some(before) = self.trying.replace(trying) {
            before.abort();
        }
    }

    fn keep(&self, error: &Lack, kept: bool) {
        let outcome = if kept { LoadOutcome::Kept } else { LoadOutcome::Missing };
        self.metrics.policy_loaded(outcome, now());
        tracing::error!(%error, kept, "the new policy cannot be put in force");
        if !kept {
            self.health.waiting(Part::Policy, error.to_string());
            self.lack.store(Some(Arc::new(error.cause())));
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

/// Keeps one repository fresh, for ever.
async fn look_after(
    repository: Arc<Repository>,
    pause: Duration,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    after: impl Fn(&Repository),
) {
    let name = repository.name().clone();
    // R4: nothing is judged by older metadata than any replica has seen.
    repository.recall(|fault| health.waiting(Part::Trust, format!("repository {name}: {fault}"))).await;
    // What the disk has serves until the repository answers (A5).
    if let Err(error) = repository.load_cache(now()).await {
        tracing::info!(repository = %name, %error, "nothing to start from on disk");
    }
    let heeded = |repository: &Repository| {
        repository.count_alerts(&metrics);
        after(repository);
    };
    let heeding = repository.follow_memory(now, heeded);
    tokio::join!(repository.clone().keep_fresh(pause, metrics.clone(), now, &after), heeding);
}
