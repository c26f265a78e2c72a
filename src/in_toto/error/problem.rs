//! What is wrong with a document, a key, a parameter or a name.

use crate::{
    crypto::{KeyError, KeyId, dsse::EnvelopeError, json::JsonError, openpgp, x509},
    in_toto::name::StepName,
};

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
    /// A layout over predicates in a Metablock.
    #[error("a layout over predicates stands in a Metablock; it is signed in a DSSE envelope")]
    PredicatesInMetablock,
    /// A type for two steps whose Statements do not say which of the two they are about.
    #[error("steps {:?} and {:?} both take {predicate_type}, which does not say what step it is about", .steps[0].as_str(), .steps[1].as_str())]
    SharedPredicateType {
        /// The type.
        predicate_type: String,
        /// The steps.
        steps: [StepName; 2],
    },
    /// An attribute rule that cannot be evaluated whatever the Statement.
    #[error("attribute rule {rule} cannot be used: {reason}")]
    AttributeRule {
        /// The expression, shortened.
        rule: String,
        /// Why.
        reason: String,
    },
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
    /// A value that could end the text of an attribute rule in which it stands.
    #[error("{name:?} has a value with {found:?}, and an attribute rule asks for it")]
    InExpression {
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
