//! The line for one image: reference, rule, digest, evidence, verdict.

mod cache;
mod case;
mod world;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

pub use self::world::{Unbuilt, World, named_files};
use self::{cache::Verdicts, case::Case};
use crate::{
    crypto::Sha256,
    evidence,
    image::Reference,
    policy::{self, Action, DefaultAction, Mode, Selected, UsedAs},
    verdict::{Admitted, Cause, Context, Exemption, Judged, Leniency, Pinning, Refusal, Verdict},
};

/// One image of one object.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Where the object names it; empty outside of objects.
    pub field: &'a str,
    /// The reference as it was written.
    pub reference: &'a str,
    /// The namespace of the object.
    pub namespace: &'a str,
    /// As what the object uses it.
    pub used_as: UsedAs,
    /// What a tag without a digest means there.
    pub tag: TagUse,
}

/// What a tag without a digest means where it is met (T3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagUse {
    /// It is refused, whatever it names now: the kubelet would ask the registry again. Says why it still is a tag.
    Refused(Pinning),
    /// In templates whose Pods are pinned when they are made, and outside of objects: what it names now is judged.
    NamesNow,
}

/// Judges images, and remembers what it judged.
#[derive(Debug, Default)]
pub struct Verifier {
    verdicts: Verdicts,
    limits: Arc<evidence::Limits>,
}

impl Verifier {
    /// The verdict on one image, by `deadline` at the latest.
    pub async fn verify(&self, world: &World, question: &Question<'_>, now: Timestamp, deadline: Instant) -> Verdict {
        let mut refusal = Refusal {
            field: question.field.to_owned(),
            reference: question.reference.to_owned(),
            digest: None,
            rule: None,
            context: Context::default(),
            cause: Cause::Unjudged,
        };
        let reference = match Reference::parse(question.reference) {
            Ok(reference) => reference,
            Err(error) => return Refusal { cause: error.into(), ..refusal }.into(),
        };
        refusal.digest = reference.digest;
        let rule = match world.policy().select(&question.subject(&reference), now) {
            Selected::Rule(rule) => rule,
            Selected::Default(action) => {
                refusal.cause = Cause::NoRule { namespace: Some(question.namespace.to_owned()) };
                return match action {
                    DefaultAction::Deny => refusal.into(),
                    DefaultAction::Audit => {
                        Admitted::unenforced(refusal, Leniency::Audit, vec!["default: audit".to_owned()]).into()
                    }
                };
            }
        };
        refusal.rule = Some(rule.name().to_string());
        let weak: Vec<String> = rule.weak().iter().map(ToString::to_string).collect();
        let requirement = match rule.action() {
            Action::Allow { reason, until } => {
                let exemption = Exemption { reason: reason.clone(), until: *until };
                return Admitted::exempt(judged(&refusal, weak), exemption).into();
            }
            Action::Verify(requirement) => requirement,
        };
        let repository = match world.repository(&requirement.repository) {
            Ok(repository) => repository,
            Err(cause) => return Refusal { cause, ..refusal }.into(),
        };
        let case = Case {
            verdicts: &self.verdicts,
            limits: &self.limits,
            repository,
            reference: &reference,
            rule: rule.hash(),
            requirement,
            now,
            deadline,
        };
        match case.prove(question.tag, &mut refusal).await {
            Ok(proof) => Admitted::proven(judged(&refusal, weak), proof).into(),
            Err(cause) => {
                refusal.cause = cause;
                match rule.mode() {
                    Mode::Enforce => refusal.into(),
                    Mode::Warn => Admitted::unenforced(refusal, Leniency::Warn, weak).into(),
                    Mode::Audit => Admitted::unenforced(refusal, Leniency::Audit, weak).into(),
                }
            }
        }
    }

    /// The digest that a tag is to be pinned to, where a rule verifies the image and its tag is signed. It is no
    /// verdict, and none rests on it.
    pub async fn pin(
        &self,
        world: &World,
        question: &Question<'_>,
        now: Timestamp,
        deadline: Instant,
    ) -> Option<Sha256> {
        let reference = Reference::parse(question.reference).ok().filter(|reference| reference.digest.is_none())?;
        let Selected::Rule(rule) = world.policy().select(&question.subject(&reference), now) else { return None };
        let Action::Verify(requirement) = rule.action() else { return None };
        let case = Case {
            verdicts: &self.verdicts,
            limits: &self.limits,
            repository: world.repository(&requirement.repository).ok()?,
            reference: &reference,
            rule: rule.hash(),
            requirement,
            now,
            deadline,
        };
        case.tagged_digest().await.ok()
    }
}

impl Question<'_> {
    fn subject<'a>(&'a self, image: &'a Reference) -> policy::Subject<'a> {
        policy::Subject { namespace: self.namespace, image, used_as: self.used_as }
    }
}

fn judged(refusal: &Refusal, weak: Vec<String>) -> Judged {
    Judged {
        field: refusal.field.clone(),
        reference: refusal.reference.clone(),
        digest: refusal.digest,
        rule: refusal.rule.clone(),
        weak,
        ..Judged::default()
    }
}
