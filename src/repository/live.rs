//! A repository that lives as long as the process: refreshed in the background, read from memory.

mod attempt;
mod lapsed;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};

pub use self::lapsed::Lapsed;
use super::{
    generation::Generation,
    layers::NoLayer,
    memory::{Alerts, Shared, equivocation},
    mirrors,
    store::{self, Store, Writer},
    transport::{Mirror, Transport},
};
use crate::{
    evidence::RepositoryName,
    tuf::{self, Delegated, Limits, Notice, Persist, Refresh, Role, Settings, Stored, Trusted},
};

/// A refresh that a review asks for comes no sooner than this after the one before it.
const MISS_INTERVAL: Duration = Duration::from_secs(2);

/// One TUF repository.
#[derive(Debug)]
pub struct Repository {
    pub(super) name: RepositoryName,
    pub(super) pinned_root: Vec<u8>,
    pinned_version: u64,
    pub(super) settings: Settings,
    pub(super) transport: Transport,
    pub(super) store: Option<Store>,
    pub(super) memory: Option<Shared>,
    current: ArcSwapOption<Generation>,
    pub(super) refreshing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    tried: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    attempted: Option<Instant>,
    succeeded_at: Option<Timestamp>,
    failure: Option<Error>,
    /// What refreshes that failed have verified beyond the set in use: floors for the next one.
    seen: Option<Stored>,
    /// What the last refresh, which failed for the lack of something fresh, leaves to go on with.
    lapsed: Option<Lapsed>,
    alerts: Alerts,
}

/// Why a repository has nothing to judge by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It answered, and the client workflow of TUF refuses the answer.
    #[error(transparent)]
    Tuf(#[from] tuf::Error),
    /// What is trusted could not be kept on disk, so it is not used: else a restart would forget it.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// No refresh was attempted yet.
    #[error("not refreshed yet")]
    NotYet,
    /// A task of this program ended without a result.
    #[error("{0}")]
    Internal(String),
    /// A layer of the image could not be had. It says nothing about the repository.
    #[error(transparent)]
    Layer(NoLayer),
    /// The judgement asked for more than any evidence needs.
    #[error("the evidence asks for more rounds of fetching than {0}")]
    TooManyRounds(usize),
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tuf(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::NotYet => "admission/fetching",
            Self::Layer(NoLayer { fault, .. }) => fault.code(),
            Self::Internal(_) | Self::TooManyRounds(_) => "internal/failure",
        }
    }
}

impl Repository {
    /// A repository of which nothing is known but its first root. Nothing is contacted.
    pub fn new(
        name: RepositoryName,
        pinned_root: Vec<u8>,
        settings: Settings,
        transport: Transport,
        store: Option<Store>,
    ) -> Result<Self, Error> {
        let pinned_version = tuf::root_version(&pinned_root)?;
        Ok(Self {
            name,
            pinned_root,
            pinned_version,
            settings,
            transport,
            store,
            memory: None,
            current: ArcSwapOption::empty(),
            refreshing: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
            tried: watch::Sender::new(false),
        })
    }

    /// The name in the policy.
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// The root that was handed out.
    pub fn pinned_root(&self) -> &[u8] {
        &self.pinned_root
    }

