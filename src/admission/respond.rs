//! How is the API server answered?

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{Error, ImageUse, Request, Workload};
use crate::{
    crypto::Sha256,
    image::Reference,
    policy,
    verdict::{Cause, Class, Context, Refusal, Verdict, codes, fit, render},
};

/// Which webhook was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// `verify.pratique.dev` and all others that fail closed.
    Closed,
    /// `bootstrap.pratique.dev`: what the cluster needs to come up. A verdict holds, and where there is none the API
    /// server is left to its `failurePolicy: Ignore`.
    Bootstrap,
}

/// What goes back over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Status 200 and this AdmissionReview.
    Review(Value),
    /// Status 500 and this text: the call failed, and `failurePolicy` decides.
    CallFailure(String),
}

/// The answer to one review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    uid: String,
    outcome: Outcome,
    warnings: Vec<String>,
    annotations: BTreeMap<&'static str, String>,
    patch: Vec<(String, String)>,
}

/// Whether the request may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It may.
    Allowed,
    /// It may not.
    Refused(Status),
}

/// Why a request may not go on (the fields of `metav1.Status` that the API server passes on).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What kind of refusal it is.
    pub class: Class,
    /// The HTTP status for the user.
    pub code: u16,
    /// The reason of the API.
    pub reason: &'static str,
    /// The text for the user.
    pub message: String,
    /// Seconds after which clients try again by themselves.
    pub retry_after: Option<u32>,
}

impl Answer {
    /// The answer of the validating webhooks. Each image of `workload` needs a verdict of its own: one without counts as
    /// refused, so whatever is lost on the way refuses.
    pub fn judged(request: &Request, workload: &Workload, verdicts: &[Verdict]) -> Self {
        let mut verdicts = verdicts.to_vec();
        let lost =
            workload.uses.iter().filter(|image_use| !verdicts.iter().any(|verdict| is_about(verdict, image_use)));
        let lost: Vec<Verdict> = lost.map(unjudged).collect();
        verdicts.extend(lost);

        let refusals: Vec<&Refusal> = verdicts.iter().filter_map(Verdict::enforced).collect();
        let mut annotations = render::annotations(&verdicts);
        let outcome = match render::worst_class(refusals.iter().copied()) {
            None => Outcome::Allowed,
            Some(_) if workload.mirror => {
                let weak = annotations.entry("weak").or_default();
                let comma = if weak.is_empty() { "" } else { "," };
                *weak = format!("mirror-pod{comma}{weak}");
                Outcome::Allowed
            }
            Some(class) => Outcome::Refused(status(class, &refusals, verdicts.len())),
        };
        Self {
            uid: request.uid.clone(),
            outcome,
            warnings: render::warnings(&verdicts),
            annotations,
            patch: Vec::new(),
        }
    }

    /// The same answer, with what the rules that come next would say in the audit annotations.
    pub fn with_next(mut self, next: Option<String>) -> Self {
        self.annotations.extend(next.map(|next| ("next", next)));
        self
    }

    /// The answer where the images of the object could not even be found.
    pub fn unreadable(request: &Request, error: &Error) -> Self {
        Self::unread(&request.uid, error)
    }

    /// The same where nothing but the uid of the review is known.
    pub fn unread(uid: &str, error: &Error) -> Self {
        // A code that is not listed is a verdict: closed also where outages are let through.
        let class = codes::lookup(error.code()).map_or(Class::Denied, |info| info.class);
        let prefix = if class == Class::Denied { "object refused" } else { "not a verdict" };
        let message =
            fit(&format!("{prefix}: [{}] {error}", error.code()), render::HEADLINE_BYTES) + &fix(error.code());
        let status = Status { class, code: class.http_code(), reason: class.reason(), message, retry_after: None };
        let annotations = BTreeMap::from([("verdict", class.to_string()), ("code", error.code().to_owned())]);
        let (warnings, patch) = (Vec::new(), Vec::new());
        Self { uid: uid.to_owned(), outcome: Outcome::Refused(status), warnings, annotations, patch }
    }

    /// The answer of the mutating webhook: each tag of `uses` whose digest is known (by field) gets it appended, and the
    /// text stays as the user wrote it. It never refuses; security rests on validation alone.
    pub fn pinned(request: &Request, uses: &[ImageUse], digests: &BTreeMap<String, Sha256>) -> Self {
        let mut answer = Self::new(request, Outcome::Allowed, BTreeMap::new());
        for image_use in uses.iter().filter(|image_use| !image_use.image.is_empty() && !image_use.image.contains('@')) {
            if let Some(digest) = digests.get(&image_use.field) {
                // An implied tag is written out, or nobody would ask whether functionaries say that this is `latest`.
                let implied = Reference::parse(&image_use.image).is_ok_and(|reference| reference.tag.is_none());
                let tag = if implied { ":latest" } else { "" };
                answer.patch.push((image_use.pointer.clone(), format!("{}{tag}@sha256:{digest}", image_use.image)));
            }
        }
        answer
    }

