//! What the wildcards of a rule's patterns may be put into.

use std::collections::BTreeMap;

use crate::{
    evidence::requirement::{Requirement, Template},
    image::Repository,
    pattern::Wildcard,
    policy::{
        Fault, Matcher,
        bind::Taken,
        outline::{Located, Path},
        raw::RawVerify,
        values,
    },
};

/// A name without captures of its own, to try a template with.
fn tried(template: &Template) -> String {
    let samples = vec!["x".to_owned(); 9];
    template.with_captures(&samples).map(|template| template.to_string()).unwrap_or_default()
}

/// Reads the name that a rule gives its images.
pub(super) fn load_as(text: &str, matcher: &Matcher, at: &Path) -> Result<Template, Located> {
    let template = read(text, at)?;
    // Weak rules write out their hosts (trust.md §4), so no name may choose the host of the name that is judged.
    let sample = tried(&template);
    let host = text.split('/').next().unwrap_or_default();
    let name = Repository::parse(&sample).ok().filter(|name| name.host() == host);
    let literal = template.captures().next().is_none();
    match name {
        Some(name) if !literal || name.as_str() == text => {}
        _ => {
            let wanted = "a canonical name with its host written out, such as docker.io/{1}";
            return Err(at.fault(values::value(text, wanted)));
        }
    }
    template.captures().try_for_each(|number| check(number, Taken::Value, matcher, at))?;
    Ok(template)
}

/// Reads a text in which only `{1}` to `{9}` are placeholders.
pub(super) fn read(text: &str, at: &Path) -> Result<Template, Located> {
    Template::of_captures(text).map_err(|fault| at.fault(Fault::Template { template: text.to_owned(), fault }))
}

/// A role that depends on the image's name: the role with every name `x`, and the template, if it does depend.
pub(super) fn load_role(text: &str, at: &Path) -> Result<(String, Option<Template>), Located> {
    let template = read(text, at)?;
    let is_open = template.captures().next().is_some();
    Ok((tried(&template), is_open.then_some(template)))
}

/// The wildcards that a requirement uses, each of which every pattern of the rule has.
pub(super) fn of(
    requirement: &Requirement,
    role: Option<&Template>,
    raw: &RawVerify,
    matcher: &Matcher,
    at: &Path,
) -> Result<BTreeMap<usize, Taken>, Located> {
    let mut used = BTreeMap::new();
    let mut add = |number: usize, taken: Taken, at: &Path| {
        check(number, taken, matcher, at)?;
        let known = used.entry(number).or_insert(taken);
        *known = taken.max(*known);
        Ok(())
    };
    for (key, template) in [("target", &requirement.digest_target), ("tagTarget", &requirement.tag_target)] {
        template.captures().try_for_each(|number| add(number, Taken::Segment, &at.key(key)))?;
    }
    for number in requirement.layout.iter().flat_map(|layout| layout.captures()) {
        add(number, Taken::Segment, &at.key("layout"))?;
    }
    for number in role.iter().flat_map(|role| role.captures()) {
        add(number, Taken::Segment, &at.key("role"))?;
    }
    for name in raw.parameters.iter().flatten().map(|(name, _)| name) {
        for number in requirement.parameters.get(name).iter().flat_map(|value| value.captures()) {
            add(number, Taken::Value, &at.key("parameters").key(name))?;
        }
    }
    Ok(used)
}

fn check(number: usize, taken: Taken, matcher: &Matcher, at: &Path) -> Result<(), Located> {
    for image in &matcher.images {
        let wildcards = image.pattern.wildcards();
        let pattern = || image.pattern.to_string();
        match number.checked_sub(1).and_then(|index| wildcards.get(index)) {
            None => {
                let fault = Fault::NoWildcard { number, pattern: pattern(), count: wildcards.len() };
                return Err(at.fault(fault));
            }
            Some(Wildcard::Segments) if taken == Taken::Segment => {
                return Err(at.fault(Fault::ManySegments { number, pattern: pattern() }));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
