//! What was verified, as data: only a successful verification makes a [`Verified`].

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    certificate::Issuer,
    functionary::FunctionaryFinding,
    key::FunctionaryKey,
    link::{Artifacts, Chosen, Recorded, Side},
    name::StepName,
    rule::Rule,
    statement::PredicateType,
};
use crate::crypto::KeyId;

/// A supply chain in which every check of [`verify()`](super::verify()) passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub(super) layout_signers: Vec<KeyId>,
    pub(super) layout_expires: Timestamp,
    pub(super) layouts_expire: Timestamp,
    pub(super) keys_expire: Vec<KeyExpiry>,
    pub(super) order: Vec<StepName>,
    pub(super) steps: BTreeMap<StepName, VerifiedStep>,
    pub(super) inspections: Vec<VerifiedInspection>,
    pub(super) skipped: Vec<StepName>,
}

impl Verified {
    /// The ids of the keys whose signatures on the layout were verified.
    pub fn layout_signers(&self) -> &[KeyId] {
        &self.layout_signers
    }

    /// When the layout expires.
    pub fn layout_expires(&self) -> Timestamp {
        self.layout_expires
    }

    /// When the first of the layout and its sublayouts expires.
    pub fn layouts_expire(&self) -> Timestamp {
        self.layouts_expire
    }

    /// The keys that expire and without which there would be too few signatures, those of sublayouts included.
    pub fn keys_expire(&self) -> &[KeyExpiry] {
        &self.keys_expire
    }

    /// When the first of layouts and keys expires.
    pub fn earliest_expiry(&self) -> Timestamp {
        self.keys_expire.iter().map(|key| key.expires).fold(self.layouts_expire, Timestamp::min)
    }

    /// The steps' names in the order of the layout.
    pub fn order(&self) -> &[StepName] {
        &self.order
    }

    /// The steps by name.
    pub fn steps(&self) -> &BTreeMap<StepName, VerifiedStep> {
        &self.steps
    }

    /// The first step and its name.
    pub fn first_step(&self) -> Option<(&StepName, &VerifiedStep)> {
        self.steps.get_key_value(self.order.first()?)
    }

    /// The last step and its name: what it produced is the final product.
    pub fn last_step(&self) -> Option<(&StepName, &VerifiedStep)> {
        self.steps.get_key_value(self.order.last()?)
    }

    /// The inspections that were carried out, in the order of the layout.
    pub fn inspections(&self) -> &[VerifiedInspection] {
        &self.inspections
    }

    /// The inspections that were left out because the options say so.
    pub fn skipped_inspections(&self) -> &[StepName] {
        &self.skipped
    }

    /// What stands in for this layout where it is a sublayout (in-toto 4.5.1): materials of the first step, products of
    /// the last.
    pub fn summary(&self) -> Recorded {
        Recorded {
            materials: self.first_step().map(|(_, step)| step.materials.clone()).unwrap_or_default(),
            products: self.last_step().map(|(_, step)| step.products.clone()).unwrap_or_default(),
        }
    }
}

/// A key with whose expiry a threshold is no longer met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyExpiry {
    /// The key.
    pub keyid: KeyId,
    /// The step that it signed for; `None`: the layout.
    pub step: Option<StepName>,
    /// When it expires.
    pub expires: Timestamp,
}

/// A step on whose links enough functionaries agree, and whose rules hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedStep {
    /// What all valid links say went in.
    pub materials: Artifacts,
    /// What all valid links say came out.
    pub products: Artifacts,
    /// The type of the Statements that attest it; `None` where links do.
    pub predicate_type: Option<PredicateType>,
    /// What it was attested by in a layout over predicates; else nothing.
    pub predicates: Vec<VerifiedPredicate>,
    /// How many distinct functionaries it needed; of a layout over predicates, the most that one of its types did.
    pub threshold: u32,
    /// Who signed a valid link, or a sublayout that was verified.
    pub functionaries: Vec<KeyId>,
    /// What was found of everyone who may sign.
    pub findings: Vec<FunctionaryFinding>,
    /// The keys that may sign for this step.
    pub authorised: BTreeMap<KeyId, FunctionaryKey>,
    /// The keys of those who signed and are known by certificates.
    pub certified: BTreeMap<KeyId, FunctionaryKey>,
    /// Whose certificates make functionaries of it.
    pub issuers: Vec<Issuer>,
    /// What each rule for materials consumed, in order.
    pub material_rules: Vec<RuleTrail>,
    /// What each rule for products consumed, in order.
    pub product_rules: Vec<RuleTrail>,
    /// The functionaries whose link names another command than the layout expects. The reference warns, no more.
    pub other_command: Vec<KeyId>,
    /// The sublayouts that stand in for links, by who signed them.
    pub sublayouts: BTreeMap<KeyId, Verified>,
}

impl VerifiedStep {
    /// Whether a rule of this step consumed an artifact; what the implicit `ALLOW *` let through was consumed by none.
    pub fn is_consumed(&self, side: Side, name: &str) -> bool {
        let rules = match side {
            Side::Materials => &self.material_rules,
            Side::Products => &self.product_rules,
        };
        rules.iter().any(|trail| trail.consumed.contains(name))
    }

    /// Whether its Statements all say something about artifacts, and none what was made of them.
    pub(super) fn makes_nothing(&self) -> bool {
        let makes = |known: &PredicateType| self.is_attested_by(*known);
        !self.predicates.is_empty() && !PredicateType::ALL.iter().any(makes)
    }

    /// Whether it was attested by Statements of this type.
    pub fn is_attested_by(&self, predicate_type: PredicateType) -> bool {
        let is_it = |predicate: &VerifiedPredicate| predicate.predicate_type == predicate_type.as_str();
        self.predicate_type == Some(predicate_type) || self.predicates.iter().any(is_it)
    }
}

/// A type of Statements that enough functionaries signed, and what these say (ITE-10, ITE-11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPredicate {
    /// The type.
    pub predicate_type: String,
    /// How many distinct functionaries were needed.
    pub threshold: u32,
    /// Who signed one.
    pub functionaries: Vec<KeyId>,
    /// The rules that hold for each of them, in order.
    pub attributes: Vec<AttributeTrail>,
    /// The keys that may sign one.
    pub authorised: BTreeMap<KeyId, FunctionaryKey>,
    /// Whether it says what was made of what.
    pub says_what_was_made: bool,
}

/// An attribute rule that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeTrail {
    /// The expression, with parameters filled in.
    pub rule: String,
    /// For whose Statements it holds because a member is not there.
    pub no_claim: Vec<KeyId>,
}

/// An inspection whose rules hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedInspection {
    /// Its name.
    pub name: StepName,
    /// Its command, with parameters filled in.
    pub run: Vec<String>,
    /// What was recorded for it.
    pub recorded: Recorded,
    /// What each rule for materials consumed, in order.
    pub material_rules: Vec<RuleTrail>,
    /// What each rule for products consumed, in order.
    pub product_rules: Vec<RuleTrail>,
}

/// A rule and what it consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleTrail {
    /// The rule, with parameters filled in.
    pub rule: Rule,
    /// The names that it took out of the queue; empty for `DISALLOW` and `REQUIRE`.
    pub consumed: Chosen,
}
