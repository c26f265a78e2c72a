//! One image, or file, under the rule that was selected for it: all requirements of the rule.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    Moment, TagUse, Verifier, World,
    care::{ends_soon, loose},
    case::{Asked, Case, Proven},
};
use crate::{
    crypto::Sha256,
    evidence::requirement::{Level, Tags},
    image::{Reference, Repository},
    in_toto::Survey,
    policy::{Action, Mode, Part, Rule},
    registry::layers,
    repository::layers::Layers,
    tuf::TargetPath,
    verdict::{Admitted, Cause, Exemption, Judged, Leniency, Proofs, Refusal, Staleness, Verdict},
};

/// What a rule is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Named<'a> {
    /// An image by its reference, at the expense of a namespace's budget or of none.
    Image { reference: &'a Reference, payer: Option<&'a str>, tag: TagUse },
    /// A file by its target path.
    File { path: &'a TargetPath, digest: Sha256 },
}

/// A judgement by one rule.
pub(super) struct ByRule<'a> {
    pub(super) verifier: &'a Verifier,
    pub(super) world: &'a World,
    /// By which sets.
    pub(super) moment: &'a Moment,
    pub(super) rule: &'a Rule,
    pub(super) named: Named<'a>,
    pub(super) times: Times,
}

/// What is to be said beside the proofs.
#[derive(Debug, Default)]
struct Notes {
    stale: Vec<Staleness>,
    agreed: BTreeSet<String>,
    warnings: Vec<String>,
}

/// The times of a judgement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// At which the rules are read: whether they are enforced depends on it.
    pub(super) rules: Timestamp,
    /// At which the evidence is judged.
    pub(super) now: Timestamp,
    /// By which there is an answer.
    pub(super) deadline: Instant,
}

