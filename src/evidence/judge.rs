//! The judgement itself: the rules of belief in their order.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{
    Error, Limits, Name, Proof, Requirement, Subject, View,
    binding::{Bound, bind, platform_of},
    collect::{Collected, collect},
    inspection::{Inspect, Stage, manifest_of},
    layout::{LayoutEvidence, layout_evidence},
    platforms,
    proof::{Ends, MadeBy, Step, SupplyChainProof},
    requirement::{Certificates, Field, Fields, Level, Platforms, Predicates, Tags, Template},
    walk::{Progress, Stop, Walk},
};
use crate::{
    crypto::Sha256,
    image::{Repository, Tag},
    in_toto::{self, AttestationFile, LinkFile, SupplyChain},
    tuf::{Resolved, TargetPath},
};

/// Judges one image, or one file, by its digest.
pub fn judge(
    subject: &Subject,
    requirement: &Requirement,
    view: View<'_>,
    now: Timestamp,
    limits: &Limits,
) -> Progress<Proof> {
    let mut walk = Walk::new(view, now, limits);
    walk.note_files = requirement.agreement.as_ref().is_some_and(|agreement| agreement.on_evidence);
    let result = prove(&mut walk, subject, requirement);
    walk.end(result)
}

/// Looks at every step of the supply chain of one image, or one file, whether it holds or not. For people: nothing is
/// admitted by it.
pub fn survey(
    subject: &Subject,
    requirement: &Requirement,
    view: View<'_>,
    now: Timestamp,
    limits: &Limits,
) -> Progress<in_toto::Survey> {
    let mut walk = Walk::new(view, now, limits);
    let result = look(&mut walk, subject, requirement);
    walk.end(result)
}

fn look(walk: &mut Walk<'_>, subject: &Subject, requirement: &Requirement) -> Result<in_toto::Survey, Stop> {
    let image = image_target(walk, subject, requirement)?;
    let assembled = assemble(walk, &image, subject, requirement)?;
    let (now, limits) = (walk.now, &walk.limits.in_toto);
    let mut inspect = Inspect::new(walk, (&image, subject), (&image, subject), requirement, Stage::All);
    let survey = in_toto::survey(&assembled.chain(), &assembled.options(requirement), &mut inspect, now, limits);
    inspect.end(Ok::<_, Error>(survey)).map(|(survey, _)| survey)
}

/// What a tag names now: the digest of the signed tag target `N:<tag>`.
pub fn resolve_tag(
    repository: &Repository,
    tag: &Tag,
    requirement: &Requirement,
    view: View<'_>,
    now: Timestamp,
    limits: &Limits,
) -> Progress<Sha256> {
    let mut walk = Walk::new(view, now, limits);
    let result = if requirement.tags == Tags::Deny {
        Err(Error::TagDenied { tag: tag.clone() }.into())
    } else {
        tag_target(&mut walk, repository, tag, requirement)
    };
    walk.end(result)
}

fn prove(walk: &mut Walk<'_>, subject: &Subject, requirement: &Requirement) -> Result<Proof, Stop> {
    let image = image_target(walk, subject, requirement)?;
    let supply_chain = match requirement.level {
        Level::Tuf => None,
        Level::InToto => Some(platforms::by_itself_or_by_index(walk, &image, subject, requirement)?),
    };
    Ok(Proof {
        subject: subject.clone(),
        repository: walk.view.repository.clone(),
        image_chain: image.chain,
        targets_version: walk.view.trusted.targets().version,
        supply_chain,
        relied: walk.relied(),
        visited: walk.share_visited(),
        ends: walk.ends(),
        valid_until: walk.valid_until(),
    })
}

/// The image's target by digest, and that nobody who may has revoked the digest.
pub(super) fn image_target(
    walk: &mut Walk<'_>,
    subject: &Subject,
    requirement: &Requirement,
) -> Result<Resolved, Stop> {
    let path = match &subject.name {
        Name::Image(repository) => expand(&requirement.digest_target, repository, None, Some(subject.digest))?,
        Name::File(path) => path.clone(),
    };
    let image = walk.lookup(&path)?;
    not_revoked(walk, subject, requirement)?;
    walk.settle()?;
    let Some(image) = image else {
        return Err(Error::UnknownImage { repository: walk.view.repository.to_string(), path }.into());
    };
    expect_role(&image, requirement)?;
    let listed = image.target.hashes.sha256();
    if listed != Some(subject.digest) {
        return Err(Error::ImageDigest { path, listed, digest: subject.digest }.into());
    }
    if requirement.agreement.is_some() {
        walk.rely_on(&image.target);
    }
    Ok(image)
}

