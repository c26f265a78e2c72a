//! Which roles could speak about an image that nobody made, and about its evidence.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    crypto::{Material, Sha256},
    evidence::{
        Error, Limits, Name, Requirement, Subject, View,
        files::listed,
        requirement::{Fields, Predicates},
        walk::{Progress, Stop, Walk},
    },
    in_toto::LinkName,
    pattern::TufPattern,
    tuf::{RoleChain, TargetPath},
};

/// Digests that a thief tries to have his image fall to a role whose key he has.
const MAX_DIGESTS: u32 = 1024;

/// Paths that are looked up to learn who speaks about them.
const MAX_PATHS: usize = 64;

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
    /// Whether there are more paths than were looked up.
    pub is_cut: bool,
}

/// Where the evidence of an image is that was proven.
#[derive(Debug, Clone, Copy)]
pub enum Evidence<'a> {
    /// In this repository, by this layout; without one only the image matters.
    Here(Option<&'a TargetPath>),
    /// In another one. This repository has to list the image alike, whichever role does, and what there is of these: the
    /// layout, and the other files.
    Elsewhere(Option<(&'a TargetPath, &'a [TargetPath])>),
}

/// Which roles may speak about `stranger`, an image by the name of one that was proven, or about another one that a thief
/// would choose.
pub fn reach(
    proven: &Subject,
    stranger: Sha256,
    evidence: Evidence<'_>,
    requirement: &Requirement,
    view: View<'_>,
    now: Timestamp,
    limits: &Limits,
) -> Progress<Reach> {
    let mut walk = Walk::new(view, now, limits);
    let result = look(&mut walk, proven, stranger, evidence, requirement);
    walk.end(result)
}

fn look(
    walk: &mut Walk<'_>,
    proven: &Subject,
    stranger: Sha256,
    evidence: Evidence<'_>,
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
    let digests = (0..MAX_DIGESTS).map(|number| Sha256::of(format!("{number} {stranger}").as_bytes()));
    let mut images = vec![path_of(stranger)?];
    for digest in digests {
        images.push(path_of(digest)?);
    }
    reach.image = speakers(walk, &[], images, &mut reach.is_cut)?;
    let is_here = matches!(evidence, Evidence::Here(_));
    if let Some(role) = requirement.role.as_ref().filter(|_| is_here) {
        reach.image.retain(|chain| chain == role);
    }
    let image = walk.lookup(&path_of(proven.digest)?)?;
    let (layout, files) = match evidence {
        Evidence::Here(None) | Evidence::Elsewhere(None) => return walk.settle().map(|()| reach),
        Evidence::Here(Some(layout)) => {
            let listed_layout = walk.lookup(layout)?;
            walk.settle()?;
            let Some(image) = image else { return Ok(reach) };
            reach.is_retired = listed_layout.is_some_and(|layout| layout.target.custom.contains_key("digests"));
            let (path, custom) = (&image.target.path, &image.target.custom);
            (layout, listed(path, custom, &requirement.custom, walk.limits.evidence_files)?)
        }
        Evidence::Elsewhere(Some((layout, files))) => (layout, files.to_vec()),
    };

    // In the place of the layout that is there, or beside it where the rule would take that.
    let scope = requirement.layout.as_ref();
    let mut layouts = Vec::new();
    if scope.is_none_or(|scope| scope.pinned(proven.name.repository()).is_none()) {
        layouts.push(beside(layout, 0, stranger));
        let patterns = walk.view.roles.patterns(walk.view.trusted);
        let samples = patterns.iter().filter_map(|pattern| sample(pattern, &stranger.to_string()));
        let fits = |path: &TargetPath| scope.is_none_or(|scope| scope.fits(proven.name.repository(), path));
        layouts.extend(samples.filter(fits));
        layouts.extend(
            (0..MAX_DIGESTS)
                .map(|number| beside(layout, 0, Sha256::of(format!("layout {number} {stranger}").as_bytes()))),
        );
    }
    reach.layout = speakers(walk, std::slice::from_ref(layout), layouts, &mut reach.is_cut)?;
    if is_here {
        reach.layout.retain(|chain| requirement.layout_roles.contains(chain));
    }

    // Wherever a link lies: its name is all that counts.
    let files: Vec<TargetPath> = files.into_iter().filter(|path| path != layout).collect();
    let mut names: BTreeSet<String> = files.iter().map(|path| base_name(path).to_owned()).collect();
    names.retain(|name| LinkName::parse(name).is_some());
    let mut links: Vec<TargetPath> = files.iter().map(|path| beside(path, 1, stranger)).collect();
    let reads_statements = !requirement.statements.is_empty() || requirement.predicates == Predicates::Allow;
    names.extend(reads_statements.then(|| stranger.to_string()));
    for pattern in walk.view.roles.patterns(walk.view.trusted) {
        links.extend(names.iter().filter_map(|name| sample(&pattern, name)));
    }
    if let Some(name) = names.first() {
        links.extend((0..MAX_DIGESTS).map(|number| TargetPath::from(format!("{number}-{stranger}/{name}"))));
    }
    reach.links = speakers(walk, &files, links, &mut reach.is_cut)?;
    if let Some(allowed) = requirement.link_roles.as_ref().filter(|_| is_here) {
        reach.links.retain(|chain| allowed.contains(chain));
    }
    walk.settle()?;
    Ok(reach)
}

/// All who may speak about any of these paths. Of those that may be delegated alike, to roles with the same keys, one is
/// looked up; those that are `there` may be listed, which ends a look-up before it comes to all of them.
fn speakers(
    walk: &mut Walk<'_>,
    there: &[TargetPath],
    paths: impl IntoIterator<Item = TargetPath>,
    is_cut: &mut bool,
) -> Result<BTreeSet<RoleChain>, Stop> {
    type Kind = (Option<RoleChain>, Option<(BTreeSet<Material>, u32)>);
    let mut found = BTreeSet::new();
    for path in there.iter().filter(|path| path.is_safe()) {
        found.extend(walk.speakers(path)?);
    }
    let mut known: BTreeSet<Vec<Kind>> = BTreeSet::new();
    for path in paths.into_iter().filter(TargetPath::is_safe) {
        let (roles, trusted) = (walk.view.roles, walk.view.trusted);
        let chains = roles.delegated(trusted, &path);
        let kind = |chain: &RoleChain| {
            let signers = roles.signers(trusted, chain);
            (chain.parent(), signers.map(|signers| (signers.materials, signers.threshold.get())))
        };
        if !known.insert(chains.iter().map(kind).collect()) {
            continue;
        }
        if known.len() > MAX_PATHS {
            *is_cut = true;
            break;
        }
        found.extend(walk.speakers(&path)?);
    }
    Ok(found)
}

/// A path that fits the pattern of a delegation and ends in this name; none if it cannot.
fn sample(pattern: &str, name: &str) -> Option<TargetPath> {
    let folder = pattern.rsplit_once('/').map_or("", |(folder, _)| folder);
    let folder = folder.replace(['*', '?'], "x");
    let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    TufPattern::new(pattern).matches(&path).then(|| TargetPath::from(path))
}

fn base_name(path: &TargetPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

/// The path with another segment, counted from the last one.
fn beside(path: &TargetPath, from_last: usize, stranger: Sha256) -> TargetPath {
    let mut segments: Vec<String> = path.as_str().split('/').map(str::to_owned).collect();
    if let Some(segment) = segments.iter_mut().rev().nth(from_last) {
        *segment = stranger.to_string();
    }
    TargetPath::from(segments.join("/"))
}
