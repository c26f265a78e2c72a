//! What would the rules say that come next (`next` in the policy)? They are judged beside those in force, and never in
//! their way: after them, in a task of their own, from a budget of their own, and the answer waits for them only a moment.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{Call, admit::Webhook};
use crate::{
    admission::{Request, Workload},
    policy::UsedAs,
    telemetry::metrics::Decision,
    verdict::{Cause, Verdict, render},
    verifier::{Moment, Question, TagUse, World},
};

/// How long an answer waits for what changes nothing about it. What takes longer goes on, and is known the next time.
pub const NEXT_PATIENCE: Duration = Duration::from_millis(100);

/// An image, as the task of the shadow owns it.
struct Asked {
    field: String,
    reference: String,
    namespace: String,
    used_as: UsedAs,
    tag: TagUse,
    /// What the rules in force said.
    admitted: bool,
}

impl Webhook {
    /// The audit annotation about the rules that come next, if there are some and they would refuse something.
    pub(super) async fn next(
        &self,
        world: &Arc<World>,
        (request, workload): (&Request, &Workload),
        verdicts: &[Verdict],
        call: &Call,
        now: Timestamp,
    ) -> Option<String> {
        world.policy().next()?;
        let tag = self.tag_use(workload);
        let asked: Vec<Asked> = workload
            .uses
            .iter()
            .zip(verdicts)
            // Whoever used up their budget does not get more out of the shadow.
            .filter(|(_, verdict)| !is_over_budget(verdict))
            .map(|(image_use, verdict)| Asked {
                field: image_use.field.clone(),
                reference: image_use.image.clone(),
                namespace: request.namespace.clone().unwrap_or_default(),
                used_as: image_use.kind.into(),
                tag,
                admitted: matches!(verdict, Verdict::Admitted(_)),
            })
            .collect();
        let (world, verifier, metrics) = (world.clone(), self.verifier.clone(), self.metrics.clone());
        let (deadline, uid) = (call.deadline, request.uid.clone());
        // Whatever goes wrong in it, the answer goes out.
        let judged = tokio::spawn(async move {
            let moment = Moment::default();
            let judged = loop {
                let judged = asked.iter().map(|asked| asked.judge(&world, &verifier, &moment, now, deadline));
                let judged = join_all(judged).await;
                if moment.is_one() {
                    break judged;
                }
            };
            for (asked, verdict) in asked.iter().zip(judged.iter().flatten()) {
                asked.tell(verdict, &metrics, &uid);
            }
            judged
        });
        match timeout_at(deadline.min(Instant::now() + self.next_patience), judged).await {
            Ok(Ok(judged)) => render::next(&judged.into_iter().flatten().collect::<Vec<_>>()),
            _ => Some("unavailable:admission/fetching".to_owned()),
        }
    }
}

impl Asked {
    async fn judge(
        &self,
        world: &World,
        verifier: &crate::verifier::Verifier,
        moment: &Moment,
        now: Timestamp,
        deadline: Instant,
    ) -> Option<Verdict> {
        let question = Question {
            field: &self.field,
            reference: &self.reference,
            namespace: &self.namespace,
            budgeted: true,
            used_as: self.used_as,
            tag: self.tag,
            moment: Some(moment),
        };
        verifier.verify_next(world, &question, now, deadline).await
    }

    /// A count for each, and a line in the log for those who would be surprised.
    fn tell(&self, verdict: &Verdict, metrics: &crate::telemetry::Metrics, uid: &str) {
        let decision = Decision::of(verdict);
        let (admitted, code) = (matches!(verdict, Verdict::Admitted(_)), decision.code);
        metrics.decided_next(&decision);
        if self.admitted && !admitted {
            tracing::info!(
                uid,
                namespace = self.namespace,
                field = self.field,
                image = super::admit::logged(&self.reference),
                rule = verdict.rule().unwrap_or_default(),
                code,
                "the next rules would refuse"
            );
        }
    }
}

fn is_over_budget(verdict: &Verdict) -> bool {
    verdict.refusal().is_some_and(|refusal| matches!(refusal.cause, Cause::OverBudget { .. }))
}
