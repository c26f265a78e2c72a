//! Look-ups in one immutable view of a repository, and the record of what they stood on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;

use super::{Basis, Ends, Error, Relied, RepositoryName};
use crate::{
    image::{
        Descriptor,
        layer::{self, Layer, LayerFault},
    },
    in_toto::{Inspection, Recorded},
    tuf::{Delegated, Lookup, Resolved, RoleChain, RoleRequest, TargetFile, TargetPath, Trusted, Visit},
};

/// One immutable generation of a repository, and the files fetched so far for one judgement.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The repository's name in the policy.
    pub repository: &'a RepositoryName,
    /// Root, timestamp, snapshot and top-level targets.
    pub trusted: &'a Trusted,
    /// The delegated roles that are loaded.
    pub roles: &'a Delegated,
    /// Target files by path. Their hashes and lengths are compared again where they are used.
    pub files: &'a BTreeMap<TargetPath, Arc<[u8]>>,
    /// Layers of images, each read from a blob with the digest and the size of its descriptor, or why it is refused.
    pub layers: &'a BTreeMap<Descriptor, Result<Arc<Layer>, LayerFault>>,
    /// What runs the commands of inspections; nothing does in the webhook.
    pub commands: Option<&'a dyn Commands>,
}

/// Runs the commands of inspections that are not built in, on the machine of somebody who wants that.
pub trait Commands: fmt::Debug + Send + Sync {
    /// Runs one, and says what was there before and after.
    ///
    /// # Errors
    /// It failed, in words.
    fn run(&self, inspection: &Inspection) -> Result<Recorded, String>;
}

/// What a judgement lacks.
#[derive(Debug, Clone)]
pub enum Need {
    /// The metadata of a delegated role.
    Role(Box<RoleRequest>),
    /// A target file.
    File(Arc<TargetFile>),
    /// A layer of the image.
    Layer(Descriptor),
}

/// How far a judgement came.
#[derive(Debug, Clone)]
pub enum Progress<T> {
    /// It cannot go on without these.
    Needs(Vec<Need>),
    /// It ended.
    Done(Judgement<T>),
}

/// How a judgement ended, and what it stood on.
#[derive(Debug, Clone)]
pub struct Judgement<T> {
    /// What was established, or why it was refused.
    pub outcome: Result<T, Error>,
    /// Every role that was read on the way: while these stay as they are, the outcome does.
    pub basis: Basis,
    /// The layout that the judgement came to, if it came to one.
    pub layout: Option<TargetPath>,
}

/// Caps on what the metadata of one image may list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Files that one image's target may list.
    pub evidence_files: usize,
    /// Key files that one layout's target may list.
    pub layout_keys: usize,
    /// Bytes of all files of one judgement together.
    pub total_bytes: u64,
    /// Caps of the in-toto verification.
    pub in_toto: crate::in_toto::Limits,
    /// Caps of the layers of an image.
    pub layers: layer::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            evidence_files: 512,
            layout_keys: 64,
            total_bytes: 64 << 20,
            in_toto: crate::in_toto::Limits::default(),
            layers: layer::Limits::default(),
        }
    }
}

