//! What is judged, and how: the input of [`verify()`](super::verify()).

use std::{collections::BTreeMap, num::NonZeroU32};

use super::{attestation::AttestationFile, key::LayoutKey, layout::Inspection, link::Recorded, statement::Statements};

/// What is judged.
#[derive(Debug, Clone)]
pub struct SupplyChain<'a> {
    /// The layout file.
    pub layout: &'a [u8],
    /// The project owner's keys, obtained elsewhere.
    pub keys: Vec<LayoutKey>,
    /// All files that may be links; those that no authorised functionary's name is on are not read.
    pub links: Vec<LinkFile<'a>>,
    /// All files of attestations. They are read only where [`Options::statements`] name a step, and for a layout over
    /// predicates.
    pub attestations: Vec<AttestationFile<'a>>,
}

/// A file with a link or a sublayout.
#[derive(Debug, Clone)]
pub struct LinkFile<'a> {
    /// The folders of the sublayouts it belongs to, `<step>.<keyid8>` each; empty for the layout's own links.
    pub dir: Vec<String>,
    /// The file's name: `<step>.<keyid8>.link`.
    pub name: String,
    /// Its content.
    pub bytes: &'a [u8],
}

/// How it is judged.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Values for `{name}` in the layout. `None` leaves braces literal; a map, even an empty one, does not.
    pub parameters: Option<BTreeMap<String, String>>,
    /// Lets values of parameters act as patterns, as the reference does.
    pub raw_parameters: bool,
    /// How many distinct keys must have signed the layout; `None`: all that are given.
    pub layout_threshold: Option<NonZeroU32>,
    /// Whether functionaries may be known by certificates, where the layout has authorities and constraints for them
    /// (ITE-7). Else such a layout is refused, as by the reference.
    pub certificates: bool,
    /// What happens to layouts in place of links.
    pub sublayouts: Sublayouts,
    /// The steps of the layout, not of sublayouts, that are attested by Statements and not by links. With none, a
    /// Statement is refused wherever it stands, as by the reference.
    pub statements: Statements,
    /// Whether the layout may be one over predicates (ITE-10, ITE-11): it says itself which steps are attested by which
    /// Statements. The reference knows none. [`Options::statements`] then say what it must expect.
    pub predicates: bool,
    /// What [`verify()`](super::verify()) does about inspections.
    pub inspections: Inspections,
}

/// Whether functionaries may hand in a layout in place of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sublayouts {
    /// Refuse.
    #[default]
    Deny,
    /// Verify them, one in another down to a depth; 1 allows sublayouts without sublayouts.
    Allow {
        /// How deep.
        depth: usize,
    },
}

/// What is done about inspections where nothing can carry them out. An [`Inspector`] itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Inspections {
    /// Refuse a layout that has any.
    #[default]
    Refuse,
    /// Leave them and their rules out.
    Skip,
}

/// What carries out inspections (in-toto 4.3.2.1). It is asked only after all steps were verified, as the reference
/// does it, so that nothing is run on what is not trusted.
pub trait Inspector {
    /// Carries out one inspection of the layout whose links are in `folder`; empty for the outermost layout.
    fn inspect(&mut self, inspection: &Inspection, folder: &[String]) -> Result<Inspected, InspectionProblem>;
}

/// What became of an inspection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspected {
    /// What was there before and after; the rules are applied to it.
    Recorded(Recorded),
    /// It was left out, and its rules are.
    Skipped,
}

/// Why there is no record of an inspection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InspectionProblem {
    /// Inspections are not carried out here.
    Refused,
    /// It went wrong.
    Failed(String),
}

impl Inspector for Inspections {
    fn inspect(&mut self, _: &Inspection, _: &[String]) -> Result<Inspected, InspectionProblem> {
        match self {
            Self::Refuse => Err(InspectionProblem::Refused),
            Self::Skip => Ok(Inspected::Skipped),
        }
    }
}
