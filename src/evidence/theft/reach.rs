//! Which roles could speak about an image that nobody made, and about its evidence.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    crypto::Sha256,
    evidence::{
        Error, Limits, Name, Requirement, Subject, View,
        files::listed,
        requirement::Fields,
        walk::{Progress, Stop, Walk},
    },
    tuf::{RoleChain, TargetPath},
};

/// The roles that may speak about an image that is not there, and about evidence for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Which may list the image.
    pub image: BTreeSet<RoleChain>,
    /// Which may list links, or Statements, as the rule wants them.
    pub links: BTreeSet<RoleChain>,
    /// Which may list a layout that the rule takes.
    pub layout: BTreeSet<RoleChain>,
    /// Whether the layout that is there serves no new image (T5): its functionaries are of no use to a thief.
    pub is_retired: bool,
}

/// Which roles may speak about `stranger`, an image by the name of one that was proven. `layout` is the layout of that
/// one; without it only the image is looked for.
pub fn reach(
    proven: &Subject,
    stranger: Sha256,
    layout: Option<&TargetPath>,
    requirement: &Requirement,
    view: View<'_>,
    now: Timestamp,
    limits: &Limits,
) -> Progress<Reach> {
    let mut walk = Walk::new(view, now, limits);
    let result = look(&mut walk, proven, stranger, layout, requirement);
    walk.end(result)
}

fn look(
    walk: &mut Walk<'_>,
    proven: &Subject,
    stranger: Sha256,
    layout: Option<&TargetPath>,
    requirement: &Requirement,
) -> Result<Reach, Stop> {
    let path_of = |digest| match &proven.name {
        Name::Image(repository) => {
            let fields = Fields { repository: Some(repository), tag: None, digest: Some(digest) };
            let path = requirement.digest_target.expand(&fields);
            path.map(TargetPath::from).ok_or_else(|| Error::UnusableTemplate { name: proven.name.clone() })
        }
        Name::File(path) => Ok(path.clone()),
    };
    let mut reach = Reach::default();
    reach.image.extend(walk.speakers(&path_of(stranger)?)?);
    if let Some(role) = &requirement.role {
        reach.image.retain(|chain| chain == role);
    }
    let image = walk.lookup(&path_of(proven.digest)?)?;
    let listed_layout = layout.map(|layout| walk.lookup(layout)).transpose()?.flatten();
    walk.settle()?;
    let (Some(layout), Some(image)) = (layout, image) else { return Ok(reach) };
    reach.is_retired = listed_layout.is_some_and(|layout| layout.target.custom.contains_key("digests"));

    // In the place of the layout that is there, or beside it where the rule would take that.
    reach.layout.extend(walk.speakers(layout)?);
    let is_pinned = requirement.layout.as_ref().is_some_and(|scope| scope.pinned(proven.name.repository()).is_some());
    if !is_pinned {
        reach.layout.extend(walk.speakers(&beside(layout, 0, stranger))?);
    }
    reach.layout.retain(|chain| requirement.layout_roles.contains(chain));

    for path in listed(&image.target.path, &image.target.custom, &requirement.custom, walk.limits.evidence_files)? {
        if path != *layout {
            reach.links.extend(walk.speakers(&path)?);
            reach.links.extend(walk.speakers(&beside(&path, 1, stranger))?);
        }
    }
    if let Some(allowed) = &requirement.link_roles {
        reach.links.retain(|chain| allowed.contains(chain));
    }
    walk.settle()?;
    Ok(reach)
}

/// The path with another segment, counted from the last one.
fn beside(path: &TargetPath, from_last: usize, stranger: Sha256) -> TargetPath {
    let mut segments: Vec<String> = path.as_str().split('/').map(str::to_owned).collect();
    if let Some(segment) = segments.iter_mut().rev().nth(from_last) {
        *segment = stranger.to_string();
    }
    TargetPath::from(segments.join("/"))
}

