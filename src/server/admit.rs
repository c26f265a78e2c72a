//! From a call to its answer: the whole line, once for each review.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use futures::future::join_all;
use jiff::Timestamp;
use tracing::{Instrument as _, field::Empty};

use super::{Call, Cluster, Entry, Gate, Limits};
use crate::{
    admission::{self, Answer, CustomKind, ImageReview, ImageUse, Outcome, Reply, Request, Workload, config_map_entry},
    policy::Policy,
    telemetry::{Metrics, lines, metrics::Decision, traces},
    verdict::{Cause, Context, Pinning, Refusal, Verdict, fit},
    verifier::{Moment, Question, TagUse, Verifier, World},
};

/// The key of the policy's ConfigMap.
pub const POLICY_KEY: &str = "policy.yaml";

/// Bytes of a reference in the log.
const LOGGED_BYTES: usize = 1_024;

/// What the webhook answers from.
#[derive(Debug)]
pub struct Webhook {
    /// The policy in force with its repositories; none until there has been a good one.
    pub world: Arc<ArcSwapOption<World>>,
    /// Why there is none, as far as that is known.
    pub lack: Arc<ArcSwapOption<Cause>>,
    /// Judges images.
    pub verifier: Arc<Verifier>,
    /// Where decisions are counted.
    pub metrics: Arc<Metrics>,
    /// Which tags the mutating entry pins.
    pub pin: Pin,
    /// Further kinds, and where they name images.
    pub custom_kinds: Vec<CustomKind>,
    /// Namespace and name of the policy's ConfigMap, if it is in one.
    pub policy_configmap: Option<(String, String)>,
    /// How long an answer waits for what the rules that come next would say; [`NEXT_PATIENCE`](super::NEXT_PATIENCE) but in
    /// tests.
    pub next_patience: Duration,
    /// The API server; without it nobody breaks the glass, and no Event is written.
    pub cluster: Option<Cluster>,
}

/// Which objects have their tags pinned to digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// None.
    Off,
    /// Pods.
    Pods,
    /// Pods and templates.
    All,
}

#[derive(Clone)]
struct Shared {
    webhook: Arc<Webhook>,
    gate: Gate,
}

impl FromRef<Shared> for Gate {
    fn from_ref(shared: &Shared) -> Self {
        shared.gate.clone()
    }
}

impl Webhook {
    /// The routes of all entries.
    pub fn entries(self: Arc<Self>, limits: &Limits) -> Router {
        let shared = Shared { webhook: self, gate: Gate::new(limits) };
        [Entry::Verify, Entry::Bootstrap, Entry::Pin, Entry::Policy]
            .into_iter()
            .fold(Router::new(), |router, entry| router.route(entry.path(), post(admit)))
            .route(Entry::ImagePolicy.path(), post(image_policy))
            .with_state(shared)
    }

    /// An edit of our own ConfigMap: a policy that does not load is refused where the admin sees it.
    fn edited_policy(&self, request: &Request) -> Answer {
        let edited = (request.namespace.as_deref(), request.name.as_str());
        let ours = self.policy_configmap.as_ref().map(|(namespace, name)| (Some(namespace.as_str()), name.as_str()));
        // Other ConfigMaps of our namespace are none of our business: the roots, the API server's CA.
        if ours != Some(edited) {
            return Answer::silent(request);
        }
        let text = match config_map_entry(request, POLICY_KEY) {
            Ok(Some(text)) => text,
            Ok(None) => return Answer::silent(request),
            Err(error) => return Answer::unreadable(request, &error),
        };
        match Policy::parse(&text) {
            Ok(policy) => {
                let warnings: Vec<String> = policy.warnings().iter().map(ToString::to_string).collect();
                Answer::policy_edited(request, Ok(&warnings))
            }
            Err(error) => Answer::policy_edited(request, Err(&error)),
        }
    }

