//! What the words under `verify` demand.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use super::{Repositories, captures, list, repositories, statements};
use crate::{
    evidence::requirement::{
        Inspections, LayerSource, LayoutScope, Level, Platforms, Product, ProductFrom, Requirement, Tags, Template,
        TemplateError, is_at_or_below,
    },
    image::Platform,
    pattern::Fnmatch,
    policy::{
        Fault, Matcher, Weak,
        bind::Taken,
        outline::{Located, Path},
        raw::{AgreeOn, RawPlatforms, RawProduct, RawSublayouts, RawVerify},
        values,
    },
    tuf::RoleChain,
};

/// Levels of sublayouts behind the word `allow`.
const SUBLAYOUT_DEPTH: u32 = 8;

/// A requirement as it is written.
pub(super) struct Read {
    /// The requirement, without a role where `{1}` stands in that.
    pub(super) requirement: Requirement,
    /// That role.
    pub(super) role: Option<Template>,
    /// The wildcards that it uses.
    pub(super) captures: BTreeMap<usize, Taken>,
    /// In what it is weak.
    pub(super) weak: BTreeSet<Weak>,
}

/// Reads a requirement of a rule, and in what it is weak.
pub(super) fn requirement(
    raw: &RawVerify,
    matcher: &Matcher,
    known: &Repositories,
    at: &Path,
) -> Result<Read, Located> {
    let level = raw.level.unwrap_or(Level::InToto);
    if level == Level::Tuf {
        refuse_words_of_in_toto(raw, at)?;
        if raw.role.is_none() {
            return Err(at.key("level").fault(Fault::TufWithoutRole));
        }
    }
    let (repository, agreement) = repositories::of(raw, known, at)?;
    let mut requirement = Requirement::of(repository);
    requirement.agreement = agreement;
    requirement.level = level;
    requirement.layout = load_layout(raw, matcher, &at.key("layout"))?;
    let chain = |text: &String, at: &Path| values::role_chain(text, at);
    if let Some(roles) = list(&raw.layout_roles, &at.key("layoutRoles"), chain)? {
        requirement.layout_roles = BTreeSet::from_iter(roles);
    }
    requirement.link_roles = list(&raw.link_roles, &at.key("linkRoles"), chain)?.map(BTreeSet::from_iter);
    let mut open_role = None;
    if let Some(text) = &raw.role {
        let at = at.key("role");
        let (sample, template) = captures::load_role(text, &at)?;
        // The text as it is written stands in the message.
        let role = values::role_chain(&sample, &at).map_err(|_| at.fault(values::not_a_role(text)))?;
        if template.is_none() {
            requirement.role = Some(role);
        } else if level == Level::Tuf {
            // Whoever chooses the image's name would choose who vouches for it.
            return Err(at.fault(Fault::TufWithOpenRole));
        }
        open_role = template;
    }
    requirement.layout_threshold = raw
        .layout_threshold
        .map(|count| {
            let fault = || at.key("layoutThreshold").fault(values::value("0", "a number of keys: at least 1"));
            NonZeroU32::new(count).ok_or_else(fault)
        })
        .transpose()?;
    if let Some(product) = &raw.product {
        requirement.product = load_product(product, &at.key("product"))?;
        // What is passed over binds nothing.
        if product.inspection.is_some() && raw.inspections == Some(Inspections::Skip) {
            let fault = Fault::MeansNothing { beside: "inspections: skip" };
            return Err(at.key("product").key("inspection").fault(fault));
        }
    }
    requirement.statements = statements::load(raw, at)?;
    requirement.platforms = load_platforms(raw, &at.key("platforms"))?;
    requirement.via = raw.via;
    requirement.layers = raw.layers.as_ref().map(|layers| LayerSource { registry: layers.registry.clone() });
    requirement.parameters = load_parameters(raw, &at.key("parameters"))?;
    requirement.predicates = raw.predicates.unwrap_or(requirement.predicates);
    requirement.certificates = raw.certificates.unwrap_or(requirement.certificates);
    requirement.inspections = raw.inspections.unwrap_or(requirement.inspections);
    requirement.sublayouts = match &raw.sublayouts {
        None | Some(RawSublayouts::Deny | RawSublayouts::Depth(0)) => None,
        Some(RawSublayouts::Allow) => Some(SUBLAYOUT_DEPTH),
        Some(RawSublayouts::Depth(depth)) if *depth <= SUBLAYOUT_DEPTH => Some(*depth),
        Some(RawSublayouts::Depth(depth)) => {
            let fault = values::value(&depth.to_string(), "a depth of at most 8");
            return Err(at.key("sublayouts").key("depth").fault(fault));
        }
    };
    requirement.tags = raw.tags.unwrap_or(requirement.tags);
    if let Some(custom) = &raw.custom {
        requirement.custom = values::plain(custom, &at.key("custom"))?;
    }
    requirement.not_before =
        raw.not_before.as_deref().map(|text| values::instant(text, &at.key("notBefore"))).transpose()?;
    if let Some(text) = &raw.target {
        requirement.digest_target = template(text, &at.key("target"), Template::digest_target)?;
    }
    if let Some(text) = &raw.tag_target {
        requirement.tag_target = template(text, &at.key("tagTarget"), Template::tag_target)?;
    }
    let weak = weak_words(&requirement, open_role.as_ref());
    let captures = captures::of(&requirement, open_role.as_ref(), raw, matcher, at)?;
    Ok(Read { requirement, role: open_role, captures, weak })
}

