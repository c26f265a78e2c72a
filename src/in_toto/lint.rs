//! Does this layout say what its author means? Not part of verification: what is found here is allowed, and seldom
//! wanted.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    envelope::Envelope,
    error::Error,
    layout::{Layout, Step},
    limits::Limits,
    link::{Artifacts, Digests, Recorded, Side},
    name::StepName,
    predicates::ExpectedPredicate,
    rule::{Match, Rule},
    verified::{RuleTrail, Verified},
};
use crate::pattern::Fnmatch;

/// Something in a layout that is allowed and seldom wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lint {
    /// The final product may have files that no rule names.
    #[error("rules for products of the last step, {:?}, do not end in DISALLOW *: what they do not name is allowed", .0.as_str())]
    OpenProducts(StepName),
    /// What this step did has nothing to do with the final product, as far as the rules go: another product would do.
    #[error("step {:?} is not chained to the final product: no MATCH leads from there to what it recorded", .0.as_str())]
    Unchained(StepName),
    /// A step has looked at what the bound step made, and that one may make another platform of it which nobody looks at.
    #[error("step {:?}: {rule} lets it add platforms that {:?} has not looked at; DISALLOW {image}#* closes that", .step.as_str(), .later.as_str())]
    UnseenPlatforms {
        /// The step that the image is bound to.
        step: StepName,
        /// The rule for its products.
        rule: Rule,
        /// The step that looked at them.
        later: StepName,
        /// The name of the image.
        image: String,
    },
    /// A `MATCH` against the very list that it is applied to: it consumes whatever is there and compares nothing.
    #[error("{:?}, {side}: {rule} compares the list with itself, so that it proves nothing", .item.as_str())]
    MatchesItself {
        /// The step or inspection.
        item: StepName,
        /// Which of its lists.
        side: Side,
        /// The rule.
        rule: Rule,
    },
    /// One stolen key is enough to forge this step.
    #[error("step {:?} needs one functionary: whoever has the key of one can make the link alone", .0.as_str())]
    SingleFunctionary(StepName),
    /// The same for a type of Statements.
    #[error("step {:?} needs one functionary for {predicate_type}: whoever has the key of one can make the Statement alone", .step.as_str())]
    SingleSigner {
        /// The step.
        step: StepName,
        /// The type.
        predicate_type: String,
    },
    /// Nothing is asked of what a Statement says.
    #[error("step {:?}: no attribute rule for {predicate_type}, so that it may say anything", .step.as_str())]
    NoAttributeRule {
        /// The step.
        step: StepName,
        /// The type.
        predicate_type: String,
        /// Whether it says what was made of what, on which there may be other rules.
        is_transformational: bool,
    },
    /// Statements about anything else would do as well.
    #[error("step {:?}: no MATCH ties what its Statements are about to what another step recorded, so that they may be about anything", .0.as_str())]
    UnboundPredicate(StepName),
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

impl Lint {
    /// Whether it is worth knowing and no mistake.
    pub fn is_note(&self) -> bool {
        matches!(
            self,
            Self::SingleFunctionary(_)
                | Self::SingleSigner { .. }
                | Self::NoAttributeRule { is_transformational: true, .. }
        )
    }
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
    lints.extend(unchained(&layout));
    lints.extend(of_predicates(&layout));
    let links = layout.steps.iter().filter(|step| step.predicates.is_empty());
    let alone = links.filter(|step| step.threshold.get() == 1);
    lints.extend(alone.map(|step| Lint::SingleFunctionary(step.name.clone())));
    Ok(lints)
}

/// A name under which an image is recorded, where platforms of it are as good.
#[derive(Clone, Copy)]
pub struct WithPlatforms<'a> {
    /// The name.
    pub image: &'a str,
    /// Whether another name is that of a platform of it, which begins with the name and a `#`.
    pub is_platform: &'a dyn Fn(&str) -> bool,
}

