//! Which copy of a repository is asked, for how long, and what becomes of one that fails?
//!
//! Copies are asked one at a time, in the order of the policy, each for its share of the time that is left. One that
//! failed stands behind the others for a while, so that a dead copy costs time once and not at each request. Nothing is
//! believed because of where it comes from: whoever asks verifies, and what does not verify is a failure like any other.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Source, Transport};
use crate::tuf::{FetchError, FetchRequest, fetch::FetchBase};

/// For how long a copy stands behind the others after its first failure; twice as long after each further one.
const BEHIND: Duration = Duration::from_secs(30);
/// How often that doubles.
const MAX_DOUBLINGS: u32 = 4;

/// One copy of a repository: the origin itself, or a mirror of it.
#[derive(Debug)]
pub(crate) struct Mirror {
    name: String,
    metadata: Source,
    targets: Option<Source>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// Failures since it last served.
    failures: u32,
    /// Until when it stands behind the others.
    behind: Option<Instant>,
}

impl Mirror {
    pub(super) fn new(name: String, metadata: Source, targets: Option<Source>) -> Self {
        Self { name, metadata, targets, health: Mutex::default() }
    }

    /// Where it is, for people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The whole file, or why there is none, by `deadline` at the latest. Never more than `request.max_bytes`.
    pub(crate) async fn fetch(&self, request: &FetchRequest, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        let source = match request.base {
            FetchBase::Metadata => &self.metadata,
            FetchBase::Targets => self
                .targets
                .as_ref()
                .ok_or_else(|| FetchError::Unreachable("no location of target files is configured".to_owned()))?,
        };
        // One deadline over name lookup, connection, handshake, head and body: a timeout per read would let a
        // server that sends a byte a second hold the caller for ever.
        let transfer = async {
            match source {
                Source::Http(http) => http.fetch(&request.path, request.max_bytes, deadline).await,
                Source::Oci(oci) => match request.base {
                    FetchBase::Metadata => oci.metadata(&request.path, request.max_bytes, deadline).await,
                    FetchBase::Targets => oci.target(&request.path, request.max_bytes, deadline).await,
                },
                Source::Held(held) => {
                    let found = held.get(&(request.base, request.path.clone()));
                    let fits =
                        |bytes: &&Arc<[u8]>| u64::try_from(bytes.len()).is_ok_and(|length| length <= request.max_bytes);
                    let found = found.ok_or(FetchError::NotFound)?;
                    let limit = request.max_bytes;
                    Some(found).filter(fits).map(|bytes| bytes.to_vec()).ok_or(FetchError::TooLarge { limit })
                }
                Source::Folder(folder) => folder.fetch(&request.path, request.max_bytes).await,
            }
        };
        tokio::time::timeout_at(deadline, transfer).await.unwrap_or(Err(FetchError::TimedOut))
    }

    /// What it gave was verified.
    pub(crate) fn served(&self) {
        *self.health() = Health::default();
    }

    /// It gave nothing, or what does not verify.
    pub(crate) fn failed(&self) {
        match &self.metadata {
            Source::Http(http) => http.forget(),
            Source::Oci(oci) => oci.forget(),
            Source::Folder(_) | Source::Held(_) => {}
        }
        let mut health = self.health();
        let pause = BEHIND.saturating_mul(1 << health.failures.min(MAX_DOUBLINGS));
        health.failures = health.failures.saturating_add(1);
        health.behind = Instant::now().checked_add(pause);
    }

    fn is_behind(&self) -> bool {
        self.health().behind.is_some_and(|until| Instant::now() < until)
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies that are still to be asked, each with the time until which it may take: an equal share of what is left.
#[derive(Debug)]
pub(crate) struct Turns<'a> {
    left: VecDeque<&'a Mirror>,
    deadline: Instant,
}

impl<'a> Iterator for Turns<'a> {
    type Item = (&'a Mirror, Instant);

    fn next(&mut self) -> Option<Self::Item> {
        let count = u32::try_from(self.left.len()).unwrap_or(u32::MAX);
        let mirror = self.left.pop_front()?;
        let now = Instant::now();
        let share = self.deadline.saturating_duration_since(now).checked_div(count).unwrap_or_default();
        // The last one gets it all, and nothing is lost by rounding.
        Some((mirror, if count == 1 { self.deadline } else { now.checked_add(share).unwrap_or(self.deadline) }))
    }
}

impl Transport {
    /// All copies in the order in which they are to be asked.
    pub(crate) fn turns(&self, deadline: Instant) -> Turns<'_> {
        let (behind, first): (Vec<&Mirror>, Vec<&Mirror>) = self.mirrors.iter().partition(|mirror| mirror.is_behind());
        Turns { left: first.into_iter().chain(behind).collect(), deadline }
    }

    /// The same, with one copy before all others.
    pub(crate) fn turns_from<'a>(&'a self, first: &'a Mirror, deadline: Instant) -> Turns<'a> {
        let mut turns = self.turns(deadline);
        turns.left.retain(|mirror| !std::ptr::eq(*mirror, first));
        turns.left.push_front(first);
        turns
    }

    /// Each copy, and whether it has served what it was last asked for.
    pub(crate) fn copies(&self) -> impl Iterator<Item = (&str, bool)> {
        self.mirrors.iter().map(|mirror| (mirror.name(), mirror.health().failures == 0))
    }

    /// Whether there is more than one copy.
    pub(crate) fn has_mirrors(&self) -> bool {
        self.mirrors.len() > 1
    }

    /// The copies beside one that have not failed lately.
    pub(crate) fn others(&self, one: &Mirror) -> Vec<&Mirror> {
        self.mirrors.iter().filter(|mirror| !std::ptr::eq(*mirror, one) && !mirror.is_behind()).collect()
    }

    /// Keeps a file that was verified, where there is a recording.
    pub(crate) fn keep(&self, request: &FetchRequest, bytes: &[u8]) {
        if let Some(recording) = &self.recording {
            recording.keep(request, bytes);
        }
    }

    /// Asks one copy after the other for a file that is known by its content, until one gives what `verify` takes. An
    /// error of `verify` tells more than one of the network, and "not found" tells least.
    pub(crate) async fn fetch_verified<T, E>(
        &self,
        request: &FetchRequest,
        deadline: Instant,
        mut verify: impl FnMut(Vec<u8>) -> Result<T, E>,
        failed: impl Fn(FetchError) -> E,
    ) -> Result<T, E> {
        let (mut refused, mut unreached) = (None, None);
        for (mirror, until) in self.turns(deadline) {
            match mirror.fetch(request, until).await {
                Ok(bytes) => {
                    let recorded = self.recording.as_ref().map(|_| bytes.clone());
                    match verify(bytes) {
                        Ok(verified) => {
                            mirror.served();
                            if let Some(bytes) = recorded {
                                self.keep(request, &bytes);
                            }
                            return Ok(verified);
                        }
                        Err(error) => {
                            mirror.failed();
                            refused = refused.or(Some(error));
                        }
                    }
                }
                // It may lag behind.
                Err(FetchError::NotFound) => {}
                Err(error) => {
                    mirror.failed();
                    unreached = unreached.or(Some(error));
                }
            }
        }
        Err(refused.unwrap_or_else(|| failed(unreached.unwrap_or(FetchError::NotFound))))
    }
}
