//! What those who keep results ask: does what they were read from still stand?

use std::sync::Arc;

use jiff::Timestamp;

use super::{Delegated, Error, RoleChain, Settings, Trusted, roots::Roots};
use crate::crypto::Sha256;

/// The version of a root that is to be pinned, if it is signed by its own keys.
pub fn root_version(pinned_root: &[u8]) -> Result<u64, Error> {
    Ok(Roots::pinned(pinned_root, Arc::new(Settings::default()))?.version())
}

impl Trusted {
    /// That none of the four files has expired at `now` (5.3.10, 5.4.4, 5.5.6, 5.6.5).
    pub fn check_unexpired(&self, now: Timestamp) -> Result<(), Error> {
        self.unexpired(now)
    }

    /// Version and digest of a targets role as it counts in this generation; none if it, or a role above it, is not
    /// loaded.
    pub fn state_of(&self, roles: &Delegated, chain: &RoleChain) -> Option<(u64, Sha256)> {
        roles.state(self, chain)
    }
}