    /// What it is bounded by.
    pub fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// The trusted set in use, if any refresh or the cache gave one.
    pub fn generation(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// Why the last refresh failed, if it did.
    pub fn failure(&self) -> Option<Error> {
        self.with_state(|state| state.failure.clone())
    }

    /// Why there is nothing yet, where the disk is what is waited for.
    pub fn disk_failure(&self) -> Option<Error> {
        self.store.as_ref().and_then(|store| store.answers().err()).map(Error::Store)
    }

    /// When a refresh last succeeded.
    pub fn succeeded_at(&self) -> Option<Timestamp> {
        self.with_state(|state| state.succeeded_at)
    }

    /// Waits until there is a trusted set, or one refresh was tried, however it ended (A5).
    pub async fn tried(&self) {
        let mut tried = self.tried.subscribe();
        // The sender lives as long as this repository.
        let _ = tried.wait_for(|tried| *tried).await;
    }

    fn with_state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs the client workflow of TUF 5.3 to 5.6 once. On failure the set in use stays in use until it expires.
    pub async fn refresh(&self, now: Timestamp) -> Result<Arc<Generation>, Error> {
        let _alone = self.refreshing.lock().await;
        self.refresh_alone(now).await
    }

    /// One refresh for all reviews that lack something at the same time. `None` where one has just been made.
    pub async fn refresh_for_miss(&self, now: Timestamp) -> Option<Arc<Generation>> {
        let before = self.current.load_full();
        let _alone = self.refreshing.lock().await;
        let after = self.current.load_full();
        if !same(before.as_ref(), after.as_ref()) {
            return after;
        }
        let recent = |state: &mut State| state.attempted.is_some_and(|at| at.elapsed() < MISS_INTERVAL);
        if self.with_state(recent) {
            return None;
        }
        let fresh = self.refresh_alone(now).await.ok()?;
        (!same(before.as_ref(), Some(&fresh))).then_some(fresh)
    }

    pub(super) async fn refresh_alone(&self, now: Timestamp) -> Result<Arc<Generation>, Error> {
        let mut result = self.run_refresh(now).await;
        if self.share(result.as_ref().ok()).await {
            result = self.run_refresh(now).await;
        }
        let lapsed = match &result {
            Ok(_) => None,
            Err(failure) => self.lapse(failure, now).await,
        };
        self.with_state(|state| {
            state.attempted = Some(Instant::now());
            state.lapsed = lapsed;
            match &result {
                Ok(_) => {
                    state.succeeded_at = Some(now);
                    state.failure = None;
                }
                Err(error) => state.failure = Some(error.clone()),
            }
        });
        self.tried.send_replace(true);
        let trusted = result?;
        let previous = self.current.load_full();
        if let Some(previous) = &previous
            && same_files(&previous.trusted, &trusted)
        {
            return Ok(previous.clone());
        }
        let mut roles = previous.map_or_else(Delegated::default, |previous| Delegated::clone(&previous.roles()));
        roles.retain_current(&trusted);
        let generation = Arc::new(Generation::new(trusted, roles));
        self.current.store(Some(generation.clone()));
        Ok(generation)
    }

    /// Uses what the disk holds, verified again, without contacting anybody.
    pub async fn load_cache(&self, now: Timestamp) -> Result<(), Error> {
        let _alone = self.refreshing.lock().await;
        self.check_memory()?;
        self.check_disk().await?;
        let stored = self.stored().await;
        let stored = Stored { targets: stored.targets.clone(), ..self.seen().unwrap_or(stored) };
        let (trusted, notices) = Trusted::from_stored(&self.pinned_root, stored, self.settings.clone(), now)?;
        self.tell(&notices);
        self.check_newest_root(&trusted).await?;
        self.current.store(Some(Arc::new(Generation::new(trusted, Delegated::default()))));
        self.tried.send_replace(true);
        Ok(())
    }

    /// A root on disk that cannot be read any more would put the one before it in force again, until the repository
    /// answers. It is there twice, and who wrote both wrong has a disk that is as good as empty.
    async fn check_newest_root(&self, trusted: &Trusted) -> Result<(), Error> {
        let Some(store) = &self.store else { return Ok(()) };
        let newest = store.metadata("root.json", self.settings.limits.root_bytes).await;
        let stored = newest.and_then(|bytes| tuf::root_version(&bytes).ok()).unwrap_or(0);
        let offered = trusted.root().version;
        if stored > offered {
            return Err(tuf::Error::Rollback { role: Role::Root, stored, offered }.into());
        }
        Ok(())
    }

    async fn run_refresh(&self, now: Timestamp) -> Result<Trusted, Error> {
        self.check_memory()?;
        let deadline = Instant::now() + self.settings.limits.refresh_time;
        // Held from before the first byte is read until after the last is written: two processes on one folder must
        // not replace each other's newer files by older ones.
        let writer = match &self.store {
            Some(store) => Some(store.writer(deadline).await?),
            None => None,
        };
        mirrors::refresh(self, now, writer.as_ref(), deadline).await
    }

    /// What has been verified beyond the set in use, if anything.
    pub(super) fn seen(&self) -> Option<Stored> {
        self.with_state(|state| state.seen.clone())
    }

    /// Nothing is answered by what is known here any more, but by what follows from `floors`.
    pub(super) fn raise(&self, floors: Stored) {
        self.with_state(|state| (state.seen, state.lapsed) = (Some(floors), None));
        self.current.store(None);
    }

    /// This is what is answered by, and all that is known.
    pub(super) fn use_set(&self, generation: Arc<Generation>) {
        self.with_state(|state| (state.seen, state.lapsed) = (None, None));
        self.current.store(Some(generation));
    }

    pub(super) fn with_alerts<T>(&self, f: impl FnOnce(&mut Alerts) -> T) -> T {
        self.with_state(|state| f(&mut state.alerts))
    }

    /// Fetches what a refresh asks for, and stores what it verified, until it ends.
    async fn drive(
        &self,
        refresh: &mut Refresh,
        (mirror, deadline): (&Mirror, Instant),
        writer: Option<&Writer>,
        verified: &mut Vec<Persist>,
    ) -> Result<(), Error> {
        while let Some(request) = refresh.next() {
            let answer = mirror.fetch(&request, deadline).await;
            for change in refresh.supply(answer)? {
                if let Persist::Store { bytes, .. } = &change {
                    self.transport.keep(&request, bytes);
                }
                verified.push(change.clone());
                // TUF 5.3.8, 5.4.5, 5.5.7, 5.6.6: before anything else is asked for.
                if let Some(writer) = writer {
                    persist(writer, change).await?;
                }
            }
        }
        Ok(())
    }

    /// What was stored is told apart by version: the pinned root is 1 or later, and those after it are in order.
    pub(super) async fn stored(&self) -> Stored {
        let Some(store) = &self.store else { return Stored::default() };
        let limits = &self.settings.limits;
        let first = self.pinned_version.saturating_add(1);
        Stored {
            roots: store.roots(first, limits).await,
            timestamp: store.metadata("timestamp.json", limits.timestamp_bytes).await,
            snapshot: store.metadata("snapshot.json", limits.snapshot_bytes).await,
            targets: store.metadata("targets.json", limits.targets_bytes).await,
        }
    }

    fn tell(&self, notices: &[Notice]) {
        for notice in notices {
            match notice {
                Notice::Ignored { role, error } => {
                    tracing::warn!(repository = %self.name, %role, %error, "a stored file does not verify, ignored");
                }
                Notice::Equivocation { .. } => {
                    equivocation(notice).into_iter().for_each(|alert| self.alert(alert));
                }
            }
        }
    }
}

async fn persist(writer: &Writer, change: Persist) -> Result<(), store::Error> {
    match change {
        Persist::Remove { file_name } => writer.remove(file_name).await,
        Persist::Store { file_name, version, bytes } => {
            if file_name == "root.json" {
                writer.put_root(version, bytes.clone()).await?;
            }
            writer.put(file_name, bytes).await
        }
    }
}

/// Whether nothing was renewed, not even the timestamp.
fn same_files(a: &Trusted, b: &Trusted) -> bool {
    a.root() == b.root() && a.timestamp() == b.timestamp() && a.snapshot() == b.snapshot() && a.targets() == b.targets()
}

fn same(a: Option<&Arc<Generation>>, b: Option<&Arc<Generation>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
