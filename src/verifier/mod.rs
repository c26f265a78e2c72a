//! The line for one image: reference, rule, digest, evidence, verdict.

mod agreement;
mod budget;
mod cache;
mod care;
mod case;
mod in_use;
mod lapsed;
mod manifest;
mod moment;
mod rule;
mod world;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

pub use self::budget::Budget;
pub use self::in_use::InUse;
pub use self::moment::Moment;
pub use self::world::{Unbuilt, Via, World, named_files};
use self::{
    cache::Verdicts,
    rule::{ByRule, Named, Times},
};
use crate::{
    crypto::Sha256,
    evidence::{self, Commands},
    image::Reference,
    in_toto::Survey,
    policy::{self, DefaultAction, Rule, Selected, UsedAs},
    registry::layers,
    tuf::TargetPath,
    verdict::{Admitted, Cause, Context, Judged, Leniency, Pinning, Refusal, Verdict},
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
    /// The sets that it is judged by, where other images are judged by the same ones; whoever asks about them asks again
    /// until [`Moment::is_one`].
    pub moment: Option<&'a Moment>,
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
    in_use: Arc<InUse>,
    limits: Arc<evidence::Limits>,
    layers: layers::Known,
    commands: Option<Arc<dyn Commands>>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new(Budget::default())
    }
}

impl Verifier {
    /// One that remembers nothing yet, and gives each namespace `budget`.
    pub fn new(budget: Budget) -> Self {
        let (in_use, limits, layers) = (Arc::default(), Arc::default(), layers::Known::default());
        Self { verdicts: Verdicts::new(budget), in_use, limits, layers, commands: None }
    }

    /// The same, running the commands of inspections that are not built in. For the machine of somebody who wants that.
    pub fn running(self, commands: Arc<dyn Commands>) -> Self {
        Self { commands: Some(commands), ..self }
    }

    /// The images that run, of which nothing is known at first: what a policy may let go on while nothing fresh can be
    /// had.
    pub fn in_use(&self) -> &Arc<InUse> {
        &self.in_use
    }

    /// How many verdicts it remembers: bounded, whatever is asked.
    pub fn remembered(&self) -> usize {
        self.verdicts.remembered()
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
        let (reference, refusal) = match read(question) {
            Ok(read) => read,
            Err(refused) => return refused,
        };
        let selected = world.policy().select(&question.subject(&reference), rules);
        let named = Named::Image { reference: &reference, payer: question.payer(), tag: question.tag };
        let times = Times { rules, now, deadline };
        self.judge(world, selected, named, question, *refusal, times).await
    }

    /// The verdict by the rules that are tried in the shadow of those in force (`next`), if there are some. Judgements are
    /// taken, where they are taken from one, from a budget of their own, as large as the namespace's: images that the rules in force dismiss unseen cost
    /// nothing there, and must not be free here.
    pub async fn verify_next(
        &self,
        world: &World,
        question: &Question<'_>,
        now: Timestamp,
        deadline: Instant,
    ) -> Option<Verdict> {
        let (reference, refusal) = match read(question) {
            Ok(read) => read,
            Err(refused) => return world.policy().next().map(|_| refused),
        };
        let selected = world.policy().select_next(&question.subject(&reference), now)?;
        // No namespace has such a name.
        let payer = question.payer().map(|namespace| format!("next:{namespace}"));
        let named = Named::Image { reference: &reference, payer: payer.as_deref(), tag: question.tag };
        let times = Times { rules: now, now, deadline };
        Some(self.judge(world, selected, named, question, *refusal, times).await)
    }

    /// The supply chains of an image as far as they can be followed, one for each requirement of the rule that is in force
    /// for it. For people who look for the place where one breaks; nothing is remembered of it.
    pub async fn survey(
        &self,
        world: &World,
        question: &Question<'_>,
        now: Timestamp,
        deadline: Instant,
    ) -> Vec<Survey> {
        let Ok((reference, _)) = read(question) else { return Vec::new() };
        let Selected::Rule(rule) = world.policy().select(&question.subject(&reference), now) else { return Vec::new() };
        let named = Named::Image { reference: &reference, payer: question.payer(), tag: question.tag };
        let (times, moment) = (Times { rules: now, now, deadline }, &Moment::default());
        ByRule { verifier: self, world, moment, rule, named, times }.survey().await
    }

    /// The same of a plain file.
    pub async fn survey_file(
        &self,
        world: &World,
        question: &FileQuestion<'_>,
        now: Timestamp,
        deadline: Instant,
    ) -> Vec<Survey> {
        let named = Named::File { path: question.path, digest: question.digest };
        let (times, moment) = (Times { rules: now, now, deadline }, &Moment::default());
        ByRule { verifier: self, world, moment, rule: question.rule, named, times }.survey().await
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
        let named = Named::File { path: question.path, digest: question.digest };
        let times = Times { rules: now, now, deadline };
        let moment = Moment::default();
        ByRule { verifier: self, world, moment: &moment, rule: question.rule, named, times }
            .verdict_of_one(refusal)
            .await
    }

    async fn judge(
        &self,
        world: &World,
        selected: Selected<'_>,
        named: Named<'_>,
        question: &Question<'_>,
        mut refusal: Refusal,
        times: Times,
    ) -> Verdict {
        match selected {
            Selected::Rule(rule) => match question.moment {
                // Of several images all are judged again together.
                Some(moment) => ByRule { verifier: self, world, moment, rule, named, times }.verdict(refusal).await,
                None => {
                    let moment = Moment::default();
                    let by_rule = ByRule { verifier: self, world, moment: &moment, rule, named, times };
                    Box::pin(by_rule.verdict_of_one(refusal)).await
                }
            },
            Selected::Default(action) => {
                refusal.cause = Cause::NoRule { namespace: Some(question.namespace.to_owned()) };
                match action {
                    DefaultAction::Deny => refusal.into(),
                    DefaultAction::Audit => {
                        let judged = Judged { weak: vec!["default: audit".to_owned()], ..Judged::default() };
                        Admitted::unenforced(refusal, Leniency::Audit, judged).into()
                    }
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
        let named = Named::Image { reference: &reference, payer: question.payer(), tag: question.tag };
        let (times, own) = (Times { rules: now, now, deadline }, Moment::default());
        let moment = question.moment.unwrap_or(&own);
        ByRule { verifier: self, world, moment, rule, named, times }.digest().await
    }
}

/// The reference of a question, and the refusal that is true until there is a verdict; or the verdict on what is none.
fn read(question: &Question<'_>) -> Result<(Reference, Box<Refusal>), Verdict> {
    let mut refusal = Refusal {
        field: question.field.to_owned(),
        reference: question.reference.to_owned(),
        digest: None,
        rule: None,
        context: Context::default(),
        cause: Cause::Unjudged,
    };
    match Reference::parse(question.reference) {
        Ok(reference) => {
            refusal.digest = reference.digest;
            Ok((reference, Box::new(refusal)))
        }
        Err(error) => Err(Refusal { cause: error.into(), ..refusal }.into()),
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

#[cfg(test)]
mod tests;