/// What is loose about a supply chain that was verified, as seen from the step that the product is bound to.
pub fn loose(verified: &Verified, bound: &str, image: Option<WithPlatforms<'_>>, limits: &Limits) -> Vec<Lint> {
    let matched = |rules: &[RuleTrail]| -> Vec<String> {
        let consuming = rules.iter().filter(|trail| !trail.consumed.is_empty());
        consuming.filter_map(|trail| Some(trail.rule.as_match()?.step.clone())).collect()
    };
    let steps = verified.steps().iter();
    let seen = steps.map(|(name, step)| (name.as_str(), [matched(&step.material_rules), matched(&step.product_rules)]));
    let seen: BTreeMap<&str, Vec<String>> = seen.map(|(name, sides)| (name, sides.concat())).collect();
    let inspections = verified.inspections().iter();
    let roots = inspections.flat_map(|inspection| [&inspection.material_rules, &inspection.product_rules]);
    let roots = roots.flat_map(|rules| matched(rules)).chain([bound.to_owned()]);
    let reached = reach(roots, |step| seen.get(step).cloned().unwrap_or_default());
    let mut lints = Vec::new();
    for (name, step) in verified.order().iter().filter_map(|name| verified.steps().get_key_value(name)) {
        let is_tied = || matched(&step.material_rules).iter().any(|other| other != name.as_str());
        match step.makes_nothing() {
            _ if reached.contains(name.as_str()) => {}
            true if is_tied() => {}
            true => lints.push(Lint::UnboundPredicate(name.clone())),
            false => lints.push(Lint::Unchained(name.clone())),
        }
    }
    if let Some((name, step)) = verified.steps().get_key_value(bound)
        && !step.product_rules.last().is_some_and(|trail| is_closing(&trail.rule))
    {
        lints.push(Lint::OpenProducts(name.clone()));
    }
    lints.extend(image.and_then(|image| unseen_platforms(verified, bound, image, limits)));
    lints
}

/// A later step judges the artifacts that it lists and no others: so no rule of it keeps the bound step from one more.
fn unseen_platforms(verified: &Verified, bound: &str, named: WithPlatforms<'_>, limits: &Limits) -> Option<Lint> {
    /// Looks at patterns: some milliseconds. Where rules are as usual it takes fewer than ten thousand.
    const MOST: usize = 100_000;
    /// Names that the rules are applied to.
    const MOST_NAMES: usize = 64;
    let WithPlatforms { image, is_platform } = named;
    let (name, step) = verified.steps().get_key_value(bound)?;
    let is_of_image =
        |artifact: &str| artifact.strip_prefix(image).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'));
    let looks = |trail: &RuleTrail| {
        let from = trail.rule.as_match().filter(|rule| rule.step == bound && rule.side == Side::Products);
        from.is_some() && trail.consumed.iter().any(is_of_image)
    };
    let after = verified.order().iter().skip_while(|other| *other != name).skip(1);
    let later = after.filter_map(|other| Some((other, verified.steps().get(other)?)));
    let mut later = later.filter(|(_, other)| other.material_rules.iter().chain(&other.product_rules).any(looks));
    let (later, _) = later.next()?;

    let patterns: Vec<&Fnmatch> = step.product_rules.iter().filter_map(|trail| trail.rule.pattern()).collect();
    let platforms = Fnmatch::new(&format!("{image}#?*/?*")).told_apart(&patterns, is_platform, MOST).names;
    let new = platforms.into_iter().filter(|platform| !step.products.contains(platform));
    new.take(MOST_NAMES).find_map(|platform| {
        let digest = Digests::from([("sha256".to_owned(), "00".repeat(32))]);
        let recorded = Recorded { products: Artifacts::from([(platform.clone(), digest)]), ..Recorded::default() };
        let said = BTreeMap::from([(name.as_str(), recorded)]);
        let [_, products] = verified.suppose(name, &BTreeSet::from([platform.clone()]), &said, limits).ok()?;
        let rule = products.iter().find(|trail| trail.consumed.contains(&platform))?.rule.clone();
        Some(Lint::UnseenPlatforms { step: name.clone(), rule, later: later.clone(), image: image.to_owned() })
    })
}

/// Everything that can be reached from `roots`.
fn reach(roots: impl IntoIterator<Item = String>, next: impl Fn(&str) -> Vec<String>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> = roots.into_iter().collect();
    while let Some(name) = open.pop() {
        if !reached.contains(&name) {
            open.extend(next(&name));
            reached.insert(name);
        }
    }
    reached
}

