//! Delegated roles that were fetched and verified so far.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;

use super::{
    Error, FetchError, FetchRequest,
    check::{role_request, verify_targets},
    error::What,
    limits::Limits,
    lookup::{Loaded, Visit},
    metadata::{DelegatedRole, MetaFile, Targets},
    name::{Role, RoleChain},
    stored::FileBytes,
    trusted::{FileInfo, TopLevel, Trusted},
    verify::{Authority, Signers, Verified},
};
use crate::crypto::Sha256;

/// Verified delegated roles. It may outlive the generation it was filled under: a role counts in a lookup only if the
/// same bytes of its delegator delegate to it there and the snapshot lists it in the same way. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Delegated {
    /// By chain and never by bare name: authority that came down one way is none on another (python-tuf #2977). In parts:
    /// whoever adds one of thousands of bins, while lookups go on in what was there, copies a part and not all of them.
    parts: Arc<BTreeMap<u8, Part>>,
    len: usize,
    /// Of them, those without delegations that are held whole.
    whole_leaves: usize,
    /// The part of whose leaves the files are dropped next.
    next: u8,
    standing: Standing,
}

/// What has this in common with another is as it was: roles may have come, but none was replaced, and the set is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing(u64);

impl Standing {
    /// Never zero.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Another one than all before.
impl Default for Standing {
    fn default() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed).saturating_add(1))
    }
}

type Part = Arc<BTreeMap<RoleChain, Entry>>;

#[derive(Debug, Clone)]
struct Entry {
    delegator: Sha256,
    listed: MetaFile,
    /// That it was verified, and what results that were read from it stand on: they share it.
    visit: Arc<Visit>,
    /// Not of every leaf.
    whole: Option<Arc<Verified<Targets>>>,
}

impl Entry {
    /// Nothing stands on such a role but what was read from it.
    fn is_whole_leaf(&self) -> bool {
        self.whole.as_ref().is_some_and(|file| file.delegations.is_none())
    }

    fn is_the_same(&self, other: &Self) -> bool {
        self.delegator == other.delegator && self.listed == other.listed && self.visit == other.visit
    }
}

/// A delegated role that was verified and is held whole.
#[derive(Debug, Clone)]
pub struct LoadedRole(Entry);

/// A delegated role that a lookup needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRequest {
    /// The role.
    pub chain: RoleChain,
    /// Where its file is.
    pub fetch: FetchRequest,
    /// The name of its file without a version, safe in a folder (`team%2Fa.json`).
    pub file_name: String,
    role: DelegatedRole,
    delegator: (RoleChain, FileInfo),
    listed: MetaFile,
}

impl RoleRequest {
    /// The role, if these bytes are what the lookup under `trusted` asked for.
    ///
    /// # Errors
    /// They are not: TUF 5.6.2 to 5.6.5, for a delegated role (5.6.7).
    pub fn verify(&self, trusted: &Trusted, bytes: &FileBytes, now: Timestamp) -> Result<LoadedRole, Error> {
        let (delegator_chain, delegator) = &self.delegator;
        let authority = Authority {
            role: &Role::Targets(delegator_chain.clone()),
            version: delegator.version,
            keys: &self.role.keys,
            signers: &self.role.signers,
        };
        let role = Role::Targets(self.chain.clone());
        let file = verify_targets(&role, bytes, &self.listed, authority, now, &trusted.settings)?;
        Ok(LoadedRole(Entry {
            delegator: delegator.sha256,
            listed: self.listed.clone(),
            visit: Arc::new(Visit::of(self.chain.clone(), &file)),
            whole: Some(Arc::new(file)),
        }))
    }

    /// One of 256 numbers, by the name.
    pub fn part(&self) -> u8 {
        part_of(&self.chain)
    }

    /// The error that a failed fetch of this role is. It ends the lookup: a role that cannot be read is not absent.
    pub fn failed(&self, cause: FetchError) -> Error {
        Error::fetching(What::Role(Role::Targets(self.chain.clone())), cause)
    }
}

