//! `pratique trust`: the rollback memory of an installation (trust.md §5). First state, contents, comparison.

#![expect(clippy::disallowed_methods, reason = "manifests and policies are files")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{Api, Client};

use super::{
    doctor::Place,
    status,
    verify::{read_beside, read_policy},
    wiring::namespaced,
};
use crate::{
    cluster::{
        connect,
        memory::{Objects, ObjectsOf},
        roots::Roots,
        secrets::InNamespace,
    },
    policy::Policy,
    repository::{
        Repository, RepositoryError,
        credentials::Secrets,
        memory::{Kept, Memory as _},
        store::Store,
    },
    server::POLICY_KEY,
    tuf::{FileInfo, Limits, Notice, Remembered, Role, Stored},
    verifier::{World, named_files},
};

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write the first state of what replicas remember: once, when the webhook is installed
    Init(Init),
    /// Show what is remembered, and which replica is behind it
    Show(Source),
    /// Hold against what is remembered what a repository offers now, or what a folder has: exit code 1 if that is older
    Compare(Compare),
}

/// Which installation, and by which policy.
#[derive(Debug, clap::Args)]
pub struct Source {
    #[command(flatten)]
    place: Place,
    /// The policy; the roots that it names are files beside it. By default both are read from the cluster
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// Options of `trust init`.
#[derive(Debug, clap::Args)]
pub struct Init {
    #[command(flatten)]
    source: Source,
    /// Manifests of the ConfigMaps; those that are not there yet are created, empty
    #[arg(long, value_name = "FILE")]
    objects: Option<PathBuf>,
    /// Begin again where what was remembered is lost: whatever is older than now and still valid may then be believed
    #[arg(long)]
    after_loss: bool,
}

/// Options of `trust compare`.
#[derive(Debug, clap::Args)]
pub struct Compare {
    #[command(flatten)]
    source: Source,
    /// The folder in which a replica or pratique verify keeps what is trusted
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// Does it, with the account of the kubeconfig or of the pod.
pub fn run(command: &Command, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    super::runtime()?.block_on(async {
        match command {
            Command::Init(args) => init(args, now, out).await.map(|()| 0),
            Command::Show(source) => show(source, out).await,
            Command::Compare(args) => compare(args, now, out).await,
        }
    })
}

/// The repositories of a policy, and the objects of each.
struct Installation {
    world: World,
    objects: Objects,
}

impl Installation {
    async fn open(source: &Source) -> anyhow::Result<Self> {
        let client = connect::client().await.context("the API server")?;
        let Place { namespace, name } = &source.place;
        let (policy, files) = match &source.policy {
            Some(path) => {
                let policy = read_policy(path)?;
                let files = read_beside(path.parent().unwrap_or(Path::new(".")), named_files(&policy))?;
                (policy, files)
            }
            None => in_cluster(&client, namespace, name).await?,
        };
        let secrets: std::sync::Arc<dyn Secrets> = std::sync::Arc::new(InNamespace::new(client.clone(), namespace));
        let world = World::build(std::sync::Arc::new(policy), &files, None, None, Some(&secrets)).await;
        let world = world.map_err(|error| anyhow::anyhow!("[{}] {error}", error.code()))?;
        let objects = Objects {
            client,
            namespace: namespace.clone(),
            prefix: format!("{name}-trust"),
            instance: "pratique trust".to_owned(),
            events: None,
        };
        Ok(Self { world, objects })
    }

