//! One image under one rule that verifies: from the reference to the proof.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{
    TagUse,
    cache::{Entry, Key, StillRunning, Verdicts},
};
use crate::{
    crypto::Sha256,
    evidence::{
        self, Proof, Requirement, Subject, View, judge,
        requirement::{Field, Tags},
        resolve_tag,
    },
    image::{Reference, Tag},
    repository::{Generation, JUDGEMENT_DEADLINE, Repository, RepositoryError},
    tuf,
    verdict::{Cause, Context, Refusal},
};

pub(super) struct Case<'a> {
    pub(super) verdicts: &'a Verdicts,
    pub(super) limits: &'a Arc<evidence::Limits>,
    pub(super) repository: &'a Arc<Repository>,
    pub(super) reference: &'a Reference,
    /// The digest of the rule with all its words.
    pub(super) rule: Sha256,
    pub(super) requirement: &'a Requirement,
    pub(super) now: Timestamp,
    pub(super) deadline: Instant,
}

impl Case<'_> {
    /// The proof, or why there is none. What is learnt on the way is noted in `refusal`, for whoever reads it.
    pub(super) async fn prove(&self, tag: TagUse, refusal: &mut Refusal) -> Result<Arc<Proof>, Cause> {
        refusal.context.repository = Some(self.repository.name().to_string());
        // T3: before anything else, as no answer about the tag would help.
        if let (None, TagUse::Refused(pinning)) = (self.reference.digest, tag) {
            return Err(Cause::NotPinned(pinning));
        }
        let generation = self.current().await?;
        let result = self.prove_by(&generation, refusal).await;
        match self.fresher(&result).await {
            Some(fresh) => self.prove_by(&fresh, refusal).await,
            None => result,
        }
    }

    /// What the tag of the reference names now.
    pub(super) async fn tagged_digest(&self) -> Result<Sha256, Cause> {
        let generation = self.current().await?;
        let result = self.resolve(&generation).await;
        match self.fresher(&result).await {
            Some(fresh) => self.resolve(&fresh).await,
            None => result,
        }
    }

    /// The set in use; where there is none yet, one attempt at a refresh, shared by all who wait for it.
    async fn current(&self) -> Result<Arc<Generation>, Cause> {
        if let Some(generation) = self.repository.generation() {
            return Ok(generation);
        }
        let refresh = self.repository.refresh_for_miss(self.now);
        match timeout_at(self.deadline, refresh).await {
            Ok(Some(generation)) => Ok(generation),
            Ok(None) => Err(self.cause(self.repository.failure().unwrap_or(RepositoryError::NotYet))),
            Err(_) => Err(self.cause(RepositoryError::NotYet)),
        }
    }

    /// What is not there may just have been published: one refresh, shared by all who lack something.
    async fn fresher<T>(&self, result: &Result<T, Cause>) -> Option<Arc<Generation>> {
        use evidence::Error::{UnknownImage, UnknownTag};
        let lacks = matches!(result, Err(Cause::Evidence(UnknownImage { .. } | UnknownTag { .. })));
        if !lacks {
            return None;
        }
        timeout_at(self.deadline, self.repository.refresh_for_miss(self.now)).await.ok()?
    }

    async fn prove_by(&self, generation: &Arc<Generation>, refusal: &mut Refusal) -> Result<Arc<Proof>, Cause> {
        let targets = generation.trusted().targets();
        refusal.context = Context {
            layout: None,
            repository: Some(self.repository.name().to_string()),
            targets_version: Some(targets.version),
            expires: Some(targets.expires),
        };
        let digest = match self.reference.digest {
            Some(digest) => digest,
            None => self.resolve(generation).await?,
        };
        refusal.digest = Some(digest);
        let entry = self.entry(generation, digest).await?;
        refusal.context.layout = entry.layout.as_ref().map(ToString::to_string);
        entry.outcome.clone().map_err(|error| self.explained(error))
    }

    /// The verdict from memory, from the judgement that is under way, or from a new one.
    async fn entry(&self, generation: &Arc<Generation>, digest: Sha256) -> Result<Arc<Entry>, Cause> {
        let key = Key {
            repository: self.repository.name().clone(),
            subject: Subject { repository: self.reference.repository.clone(), digest, tag: self.asked_tag() },
            rule: self.rule,
        };
        if let Some(entry) = self.verdicts.get(&key, generation, self.now) {
            return Ok(entry);
        }
        // The one under way may have begun on an older generation; then another follows on this one.
        for _ in 0..2 {
            let ended = self.verdicts.judge(key.clone(), self.deadline, self.judgement(generation, &key)).await;
            let entry = match ended {
                Ok(entry) => entry.map_err(|error| self.cause(error))?,
                Err(StillRunning) => return Err(self.cause(RepositoryError::NotYet)),
            };
            if entry.rests_on(generation) {
                return Ok(entry);
            }
        }
        Err(self.cause(RepositoryError::NotYet))
    }

    /// The tag, where the answer depends on it.
    fn asked_tag(&self) -> Option<Tag> {
        let in_parameter = || self.requirement.parameters.values().any(|template| template.uses(Field::Tag));
        let asked = self.requirement.tags == Tags::Attested || in_parameter();
        self.reference.tag.clone().filter(|_| asked)
    }

    fn judgement(
        &self,
        generation: &Arc<Generation>,
        key: &Key,
    ) -> impl Future<Output = Result<evidence::Judgement<Proof>, RepositoryError>> + Send + 'static {
        let (repository, generation, limits) = (self.repository.clone(), generation.clone(), self.limits.clone());
        let (requirement, subject, now) = (self.requirement.clone(), key.subject.clone(), self.now);
        async move {
            let deadline = Instant::now() + JUDGEMENT_DEADLINE;
            let judge = |view: View<'_>| judge(&subject, &requirement, view, now, &limits);
            repository.judge(&generation, now, deadline, judge).await
        }
    }

    async fn resolve(&self, generation: &Generation) -> Result<Sha256, Cause> {
        let tag = self.reference.tag.clone().unwrap_or_else(Tag::latest);
        let resolve = |view: View<'_>| {
            resolve_tag(&self.reference.repository, &tag, self.requirement, view, self.now, self.limits)
        };
        let judgement = self.repository.judge(generation, self.now, self.deadline, resolve).await;
        judgement.map_err(|error| self.cause(error))?.outcome.map_err(|error| self.explained(error))
    }

    fn cause(&self, error: RepositoryError) -> Cause {
        let repository = self.repository.name().to_string();
        match error {
            RepositoryError::Tuf(error) => Cause::Tuf(error),
            RepositoryError::NotYet => Cause::Fetching { repository },
            error @ (RepositoryError::Store(_) | RepositoryError::Internal(_)) => {
                Cause::Internal { what: error.to_string() }
            }
            error @ RepositoryError::TooManyRounds(_) => Cause::Internal { what: error.to_string() },
        }
    }

    /// Says beside an expiry why there is nothing fresher: the one is the verdict, the other its reason.
    fn explained(&self, error: evidence::Error) -> Cause {
        match (&error, self.repository.failure()) {
            (evidence::Error::Tuf(tuf::Error::Expired { .. }), Some(failure)) => {
                Cause::Stale { error: Box::new(error), refresh: failure.to_string() }
            }
            _ => Cause::Evidence(error),
        }
    }
}
