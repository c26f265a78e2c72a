//! What the other image may be: under which name its digest is signed, and what an inspection finds in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    evidence::{
        Name, Requirement,
        binding::platform_of,
        inspection::BuiltIn,
        requirement::{Platforms, ProductFrom},
    },
    in_toto::{Artifacts, Rule, RuleTrail, StepName, Verified},
    pattern::Fnmatch,
};

/// Looks at patterns: half a second.
const MAX_LOOKS: usize = 5_000_000;

/// Another digest of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum New {
    /// That of the other image.
    Image,
    /// Another one that nobody signed.
    Other,
}

/// One way for another image to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Case {
    /// What the bound step has to have recorded.
    pub(super) bound: BTreeMap<String, New>,
    /// What the inspection of the image finds otherwise than in the one that was proven; `None`: no longer.
    pub(super) inspected: BTreeMap<String, Option<New>>,
}

pub(super) struct Cases {
    pub(super) all: Vec<Case>,
    /// Whether there are more names than were looked through.
    pub(super) is_cut: bool,
}

impl Cases {
    pub(super) fn new(
        verified: &Verified,
        (step, artifact): (&StepName, Option<&str>),
        name: &Name,
        requirement: &Requirement,
    ) -> Self {
        let mut names = Names { verified, is_cut: false };
        let platforms = names.platforms(name, requirement);
        let mut bound_names: BTreeSet<String> = BTreeSet::new();
        match &requirement.product {
            product if product.inspection.is_some() => {}
            product if product.predicate_type.is_some() => drop(bound_names.insert(name.as_str().to_owned())),
            product => match &product.name {
                Some(pattern) => {
                    let step = verified.steps().get(step);
                    let recorded = step.map(|step| match product.from {
                        ProductFrom::Products => &step.products,
                        ProductFrom::Materials => &step.materials,
                    });
                    let known = recorded.into_iter().flat_map(|recorded| recorded.names());
                    bound_names.extend(known.filter(|name| pattern.matches(name)).map(str::to_owned));
                    bound_names.extend(names.apart(pattern, |_| true));
                }
                None => {
                    bound_names.insert(name.as_str().to_owned());
                    bound_names.extend(platforms.iter().cloned());
                }
            },
        }
        bound_names.extend(artifact.filter(|_| requirement.product.inspection.is_none()).map(str::to_owned));
        let wanted: BTreeSet<String> = match &requirement.platforms {
            Platforms::These(wanted) => wanted.iter().map(|platform| format!("{name}#{platform}")).collect(),
            Platforms::Any | Platforms::All => BTreeSet::new(),
        };
        let shapes = shapes(verified, name.as_str(), &platforms, &wanted);
        let mut all = Vec::new();
        let by_name = bound_names.iter().map(|name| BTreeMap::from([(name.clone(), New::Image)]));
        let by_name: Vec<_> = if bound_names.is_empty() { vec![BTreeMap::new()] } else { by_name.collect() };
        for bound in by_name {
            for shape in &shapes {
                // What is no index is for the platform by whose name it goes.
                let is_wanted = wanted.is_empty() || bound.keys().any(|name| wanted.contains(name));
                if !shape.is_index && !is_wanted {
                    continue;
                }
                let mut bound = bound.clone();
                if shape.is_index {
                    let asked = if requirement.platforms == Platforms::All { &shape.children } else { &wanted };
                    for child in asked {
                        bound.entry(child.clone()).or_insert(New::Other);
                    }
                }
                all.push(Case { bound, inspected: shape.inspected.clone() });
            }
        }
        Self { all, is_cut: names.is_cut }
    }
}

/// What is in the image.
struct Shape {
    is_index: bool,
    /// The new manifests of an index, by the names of their platforms.
    children: BTreeSet<String>,
    inspected: BTreeMap<String, Option<New>>,
}

