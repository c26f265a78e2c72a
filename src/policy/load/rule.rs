//! The rules of a policy.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::json;

use super::{Repositories, captures, hash_of, list, verify};
use crate::{
    evidence::requirement::{NotALabel, Tags, is_dns_label},
    pattern::{ImagePattern, NamePattern},
    policy::{
        Action, Demand, Fault, ImageMatch, Matcher, Mode, Rule, RuleName, UsedAs, Weak,
        outline::{Located, Path},
        raw::{RawMatch, RawPolicy, RawRule, RawVerify},
        values,
    },
};

/// Rules of a list.
const MAX_RULES: usize = 1024;
/// Patterns of all rules together; finding rules that cannot be reached compares each with each.
const MAX_PATTERNS: usize = 4096;
/// Requirements of one rule.
const MAX_DEMANDS: usize = 8;

/// The rules of a list.
pub(super) fn all(
    raw: &[RawRule],
    policy: &RawPolicy,
    repositories: &Repositories,
    at: &Path,
) -> Result<Vec<Rule>, Located> {
    let too_many = |what, count, limit| Err(at.fault(Fault::TooMany { what, count, limit }));
    if raw.len() > MAX_RULES {
        return too_many("rules", raw.len(), MAX_RULES);
    }
    let lists = raw.iter().flat_map(|rule| [&rule.matcher.namespaces, &rule.matcher.images]);
    let patterns = lists.flatten().map(Vec::len).sum();
    if patterns > MAX_PATTERNS {
        return too_many("patterns", patterns, MAX_PATTERNS);
    }
    let mut rules: Vec<Rule> = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let at = at.index(index);
        if let Some(first) = rules.iter().position(|rule| rule.name.as_str() == raw.name) {
            return Err(at.key("name").fault(Fault::DuplicateName { name: raw.name.clone(), first }));
        }
        rules.push(load(raw, policy, repositories, &at)?);
    }
    Ok(rules)
}

fn load(raw: &RawRule, policy: &RawPolicy, repositories: &Repositories, at: &Path) -> Result<Rule, Located> {
    if !is_dns_label(&raw.name) {
        return Err(at.key("name").fault(Fault::Name(NotALabel(raw.name.clone()))));
    }
    let matcher = load_match(&raw.matcher, &at.key("match"))?;
    let (mode, enforce_from) = load_mode(raw, at)?;
    let mut weak = BTreeSet::new();
    weak.extend(match (mode, enforce_from) {
        (Mode::Enforce, _) => None,
        (_, Some(_)) => Some(Weak::EnforceFrom),
        (Mode::Warn, None) => Some(Weak::Warn),
        (Mode::Audit, None) => Some(Weak::Audit),
    });
    let found: Vec<&'static str> =
        [("verify", raw.verify.is_some()), ("all", raw.all.is_some()), ("allow", raw.allow.is_some())]
            .into_iter()
            .filter_map(|(word, given)| given.then_some(word))
            .collect();
    let action = match (&raw.verify, &raw.all, &raw.allow) {
        (Some(verify), None, None) => {
            let demands = [(verify, at.key("verify"))];
            load_demands(raw, &demands, policy, repositories, &matcher, &mut weak)?
        }
        (None, Some(all), None) => {
            let at = at.key("all");
            if all.is_empty() {
                return Err(at.fault(Fault::EmptyList));
            }
            if all.len() > MAX_DEMANDS {
                let fault = Fault::TooMany { what: "requirements", count: all.len(), limit: MAX_DEMANDS };
                return Err(at.fault(fault));
            }
            let demands: Vec<_> = all.iter().enumerate().map(|(index, verify)| (verify, at.index(index))).collect();
            load_demands(raw, &demands, policy, repositories, &matcher, &mut weak)?
        }
        (None, None, Some(reason)) => {
            weak.insert(Weak::Allow);
            load_exemption(raw, reason, at)?
        }
        _ => return Err(at.fault(Fault::OneOf { wanted: "verify, all and allow", found })),
    };
    if let (Action::Verify(_), Some(_)) = (&action, &raw.until) {
        return Err(at
            .key("until")
            .fault(Fault::MeansNothing { beside: if raw.all.is_some() { "all" } else { "verify" } }));
    }
    hold_weak_rule(&weak, &matcher, &at.key("match"))?;
    let renamed = raw.renamed.as_deref().map(|text| captures::load_as(text, &matcher, &at.key("as"))).transpose()?;
    let reason = raw.reason.as_deref().map(|text| values::plain(text, &at.key("reason"))).transpose()?;
    let name = RuleName(raw.name.as_str().into());
    Ok(Rule { name, matcher, renamed, action, mode, enforce_from, reason, weak })
}

/// What becomes of a refusal, and from when on it refuses whatever `mode` says.
fn load_mode(raw: &RawRule, at: &Path) -> Result<(Mode, Option<Timestamp>), Located> {
    let Some(from) = &raw.enforce_from else { return Ok((raw.mode.unwrap_or_default(), None)) };
    let at = at.key("enforceFrom");
    if raw.mode == Some(Mode::Enforce) {
        return Err(at.fault(Fault::MeansNothing { beside: "mode: enforce" }));
    }
    Ok((raw.mode.unwrap_or(Mode::Warn), Some(values::instant(from, &at)?)))
}

