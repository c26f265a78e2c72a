//! The manifests of an index: which of them the bound step must have made, and an index in the place of one of them.

use std::collections::BTreeMap;

use super::{
    Error, Name, Requirement, Subject,
    binding::{Bound, platform_of},
    inspection::{manifest_of, platforms},
    judge::{image_target, supply_chain},
    proof::SupplyChainProof,
    requirement::{Platforms, Via},
    walk::{Stop, Walk},
};
use crate::{
    crypto::Sha256,
    image::{
        Manifest, Platform,
        manifest::{Child, NO_IMAGE},
    },
    in_toto::{Side, Verified, VerifiedStep},
    tuf::Resolved,
};

/// The member of a manifest target's `custom` that names the index in which it stands, as `sha256:<hex>`.
const INDEX: &str = "index";

/// Holds the platforms of an image against those that the rule requires.
pub(super) fn hold(
    manifest: &Manifest,
    verified: &Verified,
    bound: &Bound,
    subject: &Subject,
    requirement: &Requirement,
) -> Result<(), Error> {
    let Some(step) = verified.steps().get(bound.step.as_str()) else {
        return Err(Error::NoSuchStep { step: bound.step.clone() });
    };
    // As with the image itself: what a rule of the layout must consume, and what the policy asks Statements for (T2 C).
    let is_asked = requirement.product.predicate_type.is_some();
    let made = |child, named: &_| made(child, named, (step, is_asked), bound, subject);
    let missing = |platform: &Platform| Error::PlatformMissing { platform: platform.clone(), digest: subject.digest };
    match (&requirement.platforms, manifest) {
        (Platforms::Any, _) | (Platforms::All, Manifest::Image { .. }) => Ok(()),
        (Platforms::These(wanted), Manifest::Image { .. }) => {
            // A manifest does not say what it is for; the name that functionaries gave it does.
            let platform = platform_of(&bound.artifact, subject.name.as_str());
            let is_wanted = platform.is_some_and(|platform| wanted.contains(&platform));
            let first = wanted.iter().next().filter(|_| !is_wanted);
            first.map_or(Ok(()), |platform| Err(missing(platform)))
        }
        (Platforms::All, Manifest::Index { children }) => {
            let named = platforms(children);
            children.iter().enumerate().try_for_each(|child| made(child, &named))
        }
        (Platforms::These(wanted), Manifest::Index { children }) => {
            let named = platforms(children);
            for platform in wanted {
                let is_for = |(_, child): &(usize, &Child)| child.platform.as_ref() == Some(platform);
                let mut found = children.iter().enumerate().filter(is_for).peekable();
                found.peek().ok_or_else(|| missing(platform))?;
                found.try_for_each(|child| made(child, &named))?;
            }
            Ok(())
        }
    }
}

/// Whether a rule of the bound step consumed a child of the index as a product: under `N#<platform>`, or under
/// `N/children/<i>` where no platform names it alone. `named` are the manifests that one does. Where the products are the
/// subjects that the policy asks for, no rule needs to.
fn made(
    (at, child): (usize, &Child),
    named: &BTreeMap<String, Option<Sha256>>,
    (step, is_asked): (&VerifiedStep, bool),
    bound: &Bound,
    subject: &Subject,
) -> Result<(), Error> {
    let digest = child.descriptor.digest;
    let alone = child
        .platform
        .as_ref()
        .filter(|platform| named.get(&platform.to_string()).is_some_and(|only| *only == Some(digest)));
    let by_platform = alone.map(|platform| format!("{}#{platform}", subject.name));
    let is_image = alone.is_some_and(|platform| platform.os != NO_IMAGE);
    let by_place = (!is_image).then(|| format!("{}/children/{at}", subject.name));
    let is_product = |name: &String| {
        let digests = step.products.get(name);
        digests.and_then(|digests| digests.get("sha256")) == Some(&digest.to_string())
            && (is_asked || step.is_consumed(Side::Products, name))
    };
    if by_platform.iter().chain(&by_place).any(is_product) {
        return Ok(());
    }
    let name = by_platform.or(by_place).unwrap_or_default();
    Err(Error::PlatformNotAttested { step: bound.step.clone(), name, digest })
}

/// A manifest by its own evidence; where that does not prove it and the rule lets an index stand for it, by that of the
/// index that its target names. It is one of the same name, and is held to everything that an image is held to.
pub(super) fn by_itself_or_by_index(
    walk: &mut Walk<'_>,
    image: &Resolved,
    subject: &Subject,
    requirement: &Requirement,
) -> Result<SupplyChainProof, Stop> {
    let itself = supply_chain(walk, (image, subject), (image, subject), requirement);
    let (Err(Stop::Refused(_)), Some(Via::Index), Name::Image(_)) = (&itself, requirement.via, &subject.name) else {
        return itself;
    };
    let Some(digest) = index_of(image)? else { return itself };
    let in_its_place = Subject { digest, ..subject.clone() };
    let index = image_target(walk, &in_its_place, requirement)?;
    let manifest = manifest_of(walk, &index, &in_its_place)?;
    let child = manifest_of(walk, image, subject)?;
    hold_child((&manifest, digest), (&child, subject), requirement)?;
    let proof = supply_chain(walk, (&index, &in_its_place), (image, subject), requirement)?;
    Ok(SupplyChainProof { index: Some(digest), ..proof })
}

/// The index that the target of a manifest names.
fn index_of(image: &Resolved) -> Result<Option<Sha256>, Error> {
    let Some(value) = image.target.custom.get(INDEX) else { return Ok(None) };
    let digest = value.as_str().and_then(|text| text.strip_prefix("sha256:")?.parse().ok());
    digest.map(Some).ok_or_else(|| Error::MalformedIndex { path: image.target.path.clone() })
}

/// Holds that an index lists this manifest, for one of the platforms that the rule names if it names some. What it lists
/// as a manifest may be an index all the same: only its bytes tell.
fn hold_child(
    (index, index_digest): (&Manifest, Sha256),
    (manifest, child): (&Manifest, &Subject),
    requirement: &Requirement,
) -> Result<(), Error> {
    let children = match (index, manifest) {
        (Manifest::Index { children }, Manifest::Image { .. }) => children.as_slice(),
        _ => &[],
    };
    let listed: Vec<_> = children.iter().filter(|entry| entry.descriptor.digest == child.digest).collect();
    if listed.is_empty() {
        return Err(Error::NotInIndex { index: index_digest, digest: child.digest });
    }
    let Platforms::These(wanted) = &requirement.platforms else { return Ok(()) };
    let is_wanted = |entry: &&Child| entry.platform.as_ref().is_some_and(|platform| wanted.contains(platform));
    let first = wanted.iter().next().filter(|_| !listed.iter().any(is_wanted));
    first.map_or(Ok(()), |platform| Err(Error::PlatformMissing { platform: platform.clone(), digest: child.digest }))
}
