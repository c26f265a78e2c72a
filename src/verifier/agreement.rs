//! What the other repositories of a rule say about an image that one has proven (TAP 4, trust.md §3).

use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;

use super::{
    case::{Asked, Case, Proven},
    lapsed::WayOn,
};
use crate::{
    evidence::{
        self, Opinion, Proof, Relied, RepositoryName, Subject, View, agrees,
        requirement::{Agreement, Fields, Tags},
    },
    image::Tag,
    repository::{Generation, Repository},
    tuf::TargetPath,
    verdict::{Cause, Class, Refusal, Staleness},
};

/// What one of the others says, and whether it says so on what is no longer fresh.
type Said = Result<(Opinion, Option<Staleness>), Cause>;

impl Case<'_> {
    /// Asks the other repositories; the proof holds if enough of them list the same. Who lists something else, or has
    /// revoked the image, is believed even where enough others agree. An error of a repository is neither: it is told
    /// where it keeps the number from being reached.
    pub(super) async fn agree(
        &self,
        agreement: &Agreement,
        mut proven: Proven,
        refusal: &mut Refusal,
    ) -> Result<Proven, Cause> {
        let relied: Arc<[Relied]> = self.relied(&proven.proof).into();
        let subject = &proven.proof.subject().clone();
        let wanted = agreement.threshold.get();
        let mut absent: Vec<(String, String)> = Vec::new();
        let mut failed: Vec<(&RepositoryName, Cause)> = Vec::new();
        // Those that could not be read so far come last: nobody waits for them where they are not needed.
        let is_out_of_reach = |name: &&RepositoryName| {
            let unread = |repository: &Repository| repository.generation().is_none() && repository.failure().is_some();
            self.world.repository(name).is_ok_and(|(_, repository)| unread(repository))
        };
        let (out_of_reach, others): (Vec<_>, Vec<_>) = agreement.others.iter().partition(is_out_of_reach);
        for names in [others, out_of_reach] {
            let asked = names.into_iter().map(async |name| (name, self.ask(name, subject, &relied).await));
            for (name, said) in join_all(asked).await {
                match said {
                    Ok((Opinion::Agrees, stale)) => {
                        proven.stale.extend(stale);
                        proven.agreed.push(name.clone());
                    }
                    Ok((Opinion::Absent(path), _)) => absent.push((name.to_string(), path.to_string())),
                    Err(cause) => failed.push((name, cause)),
                }
            }
            if let Some(index) = failed.iter().position(|(_, cause)| speaks_against(cause)) {
                return Err(told(refusal, failed.swap_remove(index)));
            }
            if proven.agreed.len().saturating_add(1) >= wanted {
                return Ok(proven);
            }
        }
        let agreed = proven.agreed.len().saturating_add(1);
        let enough_if_they_answered = agreed.saturating_add(failed.len()) >= wanted;
        match failed.into_iter().min_by_key(|(_, cause)| cause.class()) {
            Some(failed) if enough_if_they_answered => Err(told(refusal, failed)),
            _ => {
                let evidence = std::iter::once(self.repository.name().to_string());
                let agreed = evidence.chain(proven.agreed.iter().map(ToString::to_string)).collect();
                Err(Cause::TooFewRepositories { wanted, agreed, absent })
            }
        }
    }

    /// The targets on which they have to agree: those of the proof, and the tag's where that led to the digest.
    fn relied(&self, proof: &Proof) -> Vec<Relied> {
        let mut relied = proof.relied().to_vec();
        if let Asked::Image { reference, name, tag_names: None, .. } = self.asked
            && reference.digest.is_none()
            && self.requirement.tags != Tags::Registry
        {
            let tag = reference.tag.clone().unwrap_or_else(Tag::latest);
            let fields = Fields { repository: Some(name), tag: Some(&tag), digest: None };
            if let Some(path) = self.requirement.tag_target.expand(&fields) {
                relied.push(Relied::digest(TargetPath::from(path), proof.subject().digest));
            }
        }
        relied
    }

    async fn ask(&self, name: &RepositoryName, subject: &Subject, relied: &Arc<[Relied]>) -> Said {
        let (settings, repository) = self.world.repository(name)?;
        let by = self.repository.name();
        let case = Case { settings, repository, ..self.clone() };
        let fresh = async {
            let generation = case.current().await?;
            let (said, _) = case.opinion(&generation, by, subject, relied).await?;
            // It may just have been published there as well.
            if matches!(said, Opinion::Absent(_))
                && let Some(newer) = case.refreshed().await
            {
                return case.opinion(&newer, by, subject, relied).await.map(|(said, _)| said);
            }
            Ok(said)
        };
        let cause = match fresh.await {
            Ok(said) => return Ok((said, None)),
            Err(cause) => cause,
        };
        match case.way_on(&cause).await {
            None => Err(cause),
            Some(WayOn::Fresh(generation)) => {
                case.opinion(&generation, by, subject, relied).await.map(|(said, _)| (said, None))
            }
            Some(WayOn::Lapsed(last_fresh)) => {
                let generation = &last_fresh.lapsed.generation;
                let Asked::Image { reference, .. } = case.asked else { return Err(cause) };
                let then = Case { now: last_fresh.judged_at, ..case.clone() };
                let runs = case.in_use.holds(&reference.repository, subject.digest);
                match then.opinion(generation, by, subject, relied).await {
                    Ok((said, until)) if runs && case.now < until.min(generation.trusted().root().expires) => {
                        Ok((said, Some(last_fresh.staleness(name))))
                    }
                    _ => Err(cause),
                }
            }
        }
    }

    async fn opinion(
        &self,
        generation: &Arc<Generation>,
        by: &RepositoryName,
        subject: &Subject,
        relied: &[Relied],
    ) -> Result<(Opinion, Timestamp), Cause> {
        let agrees =
            |view: View<'_>| agrees(subject, relied, by.as_str(), self.requirement, view, self.now, self.limits);
        let judged = self.repository.look(None, generation, self.now, self.deadline, agrees).await;
        let judgement = judged.map_err(|error| self.cause(error))?;
        let until = judgement.basis.valid_until();
        judgement.outcome.map(|said| (said, until)).map_err(|error| self.explained(error))
    }
}

/// Whether a repository lists something else, or has revoked the image; anything else is the lack of an answer.
fn speaks_against(cause: &Cause) -> bool {
    matches!(cause, Cause::Evidence(error) if !matches!(error, evidence::Error::Tuf(_)))
}

/// The cause, with the repository that it is about noted for whoever reads the refusal.
fn told(refusal: &mut Refusal, (name, cause): (&RepositoryName, Cause)) -> Cause {
    // Where they disagree, the text names both.
    if cause.class() != Class::Denied || !matches!(cause, Cause::Evidence(_)) {
        refusal.context.repository = Some(name.to_string());
        refusal.context.targets_version = None;
        refusal.context.expires = None;
    }
    cause
}
