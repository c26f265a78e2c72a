//! Statements: what an attestation says of its subjects, read as what a step used and made (in-toto ITE-6).
//!
//! The subjects are the products. Where the materials stand is told by the type of the predicate, so only types are
//! read of which that is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    error::{Error, Problem},
    fields::{Object, Source},
    layout::Layout,
    link::{Artifacts, Digests, MAX_DIGEST, Recorded, Side, checked_name},
    name::StepName,
};

/// `_type` of a Statement: version 1, and the one before it.
const TYPES: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];

/// What a Statement says of its subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PredicateType {
    /// What a classic link says. It names its step.
    #[serde(rename = "https://in-toto.io/attestation/link/v0.3")]
    LinkV03,
    /// SLSA provenance 0.2; `materials` are the materials.
    #[serde(rename = "https://slsa.dev/provenance/v0.2")]
    ProvenanceV02,
    /// SLSA provenance 1; `buildDefinition.resolvedDependencies` are the materials.
    #[serde(rename = "https://slsa.dev/provenance/v1")]
    ProvenanceV1,
}

impl PredicateType {
    /// All that are read.
    pub const ALL: [Self; 3] = [Self::LinkV03, Self::ProvenanceV02, Self::ProvenanceV1];

    /// The URI by which Statements name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LinkV03 => "https://in-toto.io/attestation/link/v0.3",
            Self::ProvenanceV02 => "https://slsa.dev/provenance/v0.2",
            Self::ProvenanceV1 => "https://slsa.dev/provenance/v1",
        }
    }

    /// Whether a predicate of this type says which step it is about.
    pub fn names_step(self) -> bool {
        self == Self::LinkV03
    }
}

impl fmt::Display for PredicateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The steps of a layout that are attested by Statements in place of links, and by which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statements(BTreeMap<StepName, PredicateType>);

/// A type for two steps whose predicates do not say which of the two they are about: a functionary's Statement about one
/// would do for the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("steps {:?} and {:?} both take {predicate_type}, which does not say what step it is about", .steps[0].as_str(), .steps[1].as_str())]
pub struct SharedPredicateType {
    /// The type.
    pub predicate_type: PredicateType,
    /// The steps.
    pub steps: [StepName; 2],
}

impl Statements {
    /// Of these steps.
    ///
    /// # Errors
    /// Two of them cannot be told apart.
    pub fn new(steps: BTreeMap<StepName, PredicateType>) -> Result<Self, SharedPredicateType> {
        let mut taken: BTreeMap<PredicateType, &StepName> = BTreeMap::new();
        for (step, predicate_type) in &steps {
            if predicate_type.names_step() {
                continue;
            }
            if let Some(first) = taken.insert(*predicate_type, step) {
                return Err(SharedPredicateType {
                    predicate_type: *predicate_type,
                    steps: [first.clone(), step.clone()],
                });
            }
        }
        Ok(Self(steps))
    }

    /// The type of the Statements that attest a step; `None` where links do.
    pub fn of(&self, step: &StepName) -> Option<PredicateType> {
        self.0.get(step).copied()
    }

    /// Every step that is named.
    pub fn steps(&self) -> impl Iterator<Item = (&StepName, PredicateType)> {
        self.0.iter().map(|(step, predicate_type)| (step, *predicate_type))
    }

    /// Whether all steps are attested by links.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The types of Statements that are read.
pub(super) struct Wanted {
    types: BTreeSet<String>,
    /// Whether rules look at what they say.
    keeps_payload: bool,
}

impl Wanted {
    /// Those that the layout names, where it is one over predicates, or else that it is to be verified by.
    pub(super) fn of(layout: &Layout, statements: &Statements) -> Self {
        let named =
            layout.steps.iter().flat_map(|step| &step.predicates).map(|expected| expected.predicate_type.clone());
        let types = match layout.is_over_predicates {
            true => named.collect(),
            false => statements.0.values().map(ToString::to_string).collect(),
        };
        Self { types, keeps_payload: layout.is_over_predicates }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    pub(super) fn keeps_payload(&self) -> bool {
        self.keeps_payload
    }
}

/// What a step is to be attested by, and what is there of the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// The type of the Statements.
    pub predicate_type: String,
    /// Some of the other types that are there, shortened.
    pub passed_over: BTreeSet<String>,
}

/// What is sought, for a message.
pub(super) fn evidence(sought: &Option<Sought>) -> String {
    sought.as_ref().map_or_else(|| "links".to_owned(), |sought| format!("Statements of {}", sought.predicate_type))
}

/// What is there instead, for a message.
pub(super) fn others(sought: &Option<Sought>) -> String {
    let Some(Sought { passed_over, .. }) = sought.as_ref().filter(|sought| !sought.passed_over.is_empty()) else {
        return String::new();
    };
    let names: Vec<String> = passed_over.iter().map(|name| format!("{name:?}")).collect();
    format!("; there are Statements of {}", names.join(", "))
}

/// A parsed Statement.
#[derive(Clone)]
pub(super) struct Statement {
    pub predicate_type: String,
    /// The step that the predicate names, if its type has one.
    pub step: Option<String>,
    pub recorded: Recorded,
    /// Whether it says what was made of what; else it says something about its subjects (ITE-10, "informational"), which
    /// then are the materials.
    pub is_transformational: bool,
    pub command: Vec<String>,
}

impl Statement {
    /// Reads a payload; `None` where its predicate is of a type that nobody asks for.
    pub(super) fn parse(source: Source<'_>, payload: &Value, wanted: &Wanted) -> Result<Option<Self>, Error> {
        let (statement, name) = head(source, payload)?;
        if !wanted.types.contains(name) {
            return Ok(None);
        }
        let known = PredicateType::ALL.into_iter().find(|known| known.as_str() == name);
        let mut read = Self {
            predicate_type: name.to_owned(),
            step: None,
            recorded: Recorded::default(),
            is_transformational: known.is_some(),
            command: Vec::new(),
        };
        let Some(known) = known else {
            // A predicate is an object, and may be left out (ITE-6).
            if statement.has("predicate") {
                statement.object("predicate")?;
            }
            read.recorded.materials = subjects(source, &statement, Side::Materials)?;
            return Ok(Some(read));
        };
        read.recorded.products = subjects(source, &statement, Side::Products)?;
        let predicate = Object::open(source, "predicate", statement.get("predicate")?)?;
        read.recorded.materials = match known {
            PredicateType::LinkV03 => {
                predicate.check(&["name"], &["command", "materials", "byproducts", "environment"])?;
                read.command = if predicate.has("command") { predicate.words("command")? } else { Vec::new() };
                read.step = Some(predicate.text("name")?.to_owned());
                materials(source, &predicate, "materials", &["name"])?
            }
            PredicateType::ProvenanceV02 => {
                predicate.check(&["builder", "buildType"], &["materials"])?;
                materials(source, &predicate, "materials", &["uri"])?
            }
            PredicateType::ProvenanceV1 => {
                predicate.check(&["buildDefinition", "runDetails"], &[])?;
                let at = predicate.at("buildDefinition");
                let definition = Object::open(source, at, predicate.get("buildDefinition")?)?;
                definition.check(&["buildType"], &["resolvedDependencies"])?;
                materials(source, &definition, "resolvedDependencies", &["uri", "name"])?
            }
        };
        Ok(Some(read))
    }
}

/// Whether a payload is a Statement, of any predicate.
pub(super) fn is_statement(source: Source<'_>, payload: &Value) -> bool {
    head(source, payload).is_ok()
}

/// What every Statement has, and the type of its predicate.
fn head<'a>(source: Source<'a>, payload: &'a Value) -> Result<(Object<'a>, &'a str), Error> {
    let statement = Object::open(source, "", payload)?;
    statement.check(&["_type", "subject", "predicateType"], &["predicate"])?;
    let found = statement.text("_type")?;
    if !TYPES.contains(&found) {
        let problem = Problem::WrongType { expected: TYPES[0], found: found.to_owned() };
        return Err(source.malformed("_type", problem));
    }
    let name = statement.text("predicateType")?;
    Ok((statement, name))
}

