//! Built-in inspections (trust.md §2): what a layout may ask about the image itself. Nothing is run for them.
//!
//! A layout writes one as `"run": ["pratique", "image"]`. What is recorded are materials, under names that steps can
//! record as well, so that one `MATCH` compares both.

use std::collections::BTreeMap;

use super::{
    Error, Requirement, Subject,
    requirement::Inspections,
    walk::{Stop, Walk},
};
use crate::{
    crypto::Sha256,
    image::{
        Manifest, ManifestFault,
        layer::{self, LayerFault},
        manifest::{self, Child, Descriptor, MAX_BYTES},
    },
    in_toto::{Artifacts, Digests, Inspected, Inspection, InspectionProblem, Inspector, Recorded},
    tuf::Resolved,
};

/// The program that stands first in `run` of a built-in inspection.
const PROGRAM: &str = "pratique";

/// An inspection that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BuiltIn {
    /// The manifest or index, and everything that it lists.
    Image,
    /// The files of the layers.
    Files,
}

impl BuiltIn {
    /// The one that `run` names, if it names one.
    pub(super) fn of(run: &[String]) -> Option<Self> {
        match run {
            [program, what] if program == PROGRAM => match what.as_str() {
                "image" => Some(Self::Image),
                "files" => Some(Self::Files),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Which inspections are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The one that binds the image, where the rule names one. The others are put off.
    Bind,
    /// All of them.
    All,
}

/// Carries out the built-in inspections of the layout of one image, and what somebody wants run on their machine.
pub(super) struct Inspect<'w, 'a> {
    walk: &'w mut Walk<'a>,
    image: (&'w Resolved, &'w Subject),
    /// What runs, where an index is judged in the place of a manifest.
    runs: (&'w Resolved, &'w Subject),
    requirement: &'w Requirement,
    stage: Stage,
    /// Whether any was put off.
    put_off: bool,
    /// What was recorded already: a layout may ask for the same many times.
    recorded: BTreeMap<BuiltIn, Artifacts>,
    /// Why the judgement cannot go on, where an inspection met it.
    stopped: Option<Stop>,
}

impl<'w, 'a> Inspect<'w, 'a> {
    pub(super) fn new(
        walk: &'w mut Walk<'a>,
        image: (&'w Resolved, &'w Subject),
        runs: (&'w Resolved, &'w Subject),
        requirement: &'w Requirement,
        stage: Stage,
    ) -> Self {
        Self { walk, image, runs, requirement, stage, put_off: false, recorded: BTreeMap::new(), stopped: None }
    }

    /// The result of the verification, and whether inspections were put off; what stopped one goes before it.
    pub(super) fn end<T, E: Into<Error>>(self, verified: Result<T, E>) -> Result<(T, bool), Stop> {
        match self.stopped {
            Some(stop) => Err(stop),
            None => Ok((verified.map_err(Into::into)?, self.put_off)),
        }
    }

    fn record(&mut self, which: BuiltIn, inspection: &Inspection) -> Result<Artifacts, Stop> {
        if which == BuiltIn::Files && self.requirement.layers.is_none() {
            return Err(Error::NoSource { inspection: inspection.name.to_string() }.into());
        }
        if let Some(recorded) = self.recorded.get(&which) {
            return Ok(recorded.clone());
        }
        let (image, subject) = match which {
            BuiltIn::Image => self.image,
            BuiltIn::Files => self.runs,
        };
        let manifest = manifest_of(self.walk, image, subject)?;
        let recorded = match which {
            BuiltIn::Image => artifacts(subject.name.as_str(), subject.digest, &manifest),
            BuiltIn::Files => self.files(&manifest, subject.digest, inspection)?,
        };
        self.recorded.insert(which, recorded.clone());
        Ok(recorded)
    }

    fn files(&mut self, manifest: &Manifest, digest: Sha256, inspection: &Inspection) -> Result<Artifacts, Stop> {
        let Manifest::Image { layers, .. } = manifest else {
            return Err(Error::FilesOfIndex { inspection: inspection.name.to_string(), digest }.into());
        };
        // Before the first is fetched: the manifest says how much it would be.
        let limits = &self.walk.limits.layers;
        let size = layers.iter().fold(0_u64, |size, layer| size.saturating_add(layer.size));
        if size > limits.blob_bytes {
            let fault = LayerFault::Limit { what: "bytes of blobs", limit: limits.blob_bytes };
            return Err(Error::Layers { fault: fault.into() }.into());
        }
        let mut read = Vec::with_capacity(layers.len());
        for wanted in layers {
            if let Some(layer) = self.walk.layer(wanted) {
                let refused = |fault: LayerFault| Error::Layer { digest: wanted.digest, fault: fault.into() };
                read.push(layer.map_err(refused)?);
            }
        }
        self.walk.settle()?;
        let files = layer::files(&read, limits).map_err(|fault| Error::Layers { fault: fault.into() })?;
        Ok(files.into_iter().map(|(name, digest)| (name, digest.map(digests).unwrap_or_default())).collect())
    }
}

impl Inspector for Inspect<'_, '_> {
    fn inspect(&mut self, inspection: &Inspection, folder: &[String]) -> Result<Inspected, InspectionProblem> {
        let built_in = BuiltIn::of(&inspection.run);
        let names = |name: &String| folder.is_empty() && name == inspection.name.as_str();
        let binds = built_in == Some(BuiltIn::Image) && self.requirement.product.inspection.as_ref().is_some_and(names);
        if self.stage == Stage::Bind && !binds {
            self.put_off = true;
            return Ok(Inspected::Skipped);
        }
        let Some(which) = built_in else {
            return match (self.walk.view.commands, self.requirement.inspections) {
                (Some(commands), _) => {
                    commands.run(inspection).map(Inspected::Recorded).map_err(InspectionProblem::Failed)
                }
                (None, Inspections::Refuse) => Err(InspectionProblem::Refused),
                (None, Inspections::Skip) => Ok(Inspected::Skipped),
            };
        };
        match self.record(which, inspection) {
            Ok(materials) => Ok(Inspected::Recorded(Recorded { materials, products: Artifacts::new() })),
            Err(stop) => {
                self.stopped = Some(stop);
                Err(InspectionProblem::Failed("not carried out".to_owned()))
            }
        }
    }
}

/// The manifest or index of an image, as its TUF target has it.
pub(super) fn manifest_of(walk: &mut Walk<'_>, image: &Resolved, subject: &Subject) -> Result<Manifest, Stop> {
    let target = &image.target;
    if subject.name.repository().is_none() {
        return Err(Error::NotAnImage { path: target.path.clone() }.into());
    }
    let length = usize::try_from(target.length).unwrap_or(usize::MAX);
    if length > MAX_BYTES {
        return Err(Error::Image(ManifestFault::TooLarge { length, limit: MAX_BYTES }.into()).into());
    }
    let bytes = walk.file(target)?.ok_or(Stop::Needs)?;
    Ok(manifest::parse(&bytes).map_err(Error::Image)?)
}

/// What the inspection `image` records of a manifest or index.
fn artifacts(name: &str, digest: Sha256, manifest: &Manifest) -> Artifacts {
    let mut artifacts = BTreeMap::from([(name.to_owned(), digests(digest))]);
    match manifest {
        Manifest::Image { config, layers } => {
            artifacts.insert(format!("{name}/config"), digests(config.digest));
            for (index, Descriptor { digest, .. }) in layers.iter().enumerate() {
                artifacts.insert(format!("{name}/layers/{index}"), digests(*digest));
            }
        }
        Manifest::Index { children } => {
            for (index, child) in children.iter().enumerate() {
                artifacts.insert(format!("{name}/children/{index}"), digests(child.descriptor.digest));
            }
            for (platform, digest) in platforms(children) {
                // One of several would hide the others: without a digest no MATCH consumes it, and a DISALLOW meets it.
                artifacts.insert(format!("{name}#{platform}"), digest.map(digests).unwrap_or_default());
            }
        }
    }
    artifacts.into()
}

/// The platforms of an index with the manifest of each; none where several manifests are for one platform.
pub(super) fn platforms(children: &[Child]) -> BTreeMap<String, Option<Sha256>> {
    let mut platforms: BTreeMap<String, Option<Sha256>> = BTreeMap::new();
    for Child { descriptor, platform } in children {
        let Some(platform) = platform else { continue };
        platforms
            .entry(platform.to_string())
            .and_modify(|known| *known = known.filter(|digest| *digest == descriptor.digest))
            .or_insert(Some(descriptor.digest));
    }
    platforms
}

fn digests(digest: Sha256) -> Digests {
    Digests::from([("sha256".to_owned(), digest.to_string())])
}