/// A manifest whose configuration is new, or an index with a manifest that is. Layers may be those that were there: whoever
/// writes the configuration says what runs.
fn shapes(verified: &Verified, name: &str, platforms: &BTreeSet<String>, wanted: &BTreeSet<String>) -> Vec<Shape> {
    let index = |children: BTreeSet<String>, inspected| Shape { is_index: true, children, inspected };
    let manifest = |inspected| Shape { is_index: false, children: BTreeSet::new(), inspected };
    let Some(found) = inspected(verified) else {
        // Nobody looks, and what the rule asks of an index the bound step has to say.
        return vec![manifest(BTreeMap::new()), index(wanted.clone(), BTreeMap::new())];
    };
    let with = |names: &[String], without: bool| -> BTreeMap<String, Option<New>> {
        let gone = found.iter().filter(|_| without).map(|name| (name.clone(), None));
        let new = names.iter().map(|name| (name.clone(), Some(New::Other)));
        gone.chain(new).chain([(name.to_owned(), Some(New::Image))]).collect()
    };
    let config = format!("{name}/config");
    let mut shapes = vec![match found.contains(&config) {
        true => manifest(with(&[config], false)),
        false => manifest(with(&[config, format!("{name}/layers/0")], true)),
    }];
    let count = (0_usize..).take_while(|place| found.contains(&format!("{name}/children/{place}"))).count();
    let is_index = count > 0;
    let place = |at: usize| format!("{name}/children/{at}");
    let mut one_more = |children: &[String], at: usize| {
        let mut names = children.to_vec();
        names.push(place(at));
        shapes.push(index(children.iter().cloned().collect(), with(&names, !is_index)));
    };
    if wanted.is_empty() {
        one_more(&[], count);
        for platform in platforms {
            one_more(std::slice::from_ref(platform), count);
            // In the place of one that was there.
            if found.contains(platform) {
                (0..count).for_each(|at| one_more(std::slice::from_ref(platform), at));
            }
        }
    } else {
        let all: Vec<String> = wanted.iter().cloned().collect();
        let mut names = all.clone();
        names.extend((0..all.len()).map(place));
        shapes.push(index(wanted.clone(), with(&names, true)));
    }
    shapes
}

/// What inspections of the image have recorded; none where there are no such inspections.
fn inspected(verified: &Verified) -> Option<BTreeSet<String>> {
    let mut found: Option<BTreeSet<String>> = None;
    for inspection in all(verified).iter().flat_map(|layout| layout.inspections()) {
        if BuiltIn::of(&inspection.run) == Some(BuiltIn::Image) {
            let names = inspection.recorded.materials.names().map(str::to_owned);
            found.get_or_insert_default().extend(names);
        }
    }
    found
}

/// Names that make a difference to the rules of a layout.
struct Names<'a> {
    verified: &'a Verified,
    is_cut: bool,
}

impl Names<'_> {
    /// `N#<os>/<arch>[/<variant>]`: those that the rule names, those that somebody has recorded, and whatever else makes a
    /// difference.
    fn platforms(&mut self, name: &Name, requirement: &Requirement) -> BTreeSet<String> {
        let mut platforms = BTreeSet::new();
        if name.repository().is_none() {
            return platforms;
        }
        let is_platform = |other: &str| platform_of(other, name.as_str()).is_some();
        if let Platforms::These(wanted) = &requirement.platforms {
            platforms.extend(wanted.iter().map(|platform| format!("{name}#{platform}")));
        }
        let recorded = recorded(self.verified).flat_map(|artifacts| artifacts.names());
        platforms.extend(recorded.filter(|name| is_platform(name)).map(str::to_owned));
        platforms.extend(self.apart(&Fnmatch::new(&format!("{name}#?*/?*")), is_platform));
        platforms
    }

    fn apart(&mut self, among: &Fnmatch, usable: impl Fn(&str) -> bool) -> Vec<String> {
        let mut patterns: Vec<Fnmatch> = Vec::new();
        for trail in trails(self.verified) {
            let pattern = match &trail.rule {
                Rule::Match(rule) if !rule.source.is_empty() => {
                    let folder = rule.source.trim_end_matches('/');
                    Some(Fnmatch::new(&format!("{folder}/{}", rule.pattern)))
                }
                Rule::Require(name) => Some(Fnmatch::new(name)),
                rule => rule.pattern().cloned(),
            };
            patterns.extend(pattern.filter(|pattern| !patterns.contains(pattern)));
        }
        let apart = among.told_apart(&patterns.iter().collect::<Vec<_>>(), usable, MAX_LOOKS);
        self.is_cut |= apart.is_cut;
        apart.names
    }
}

/// A layout and its sublayouts, and theirs.
pub(super) fn all(verified: &Verified) -> Vec<&Verified> {
    let sublayouts = verified.steps().values().flat_map(|step| step.sublayouts.values());
    std::iter::once(verified).chain(sublayouts.flat_map(all)).collect()
}

/// All rules of a layout and its sublayouts.
pub(super) fn trails(verified: &Verified) -> impl Iterator<Item = &RuleTrail> {
    all(verified).into_iter().flat_map(|layout| {
        let items = layout.order().iter().chain(layout.inspections().iter().map(|inspection| &inspection.name));
        items.filter_map(|item| layout.rules(item)).flatten().flatten()
    })
}

/// All that somebody has recorded: materials and products.
pub(super) fn recorded(verified: &Verified) -> impl Iterator<Item = &Artifacts> {
    all(verified).into_iter().flat_map(|layout| {
        let steps = layout.steps().values().flat_map(|step| [&step.materials, &step.products]);
        let inspected = layout.inspections().iter().map(|inspection| &inspection.recorded);
        steps.chain(inspected.flat_map(|recorded| [&recorded.materials, &recorded.products]))
    })
}
