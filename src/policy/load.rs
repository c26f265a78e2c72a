//! From the policy as typed to the one that is valid.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{
    Action, Error, Fault, ImageMatch, Matcher, Mode, Policy, Rule, RuleName, TufRepository, UsedAs, Warning, Weak,
    outline::{Located, Outline, Path},
    raw::{self, RawMatch, RawPolicy, RawRule},
    values,
};
use crate::{
    crypto::{Sha256, json},
    evidence::requirement::{NotALabel, RepositoryName, is_dns_label},
    pattern::{ImagePattern, NamePattern},
};

mod verify;

/// Rules of a policy.
const MAX_RULES: usize = 512;
/// Patterns of all rules together; finding rules that cannot be reached compares each with each.
const MAX_PATTERNS: usize = 4096;

/// Bytes of patterns that are held against bytes of patterns, to find rules that no image reaches. Beyond it rules are
/// not looked at: that is a courtesy, and two long lists of stars would take minutes.
const MAX_COMPARED: usize = 1 << 30;

pub(super) type Repositories = BTreeMap<RepositoryName, TufRepository>;

pub(super) fn policy(text: &str) -> Result<Policy, Error> {
    let (raw, outline) = raw::read(text)?;
    load(&raw, &outline).map_err(|located| outline.error(located))
}

fn load(raw: &RawPolicy, outline: &Outline) -> Result<Policy, Located> {
    let document = Path::document();
    if raw.version != 1 {
        return Err(document.key("version").fault(Fault::Version(raw.version)));
    }
    let repositories = load_repositories(raw, &document.key("repositories"))?;
    let rules = load_rules(raw, &repositories, &document.key("rules"))?;
    let warnings = warnings(&rules, &repositories, outline);
    let hash = hash_of(&json!(raw));
    Ok(Policy { repositories, rules, default: raw.default, warnings, hash })
}

fn load_repositories(raw: &RawPolicy, at: &Path) -> Result<Repositories, Located> {
    let mut repositories = Repositories::new();
    for (name, raw) in &raw.repositories {
        let at = at.key(name);
        let label: RepositoryName = name.parse().map_err(|fault| at.fault(Fault::Name(fault)))?;
        let repository = TufRepository::load(raw, &at)?;
        // One root under two names would make two rollback memories of one repository.
        if let Some((other, _)) = repositories.iter().find(|(_, other)| other.root == repository.root) {
            let fault = Fault::SharedRoot { root: repository.root.to_string(), other: other.to_string() };
            return Err(at.key("root").fault(fault));
        }
        repositories.insert(label, repository);
    }
    Ok(repositories)
}

fn load_rules(raw: &RawPolicy, repositories: &Repositories, at: &Path) -> Result<Vec<Rule>, Located> {
    let too_many = |what, count, limit| Err(at.fault(Fault::TooMany { what, count, limit }));
    if raw.rules.len() > MAX_RULES {
        return too_many("rules", raw.rules.len(), MAX_RULES);
    }
    let lists = raw.rules.iter().flat_map(|rule| [&rule.matcher.namespaces, &rule.matcher.images]);
    let patterns = lists.flatten().map(Vec::len).sum();
    if patterns > MAX_PATTERNS {
        return too_many("patterns", patterns, MAX_PATTERNS);
    }
    let mut rules: Vec<Rule> = Vec::new();
    for (index, raw_rule) in raw.rules.iter().enumerate() {
        let at = at.index(index);
        if let Some(first) = rules.iter().position(|rule| rule.name.as_str() == raw_rule.name) {
            return Err(at.key("name").fault(Fault::DuplicateName { name: raw_rule.name.clone(), first }));
        }
        rules.push(load_rule(raw_rule, raw, repositories, &at)?);
    }
    Ok(rules)
}

