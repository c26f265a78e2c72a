//! From the policy as typed to the one that is valid.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{
    Action, BreakGlass, Demand, Error, Fault, Policy, RegistrySettings, Rule, TufRepository, Warning,
    outline::{Located, Outline, Path},
    raw::{self, RawBreakGlass, RawPolicy},
    values,
};
use crate::{
    crypto::{Sha256, json},
    evidence::requirement::{RepositoryName, is_dns_label},
};

mod captures;
mod repositories;
mod rule;
mod statements;
mod verify;

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
    let at = document.key("registries");
    let registries = raw
        .registries
        .iter()
        .map(|(host, raw)| RegistrySettings::load(host, raw, &at.key(host)).map(|settings| (host.clone(), settings)));
    let registries = registries.collect::<Result<_, _>>()?;
    let rules = rule::all(&raw.rules, raw, &repositories, &document.key("rules"))?;
    let next = raw.next.as_deref().map(|next| rule::all(next, raw, &repositories, &document.key("next")));
    let next = next.transpose()?;
    let mut warnings = unreachable(&rules, "rules", outline);
    warnings.extend(next.iter().flat_map(|next| unreachable(next, "next", outline)));
    warnings.extend(unused(rules.iter().chain(next.iter().flatten()), &repositories, outline));
    let hash = hash_of(&json!(raw));
    let break_glass =
        raw.break_glass.as_ref().map(|raw| load_break_glass(raw, &document.key("breakGlass"))).transpose()?;
    Ok(Policy { repositories, registries, rules, next, break_glass, default: raw.default, warnings, hash })
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

/// Like an exemption it names its namespaces: a pattern would reach namespaces that somebody is yet to make.
fn load_break_glass(raw: &RawBreakGlass, at: &Path) -> Result<BreakGlass, Located> {
    let names = list(&Some(raw.namespaces.clone()), &at.key("namespaces"), |name, at| match is_dns_label(name) {
        true => Ok(name.clone()),
        false => Err(at.fault(values::value(name, "the exact name of a namespace"))),
    })?;
    let until = raw.until.as_deref().map(|text| values::instant(text, &at.key("until"))).transpose()?;
    Ok(BreakGlass { namespaces: names.into_iter().flatten().collect(), until })
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

fn unreachable(rules: &[Rule], list: &str, outline: &Outline) -> Vec<Warning> {
    let permanent = |rule: &&Rule| !matches!(rule.action, Action::Allow { until: Some(_), .. });
    let lengths: Vec<usize> = rules.iter().map(|rule| rule.matcher.length()).collect();
    let mut left = MAX_COMPARED;
    let unreachable = rules.iter().zip(&lengths).enumerate().filter_map(|(index, (rule, length))| {
        let mut earlier = rules.iter().zip(&lengths).take(index).filter(|(earlier, _)| permanent(earlier));
        let (by, _) = earlier.find(|(earlier, theirs)| {
            left = left.saturating_sub(length.saturating_mul(**theirs));
            left > 0 && earlier.matcher.covers(&rule.matcher)
        })?;
        let place = outline.place(&Path::document().key(list).index(index));
        Some(Warning::Unreachable { place, rule: rule.name.clone(), by: by.name.clone() })
    });
    unreachable.collect()
}

fn unused<'a>(rules: impl Iterator<Item = &'a Rule>, repositories: &Repositories, outline: &Outline) -> Vec<Warning> {
    let demands = rules.filter_map(|rule| match &rule.action {
        Action::Verify(demands) => Some(demands),
        Action::Allow { .. } => None,
    });
    let used: BTreeSet<&RepositoryName> = demands.flatten().flat_map(Demand::repositories).collect();
    let unused = repositories.keys().filter(|name| !used.contains(name)).map(|name| {
        let place = outline.place(&Path::document().key("repositories").key(name.as_str()));
        Warning::UnusedRepository { place, repository: name.clone() }
    });
    unused.collect()
}

fn hash_of(value: &serde_json::Value) -> Sha256 {
    Sha256::of(&json::canonical(value))
}

#[cfg(test)]
mod tests;
