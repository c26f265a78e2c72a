//! Layouts: who shall do which steps, and what the artifacts must be (in-toto 4.3).

use std::{collections::BTreeSet, num::NonZeroU32};

use jiff::{Timestamp, civil, tz::Offset};
use serde_json::Value;

use super::{
    certificate::{Constraint, Issuers},
    error::{Error, Problem},
    fields::{Object, Source},
    functionary::{self, Keys},
    name::StepName,
    predicates::{self, ExpectedPredicate},
    rule::Rule,
};
use crate::crypto::KeyId;

/// A parsed layout.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub expires: Timestamp,
    pub keys: Keys,
    /// Whose word on certificates is taken.
    pub issuers: Issuers,
    /// In their order; never empty.
    pub steps: Vec<Step>,
    pub inspections: Vec<Inspection>,
    /// Whether its steps are attested by Statements of the types that they name (ITE-10).
    pub is_over_predicates: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub name: StepName,
    pub threshold: NonZeroU32,
    /// Without repetitions, in the order of the document.
    pub pubkeys: Vec<KeyId>,
    /// What the certificates of further functionaries must say.
    pub constraints: Vec<Constraint>,
    pub expected_command: Vec<String>,
    pub expected_materials: Vec<Rule>,
    pub expected_products: Vec<Rule>,
    /// What it is attested by; in a classic layout nothing stands here.
    pub predicates: Vec<ExpectedPredicate>,
}

/// An inspection (in-toto 4.3.2): a command that the verifying side runs, and rules for what it recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Its name; no step has the same.
    pub name: StepName,
    /// Program and arguments; never empty.
    pub run: Vec<String>,
    /// Rules for what was there before.
    pub expected_materials: Vec<Rule>,
    /// Rules for what was there after.
    pub expected_products: Vec<Rule>,
}

impl Layout {
    pub(super) fn parse(source: Source<'_>, payload: &Value) -> Result<Self, Error> {
        let layout = Object::open(source, "", payload)?;
        if predicates::is_over_predicates(&layout) {
            return predicates::parse(source, &layout);
        }
        // Go leaves out what is empty, and so signs another text than what stands there.
        let is_used =
            |name: &str| layout.optional(name).and_then(Value::as_object).is_some_and(|list| !list.is_empty());
        let required = ["_type", "steps", "inspect", "keys", "expires"];
        let optional = ["rootcas", "intermediatecas"].into_iter().filter(|name| is_used(name));
        layout.check(&required.into_iter().chain(optional).collect::<Vec<_>>(), &["readme"])?;
        layout.check_type("layout")?;
        if layout.has("readme") {
            layout.text("readme")?;
        }
        let expires = expiry(&layout)?;
        let keys = Keys::parse(source, &layout)?;
        let has_issuers = is_used("rootcas") || is_used("intermediatecas");
        let issuers = if has_issuers { Issuers::parse(source, &layout)? } else { Issuers::default() };
        let steps = parse_all(source, &layout, "steps", Step::parse)?;
        if steps.is_empty() {
            return Err(source.malformed("steps", Problem::NoSteps));
        }
        let inspections = parse_all(source, &layout, "inspect", Inspection::parse)?;
        distinct_names(source, &steps, &inspections)?;
        Ok(Self { expires, keys, issuers, steps, inspections, is_over_predicates: false })
    }
}

pub(super) fn distinct_names(source: Source<'_>, steps: &[Step], inspections: &[Inspection]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for name in steps.iter().map(|step| &step.name).chain(inspections.iter().map(|inspection| &inspection.name)) {
        if !seen.insert(name) {
            return Err(source.malformed("", Problem::DuplicateName(name.clone())));
        }
    }
    Ok(())
}

impl Step {
    fn parse(source: Source<'_>, step: &Object<'_>) -> Result<Self, Error> {
        let required = ["name", "threshold", "pubkeys", "expected_materials", "expected_products"];
        let constraints = step.optional("cert_constraints").and_then(Value::as_array);
        let optional = constraints.filter(|list| !list.is_empty()).map(|_| "cert_constraints");
        step.check(&required.into_iter().chain(optional).collect::<Vec<_>>(), &["_type", "expected_command"])?;
        let constraints = Constraint::parse_all(source, step)?;
        step.check_type("step")?;
        let pubkeys = functionary::parse_ids(source, step, "pubkeys")?;
        // How many have a certificate cannot be told.
        let most = if constraints.is_empty() { pubkeys.len() } else { source.limits.functionaries };
        let threshold = threshold(source, step, most)?;
        let expected_command = if step.has("expected_command") { step.words("expected_command")? } else { Vec::new() };
        Ok(Self {
            name: name(source, step)?,
            threshold,
            pubkeys,
            constraints,
            expected_command,
            expected_materials: rules(source, step, "expected_materials")?,
            expected_products: rules(source, step, "expected_products")?,
            predicates: Vec::new(),
        })
    }
}

