//! The caps on everything a repository may make this program read, walk or keep.

use std::{collections::BTreeMap, time::Duration};

use jiff::SignedDuration;

use super::name::{Role, RoleChain};

/// Caps; every loop over foreign data names one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one root file.
    pub root_bytes: u64,
    /// Roots that one refresh steps through (TUF 5.3.3, "Y").
    pub root_rotations: u32,
    /// Bytes of a timestamp file.
    pub timestamp_bytes: u64,
    /// Bytes of a snapshot file where the timestamp gives no length.
    pub snapshot_bytes: u64,
    /// Bytes of a targets file, top-level or delegated, where the snapshot gives no length.
    pub targets_bytes: u64,
    /// Roles that one lookup visits (TUF 5.6.7.1).
    pub roles_visited: usize,
    /// Delegations below the top-level role that one lookup follows.
    pub delegation_depth: usize,
    /// Delegated roles without delegations of their own, such as hash bins, that are held whole. Of further ones only
    /// what says whether they are still the same; a lookup that comes to one reads it again.
    pub leaf_roles: usize,
    /// Bytes of one target file (layout, link, key, manifest).
    pub target_bytes: u64,
    /// Time of one refresh in all, whatever the repository does.
    pub refresh_time: Duration,
    /// Time for everything that one judgement fetches, whoever waits for it. It is looked at between the attempts to work
    /// the judgement out; each of those is bounded by what it counts.
    pub judgement_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            root_bytes: 512 << 10,
            root_rotations: 1024,
            timestamp_bytes: 64 << 10,
            snapshot_bytes: 16 << 20,
            targets_bytes: 128 << 20,
            roles_visited: 64,
            delegation_depth: 16,
            leaf_roles: 512,
            target_bytes: 32 << 20,
            refresh_time: Duration::from_secs(20),
            judgement_time: Duration::from_secs(20),
        }
    }
}

/// What a repository is held to, beyond what the specification demands of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The caps.
    pub limits: Limits,
    /// How far ahead of now a timestamp or a snapshot may expire; a stolen key must not buy an endless freeze.
    pub max_validity: Option<SignedDuration>,
    /// The least versions that are believed.
    pub minimum: Floors,
}

/// Versions below which nothing is believed, even by a client that has never seen a newer one. Zero: no floor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Floors {
    /// Of the root.
    pub root: u64,
    /// Of the timestamp.
    pub timestamp: u64,
    /// Of the snapshot.
    pub snapshot: u64,
    /// Of targets roles, by chain.
    pub roles: BTreeMap<RoleChain, u64>,
}

impl Floors {
    /// The floor of one file.
    pub fn of(&self, role: &Role) -> u64 {
        match role {
            Role::Root => self.root,
            Role::Timestamp => self.timestamp,
            Role::Snapshot => self.snapshot,
            Role::Targets(chain) => self.roles.get(chain).copied().unwrap_or(0),
        }
    }
}