/// Why a judgement cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    Needs,
    Refused(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// A walk through one view: answers look-ups, and notes what it saw and what it lacked.
pub(super) struct Walk<'a> {
    pub(super) view: View<'a>,
    pub(super) now: Timestamp,
    pub(super) limits: &'a Limits,
    basis: Basis,
    ends: BTreeMap<Ends, Timestamp>,
    needs: Vec<Need>,
    wanted_bytes: u64,
    wanted: BTreeSet<TargetPath>,
    layout: Option<TargetPath>,
    relied: Vec<Relied>,
    /// Whether other repositories are to be asked about the files that are read.
    pub(super) note_files: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(view: View<'a>, now: Timestamp, limits: &'a Limits) -> Self {
        let basis = Basis::new(view.trusted);
        Self {
            view,
            now,
            limits,
            basis,
            ends: BTreeMap::new(),
            needs: Vec::new(),
            wanted_bytes: 0,
            wanted: BTreeSet::new(),
            layout: None,
            relied: Vec::new(),
            note_files: false,
        }
    }

    /// Turns the end of a judgement into its progress.
    pub(super) fn end<T>(self, result: Result<T, Stop>) -> Progress<T> {
        let outcome = match result {
            Err(Stop::Needs) => return Progress::Needs(self.needs),
            Err(Stop::Refused(error)) => Err(error),
            Ok(value) => Ok(value),
        };
        Progress::Done(Judgement { outcome, basis: self.basis, layout: self.layout })
    }

    /// Goes on only if nothing was found lacking so far.
    pub(super) fn settle(&self) -> Result<(), Stop> {
        if self.needs.is_empty() { Ok(()) } else { Err(Stop::Needs) }
    }

    /// Looks a path up by the pre-order walk (TUF 5.6.7). What lacks is noted and answered as absent: call
    /// [`Self::settle`] before the answer is used.
    pub(super) fn lookup(&mut self, path: &TargetPath) -> Result<Option<Resolved>, Stop> {
        let found = self.view.trusted.lookup(self.view.roles, path, self.now)?;
        Ok(self.note(found))
    }

    /// Every role that may speak about a path, up to the one that does. As [`Self::lookup`], to be settled.
    pub(super) fn speakers(&mut self, path: &TargetPath) -> Result<Vec<RoleChain>, Stop> {
        let found = self.view.trusted.lookup(self.view.roles, path, self.now)?;
        let visited = match &found {
            Lookup::Found(Resolved { visited, .. }) | Lookup::Absent { visited } => visited.as_slice(),
            Lookup::Needs(_) => &[],
        };
        let chains = visited.iter().map(|visit| visit.chain.clone()).collect();
        self.note(found);
        Ok(chains)
    }

    /// Looks a path up in one role alone. As [`Self::lookup`], to be settled.
    pub(super) fn lookup_in(&mut self, chain: &RoleChain, path: &TargetPath) -> Result<Option<Resolved>, Stop> {
        let found = self.view.trusted.lookup_in(self.view.roles, chain, path, self.now)?;
        Ok(self.note(found))
    }

    fn note(&mut self, found: Lookup) -> Option<Resolved> {
        match found {
            Lookup::Found(resolved) => {
                self.basis.add_visits(&resolved.visited);
                Some(resolved)
            }
            Lookup::Absent { visited } => {
                self.basis.add_visits(&visited);
                None
            }
            Lookup::Needs(request) => {
                let known = |need: &Need| matches!(need, Need::Role(other) if other.chain == request.chain);
                if !self.needs.iter().any(known) {
                    self.needs.push(Need::Role(request));
                }
                None
            }
        }
    }

    /// The bytes of a target, held against all its hashes and its length. What lacks is noted; to be settled.
    pub(super) fn file(&mut self, target: &Arc<TargetFile>) -> Result<Option<Arc<[u8]>>, Stop> {
        if self.wanted.insert(target.path.clone()) {
            self.wanted_bytes = self.wanted_bytes.saturating_add(target.length);
        }
        let total = self.limits.total_bytes;
        if self.wanted_bytes > total {
            return Err(Error::TooManyBytes { path: target.path.clone(), limit: total }.into());
        }
        let Some(bytes) = self.view.files.get(&target.path) else {
            self.needs.push(Need::File(target.clone()));
            return Ok(None);
        };
        // TUF 5.7.2, 5.7.3
        target.verify(bytes)?;
        if self.note_files {
            self.rely_on(target);
        }
        Ok(Some(bytes.clone()))
    }

    /// A layer, or why it is refused. What lacks is noted; to be settled.
    pub(super) fn layer(&mut self, wanted: &Descriptor) -> Option<Result<Arc<Layer>, LayerFault>> {
        let known = self.view.layers.get(wanted).cloned();
        let is_same = |need: &Need| matches!(need, Need::Layer(other) if other == wanted);
        if known.is_none() && !self.needs.iter().any(is_same) {
            self.needs.push(Need::Layer(wanted.clone()));
        }
        known
    }

    /// Notes that the outcome rests on this target, about which other repositories are to be asked.
    pub(super) fn rely_on(&mut self, target: &Arc<TargetFile>) {
        self.relied.push(Relied::from(target));
    }

    pub(super) fn relied(&self) -> Vec<Relied> {
        self.relied.clone()
    }

    /// Notes which layout the image came to.
    pub(super) fn found_layout(&mut self, layout: &TargetPath) {
        self.layout = Some(layout.clone());
    }

    /// Notes that the outcome also ends at `expires`, with `what`.
    pub(super) fn expires(&mut self, what: Ends, expires: Timestamp) {
        self.basis.expires(expires);
        self.ends.insert(what, expires);
    }

    pub(super) fn ends(&self) -> Box<[(Ends, Timestamp)]> {
        self.ends.iter().map(|(end, at)| (end.clone(), *at)).collect()
    }

    pub(super) fn share_visited(&mut self) -> Arc<Vec<Arc<Visit>>> {
        self.basis.share_visited()
    }

    pub(super) fn valid_until(&self) -> Timestamp {
        self.basis.valid_until()
    }
}