/// A number of functionaries that can be met, and not by nobody.
pub(super) fn threshold(source: Source<'_>, object: &Object<'_>, most: usize) -> Result<NonZeroU32, Error> {
    let threshold = object.get("threshold")?;
    let usable = threshold.as_u64().filter(|number| *number <= most as u64);
    let usable = usable.and_then(|number| NonZeroU32::new(u32::try_from(number).ok()?));
    usable.ok_or_else(|| {
        let problem = Problem::Threshold { found: threshold.to_string(), functionaries: most };
        source.malformed(object.at("threshold"), problem)
    })
}

impl Inspection {
    fn parse(source: Source<'_>, inspection: &Object<'_>) -> Result<Self, Error> {
        inspection.check(&["name", "run", "expected_materials", "expected_products"], &["_type"])?;
        inspection.check_type("inspection")?;
        Ok(Self {
            run: command(inspection)?,
            name: name(source, inspection)?,
            expected_materials: rules(source, inspection, "expected_materials")?,
            expected_products: rules(source, inspection, "expected_products")?,
        })
    }
}

pub(super) fn parse_all<T>(
    source: Source<'_>,
    layout: &Object<'_>,
    list: &'static str,
    parse: impl Fn(Source<'_>, &Object<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let values = layout.list(list)?;
    source.limit(list, values.len(), source.limits.steps)?;
    let objects = values
        .iter()
        .enumerate()
        .map(|(index, value)| Object::open(source, format!("{}[{index}]", layout.at(list)), value));
    objects.map(|object| parse(source, &object?)).collect()
}

/// What an inspection runs.
pub(super) fn command(inspection: &Object<'_>) -> Result<Vec<String>, Error> {
    let run = inspection.words("run")?;
    if run.is_empty() {
        return Err(inspection.not_a("run", "a command: it is empty"));
    }
    Ok(run)
}

pub(super) fn name(source: Source<'_>, object: &Object<'_>) -> Result<StepName, Error> {
    let text = object.text("name")?;
    StepName::parse(text).ok_or_else(|| source.malformed(object.at("name"), Problem::Name(text.to_owned())))
}

fn rules(source: Source<'_>, object: &Object<'_>, list: &'static str) -> Result<Vec<Rule>, Error> {
    rules_of(source, object, list, object.list(list)?)
}

/// The rules of a list, from lists of words.
pub(super) fn rules_of(
    source: Source<'_>,
    object: &Object<'_>,
    list: &'static str,
    values: &[Value],
) -> Result<Vec<Rule>, Error> {
    source.limit("rules", values.len(), source.limits.rules)?;
    let mut rules = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let longest = value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::len).max();
        source.limit("bytes in a word of a rule", longest.unwrap_or_default(), source.limits.rule_bytes)?;
        let rule = Rule::parse(value).ok_or_else(|| {
            source.malformed(format!("{}[{index}]", object.at(list)), Problem::Rule(value.to_string()))
        })?;
        rules.push(rule);
    }
    Ok(rules)
}

pub(super) fn expiry(layout: &Object<'_>) -> Result<Timestamp, Error> {
    parse_expiry(layout.text("expires")?)
        .ok_or_else(|| layout.not_a("expires", "a time as YYYY-MM-DDTHH:MM:SSZ (in-toto 4.2.2)"))
}

/// Reads `YYYY-MM-DDTHH:MM:SSZ`, digits and all, and nothing else.
fn parse_expiry(text: &str) -> Option<Timestamp> {
    let fits = text.len() == 20
        && text.bytes().zip("0000-00-00T00:00:00Z".bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        });
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i16>().ok();
    let small = |from: usize| i8::try_from(part(from, from + 2)?).ok();
    if !fits {
        return None;
    }
    let time = civil::DateTime::new(part(0, 4)?, small(5)?, small(8)?, small(11)?, small(14)?, small(17)?, 0).ok()?;
    // The last day of year 9999 is beyond what a timestamp can hold; the difference is of no account.
    Some(Offset::UTC.to_timestamp(time).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_form() {
        for text in ["2099-12-31T23:59:59Z", "2024-02-29T00:00:00Z", "0001-01-01T00:00:00Z"] {
            assert_eq!(parse_expiry(text).unwrap().to_string(), text);
        }
        assert_eq!(parse_expiry("9999-12-31T23:59:59Z"), Some(Timestamp::MAX));
        for text in [
            "",
            "2099-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2099-01-01T24:00:00Z",
            "2099-01-01T00:00:60Z",
            "2099-01-01T00:00:00",
            "2099-01-01T00:00:00+00:00",
            "2099-01-01t00:00:00z",
            "2099-01-01T00:00:00.5Z",
            "2099-01-01T1:00:00Z",
            "10000-01-01T00:00:00Z",
            "+099-01-01T00:00:00Z",
            "2099-01-01T00:00:00Z\n",
        ] {
            assert_eq!(parse_expiry(text), None, "{text:?}");
        }
    }
}
