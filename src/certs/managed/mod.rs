//! Certificates that the webhook issues to itself, from an authority of its own.
//!
//! Authority and certificate are in one Secret, which all replicas read, and which whoever finds something due writes by
//! compare-and-swap: no leader, no lease. An authority is in `caBundle` before a certificate of it is served, and stays
//! there until none is: the API server believes every replica at every moment.

mod material;

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use self::material::{Material, Plan, SETTLE, fresh};
use super::{Error, Resolver};
use crate::{
    cluster::serving::{self, Place},
    telemetry::{Metrics, metrics::LoadOutcome},
};

/// Writes in a row: announcing, following and retiring an authority are one each, and another replica may come first.
const ROUNDS: usize = 8;

/// Why there may be no new certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The Secret or a webhook configuration.
    #[error(transparent)]
    Place(#[from] serving::Error),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] Error),
    /// Others wrote the Secret again and again.
    #[error("the Secret with the certificate was written by others {ROUNDS} times in a row")]
    Contended,
}

/// Keeps a certificate in a [`Resolver`].
pub struct Managed<P> {
    place: P,
    names: Vec<String>,
    resolver: Arc<Resolver>,
    metrics: Arc<Metrics>,
    /// The bundle that is believed everywhere, and since when as far as we know.
    believed: Option<(String, Timestamp)>,
    /// The certificate that is served, as PEM.
    served: Option<String>,
}

impl<P> fmt::Debug for Managed<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Managed").field("names", &self.names).finish_non_exhaustive()
    }
}

impl<P: Place> Managed<P> {
    /// For a service that is called by `names`.
    pub fn new(place: P, names: Vec<String>, resolver: Arc<Resolver>, metrics: Arc<Metrics>) -> Self {
        Self { place, names, resolver, metrics, believed: None, served: None }
    }

    /// Does what is due, and serves what is to be served. After an error whatever was served before still is.
    pub async fn look(&mut self, now: Timestamp) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            let stored = self.place.read().await?;
            let (data, why) = match Material::parse(&stored.data) {
                Ok(material) => {
                    let settled = self.believe(&material.bundle(), now).await;
                    match material.plan(&self.names, now, settled == Ok(true))? {
                        Plan::Write(data, why) => (data, why),
                        Plan::Keep => {
                            self.serve(&material, now)?;
                            return settled.map(drop).map_err(Failure::from);
                        }
                    }
                }
                Err(error) => {
                    let empty = stored.data.values().all(Vec::is_empty);
                    if !empty {
                        tracing::error!(%error, "what the Secret has is no certificate with its authority: all is made anew");
                    }
                    let believed = self.believed.as_ref().map_or("", |(bundle, _)| bundle);
                    let why = if empty { "there was none" } else { "it was damaged" };
                    (fresh(&self.names, now, believed)?, why)
                }
            };
            if self.place.replace(data, &stored.version).await? {
                tracing::info!(why, "the certificate's Secret was written");
            }
        }
        Err(Failure::Contended)
    }

    /// Looks every `pause`, for ever. `clock` is read at every look, and `after` told what came of it.
    pub async fn follow(
        mut self,
        pause: Duration,
        clock: impl Fn() -> Timestamp + Send,
        after: impl Fn(&Result<(), Failure>) + Send,
    ) {
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = Ok(());
        loop {
            ticks.tick().await;
            let result = self.look(clock()).await;
            // Each trouble is said once and counted every time.
            if let Err(error) = &result {
                let kept = self.resolver.current().is_some();
                self.metrics.certificate_loaded(if kept { LoadOutcome::Kept } else { LoadOutcome::Missing });
                if said != result {
                    tracing::error!(%error, kept, "the certificate cannot be looked after");
                }
            }
            after(&result);
            said = result;
        }
    }

    /// Whether the bundle has been believed everywhere long enough.
    async fn believe(&mut self, bundle: &str, now: Timestamp) -> Result<bool, serving::Error> {
        if let Err(error) = self.place.believe(bundle).await {
            self.believed = None;
            return Err(error);
        }
        let since = match &self.believed {
            Some((known, since)) if known == bundle => *since,
            _ => now,
        };
        self.believed = Some((bundle.to_owned(), since));
        Ok(now.duration_since(since) >= SETTLE)
    }

    fn serve(&mut self, material: &Material, now: Timestamp) -> Result<(), Failure> {
        self.metrics.authority_expires(material.authority().expires);
        if self.served.as_ref() == Some(&material.pair.certificate) {
            return Ok(());
        }
        // Not before every API server has read its authority; unless nothing better is there.
        let better = self.resolver.current().is_some_and(|current| now < current.expires());
        if better && now.duration_since(material.authority().made) < SETTLE {
            return Ok(());
        }
        let expires = material.certificate.expires();
        self.resolver.replace(material.certificate.clone(), now)?;
        self.served = Some(material.pair.certificate.clone());
        tracing::info!(%expires, "serving a new certificate");
        self.metrics.certificate_loaded(LoadOutcome::Loaded);
        self.metrics.certificate_expires(expires);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
