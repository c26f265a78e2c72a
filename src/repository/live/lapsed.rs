//! What is left of a repository when nothing fresh can be had of it (trust.md A4).

use std::sync::Arc;

use jiff::Timestamp;

use super::{Error, Repository, same_files};
use crate::repository::Generation;
use crate::tuf::{self, Delegated, Role, Stored, Trusted};

/// All that was ever verified of a repository, where nothing fresh can be had and nothing else speaks against it
/// (trust.md A4).
#[derive(Debug, Clone)]
pub struct Lapsed {
    /// The newest set, in which lookups succeed at [`Trusted::last_fresh`] at the latest.
    pub generation: Arc<Generation>,
    /// Why there is nothing fresher.
    pub failure: Error,
}

impl Repository {
    /// What can be gone on with while nothing fresh can be had. `None` also where a refresh was refused for any other
    /// reason, or has not been tried since the last one succeeded.
    pub fn lapsed(&self) -> Option<Lapsed> {
        self.with_state(|state| state.lapsed.clone())
    }

    /// The newest set that everything verified so far makes up, if all that the refresh lacked was something fresh.
    pub(super) async fn lapse(&self, failure: &Error, now: Timestamp) -> Option<Lapsed> {
        let Error::Tuf(error) = failure else { return None };
        if !error.is_lack_of_freshness() {
            return None;
        }
        let (seen, before) = self.with_state(|state| (state.seen.clone(), state.lapsed.clone()));
        let current = self.current.load_full();
        let generation = match (seen, current) {
            (None, Some(current)) => current,
            (seen, _) => {
                // The disk has what was seen, and beside it the targets.
                let stored = self.stored().await;
                let stored = Stored { targets: stored.targets.clone(), ..seen.unwrap_or(stored) };
                let settings = self.settings.clone();
                let trusted = Trusted::from_stored_as_last_fresh(&self.pinned_root, stored, settings, now);
                let trusted = trusted.inspect_err(|error| {
                    tracing::info!(repository = %self.name, %error, "what was verified does not make up a set to go on with");
                });
                let trusted = trusted.ok()?;
                match before {
                    Some(before) if same_files(&before.generation.trusted, &trusted) => before.generation,
                    _ => Arc::new(Generation::new(trusted, Delegated::default())),
                }
            }
        };
        // The repository has signed something newer, though it is too old as well: what that says is not known here.
        if let tuf::Error::Expired { role, version, .. } = error {
            let trusted = &generation.trusted;
            let known = if *role == Role::Timestamp { trusted.timestamp() } else { trusted.snapshot() };
            if *version > known.version {
                return None;
            }
        }
        Some(Lapsed { generation, failure: failure.clone() })
    }
}