impl Delegated {
    /// Verifies the file that a lookup under `trusted` asked for, and keeps it. On an error nothing changes, so bytes
    /// from a cache can be tried before those from the repository.
    pub fn supply(
        &mut self,
        trusted: &Trusted,
        request: &RoleRequest,
        bytes: &FileBytes,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.add(request.verify(trusted, bytes, now)?, &trusted.settings.limits);
        Ok(())
    }

    /// Keeps a role that was verified.
    pub fn add(&mut self, LoadedRole(entry): LoadedRole, limits: &Limits) {
        // Before it is there: it is needed now.
        if entry.is_whole_leaf() {
            self.make_room(limits.leaf_roles);
        }
        self.insert(entry);
    }

    /// Whether this role is held whole, or another one in its place.
    pub fn has(&self, LoadedRole(entry): &LoadedRole) -> bool {
        self.get(&entry.visit.chain).is_some_and(|held| held.whole.is_some() || !held.is_the_same(entry))
    }

    /// Holds this role whole again, which it does not have.
    pub fn add_back(&mut self, LoadedRole(entry): &LoadedRole) {
        self.insert(entry.clone());
    }

    fn insert(&mut self, entry: Entry) {
        let (is_leaf, visit) = (entry.is_whole_leaf(), entry.visit.clone());
        let part = Arc::make_mut(&mut self.parts).entry(part_of(&visit.chain)).or_default();
        let replaced = Arc::make_mut(part).insert(visit.chain.clone(), entry);
        if replaced.as_ref().is_some_and(|replaced| replaced.visit != visit) {
            self.standing = Standing::default();
        }
        if replaced.is_none() {
            self.len = self.len.saturating_add(1);
        }
        let was_leaf = replaced.is_some_and(|entry| entry.is_whole_leaf());
        self.whole_leaves = self.whole_leaves.saturating_add(is_leaf.into()).saturating_sub(was_leaf.into());
    }

    /// Drops files of leaves until there is room for one more: part after part, so that what was read last stays for a
    /// while.
    fn make_room(&mut self, most: usize) {
        for _ in 0..=u8::MAX {
            if self.whole_leaves < most {
                return;
            }
            let part = Arc::make_mut(&mut self.parts).get_mut(&self.next);
            self.next = self.next.wrapping_add(1);
            let Some(part) = part else { continue };
            for entry in Arc::make_mut(part).values_mut().filter(|entry| entry.is_whole_leaf()) {
                entry.whole = None;
                self.whole_leaves = self.whole_leaves.saturating_sub(1);
            }
        }
    }

    fn get(&self, chain: &RoleChain) -> Option<&Entry> {
        self.parts.get(&part_of(chain))?.get(chain)
    }

    /// All of them, parents before their children: a chain sorts before its continuations.
    fn sorted(&self) -> BTreeMap<&RoleChain, &Entry> {
        self.parts.values().flat_map(|part| part.iter()).collect()
    }

    /// The role that a lookup needed, if it has been loaded since.
    pub fn loaded(&self, request: &RoleRequest) -> Option<LoadedRole> {
        let entry = self.get(&request.chain).filter(|entry| entry.whole.is_some())?;
        let is_it = entry.delegator == request.delegator.1.sha256 && entry.listed == request.listed;
        is_it.then(|| LoadedRole(entry.clone()))
    }

    /// How many roles are held, whole or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// By which a set that these roles are looked up in knows later whether all that stood still does.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The roles to be looked up in another set from now on.
    #[must_use]
    pub fn under_another(self) -> Self {
        Self { standing: Standing::default(), ..self }
    }

    /// Lets go of the roles that can no longer count under `trusted`.
    pub fn retain_current(&mut self, trusted: &Trusted) {
        let mut kept = Self { next: self.next, ..Self::default() };
        for (chain, entry) in self.sorted() {
            let delegator = chain.parent().and_then(|parent| kept.at(trusted, &parent));
            let is_current = delegator.is_some_and(|delegator| delegator.sha256() == entry.delegator)
                && trusted.snapshot.file.role(chain.name()) == Some(&entry.listed);
            if is_current {
                kept.insert(entry.clone());
            }
        }
        *self = kept;
    }