fn load_rule(raw: &RawRule, policy: &RawPolicy, repositories: &Repositories, at: &Path) -> Result<Rule, Located> {
    if !is_dns_label(&raw.name) {
        return Err(at.key("name").fault(Fault::Name(NotALabel(raw.name.clone()))));
    }
    let matcher = load_match(&raw.matcher, &at.key("match"))?;
    let mode = raw.mode.unwrap_or_default();
    let mut weak = BTreeSet::new();
    weak.extend(match mode {
        Mode::Enforce => None,
        Mode::Warn => Some(Weak::Warn),
        Mode::Audit => Some(Weak::Audit),
    });
    let action = match (&raw.verify, &raw.allow) {
        (Some(verify), None) => {
            if raw.until.is_some() {
                return Err(at.key("until").fault(Fault::MeansNothing { beside: "verify" }));
            }
            let (requirement, weak_words) = verify::requirement(verify, &matcher, repositories, &at.key("verify"))?;
            weak.extend(weak_words);
            Action::Verify(Box::new(requirement))
        }
        (None, Some(reason)) => {
            if raw.mode.is_some() {
                return Err(at.key("mode").fault(Fault::MeansNothing { beside: "allow" }));
            }
            weak.insert(Weak::Allow);
            let reason = values::plain(reason, &at.key("allow"))?;
            let until = raw.until.as_deref().map(|text| values::instant(text, &at.key("until"))).transpose()?;
            Action::Allow { reason, until }
        }
        (None, None) => return Err(at.fault(Fault::OneOf { wanted: "verify and allow", found: Vec::new() })),
        (Some(_), Some(_)) => {
            return Err(at.fault(Fault::OneOf { wanted: "verify and allow", found: vec!["verify", "allow"] }));
        }
    };
    hold_weak_rule(&weak, &matcher, &at.key("match"))?;
    // A verdict may be reused as long as neither the rule nor the description of its repository changes.
    let described: BTreeMap<&String, _> = raw
        .verify
        .iter()
        .flat_map(|verify| &verify.repositories)
        .filter_map(|name| policy.repositories.get_key_value(name))
        .collect();
    let hash = hash_of(&json!({"rule": raw, "repositories": described}));
    Ok(Rule { name: RuleName(raw.name.as_str().into()), matcher, action, mode, weak, hash })
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

/// Loads each entry; a list of nothing is refused, because it would read like no list, which means everything.
fn list<R, T>(
    raw: &Option<Vec<R>>,
    at: &Path,
    load: impl Fn(&R, &Path) -> Result<T, Located>,
) -> Result<Option<Vec<T>>, Located> {
    let Some(raw) = raw else { return Ok(None) };
    if raw.is_empty() {
        return Err(at.fault(Fault::EmptyList));
    }
    raw.iter().enumerate().map(|(index, entry)| load(entry, &at.index(index))).collect::<Result<_, _>>().map(Some)
}

fn warnings(rules: &[Rule], repositories: &Repositories, outline: &Outline) -> Vec<Warning> {
    let permanent = |rule: &&Rule| !matches!(rule.action, Action::Allow { until: Some(_), .. });
    let lengths: Vec<usize> = rules.iter().map(|rule| rule.matcher.length()).collect();
    let mut left = MAX_COMPARED;
    let unreachable = rules.iter().zip(&lengths).enumerate().filter_map(|(index, (rule, length))| {
        let mut earlier = rules.iter().zip(&lengths).take(index).filter(|(earlier, _)| permanent(earlier));
        let (by, _) = earlier.find(|(earlier, theirs)| {
            left = left.saturating_sub(length.saturating_mul(**theirs));
            left > 0 && earlier.matcher.covers(&rule.matcher)
        })?;
        let place = outline.place(&Path::document().key("rules").index(index));
        Some(Warning::Unreachable { place, rule: rule.name.clone(), by: by.name.clone() })
    });
    let is_used = |name: &RepositoryName| {
        rules.iter().any(|rule| matches!(&rule.action, Action::Verify(requirement) if requirement.repository == *name))
    };
    let unused = repositories.keys().filter(|name| !is_used(name)).map(|name| {
        let place = outline.place(&Path::document().key("repositories").key(name.as_str()));
        Warning::UnusedRepository { place, repository: name.clone() }
    });
    unreachable.chain(unused).collect()
}

fn hash_of(value: &serde_json::Value) -> Sha256 {
    Sha256::of(&json::canonical(value))
}

#[cfg(test)]
mod tests;
