//! What a policy can be refused for, and where.

use std::fmt;

use super::Weak;
use crate::{
    evidence::requirement::{NotALabel, PredicateType, SharedPredicateType, TemplateError},
    pattern::PatternError,
};

/// Why a policy does not load. Displays as `policy.yaml:12:5: rules[1].verify.layout: …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{place}: {fault}")]
pub struct Error {
    /// The name of the file as its reader knows it; `policy.yaml` unless [`Error::in_file`] says otherwise.
    pub file: String,
    /// Where in it.
    pub place: Place,
    /// What is wrong there.
    pub fault: Box<Fault>,
}

impl Error {
    /// The same error under the name of the file that was read.
    pub fn in_file(self, file: &str) -> Self {
        Self { file: file.to_owned(), ..self }
    }

    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        self.fault.code()
    }
}

/// A place in a policy. Displays as `12:5: rules[1].verify.layout`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1.
    pub line: u64,
    /// Counted from 1, in characters.
    pub column: u64,
    /// Keys joined by dots and indices in brackets; empty for the document.
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, ": {}", self.path) }
    }
}

/// What is wrong at a place of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More bytes than a ConfigMap holds.
    #[error("has {length} bytes, at most {limit} are read")]
    TooLarge {
        /// Its bytes.
        length: usize,
        /// The most that are read.
        limit: usize,
    },
    /// More entries than are looked at.
    #[error("has {count} {what}, at most {limit} are read")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The most that are read.
        limit: usize,
    },
    /// Not YAML, or another type than is wanted.
    #[error("{0}")]
    Yaml(String),
    /// A key that means nothing here.
    #[error("unknown key {key:?}, known here: {}", known.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that may stand here.
        known: Vec<&'static str>,
    },
    /// A word that means nothing here.
    #[error("unknown word {word:?}, known here: {}", known.join(", "))]
    UnknownWord {
        /// The word.
        word: String,
        /// The words that may stand here.
        known: Vec<&'static str>,
    },
    /// A key that must be there is not.
    #[error("key {0:?} is missing")]
    MissingKey(String),
    /// A key stands twice in one mapping.
    #[error("key {0:?} stands twice")]
    DuplicateKey(String),
    /// A key without a value. Read as absent, a forgotten `until` would make an exemption permanent.
    #[error("has no value: give one, or leave the key out")]
    NoValue,
    /// A list of nothing.
    #[error("is empty: list at least one entry, or leave the key out")]
    EmptyList,
    /// A version of the policy's language that this program does not read.
    #[error("version {0} is unknown, 1 is read")]
    Version(u64),
    /// A name that is not a DNS label.
    #[error(transparent)]
    Name(NotALabel),
    /// Two rules of one name.
    #[error("{name:?} is already the name of rules[{first}]")]
    DuplicateName {
        /// The name.
        name: String,
        /// The index of the rule that has it.
        first: usize,
    },
    /// Two repositories with the same root file.
    #[error("{root:?} is already the root of repository {other:?}")]
    SharedRoot {
        /// The root file.
        root: String,
        /// The repository that has it.
        other: String,
    },
    /// A rule names a repository that the policy does not describe.
    #[error("repository {name:?} is unknown, described are: {}", or_none(known.join(", ")))]
    UnknownRepository {
        /// The name.
        name: String,
        /// The names of the repositories there are.
        known: Vec<String>,
    },
    /// A rule asks a registry that the policy does not describe.
    #[error("registry {host:?} is unknown, described are: {}", or_none(known.join(", ")))]
    UnknownRegistry {
        /// Its host.
        host: String,
        /// The hosts of the registries there are.
        known: Vec<String>,
    },
    /// A rule asks whatever registry the name of an image says.
    #[error("registry: such a rule must write out its hosts, {pattern:?} does not")]
    OpenRegistry {
        /// The first pattern without a literal host.
        pattern: String,
    },
    /// A value that is not of its kind.
    #[error("{value:?} is not {wanted}")]
    Value {
        /// What was written.
        value: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// A URL that is not one of a repository.
    #[error("{url:?} is not a location: {wanted}")]
    Url {
        /// What was written, without credentials.
        url: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// Not a pattern.
    #[error("{pattern:?} {fault}")]
    Pattern {
        /// What was written.
        pattern: String,
        /// Why not.
        fault: PatternError,
    },
    /// Not a template of a target path or of a parameter.
    #[error("{template:?} {fault}")]
    Template {
        /// What was written.
        template: String,
        /// Why not.
        fault: TemplateError,
    },
    /// `{1}` where a pattern of the rule has no such wildcard.
    #[error("{{{number}}} is the wildcard {number} of the rule's patterns, and {pattern:?} has {count}")]
    NoWildcard {
        /// The wildcard, counted from 1.
        number: usize,
        /// The first pattern without it.
        pattern: String,
        /// How many wildcards that pattern has.
        count: usize,
    },
    /// `{1}` for a `**` where one segment is wanted.
    #[error("{{{number}}} is \"**\" in {pattern:?}, and only \"*\" may stand here: what it takes has no \"/\"")]
    ManySegments {
        /// The wildcard, counted from 1.
        number: usize,
        /// The first pattern in which it is `**`.
        pattern: String,
    },
    /// Not exactly one of several words.
    #[error("needs exactly one of {wanted}, has {}", or_none(found.join(", ")))]
    OneOf {
        /// The alternatives.
        wanted: &'static str,
        /// Which of them are there.
        found: Vec<&'static str>,
    },
    /// A word that would silently do nothing beside another.
    #[error("means nothing beside {beside}")]
    MeansNothing {
        /// The other word.
        beside: &'static str,
    },
    /// A step that is to be attested by two types of Statements.
    #[error("step {step:?} is attested by {statements} under `statements`")]
    TwoPredicateTypes {
        /// The step.
        step: String,
        /// The type that `statements` says.
        statements: PredicateType,
    },
    /// Two steps whose Statements cannot be told apart.
    #[error(transparent)]
    SharedPredicateType(SharedPredicateType),
    /// Several repositories, and none of them is said to have the evidence.
    #[error("several repositories are named, and `evidence` does not say which of them has the evidence")]
    NoEvidence,
    /// Credentials that could be read on their way, or would go to two hosts.
    #[error("goes to one host over TLS: its location must be https://, and metadata and targets on the same host")]
    Unbound,
    /// A weak rule that does not write out its hosts.
    #[error("{}: such a rule must write out its hosts, {pattern:?} does not", join(weak))]
    WeakHost {
        /// What makes the rule weak.
        weak: Vec<Weak>,
        /// The first pattern without a literal host.
        pattern: String,
    },
    /// An exemption for namespaces by pattern and images by name.
    #[error("allow: such a rule must list exact namespaces (\"*\" is a pattern), or images by digest")]
    InexactExemption,
    /// `level: tuf` with a role that the image's name chooses.
    #[error("level: tuf: such a rule must write out the role that signs the images")]
    TufWithOpenRole,
    /// `level: tuf` without the role that must sign.
    #[error("level: tuf: such a rule must name the role that signs the images")]
    TufWithoutRole,
    /// A layout scope that fits the layouts of other repositories, too.
    #[error("{scope:?} fits the layouts of any repository: write {{repository}} into it, or leave out the \"*\"")]
    UnscopedLayout {
        /// The scope.
        scope: String,
    },
}

impl Fault {
    fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::TooMany { .. } => "policy/too-large",
            Self::Yaml(_) => "policy/syntax",
            Self::UnknownKey { .. } | Self::UnknownWord { .. } | Self::Version(_) => "policy/unknown-word",
            Self::MissingKey(_) | Self::NoValue | Self::EmptyList | Self::NoEvidence => "policy/missing-value",
            Self::DuplicateKey(_) | Self::DuplicateName { .. } | Self::SharedRoot { .. } => "policy/duplicate",
            Self::UnknownRegistry { .. } => "policy/unknown-registry",
            Self::UnknownRepository { .. } => "policy/unknown-repository",
            Self::Name(_)
            | Self::Value { .. }
            | Self::Url { .. }
            | Self::Pattern { .. }
            | Self::Template { .. }
            | Self::NoWildcard { .. }
            | Self::ManySegments { .. } => "policy/malformed-value",
            Self::OneOf { .. }
            | Self::MeansNothing { .. }
            | Self::TwoPredicateTypes { .. }
            | Self::SharedPredicateType(_)
            | Self::Unbound => "policy/contradiction",
            Self::WeakHost { .. }
            | Self::OpenRegistry { .. }
            | Self::InexactExemption
            | Self::TufWithoutRole
            | Self::TufWithOpenRole
            | Self::UnscopedLayout { .. } => "policy/too-wide",
        }
    }
}

fn or_none(list: String) -> String {
    if list.is_empty() { "none".to_owned() } else { list }
}

fn join(words: &[Weak]) -> String {
    words.iter().map(Weak::to_string).collect::<Vec<_>>().join(", ")
}
