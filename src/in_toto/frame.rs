//! What stays the same while layouts within layouts are verified, and the files that are read on the way.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    attestation::Attestations,
    chain::{Inspector, LinkFile, Options},
    error::Error,
    fields::{Form, Source},
    limits::Limits,
    name::StepName,
    statement::PredicateType,
};

/// Link files by folders and name.
pub(super) type Files<'a> = BTreeMap<Vec<&'a str>, &'a [u8]>;

/// What stays the same from layout to sublayout, and the way to the current one.
pub(super) struct Frame<'a, 'i> {
    pub files: &'a Files<'a>,
    pub attestations: Attestations,
    pub options: &'a Options,
    pub inspector: &'i mut dyn Inspector,
    pub now: Timestamp,
    pub limits: &'a Limits,
    /// The folder of the current layout's links.
    pub folder: Vec<String>,
    /// Files read so far.
    pub readings: usize,
    /// Signatures on attestations verified so far.
    pub trials: usize,
}

impl<'a, 'i> Frame<'a, 'i> {
    /// That of the outermost layout.
    pub(super) fn new(
        files: &'a Files<'a>,
        attestations: Attestations,
        options: &'a Options,
        inspector: &'i mut dyn Inspector,
        now: Timestamp,
        limits: &'a Limits,
    ) -> Self {
        Self { files, attestations, options, inspector, now, limits, folder: Vec::new(), readings: 0, trials: 0 }
    }
}

impl<'a> Frame<'a, '_> {
    /// The file of this name in the folder of the current layout, with its path for messages.
    pub(super) fn read(&mut self, name: &str) -> Result<Option<(String, &'a [u8])>, Error> {
        let path = path(&self.folder, name);
        let Some(bytes) = self.files.get(&path) else { return Ok(None) };
        let file = path.join("/");
        self.readings += 1;
        let source = Source { file: &file, form: Form::Metablock, limits: self.limits };
        source.limit("readings of link files", self.readings, self.limits.readings)?;
        Ok(Some((file, bytes)))
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
