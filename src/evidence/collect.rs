//! What an image's target lists, resolved and sorted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Error, Requirement, Subject,
    files::listed,
    requirement::Predicates,
    walk::{Stop, Walk},
};
use crate::{
    in_toto::{self, LinkName},
    tuf::{Resolved, TargetPath},
};

/// What the image's target lists, sorted into the root layout, the links and the attestations.
pub(super) struct Collected {
    pub(super) layout: Resolved,
    pub(super) links: Vec<Placed>,
    /// Only where the rule asks for Statements.
    pub(super) attestations: Vec<(TargetPath, Arc<[u8]>)>,
}

/// A link file at its place among the sublayouts.
pub(super) struct Placed {
    pub(super) dir: Vec<String>,
    pub(super) name: String,
    pub(super) bytes: Arc<[u8]>,
}

pub(super) fn collect(
    walk: &mut Walk<'_>,
    image: &Resolved,
    subject: &Subject,
    requirement: &Requirement,
) -> Result<Collected, Stop> {
    let by = &image.target.path;
    let paths = listed(by, &image.target.custom, &requirement.custom, walk.limits.evidence_files)?;
    // A literal `layout:` in the rule overrides the listed one: the rule's author has pinned it.
    let pin = requirement.layout.as_ref().and_then(|scope| scope.pinned(subject.name.repository()));

    let mut resolved = Vec::with_capacity(paths.len());
    for path in &paths {
        // `custom` is not path-authorised: every listed path is resolved by the same walk as any other target.
        resolved.push(walk.lookup(path)?);
    }
    let pinned = match &pin {
        Some(path) => walk.lookup(path)?,
        None => None,
    };
    walk.settle()?;

    let reads_statements = !requirement.statements.is_empty() || requirement.predicates == Predicates::Allow;
    let mut found = Vec::with_capacity(paths.len());
    for (path, target) in paths.iter().zip(resolved) {
        let target = target.ok_or_else(|| Error::NotATarget { path: path.clone(), by: by.clone() })?;
        let link = LinkName::parse(base_name(path)).is_some();
        if link {
            expect_link_role(&target, requirement)?;
        }
        // A pinned layout stands for the listed one, which nobody need have kept: Datadog's wheels list one that is gone.
        if pin.is_some() && !link && !reads_statements {
            continue;
        }
        let bytes = walk.file(&target.target)?;
        found.push((target, link, bytes));
    }
    walk.settle()?;

    let mut layouts = Vec::new();
    let (mut links, mut attestations) = (Vec::new(), Vec::new());
    for (target, link, bytes) in found {
        let bytes = bytes.ok_or(Stop::Needs)?;
        if link {
            links.push((target.target.path.clone(), bytes));
        } else if in_toto::is_layout(&bytes) {
            layouts.push(target);
        } else if !requirement.statements.is_empty() {
            // Whatever else it is, in-toto says what is wrong with it as an attestation.
            expect_link_role(&target, requirement)?;
            attestations.push((target.target.path.clone(), bytes));
        } else if !in_toto::is_attestation(&bytes) {
            return Err(Error::UnknownKind { path: target.target.path.clone() }.into());
        } else if reads_statements {
            expect_link_role(&target, requirement)?;
            attestations.push((target.target.path.clone(), bytes));
        }
    }
    let layout = match pin {
        Some(path) => pinned.ok_or_else(|| Error::NotATarget { path, by: by.clone() })?,
        None => {
            let mut layouts = layouts.into_iter();
            let first = layouts.next().ok_or_else(|| Error::NoLayout { path: by.clone() })?;
            if let Some(second) = layouts.next() {
                return Err(Error::SeveralLayouts {
                    path: by.clone(),
                    first: first.target.path.clone(),
                    second: second.target.path.clone(),
                }
                .into());
            }
            first
        }
    };
    Ok(Collected { layout, links: place(links)?, attestations })
}

/// What functionaries sign is believed from the roles of `linkRoles`, be it a link or a Statement.
fn expect_link_role(found: &Resolved, requirement: &Requirement) -> Result<(), Error> {
    match &requirement.link_roles {
        Some(allowed) if !allowed.contains(&found.chain) => Err(Error::LinkRole {
            path: found.target.path.clone(),
            chain: found.chain.clone(),
            allowed: allowed.clone(),
        }),
        _ => Ok(()),
    }
}

/// Places each link by the last components of its path: links of a sublayout lie below a folder that is named like
/// the sublayout's own file, without `.link`.
fn place(links: Vec<(TargetPath, Arc<[u8]>)>) -> Result<Vec<Placed>, Error> {
    let paths: BTreeSet<String> = links.iter().map(|(path, _)| path.as_str().to_owned()).collect();
    let mut places: BTreeMap<(Vec<String>, String), TargetPath> = BTreeMap::new();
    let mut files = Vec::with_capacity(links.len());
    for (path, bytes) in links {
        let mut rest = path.as_str();
        let mut folders = Vec::new();
        let name = base_name(&path).to_owned();
        while let Some((parent, _)) = rest.rsplit_once('/') {
            if !paths.contains(&format!("{parent}.link")) {
                break;
            }
            folders.push(parent.rsplit('/').next().unwrap_or(parent).to_owned());
            rest = parent;
        }
        folders.reverse();
        let place = (folders.clone(), name.clone());
        if let Some(first) = places.get(&place) {
            return Err(Error::AmbiguousLink { first: first.clone(), second: path });
        }
        places.insert(place, path);
        files.push(Placed { dir: folders, name, bytes });
    }
    Ok(files)
}

fn base_name(path: &TargetPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}
