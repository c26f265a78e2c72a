//! What the roles that were read list and delegate, as a whole. For people who ask what a stolen key is good for: lookups
//! follow one path, and say who speaks about it.

use std::collections::BTreeSet;

use super::{
    delegated::Delegated,
    metadata::HashedPath,
    name::{RoleChain, TargetPath},
    trusted::Trusted,
};

impl Trusted {
    /// Whether the snapshot lists a targets role by its hashes, or not at all: else another file of the same version is as
    /// good to whoever has not read that one (TUF 4.4, METAFILES).
    pub fn pins(&self, chain: &RoleChain) -> bool {
        self.snapshot.file.role(chain.name()).is_none_or(|listed| listed.hashes.is_some())
    }

    /// Whether the timestamp lists the snapshot by its hashes.
    pub fn pins_snapshot(&self) -> bool {
        self.timestamp.file.snapshot.hashes.is_some()
    }
}

impl Delegated {
    /// The roles to which those that were read delegate a path, whether or not a lookup would come to them.
    pub fn delegated(&self, trusted: &Trusted, path: &TargetPath) -> Vec<RoleChain> {
        let path = HashedPath::new(path);
        let mut found = Vec::new();
        for (chain, file) in self.held(trusted) {
            let delegations = file.delegations.iter();
            found.extend(
                delegations.flat_map(|delegations| delegations.for_path(&path)).map(|role| chain.child(&role.name)),
            );
        }
        found
    }

    /// The patterns of paths by which they delegate.
    pub fn patterns(&self, trusted: &Trusted) -> BTreeSet<String> {
        let held = self.held(trusted).into_iter();
        held.flat_map(|(_, file)| file.delegations.as_ref().map(|all| all.patterns()).unwrap_or_default()).collect()
    }

    /// The paths of all targets that one of them lists.
    pub fn listed(&self, trusted: &Trusted) -> BTreeSet<TargetPath> {
        self.held(trusted).into_iter().flat_map(|(_, file)| file.targets.paths()).collect()
    }
}
