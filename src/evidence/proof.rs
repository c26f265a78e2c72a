//! What a judgement establishes, as types that only a judgement can make.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{Relied, RepositoryName, Subject};
use crate::{
    crypto::{KeyId, Sha256},
    in_toto,
    tuf::{RoleChain, TargetPath, Trusted, Visit},
};

/// The image was proven as the rule demands. Only [`super::judge()`] makes one; without one nothing is admitted by a
/// rule that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub(super) subject: Subject,
    pub(super) repository: RepositoryName,
    pub(super) image_chain: RoleChain,
    pub(super) targets_version: u64,
    pub(super) supply_chain: Option<SupplyChainProof>,
    pub(super) relied: Vec<Relied>,
    pub(super) visited: Arc<Vec<Arc<Visit>>>,
    pub(super) ends: Box<[(Ends, Timestamp)]>,
    pub(super) valid_until: Timestamp,
}

/// What a proof stands on and comes to an end by itself, beside the roles that were read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ends {
    /// The layout, or a sublayout of it.
    Layout(TargetPath),
    /// An OpenPGP key without whose signature there would be too few.
    Key {
        /// The key.
        keyid: KeyId,
        /// The step that it signed for; `None`: the layout.
        step: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SupplyChainProof {
    pub(super) made_by: Arc<MadeBy>,
    pub(super) bound_artifact: Box<str>,
    /// The index that stands for the manifest.
    pub(super) index: Option<Sha256>,
    /// None in a proof that is kept for long.
    pub(super) verified: Option<Arc<in_toto::Verified>>,
}

/// How an image came about: by which layout, and who made its steps. Images of one pipeline have it in common, so those
/// who keep many proofs keep it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBy {
    pub(super) layout: TargetPath,
    pub(super) layout_chain: RoleChain,
    pub(super) layout_keys: Vec<TargetPath>,
    pub(super) bound_step: String,
    pub(super) steps: Vec<Step>,
    pub(super) loose: Vec<in_toto::Lint>,
}

/// Who made one step of the supply chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The step's name in the layout.
    pub name: String,
    /// The functionaries whose links were verified and agree.
    pub functionaries: Vec<KeyId>,
    /// The type of the Statements that they signed in place of links.
    #[serde(rename = "predicateType", skip_serializing_if = "Option::is_none")]
    pub predicate_type: Option<in_toto::PredicateType>,
    /// The types that attest it in a layout over predicates.
    #[serde(rename = "predicateTypes", skip_serializing_if = "Vec::is_empty")]
    pub predicate_types: Vec<String>,
}

impl Step {
    /// Those of a supply chain, in the order of their names.
    pub(super) fn all(verified: &in_toto::Verified) -> Vec<Self> {
        let steps = verified.steps().iter().map(|(name, step)| Self {
            name: name.to_string(),
            functionaries: step.functionaries.clone(),
            predicate_type: step.predicate_type,
            predicate_types: step.predicates.iter().map(|expected| expected.predicate_type.clone()).collect(),
        });
        steps.collect()
    }
}

impl Proof {
    /// What was proven.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The repository that the evidence came from.
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// The chain of the role that signed the image's target.
    pub fn image_chain(&self) -> &RoleChain {
        &self.image_chain
    }

    /// The version of the top-level targets role at the time.
    pub fn targets_version(&self) -> u64 {
        self.targets_version
    }

    /// The layout, unless the rule asks for TUF alone.
    pub fn layout(&self) -> Option<&TargetPath> {
        self.made_by().map(|made| &made.layout)
    }

    /// The chain of the role that signed the layout's target.
    pub fn layout_chain(&self) -> Option<&RoleChain> {
        self.made_by().map(|made| &made.layout_chain)
    }

    /// The key files that verified the layout.
    pub fn layout_keys(&self) -> &[TargetPath] {
        self.made_by().map_or(&[], |made| &made.layout_keys)
    }

    /// The step and the artifact of it that carry the image's digest.
    pub fn bound_to(&self) -> Option<(&str, &str)> {
        self.supply_chain.as_ref().map(|proof| (proof.made_by.bound_step.as_str(), &*proof.bound_artifact))
    }