    pub(super) async fn answer(&self, call: &Call, request: &Request, now: Timestamp) -> Answer {
        if call.entry == Entry::Policy {
            return self.edited_policy(request);
        }
        let workload = match Workload::read(request, &self.custom_kinds, &admission::Limits::default()) {
            Ok(workload) => workload,
            Err(_) if call.entry == Entry::Pin => return Answer::silent(request),
            Err(error) => return Answer::unreadable(request, &error),
        };
        // One policy and one set of repositories from here to the end.
        let world = self.world.load_full();
        if call.entry == Entry::Pin {
            return self.pin(world.as_deref(), request, &workload, call, now).await;
        }
        // Both at once: the glass is there for the day on which a verdict takes all the time there is.
        let judged = self.judge_all(world.as_deref(), request, &workload, call, now);
        let (mut verdicts, glass) = tokio::join!(judged, self.glass(world.as_deref(), request, &workload, call, now));
        if let Some(reason) = glass {
            verdicts = self.break_glass(&reason, request, verdicts);
        }
        self.tell_all(request, call.entry, &verdicts);
        self.warn_owner(request, &workload, &verdicts);
        let next = match &world {
            Some(world) => self.next(world, (request, &workload), &verdicts, call, now).await,
            None => None,
        };
        Answer::judged(request, &workload, &verdicts).with_next(next)
    }

    /// One verdict for each image, not told to anybody yet.
    async fn judge_all(
        &self,
        world: Option<&World>,
        request: &Request,
        workload: &Workload,
        call: &Call,
        now: Timestamp,
    ) -> Vec<Verdict> {
        match world {
            Some(world) => self.judge(world, request, workload, call, now).await,
            None => workload.uses.iter().map(|image_use| self.no_policy(image_use)).collect(),
        }
    }

    fn no_policy(&self, image_use: &ImageUse) -> Verdict {
        let unknown = || Cause::NoPolicy { reason: "none has loaded yet".to_owned() };
        Refusal {
            field: image_use.field.clone(),
            reference: image_use.image.clone(),
            digest: None,
            rule: None,
            context: Context::default(),
            cause: self.lack.load().as_deref().cloned().unwrap_or_else(unknown),
        }
        .into()
    }

    fn tell_all(&self, request: &Request, entry: Entry, verdicts: &[Verdict]) {
        lines::at_once(|| verdicts.iter().for_each(|verdict| self.tell(request, entry, verdict)));
        self.metrics.remembered(self.verifier.remembered());
    }

    /// What a tag means in this object.
    pub(super) fn tag_use(&self, workload: &Workload) -> TagUse {
        match (workload.is_pod, self.pin) {
            (_, Pin::Off) => TagUse::Refused(Pinning::Off),
            (true, Pin::Pods | Pin::All) => TagUse::Refused(Pinning::Undone),
            (false, Pin::Pods | Pin::All) => TagUse::NamesNow,
        }
    }

    async fn judge(
        &self,
        world: &World,
        request: &Request,
        workload: &Workload,
        call: &Call,
        now: Timestamp,
    ) -> Vec<Verdict> {
        let (tag, moment) = (self.tag_use(workload), &Moment::default());
        loop {
            let verdicts = join_all(workload.uses.iter().map(async |image_use| {
                let question = question(image_use, request, call.entry, tag, moment);
                let span = tracing::debug_span!(target: traces::TARGET, "judge", field = image_use.field,
                    image = logged(&image_use.image), rule = Empty, code = Empty);
                let verdict = self.verifier.verify(world, &question, now, call.deadline).instrument(span.clone()).await;
                span.record("rule", verdict.rule().unwrap_or_default());
                span.record("code", verdict.refusal().map_or("admitted", Refusal::code));
                verdict
            }))
            .await;
            if moment.is_one() {
                return verdicts;
            }
        }
    }

