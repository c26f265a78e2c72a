//! How much is asked of the servers of a repository, and how much comes back?

use std::sync::atomic::{AtomicU64, Ordering};

/// What went over the network for one repository since it was last taken.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    /// A request was sent: each hop of a redirect and each further attempt is one.
    pub(super) fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// So much of a body came, whatever becomes of it.
    pub(super) fn received(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Requests and bytes of bodies since this was last asked.
    pub(crate) fn take(&self) -> (u64, u64) {
        (self.requests.swap(0, Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed))
    }
}