    /// The answer to an edit of the policy: one that does not load is refused, and one that does may have `warnings`.
    pub fn policy_edited(request: &Request, loaded: Result<&[String], &policy::Error>) -> Self {
        match loaded {
            Ok(warnings) => {
                let warnings = warnings.iter().take(render::WARNINGS);
                let warnings = warnings.map(|warning| fit(warning, render::WARNING_BYTES)).collect();
                Self { warnings, ..Self::silent(request) }
            }
            Err(error) => {
                // Whatever class the error has elsewhere, here it is the verdict on the edit.
                let class = Class::Denied;
                let message = fit(&format!("policy refused: [{}] {error}", error.code()), POLICY_MESSAGE_BYTES);
                let message = message + &fix(error.code());
                let status =
                    Status { class, code: class.http_code(), reason: class.reason(), message, retry_after: None };
                Self::new(request, Outcome::Refused(status), BTreeMap::new())
            }
        }
    }

    /// The answer that lets a request pass without saying anything: of the mutating webhook where it cannot read the
    /// object.
    pub fn silent(request: &Request) -> Self {
        Self::new(request, Outcome::Allowed, BTreeMap::new())
    }

    /// Whether the request may go on.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// What the API server's audit log is told.
    pub fn annotations(&self) -> &BTreeMap<&'static str, String> {
        &self.annotations
    }

    /// The answer as it goes back from the webhook that was called.
    pub fn reply(&self, entry: Entry) -> Reply {
        match &self.outcome {
            Outcome::Refused(status) if entry == Entry::Bootstrap && status.class != Class::Denied => {
                Reply::CallFailure(status.message.clone())
            }
            _ => Reply::Review(self.to_json()),
        }
    }

    /// The AdmissionReview.
    pub fn to_json(&self) -> Value {
        let mut response = Map::new();
        let mut say = |name: &str, value: Value| response.insert(name.to_owned(), value);
        say("uid", json!(self.uid));
        say("allowed", json!(self.outcome == Outcome::Allowed));
        if let Outcome::Refused(status) = &self.outcome {
            say("status", status.to_json());
        }
        if !self.warnings.is_empty() {
            say("warnings", json!(self.warnings));
        }
        if !self.annotations.is_empty() {
            say("auditAnnotations", json!(self.annotations));
        }
        if !self.patch.is_empty() {
            let replace = |(path, value): &(String, String)| json!({"op": "replace", "path": path, "value": value});
            let patch = Value::Array(self.patch.iter().map(replace).collect());
            say("patchType", json!("JSONPatch"));
            say("patch", json!(BASE64_STANDARD.encode(patch.to_string())));
        }
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
    }

    fn new(request: &Request, outcome: Outcome, annotations: BTreeMap<&'static str, String>) -> Self {
        Self { uid: request.uid.clone(), outcome, warnings: Vec::new(), annotations, patch: Vec::new() }
    }
}

impl Status {
    fn to_json(&self) -> Value {
        match self.retry_after {
            None => json!({"code": self.code, "reason": self.reason, "message": self.message}),
            Some(seconds) => json!({
                "code": self.code,
                "reason": self.reason,
                "message": self.message,
                "details": {"retryAfterSeconds": seconds},
            }),
        }
    }
}

/// Bytes of what is told about a policy that does not load; the fix has a line of its own.
const POLICY_MESSAGE_BYTES: usize = 2_000;

/// The line that says what helps.
fn fix(code: &str) -> String {
    codes::lookup(code).map(|info| format!("\n  fix: {}", info.cure)).unwrap_or_default()
}

fn is_about(verdict: &Verdict, image_use: &ImageUse) -> bool {
    verdict.field() == image_use.field && verdict.reference() == image_use.image
}

fn unjudged(image_use: &ImageUse) -> Verdict {
    Verdict::from(Refusal {
        field: image_use.field.clone(),
        reference: image_use.image.clone(),
        digest: None,
        rule: None,
        context: Context::default(),
        cause: Cause::Unjudged,
    })
}

fn status(class: Class, refusals: &[&Refusal], judged: usize) -> Status {
    let all = |wanted: fn(&Cause) -> bool| refusals.iter().all(|refusal| wanted(&refusal.cause));
    // Trying again helps where all that is missing is on its way. Anywhere else it would only multiply the load.
    let retry_after = all(|cause| matches!(cause, Cause::Fetching { .. })).then_some(1);
    let (code, reason) = if all(|cause| matches!(cause, Cause::OverBudget { .. })) {
        (429, "TooManyRequests")
    } else {
        (class.http_code(), class.reason())
    };
    Status { class, code, reason, message: render::message(refusals, judged), retry_after }
}
