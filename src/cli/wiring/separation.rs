//! T1 while the process lives: what a rotation does to the separation of keys is said when it is seen.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use k8s_openapi::api::core::v1::ObjectReference;

use crate::{
    cluster::events::{Event, Events, Kind},
    repository::Repository,
    telemetry::Metrics,
    verifier::World,
};

const CODE: &str = "trust/no-separation";

/// Says after a refresh whether online keys have become able to sign layouts, once for each change of the answer (T1): as
/// metric, log line and, in a cluster, as an Event of the policy, whose rules name the roles.
pub(super) fn watch(
    world: Arc<ArcSwapOption<World>>,
    metrics: Arc<Metrics>,
    events: Option<(Events, ObjectReference)>,
) -> impl Fn(&Repository) {
    let said = Mutex::new(BTreeSet::new());
    move |repository| {
        let Some(world) = world.load_full() else { return };
        let found = world.separation(repository);
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in found.difference(&said) {
            metrics.trust_alert(repository.name().as_str(), CODE);
            tracing::warn!(repository = %repository.name(), code = CODE, "{warning}");
            if let Some((events, regarding)) = &events {
                events.write(Event {
                    kind: Kind::Warning,
                    reason: "TrustNoSeparation",
                    action: "Refresh",
                    note: format!("[{CODE}] repository {}: {warning}", repository.name()),
                    regarding: regarding.clone(),
                });
            }
        }
        *said = found;
    }
}
