//! One refresh as a machine without IO: it says what to fetch, takes what came, and says what to store.
//!
//! ```text
//! while let Some(request) = refresh.next() {
//!     for change in refresh.supply(fetch(request))? { store(change) }
//! }
//! let trusted = refresh.finish()?;
//! ```

use std::{mem, sync::Arc};

use jiff::Timestamp;

use super::{
    Error, FetchError, FetchRequest,
    error::What,
    limits::Settings,
    name::{Role, RoleChain},
    roots::Roots,
    stored::{FileBytes, Notice, Persist, Stored},
    trusted::Trusted,
    workflow::{Snapshots, TargetsFiles, Timestamps},
};

/// A refresh that is under way.
#[derive(Debug)]
pub struct Refresh {
    /// 5.1: one time for the whole of it.
    now: Timestamp,
    state: State,
    notices: Vec<Notice>,
}

#[derive(Debug)]
enum State {
    Roots { roots: Box<Roots>, stepped: u32 },
    Timestamp(Box<Timestamps>),
    Snapshot(Box<Snapshots>),
    Targets(Box<TargetsFiles>),
    Done(Box<Trusted>),
    Failed(Error),
}

impl Refresh {
    /// Starts from the root that was handed out and from what an earlier run stored.
    ///
    /// `pinned_root` is the anchor. A client that keeps only its newest root hands that in as the anchor; one that keeps
    /// them all hands in the first one and the others in `stored.roots`.
    pub fn start(pinned_root: &[u8], stored: Stored, settings: Settings, now: Timestamp) -> Result<Self, Error> {
        let mut roots = Roots::pinned(pinned_root, Arc::new(settings))?;
        let notices = roots.remember(stored);
        Ok(Self::begin(roots, now, notices))
    }

    /// Starts from an earlier generation in memory: nothing that has not changed is read again.
    pub fn after(trusted: &Trusted, settings: Settings, now: Timestamp) -> Self {
        Self::begin(Roots::after(trusted, Arc::new(settings)), now, Vec::new())
    }

    fn begin(roots: Roots, now: Timestamp, notices: Vec<Notice>) -> Self {
        Self { now, state: State::Roots { roots: Box::new(roots), stepped: 0 }, notices }
    }

    /// The next file to fetch; none when the refresh has ended, well or not.
    pub fn next(&self) -> Option<FetchRequest> {
        match &self.state {
            State::Roots { roots, .. } => Some(roots.request()),
            State::Timestamp(state) => Some(state.request()),
            State::Snapshot(state) => Some(state.request()),
            State::Targets(state) => Some(state.request()),
            State::Done(_) | State::Failed(_) => None,
        }
    }

    /// Takes what became of the request that [`Refresh::next`] gives, and returns what is to be stored at once. After an
    /// error the refresh has ended; what was returned earlier stays verified and stored.
    pub fn supply(&mut self, fetched: Result<Vec<u8>, FetchError>) -> Result<Vec<Persist>, Error> {
        let fetched = fetched.map(Arc::new);
        let state = mem::replace(&mut self.state, State::Failed(Error::Unfinished));
        let mut persist = Vec::new();
        match self.advance(state, fetched, &mut persist) {
            Ok(state) => {
                self.state = state;
                Ok(persist)
            }
            Err(error) => {
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    /// What is worth telling although it stopped nothing.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// The new generation, or why there is none.
    pub fn finish(self) -> Result<Trusted, Error> {
        match self.state {
            State::Done(trusted) => Ok(*trusted),
            State::Failed(error) => Err(error),
            _ => Err(Error::Unfinished),
        }
    }

    fn advance(
        &mut self,
        state: State,
        fetched: Result<FileBytes, FetchError>,
        persist: &mut Vec<Persist>,
    ) -> Result<State, Error> {
        let needed = |role: Role, fetched: Result<FileBytes, FetchError>| {
            fetched.map_err(|cause| Error::fetching(What::Role(role), cause))
        };
        match state {
            State::Roots { mut roots, stepped } => match fetched {
                // 5.3.3: there is no newer root. Any other failure to fetch it says nothing of the kind.
                Err(FetchError::NotFound) => Ok(State::Timestamp(Box::new(roots.finish(self.now)?))),
                Err(cause) => Err(Error::fetching(What::Role(Role::Root), cause)),
                Ok(bytes) => {
                    // 5.3.3, Y. The roots read so far are stored, so the next refresh goes on where this one ends.
                    let limit = roots.settings.limits.root_rotations;
                    if stepped >= limit {
                        return Err(Error::RootRotations { limit, reached: roots.version() });
                    }
                    // 5.3.11
                    if roots.step(&bytes)? {
                        persist.push(Persist::Remove { file_name: "timestamp.json" });
                        persist.push(Persist::Remove { file_name: "snapshot.json" });
                    }
                    // 5.3.8: whether or not it has expired.
                    persist.push(Persist::Store { file_name: "root.json", version: roots.version(), bytes });
                    Ok(State::Roots { roots, stepped: stepped + 1 })
                }
            },
            State::Timestamp(timestamps) => {
                let bytes = needed(Role::Timestamp, fetched)?;
                let (snapshots, is_new) = timestamps.offer(bytes, self.now, &mut self.notices)?;
                // 5.4.5
                if is_new {
                    persist.push(snapshots.timestamp_to_store());
                }
                match snapshots.stored(self.now, &mut self.notices) {
                    Ok(targets) => Ok(self.look_at_stored(targets)),
                    Err(snapshots) => Ok(State::Snapshot(snapshots)),
                }
            }
            State::Snapshot(snapshots) => {
                let targets = snapshots.offer(needed(Role::Snapshot, fetched)?, self.now)?;
                // 5.5.7
                persist.push(targets.snapshot_to_store());
                Ok(self.look_at_stored(targets))
            }
            State::Targets(targets) => {
                let bytes = needed(Role::Targets(RoleChain::top()), fetched)?;
                let trusted = targets.offer(&bytes, self.now)?;
                // 5.6.6
                persist.push(Persist::Store { file_name: "targets.json", version: trusted.targets().version, bytes });
                Ok(State::Done(Box::new(trusted)))
            }
            ended @ (State::Done(_) | State::Failed(_)) => Ok(ended),
        }
    }

    fn look_at_stored(&self, targets: TargetsFiles) -> State {
        match targets.stored(self.now) {
            Ok(trusted) => State::Done(Box::new(trusted)),
            Err(targets) => State::Targets(targets),
        }
    }
}
