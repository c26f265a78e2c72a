//! What stays the same while layouts within layouts are verified, and the files that are read on the way.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    attestation::Attestations,
    attributes::Meter,
    chain::{Inspector, LinkFile, Options},
    effort::Effort,
    error::Error,
    fields::{Form, Source},
    limits::Limits,
    link::Recorded,
    name::StepName,
    statement::PredicateType,
};

/// Link files by folders and name.
pub(super) type Files<'a> = BTreeMap<Vec<&'a str>, &'a [u8]>;

/// What stays the same from layout to sublayout, and the way to the current one.
pub(super) struct Frame<'a, 'i> {
    pub files: &'a Files<'a>,
    pub attestations: &'a Attestations,
    pub options: &'a Options,
    pub inspector: &'i mut dyn Inspector,
    pub now: Timestamp,
    pub limits: &'a Limits,
    /// The folder of the current layout's links.
    pub folder: Vec<String>,
    /// What the rules cost.
    pub effort: &'a Effort,
    /// Files read so far, and their bytes.
    readings: usize,
    read_bytes: usize,
    /// Signatures on attestations verified so far.
    trials: usize,
    /// What attribute rules may still take.
    pub meter: Meter,
    /// Artifacts met so far.
    artifacts: usize,
    /// Certificates verified so far.
    certificates: usize,
}

impl<'a, 'i> Frame<'a, 'i> {
    /// That of the outermost layout.
    pub(super) fn new(
        files: &'a Files<'a>,
        attestations: &'a Attestations,
        options: &'a Options,
        inspector: &'i mut dyn Inspector,
        now: Timestamp,
        (limits, effort): (&'a Limits, &'a Effort),
    ) -> Self {
        Self {
            files,
            attestations,
            options,
            inspector,
            now,
            limits,
            folder: Vec::new(),
            effort,
            readings: 0,
            read_bytes: 0,
            trials: 0,
            meter: Meter::new(limits.attribute_cost),
            artifacts: 0,
            certificates: 0,
        }
    }
}

impl<'a> Frame<'a, '_> {
    /// The file of this name in the folder of the current layout, with its path for messages.
    pub(super) fn read(&mut self, name: &str) -> Result<Option<(String, &'a [u8])>, Error> {
        let path = path(&self.folder, name);
        let Some(bytes) = self.files.get(&path).copied() else { return Ok(None) };
        let file = path.join("/");
        let source = Source { file: &file, form: Form::Metablock, limits: self.limits };
        self.readings = self.readings.saturating_add(1);
        source.limit("readings of link files", self.readings, self.limits.readings)?;
        self.go_through(source, bytes.len())?;
        Ok(Some((file, bytes)))
    }

    /// Counts bytes that are read, or digested for a signature.
    fn go_through(&mut self, source: Source<'_>, bytes: usize) -> Result<(), Error> {
        self.read_bytes = self.read_bytes.saturating_add(bytes);
        source.limit("bytes read, again and again", self.read_bytes, self.limits.read_bytes)
    }

    /// Counts signatures on an attestation of so many bytes that were verified.
    pub(super) fn tried(&mut self, signatures: usize, bytes: usize) -> Result<(), Error> {
        let source = Source { file: "attestations", form: Form::Dsse, limits: self.limits };
        self.trials = self.trials.saturating_add(signatures);
        source.limit("signatures to verify", self.trials, self.limits.signature_trials)?;
        self.go_through(source, bytes.saturating_mul(signatures))
    }

    /// Counts what is held in memory until the end.
    pub(super) fn hold(&mut self, file: &str, recorded: &Recorded) -> Result<(), Error> {
        let source = Source { file, form: Form::Metablock, limits: self.limits };
        let more = recorded.materials.len().saturating_add(recorded.products.len());
        self.artifacts = self.artifacts.saturating_add(more);
        source.limit("artifacts in all", self.artifacts, self.limits.all_artifacts)
    }

    /// Counts a certificate for which a chain is sought.
    pub(super) fn certified(&mut self, file: &str) -> Result<(), Error> {
        let source = Source { file, form: Form::Metablock, limits: self.limits };
        self.certificates = self.certificates.saturating_add(1);
        source.limit("certificates to verify", self.certificates, self.limits.certificates)
    }

    /// Whether there is a file of this name in the folder of the current layout.
    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(&path(&self.folder, name))
    }

    /// The Statements that a step of the current layout wants in place of links. The rule speaks of the steps of the
    /// outermost layout.
    pub(super) fn wanted(&self, step: &StepName) -> Option<PredicateType> {
        if self.folder.is_empty() { self.options.statements.of(step) } else { None }
    }
}

/// Sorts link files by their place.
pub(super) fn index<'a>(links: &'a [LinkFile<'a>], limits: &Limits) -> Result<Files<'a>, Error> {
    let source = Source { file: "links", form: Form::Metablock, limits };
    source.limit("link files", links.len(), limits.link_files)?;
    let mut files = BTreeMap::new();
    for link in links {
        let path: Vec<&str> = link.dir.iter().map(String::as_str).chain([link.name.as_str()]).collect();
        if files.insert(path.clone(), link.bytes).is_some() {
            return Err(Error::AmbiguousLink(path.join("/")));
        }
    }
    Ok(files)
}

fn path<'s>(folder: &'s [String], name: &'s str) -> Vec<&'s str> {
    folder.iter().map(String::as_str).chain([name]).collect()
}
