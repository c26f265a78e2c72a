//! What the verdicts of one moment rest on: a policy, and the repositories that it names.

mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;

use self::sources::Disk;
pub use self::sources::Via;
use crate::{
    evidence::{NoSeparation, RepositoryName},
    policy::{Action, BaseUrl, FileName, Policy, RegistrySettings, TufRepository},
    registry::{self, Registry},
    repository::{
        Generation, Repository, RepositoryError,
        credentials::{Credentials, NoSecrets, Secrets},
        memory::Memories,
        store::{self, Store},
        transport::{self, Access, Locations, Reach, Redirects, Transport},
    },
    tuf::{Floors, Limits, Settings},
    verdict::Cause,
};

/// A policy in force with its repositories. A review takes one and keeps it to its end.
#[derive(Debug)]
pub struct World {
    policy: Arc<Policy>,
    repositories: BTreeMap<RepositoryName, Kept>,
    registries: BTreeMap<String, KeptRegistry>,
}

/// When `maxAge` of the policy will have passed since the last refresh, and the refusal then.
pub type TooOld = Option<(Timestamp, Cause)>;

/// A registry, and what it was made from.
#[derive(Debug, Clone)]
struct KeptRegistry {
    settings: RegistrySettings,
    ca_bundle: Option<Vec<u8>>,
    registry: Arc<Registry>,
}

/// A repository, and what it was made from: the same words keep it over an edit of the policy.
#[derive(Debug, Clone)]
struct Kept {
    settings: TufRepository,
    root: Vec<u8>,
    ca_bundle: Option<Vec<u8>>,
    repository: Arc<Repository>,
}

/// Why a policy that reads well cannot be put in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbuilt {
    /// A root or a CA bundle that the policy names is not there.
    #[error("repository {repository}: there is no {file}")]
    NoFile {
        /// The repository.
        repository: RepositoryName,
        /// The file, or the key of the ConfigMap of roots.
        file: String,
    },
    /// A CA bundle that a registry names is not there.
    #[error("registry {registry}: there is no {file}")]
    NoRegistryFile {
        /// The host of the registry.
        registry: String,
        /// The file, or the key of the ConfigMap of roots.
        file: String,
    },
    /// A registry cannot be asked as it is described.
    #[error("registry {registry}: {error}")]
    Registry {
        /// The host of the registry.
        registry: String,
        /// What is wrong.
        error: transport::Error,
    },
    /// The pinned root is none.
    #[error("repository {repository}: {error}")]
    Root {
        /// The repository.
        repository: RepositoryName,
        /// What is wrong with it.
        error: Box<RepositoryError>,
    },
    /// Its files cannot be fetched from where it says.
    #[error("repository {repository}: {error}")]
    Transport {
        /// The repository.
        repository: RepositoryName,
        /// What is wrong.
        error: transport::Error,
    },
    /// What is trusted cannot be kept.
    #[error("repository {repository}: {error}")]
    Store {
        /// The repository.
        repository: RepositoryName,
        /// What is wrong.
        error: store::Error,
    },
}

impl Unbuilt {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoFile { .. } | Self::NoRegistryFile { .. } => "policy/no-such-file",
            Self::Root { .. } => "tuf/pinned-root",
            Self::Transport { error, .. } | Self::Registry { error, .. } => error.code(),
            Self::Store { error, .. } => error.code(),
        }
    }
}

impl World {
    /// Puts a policy in force. `files` are the roots and CA bundles that it names (see [`named_files`]); `state` is the
    /// folder that keeps what is trusted, a folder for each repository; `secrets` are where credentials are. Nothing is
    /// contacted.
    pub async fn build(
        policy: Arc<Policy>,
        files: &BTreeMap<String, Vec<u8>>,
        state: Option<&Path>,
        previous: Option<&Self>,
        secrets: Option<&Arc<dyn Secrets>>,
    ) -> Result<Self, Unbuilt> {
        Self::build_from(policy, files, state.map(Disk::all), (previous, secrets), (None, Via::Policy)).await
    }

    /// The same for a process that lives long: what it keeps on disk has a bound, and replicas share in `memories` what they
    /// remember of each repository (trust.md §5).
    pub async fn build_sharing(
        policy: Arc<Policy>,
        files: &BTreeMap<String, Vec<u8>>,
        state: Option<&Path>,
        previous: Option<&Self>,
        secrets: Option<&Arc<dyn Secrets>>,
        memories: Option<&dyn Memories>,
    ) -> Result<Self, Unbuilt> {
        let state = state.map(|dir| Disk { dir, is_bounded: true });
        Self::build_from(policy, files, state, (previous, secrets), (memories, Via::Policy)).await
    }

