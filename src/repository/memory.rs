//! What all replicas remember of a repository together (trust.md §5, R1 to R8): read before the first verdict, joined with
//! what is known here, and raised whenever this replica knows more.

mod decide;

use std::{
    collections::BTreeSet,
    fmt,
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::sync::watch;

pub(super) use self::decide::equivocation;
use self::decide::{Decision, decide};
use super::{
    generation::Generation,
    live::{Error, Repository},
};
use crate::tuf::{self, Delegated, MemoryFault, Remembered, Stored, Trusted, codec::CodecError};

/// Where what is remembered of one repository is kept.
#[async_trait::async_trait]
pub trait Memory: Send + Sync + fmt::Debug {
    /// Asks `join` what is to be there, given what is, and writes it; again where somebody else wrote meanwhile.
    async fn update(&self, join: &Join<'_>) -> Result<(), MemoryError>;

    /// An item whenever what is there may have changed. It does not end.
    fn changes(&self) -> BoxStream<'static, ()>;

    /// Something that an administrator should see.
    fn tell(&self, alert: &Alert);
}

/// Where what is remembered of every repository is kept.
pub trait Memories: Send + Sync {
    /// That of the repository of this name in the policy. Nobody is asked.
    fn of(&self, repository: &str) -> Arc<dyn Memory>;
}

/// What is to be written instead of what is there; `None` leaves it.
pub type Join<'a> = dyn Fn(&Kept) -> Option<Remembered> + Send + Sync + 'a;

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// As far as it can be read; or why there is nothing.
    pub remembered: Result<Remembered, String>,
    /// Whether a first state was ever written; or what says so and is not there (R6).
    pub born: Result<(), String>,
}

/// Why what is remembered could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// There is no object for it.
    #[error("there is no {place}, or it may not be read: {cure}")]
    Unknown {
        /// The object.
        place: String,
        /// What gives it one.
        cure: String,
    },
    /// The API server does not answer, or not as it should.
    #[error("{place}: {why}")]
    Unavailable {
        /// The object.
        place: String,
        /// What it says.
        why: String,
    },
    /// It does not fit.
    #[error("{place}: {error}")]
    TooLarge {
        /// The head.
        place: String,
        /// By how much.
        error: CodecError,
    },
}

impl MemoryError {
    /// The code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "trust/no-memory",
            Self::Unavailable { .. } => "trust/unread",
            Self::TooLarge { .. } => "trust/memory-full",
        }
    }
}

/// Something that an honest repository and an honest cluster never show, or that somebody did on purpose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    /// One of the closed list of `verdict::codes`.
    pub code: &'static str,
    /// What was seen.
    pub text: String,
}

/// The shared memory of a repository, and what came of it here.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) port: Arc<dyn Memory>,
    epoch: NonZeroU64,
    state: Mutex<State>,
    /// Whether it was read, however it was found.
    read: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    /// Why nothing is judged.
    fault: Option<tuf::Error>,
    /// Whether this process once knew all that was there.
    established: bool,
    /// What was there when it was last looked at.
    last: Option<Remembered>,
}

/// For all replicas' memory to be asked while something waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon it is looked for again where it is not there yet.
const AGAIN: Duration = Duration::from_secs(1);
/// Texts of alerts that are not said again.
const SAID: usize = 256;

