//! Why a supply chain was refused.

mod problem;

use jiff::Timestamp;

use super::{
    artifacts::RuleFailure,
    attributes::AttributeFailure,
    envelope::SignatureProblem,
    functionary::{FunctionaryFinding, list, people},
    link::{Disagreement, Side},
    name::StepName,
    statement::{PredicateType, Sought, evidence, others},
};
use crate::crypto::{KeyId, openpgp};

pub use problem::{KeyProblem, ParameterProblem, Problem, Unclean};

/// Why a supply chain was refused: the first check that failed, in the order of the specification's workflow (5.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file that is not what its place asks for.
    #[error("{file}: {}{problem}", place(.at))]
    Malformed {
        /// The file's path below the folder of links, or `layout`.
        file: String,
        /// Where in the document, as `steps[0].threshold`; empty for the document itself.
        at: String,
        /// What is wrong there.
        problem: Problem,
    },
    /// More than a cap allows.
    #[error("{file}: {found} {what}, at most {limit} are allowed")]
    Limit {
        /// The file in which it was met.
        file: String,
        /// What was counted.
        what: &'static str,
        /// The cap.
        limit: usize,
        /// How many there are.
        found: usize,
    },
    /// Two of the given files have the same path.
    #[error("two link files are given for {0}")]
    AmbiguousLink(String),
    /// No key was given to verify the layout with.
    #[error("no key is given to verify the layout with")]
    NoLayoutKeys,
    /// The layout lacks signatures by the keys that were given for it.
    #[error("the layout needs signatures by {threshold} of {} keys, {verified} verified{}", .missing.len() + .verified, lacking(.missing))]
    LayoutSignature {
        /// How many distinct keys must have signed.
        threshold: u32,
        /// How many have.
        verified: usize,
        /// The keys without a valid signature, and why.
        missing: Vec<(KeyId, SignatureProblem)>,
    },
    /// The layout has expired.
    #[error("the layout expired at {expires}; it is {now:.0}")]
    LayoutExpired {
        /// When it expired.
        expires: Timestamp,
        /// The time of this verification.
        now: Timestamp,
    },
    /// The layout lists a key that this program cannot verify with, so who may sign cannot be told.
    #[error("the layout lists key {keyid}, which cannot be used: {problem}")]
    UnsupportedKey {
        /// The id under which it is listed.
        keyid: KeyId,
        /// Why not.
        problem: KeyProblem,
    },
    /// Parameters do not fit the layout.
    #[error("parameter {problem}")]
    Parameter {
        /// What does not fit.
        problem: ParameterProblem,
    },
    /// A step lacks links by enough of its functionaries.
    #[error("step {:?} needs {} by {}, {verified} verified: {}{}", .step.as_str(), evidence(.sought), people(*.threshold), list(.functionaries), others(.sought))]
    ThresholdNotMet {
        /// The step.
        step: StepName,
        /// How many distinct functionaries it needs.
        threshold: u32,
        /// How many have a valid link.
        verified: usize,
        /// The Statements that the rule asks for in place of links.
        sought: Option<Sought>,
        /// Everyone who may sign, then everyone who did without being allowed to.
        functionaries: Vec<FunctionaryFinding>,
    },
    /// A functionary signed two Statements of the type that stands for a step.
    #[error("{keyid} signed two Statements of {predicate_type} for step {:?}: {} and {}", .step.as_str(), .places[0], .places[1])]
    AmbiguousStatement {
        /// The step.
        step: StepName,
        /// The functionary.
        keyid: KeyId,
        /// The type.
        predicate_type: String,
        /// Where the two stand.
        places: [String; 2],
    },
    /// A validly signed link is about another step: it was made elsewhere and put here.
    #[error("the link of {keyid} for step {:?} says it is about {}", .step.as_str(), .found.as_ref().map_or("no step".to_owned(), |name| format!("{name:?}")))]
    StepNameMismatch {
        /// The step for which the file is named.
        step: StepName,
        /// Who signed it.
        keyid: KeyId,
        /// The name in the link.
        found: Option<String>,
    },
    /// Two valid links about one step differ.
    #[error("{0}")]
    LinkDisagreement(Box<Disagreement>),
    /// A layout over predicates where that is not asked for, or in place of a link.
    #[error("the layout is one over predicates, which is not allowed here")]
    PredicatesDenied,
    /// A functionary signed a Statement for which an attribute rule does not hold.
    #[error("the Statement of {predicate_type} by {keyid} for step {:?}: {failure}", .step.as_str())]
    AttributeRule {
        /// The step.
        step: StepName,
        /// The functionary.
        keyid: KeyId,
        /// The type of the predicate.
        predicate_type: String,
        /// The rule, and what came of it.
        failure: Box<AttributeFailure>,
    },
    /// All attribute rules together read more than they may.
    #[error("the attribute rules read more than {most} values, at step {:?}", .step.as_str())]
    AttributeCost {
        /// The step at which they did.
        step: StepName,
        /// The cap.
        most: u64,
    },
    /// The layout over predicates does not have a step attested as it was asked for.
    #[error("the layout does not have step {:?} attested by Statements of {predicate_type}", .step.as_str())]
    PredicateNotExpected {
        /// The step that was asked for.
        step: StepName,
        /// The type that was asked for.
        predicate_type: PredicateType,
    },
    /// Functionaries may be known by certificates where that is not asked for.
    #[error("the layout takes functionaries by X.509 certificates, which is not allowed here")]
    CertificatesDenied,
    /// A functionary handed in a layout where sublayouts are not allowed.
    #[error("{keyid} handed in a sublayout for step {:?}, and sublayouts are not allowed", .step.as_str())]
    SublayoutDenied {
        /// The step.
        step: StepName,
        /// The functionary.
        keyid: KeyId,
    },
    /// A sublayout stands under the name of a subkey, or of a certificate's key. The references find no key for it.
    #[error("the sublayout for step {:?} is named for {keyid}, which the layout does not list among its keys", .step.as_str())]
    SublayoutBySubkey {
        /// The step.
        step: StepName,
        /// The key.
        keyid: KeyId,
    },
    /// Sublayouts stand within sublayouts deeper than allowed.
    #[error("{keyid} handed in a sublayout for step {:?} at depth {depth}, at most {allowed} are allowed", .step.as_str())]
    SublayoutTooDeep {
        /// The step.
        step: StepName,
        /// The functionary.
        keyid: KeyId,
        /// How deep it stands; 1 is right below the layout.
        depth: usize,
        /// The depth that options and limits allow.
        allowed: usize,
    },
    /// A sublayout was refused, and with it the whole.
    #[error("in the sublayout of {keyid} for step {:?}: {error}", .step.as_str())]
    Sublayout {
        /// The step.
        step: StepName,
        /// The functionary.
        keyid: KeyId,
        /// Why.
        error: Box<Self>,
    },
    /// A link names an artifact in a way that two readers understand differently.
    #[error("{file}: {side} hold {name:?}: {why}")]
    UncleanArtifact {
        /// The link file, or the step whose rule met it.
        file: String,
        /// Which of its lists.
        side: Side,
        /// The name.
        name: String,
        /// What is wrong with it.
        why: Unclean,
    },
    /// `DISALLOW` met an artifact that no rule before it had consumed.
    #[error("{0}")]
    DisallowedArtifact(Box<RuleFailure>),
    /// `REQUIRE` did not find its artifact.
    #[error("{0}")]
    RequiredArtifactMissing(Box<RuleFailure>),
    /// The layout has inspections, which are commands, and they are not run here.
    #[error("the layout has inspections, which are not run here: {}", names(.inspections))]
    InspectionsRefused {
        /// Their names.
        inspections: Vec<StepName>,
    },
    /// An inspection could not be carried out or failed.
    #[error("inspection {:?}: {problem}", .inspection.as_str())]
    InspectionFailed {
        /// The inspection.
        inspection: StepName,
        /// What happened.
        problem: String,
    },
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "in-toto/malformed",
            Self::Limit { .. } => "in-toto/limit",
            Self::AmbiguousLink(_) => "in-toto/ambiguous-link",
            Self::NoLayoutKeys => "in-toto/no-layout-keys",
            Self::LayoutSignature { .. } => "in-toto/layout-signature",
            Self::LayoutExpired { .. } => "in-toto/layout-expired",
            Self::UnsupportedKey { problem: KeyProblem::OpenPgp(openpgp::Unusable::Dsa), .. } => "in-toto/dsa-key",
            Self::UnsupportedKey { .. } => "in-toto/unsupported-key",
            Self::Parameter { .. } => "in-toto/parameter",
            Self::ThresholdNotMet { .. } => "in-toto/threshold-not-met",
            Self::AmbiguousStatement { .. } => "in-toto/ambiguous-statement",
            Self::StepNameMismatch { .. } => "in-toto/step-name-mismatch",
            Self::LinkDisagreement(_) => "in-toto/link-disagreement",
            Self::PredicatesDenied => "in-toto/predicates-denied",
            Self::AttributeRule { .. } => "in-toto/attribute-rule",
            Self::AttributeCost { .. } => "in-toto/limit",
            Self::PredicateNotExpected { .. } => "in-toto/predicate-not-expected",
            Self::CertificatesDenied => "in-toto/certificates-denied",
            Self::SublayoutDenied { .. } | Self::SublayoutBySubkey { .. } => "in-toto/sublayout-denied",
            Self::SublayoutTooDeep { .. } => "in-toto/sublayout-too-deep",
            Self::Sublayout { error, .. } => error.code(),
            Self::UncleanArtifact { .. } => "in-toto/unclean-artifact",
            Self::DisallowedArtifact(_) => "in-toto/disallowed-artifact",
            Self::RequiredArtifactMissing(_) => "in-toto/required-artifact-missing",
            Self::InspectionsRefused { .. } => "in-toto/inspections-refused",
            Self::InspectionFailed { .. } => "inspection/failed",
        }
    }
}

fn place(at: &str) -> String {
    if at.is_empty() { String::new() } else { format!("{at}: ") }
}

fn lacking(missing: &[(KeyId, SignatureProblem)]) -> String {
    missing.iter().map(|(keyid, problem)| format!("; {}…: {problem}", keyid.short())).collect()
}

fn names(names: &[StepName]) -> String {
    names.iter().map(StepName::as_str).collect::<Vec<_>>().join(", ")
}
