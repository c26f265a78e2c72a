//! One trusted set, and the delegated roles that are read for it by and by.

use std::{collections::BTreeSet, sync::Arc};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, timeout_at},
};

use super::live::Error;
use crate::{
    evidence::{NoSeparation, separation},
    tuf::{Delegated, LoadedRole, RoleChain, RoleRequest, Standing, Trusted},
};

/// Roles that are read at the same time.
const AT_ONCE: usize = 32;

/// One immutable trusted set, and what of its delegated roles is loaded.
#[derive(Debug)]
pub struct Generation {
    pub(super) trusted: Trusted,
    roles: ArcSwap<Delegated>,
    /// Of each role one fetch is under way. Roles whose names fall together wait for one another.
    loading: [Mutex<()>; AT_ONCE],
    /// Who writes in the folder that is shared with other processes.
    pub(super) writing: Mutex<()>,
}

impl Generation {
    pub(super) fn new(trusted: Trusted, roles: Delegated) -> Self {
        Self {
            trusted,
            roles: ArcSwap::from_pointee(roles.under_another()),
            loading: std::array::from_fn(|_| Mutex::new(())),
            writing: Mutex::new(()),
        }
    }

    /// Root, timestamp, snapshot and top-level targets.
    pub fn trusted(&self) -> &Trusted {
        &self.trusted
    }

    /// The delegated roles that are loaded now.
    pub fn roles(&self) -> Arc<Delegated> {
        self.roles.load_full()
    }

    /// While this is the same, a role that was found in this set is found in it unchanged.
    pub fn standing(&self) -> Standing {
        self.roles.load().standing()
    }

    /// T1: where a key that is online also meets the threshold of a role that may sign layouts.
    pub fn separation(&self, layout_roles: &BTreeSet<RoleChain>) -> BTreeSet<NoSeparation> {
        separation(&self.trusted, &self.roles(), layout_roles)
    }

    /// Waits until nobody else reads this role, at most until `deadline`: whoever waited may find it loaded.
    pub(super) async fn alone(&self, request: &RoleRequest, deadline: Instant) -> Result<MutexGuard<'_, ()>, Error> {
        let place = usize::from(request.part()).checked_rem(AT_ONCE);
        let lock = place.and_then(|place| self.loading.get(place));
        let lock = lock.ok_or_else(|| Error::Internal("no role can be read at all".to_owned()))?;
        timeout_at(deadline, lock.lock()).await.map_err(|_| Error::NotYet)
    }

    /// Keeps a role for everybody.
    pub(super) fn add(&self, role: &LoadedRole) {
        // Others are added meanwhile.
        self.roles.rcu(|roles| {
            let mut roles = Delegated::clone(roles);
            roles.add(role.clone(), &self.trusted.settings().limits);
            roles
        });
    }
}
