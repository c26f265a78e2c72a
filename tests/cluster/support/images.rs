//! The images that most tests are about, released once.

use std::sync::LazyLock;

use pratique::crypto::Sha256;

use super::{
    chain::{Chain, Release, reference},
    cluster::Cluster,
};

/// A project with good and bad images, each by digest.
pub(crate) struct Images {
    /// The project.
    pub(crate) chain: Chain,
    /// Signed by two builders; tag `1.4`.
    pub(crate) good: String,
    /// Signed by two builders; tag `1.5`.
    pub(crate) newer: String,
    /// Listed with the online keys alone: one builder signed it. Tag `stolen`.
    pub(crate) stolen: String,
    /// Signed by two builders, and then revoked.
    pub(crate) revoked: String,
    /// Never released.
    pub(crate) unknown: String,
    /// The targets role of all that, as refusals name it.
    pub(crate) targets: String,
}

impl Images {
    /// The images of this run.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<Images> = LazyLock::new(Images::release);
        &SHARED
    }

    fn release() -> Self {
        let chain = Chain::new(&Cluster::shared().folder("project"));
        let release = |content, tags, signed_by| chain.release(&Release { content, tags, signed_by });
        let good = reference(release("good", &["1.4"], &[0, 1]));
        let newer = reference(release("newer", &["1.5"], &[0, 1]));
        let stolen = reference(release("stolen", &["stolen"], &[0]));
        let revoked = release("revoked", &[], &[0, 1]);
        chain.revoke(revoked, "CVE-2026-1");
        let unknown = reference(Sha256::of(b"unknown"));
        let targets = chain.targets();
        Self { good, newer, stolen, revoked: reference(revoked), unknown, targets, chain }
    }
}
