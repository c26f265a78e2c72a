//! What follows a verdict in the cluster: broken glass, and word to the owner of a Pod that only warns.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;

use super::{Call, admit::Webhook};
use crate::{
    admission::{Request, User, Workload},
    cluster::{
        access::{Access, Asking},
        events::{Event, Events, Kind},
    },
    telemetry::metrics::Glass,
    verdict::{Admitted, Judged, Leniency, Refusal, Verdict, fit, render, sanitise},
    verifier::World,
};

/// The API server, as far as reviews need it.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Who may do what.
    pub access: Access,
    /// Where Events go.
    pub events: Events,
}

impl Webhook {
    /// The reason for which the Pod runs whatever the verdict is: the policy allows it in the namespace, the Pod was made
    /// by hand and asks for it, and the API server says that its maker may. Whatever goes wrong on the way is a no.
    pub(super) async fn glass(
        &self,
        world: Option<&World>,
        request: &Request,
        workload: &Workload,
        call: &Call,
        now: Timestamp,
    ) -> Option<String> {
        let reason = workload.origin.break_glass.clone()?;
        let namespace = request.namespace.as_deref()?;
        world?.policy().break_glass().filter(|glass| glass.may_be_broken(namespace, now))?;
        let granted = match &self.cluster {
            Some(cluster) => cluster.access.may_break_glass(asking(&request.user), namespace, call.deadline).await,
            None => return None,
        };
        let outcome = match granted {
            Ok(true) => return Some(reason),
            Ok(false) => Glass::Refused,
            Err(error) => {
                tracing::warn!(%error, uid = request.uid, namespace, "the glass stays whole");
                Glass::Failed
            }
        };
        self.metrics.glass(outcome);
        None
    }

    /// Admits what was refused, and says so wherever it can be said.
    pub(super) fn break_glass(&self, reason: &str, request: &Request, verdicts: Vec<Verdict>) -> Vec<Verdict> {
        let refused: Vec<Refusal> = verdicts.iter().filter_map(Verdict::enforced).cloned().collect();
        if refused.is_empty() {
            return verdicts;
        }
        self.metrics.glass(Glass::Broken);
        let user = fit(&request.user.username, USER_BYTES);
        tracing::warn!(
            uid = request.uid,
            namespace = request.namespace.as_deref().unwrap_or_default(),
            name = request.name,
            user,
            reason,
            "the glass is broken"
        );
        let note = render::note(&refused.iter().collect::<Vec<_>>(), verdicts.len());
        let text = format!("{user} broke the glass: {}\n{note}", sanitise(reason));
        self.tell_object(request, "BreakGlass", text, pod(request));
        let admit = |verdict| match verdict {
            Verdict::Refused(refusal) => {
                let judged = Judged { reason: Some(reason.to_owned()), ..Judged::default() };
                Admitted::unenforced(*refusal, Leniency::BreakGlass, judged).into()
            }
            admitted @ Verdict::Admitted(_) => admitted,
        };
        verdicts.into_iter().map(admit).collect()
    }

    /// A warning on a Pod that a controller made reaches nobody, so it is told to the owner.
    pub(super) fn warn_owner(&self, request: &Request, workload: &Workload, verdicts: &[Verdict]) {
        let Some(owner) = &workload.origin.controller else { return };
        let warned: Vec<&Refusal> = verdicts.iter().filter_map(Verdict::warned).collect();
        if warned.is_empty() {
            return;
        }
        let regarding = ObjectReference {
            api_version: Some(owner.api_version.clone()),
            kind: Some(owner.kind.clone()),
            name: Some(owner.name.clone()),
            uid: Some(owner.uid.clone()),
            namespace: request.namespace.clone(),
            ..ObjectReference::default()
        };
        let note = format!("not enforced: {}", render::note(&warned, verdicts.len()));
        self.tell_object(request, "ImageNotVerified", note, regarding);
    }

    fn tell_object(&self, request: &Request, reason: &'static str, note: String, regarding: ObjectReference) {
        // sideEffects: NoneOnDryRun
        if let Some(cluster) = self.cluster.as_ref().filter(|_| !request.dry_run) {
            cluster.events.write(Event { kind: Kind::Warning, reason, action: "AdmitPod", note, regarding });
        }
    }
}

/// Bytes of a user's name in a text.
const USER_BYTES: usize = 120;

fn pod(request: &Request) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: (!request.name.is_empty()).then(|| request.name.clone()),
        namespace: request.namespace.clone(),
        ..ObjectReference::default()
    }
}

fn asking(user: &User) -> Asking {
    let User { username, uid, groups, extra } = user.clone();
    Asking { username, uid, groups, extra }
}

#[cfg(test)]
mod tests;
