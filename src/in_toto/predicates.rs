//! Layouts over predicates (in-toto ITE-10 and ITE-11): steps that are attested by Statements, several types of them
//! perhaps, and what these must say.
//!
//! The format is that of the prototype, attestation-verifier, in JSON and with `"_type": "layout"`. It is a draft, so
//! that nothing is passed over: a member that is not known may be a demand.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use serde_json::Value;

use super::{
    attributes::AttributeRule,
    certificate::Issuers,
    error::{Error, Problem},
    fields::{Form, Object, Source},
    functionary::{self, Keys},
    layout::{Inspection, Layout, Step, command, distinct_names, expiry, name, parse_all},
    name::StepName,
    rule::Rule,
    statement::PredicateType,
};
use crate::crypto::KeyId;

/// A type of Statements that a step is attested by.
#[derive(Debug, Clone)]
pub(super) struct ExpectedPredicate {
    pub predicate_type: String,
    /// Who may sign one, without repetitions, in the order of the document.
    pub functionaries: Vec<KeyId>,
    /// How many of them must have.
    pub threshold: NonZeroU32,
    pub attributes: Vec<AttributeRule>,
}

impl ExpectedPredicate {
    /// Whether such a Statement says what was made of what (ITE-10).
    pub(super) fn is_transformational(&self) -> bool {
        PredicateType::ALL.iter().any(|known| known.as_str() == self.predicate_type)
    }
}

/// Whether a payload of type `layout` is one over predicates. A classic one has `keys` in their place.
pub(super) fn is_over_predicates(layout: &Object<'_>) -> bool {
    layout.has("functionaries") && !layout.has("keys")
}

pub(super) fn parse(source: Source<'_>, layout: &Object<'_>) -> Result<Layout, Error> {
    // A Metablock's other readers drop what they do not know before they compute what was signed.
    if source.form == Form::Metablock {
        return Err(source.malformed("", Problem::PredicatesInMetablock));
    }
    layout.exactly(&["_type", "expires", "functionaries", "steps"], &["inspections", "subjects"])?;
    layout.check_type("layout")?;
    let expires = expiry(layout)?;
    // The prototype reads subjects and verifies nothing of them.
    if layout.has("subjects") && !layout.list("subjects")?.is_empty() {
        return Err(layout.not_a("subjects", "empty: no text says what is to be verified of them"));
    }
    let keys = Keys::functionaries(source, layout)?;
    let steps = parse_all(source, layout, "steps", step)?;
    if steps.is_empty() {
        return Err(source.malformed("steps", Problem::NoSteps));
    }
    let inspections = match layout.has("inspections") {
        true => parse_all(source, layout, "inspections", inspection)?,
        false => Vec::new(),
    };
    distinct_names(source, &steps, &inspections)?;
    told_apart(source, &steps)?;
    Ok(Layout { expires, keys, issuers: Issuers::default(), steps, inspections, is_over_predicates: true })
}

/// What a functionary says in a Statement that names no step must not do for two of them.
fn told_apart(source: Source<'_>, steps: &[Step]) -> Result<(), Error> {
    let mut taken: BTreeMap<&str, &StepName> = BTreeMap::new();
    for step in steps {
        let types: BTreeSet<&str> = step.predicates.iter().map(|expected| &*expected.predicate_type).collect();
        for predicate_type in types.into_iter().filter(|name| *name != PredicateType::LinkV03.as_str()) {
            if let Some(first) = taken.insert(predicate_type, &step.name) {
                let (predicate_type, steps) = (predicate_type.to_owned(), [first.clone(), step.name.clone()]);
                return Err(source.malformed("steps", Problem::SharedPredicateType { predicate_type, steps }));
            }
        }
    }
    Ok(())
}