/// In what a requirement proves less than the promise (trust.md §4).
fn weak_words(requirement: &Requirement, open_role: Option<&Template>) -> BTreeSet<Weak> {
    let product = &requirement.product;
    let words = [
        (Weak::Tuf, requirement.level == Level::Tuf),
        (Weak::SkipInspections, requirement.inspections == Inspections::Skip),
        (Weak::Product, product.name.is_some() || product.from == ProductFrom::Materials),
        (Weak::LayoutRoles, requirement.layout_roles.iter().any(|chain| may_be_online(chain, requirement, open_role))),
        // The number of keys stands in the layout, so any number may be below it.
        (Weak::LayoutThreshold, requirement.layout_threshold.is_some()),
    ];
    words.into_iter().filter(|(_, holds)| *holds).map(|(word, _)| word).collect()
}

/// Whether whoever signs images or links may also sign this chain, which is to sign layouts: it is a role that signs
/// them or stands below one, or nothing says which role does. `targets` is offline by definition.
fn may_be_online(chain: &RoleChain, requirement: &Requirement, open_role: Option<&Template>) -> bool {
    if *chain == RoleChain::top() {
        return false;
    }
    // A name that `{1}` stands in may be any.
    let open: Option<Vec<String>> = open_role.map(|role| role.to_string().split('/').map(str::to_owned).collect());
    let below_open = open.as_ref().is_some_and(|open| {
        let written = chain.to_string();
        let names: Vec<&str> = written.split('/').collect();
        let may_be = |(open, name): (&String, &&str)| open.contains('{') || open == name;
        names.len() >= open.len() && open.iter().zip(&names).all(may_be)
    });
    if requirement.role.is_none() && open.is_none() {
        return true;
    }
    let signs_evidence = requirement.link_roles.iter().flatten().chain(&requirement.role);
    below_open || signs_evidence.filter(|role| **role != RoleChain::top()).any(|role| is_at_or_below(chain, role))
}

/// Beside `level: tuf` these would silently not be looked at.
fn refuse_words_of_in_toto(raw: &RawVerify, at: &Path) -> Result<(), Located> {
    let words = [
        ("layout", raw.layout.is_some()),
        ("layoutRoles", raw.layout_roles.is_some()),
        ("linkRoles", raw.link_roles.is_some()),
        ("layoutThreshold", raw.layout_threshold.is_some()),
        ("agreeOn", raw.agree_on == Some(AgreeOn::Evidence)),
        ("product", raw.product.is_some()),
        ("statements", raw.statements.is_some()),
        ("predicates", raw.predicates.is_some()),
        ("platforms", raw.platforms.is_some()),
        ("via", raw.via.is_some()),
        ("layers", raw.layers.is_some()),
        ("parameters", raw.parameters.is_some()),
        ("inspections", raw.inspections.is_some()),
        ("certificates", raw.certificates.is_some()),
        ("sublayouts", raw.sublayouts.is_some()),
        ("custom", raw.custom.is_some()),
        ("notBefore", raw.not_before.is_some()),
        ("tags", raw.tags == Some(Tags::Attested)),
    ];
    match words.into_iter().find(|(_, given)| *given) {
        Some((word, _)) => Err(at.key(word).fault(Fault::MeansNothing { beside: "level: tuf" })),
        None => Ok(()),
    }
}

