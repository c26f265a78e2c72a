//! What was judged before, and whether it still holds.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry as Slot},
    future::Future,
    num::NonZeroU64,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use futures::future::{BoxFuture, FutureExt as _, Shared};
use jiff::Timestamp;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::budget::{Budget, Budgets, OverBudget};
use crate::{
    crypto::Sha256,
    evidence::{self, Basis, Judgement, MadeBy, Proof, RepositoryName, Subject},
    repository::{Generation, RepositoryError},
    tuf::TargetPath,
};

/// Distinct images that are remembered.
const CAPACITY: usize = 100_000;

/// Distinct images that are remembered as unknown to their repository. Anybody who may create a Pod makes these up, so
/// they are kept apart: they never push out a verdict on an image that exists.
const UNKNOWN_CAPACITY: usize = 10_000;

/// What a verdict depends on besides signed metadata: the image, and the rule with all its words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) repository: RepositoryName,
    /// The repository's epoch: what was judged before a reset does not outlive it.
    pub(super) epoch: NonZeroU64,
    pub(super) subject: Subject,
    pub(super) rule: Sha256,
}

/// A judgement of substance. Outages are never kept.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) outcome: Result<Arc<Proof>, Box<evidence::Error>>,
    pub(super) layout: Option<TargetPath>,
    basis: Basis,
    /// The number of the [`Standing`](crate::tuf::Standing) in which it was last found to rest on what there is, or zero.
    rested: AtomicU64,
}

impl Entry {
    pub(super) fn new(judgement: Judgement<Proof>) -> Self {
        let Judgement { outcome, basis, layout } = judgement;
        Self { outcome: outcome.map(Arc::new).map_err(Box::new), layout, basis, rested: AtomicU64::default() }
    }

    /// Whether nothing has expired, and nothing has changed that the judgement stood on.
    pub(super) fn holds(&self, generation: &Generation, now: Timestamp) -> bool {
        // TUF 5.4.4, 5.5.6: freshness is looked at each time, for it is renewed without changing anything.
        now < self.basis.valid_until() && generation.trusted().check_unexpired(now).is_ok() && self.rests_on(generation)
    }

    /// Whether the judgement stood on what `generation` has: the root, and version and digest of every role that any of
    /// its walks visited.
    pub(super) fn rests_on(&self, generation: &Generation) -> bool {
        // Before the roles are looked at: what is replaced meanwhile has another.
        let standing = generation.standing().number();
        if self.rested.load(Ordering::Relaxed) == standing {
            return true;
        }
        let rests = self.is_in(generation);
        if rests {
            self.rested.store(standing, Ordering::Relaxed);
        }
        rests
    }

    fn is_in(&self, generation: &Generation) -> bool {
        let trusted = generation.trusted();
        let roles = generation.roles();
        (trusted.root().version, trusted.root().sha256) == self.basis.root()
            && self
                .basis
                .visited()
                .iter()
                .all(|visit| trusted.state_of(&roles, &visit.chain) == Some((visit.version, visit.sha256)))
    }

    /// What is kept of it: a hundred thousand of them are to fit into memory.
    fn without_trail(&self, known: &MadeBefore) -> Self {
        let outcome = match &self.outcome {
            Ok(proof) => Ok(Arc::new(proof.without_trail(|made_by| known.same(made_by)))),
            Err(error) => Err(error.clone()),
        };
        let of_proof = outcome.as_ref().ok().and_then(|proof| proof.layout().cloned());
        Self {
            outcome,
            layout: of_proof.or_else(|| self.layout.clone()),
            basis: self.basis.clone(),
            rested: AtomicU64::default(),
        }
    }

    fn refusal(&self) -> Option<&evidence::Error> {
        self.outcome.as_ref().err().map(|error| &**error)
    }

    /// Whether the repository does not list the image.
    fn is_unknown(&self) -> bool {
        matches!(self.refusal(), Some(evidence::Error::UnknownImage { .. }))
    }

    /// Whether the outcome says something about the image, and not about how fresh the repository is at this moment.
    fn is_of_substance(&self) -> bool {
        !matches!(self.refusal(), Some(evidence::Error::Tuf(_)))
    }
}

/// How images that were judged lately came about: those of one pipeline hold it once.
#[derive(Debug, Default)]
struct MadeBefore(Mutex<VecDeque<Arc<MadeBy>>>);

/// Ways in which images came about that are looked through.
const MADE_BEFORE: usize = 64;

impl MadeBefore {
    /// The one that is known and equals this, or this.
    fn same(&self, made_by: &Arc<MadeBy>) -> Arc<MadeBy> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.iter().find(|known| *known == made_by) {
            return same.clone();
        }
        known.truncate(MADE_BEFORE.saturating_sub(1));
        known.push_front(made_by.clone());
        made_by.clone()
    }
}

type Flight = Shared<BoxFuture<'static, Result<Arc<Entry>, RepositoryError>>>;