/// What a layout over predicates leaves open.
fn of_predicates(layout: &Layout) -> Vec<Lint> {
    let mut lints = Vec::new();
    for step in &layout.steps {
        for expected in &step.predicates {
            let predicate_type = expected.predicate_type.clone();
            let (step, is_transformational) = (step.name.clone(), expected.is_transformational());
            if expected.threshold.get() == 1 {
                lints.push(Lint::SingleSigner { step: step.clone(), predicate_type: predicate_type.clone() });
            }
            if expected.attributes.is_empty() {
                lints.push(Lint::NoAttributeRule { step, predicate_type, is_transformational });
            }
        }
    }
    lints
}

/// Whether no Statement about the step says what was made of what.
fn makes_nothing(step: &Step) -> bool {
    !step.predicates.is_empty() && !step.predicates.iter().any(ExpectedPredicate::is_transformational)
}

/// The last step that makes something: the final product.
fn last_making(layout: &Layout) -> Option<&Step> {
    layout.steps.iter().rfind(|step| !makes_nothing(step))
}

fn open_products(layout: &Layout) -> Option<Lint> {
    let last = last_making(layout)?;
    let is_closed = last.expected_products.last().is_some_and(is_closing);
    (!is_closed).then(|| Lint::OpenProducts(last.name.clone()))
}

fn is_closing(rule: &Rule) -> bool {
    *rule == Rule::Disallow(Fnmatch::new("*"))
}

fn unchained(layout: &Layout) -> Vec<Lint> {
    let matched =
        |rules: &[Rule]| rules.iter().filter_map(|rule| Some(rule.as_match()?.step.clone())).collect::<Vec<_>>();
    let of_step = |step: &Step| [matched(&step.expected_materials), matched(&step.expected_products)].concat();
    let inspections = layout.inspections.iter();
    let roots = inspections.flat_map(|inspection| [&inspection.expected_materials, &inspection.expected_products]);
    let roots = roots.flat_map(|rules| matched(rules)).chain(last_making(layout).map(|step| step.name.to_string()));
    let reached = reach(roots, |name| {
        layout.steps.iter().find(|step| step.name.as_str() == name).map(of_step).unwrap_or_default()
    });
    let is_tied = |step: &Step| matched(&step.expected_materials).iter().any(|other| other != step.name.as_str());
    let steps = layout.steps.iter().filter(|step| !reached.contains(step.name.as_str()));
    let found = steps.filter_map(|step| match makes_nothing(step) {
        // What comes after a step and makes nothing is tied to it the other way round.
        true if is_tied(step) => None,
        true => Some(Lint::UnboundPredicate(step.name.clone())),
        false => Some(Lint::Unchained(step.name.clone())),
    });
    found.collect()
}

/// `visible` are the names that a `MATCH` of this list can refer to.
fn look(item: &StepName, side: Side, rules: &[Rule], visible: &[&str], lints: &mut Vec<Lint>) {
    let last_disallow = rules.iter().rposition(|rule| matches!(rule, Rule::Disallow(_)));
    for (index, rule) in rules.iter().enumerate() {
        if rule.pattern().is_some_and(|pattern| !pattern.is_portable()) {
            lints.push(Lint::Dialect { item: item.clone(), side, rule: rule.clone() });
        }
        let Some(matching) = rule.as_match() else { continue };
        if is_itself(item.as_str(), side, matching) {
            lints.push(Lint::MatchesItself { item: item.clone(), side, rule: rule.clone() });
        }
        if !visible.contains(&matching.step.as_str()) {
            let step = matching.step.clone();
            lints.push(Lint::UnknownStep { item: item.clone(), side, rule: rule.clone(), step });
        }
        if last_disallow.is_none_or(|disallow| disallow < index) {
            lints.push(Lint::Toothless { item: item.clone(), side, rule: rule.clone() });
        }
    }
}

fn is_itself(item: &str, side: Side, matching: &Match) -> bool {
    matching.step == item && matching.side == side && matching.source == matching.destination
}
