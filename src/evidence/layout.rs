//! Which layout counts for an image: where it was signed, what it is for, whether it is closed, whose keys verify it.

use std::sync::Arc;

use super::{
    DigestList, Error, Requirement, Subject,
    files::{layout_key, listed},
    walk::{Stop, Walk},
};
use crate::{
    in_toto::LayoutKey,
    pattern::ImagePattern,
    tuf::{Resolved, TargetPath},
};

/// Everything about the layout that comes from outside its own bytes.
pub(super) struct LayoutEvidence {
    pub(super) bytes: Arc<[u8]>,
    pub(super) keys: Vec<LayoutKey>,
    pub(super) key_paths: Vec<TargetPath>,
}

/// Holds the layout target against T1 (separation) and T5 (scope, retirement) and reads its keys.
pub(super) fn layout_evidence(
    walk: &mut Walk<'_>,
    layout: &Resolved,
    subject: &Subject,
    requirement: &Requirement,
) -> Result<LayoutEvidence, Stop> {
    let path = &layout.target.path;
    // T1: else the role that lists the image could sign a layout of its own.
    if !requirement.layout_roles.contains(&layout.chain) {
        return Err(Error::LayoutRole {
            path: path.clone(),
            chain: layout.chain.clone(),
            allowed: requirement.layout_roles.clone(),
        }
        .into());
    }
    in_scope(layout, subject, requirement)?;

    let digests = digest_list(walk, layout)?;
    let key_paths = listed(path, &layout.target.custom, &requirement.custom, walk.limits.layout_keys)?;
    let mut resolved = Vec::with_capacity(key_paths.len());
    for key_path in &key_paths {
        resolved.push(walk.lookup(key_path)?);
    }
    walk.settle()?;

    let bytes = walk.file(&layout.target)?;
    let mut key_files = Vec::with_capacity(key_paths.len());
    for (key_path, found) in key_paths.iter().zip(resolved) {
        let Some(found) = found else {
            return Err(Error::NotATarget { path: key_path.clone(), by: path.clone() }.into());
        };
        // T1: keys of a layout are as much its word as its steps.
        if !requirement.layout_roles.contains(&found.chain) {
            return Err(Error::KeyRole {
                path: key_path.clone(),
                chain: found.chain,
                allowed: requirement.layout_roles.clone(),
            }
            .into());
        }
        key_files.push((key_path, walk.file(&found.target)?));
    }
    let digest_bytes = match &digests {
        Some(list) => {
            if !requirement.layout_roles.contains(&list.chain) {
                return Err(Error::DigestListRole {
                    path: list.target.path.clone(),
                    chain: list.chain.clone(),
                    allowed: requirement.layout_roles.clone(),
                }
                .into());
            }
            walk.file(&list.target)?
        }
        None => None,
    };
    walk.settle()?;

    if let (Some(list), Some(bytes)) = (&digests, digest_bytes) {
        let list = &list.target.path;
        let digests = DigestList::parse(&bytes)
            .ok_or_else(|| Error::MalformedDigestList { layout: path.clone(), list: list.clone() })?;
        if !digests.contains(&subject.digest) {
            return Err(Error::Retired { layout: path.clone(), list: list.clone(), digest: subject.digest }.into());
        }
    }
    let mut keys = Vec::with_capacity(key_files.len());
    for (key_path, bytes) in key_files {
        let bytes = bytes.ok_or(Stop::Needs)?;
        keys.push(layout_key(key_path, &bytes)?);
    }
    Ok(LayoutEvidence { bytes: bytes.ok_or(Stop::Needs)?, keys, key_paths })
}

/// T5: a layout says whom it trusts, not for what; without a scope an old or foreign project's layout would serve.
fn in_scope(layout: &Resolved, subject: &Subject, requirement: &Requirement) -> Result<(), Error> {
    let path = &layout.target.path;
    let mut scoped = false;
    if let Some(scope) = &requirement.layout {
        if !scope.fits(subject.name.repository(), path) {
            return Err(Error::OutOfScope {
                layout: path.clone(),
                name: subject.name.clone(),
                by: "the rule",
                scope: scope.to_string(),
            });
        }
        scoped = true;
    }
    if let Some(images) = layout.target.custom.get("images") {
        let malformed = || Error::MalformedScope { layout: path.clone() };
        let mut fits = false;
        let mut texts = Vec::new();
        for item in images.as_array().ok_or_else(malformed)? {
            let text = item.as_str().ok_or_else(malformed)?;
            let pattern = ImagePattern::new(text).map_err(|_| malformed())?;
            fits |= pattern.matches(subject.name.as_str());
            texts.push(text);
        }
        if !fits {
            return Err(Error::OutOfScope {
                layout: path.clone(),
                name: subject.name.clone(),
                by: "custom.images",
                scope: texts.join(", "),
            });
        }
        scoped = true;
    }
    if scoped { Ok(()) } else { Err(Error::NotScoped { layout: path.clone() }) }
}

/// The target that lists the digests of a retired layout, if the layout is retired.
fn digest_list(walk: &mut Walk<'_>, layout: &Resolved) -> Result<Option<Resolved>, Stop> {
    let path = &layout.target.path;
    let Some(value) = layout.target.custom.get("digests") else { return Ok(None) };
    let Some(text) = value.as_str() else {
        // What cannot be read must not reopen the layout.
        let list = TargetPath::from(value.to_string());
        return Err(Error::MalformedDigestList { layout: path.clone(), list }.into());
    };
    let list = TargetPath::from(text);
    let found = walk.lookup(&list)?;
    walk.settle()?;
    match found {
        Some(found) => Ok(Some(found)),
        None => Err(Error::NotATarget { path: list, by: path.clone() }.into()),
    }
}
