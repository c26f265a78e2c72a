//! The search for a target through the delegations (TUF 5.6.7): pre-order, depth first, first match wins.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;

use super::{
    Error,
    check::{at_least_minimum, unexpired},
    delegated::{Delegated, RoleRequest},
    metadata::{DelegatedRole, HashedPath, Header, TargetFile, Targets},
    name::{Role, RoleChain, RoleName, TargetPath},
    trusted::Trusted,
    verify::Verified,
};
use crate::crypto::Sha256;

/// What a lookup came to. Anything wrong on the way is an error instead, and never an absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The target, by the first role in the order of priority that lists it.
    Found(Resolved),
    /// The search has ended and no role that may speak about the path lists it.
    Absent {
        /// The roles that were read.
        visited: Vec<Arc<Visit>>,
    },
    /// A role that is not loaded must be read first; then the lookup is to be repeated.
    Needs(Box<RoleRequest>),
}

/// A target that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What is signed about it.
    pub target: Arc<TargetFile>,
    /// The role that lists it; every role of the chain is trusted with the path.
    pub chain: RoleChain,
    /// The roles that were read, that one included: what the outcome depends on.
    pub visited: Vec<Arc<Visit>>,
}

/// A targets role that a lookup read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The role.
    pub chain: RoleChain,
    /// The version of its file.
    pub version: u64,
    /// The digest of its file.
    pub sha256: Sha256,
    /// From this instant on the file is not to be used.
    pub expires: Timestamp,
}

impl Visit {
    pub(super) fn of(chain: RoleChain, file: &Verified<Targets>) -> Self {
        let Header { version, expires } = file.header();
        Self { chain, version, sha256: file.sha256(), expires }
    }
}

pub(super) type Loaded = (Arc<Visit>, Arc<Verified<Targets>>);

enum Step {
    Loaded(Loaded),
    Needs(Box<RoleRequest>),
}

impl Trusted {
    /// Searches for `path` from the top-level role on, in the order of priority.
    pub fn lookup(&self, roles: &Delegated, path: &TargetPath, now: Timestamp) -> Result<Lookup, Error> {
        let mut walk = self.walk(roles, path, now)?;
        let limit = self.settings.limits.roles_visited;
        // A role is visited once, by name: so a circle ends, and where two roles delegate to a third, the way of higher
        // priority is the one that is gone.
        let mut names: BTreeSet<RoleName> = BTreeSet::new();
        let mut current = (self.top.clone(), self.targets.clone());
        // Pairs of a delegation and who made it; the last is the next to visit.
        let mut pending: Vec<(DelegatedRole, Loaded)> = Vec::new();
        loop {
            if let Some(target) = walk.visit(&current)? {
                return Ok(Lookup::Found(Resolved { target, chain: current.0.chain.clone(), visited: walk.visited }));
            }
            if let Some(delegations) = &current.1.delegations {
                let mut children = delegations.for_path(&walk.path);
                if let Some(end) = children.iter().position(|role| role.terminating) {
                    // 5.6.7.2.1: nothing after a terminating role, neither here nor above.
                    children.truncate(end + 1);
                    pending.clear();
                }
                pending.extend(children.into_iter().rev().map(|role| (role, current.clone())));
            }
            current = loop {
                let Some((role, delegator)) = pending.pop() else {
                    return Ok(Lookup::Absent { visited: walk.visited });
                };
                if !names.insert(role.name.clone()) {
                    continue;
                }
                if walk.visited.len() >= limit {
                    return Err(Error::TooManyRoles { path: path.clone(), limit });
                }
                match walk.step(role, delegator)? {
                    Step::Loaded(loaded) => break loaded,
                    Step::Needs(request) => return Ok(Lookup::Needs(request)),
                }
            };
        }
    }

    /// Reads `path` from the role at exactly `chain`, whatever other roles say. Absent also if a role of the chain is
    /// not delegated to, or not for this path.
    pub fn lookup_in(
        &self,
        roles: &Delegated,
        chain: &RoleChain,
        path: &TargetPath,
        now: Timestamp,
    ) -> Result<Lookup, Error> {
        let mut walk = self.walk(roles, path, now)?;
        let mut current = (self.top.clone(), self.targets.clone());
        for name in chain.names().iter().skip(1) {
            walk.visit(&current)?;
            let delegations = current.1.delegations.as_ref();
            let children = delegations.map(|delegations| delegations.for_path(&walk.path)).unwrap_or_default();
            let Some(role) = children.into_iter().find(|role| role.name == *name) else {
                return Ok(Lookup::Absent { visited: walk.visited });
            };
            match walk.step(role, current)? {
                Step::Loaded(loaded) => current = loaded,
                Step::Needs(request) => return Ok(Lookup::Needs(request)),
            }
        }
        Ok(match walk.visit(&current)? {
            Some(target) => Lookup::Found(Resolved { target, chain: current.0.chain.clone(), visited: walk.visited }),
            None => Lookup::Absent { visited: walk.visited },
        })
    }

    fn walk<'a>(&'a self, roles: &'a Delegated, path: &TargetPath, now: Timestamp) -> Result<Walk<'a>, Error> {
        if !path.is_safe() {
            return Err(Error::UnsafePath { path: path.clone() });
        }
        // Time has passed since the refresh.
        self.unexpired(now)?;
        Ok(Walk { trusted: self, roles, path: HashedPath::new(path), now, visited: Vec::new() })
    }
}

/// What both ways of looking up share.
struct Walk<'a> {
    trusted: &'a Trusted,
    roles: &'a Delegated,
    path: HashedPath,
    now: Timestamp,
    visited: Vec<Arc<Visit>>,
}

impl Walk<'_> {
    /// Reads a role that is loaded.
    fn visit(&mut self, (visit, file): &Loaded) -> Result<Option<Arc<TargetFile>>, Error> {
        let role = Role::Targets(visit.chain.clone());
        // 5.6.5, at the time of this lookup and under the settings of this generation.
        unexpired(&role, file.header(), self.now)?;
        at_least_minimum(&role, file.header(), &self.trusted.settings)?;
        self.visited.push(visit.clone());
        file.targets.get(&self.path.path).map_err(|error| {
            let error = error.within("targets").within("signed");
            Error::Malformed { role, at: error.at, why: error.why }
        })
    }

    /// Goes down one delegation that covers the path.
    fn step(&self, role: DelegatedRole, delegator: Loaded) -> Result<Step, Error> {
        let chain = delegator.0.chain.child(&role.name);
        let limit = self.trusted.settings.limits.delegation_depth;
        if chain.depth() > limit {
            return Err(Error::TooDeep { path: self.path.path.clone(), chain, limit });
        }
        // 5.6.1: a role that is missing ends the search.
        let Some(listed) = self.trusted.snapshot.file.role(&role.name) else {
            return Err(Error::NotInSnapshot { chain, snapshot: self.trusted.snapshot().version });
        };
        Ok(match self.roles.under(&chain, &delegator.1, listed) {
            Some(loaded) => Step::Loaded(loaded),
            None => {
                let delegator = (delegator.0.chain.clone(), &*delegator.1);
                Step::Needs(Box::new(self.trusted.role_request(role, chain, delegator, listed)))
            }
        })
    }
}