/// T4: read from the layout roles alone and before everything else, so that no online role can shadow or undo it.
pub(super) fn not_revoked(walk: &mut Walk<'_>, subject: &Subject, requirement: &Requirement) -> Result<(), Stop> {
    let path = TargetPath::from(format!("revoked/sha256/{}", subject.digest));
    for chain in &requirement.layout_roles {
        if let Some(found) = walk.lookup_in(chain, &path)? {
            let reason = found.target.custom.get("reason").and_then(|reason| reason.as_str()).map(str::to_owned);
            return Err(Error::Revoked { digest: subject.digest, chain: chain.clone(), reason }.into());
        }
    }
    Ok(())
}

fn expect_role(found: &Resolved, requirement: &Requirement) -> Result<(), Error> {
    match &requirement.role {
        Some(wanted) if *wanted != found.chain => Err(Error::ImageRole {
            path: found.target.path.clone(),
            chain: found.chain.clone(),
            wanted: wanted.clone(),
        }),
        _ => Ok(()),
    }
}

fn tag_target(
    walk: &mut Walk<'_>,
    repository: &Repository,
    tag: &Tag,
    requirement: &Requirement,
) -> Result<Sha256, Stop> {
    let path = expand(&requirement.tag_target, repository, Some(tag), None)?;
    let found = walk.lookup(&path)?;
    walk.settle()?;
    let Some(found) = found else {
        return Err(Error::UnknownTag { repository: walk.view.repository.to_string(), path }.into());
    };
    expect_role(&found, requirement)?;
    let digest = found.target.hashes.sha256();
    // A tag names an image by the hash that its digest is; another algorithm names nothing.
    Ok(digest.ok_or_else(|| Error::UnknownTag { repository: walk.view.repository.to_string(), path })?)
}

/// The supply chain of an image, whose files are those of what runs: a manifest, for which an index may stand here.
pub(super) fn supply_chain(
    walk: &mut Walk<'_>,
    (image, subject): (&Resolved, &Subject),
    runs: (&Resolved, &Subject),
    requirement: &Requirement,
) -> Result<SupplyChainProof, Stop> {
    let assembled = assemble(walk, image, subject, requirement)?;
    let (chain, options) = (assembled.chain(), assembled.options(requirement));
    let (now, limits) = (walk.now, &walk.limits.in_toto);
    let verify = |walk: &mut Walk<'_>, stage| {
        let mut inspect = Inspect::new(walk, (image, subject), runs, requirement, stage);
        let verified = in_toto::verify_with(&chain, &options, &mut inspect, now, limits);
        inspect.end(verified)
    };
    // Whoever lists images could else have any bytes looked into, with the evidence of another.
    let (verified, put_off) = verify(walk, Stage::Bind)?;
    // What stands for the links of no step was asked for in vain.
    if let Some((step, _)) = requirement.statements.steps().find(|(step, _)| !verified.steps().contains_key(*step)) {
        return Err(Error::NoSuchStep { step: step.to_string() }.into());
    }
    let expires = verified.layouts_expire();
    let layout = assembled.evidence.layout.target.path.clone();
    walk.expires(Ends::Layout(layout.clone()), expires);
    for key in verified.keys_expire() {
        let step = key.step.as_ref().map(ToString::to_string);
        walk.expires(Ends::Key { keyid: key.keyid.clone(), step }, key.expires);
    }
    if let Some(not_before) = requirement.not_before.filter(|not_before| expires < *not_before) {
        return Err(Error::EndsTooEarly { layout, expires, not_before }.into());
    }
    let held = |walk: &mut Walk<'_>, verified: &in_toto::Verified| -> Result<Bound, Stop> {
        let bound = bind(verified, subject, requirement)?;
        if requirement.platforms != Platforms::Any {
            let manifest = manifest_of(walk, image, subject)?;
            platforms::hold(&manifest, verified, &bound, subject, requirement)?;
        }
        Ok(bound)
    };
    let bound = held(walk, &verified)?;
    // With all inspections a rule may have consumed what it left to the one that binds.
    let (verified, bound) = match put_off {
        true => {
            let (verified, _) = verify(walk, Stage::All)?;
            let bound = held(walk, &verified)?;
            (verified, bound)
        }
        false => (verified, bound),
    };
    // Otherwise platforms are not taken for the image.
    let product = &requirement.product;
    let by_name = product.name.is_none() && product.predicate_type.is_none() && product.inspection.is_none();
    let image = subject.name.as_str();
    let is_platform = |other: &str| platform_of(other, image).is_some();
    let with_platforms = in_toto::WithPlatforms { image, is_platform: &is_platform };
    let with_platforms = subject.name.repository().filter(|_| by_name).map(|_| with_platforms);
    let made_by = MadeBy {
        loose: in_toto::loose(&verified, &bound.step, with_platforms, &walk.limits.in_toto),
        layout,
        layout_chain: assembled.evidence.layout.chain,
        layout_keys: assembled.layout.key_paths,
        bound_step: bound.step,
        steps: Step::all(&verified),
    };
    Ok(SupplyChainProof {
        made_by: Arc::new(made_by),
        bound_artifact: bound.artifact.into(),
        index: None,
        verified: Some(Arc::new(verified)),
    })
}