fn load_exemption(raw: &RawRule, reason: &str, at: &Path) -> Result<Action, Located> {
    for (word, given) in [
        ("mode", raw.mode.is_some()),
        ("enforceFrom", raw.enforce_from.is_some()),
        ("reason", raw.reason.is_some()),
        ("as", raw.renamed.is_some()),
    ] {
        if given {
            return Err(at.key(word).fault(Fault::MeansNothing { beside: "allow" }));
        }
    }
    let reason = values::plain(reason, &at.key("allow"))?;
    let until = raw.until.as_deref().map(|text| values::instant(text, &at.key("until"))).transpose()?;
    Ok(Action::Allow { reason, until })
}

fn load_demands(
    raw: &RawRule,
    demands: &[(&RawVerify, Path)],
    policy: &RawPolicy,
    repositories: &Repositories,
    matcher: &Matcher,
    weak: &mut BTreeSet<Weak>,
) -> Result<Action, Located> {
    // A verdict may be reused as long as neither the rule nor the description of its repositories changes.
    let named = demands.iter().flat_map(|(verify, _)| &verify.repositories);
    let described: BTreeMap<&String, _> = named.filter_map(|name| policy.repositories.get_key_value(name)).collect();
    let mut loaded = Vec::new();
    for (part, (verify, at)) in demands.iter().enumerate() {
        if verify.tags == Some(Tags::Registry) {
            hold_registry(matcher, policy, &at.key("tags"))?;
        }
        if let Some(layers) = &verify.layers {
            hold_described(&layers.registry, policy, &at.key("layers").key("registry"))?;
        }
        let hash = hash_of(&json!({"rule": raw, "repositories": described, "part": part}));
        let verify::Read { requirement, role, captures, weak: words } =
            verify::requirement(verify, matcher, repositories, at)?;
        weak.extend(words);
        loaded.push(Demand { requirement: requirement.into(), role, captures, hash });
    }
    Ok(Action::Verify(loaded))
}

/// Attackers choose names: where less is proved, the place must be written out (trust.md §4).
fn hold_weak_rule(weak: &BTreeSet<Weak>, matcher: &Matcher, at: &Path) -> Result<(), Located> {
    if weak.is_empty() {
        return Ok(());
    }
    if let Some(index) = matcher.images.iter().position(|image| !image.pattern.host_is_literal()) {
        let pattern = matcher.images.get(index).map(ImageMatch::to_string).unwrap_or_default();
        let fault = Fault::WeakHost { weak: weak.iter().copied().collect(), pattern };
        return Err(at.key("images").index(index).fault(fault));
    }
    let exact_images = matcher.images.iter().all(|image| image.digest.is_some());
    let exact_namespaces = matcher.namespaces.iter().all(NamePattern::is_literal);
    if weak.contains(&Weak::Allow) && !exact_images && !exact_namespaces {
        return Err(at.key("namespaces").fault(Fault::InexactExemption));
    }
    Ok(())
}

/// A name must not choose whom we ask: each host is written out, and described.
fn hold_registry(matcher: &Matcher, policy: &RawPolicy, at: &Path) -> Result<(), Located> {
    for image in &matcher.images {
        let pattern = image.to_string();
        let host = pattern.split('/').next().unwrap_or_default();
        if !image.pattern.host_is_literal() {
            return Err(at.fault(Fault::OpenRegistry { pattern }));
        }
        hold_described(host, policy, at)?;
    }
    Ok(())
}

fn hold_described(host: &str, policy: &RawPolicy, at: &Path) -> Result<(), Located> {
    if policy.registries.contains_key(host) {
        return Ok(());
    }
    let known = policy.registries.keys().cloned().collect();
    Err(at.fault(Fault::UnknownRegistry { host: host.to_owned(), known }))
}

fn load_match(raw: &RawMatch, at: &Path) -> Result<Matcher, Located> {
    let namespaces = list(&raw.namespaces, &at.key("namespaces"), |text, at| {
        NamePattern::new(text).map_err(|fault| at.fault(Fault::Pattern { pattern: text.clone(), fault }))
    })?;
    let images = list(&raw.images, &at.key("images"), |text, at| load_image(text, at))?;
    let uses = list(&raw.uses, &at.key("uses"), |used_as, _| Ok(*used_as))?;
    Ok(Matcher {
        namespaces: namespaces.unwrap_or_else(|| vec![NamePattern::any()]),
        images: images.unwrap_or_else(|| vec![ImageMatch { pattern: ImagePattern::any(), digest: None }]),
        uses: uses.map_or_else(|| BTreeSet::from(UsedAs::ALL), BTreeSet::from_iter),
    })
}

fn load_image(text: &str, at: &Path) -> Result<ImageMatch, Located> {
    let (pattern, digest) = match text.split_once('@') {
        Some((pattern, digest)) => {
            let hex = digest.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
            let fault = || at.fault(values::value(digest, "a digest: \"sha256:\" and 64 lower-case hex digits"));
            (pattern, Some(hex.ok_or_else(fault)?))
        }
        None => (text, None),
    };
    let pattern =
        ImagePattern::new(pattern).map_err(|fault| at.fault(Fault::Pattern { pattern: pattern.to_owned(), fault }))?;
    Ok(ImageMatch { pattern, digest })
}
