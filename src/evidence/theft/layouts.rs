//! The layouts by which another image of a name could pass, and the images from whose links a thief could take some.

use jiff::Timestamp;

use crate::{
    crypto::Sha256,
    evidence::{
        Error, Limits, Name, Requirement, Subject, View,
        files::listed,
        judge::{options, parameters},
        layout::layout_evidence,
        requirement::Fields,
        walk::{Progress, Stop, Walk},
    },
    image::Repository,
    in_toto::{Unsaid, is_layout},
    tuf::{Resolved, TargetPath},
};

/// Targets that are looked into because they may be layouts.
const MAX_LAYOUTS: usize = 64;

/// Images of one layout that are named.
const MAX_IMAGES: usize = 64;

/// What a thief finds.
#[derive(Debug, Clone, Default)]
pub struct Rivals {
    /// The layouts that serve another image of that name.
    pub layouts: Vec<Rival>,
    /// Whether there are more.
    pub is_cut: bool,
}

/// A layout that serves another image.
#[derive(Debug, Clone)]
pub struct Rival {
    /// Its path.
    pub layout: TargetPath,
    /// As long as nobody has signed anything.
    pub unsaid: Unsaid,
    /// Some images that list it, those of the same name first.
    pub images: Vec<Subject>,
}

/// Looks for layouts, and images that list them, in the roles that were read.
pub fn rivals(
    subject: &Subject,
    stranger: Sha256,
    requirement: &Requirement,
    view: View<'_>,
    now: Timestamp,
    limits: &Limits,
) -> Progress<Rivals> {
    let mut walk = Walk::new(view, now, limits);
    let subject = Subject { digest: stranger, tag: None, ..subject.clone() };
    let result = look(&mut walk, &subject, requirement);
    walk.end(result)
}

fn look(walk: &mut Walk<'_>, subject: &Subject, requirement: &Requirement) -> Result<Rivals, Stop> {
    let mut rivals = Rivals::default();
    // What is listed beside it may be of use as well.
    if let Name::Image(repository) = &subject.name {
        let fields = Fields { repository: Some(repository), tag: None, digest: Some(subject.digest) };
        if let Some(path) = requirement.digest_target.expand(&fields) {
            walk.speakers(&TargetPath::from(path))?;
            walk.settle()?;
        }
    }
    let all = walk.view.roles.listed(walk.view.trusted);
    let pin = requirement.layout.as_ref().and_then(|scope| scope.pinned(subject.name.repository()));
    let mut candidates = Vec::new();
    for path in &all {
        let fits = requirement.layout.as_ref().map(|scope| scope.fits(subject.name.repository(), path));
        if fits == Some(false) || pin.as_ref().is_some_and(|pin| pin != path) {
            continue;
        }
        // Whatever else cannot be looked up cannot be used.
        let found = if path.is_safe() { walk.lookup(path)? } else { None };
        let Some(found) = found else { continue };
        let custom = &found.target.custom;
        // T5: either the rule or the layout's role says for whom it is.
        let is_scoped = fits == Some(true) || custom.contains_key("images");
        if is_scoped && custom.contains_key(&requirement.custom) && requirement.layout_roles.contains(&found.chain) {
            candidates.push(found);
        }
    }
    rivals.is_cut |= candidates.len() > MAX_LAYOUTS;
    let mut taken = Vec::new();
    for layout in candidates.into_iter().take(MAX_LAYOUTS) {
        match read(walk, &layout, subject, requirement) {
            Ok(unsaid) => taken.extend(unsaid.map(|unsaid| (layout.target.path.clone(), unsaid))),
            Err(Stop::Needs) => {}
            Err(Stop::Refused(Error::TooManyBytes { .. })) => rivals.is_cut = true,
            // It would be refused for a thief as well.
            Err(Stop::Refused(_)) => {}
        }
    }
    walk.settle()?;
    for (layout, unsaid) in taken {
        let mut images = Vec::new();
        for path in &all {
            let Some(image) = image_at(path, subject, requirement) else { continue };
            let found = walk.lookup(path)?;
            images.extend(found.filter(|found| lists(found, &layout, requirement, walk.limits)).map(|_| image));
        }
        images.sort_by_key(|image| image.name != subject.name);
        images.truncate(MAX_IMAGES);
        rivals.layouts.push(Rival { layout, unsaid, images });
    }
    walk.settle()?;
    Ok(rivals)
}

fn read(
    walk: &mut Walk<'_>,
    layout: &Resolved,
    subject: &Subject,
    requirement: &Requirement,
) -> Result<Option<Unsaid>, Stop> {
    let evidence = layout_evidence(walk, layout, subject, requirement)?;
    if !is_layout(&evidence.bytes) {
        return Ok(None);
    }
    let options = options(requirement, parameters(walk, subject, requirement)?);
    let unsaid = Unsaid::of(&evidence.bytes, &evidence.keys, &options, walk.now, &walk.limits.in_toto)?;
    let expires = unsaid.as_verified().layout_expires();
    Ok(Some(unsaid).filter(|_| requirement.not_before.is_none_or(|not_before| expires >= not_before)))
}

/// The image whose target this is, of the same name or, where targets go by the names of images, of another.
fn image_at(path: &TargetPath, subject: &Subject, requirement: &Requirement) -> Option<Subject> {
    let (name, hex) = path.as_str().rsplit_once("@sha256:").unwrap_or((path.as_str(), ""));
    let Name::Image(own) = &subject.name else { return None };
    let digest: Sha256 = match hex.parse() {
        Ok(digest) => digest,
        // By another template its digest stands last all the same, or it is not found.
        Err(_) => path.as_str().get(path.as_str().len().checked_sub(64)?..)?.parse().ok()?,
    };
    let other = Repository::parse(name).ok();
    [Some(own.clone()), other].into_iter().flatten().find_map(|repository| {
        let fields = Fields { repository: Some(&repository), tag: None, digest: Some(digest) };
        let is_it = requirement.digest_target.expand(&fields).is_some_and(|target| target == path.as_str());
        is_it.then_some(Subject { name: Name::Image(repository), digest, tag: None })
    })
}

fn lists(image: &Resolved, layout: &TargetPath, requirement: &Requirement, limits: &Limits) -> bool {
    let listed = listed(&image.target.path, &image.target.custom, &requirement.custom, limits.evidence_files);
    // A pinned one overrides what is listed.
    requirement.layout.as_ref().is_some_and(|scope| !scope.is_glob())
        || listed.is_ok_and(|paths| paths.contains(layout))
}