    /// The index that was proven in the place of the manifest (`via: index`).
    pub fn index(&self) -> Option<Sha256> {
        self.supply_chain.as_ref()?.index
    }

    /// What in-toto verified, with its trail; none for [`Self::without_trail`].
    pub fn verified(&self) -> Option<&in_toto::Verified> {
        self.supply_chain.as_ref()?.verified.as_deref()
    }

    /// The same proof without the names and digests of all artifacts, which may be megabytes: to be kept. `known` may
    /// give what equals the part that many proofs have in common.
    pub fn without_trail(&self, known: impl FnOnce(&Arc<MadeBy>) -> Arc<MadeBy>) -> Self {
        let mut short = self.clone();
        if let Some(proof) = &mut short.supply_chain {
            proof.verified = None;
            proof.made_by = known(&proof.made_by);
            for (end, _) in &mut short.ends {
                if let Ends::Layout(path) = end
                    && *path == proof.made_by.layout
                {
                    path.clone_from(&proof.made_by.layout);
                }
            }
        }
        short
    }

    fn made_by(&self) -> Option<&MadeBy> {
        self.supply_chain.as_ref().map(|proof| &*proof.made_by)
    }

    /// What the layout leaves loose about this image: allowed, and seldom wanted.
    pub fn loose(&self) -> &[in_toto::Lint] {
        self.made_by().map_or(&[], |made| &made.loose)
    }

    /// Who made which step, in the order of the step names.
    pub fn steps(&self) -> &[Step] {
        self.made_by().map_or(&[], |made| &made.steps)
    }

    /// What other repositories are to list alike, where the rule names some: the image, and perhaps the evidence.
    pub fn relied(&self) -> &[Relied] {
        &self.relied
    }

    /// Every targets role that was read, in the order of the chains. Their ends are among those that
    /// [`Self::valid_until`] is the earliest of.
    pub fn visited(&self) -> &[Arc<Visit>] {
        &self.visited
    }

    /// When the rest ends that [`Self::valid_until`] is the earliest of, each once and in order.
    pub fn ends(&self) -> &[(Ends, Timestamp)] {
        &self.ends
    }

    /// The earliest expiry of anything that the proof stands on.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }
}

/// The signed state that an outcome was read from: version and digest of the root and of every role that any walk
/// visited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    root: (u64, Sha256),
    /// In the order of the chains, each once. In one with that of the proof: many thousands are kept.
    visited: Arc<Vec<Arc<Visit>>>,
    valid_until: Timestamp,
}

impl Basis {
    pub(super) fn new(trusted: &Trusted) -> Self {
        Self {
            root: (trusted.root().version, trusted.root().sha256),
            visited: Arc::default(),
            valid_until: Timestamp::MAX,
        }
    }

    pub(super) fn add_visits(&mut self, visits: &[Arc<Visit>]) {
        let visited = Arc::make_mut(&mut self.visited);
        for visit in visits {
            match visited.binary_search_by(|known| known.chain.cmp(&visit.chain)) {
                Ok(place) => {
                    if let Some(known) = visited.get_mut(place) {
                        known.clone_from(visit);
                    }
                }
                Err(place) => visited.insert(place, visit.clone()),
            }
        }
        visits.iter().for_each(|visit| self.expires(visit.expires));
    }

    pub(super) fn expires(&mut self, expires: Timestamp) {
        self.valid_until = self.valid_until.min(expires);
    }

    /// What [`Self::visited`] says, to be held beside this.
    pub(super) fn share_visited(&mut self) -> Arc<Vec<Arc<Visit>>> {
        Arc::make_mut(&mut self.visited).shrink_to_fit();
        self.visited.clone()
    }

    /// Version and SHA-256 of the root under which everything was read.
    pub fn root(&self) -> (u64, Sha256) {
        self.root
    }

    /// Every role that was read, in the order of the chains.
    pub fn visited(&self) -> &[Arc<Visit>] {
        &self.visited
    }

    /// The earliest expiry of the roles, layouts and keys that were read. Timestamp and snapshot are not among them:
    /// they are renewed without changing anything and are looked at anew each time.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }
}