    fn repositories(&self) -> impl Iterator<Item = (&Repository, std::num::NonZeroU64, ObjectsOf)> {
        self.world.repositories().map(|(settings, repository)| {
            (repository.as_ref(), settings.epoch, self.objects.repository(repository.name().as_str()))
        })
    }
}

/// The policy and the roots that the webhook reads.
async fn in_cluster(
    client: &Client,
    namespace: &str,
    name: &str,
) -> anyhow::Result<(Policy, BTreeMap<String, Vec<u8>>)> {
    let place = format!("{name}-policy");
    let map = Api::<ConfigMap>::namespaced(client.clone(), namespace).get(&place).await?;
    let text = map.data.unwrap_or_default().remove(POLICY_KEY);
    let text = text.with_context(|| format!("ConfigMap {namespace}/{place} has no {POLICY_KEY}"))?;
    let policy =
        Policy::parse(&text).map_err(|error| anyhow::anyhow!("[{}] {}", error.code(), error.in_file(&place)))?;
    let deployment = Api::<Deployment>::namespaced(client.clone(), namespace).get(name).await?;
    let containers = deployment.spec.template.spec.map(|pod| pod.containers).unwrap_or_default();
    let mut args = containers.into_iter().flat_map(|container| container.args.unwrap_or_default());
    let roots = args.find_map(|arg| arg.strip_prefix("--roots-configmap=").map(str::to_owned));
    let roots = roots.with_context(|| format!("Deployment {namespace}/{name} has no --roots-configmap"))?;
    let (namespace, name) = namespaced(&roots)?;
    let roots = Roots::ConfigMap { client: client.clone(), namespace, name };
    let mut files = BTreeMap::new();
    for name in named_files(&policy) {
        files.insert(name.as_str().to_owned(), roots.load(name.as_str(), &Limits::default()).await?);
    }
    Ok((policy, files))
}

async fn init(args: &Init, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let installation = Installation::open(&args.source).await?;
    let manifests: Vec<ConfigMap> = match &args.objects {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            serde_saphyr::from_multiple(&text).with_context(|| path.display().to_string())?
        }
        None => Vec::new(),
    };
    for (repository, epoch, objects) in installation.repositories() {
        let name = repository.name();
        if !manifests.is_empty() {
            objects.create(&manifests).await?;
        }
        let Kept { remembered, born } = objects.read().await?;
        match (&remembered, &born) {
            (Ok(_), Ok(())) => {
                writeln!(out, "{name}: remembered already")?;
                continue;
            }
            (Err(why), Ok(())) if !args.after_loss => {
                bail!("[trust/lost] repository {name}: {why}: find out who did that; then give --after-loss")
            }
            _ => {}
        }
        let mine = match repository.refresh(now).await {
            Ok(generation) => generation.trusted().memory(),
            // Whoever keeps us from it now could have kept us from it later.
            Err(RepositoryError::Tuf(error)) if error.is_outage() => {
                writeln!(out, "{name}: {error}: nothing but its root is remembered")?;
                Stored::default()
            }
            Err(error) => bail!("[{}] repository {name}: {error}", error.code()),
        };
        let refused = Mutex::new(None);
        let join = |kept: &Kept| {
            let joined = Remembered::join(kept.remembered.as_ref().ok(), mine.clone(), repository.pinned_root(), epoch);
            joined
                .map(|joined| joined.remembered)
                .map_err(|error| refused.lock().map(|mut slot| *slot = Some(error)))
                .ok()
        };
        objects.update(&join).await?;
        if let Ok(Some(error)) = refused.into_inner() {
            bail!("[{}] repository {name}: {error}", error.code());
        }
        if born.is_err() {
            objects.bear(now).await?;
        }
        let Kept { remembered, .. } = objects.read().await?;
        let remembered = remembered.map_err(|why| anyhow::anyhow!("[trust/lost] repository {name}: {why}"))?;
        writeln!(out, "{name}: {}", line(&remembered.contents(repository.pinned_root())?))?;
    }
    Ok(())
}

fn line(files: &[(Role, FileInfo)]) -> String {
    let files: Vec<String> = files.iter().map(|(role, file)| format!("{role} v{}", file.version)).collect();
    format!("remembers {}", files.join(", "))
}

async fn show(source: &Source, out: &mut dyn Write) -> anyhow::Result<u8> {
    let installation = Installation::open(source).await?;
    // Without the right to see Pods the rest is shown all the same.
    let replicas = status::ask(&source.place).await;
    let mut bad = false;
    for (repository, epoch, objects) in installation.repositories() {
        let name = repository.name();
        let Kept { remembered, born } = objects.read().await?;
        if let Err(place) = born {
            writeln!(out, "{name}: [trust/not-born] {place} does not exist")?;
            bad = true;
        }
        let remembered = match remembered {
            Ok(remembered) => remembered,
            Err(why) => {
                writeln!(out, "{name}: [trust/lost] {why}")?;
                bad = true;
                continue;
            }
        };
        writeln!(
            out,
            "{name}: epoch {}, {} roots from {} on",
            remembered.epoch,
            remembered.roots.len(),
            remembered.first_root()
        )?;
        if remembered.epoch != epoch {
            writeln!(out, "  [trust/epoch] the policy says epoch {epoch}")?;
            bad |= remembered.epoch > epoch;
        }
        let files = match remembered.contents(repository.pinned_root()) {
            Ok(files) => files,
            Err(error) => {
                writeln!(out, "  [{}] {error}", error.code())?;
                bad = true;
                continue;
            }
        };
        for (role, file) in &files {
            let (role, version) = (role.to_string(), file.version);
            writeln!(out, "  {role:<10} v{version:<8} expires {:.0}  {}", file.expires, file.sha256)?;
        }
        match &replicas {
            Ok(replicas) => {
                for replica in replicas {
                    for text in behind(replica, name.as_str(), &files) {
                        writeln!(out, "  behind: {} {text}", replica.pod)?;
                    }
                }
            }
            Err(error) => writeln!(out, "  the replicas cannot be asked: {error:#}")?,
        }
    }
    Ok(u8::from(bad))
}

/// Which roles a replica knows in an older version than is remembered.
fn behind(replica: &status::Replica, repository: &str, files: &[(Role, FileInfo)]) -> Vec<String> {
    let samples = match &replica.metrics {
        Ok(samples) => samples,
        Err(why) => return vec![format!("cannot be asked: {why}")],
    };
    let known = |role: &Role| {
        let role = role.to_string();
        let mut of_it = samples.of("pratique_repository_version").iter();
        of_it.find(|(labels, _)| {
            labels.get("repository").is_some_and(|name| name == repository) && labels.get("role") == Some(&role)
        })
    };
    let older = |(role, file): &(Role, FileInfo)| match known(role) {
        None => Some(format!("knows no {role}")),
        #[expect(clippy::cast_precision_loss, reason = "as the metrics are")]
        Some((_, version)) if *version < file.version as f64 => Some(format!("knows {role} v{version}")),
        Some(_) => None,
    };
    files.iter().filter_map(older).collect()
}

async fn compare(args: &Compare, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    let installation = Installation::open(&args.source).await?;
    let mut older = false;
    for (repository, epoch, objects) in installation.repositories() {
        let name = repository.name();
        let remembered = objects.read().await?.remembered;
        let remembered = remembered.map_err(|why| anyhow::anyhow!("[trust/lost] repository {name}: {why}"))?;
        let offered = match &args.state {
            Some(folder) => in_folder(folder, name.as_str(), epoch, repository).await?,
            None => match repository.refresh(now).await {
                Ok(generation) => generation.trusted().memory(),
                Err(error) => bail!("[{}] repository {name}: {error}", error.code()),
            },
        };
        let root = repository.pinned_root();
        let offered = Stored::join(root, offered, Stored::default())?.0;
        let there = remembered.contents(root)?;
        let here = Remembered::files(offered.clone(), root)?;
        let joined = Remembered::join(Some(&remembered), offered, root, epoch)?;
        for (role, file) in &there {
            let found = here.iter().find(|(known, _)| known == role).map(|(_, file)| file);
            let found = found.map_or_else(|| "nothing".to_owned(), |found| format!("v{}", found.version));
            writeln!(out, "{name}: {role} v{} is remembered, {found} is offered", file.version)?;
        }
        for notice in &joined.notices {
            if let Notice::Equivocation { role, version, .. } = notice {
                writeln!(out, "{name}: [trust/equivocation] there are two {role} v{version}")?;
                older = true;
            }
        }
        if joined.more {
            writeln!(out, "{name}: [tuf/rollback] what is offered is older")?;
            older = true;
        }
    }
    Ok(u8::from(older))
}

/// What a folder of state has of a repository.
async fn in_folder(
    folder: &Path,
    name: &str,
    epoch: std::num::NonZeroU64,
    repository: &Repository,
) -> anyhow::Result<Stored> {
    let folder = folder.join(World::folder(name, epoch));
    if !folder.is_dir() {
        bail!("{} is no folder", folder.display());
    }
    let store = Store::open(folder).await?;
    let limits = Limits::default();
    let roots = store.all_roots(&limits).await;
    Remembered::leads_to(&roots, repository.pinned_root())?;
    Ok(Stored {
        roots,
        timestamp: store.metadata("timestamp.json", limits.timestamp_bytes).await,
        snapshot: store.metadata("snapshot.json", limits.snapshot_bytes).await,
        targets: None,
    })
}