    /// The same, with files of repositories from elsewhere, and nothing shared.
    pub async fn build_via(
        policy: Arc<Policy>,
        files: &BTreeMap<String, Vec<u8>>,
        state: Option<&Path>,
        secrets: Option<&Arc<dyn Secrets>>,
        via: Via<'_>,
    ) -> Result<Self, Unbuilt> {
        Self::build_from(policy, files, state.map(Disk::all), (None, secrets), (None, via)).await
    }

    async fn build_from(
        policy: Arc<Policy>,
        files: &BTreeMap<String, Vec<u8>>,
        state: Option<Disk<'_>>,
        (previous, secrets): (Option<&Self>, Option<&Arc<dyn Secrets>>),
        (memories, via): (Option<&dyn Memories>, Via<'_>),
    ) -> Result<Self, Unbuilt> {
        let none: Arc<dyn Secrets> = Arc::new(NoSecrets);
        let secrets = secrets.unwrap_or(&none);
        let mut repositories = BTreeMap::new();
        for (name, settings) in policy.repositories() {
            let read = |wanted: &FileName| {
                let missing = || Unbuilt::NoFile { repository: name.clone(), file: wanted.as_str().to_owned() };
                files.get(wanted.as_str()).cloned().ok_or_else(missing)
            };
            let root = read(&settings.root)?;
            let ca_bundle = settings.ca_bundle.as_ref().map(read).transpose()?;
            let before = previous.and_then(|world| world.repositories.get(name));
            let kept = match before {
                Some(kept) if kept.is_made_from(settings, &root, ca_bundle.as_deref()) => {
                    Kept { settings: settings.clone(), ..kept.clone() }
                }
                _ => Kept::build((name, settings), (root, ca_bundle), state, secrets, memories, via).await?,
            };
            repositories.insert(name.clone(), kept);
        }
        let mut registries = BTreeMap::new();
        for (host, settings) in policy.registries() {
            let read = |wanted: &FileName| {
                let missing = || Unbuilt::NoRegistryFile { registry: host.clone(), file: wanted.to_string() };
                files.get(wanted.as_str()).cloned().ok_or_else(missing)
            };
            let ca_bundle = settings.ca_bundle.as_ref().map(read).transpose()?;
            let before = previous.and_then(|world| world.registries.get(host));
            let kept = match before {
                Some(kept) if kept.settings == *settings && kept.ca_bundle == ca_bundle => kept.clone(),
                _ => KeptRegistry::build(host, settings, ca_bundle, secrets)?,
            };
            registries.insert(host.clone(), kept);
        }
        Ok(Self { policy, repositories, registries })
    }

    /// The folder of a repository in that of the state. R7: another epoch begins with empty floors. No name of a
    /// repository has a dot.
    pub fn folder(repository: &str, epoch: NonZeroU64) -> String {
        match epoch.get() {
            1 => repository.to_owned(),
            epoch => format!("{repository}.{epoch}"),
        }
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether it was built from this very policy.
    pub fn is_of(&self, policy: &Arc<Policy>) -> bool {
        Arc::ptr_eq(&self.policy, policy)
    }

    /// The repositories with their settings.
    pub fn repositories(&self) -> impl Iterator<Item = (&TufRepository, &Arc<Repository>)> {
        self.repositories.values().map(|kept| (&kept.settings, &kept.repository))
    }

    /// T1: the warnings about a repository, for the roles from which its rules take layouts. Empty until the repository
    /// was read once.
    pub fn separation(&self, repository: &Repository) -> BTreeSet<NoSeparation> {
        let demands = self.policy.rules().iter().filter_map(|rule| match rule.action() {
            Action::Verify(demands) => Some(demands),
            Action::Allow { .. } => None,
        });
        let of_this = demands.flatten().filter(|demand| demand.repository() == repository.name());
        let layout_roles = of_this.flat_map(|demand| demand.layout_roles().clone()).collect();
        let generation = repository.generation();
        generation.map(|generation| generation.separation(&layout_roles)).unwrap_or_default()
    }

    /// The registry of this host, if the policy describes it.
    pub fn registry(&self, host: &str) -> Option<&Arc<Registry>> {
        self.registries.get(host).map(|kept| &kept.registry)
    }

    /// What was read of a repository of a rule, if anything was, and when `maxAge` will have passed, with the refusal then.
    pub fn standing(&self, name: &RepositoryName) -> Result<Option<(Arc<Generation>, TooOld)>, Cause> {
        let (settings, repository) = self.repository(name)?;
        let too_old = settings.max_age.zip(repository.succeeded_at()).map(|(max_age, succeeded)| {
            let cause = Cause::TooOld { repository: name.to_string(), succeeded: Some(succeeded), max_age };
            (succeeded.saturating_add(max_age).unwrap_or(Timestamp::MAX), cause)
        });
        Ok(repository.generation().map(|generation| (generation, too_old)))
    }

    /// The repository of a rule, with its settings.
    pub fn repository(&self, name: &RepositoryName) -> Result<(&TufRepository, &Arc<Repository>), Cause> {
        let kept = self.repositories.get(name);
        // Policies are read so that every rule names a repository of theirs.
        let kept = kept.ok_or_else(|| Cause::Internal { what: format!("no repository {name}") })?;
        Ok((&kept.settings, &kept.repository))
    }
}

/// The roots and CA bundles that a policy names.
pub fn named_files(policy: &Policy) -> BTreeSet<&FileName> {
    let repositories = policy.repositories().values();
    let named = repositories.flat_map(|settings| [Some(&settings.root), settings.ca_bundle.as_ref()]);
    let registries = policy.registries().values().map(|settings| settings.ca_bundle.as_ref());
    named.chain(registries).flatten().collect()
}

impl KeptRegistry {
    fn build(
        host: &str,
        settings: &RegistrySettings,
        ca_bundle: Option<Vec<u8>>,
        secrets: &Arc<dyn Secrets>,
    ) -> Result<Self, Unbuilt> {
        let auth = settings.auth.as_ref();
        let registry = Registry::new(registry::Settings {
            host: host.to_owned(),
            tokens: settings.tokens.clone(),
            ca_bundle: ca_bundle.clone(),
            reach: if settings.private { Reach::Private } else { Reach::Public },
            credentials: auth.map(|auth| Credentials::new(secrets.clone(), auth.secret.as_str(), &auth.host)),
            redirects: Redirects::to(settings.redirects.iter().cloned()),
        });
        let registry = registry.map_err(|error| Unbuilt::Registry { registry: host.to_owned(), error })?;
        Ok(Self { settings: settings.clone(), ca_bundle, registry: Arc::new(registry) })
    }
}

impl Kept {
    fn is_made_from(&self, settings: &TufRepository, root: &[u8], ca_bundle: Option<&[u8]>) -> bool {
        // These are looked at by each judgement. Whoever adds `stale` does so when nothing can be had of the repository, and
        // then it must not forget what it has.
        let settings = TufRepository {
            max_age: self.settings.max_age,
            stale_known_images: self.settings.stale_known_images,
            expiry_warning: self.settings.expiry_warning,
            ..settings.clone()
        };
        self.settings == settings && self.root == root && self.ca_bundle.as_deref() == ca_bundle
    }

    async fn build(
        (name, settings): (&RepositoryName, &TufRepository),
        (root, ca_bundle): (Vec<u8>, Option<Vec<u8>>),
        state: Option<Disk<'_>>,
        secrets: &Arc<dyn Secrets>,
        memories: Option<&dyn Memories>,
        via: Via<'_>,
    ) -> Result<Self, Unbuilt> {
        let locations = |metadata: &BaseUrl, targets: &BaseUrl| Locations {
            metadata: metadata.as_str().to_owned(),
            targets: Some(targets.as_str().to_owned()),
        };
        let origin = locations(&settings.metadata, &settings.targets);
        let mirrors: Vec<_> = settings.mirrors.iter().map(|copy| locations(&copy.metadata, &copy.targets)).collect();
        let access = Access {
            ca_bundle: ca_bundle.clone(),
            redirects: Redirects::to(settings.redirects.iter().cloned()),
            tokens: settings.tokens.clone(),
            proxy: settings.proxy.as_ref().map(|proxy| proxy.as_str().to_owned()),
            credentials: settings
                .auth
                .as_ref()
                .map(|auth| Credentials::new(secrets.clone(), auth.secret.as_str(), &auth.host)),
        };
        let transport = via
            .apply(name, || Transport::open_all(&origin, &mirrors, &access))
            .map_err(|error| Unbuilt::Transport { repository: name.clone(), error })?;
        let store = match state {
            Some(Disk { dir, is_bounded }) => {
                let store = Store::open(dir.join(World::folder(name.as_str(), settings.epoch))).await;
                let store = store.map_err(|error| Unbuilt::Store { repository: name.clone(), error })?;
                Some(if is_bounded { store.bounded() } else { store })
            }
            None => None,
        };
        let repository = Repository::new(name.clone(), root.clone(), tuf_settings(settings), transport, store)
            .map_err(|error| Unbuilt::Root { repository: name.clone(), error: Box::new(error) })?;
        let repository = match memories {
            Some(memories) => repository.with_memory(memories.of(name.as_str()), settings.epoch),
            None => repository,
        };
        Ok(Self { settings: settings.clone(), root, ca_bundle, repository: Arc::new(repository) })
    }
}

fn tuf_settings(settings: &TufRepository) -> Settings {
    let minimum = &settings.minimum;
    Settings {
        limits: Limits::default(),
        max_validity: Some(settings.max_validity),
        minimum: Floors {
            root: minimum.root.unwrap_or(0),
            timestamp: minimum.timestamp.unwrap_or(0),
            snapshot: minimum.snapshot.unwrap_or(0),
            roles: minimum.roles.clone(),
        },
    }
}

#[cfg(test)]
mod tests;
