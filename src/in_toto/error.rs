//! Why a supply chain was refused.

use jiff::Timestamp;

use super::{
    artifacts::RuleFailure,
    envelope::SignatureProblem,
    functionary::{FunctionaryFinding, list, people},
    link::{Disagreement, Side},
    name::StepName,
    statement::{PredicateType, Sought, evidence, others},
};
use crate::crypto::{KeyError, KeyId, dsse::EnvelopeError, json::JsonError, openpgp, x509};

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
        predicate_type: PredicateType,
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

/// What is wrong at one place of a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bytes are not unambiguous JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The DSSE members do not hold an envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Neither `signed` nor `payload`.
    #[error("neither a Metablock nor a DSSE envelope")]
    NoEnvelope,
    /// No envelope of a Statement.
    #[error("neither a DSSE envelope nor a Sigstore bundle with one")]
    NoAttestation,
    /// Both `signed` and `payload`: two readers would verify different things.
    #[error("a Metablock and a DSSE envelope in one file")]
    BothEnvelopes,
    /// The payload of a DSSE envelope is of another type.
    #[error("payload type is {0:?}, not application/vnd.in-toto+json")]
    PayloadType(String),
    /// A DSSE signature without a key id.
    #[error("a signature has no key id")]
    NoKeyId,
    /// A DSSE envelope with two signatures by one key id.
    #[error("two signatures by key id {0}")]
    DuplicateSignature(KeyId),
    /// A required member is absent.
    #[error("member {0:?} is missing")]
    Missing(&'static str),
    /// A member that the specification does not have; a Metablock's other readers would not see it.
    #[error("member {0:?} is not known")]
    Unknown(String),
    /// A member that differs from a known one in case only; some readers take it for that one.
    #[error("member {found:?} differs from {known:?} only in case")]
    CaseVariant {
        /// As written.
        found: String,
        /// The specification's member.
        known: &'static str,
    },
    /// A value of another type.
    #[error("not {0}")]
    NotA(&'static str),
    /// `_type` is another than the place asks for.
    #[error("type is {found:?}, not {expected:?}")]
    WrongType {
        /// What the place asks for.
        expected: &'static str,
        /// As written.
        found: String,
    },
    /// The layout has no steps, so it would verify nothing.
    #[error("no steps: nothing would be verified")]
    NoSteps,
    /// A name that cannot be part of a file name.
    #[error("{0:?} cannot be a name: it is empty or has a slash or a control character")]
    Name(String),
    /// Two steps or inspections of one name.
    #[error("{0:?} names two steps or inspections")]
    DuplicateName(StepName),
    /// A threshold that can never, or always, be met.
    #[error("threshold is {found}, not a whole number from 1 to {functionaries} (the functionaries of the step)")]
    Threshold {
        /// As written.
        found: String,
        /// How many may sign.
        functionaries: usize,
    },
    /// A key listed under another id than its own.
    #[error("a key is listed as {listed} and says it is {own}")]
    KeyIdMismatch {
        /// The member's name.
        listed: KeyId,
        /// The `keyid` within.
        own: KeyId,
    },
    /// A certificate that cannot be used.
    #[error(transparent)]
    Certificate(#[from] x509::Unusable),
    /// The id of a subkey that another key has as well.
    #[error("key id {0} stands for two keys")]
    DuplicateKeyId(KeyId),
    /// Two artifacts of one name in a list.
    #[error("{0:?} stands twice in the list")]
    DuplicateArtifact(String),
    /// A rule in no form that the specification has.
    #[error("{0} is not a rule")]
    Rule(String),
}

/// Why a layout's key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// An OpenPGP key in in-toto's own JSON form.
    #[error(transparent)]
    OpenPgp(#[from] openpgp::Unusable),
    /// Another type, or a value that is not a key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// How parameters and layout fail to fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterProblem {
    /// A name with other characters than letters, digits, `_` and `-`.
    #[error("name {0:?} has other characters than letters, digits, '_' and '-'")]
    Name(String),
    /// A value that would act as a pattern or hide in a message.
    #[error("{name:?} has a value with {found:?}, which could act as a pattern")]
    Value {
        /// The parameter.
        name: String,
        /// The first character that may not be.
        found: char,
    },
    /// The layout asks for a parameter that was not given.
    #[error("{name:?} is not given; {text:?} asks for it")]
    Unknown {
        /// The parameter.
        name: String,
        /// Where.
        text: String,
    },
    /// Braces in another form than `{name}`.
    #[error("braces in {text:?} are not of the form {{name}}")]
    Braces {
        /// Where.
        text: String,
    },
}

/// Why an artifact name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unclean {
    /// No characters.
    #[error("the name is empty")]
    Empty,
    /// A NUL character.
    #[error("the name has a NUL character")]
    Nul,
    /// `.` or `..` between slashes.
    #[error("the name has a segment '.' or '..'")]
    DotSegment,
    /// Nothing between slashes, other than right behind a URI scheme.
    #[error("the name has an empty segment")]
    EmptySegment,
    /// A name that readers translate differently when a prefix is taken off or put in front.
    #[error("the name has a backslash or begins with a slash where MATCH has a prefix")]
    Prefixed,
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