    /// Who may sign for a role, as its delegator says under `trusted`; none if the roles above it are not loaded or do
    /// not delegate to it.
    pub fn signers(&self, trusted: &Trusted, chain: &RoleChain) -> Option<Signers> {
        let Some(parent) = chain.parent() else {
            return Some(trusted.signers(TopLevel::Targets));
        };
        let delegator = self.at(trusted, &parent)?;
        let role = delegator.delegations.as_ref()?.named(chain.name())?;
        Some(role.keys.signers(&role.signers))
    }

    /// The roles to which the loaded ones delegate, and who may sign for them; of those with the same keys under one
    /// delegator only the first.
    pub fn delegations(&self, trusted: &Trusted) -> Vec<(RoleChain, Signers)> {
        let mut found = Vec::new();
        for (chain, file) in self.held(trusted) {
            let delegated = file.delegations.iter().flat_map(|delegations| delegations.distinct_signers());
            found.extend(delegated.map(|(name, signers)| (chain.child(&name), signers)));
        }
        found
    }

    /// The roles that count under `trusted` and are held whole, the top-level one first.
    pub(super) fn held(&self, trusted: &Trusted) -> Vec<(RoleChain, Arc<Verified<Targets>>)> {
        let loaded = self.sorted().into_keys().filter_map(|chain| Some((chain.clone(), self.at(trusted, chain)?)));
        std::iter::once((RoleChain::top(), trusted.targets.clone())).chain(loaded).collect()
    }

    /// Version and digest of the role at `chain`, if it and all above it count under `trusted`.
    pub(super) fn state(&self, trusted: &Trusted, chain: &RoleChain) -> Option<(u64, Sha256)> {
        let Some(parent) = chain.parent() else {
            return Some((trusted.targets.header().version, trusted.targets.sha256()));
        };
        let delegator = self.at(trusted, &parent)?;
        let visit = &self.entry(chain, &delegator, trusted.snapshot.file.role(chain.name())?)?.visit;
        Some((visit.version, visit.sha256))
    }

    /// The role at `chain`, if it and all above it count under `trusted` and it is held whole.
    pub(super) fn at(&self, trusted: &Trusted, chain: &RoleChain) -> Option<Arc<Verified<Targets>>> {
        let mut at = RoleChain::top();
        let mut file = trusted.targets.clone();
        for name in chain.names().iter().skip(1) {
            at = at.child(name);
            file = self.under(&at, &file, trusted.snapshot.file.role(name)?)?.1;
        }
        Some(file)
    }

    /// The role at `chain` as `delegator` delegates to it and the snapshot lists it, if it is held whole.
    pub(super) fn under(&self, chain: &RoleChain, delegator: &Verified<Targets>, listed: &MetaFile) -> Option<Loaded> {
        let entry = self.entry(chain, delegator, listed)?;
        Some((entry.visit.clone(), entry.whole.clone()?))
    }

    fn entry(&self, chain: &RoleChain, delegator: &Verified<Targets>, listed: &MetaFile) -> Option<&Entry> {
        let entry = self.get(chain)?;
        (entry.delegator == delegator.sha256() && entry.listed == *listed).then_some(entry)
    }
}

/// Where a role is kept. Whoever chooses names that all go to one part gets one large part.
fn part_of(chain: &RoleChain) -> u8 {
    chain.name().as_str().bytes().fold(0, |part, byte| part.wrapping_mul(31).wrapping_add(byte))
}

impl Trusted {
    /// What to fetch for a role to which `delegator` delegates.
    pub(super) fn role_request(
        &self,
        role: DelegatedRole,
        chain: RoleChain,
        delegator: (RoleChain, &Verified<Targets>),
        listed: &MetaFile,
    ) -> RoleRequest {
        let file_name = role.name.file_name();
        let fetch = role_request(&self.root, &file_name, listed, self.settings.limits.targets_bytes);
        let delegator = (delegator.0, FileInfo::new(delegator.1.header(), delegator.1.sha256()));
        RoleRequest { chain, fetch, file_name, role, delegator, listed: listed.clone() }
    }
}