fn load_layout(raw: &RawVerify, matcher: &Matcher, at: &Path) -> Result<Option<LayoutScope>, Located> {
    let Some(text) = &raw.layout else { return Ok(None) };
    let scope = template(text, at, LayoutScope::new)?;
    // Without the repository's name in it, a pattern would let any project's layout serve any image (trust.md T5).
    let written_out = matcher.images.iter().all(|image| image.pattern.is_literal());
    if scope.is_glob() && !scope.names_repository() && !written_out {
        return Err(at.fault(Fault::UnscopedLayout { scope: text.clone() }));
    }
    Ok(Some(scope))
}

fn load_product(raw: &RawProduct, at: &Path) -> Result<Product, Located> {
    if raw.inspection.is_some() {
        let words = [
            ("step", raw.step.is_some()),
            ("from", raw.from.is_some()),
            ("name", raw.name.is_some()),
            ("predicateType", raw.predicate_type.is_some()),
        ];
        if let Some((word, _)) = words.into_iter().find(|(_, given)| *given) {
            return Err(at.key(word).fault(Fault::MeansNothing { beside: "inspection" }));
        }
    }
    Ok(Product {
        predicate_type: raw.predicate_type,
        inspection: raw.inspection.as_deref().map(|text| values::plain(text, &at.key("inspection"))).transpose()?,
        step: raw.step.as_deref().map(|text| values::plain(text, &at.key("step"))).transpose()?,
        from: raw.from.unwrap_or_default(),
        name: raw
            .name
            .as_deref()
            .map(|text| values::plain(text, &at.key("name")))
            .transpose()?
            .map(|text| Fnmatch::new(&text)),
    })
}

fn load_platforms(raw: &RawVerify, at: &Path) -> Result<Platforms, Located> {
    let platforms = match &raw.platforms {
        None | Some(RawPlatforms::Any) => return Ok(Platforms::Any),
        Some(RawPlatforms::All) => Platforms::All,
        Some(RawPlatforms::These(texts)) => {
            let platform = |text: &String, at: &Path| {
                let fault = || at.fault(values::value(text, "a platform such as linux/amd64 or linux/arm/v7"));
                Platform::parse(text).ok_or_else(fault)
            };
            let platforms = list(&Some(texts.clone()), at, platform)?;
            Platforms::These(platforms.into_iter().flatten().collect())
        }
    };
    // They are products by their own names; what is bound by other words is no image.
    let product = raw.product.as_ref();
    if product.is_some_and(|product| product.name.is_some() || product.from == Some(ProductFrom::Materials)) {
        return Err(at.fault(Fault::MeansNothing { beside: "a product of another name" }));
    }
    Ok(platforms)
}

fn load_parameters(raw: &RawVerify, at: &Path) -> Result<BTreeMap<String, Template>, Located> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut parameters = BTreeMap::new();
    for (name, text) in raw.parameters.iter().flatten() {
        let at = at.key(name);
        if name.is_empty() || !name.bytes().all(word) {
            return Err(at.fault(values::value(name, "the name of a parameter: letters, digits, \"_\" and \"-\"")));
        }
        parameters.insert(name.clone(), template(text, &at, Template::parameter)?);
    }
    Ok(parameters)
}

fn template<T>(text: &str, at: &Path, read: impl Fn(&str) -> Result<T, TemplateError>) -> Result<T, Located> {
    read(text).map_err(|fault| at.fault(Fault::Template { template: text.to_owned(), fault }))
}
