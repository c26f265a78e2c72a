//! Which images do Pods of this cluster run? What the audit publishes about it, read.

use std::{collections::BTreeSet, sync::Arc};

use arc_swap::ArcSwap;

use crate::{crypto::Sha256, image::Repository};

/// The images that run, as the audit last said (trust.md A4). Nothing is proven by being among them: it only lets an
/// image be judged on evidence that has gone stale.
#[derive(Debug, Default)]
pub struct InUse(ArcSwap<BTreeSet<String>>);

impl InUse {
    /// Takes a new list, `registry.example/team/app@sha256:…` a line.
    pub fn replace(&self, list: &str) {
        self.0.store(Arc::new(list.lines().map(str::to_owned).collect()));
    }

    /// Whether an image is among them, by its name as it is written and its digest.
    pub(super) fn holds(&self, name: &Repository, digest: Sha256) -> bool {
        self.0.load().contains(&format!("{name}@sha256:{digest}"))
    }
}
