//! T2: the verified supply chain must speak of this very image, by name and by hash.

use super::{
    Error, Requirement, Subject,
    inspection::BuiltIn,
    requirement::{PredicateType, ProductFrom, Tags},
};
use crate::{
    image::Platform,
    in_toto::{Artifacts, DigestsOf, Match, Rule, Side, Verified, VerifiedStep},
};

/// The step and the artifact that carry the image's digest.
pub(super) struct Bound {
    pub(super) step: String,
    pub(super) artifact: String,
}

/// Binds the image by the one way that the rule chooses. An inspection binds only where the rule names it: what a layout
/// inspects is one demand more, and must not stand in for another.
pub(super) fn bind(verified: &Verified, subject: &Subject, requirement: &Requirement) -> Result<Bound, Error> {
    let bound = match &requirement.product.inspection {
        Some(inspection) => bind_by_inspection(inspection, verified, subject)?,
        None => bind_by_step(verified, subject, requirement)?,
    };
    if requirement.tags == Tags::Attested
        && let (Some(tag), Some(step)) = (&subject.tag, verified.steps().get(bound.step.as_str()))
    {
        let name = format!("{}:{tag}", subject.name);
        let attested = step.products.get(&name).and_then(sha256).is_some_and(|hex| hex == subject.digest.to_string());
        let accounted_for = requirement.product.predicate_type.is_some() || step.is_consumed(Side::Products, &name);
        if !attested || !accounted_for {
            return Err(Error::TagNotAttested { step: bound.step, name, digest: subject.digest });
        }
    }
    Ok(bound)
}

/// Binding (B): a rule `MATCH … WITH PRODUCTS FROM <step>` of the built-in inspection consumed the manifest itself, whose
/// digests are then those of the step's product: sha256 alone. A MATCH against an inspection consumes and proves nothing.
fn bind_by_inspection(name: &str, verified: &Verified, subject: &Subject) -> Result<Bound, Error> {
    let mut built_in =
        verified.inspections().iter().filter(|inspection| BuiltIn::of(&inspection.run) == Some(BuiltIn::Image));
    let Some(inspection) = built_in.find(|inspection| inspection.name.as_str() == name) else {
        return Err(Error::NoSuchInspection { inspection: name.to_owned() });
    };
    let artifact = subject.name.as_str();
    let consumed = inspection.material_rules.iter().find(|trail| trail.consumed.contains(artifact));
    match consumed.map(|trail| &trail.rule) {
        Some(Rule::Match(Match { side: Side::Products, step, .. }))
            if verified.steps().contains_key(step.as_str()) && inspection.recorded.materials.contains(artifact) =>
        {
            Ok(Bound { step: step.clone(), artifact: artifact.to_owned() })
        }
        rule => Err(Error::NotMatched {
            inspection: name.to_owned(),
            name: artifact.to_owned(),
            found: rule.map(|rule| format!("that {rule} consumed it")),
        }),
    }
}

/// Binds by product (A) or, where the rule names a predicate type, by subject (C).
fn bind_by_step(verified: &Verified, subject: &Subject, requirement: &Requirement) -> Result<Bound, Error> {
    let product = &requirement.product;
    let (name, step) = match &product.step {
        Some(name) => (name.clone(), verified.steps().get(name.as_str())),
        None => match verified.last_step() {
            Some((name, step)) => (name.to_string(), Some(step)),
            None => (String::new(), None),
        },
    };
    let step = step.ok_or_else(|| Error::NoSuchStep { step: name.clone() })?;
    let artifact = match product.predicate_type {
        Some(predicate_type) => bound_subject(&name, step, predicate_type, subject)?,
        None => bound_artifact(&name, step, subject, requirement)?,
    };
    Ok(Bound { step: name, artifact })
}

/// Binding (C): the Statements of the type that the rule names, by the functionaries of the step that it names, have a
/// subject named exactly N with sha256 D. No rule of the layout needs to consume it: the policy asks for it.
fn bound_subject(
    step_name: &str,
    step: &VerifiedStep,
    predicate_type: PredicateType,
    subject: &Subject,
) -> Result<String, Error> {
    let name = subject.name.as_str();
    let wanted = subject.digest.to_string();
    // Products of links, or of other Statements, are no subjects of these.
    let none = Artifacts::new();
    let subjects = if step.is_attested_by(predicate_type) { &step.products } else { &none };
    let found = match subjects.get(name).map(sha256) {
        Some(Some(hex)) if hex == wanted => return Ok(name.to_owned()),
        Some(Some(hex)) => Some(format!("{name} with sha256 {hex}")),
        Some(None) => Some(format!("{name} without a sha256")),
        None => {
            let other = subjects.iter().find(|(_, digests)| sha256(*digests) == Some(&wanted));
            other.map(|(other, _)| format!("the digest under the name {other}"))
        }
    };
    let (step, name) = (step_name.to_owned(), name.to_owned());
    Err(Error::NotBound { step, kind: "subject", name, digest: subject.digest, found })
}

/// Binding (A): the bound step has an artifact named exactly N, or `N#<os>/<arch>[/<variant>]`, with sha256 D, which
/// a rule of that step consumed. What is left to in-toto's implicit ALLOW does not bind: nobody asked for it.
fn bound_artifact(
    step_name: &str,
    step: &VerifiedStep,
    subject: &Subject,
    requirement: &Requirement,
) -> Result<String, Error> {
    let (artifacts, side, kind) = match requirement.product.from {
        ProductFrom::Products => (&step.products, Side::Products, "product"),
        ProductFrom::Materials => (&step.materials, Side::Materials, "material"),
    };
    let wanted = subject.digest.to_string();
    let canonical = subject.name.as_str();
    let mut unconsumed = None;
    let mut other = None;
    for (name, digests) in artifacts.iter() {
        let named = match &requirement.product.name {
            Some(pattern) => pattern.matches(name),
            None => name == canonical || subject.name.repository().is_some() && platform_of(name, canonical).is_some(),
        };
        if !named {
            continue;
        }
        match sha256(digests) {
            Some(hex) if hex == wanted && step.is_consumed(side, name) => return Ok(name.to_owned()),
            Some(hex) if hex == wanted => unconsumed = Some(name.to_owned()),
            Some(hex) => other = Some(format!("{name} with sha256 {hex}")),
            None => other = Some(format!("{name} without a sha256")),
        }
    }
    if let Some(name) = unconsumed {
        return Err(Error::NotConsumed { step: step_name.to_owned(), name });
    }
    let name = requirement.product.name.as_ref().map_or_else(|| canonical.to_owned(), ToString::to_string);
    Err(Error::NotBound { step: step_name.to_owned(), kind, name, digest: subject.digest, found: other })
}

/// The platform in `N#<os>/<arch>[/<variant>]`.
pub(super) fn platform_of(name: &str, repository: &str) -> Option<Platform> {
    Platform::parse(name.strip_prefix(repository)?.strip_prefix('#')?)
}

fn sha256(digests: DigestsOf<'_>) -> Option<&str> {
    digests.get("sha256")
}