impl ByRule<'_> {
    /// The verdict, where nothing else is judged at its moment.
    pub(super) async fn verdict_of_one(&self, refusal: Refusal) -> Verdict {
        loop {
            let verdict = self.verdict(refusal.clone()).await;
            if self.moment.is_one() {
                return verdict;
            }
        }
    }

    /// The verdict. `refusal` holds what is known of the image.
    pub(super) async fn verdict(&self, mut refusal: Refusal) -> Verdict {
        refusal.rule = Some(self.rule.name().to_string());
        if let Action::Allow { reason, until } = self.rule.action() {
            let exemption = Exemption { reason: reason.clone(), until: *until };
            return Admitted::exempt(self.judged(&refusal), exemption).into();
        }
        match self.prove(&mut refusal).await {
            Ok((proofs, Notes { stale, agreed, warnings })) => {
                Admitted::proven(Judged { stale, agreed, warnings, ..self.judged(&refusal) }, proofs).into()
            }
            Err(cause) => {
                refusal.cause = cause;
                let leniency = match self.rule.mode(self.times.rules) {
                    Mode::Enforce => return refusal.into(),
                    Mode::Warn => Leniency::Warn,
                    Mode::Audit => Leniency::Audit,
                };
                let judged = self.judged(&refusal);
                Admitted::unenforced(refusal, leniency, judged).into()
            }
        }
    }

    /// The digest that a tag names now by the rule.
    pub(super) async fn digest(&self) -> Option<Sha256> {
        let Named::Image { reference, payer, .. } = self.named else { return None };
        let bound = self.rule.bind(reference).ok()?;
        if bound.parts.iter().any(|part| part.requirement.tags == Tags::Deny) {
            return None;
        }
        let asked = Asked::Image { reference, name: &bound.name, tag_names: None, payer };
        self.case(bound.parts.first()?, asked).ok()?.digest().await.ok()
    }

    /// The supply chains that the rule asks for, one for each of its requirements that can be looked at.
    pub(super) async fn survey(&self) -> Vec<Survey> {
        let (bound, parts);
        let (parts, asked) = match self.named {
            Named::File { path, digest } => {
                let Ok(of_file) = self.rule.bind_file() else { return Vec::new() };
                parts = of_file;
                (&parts[..], Asked::File { path, digest })
            }
            Named::Image { reference, payer, .. } => {
                let Ok(of_image) = self.rule.bind(reference) else { return Vec::new() };
                bound = of_image;
                (&bound.parts[..], Asked::Image { reference, name: &bound.name, tag_names: None, payer })
            }
        };
        let surveys = parts
            .iter()
            .filter(|part| part.requirement.level == Level::InToto)
            .map(async |part| self.case(part, asked).ok()?.survey().await.ok());
        join_all(surveys).await.into_iter().flatten().collect()
    }

    /// The proof of every requirement, or why there is none for one. What is learnt is noted in `refusal`.
    async fn prove(&self, refusal: &mut Refusal) -> Result<(Proofs, Notes), Cause> {
        let (reference, payer, tag) = match self.named {
            Named::File { path, digest } => {
                let parts = self.rule.bind_file()?;
                return self.prove_all(&parts, Asked::File { path, digest }, TagUse::NamesNow, refusal).await;
            }
            Named::Image { reference, payer, tag } => (reference, payer, tag),
        };
        let bound = self.rule.bind(reference)?;
        refusal.context.named = (bound.name != reference.repository).then(|| bound.name.to_string());
        let name: &Repository = &bound.name;
        let asked = |tag_names| Asked::Image { reference, name, tag_names, payer };
        match (bound.parts.as_slice(), tag) {
            // T3: one requirement is enough to say why there is a tag.
            ([first, _, ..], TagUse::Refused(_)) if reference.digest.is_none() => {
                self.prove_all(std::slice::from_ref(first), asked(None), tag, refusal).await
            }
            // What a tag names is the first one's to say; the others say what they think of that image.
            ([first, _, ..], TagUse::NamesNow) if reference.digest.is_none() => {
                refusal.context.part = Some((1, bound.parts.len()));
                let digest = self.case(first, asked(None))?.digest().await?;
                self.prove_all(&bound.parts, asked(Some(digest)), tag, refusal).await
            }
            (parts, _) => self.prove_all(parts, asked(None), tag, refusal).await,
        }
    }

    async fn prove_all(
        &self,
        parts: &[Part],
        asked: Asked<'_>,
        tag: TagUse,
        refusal: &mut Refusal,
    ) -> Result<(Proofs, Notes), Cause> {
        let known = &*refusal;
        let judged = join_all(parts.iter().enumerate().map(async |(index, part)| {
            let mut refusal = known.clone();
            refusal.context.part = (parts.len() > 1).then_some((index + 1, parts.len()));
            let proof = match self.case(part, asked) {
                Ok(case) => case.prove(tag, &mut refusal).await,
                Err(cause) => Err(cause),
            };
            (refusal, proof.map(|proven| (self.soon(part, &proven), proven)))
        }))
        .await;
        let (mut proofs, mut notes) = (Vec::new(), Notes::default());
        let mut worst: Option<(Refusal, Cause)> = None;
        for (noted, proof) in judged {
            match proof {
                Ok((soon, proven)) => {
                    notes.warnings.extend(soon.into_iter().chain(loose(&proven.proof)));
                    refusal.digest = noted.digest;
                    proofs.push(proven.proof);
                    notes.stale.extend(proven.stale);
                    notes.agreed.extend(proven.agreed.iter().map(ToString::to_string));
                }
                // A verdict says more than an outage.
                Err(cause) if worst.as_ref().is_none_or(|(_, known)| cause.class() < known.class()) => {
                    worst = Some((noted, cause));
                }
                Err(_) => {}
            }
        }
        if let Some((noted, cause)) = worst {
            *refusal = noted;
            return Err(cause);
        }
        // Several requirements may be proven by one repository.
        notes.stale.dedup();
        notes.warnings.dedup();
        Proofs::new(proofs).map(|proofs| (proofs, notes)).ok_or(Cause::Unjudged)
    }

    /// What people have to renew soon, lest the image be refused.
    fn soon(&self, part: &Part, proven: &Proven) -> Option<String> {
        let (settings, repository) = self.world.repository(&part.requirement.repository).ok()?;
        let generation = self.moment.generation(repository)?;
        let within = settings.expiry_warning;
        ends_soon(&proven.proof, &part.requirement, generation.trusted(), self.times.now, within)
    }

    fn case<'a>(&'a self, part: &'a Part, asked: Asked<'a>) -> Result<Case<'a>, Cause> {
        let (settings, repository) = self.world.repository(&part.requirement.repository)?;
        let Verifier { verdicts, in_use, limits, layers, commands } = self.verifier;
        let (rule, requirement) = (part.hash, &part.requirement);
        let Times { now, deadline, .. } = self.times;
        let registry = match asked {
            Asked::Image { reference, .. } => self.world.registry(reference.repository.host()),
            Asked::File { .. } => None,
        };
        let layers = match (&requirement.layers, asked) {
            (Some(source), Asked::Image { reference, name, .. }) => {
                let host = &source.registry;
                // Policies are read so that every rule that asks one describes it.
                let missing = || Cause::Internal { what: format!("no registry {host}") };
                let registry = self.world.registry(host).ok_or_else(missing)?.clone();
                // Of a mirror under the name by which it is asked.
                let is_mirror = name.host() != host && reference.repository.host() == host;
                let path = if is_mirror { reference.repository.path() } else { name.path() }.to_owned();
                let (known, limits) = (layers.clone(), limits.layers.clone());
                let (host, patience) = (host.clone(), layers::PATIENCE);
                Some(Arc::new(layers::Source { registry, host, path, known, limits, patience }) as Arc<dyn Layers>)
            }
            _ => None,
        };
        let world = self.world;
        Ok(Case {
            verdicts,
            in_use,
            limits,
            world,
            moment: self.moment,
            repository,
            registry,
            layers,
            commands: commands.as_ref(),
            settings,
            asked,
            rule,
            requirement,
            now,
            deadline,
        })
    }

    fn judged(&self, refusal: &Refusal) -> Judged {
        let enforce_from = self.rule.enforce_from().filter(|from| self.times.rules < *from);
        Judged {
            field: refusal.field.clone(),
            reference: refusal.reference.clone(),
            digest: refusal.digest,
            rule: refusal.rule.clone(),
            named: refusal.context.named.clone(),
            enforce_from,
            reason: self.rule.reason().map(str::to_owned),
            weak: self.rule.weak_at(self.times.rules).map(|weak| weak.to_string()).collect(),
            ..Judged::default()
        }
    }
}
