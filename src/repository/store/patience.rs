//! How long is a disk waited for that does not answer?
//!
//! A disk that is broken, or on the other side of a network, may take a call and never return from it; nothing can take
//! the call back. It is left to its thread, and who waited is told. Until it has returned no change is begun: else every
//! review would leave a thread there.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{Error, Store};
use crate::repository::aside::done;

/// How long the disk has to answer, and how many answers it owes for longer.
#[derive(Debug)]
pub(super) struct Patience {
    length: Duration,
    overdue: AtomicUsize,
}

impl Patience {
    pub(super) fn of(length: Duration) -> Arc<Self> {
        Arc::new(Self { length, overdue: AtomicUsize::new(0) })
    }
}

/// Something that was asked of the disk, held by who asked and by the thread that waits. It ends with the last of them.
struct Call {
    store: Store,
    is_overdue: AtomicBool,
}

impl Call {
    fn overdue(&self) {
        self.is_overdue.store(true, Ordering::Release);
        self.store.patience.overdue.fetch_add(1, Ordering::AcqRel);
        tracing::error!(path = %self.store.dir.display(), "the disk does not answer, no change is begun until it does");
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.is_overdue.load(Ordering::Acquire) {
            self.store.patience.overdue.fetch_sub(1, Ordering::AcqRel);
            tracing::info!(path = %self.store.dir.display(), "the disk has answered");
        }
    }
}

impl Store {
    /// Whether the disk answers, as far as is known.
    pub fn answers(&self) -> Result<(), Error> {
        match self.patience.overdue.load(Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(self.no_answer()),
        }
    }

    /// Runs what blocks where it may, for as long as the disk takes: what was known must not count as absent because the
    /// disk is slow.
    pub(super) async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Path) -> T + Send + 'static) -> T {
        let (mut task, call) = self.begin(work);
        let ended = match timeout(self.patience.length, &mut task).await {
            Ok(ended) => ended,
            Err(_) => {
                call.overdue();
                task.await
            }
        };
        done(ended).await
    }

    /// The same until patience ends. What was asked may still be done after that.
    pub(super) async fn patiently<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.answers()?;
        let (mut task, call) = self.begin(work);
        match timeout(self.patience.length, &mut task).await {
            Ok(ended) => Ok(done(ended).await),
            Err(_) => {
                call.overdue();
                Err(self.no_answer())
            }
        }
    }

    fn begin<T: Send + 'static>(&self, work: impl FnOnce(&Path) -> T + Send + 'static) -> (JoinHandle<T>, Arc<Call>) {
        let call = Arc::new(Call { store: self.clone(), is_overdue: AtomicBool::new(false) });
        let held = call.clone();
        let task = spawn_blocking(move || {
            let done = work(&held.store.dir);
            drop(held);
            done
        });
        (task, call)
    }

    fn no_answer(&self) -> Error {
        Error::Io { path: self.dir.to_path_buf(), why: "the disk does not answer".to_owned() }
    }
}