fn subjects(source: Source<'_>, statement: &Object<'_>, side: Side) -> Result<Artifacts, Error> {
    let subjects = artifacts(source, statement, "subject", side, &["name"])?;
    if subjects.is_empty() {
        return Err(statement.not_a("subject", "a list of at least one subject"));
    }
    Ok(subjects)
}

fn materials(
    source: Source<'_>,
    object: &Object<'_>,
    list: &'static str,
    names: &[&'static str],
) -> Result<Artifacts, Error> {
    if object.has(list) { artifacts(source, object, list, Side::Materials, names) } else { Ok(Artifacts::new()) }
}

/// Reads resource descriptors. The first of `names` that one has is its name.
fn artifacts(
    source: Source<'_>,
    object: &Object<'_>,
    list: &'static str,
    side: Side,
    names: &[&'static str],
) -> Result<Artifacts, Error> {
    let values = object.list(list)?;
    source.limit("artifacts", values.len(), source.limits.artifacts)?;
    let mut artifacts = BTreeMap::new();
    for (index, value) in values.iter().enumerate() {
        let at = format!("{}[{index}]", object.at(list));
        let descriptor = Object::open(source, at.as_str(), value)?;
        descriptor.check(&["digest"], names)?;
        let member = names.iter().find(|name| descriptor.has(name)).or(names.first()).copied().unwrap_or("name");
        let name = descriptor.text(member)?;
        checked_name(source, side, name)?;
        let digests = digests(descriptor.get("digest")?)
            .ok_or_else(|| descriptor.not_a("digest", "a set of at least one digest, each in lower-case hex"))?;
        // Whoever looks for a name would find one of the two.
        if artifacts.insert(name.to_owned(), digests).is_some() {
            return Err(source.malformed(at, Problem::DuplicateArtifact(name.to_owned())));
        }
    }
    Ok(artifacts.into())
}

/// Algorithms whose digests are written in hex (in-toto attestation, "DigestSet").
const IN_HEX: [&str; 12] = [
    "sha256",
    "sha384",
    "sha512",
    "sha224",
    "sha512_256",
    "sha3_256",
    "sha3_512",
    "blake2b",
    "sha1",
    "md5",
    "gitCommit",
    "gitTree",
];

/// Reads a digest set, which never is empty: nothing equals nothing. What stands beside known algorithms, as witness has
/// `gitoid:sha256`, proves nothing by itself (see [`super::artifacts`]) and is compared as it is written.
fn digests(value: &Value) -> Option<Digests> {
    let set = value.as_object().filter(|set| !set.is_empty())?;
    let mut digests = Digests::new();
    for (algorithm, digest) in set {
        let digest = digest.as_str().filter(|digest| (1..=MAX_DIGEST).contains(&digest.len()))?;
        let length = match algorithm.as_str() {
            "sha256" => Some(64),
            "sha384" => Some(96),
            "sha512" => Some(128),
            _ => None,
        };
        let is_written_well = match IN_HEX.contains(&algorithm.as_str()) {
            true => digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
            false => digest.bytes().all(|byte| byte.is_ascii_graphic()),
        };
        if !is_written_well || length.is_some_and(|length| digest.len() != length) {
            return None;
        }
        digests.insert(algorithm.clone(), digest.to_owned());
    }
    Some(digests)
}
