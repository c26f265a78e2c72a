//! Where what is known of repositories comes from, and where it is kept.

use std::{collections::BTreeMap, path::Path};

use crate::{
    evidence::RepositoryName,
    repository::{
        bundle::Bundle,
        transport::{self, Recording, Transport},
    },
};

/// The folder of the state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk<'a> {
    pub(super) dir: &'a Path,
    /// Whether what it takes has an end.
    pub(super) is_bounded: bool,
}

impl<'a> Disk<'a> {
    /// It keeps all that is put there.
    pub(super) fn all(dir: &'a Path) -> Self {
        Self { dir, is_bounded: false }
    }
}

/// Where the files of repositories come from.
#[derive(Debug, Clone, Copy, Default)]
pub enum Via<'a> {
    /// From where the policy says.
    #[default]
    Policy,
    /// From there, and what is verified is kept in a recording for each repository.
    Recorded(&'a BTreeMap<RepositoryName, Recording>),
    /// From a bundle alone. No repository is contacted.
    Bundle(&'a Bundle),
}

impl Via<'_> {
    pub(super) fn apply(
        self,
        name: &RepositoryName,
        open: impl FnOnce() -> Result<Transport, transport::Error>,
    ) -> Result<Transport, transport::Error> {
        match self {
            Self::Policy => open(),
            Self::Recorded(recordings) => {
                let transport = open()?;
                Ok(recordings.get(name).map_or(transport.clone(), |recording| transport.recorded(recording)))
            }
            Self::Bundle(bundle) => Ok(Transport::to_held(bundle.repositories.get(name).cloned().unwrap_or_default())),
        }
    }
}