fn step(source: Source<'_>, step: &Object<'_>) -> Result<Step, Error> {
    step.exactly(&["name", "expectedPredicates"], &["command", "expectedMaterials", "expectedProducts"])?;
    let predicates = parse_all(source, step, "expectedPredicates", expected)?;
    let mut pubkeys: Vec<KeyId> = Vec::new();
    for keyid in predicates.iter().flat_map(|expected| &expected.functionaries) {
        if !pubkeys.contains(keyid) {
            pubkeys.push(keyid.clone());
        }
    }
    let Some(threshold) = predicates.iter().map(|expected| expected.threshold).max() else {
        return Err(step.not_a("expectedPredicates", "a list of at least one: nothing would be verified"));
    };
    Ok(Step {
        name: name(source, step)?,
        threshold,
        pubkeys,
        constraints: Vec::new(),
        expected_command: if step.has("command") { step.words("command")? } else { Vec::new() },
        expected_materials: rules(source, step, "expectedMaterials")?,
        expected_products: rules(source, step, "expectedProducts")?,
        predicates,
    })
}

fn expected(source: Source<'_>, expected: &Object<'_>) -> Result<ExpectedPredicate, Error> {
    expected.exactly(&["predicateType", "functionaries", "threshold"], &["expectedAttributes"])?;
    let predicate_type = expected.text("predicateType")?;
    source.limit("bytes in a predicate type", predicate_type.len(), source.limits.rule_bytes)?;
    if predicate_type.is_empty() {
        return Err(expected.not_a("predicateType", "the URI of a type: it is empty"));
    }
    let functionaries = functionary::parse_ids(source, expected, "functionaries")?;
    let threshold = super::layout::threshold(source, expected, functionaries.len())?;
    let mut attributes = Vec::new();
    if expected.has("expectedAttributes") {
        let values = expected.list("expectedAttributes")?;
        source.limit("attribute rules", values.len(), source.limits.rules)?;
        for (index, value) in values.iter().enumerate() {
            let at = format!("{}[{index}]", expected.at("expectedAttributes"));
            attributes.push(attribute(source, at, value)?);
        }
    }
    Ok(ExpectedPredicate { predicate_type: predicate_type.to_owned(), functionaries, threshold, attributes })
}

/// A rule on attributes: an expression (ITE-11), or an object with one (the prototype).
fn attribute(source: Source<'_>, at: String, value: &Value) -> Result<AttributeRule, Error> {
    let (text, allow_if_no_claim, debug) = match value.as_str() {
        Some(text) => (text, false, None),
        None => {
            let object = Object::open(source, &*at, value)?;
            object.exactly(&["rule"], &["allowIfNoClaim", "debug"])?;
            let allow = match object.optional("allowIfNoClaim") {
                None => false,
                Some(allow) => allow.as_bool().ok_or_else(|| object.not_a("allowIfNoClaim", "true or false"))?,
            };
            let debug = if object.has("debug") { Some(object.text("debug")?.to_owned()) } else { None };
            (object.text("rule")?, allow, debug)
        }
    };
    source.limit("bytes in an attribute rule", text.len(), source.limits.attribute_bytes)?;
    AttributeRule::parse(text, allow_if_no_claim, debug, source.limits).map_err(|reason| {
        let rule = text.chars().take(200).collect();
        source.malformed(at, Problem::AttributeRule { rule, reason })
    })
}

fn inspection(source: Source<'_>, inspection: &Object<'_>) -> Result<Inspection, Error> {
    inspection.exactly(&["name", "run"], &["expectedMaterials", "expectedProducts"])?;
    Ok(Inspection {
        run: command(inspection)?,
        name: name(source, inspection)?,
        expected_materials: rules(source, inspection, "expectedMaterials")?,
        expected_products: rules(source, inspection, "expectedProducts")?,
    })
}

/// Rules as lists of words, as in a classic layout, or as one text with a space between words, as in the prototype.
fn rules(source: Source<'_>, object: &Object<'_>, list: &'static str) -> Result<Vec<Rule>, Error> {
    if !object.has(list) {
        return Ok(Vec::new());
    }
    let words = |value: &Value| match value.as_str() {
        Some(text) => text.split(' ').map(Value::from).collect(),
        None => value.clone(),
    };
    let values: Vec<Value> = object.list(list)?.iter().map(words).collect();
    super::layout::rules_of(source, object, list, &values)
}
