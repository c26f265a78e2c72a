//! Is this installation one that a cluster can live with?
//!
//! What the API server says is gathered first ([`Facts`]), and then examined without asking anybody ([`examine()`]). The
//! question behind most of it: does what the cluster needs to come up, and what the webhook needs to judge, run in a
//! namespace that stays open while the webhook is down? If not, an outage of both ends in neither coming up.

mod examine;
mod facts;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::{
    examine::examine,
    facts::{Essential, Facts, PodFacts, gather},
};

/// Where an installation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The namespace of the webhook.
    pub namespace: String,
    /// The name of its Deployment and of its webhook configurations.
    pub name: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What helps; empty where nothing is wrong.
    pub fix: &'static str,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// Somebody should know of it.
    Warning,
    /// The cluster can be locked out, or something is not verified that should be.
    Error,
}

/// The API server did not say what there is to know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Unknown {
    /// What was asked for.
    pub what: String,
    /// What the API server says.
    pub why: String,
}
