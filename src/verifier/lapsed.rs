//! An image that runs already, while nothing fresh can be had about it (trust.md A4).

use std::sync::Arc;

use jiff::Timestamp;

use super::case::{Asked, Case, Proven};
use crate::{
    crypto::Sha256,
    evidence::{self, RepositoryName},
    repository::{Generation, Lapsed},
    tuf,
    verdict::{Cause, Refusal, Staleness},
};

/// Whether nothing speaks against an image but that its evidence, or what says that it is the newest, is too old.
fn lacks_only_freshness(cause: &Cause) -> bool {
    match cause {
        Cause::TooOld { .. } => true,
        Cause::Tuf(error) | Cause::Evidence(evidence::Error::Tuf(error)) => error.is_lack_of_freshness(),
        Cause::Stale { error, .. } => {
            matches!(&**error, evidence::Error::Tuf(error @ tuf::Error::Expired { .. }) if error.is_lack_of_freshness())
        }
        _ => false,
    }
}

/// By what a judgement that found nothing fresh can go on.
pub(super) enum WayOn {
    /// There is something fresh after all.
    Fresh(Arc<Generation>),
    Lapsed(LastFresh),
}

/// A set that is no longer fresh, and the time at which it is judged by: one that is signed and not one that a clock gives.
pub(super) struct LastFresh {
    pub(super) lapsed: Lapsed,
    pub(super) judged_at: Timestamp,
    until: Timestamp,
}

impl LastFresh {
    pub(super) fn staleness(&self, repository: &RepositoryName) -> Staleness {
        Staleness {
            repository: repository.to_string(),
            judged_at: self.judged_at,
            until: self.until,
            refresh: self.lapsed.failure.to_string(),
        }
    }
}

impl Case<'_> {
    /// The proof that could be had when there last was something fresh, of an image that runs already; or `cause` again.
    /// What is learnt on the way is noted in `refusal`, if there is a proof.
    pub(super) async fn prove_lapsed(&self, cause: Cause, refusal: &mut Refusal) -> Result<Proven, Cause> {
        let last_fresh = match self.way_on(&cause).await {
            Some(WayOn::Fresh(generation)) => return self.prove_by(&generation, refusal).await.map(Proven::fresh),
            Some(WayOn::Lapsed(last_fresh)) => last_fresh,
            None => return Err(cause),
        };
        let mut noted = refusal.clone();
        let proven = self.prove_as_last_fresh(&last_fresh, &mut noted).await;
        proven.inspect(|_| *refusal = noted).ok_or(cause)
    }

    /// The digest that a tag named when there last was something fresh, if it is of an image that runs already; or `cause`
    /// again.
    pub(super) async fn digest_lapsed(&self, cause: Cause) -> Result<Sha256, Cause> {
        match self.way_on(&cause).await {
            Some(WayOn::Fresh(generation)) => self.digest_by(&generation).await,
            Some(WayOn::Lapsed(last_fresh)) => self.digest_as_last_fresh(&last_fresh).await.ok_or(cause),
            None => Err(cause),
        }
    }

    pub(super) async fn way_on(&self, cause: &Cause) -> Option<WayOn> {
        let span = self.settings.stale_known_images.filter(|_| lacks_only_freshness(cause))?;
        if self.repository.lapsed().is_none() {
            // The set in use may have expired since the last refresh, which then is tried once, for all who wait for it.
            if let Some(fresh) = self.refreshed().await {
                return Some(WayOn::Fresh(fresh));
            }
        }
        let lapsed = self.repository.lapsed()?;
        let last_fresh = lapsed.generation.trusted().last_fresh();
        let until = last_fresh.checked_add(span).ok()?;
        let judged_at = last_fresh.min(self.now);
        (self.now <= until).then_some(WayOn::Lapsed(LastFresh { lapsed, judged_at, until }))
    }

    async fn digest_as_last_fresh(&self, last_fresh: &LastFresh) -> Option<Sha256> {
        let Asked::Image { reference, .. } = self.asked else { return None };
        let then = Case { now: last_fresh.judged_at, ..self.clone() };
        let digest = then.digest_by(&last_fresh.lapsed.generation).await.ok()?;
        self.in_use.holds(&reference.repository, digest).then_some(digest)
    }

    async fn prove_as_last_fresh(&self, last_fresh: &LastFresh, refusal: &mut Refusal) -> Option<Proven> {
        let LastFresh { lapsed, judged_at, .. } = last_fresh;
        self.digest_as_last_fresh(last_fresh).await?;
        let then = Case { now: *judged_at, ..self.clone() };
        let proof = then.prove_by(&lapsed.generation, refusal).await.ok()?;
        // Only timestamp and snapshot may be past their dates.
        let still = self.now < proof.valid_until() && self.now < lapsed.generation.trusted().root().expires;
        let staleness = || last_fresh.staleness(self.repository.name());
        still.then(|| Proven { stale: vec![staleness()], ..Proven::fresh(proof) })
    }
}
