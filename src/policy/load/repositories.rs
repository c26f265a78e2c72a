//! Which repositories a rule asks about an image, and how many of them have to say the same (TAP 4).

use std::num::NonZeroUsize;

use super::Repositories;
use crate::{
    evidence::requirement::{Agreement, RepositoryName},
    policy::{
        Fault,
        outline::{Located, Path},
        raw::{AgreeOn, RawVerify},
        values,
    },
};

/// The repository that has the evidence, and what the others have to agree on.
pub(super) fn of(
    raw: &RawVerify,
    repositories: &Repositories,
    at: &Path,
) -> Result<(RepositoryName, Option<Agreement>), Located> {
    let list = at.key("repositories");
    let mut named: Vec<RepositoryName> = Vec::new();
    for (index, name) in raw.repositories.iter().enumerate() {
        let known = find(name, repositories, &list.index(index))?;
        if named.contains(&known) {
            return Err(list.index(index).fault(values::value(name, "a repository that the list does not have yet")));
        }
        named.push(known);
    }
    let threshold = load_threshold(raw, named.len(), at)?;
    match named.as_slice() {
        [] => return Err(list.fault(Fault::EmptyList)),
        [only] => {
            let words = [("evidence", raw.evidence.is_some()), ("agreeOn", raw.agree_on.is_some())];
            if let Some((word, _)) = words.into_iter().find(|(_, given)| *given) {
                return Err(at.key(word).fault(Fault::MeansNothing { beside: "one repository" }));
            }
            return Ok((only.clone(), None));
        }
        _ => {}
    }
    let Some(evidence) = &raw.evidence else { return Err(list.fault(Fault::NoEvidence)) };
    let key = at.key("evidence");
    let evidence = find(evidence, repositories, &key)?;
    if !named.contains(&evidence) {
        return Err(key.fault(values::value(evidence.as_str(), "one of the rule's repositories")));
    }
    named.retain(|name| *name != evidence);
    let on_evidence = raw.agree_on == Some(AgreeOn::Evidence);
    Ok((evidence, Some(Agreement { others: named, threshold, on_evidence })))
}

fn find(name: &str, repositories: &Repositories, at: &Path) -> Result<RepositoryName, Located> {
    repositories.keys().find(|known| known.as_str() == name).cloned().ok_or_else(|| {
        let known = repositories.keys().map(RepositoryName::to_string).collect();
        at.fault(Fault::UnknownRepository { name: name.to_owned(), known })
    })
}

fn load_threshold(raw: &RawVerify, repositories: usize, at: &Path) -> Result<NonZeroUsize, Located> {
    let wanted = raw.threshold.unwrap_or(repositories.max(1));
    let within = NonZeroUsize::new(wanted).filter(|wanted| wanted.get() <= repositories.max(1));
    within.ok_or_else(|| {
        let fault = values::value(&wanted.to_string(), "a number of the rule's repositories: at least 1, at most all");
        at.key("threshold").fault(fault)
    })
}