/// Verdicts by [`Key`], and the judgements that are under way: one for all reviews that wait for it.
#[derive(Debug)]
pub(super) struct Verdicts {
    remembered: Arc<Remembered>,
    flights: Arc<Mutex<HashMap<Key, Flight>>>,
    budgets: Budgets,
}

/// Verdicts of substance: positive and negative look-ups, each in a cache of their own (`trust.md` §6).
#[derive(Debug)]
struct Remembered {
    known: Cache<Key, Arc<Entry>>,
    unknown: Cache<Key, Arc<Entry>>,
    made_before: MadeBefore,
    /// How many there are in both, as of the last that came in: reviews do not lock all of it to learn that.
    count: AtomicUsize,
}

/// Why there is no judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoEntry {
    /// It did not end in time; it goes on, and a later review finds its result.
    StillRunning,
    /// It was not begun.
    OverBudget,
    /// It ended without a result.
    Failed(RepositoryError),
}

impl Verdicts {
    pub(super) fn new(budget: Budget) -> Self {
        let remembered = Remembered {
            known: Cache::new(CAPACITY),
            unknown: Cache::new(UNKNOWN_CAPACITY),
            made_before: MadeBefore::default(),
            count: AtomicUsize::default(),
        };
        Self { remembered: Arc::new(remembered), flights: Arc::default(), budgets: Budgets::new(budget) }
    }

    /// How many verdicts are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.remembered.count.load(Ordering::Relaxed)
    }

    /// A verdict that still holds. Hits never wait behind misses.
    pub(super) fn get(&self, key: &Key, generation: &Generation, now: Timestamp) -> Option<Arc<Entry>> {
        let holds = |entry: &Arc<Entry>| entry.holds(generation, now);
        let Remembered { known, unknown, .. } = &*self.remembered;
        known.get(key).filter(holds).or_else(|| unknown.get(key).filter(holds))
    }

    /// Joins the judgement that is under way for `key`, or starts `judge` at the expense of the namespace `payer`. One that
    /// has just ended is not made again, if it holds for `(generation, now)`.
    pub(super) async fn judge<F>(
        &self,
        key: Key,
        (generation, now): (&Generation, Timestamp),
        payer: Option<&str>,
        deadline: Instant,
        judge: F,
    ) -> Result<Arc<Entry>, NoEntry>
    where
        F: Future<Output = Result<Judgement<Proof>, RepositoryError>> + Send + 'static,
    {
        let flight = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            match flights.entry(key) {
                Slot::Occupied(slot) => slot.get().clone(),
                Slot::Vacant(slot) => {
                    // It may have landed since the caller looked, and is remembered before it is off the list.
                    if let Some(entry) = self.get(slot.key(), generation, now) {
                        return Ok(entry);
                    }
                    if let Some(payer) = payer {
                        self.budgets.take(payer).map_err(|OverBudget| NoEntry::OverBudget)?;
                    }
                    let flight = self.start(slot.key().clone(), judge);
                    slot.insert(flight).clone()
                }
            }
        };
        match tokio::time::timeout_at(deadline, flight).await {
            Ok(ended) => ended.map_err(NoEntry::Failed),
            Err(_) => Err(NoEntry::StillRunning),
        }
    }

    fn start<F>(&self, key: Key, judge: F) -> Flight
    where
        F: Future<Output = Result<Judgement<Proof>, RepositoryError>> + Send + 'static,
    {
        let remembered = self.remembered.clone();
        let landing = Landing { flights: self.flights.clone(), key: key.clone() };
        let fly = async move {
            let _landing = landing;
            let entry = Arc::new(Entry::new(judge.await?));
            remembered.insert(key, &entry);
            // Those who wait for it may want to know how it was proven.
            Ok(entry)
        };
        // A task of its own: it ends whether or not the review that started it still waits. It begins when it is first
        // waited for, with nothing locked: a runtime that goes down drops it there and then, and it is off the list.
        let ended =
            async { tokio::spawn(fly).await.unwrap_or_else(|error| Err(RepositoryError::Internal(error.to_string()))) };
        ended.boxed().shared()
    }
}

impl Remembered {
    fn insert(&self, key: Key, entry: &Arc<Entry>) {
        if !entry.is_of_substance() {
            return;
        }
        // One of the two at most: what was unknown and has been published is looked for among the known first.
        if entry.is_unknown() {
            self.known.remove(&key);
            self.unknown.insert(key, entry.clone());
        } else {
            self.unknown.remove(&key);
            self.known.insert(key, Arc::new(entry.without_trail(&self.made_before)));
        }
        self.count.store(self.known.len().saturating_add(self.unknown.len()), Ordering::Relaxed);
    }
}

/// Takes a flight off the list however its task ends.
struct Landing {
    flights: Arc<Mutex<HashMap<Key, Flight>>>,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests;
