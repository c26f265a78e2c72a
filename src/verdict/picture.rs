//! A supply chain for the eye: who did which step, what flowed from one to the next, and where that breaks.

mod dot;
mod svg;

use serde_json::{Value, json};

use super::sanitise;
use crate::in_toto::{Finding, Flow, Kind, Survey, SurveyedItem};

pub use dot::dot;
pub use svg::svg;

/// The lines below the name of an item.
struct Line {
    text: String,
    is_bad: bool,
}

fn lines(item: &SurveyedItem) -> Vec<Line> {
    let good = |text: String| Line { text: sanitise(&text), is_bad: false };
    let mut lines = Vec::new();
    match &item.kind {
        Kind::Step { threshold, predicates, functionaries, sublayouts } => {
            let needs = |number: u32| format!("needs {number} functionar{}", if number == 1 { "y" } else { "ies" });
            if predicates.is_empty() {
                lines.push(good(needs(*threshold)));
            }
            for expected in predicates {
                lines.push(good(format!("{} for {}", needs(expected.threshold), expected.predicate_type)));
                lines.extend(expected.attributes.iter().map(|rule| good(format!("must hold: {rule}"))));
            }
            for found in functionaries {
                let is_bad = !matches!(found.finding, Finding::Verified | Finding::SameKeyAs(_));
                lines.push(Line { text: sanitise(&found.to_string()), is_bad });
            }
            lines.extend(sublayouts.iter().map(|keyid| good(format!("sublayout by {}…", keyid.short()))));
        }
        Kind::Inspection { run, is_skipped } => {
            lines.push(good(format!("inspection: {}", run.join(" "))));
            lines.extend(is_skipped.then(|| good("skipped".to_owned())));
        }
    }
    if let Some(recorded) = &item.recorded {
        let (materials, products) = (recorded.materials.len(), recorded.products.len());
        lines.push(good(format!("{materials} materials, {products} products")));
    }
    if let Some(failure) = &item.failure {
        lines.push(Line { text: sanitise(&format!("[{}] {failure}", failure.code())), is_bad: true });
    }
    lines
}

/// What stands beside an edge.
fn label(flow: &Flow) -> String {
    let first = flow.artifacts.first().map_or("nothing", String::as_str);
    let more = flow.artifacts.len().saturating_sub(1);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    sanitise(&format!("{first}{more}"))
}

/// What an edge says to who asks.
fn hint(flow: &Flow) -> String {
    let ((from, of), (to, side)) = (&flow.from, &flow.to);
    let why = flow.broken.as_ref().map(|miss| format!(": {miss}")).unwrap_or_default();
    sanitise(&format!("{of} of {from} to {side} of {to}{why}"))
}

/// The supply chain as a tree for a terminal, each line indented, ending in a line break.
pub fn text(survey: &Survey) -> String {
    let mut out = String::new();
    let mut line = |depth: usize, text: &str| {
        out.push_str(&" ".repeat(depth * 2));
        out.push_str(&sanitise(text));
        out.push('\n');
    };
    let signers: Vec<&str> = survey.layout_signers.iter().map(|keyid| keyid.short()).collect();
    let expires = survey.layout_expires.map(|at| format!(", expires {at:.0}")).unwrap_or_default();
    match signers.is_empty() {
        true => line(1, "layout"),
        false => line(1, &format!("layout signed by {}{expires}", signers.join(", "))),
    }
    if let Some(failure) = &survey.failure {
        line(2, &format!("✗ [{}] {failure}", failure.code()));
    }
    let flows = survey.flows();
    for item in &survey.items {
        let mark = if item.failure.is_some() { "✗" } else { "✓" };
        line(2, &format!("{mark} {}", item.name));
        for Line { text, is_bad } in lines(item) {
            line(3, &if is_bad { format!("✗ {text}") } else { text });
        }
        for (side, rules) in [("materials", &item.material_rules), ("products", &item.product_rules)] {
            for trail in rules {
                let consumed = super::explain::listed(&trail.consumed);
                line(3, &format!("{side}: {} took {consumed}", trail.rule));
            }
        }
        for flow in flows.iter().filter(|flow| flow.to.0 == item.name) {
            let mark = if flow.broken.is_some() { "✗ " } else { "" };
            line(3, &format!("{mark}{} from {}", label(flow), hint(flow)));
        }
    }
    out
}

/// The supply chain as data.
pub fn json(survey: &Survey) -> Value {
    let failure = |error: &Option<crate::in_toto::Error>| {
        error.as_ref().map(|error| json!({"code": error.code(), "message": error.to_string()}))
    };
    let rules = |rules: &[crate::in_toto::RuleTrail]| {
        let rules = rules.iter().map(|trail| json!({"rule": trail.rule.to_string(), "consumed": trail.consumed}));
        rules.collect::<Vec<_>>()
    };
    let items = survey.items.iter().map(|item| {
        let recorded = item.recorded.as_ref();
        let mut value = json!({
            "name": item.name.as_str(),
            "failure": failure(&item.failure),
            "materials": recorded.map(|recorded| &recorded.materials),
            "products": recorded.map(|recorded| &recorded.products),
            "materialRules": rules(&item.material_rules),
            "productRules": rules(&item.product_rules),
        });
        let more = match &item.kind {
            Kind::Step { threshold, predicates, functionaries, sublayouts } => json!({
                "kind": "step",
                "threshold": threshold,
                "predicates": predicates.iter().map(|expected| json!({
                    "predicateType": expected.predicate_type,
                    "threshold": expected.threshold,
                    "attributes": expected.attributes,
                })).collect::<Vec<_>>(),
                "functionaries": functionaries.iter().map(|found| {
                    json!({"keyid": found.keyid.as_str(), "finding": found.finding.to_string()})
                }).collect::<Vec<_>>(),
                "sublayouts": sublayouts.iter().map(|keyid| keyid.as_str()).collect::<Vec<_>>(),
            }),
            Kind::Inspection { run, is_skipped } => json!({"kind": "inspection", "run": run, "skipped": is_skipped}),
        };
        if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
        value
    });
    let flows = survey.flows();
    let flows = flows.iter().map(|flow| {
        json!({
            "from": {"step": flow.from.0, "side": flow.from.1.to_string()},
            "to": {"step": flow.to.0.as_str(), "side": flow.to.1.to_string()},
            "artifacts": flow.artifacts,
            "broken": flow.broken.as_ref().map(ToString::to_string),
        })
    });
    json!({
        "layoutSigners": survey.layout_signers.iter().map(|keyid| keyid.as_str()).collect::<Vec<_>>(),
        "layoutExpires": survey.layout_expires.map(|at| at.to_string()),
        "failure": failure(&survey.failure),
        "steps": items.collect::<Vec<_>>(),
        "flows": flows.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
