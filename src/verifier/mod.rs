//! The line for one image: reference, rule, digest, evidence, verdict.

mod budget;
mod cache;
mod case;
mod manifest;
mod world;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

pub use self::budget::Budget;
pub use self::world::{Unbuilt, World, named_files};
use self::{
    cache::Verdicts,
    case::{Asked, Case},
};
use crate::{
    crypto::Sha256,
    evidence::{self, Requirement},
    image::Reference,
    policy::{self, Action, DefaultAction, Mode, Rule, Selected, UsedAs},
    tuf::TargetPath,
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
    /// Whether a judgement is taken from the namespace's [`Budget`]. Not where an outage is let through: there whoever
    /// used it up would have opened the door.
    pub budgeted: bool,
    /// As what the object uses it.
    pub used_as: UsedAs,
    /// What a tag without a digest means there.
    pub tag: TagUse,
}

/// One plain file, by one rule.
#[derive(Debug, Clone, Copy)]
pub struct FileQuestion<'a> {
    /// The rule: files are in no namespace and have no reference that a rule could match.
    pub rule: &'a Rule,
    /// The file's target path.
    pub path: &'a TargetPath,
    /// SHA-256 of its content.
    pub digest: Sha256,
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
#[derive(Debug)]
pub struct Verifier {
    verdicts: Verdicts,
    limits: Arc<evidence::Limits>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new(Budget::default())
    }
}

impl Verifier {
    /// One that remembers nothing yet, and gives each namespace `budget`.
    pub fn new(budget: Budget) -> Self {
        Self { verdicts: Verdicts::new(budget), limits: Arc::default() }
    }

    /// The verdict on one image, by `deadline` at the latest.
    pub async fn verify(&self, world: &World, question: &Question<'_>, now: Timestamp, deadline: Instant) -> Verdict {
        self.verify_by_rules_of(now, world, question, now, deadline).await
    }

    /// The verdict that the rules in force at `rules` reach on the evidence of `now`: what an exemption that ends then
    /// leaves behind.
    pub async fn verify_by_rules_of(
        &self,
        rules: Timestamp,
        world: &World,
        question: &Question<'_>,
        now: Timestamp,
        deadline: Instant,
    ) -> Verdict {
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
        let rule = match world.policy().select(&question.subject(&reference), rules) {
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
        let asked = Asked::Image { reference: &reference, payer: question.payer() };
        self.judge(world, rule, asked, question.tag, refusal, now, deadline).await
    }

    /// The verdict on a plain file by one rule, by `deadline` at the latest (in-toto ITE-3).
    pub async fn verify_file(
        &self,
        world: &World,
        question: &FileQuestion<'_>,
        now: Timestamp,
        deadline: Instant,
    ) -> Verdict {
        let refusal = Refusal {
            field: String::new(),
            reference: question.path.to_string(),
            digest: Some(question.digest),
            rule: None,
            context: Context::default(),
            cause: Cause::Unjudged,
        };
        let asked = Asked::File { path: question.path, digest: question.digest };
        self.judge(world, question.rule, asked, TagUse::NamesNow, refusal, now, deadline).await
    }

    #[expect(clippy::too_many_arguments, reason = "what two entrances share, each argument once")]
    async fn judge(
        &self,
        world: &World,
        rule: &Rule,
        asked: Asked<'_>,
        tag: TagUse,
        mut refusal: Refusal,
        now: Timestamp,
        deadline: Instant,
    ) -> Verdict {
        refusal.rule = Some(rule.name().to_string());
        let weak: Vec<String> = rule.weak().iter().map(ToString::to_string).collect();
        let requirement = match rule.action() {
            Action::Allow { reason, until } => {
                let exemption = Exemption { reason: reason.clone(), until: *until };
                return Admitted::exempt(judged(&refusal, weak), exemption).into();
            }
            Action::Verify(requirement) => requirement,
        };
        let case = match self.case(world, rule, requirement, asked, now, deadline) {
            Ok(case) => case,
            Err(cause) => return Refusal { cause, ..refusal }.into(),
        };
        match case.prove(tag, &mut refusal).await {
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

    fn case<'a>(
        &'a self,
        world: &'a World,
        rule: &Rule,
        requirement: &'a Requirement,
        asked: Asked<'a>,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Case<'a>, Cause> {
        let (settings, repository) = world.repository(&requirement.repository)?;
        let (verdicts, limits, rule) = (&self.verdicts, &self.limits, rule.hash());
        Ok(Case { verdicts, limits, repository, settings, asked, rule, requirement, now, deadline })
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
        let asked = Asked::Image { reference: &reference, payer: question.payer() };
        let case = self.case(world, rule, requirement, asked, now, deadline).ok()?;
        case.digest().await.ok()
    }
}

impl<'q> Question<'q> {
    /// The namespace whose budget judgements are taken from.
    fn payer(&self) -> Option<&'q str> {
        self.budgeted.then_some(self.namespace)
    }

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

#[cfg(test)]
mod tests;
