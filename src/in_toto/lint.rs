//! Does this layout say what its author means? Not part of verification: what is found here is allowed, and seldom
//! wanted.

use super::{envelope::Envelope, error::Error, layout::Layout, limits::Limits, link::Side, name::StepName, rule::Rule};
use crate::pattern::Fnmatch;

/// Something in a layout that is allowed and seldom wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lint {
    /// The final product may have files that no rule names.
    #[error("rules for products of the last step, {:?}, do not end in DISALLOW *: what they do not name is allowed", .0.as_str())]
    OpenProducts(StepName),
    /// A `MATCH` that nothing follows up: what it does not match is allowed all the same.
    #[error("{:?}, {side}: no DISALLOW follows {rule}, so that it demands nothing", .item.as_str())]
    Toothless {
        /// The step or inspection.
        item: StepName,
        /// Which of its lists.
        side: Side,
        /// The rule.
        rule: Rule,
    },
    /// A `MATCH` against something that is not there, so that it never consumes.
    #[error("{:?}, {side}: {rule} names {step:?}, which is not a step that it can see", .item.as_str())]
    UnknownStep {
        /// The step or inspection.
        item: StepName,
        /// Which of its lists.
        side: Side,
        /// The rule.
        rule: Rule,
        /// The name.
        step: String,
    },
    /// A pattern that in-toto-golang reads in another way or not at all.
    #[error("{:?}, {side}: the pattern of {rule} is read differently by other implementations", .item.as_str())]
    Dialect {
        /// The step or inspection.
        item: StepName,
        /// Which of its lists.
        side: Side,
        /// The rule.
        rule: Rule,
    },
}

/// Looks through a layout, whoever signed it.
///
/// # Errors
/// The file does not hold a layout, or not one that would be accepted.
pub fn lint(layout: &[u8], limits: &Limits) -> Result<Vec<Lint>, Error> {
    let layout = Envelope::parse(layout, "layout", limits.layout_bytes, limits)?.layout("layout", limits)?;
    let mut lints = Vec::new();
    let steps: Vec<&str> = layout.steps.iter().map(|step| step.name.as_str()).collect();
    let mut all = steps.clone();
    all.extend(layout.inspections.iter().map(|inspection| inspection.name.as_str()));
    for step in &layout.steps {
        look(&step.name, Side::Materials, &step.expected_materials, &steps, &mut lints);
        look(&step.name, Side::Products, &step.expected_products, &steps, &mut lints);
    }
    for inspection in &layout.inspections {
        look(&inspection.name, Side::Materials, &inspection.expected_materials, &all, &mut lints);
        look(&inspection.name, Side::Products, &inspection.expected_products, &all, &mut lints);
    }
    lints.extend(open_products(&layout));
    Ok(lints)
}

fn open_products(layout: &Layout) -> Option<Lint> {
    let last = layout.steps.last()?;
    let is_closed = last.expected_products.last() == Some(&Rule::Disallow(Fnmatch::new("*")));
    (!is_closed).then(|| Lint::OpenProducts(last.name.clone()))
}

/// `visible` are the names that a `MATCH` of this list can refer to.
fn look(item: &StepName, side: Side, rules: &[Rule], visible: &[&str], lints: &mut Vec<Lint>) {
    let item = || item.clone();
    let last_disallow = rules.iter().rposition(|rule| matches!(rule, Rule::Disallow(_)));
    for (index, rule) in rules.iter().enumerate() {
        if rule.pattern().is_some_and(|pattern| !pattern.is_portable()) {
            lints.push(Lint::Dialect { item: item(), side, rule: rule.clone() });
        }
        let Rule::Match(matching) = rule else { continue };
        if !visible.contains(&matching.step.as_str()) {
            let step = matching.step.clone();
            lints.push(Lint::UnknownStep { item: item(), side, rule: rule.clone(), step });
        }
        if last_disallow.is_none_or(|disallow| disallow < index) {
            lints.push(Lint::Toothless { item: item(), side, rule: rule.clone() });
        }
    }
}