/// Everything that an image's supply chain is verified from.
struct Assembled {
    parameters: Option<BTreeMap<String, String>>,
    evidence: Collected,
    layout: LayoutEvidence,
}

fn assemble(
    walk: &mut Walk<'_>,
    image: &Resolved,
    subject: &Subject,
    requirement: &Requirement,
) -> Result<Assembled, Stop> {
    let parameters = parameters(walk, subject, requirement)?;
    let evidence = collect(walk, image, subject, requirement)?;
    walk.found_layout(&evidence.layout.target.path);
    let layout = layout_evidence(walk, &evidence.layout, subject, requirement)?;
    Ok(Assembled { parameters, evidence, layout })
}

impl Assembled {
    fn chain(&self) -> SupplyChain<'_> {
        let links = self.evidence.links.iter();
        let links = links.map(|link| LinkFile { dir: link.dir.clone(), name: link.name.clone(), bytes: &link.bytes });
        let attestations = self.evidence.attestations.iter();
        let attestations = attestations.map(|(path, bytes)| AttestationFile { name: path.to_string(), bytes });
        SupplyChain {
            layout: &self.layout.bytes,
            keys: self.layout.keys.clone(),
            links: links.collect(),
            attestations: attestations.collect(),
        }
    }

    fn options(&self, requirement: &Requirement) -> in_toto::Options {
        options(requirement, self.parameters.clone())
    }
}

/// How a requirement has a layout verified.
pub(super) fn options(requirement: &Requirement, parameters: Option<BTreeMap<String, String>>) -> in_toto::Options {
    in_toto::Options {
        parameters,
        raw_parameters: false,
        layout_threshold: requirement.layout_threshold,
        certificates: requirement.certificates == Certificates::Allow,
        sublayouts: match requirement.sublayouts {
            None => in_toto::Sublayouts::Deny,
            Some(depth) => in_toto::Sublayouts::Allow { depth: usize::try_from(depth).unwrap_or(usize::MAX) },
        },
        statements: requirement.statements.clone(),
        predicates: requirement.predicates == Predicates::Allow,
        inspections: in_toto::Inspections::Refuse,
    }
}

/// The rule's parameters for this image. A tag is put into one only if the signed tag target has this digest.
pub(super) fn parameters(
    walk: &mut Walk<'_>,
    subject: &Subject,
    requirement: &Requirement,
) -> Result<Option<BTreeMap<String, String>>, Stop> {
    if requirement.parameters.is_empty() {
        return Ok(None);
    }
    if let Some((name, _)) = requirement.parameters.iter().find(|(_, template)| template.uses(Field::Tag)) {
        let (repository, tag) = match (&subject.name, &subject.tag) {
            (Name::Image(repository), Some(tag)) => (repository, tag),
            _ => return Err(Error::ParameterWithoutTag { name: name.clone() }.into()),
        };
        let signed = tag_target(walk, repository, tag, requirement)?;
        if signed != subject.digest {
            let path = expand(&requirement.tag_target, repository, Some(tag), None)?;
            return Err(Error::TagMoved { path, signed, digest: subject.digest }.into());
        }
    }
    let fields =
        Fields { repository: subject.name.repository(), tag: subject.tag.as_ref(), digest: Some(subject.digest) };
    let expanded = requirement.expand_parameters(&fields);
    Ok(Some(expanded.ok_or_else(|| Error::UnusableTemplate { name: subject.name.clone() })?))
}

/// A target path from the rule's template. Policies are read so that nothing can lack here.
fn expand(
    template: &Template,
    repository: &Repository,
    tag: Option<&Tag>,
    digest: Option<Sha256>,
) -> Result<TargetPath, Error> {
    let text = template.expand(&Fields { repository: Some(repository), tag, digest });
    text.map(TargetPath::from).ok_or_else(|| Error::UnusableTemplate { name: Name::Image(repository.clone()) })
}