impl Shared {
    pub(super) fn new(port: Arc<dyn Memory>, epoch: NonZeroU64) -> Self {
        let unread = MemoryFault::Unread("it was not looked for yet".to_owned());
        let state = State { fault: Some(unread.into()), established: false, last: None };
        Self { port, epoch, state: Mutex::new(state), read: watch::Sender::new(false) }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Repository {
    /// The same repository, whose floors all replicas share. `epoch` is counted up by hand to forget them (R7). Nothing is
    /// judged by it before [`Self::recall`].
    pub fn with_memory(mut self, memory: Arc<dyn Memory>, epoch: NonZeroU64) -> Self {
        self.memory = Some(Shared::new(memory, epoch));
        self
    }

    /// R4: reads what is remembered, again and again until it is there. `told` hears why it is not.
    pub async fn recall(&self, told: impl Fn(&tuf::Error)) {
        let Some(shared) = &self.memory else { return };
        loop {
            {
                let _alone = self.refreshing.lock().await;
                self.exchange(shared, self.known().await).await;
            }
            match shared.with(|state| state.fault.clone()) {
                Some(fault @ tuf::Error::Memory(MemoryFault::Unread(_) | MemoryFault::NotBorn(_))) => told(&fault),
                _ => break,
            }
            tokio::time::sleep(AGAIN).await;
        }
        shared.read.send_replace(true);
    }

    /// Waits until what is remembered was read, however it was found.
    pub async fn recalled(&self) {
        let Some(shared) = &self.memory else { return };
        let mut read = shared.read.subscribe();
        // The sender lives as long as this repository.
        let _ = read.wait_for(|read| *read).await;
    }

    /// Heeds what other replicas learn, for ever. `clock` is read at every change, and `after` called after each.
    pub async fn follow_memory(&self, clock: impl Fn() -> Timestamp, after: impl Fn(&Self)) {
        let Some(shared) = &self.memory else { return };
        let mut changes = shared.port.changes();
        while futures::StreamExt::next(&mut changes).await.is_some() {
            let healed = self.heed(shared, clock()).await;
            after(self);
            if healed {
                // Whoever goes on writing nonsense is not answered at once every time.
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Takes up what others know before anything more is answered by what is known here. Whether somebody had tampered.
    async fn heed(&self, shared: &Shared, now: Timestamp) -> bool {
        let _alone = self.refreshing.lock().await;
        let decision = self.exchange(shared, self.known().await).await;
        if decision.floors.is_some() && !self.adopt(now).await {
            // It stays without a set, or gets one that is new enough.
            let _ = self.refresh_alone(now).await;
        }
        decision.alerts.iter().any(|alert| alert.code == "trust/tampered")
    }

    /// Why nothing is judged by this repository, whatever it answers.
    pub(super) fn check_memory(&self) -> Result<(), Error> {
        let fault = self.memory.as_ref().and_then(|shared| shared.with(|state| state.fault.clone()));
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// R3: tells the others what a refresh has learnt, before it is used here: else whoever stops this replica now makes
    /// all of them forget it. Whether others knew more, which is then to be refreshed from.
    pub(super) async fn share(&self, fresh: Option<&Trusted>) -> bool {
        let Some(shared) = &self.memory else { return false };
        if self.check_memory().is_err() {
            return false;
        }
        let mine = match fresh {
            Some(fresh) => fresh.memory(),
            None => self.known().await,
        };
        let is_there = |last: &Remembered| {
            last.timestamp == mine.timestamp && last.snapshot == mine.snapshot && last.roots.ends_with(&mine.roots)
        };
        if shared.with(|state| state.last.as_ref().is_some_and(is_there)) {
            return false;
        }
        self.exchange(shared, mine).await.floors.is_some()
    }

    /// All that was verified so far, or on disk what may be.
    pub(super) async fn known(&self) -> Stored {
        match (self.seen(), self.generation()) {
            (Some(seen), _) => seen,
            (None, Some(current)) => current.trusted().memory(),
            (None, None) => self.stored().await,
        }
    }

    /// Joins `mine`, which is known here, with what is there. Where others knew more, the set in use is let go, and what they knew is
    /// a floor from now on.
    async fn exchange(&self, shared: &Shared, mine: Stored) -> Decision {
        let established = shared.with(|state| state.established);
        let decided = Mutex::new(None);
        let join = |kept: &Kept| {
            let decision = decide(kept, &mine, &self.pinned_root, shared.epoch, established);
            let write = decision.write.clone();
            *decided.lock().unwrap_or_else(PoisonError::into_inner) = Some(decision);
            write
        };
        let asked = tokio::time::timeout(PATIENCE, shared.port.update(&join)).await;
        let decided = decided.into_inner().unwrap_or_else(PoisonError::into_inner);
        let failed = match asked {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((error.code(), error.to_string())),
            Err(_) => Some(("trust/unread", "the API server does not answer".to_owned())),
        };
        let read = decided.is_some();
        let mut decision = decided.unwrap_or_default();
        if let Some((code, why)) = &failed {
            tracing::warn!(repository = %self.name, code, why, "what replicas remember together could not be read or written");
            decision.last = None;
            if *code == "trust/no-memory" && established {
                decision.alerts.push(Alert { code: "trust/tampered", text: why.clone() });
            }
            if *code == "trust/memory-full" {
                decision.alerts.push(Alert { code, text: why.clone() });
            }
        }
        shared.with(|state| match (read, &decision.fault) {
            (true, None) => *state = State { fault: None, established: true, last: decision.last.clone() },
            (true, Some(fault)) => state.fault = Some(fault.clone()),
            // Later outages change nothing (R4).
            (false, _) if state.established => state.last = None,
            (false, _) => {
                let why = failed.map(|(_, why)| why).unwrap_or_default();
                state.fault = Some(MemoryFault::Unread(why).into());
            }
        });
        if decision.fault.is_some() && mine != Stored::default() {
            self.raise(mine);
        }
        if let Some(floors) = &decision.floors {
            self.raise(floors.clone());
        }
        for alert in &decision.alerts {
            self.alert(alert.clone());
        }
        decision
    }

    /// A set out of what is known and the targets on disk, without asking anybody. Whether there is one.
    async fn adopt(&self, now: Timestamp) -> bool {
        let Some(floors) = self.seen() else { return false };
        let stored = Stored { targets: self.stored().await.targets, ..floors };
        match Trusted::from_stored(&self.pinned_root, stored, self.settings.clone(), now) {
            Ok((trusted, _)) => {
                self.use_set(Arc::new(Generation::new(trusted, Delegated::default())));
                true
            }
            Err(error) => {
                tracing::debug!(repository = %self.name, %error, "what others know makes no set with what is here");
                false
            }
        }
    }

    /// R7, of what is on disk where replicas do not share anything: it was begun with this root, or one that leads to it.
    pub(super) async fn check_disk(&self) -> Result<(), Error> {
        let (None, Some(store)) = (&self.memory, &self.store) else { return Ok(()) };
        let roots = store.all_roots(&self.settings.limits).await;
        match Remembered::leads_to(&roots, &self.pinned_root) {
            Err(error @ (tuf::Error::RootReplaced { .. } | tuf::Error::PinnedRoot(_))) => Err(error.into()),
            // What does not verify is not believed, and so not in the way.
            _ => Ok(()),
        }
    }

    /// What was raised since this was last asked.
    pub fn take_alerts(&self) -> Vec<Alert> {
        self.with_alerts(|alerts| std::mem::take(&mut alerts.pending))
    }

    /// Raises an alert; what two contents of one version are is said once.
    pub(super) fn alert(&self, alert: Alert) {
        let is_new = self.with_alerts(|alerts| {
            if alert.code == "trust/equivocation" {
                if alerts.said.contains(&alert) || alerts.said.len() >= SAID {
                    return false;
                }
                alerts.said.insert(alert.clone());
            }
            alerts.pending.truncate(SAID);
            alerts.pending.push(alert.clone());
            true
        });
        if is_new {
            tracing::error!(repository = %self.name, code = alert.code, "{}", alert.text);
            if let Some(shared) = &self.memory {
                shared.port.tell(&alert);
            }
        }
    }
}

/// Alerts that nobody has taken yet, and those that are not raised again.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    pending: Vec<Alert>,
    said: BTreeSet<Alert>,
}

#[cfg(test)]
mod tests;
