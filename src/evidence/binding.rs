//! T2: the verified supply chain must speak of this very image, by name and by hash.

use std::collections::BTreeMap;

use super::{
    Error, Requirement, Subject,
    inspection::BuiltIn,
    requirement::{ProductFrom, Tags},
};
use crate::{
    image::Platform,
    in_toto::{Match, Rule, Side, Verified, VerifiedStep},
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
        let attested = step.products.get(&name).and_then(sha256).is_some_and(|hex| *hex == subject.digest.to_string());
        if !attested || !step.consumed_products.contains(&name) {
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
            if verified.steps().contains_key(step.as_str()) && inspection.recorded.materials.contains_key(artifact) =>
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

/// Binding (A): the bound step has an artifact named exactly N, or `N#<os>/<arch>[/<variant>]`, with sha256 D, which
/// a rule of that step consumed. What is left to in-toto's implicit ALLOW does not bind: nobody asked for it.
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
    let artifact = bound_artifact(&name, step, subject, requirement)?;
    Ok(Bound { step: name, artifact })
}

fn bound_artifact(
    step_name: &str,
    step: &VerifiedStep,
    subject: &Subject,
    requirement: &Requirement,
) -> Result<String, Error> {
    let (artifacts, consumed, kind) = match requirement.product.from {
        ProductFrom::Products => (&step.products, &step.consumed_products, "product"),
        ProductFrom::Materials => (&step.materials, &step.consumed_materials, "material"),
    };
    let wanted = subject.digest.to_string();
    let canonical = subject.name.as_str();
    let mut unconsumed = None;
    let mut other = None;
    for (name, digests) in artifacts {
        let named = match &requirement.product.name {
            Some(pattern) => pattern.matches(name),
            None => name == canonical || subject.name.repository().is_some() && platform_of(name, canonical).is_some(),
        };
        if !named {
            continue;
        }
        match sha256(digests) {
            Some(hex) if *hex == wanted && consumed.contains(name) => return Ok(name.clone()),
            Some(hex) if *hex == wanted => unconsumed = Some(name.clone()),
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

fn sha256(digests: &BTreeMap<String, String>) -> Option<&String> {
    digests.get("sha256")
}
