//! What further repositories say about an image that one repository has proven (TAP 4, trust.md §3).

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Error, Limits, Requirement, Subject, View,
    judge::not_revoked,
    walk::{Progress, Stop, Walk},
};
use crate::{
    crypto::{Sha256, digest::Hashes},
    tuf::{TargetFile, TargetPath},
};

/// A target that a proof rests on, as the repository of the evidence lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relied {
    /// Its path.
    pub path: TargetPath,
    /// Its hashes.
    pub hashes: Hashes,
    /// Its length in bytes; `None` where it does not matter.
    pub length: Option<u64>,
}

impl Relied {
    /// A target that is to have this digest, whatever its length.
    pub fn digest(path: TargetPath, digest: Sha256) -> Self {
        Self { path, hashes: Hashes::sha256_only(digest), length: None }
    }

    fn agrees(&self, target: &TargetFile) -> bool {
        self.hashes.agree(&target.hashes) && self.length.is_none_or(|length| length == target.length)
    }
}

impl From<&Arc<TargetFile>> for Relied {
    fn from(target: &Arc<TargetFile>) -> Self {
        Self { path: target.path.clone(), hashes: target.hashes.clone(), length: Some(target.length) }
    }
}

/// What a repository says about targets that another one lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opinion {
    /// It lists all of them alike.
    Agrees,
    /// It does not list this one.
    Absent(TargetPath),
}

/// Looks up in one repository what a proof by another one rests on. Listed otherwise is an error, and so is an image that
/// this repository has revoked.
pub fn agrees(
    subject: &Subject,
    relied: &[Relied],
    by: &str,
    requirement: &Requirement,
    view: View<'_>,
    now: Timestamp,
    limits: &Limits,
) -> Progress<Opinion> {
    let mut walk = Walk::new(view, now, limits);
    let result = opinion(&mut walk, subject, relied, by, requirement);
    walk.end(result)
}

fn opinion(
    walk: &mut Walk<'_>,
    subject: &Subject,
    relied: &[Relied],
    by: &str,
    requirement: &Requirement,
) -> Result<Opinion, Stop> {
    not_revoked(walk, subject, requirement)?;
    let mut found = Vec::with_capacity(relied.len());
    for wanted in relied {
        found.push(walk.lookup(&wanted.path)?);
    }
    walk.settle()?;
    let pairs = || relied.iter().zip(&found);
    // One that lists something else is worse than one that lists nothing.
    for (wanted, found) in pairs() {
        if let Some(found) = found
            && !wanted.agrees(&found.target)
        {
            return Err(Error::Disagreement {
                path: wanted.path.clone(),
                one: by.to_owned(),
                its: Box::new(wanted.clone()),
                other: walk.view.repository.to_string(),
                theirs: Box::new(Relied::from(&found.target)),
            }
            .into());
        }
    }
    let absent = pairs().find(|(_, found)| found.is_none());
    Ok(absent.map_or(Opinion::Agrees, |(wanted, _)| Opinion::Absent(wanted.path.clone())))
}
