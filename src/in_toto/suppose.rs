//! What if some steps had recorded something else? For whoever asks what a stolen key is good for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    artifacts::{self, Records},
    chain::Options,
    effort::Effort,
    envelope::Envelope,
    error::Error,
    key::LayoutKey,
    layout::{Layout, Step},
    limits::Limits,
    link::{Artifacts, Chosen, Recorded, Side},
    name::StepName,
    parameters,
    rule::Rule,
    signed,
    verified::{RuleTrail, Verified, VerifiedInspection, VerifiedPredicate, VerifiedStep},
    verify::{authorised, verify_expiry, verify_issuers, verify_kind_outside},
};

/// A layout for which nobody has signed anything yet: every step and inspection has recorded nothing. Nothing is admitted
/// by it, since a proof is made from what was signed and from nothing else.
#[derive(Debug, Clone)]
pub struct Unsaid(Verified);

impl Unsaid {
    /// Reads a layout that would be taken, as it is verified before its links are looked at.
    ///
    /// # Errors
    /// It would not.
    pub fn of(
        layout: &[u8],
        keys: &[LayoutKey],
        options: &Options,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let mut envelope = Envelope::parse(layout, "layout", limits.layout_bytes, limits)?;
        let signers = signed::layout(&envelope, keys, options.layout_threshold, now)?;
        let mut layout = envelope.layout("layout", limits)?;
        verify_issuers(&layout, options)?;
        verify_kind_outside(&layout, options)?;
        verify_expiry(layout.expires, now)?;
        if let Some(parameters) = &options.parameters {
            parameters::substitute(&mut layout, parameters, options.raw_parameters, limits)?;
        }
        let steps = layout.steps.iter().map(|step| (step.name.clone(), unsaid(&layout, step, options, now)));
        let inspections = layout.inspections.iter().map(|inspection| VerifiedInspection {
            name: inspection.name.clone(),
            run: inspection.run.clone(),
            recorded: Recorded::default(),
            material_rules: untried(&inspection.expected_materials),
            product_rules: untried(&inspection.expected_products),
        });
        Ok(Self(Verified {
            layout_signers: signers.ids,
            layout_expires: layout.expires,
            layouts_expire: layout.expires,
            keys_expire: Vec::new(),
            order: layout.steps.iter().map(|step| step.name.clone()).collect(),
            steps: steps.collect(),
            inspections: inspections.collect(),
            skipped: Vec::new(),
        }))
    }

    /// As if it had been verified.
    pub(crate) fn as_verified(&self) -> &Verified {
        &self.0
    }
}

fn unsaid(layout: &Layout, step: &Step, options: &Options, now: Timestamp) -> VerifiedStep {
    let predicates = step.predicates.iter().map(|expected| VerifiedPredicate {
        predicate_type: expected.predicate_type.clone(),
        threshold: expected.threshold.get(),
        functionaries: Vec::new(),
        attributes: Vec::new(),
        authorised: authorised(layout, &expected.functionaries),
        says_what_was_made: expected.is_transformational(),
    });
    VerifiedStep {
        materials: Artifacts::new(),
        products: Artifacts::new(),
        predicate_type: if layout.is_over_predicates { None } else { options.statements.of(&step.name) },
        predicates: predicates.collect(),
        threshold: step.threshold.get(),
        functionaries: Vec::new(),
        findings: Vec::new(),
        authorised: authorised(layout, &step.pubkeys),
        certified: BTreeMap::new(),
        issuers: layout.issuers.who_can_issue(&step.constraints, now),
        material_rules: untried(&step.expected_materials),
        product_rules: untried(&step.expected_products),
        other_command: Vec::new(),
        sublayouts: BTreeMap::new(),
    }
}

fn untried(rules: &[Rule]) -> Vec<RuleTrail> {
    let none = || Chosen::new(&Artifacts::new(), Vec::new());
    rules.iter().map(|rule| RuleTrail { rule: rule.clone(), consumed: none() }).collect()
}

impl Verified {
    /// The rules of a step or an inspection, for materials and for products.
    pub fn rules(&self, item: &StepName) -> Option<[&[RuleTrail]; 2]> {
        if let Some(step) = self.steps.get(item) {
            return Some([&step.material_rules, &step.product_rules]);
        }
        let inspection = self.inspections.iter().find(|inspection| inspection.name == *item)?;
        Some([&inspection.material_rules, &inspection.product_rules])
    }

    /// Applies the rules of a step or an inspection to what all are supposed to have recorded under some names and to
    /// nothing else. A rule treats each name by itself, but for what a `MATCH` looks for under another one: so with all
    /// names that lead to each other the rest of what was recorded does not matter.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn suppose(
        &self,
        item: &StepName,
        names: &BTreeSet<String>,
        said: &BTreeMap<&str, Recorded>,
        limits: &Limits,
    ) -> Result<[Vec<RuleTrail>; 2], Error> {
        let (effort, nothing) = (Effort::new(limits), Recorded::default());
        let records = Records::new(&effort, said.iter().map(|(name, recorded)| (*name, recorded)));
        let recorded = said.get(item.as_str()).unwrap_or(&nothing);
        let apply = |side, trails: &[RuleTrail]| {
            let is_about_them = |rule: &&Rule| !matches!(rule, Rule::Require(name) if !names.contains(name));
            let rules: Vec<Rule> = trails.iter().map(|trail| &trail.rule).filter(is_about_them).cloned().collect();
            artifacts::apply(item, side, &rules, recorded, &records)
        };
        let [materials, products] = self.rules(item).unwrap_or_default();
        Ok([apply(Side::Materials, materials)?, apply(Side::Products, products)?])
    }
}
