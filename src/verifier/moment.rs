//! By which sets is a review judged? By one generation of each repository, however many images and requirements ask.
//!
//! Two generations may each refuse an object of two images that neither admits as a whole: the one lists the first image and
//! the other the second. So what one question takes, the others get; and where one of them needs something newer, all are
//! asked again.

use std::sync::{Arc, Mutex, PoisonError};

use crate::repository::{Generation, Repository};

/// How often everything is asked again. Then it is judged by what there is, whatever is newer.
const AGAIN: u32 = 3;

/// The generations that one review goes by (trust.md §2.8).
#[derive(Debug, Default)]
pub struct Moment(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: Vec<(Arc<Repository>, Arc<Generation>)>,
    /// Whether something was judged by a generation that was replaced after that.
    moved: bool,
    again: u32,
}

impl State {
    fn taken(&mut self, repository: &Arc<Repository>) -> Option<&mut Arc<Generation>> {
        self.taken.iter_mut().find(|(of, _)| Arc::ptr_eq(of, repository)).map(|(_, generation)| generation)
    }
}

impl Moment {
    /// Whether all that was asked since the last time was judged by the same generations. Where it is not, all of it is to
    /// be asked again; it will be in the end.
    pub fn is_one(&self) -> bool {
        self.with(|state| {
            let moved = std::mem::take(&mut state.moved);
            state.again = state.again.saturating_add(u32::from(moved));
            !moved
        })
    }

    /// The generation of a repository: the one that was taken first, or the one in use, if there is one.
    pub(super) fn generation(&self, repository: &Arc<Repository>) -> Option<Arc<Generation>> {
        self.with(|state| match state.taken(repository) {
            Some(taken) => Some(taken.clone()),
            None => {
                let generation = repository.generation()?;
                state.taken.push((repository.clone(), generation.clone()));
                Some(generation)
            }
        })
    }

    /// The generation in use, if another one was taken before and may still be replaced.
    pub(super) fn newer(&self, repository: &Arc<Repository>) -> Option<Arc<Generation>> {
        let current = repository.generation()?;
        let taken = self.generation(repository)?;
        (!Arc::ptr_eq(&taken, &current)).then(|| self.replace(repository, current)).flatten()
    }

    /// Goes on by this generation from now on; what was judged by the one before is to be judged again. `None` where that
    /// has been so too often.
    pub(super) fn replace(&self, repository: &Arc<Repository>, by: Arc<Generation>) -> Option<Arc<Generation>> {
        self.with(|state| {
            if state.again >= AGAIN {
                return None;
            }
            match state.taken(repository) {
                Some(taken) if Arc::ptr_eq(taken, &by) => {}
                Some(taken) => {
                    *taken = by.clone();
                    state.moved = true;
                }
                None => state.taken.push((repository.clone(), by.clone())),
            }
            Some(by)
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