    async fn pin(
        &self,
        world: Option<&World>,
        request: &Request,
        workload: &Workload,
        call: &Call,
        now: Timestamp,
    ) -> Answer {
        let wanted = match self.pin {
            Pin::Off => false,
            Pin::Pods => workload.is_pod,
            Pin::All => true,
        };
        let Some(world) = world.filter(|_| wanted) else { return Answer::silent(request) };
        // Whatever a tag is pinned to is judged afterwards, by what is in force then.
        let moment = &Moment::default();
        let digests = join_all(workload.uses.iter().map(async |image_use| {
            let question = question(image_use, request, call.entry, TagUse::NamesNow, moment);
            let digest = self.verifier.pin(world, &question, now, call.deadline).await?;
            Some((image_use.field.clone(), digest))
        }))
        .await;
        let digests: BTreeMap<_, _> = digests.into_iter().flatten().collect();
        Answer::pinned(request, &workload.uses, &digests)
    }

    /// One count and one line in the log for each decision.
    fn tell(&self, request: &Request, entry: Entry, verdict: &Verdict) {
        let decision = Decision::of(verdict);
        self.metrics.decided(&decision);
        tracing::info!(
            entry = entry.path(),
            uid = request.uid,
            namespace = request.namespace.as_deref().unwrap_or_default(),
            kind = request.kind.kind,
            name = request.name,
            dry_run = request.dry_run,
            field = verdict.field(),
            image = logged(verdict.reference()),
            digest = verdict.digest().map(tracing::field::display),
            rule = decision.rule,
            verdict = decision.verdict,
            code = decision.code,
            "decided"
        );
    }
}

async fn admit(State(shared): State<Shared>, call: Call) -> Response {
    #[expect(clippy::disallowed_methods, reason = "one `now` for the whole review, read where the review comes in")]
    let now = Timestamp::now();
    let request = match Request::parse(&call.body) {
        Ok(request) => request,
        // Without a uid there is no review to answer: `failurePolicy` decides.
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let namespace = request.namespace.as_deref().unwrap_or_default();
    call.span.record("uid", &request.uid).record("namespace", namespace).record("kind", &request.kind.kind);
    let answer = shared.webhook.answer(&call, &request, now).instrument(call.span.clone()).await;
    call.span.record("allowed", *answer.outcome() == Outcome::Allowed);
    let entry = match call.entry {
        Entry::Bootstrap => admission::Entry::Bootstrap,
        Entry::Verify | Entry::Pin | Entry::Policy | Entry::ImagePolicy => admission::Entry::Closed,
    };
    match answer.reply(entry) {
        Reply::Review(review) => Json(review).into_response(),
        Reply::CallFailure(text) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{text}\n")).into_response(),
    }
}

/// Of the API server's plugin. Every answer is one: a call that fails would be left to the plugin's `defaultAllow`.
async fn image_policy(State(shared): State<Shared>, call: Call) -> Response {
    #[expect(clippy::disallowed_methods, reason = "one `now` for the whole review, read where the review comes in")]
    let now = Timestamp::now();
    let answer = match ImageReview::parse(&call.body, &admission::Limits::default()) {
        Ok(review) => {
            let webhook = &shared.webhook;
            let world = webhook.world.load_full();
            let verdicts = webhook.judge_all(world.as_deref(), &review.request, &review.workload, &call, now);
            let verdicts = verdicts.instrument(call.span.clone()).await;
            webhook.tell_all(&review.request, call.entry, &verdicts);
            review.answer(&verdicts)
        }
        Err(error) => ImageReview::unreadable(&error),
    };
    Json(answer).into_response()
}

fn question<'a>(
    image_use: &'a ImageUse,
    request: &'a Request,
    entry: Entry,
    tag: TagUse,
    moment: &'a Moment,
) -> Question<'a> {
    Question {
        field: &image_use.field,
        reference: &image_use.image,
        namespace: request.namespace.as_deref().unwrap_or_default(),
        budgeted: entry != Entry::Bootstrap,
        used_as: image_use.kind.into(),
        tag,
        moment: Some(moment),
    }
}

/// A reference as it goes into the log: a real one has no more bytes, and a Pod may hold a megabyte.
pub(super) fn logged(reference: &str) -> String {
    fit(reference, LOGGED_BYTES)
}

#[cfg(test)]
mod tests;
