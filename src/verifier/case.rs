//! One image under one rule that verifies: from the reference to the proof.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{
    InUse, Moment, TagUse, World,
    cache::{Entry, Key, NoEntry, Verdicts},
};
use crate::{
    crypto::Sha256,
    evidence::{
        self, Commands, Name, Proof, RepositoryName, Requirement, Subject, View, judge,
        requirement::{Field, Tags},
        resolve_tag,
    },
    image::{Reference, Repository as ImageName, Tag},
    in_toto::Survey,
    policy::TufRepository,
    registry::Registry,
    repository::{
        Generation, Repository, RepositoryError,
        layers::{Layers, NoLayer},
    },
    tuf::{self, TargetPath},
    verdict::{Cause, Context, Pinning, Refusal, Staleness},
};

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked<'a> {
    /// An image.
    Image {
        /// As it was written, in normal form.
        reference: &'a Reference,
        /// Its canonical name, after the rule's `as`.
        name: &'a ImageName,
        /// What its tag was found to name, where another requirement of the rule says so.
        tag_names: Option<Sha256>,
        /// The namespace whose budget is used, or none.
        payer: Option<&'a str>,
    },
    /// A file, by its target path.
    File { path: &'a TargetPath, digest: Sha256 },
}

/// A proof, and whether it rests on something that is no longer fresh.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) proof: Arc<Proof>,
    pub(super) stale: Vec<Staleness>,
    /// The other repositories that list the image alike.
    pub(super) agreed: Vec<RepositoryName>,
}

impl Proven {
    pub(super) fn fresh(proof: Arc<Proof>) -> Self {
        Self { proof, stale: Vec::new(), agreed: Vec::new() }
    }
}

#[derive(Clone)]
pub(super) struct Case<'a> {
    pub(super) verdicts: &'a Verdicts,
    pub(super) in_use: &'a InUse,
    pub(super) limits: &'a Arc<evidence::Limits>,
    pub(super) world: &'a World,
    pub(super) moment: &'a Moment,
    pub(super) repository: &'a Arc<Repository>,
    /// That of the image, as it is written: who pulls asks it.
    pub(super) registry: Option<&'a Arc<Registry>>,
    /// Where the layers of the image come from.
    pub(super) layers: Option<Arc<dyn Layers>>,
    /// What runs the commands of inspections.
    pub(super) commands: Option<&'a Arc<dyn Commands>>,
    /// What the policy says about the repository.
    pub(super) settings: &'a TufRepository,
    pub(super) asked: Asked<'a>,
    /// The digest of the rule with all its words, and of what its wildcards took.
    pub(super) rule: Sha256,
    pub(super) requirement: &'a Arc<Requirement>,
    pub(super) now: Timestamp,
    pub(super) deadline: Instant,
}

/// A Pod may name a hundred images, and a future has room for everything that it may come to. So what is not needed where
/// the verdict is known is in boxes.
impl Case<'_> {
    /// The proof, or why there is none. What is learnt on the way is noted in `refusal`, for whoever reads it.
    pub(super) async fn prove(&self, tag: TagUse, refusal: &mut Refusal) -> Result<Proven, Cause> {
        let proven = match self.prove_now(tag, refusal).await {
            Ok(proof) => Proven::fresh(proof),
            Err(cause) => Box::pin(self.prove_lapsed(cause, refusal)).await?,
        };
        match &self.requirement.agreement {
            Some(agreement) => Box::pin(self.agree(agreement, proven, refusal)).await,
            None => Ok(proven),
        }
    }

    async fn prove_now(&self, tag: TagUse, refusal: &mut Refusal) -> Result<Arc<Proof>, Cause> {
        refusal.context.repository = Some(self.repository.name().to_string());
        // T3: before anything else; no answer about the tag can admit it.
        if let (Asked::Image { reference: Reference { digest: None, .. }, .. }, TagUse::Refused(pinning)) =
            (self.asked, tag)
        {
            // Where pinning is on and a tag is still there, it may be that it could not be pinned: that is to be said.
            if pinning == Pinning::Undone {
                Box::pin(self.digest()).await?;
            }
            return Err(Cause::NotPinned(pinning));
        }
        let generation = self.current().await?;
        let result = self.prove_by(&generation, refusal).await;
        match self.fresher(&result).await {
            Some(fresh) => Box::pin(self.prove_by(&fresh, refusal)).await,
            None => result,
        }
    }

    /// The digest: as written, or what the tag of the reference names now.
    pub(super) async fn digest(&self) -> Result<Sha256, Cause> {
        match self.digest_now().await {
            Ok(digest) => Ok(digest),
            Err(cause) => self.digest_lapsed(cause).await,
        }
    }

    async fn digest_now(&self) -> Result<Sha256, Cause> {
        let generation = self.current().await?;
        let result = self.digest_by(&generation).await;
        match self.fresher(&result).await {
            Some(fresh) => self.digest_by(&fresh).await,
            None => result,
        }
    }

    /// The set that is gone by; where there is none yet, one attempt at a refresh, shared by all who wait for it.
    pub(super) async fn current(&self) -> Result<Arc<Generation>, Cause> {
        if let Some(generation) = self.moment.generation(self.repository) {
            return self.recent_enough().map(|()| generation);
        }
        let refresh = Box::pin(self.repository.refresh_for_miss(self.now));
        match timeout_at(self.deadline, refresh).await {
            // Somebody else of the same review may have taken another one meanwhile.
            Ok(Some(generation)) => {
                self.recent_enough().map(|()| self.moment.generation(self.repository).unwrap_or(generation))
            }
            Ok(None) => Err(self.cause(self.repository.failure().unwrap_or(RepositoryError::NotYet))),
            Err(_) => Err(self.cause(RepositoryError::NotYet)),
        }
    }

    /// A1: beyond TUF's own expiries only where the policy says so.
    fn recent_enough(&self) -> Result<(), Cause> {
        let Some(max_age) = self.settings.max_age else { return Ok(()) };
        let succeeded = self.repository.succeeded_at();
        match succeeded {
            Some(at) if self.now.duration_since(at) <= max_age => Ok(()),
            _ => Err(Cause::TooOld { repository: self.repository.name().to_string(), succeeded, max_age }),
        }
    }

    /// What is not there may just have been published: one refresh, shared by all who lack something. And what is judged
    /// for others by a newer set is not judged by an older one at the same time.
    async fn fresher<T>(&self, result: &Result<T, Cause>) -> Option<Arc<Generation>> {
        use evidence::Error::{UnknownImage, UnknownTag};
        let lacks = matches!(result, Err(Cause::Evidence(UnknownImage { .. } | UnknownTag { .. })));
        if !lacks && !matches!(result, Err(Cause::Fetching { .. })) {
            return None;
        }
        if let Some(newer) = self.moment.newer(self.repository) {
            return Some(newer);
        }
        if !lacks {
            return None;
        }
        self.refreshed().await
    }

    /// A newer set, after one refresh, which the whole review goes by from now on.
    pub(super) async fn refreshed(&self) -> Option<Arc<Generation>> {
        let refresh = Box::pin(self.repository.refresh_for_miss(self.now));
        let fresh = timeout_at(self.deadline, refresh).await.ok()??;
        self.moment.replace(self.repository, fresh)
    }

    pub(super) async fn prove_by(
        &self,
        generation: &Arc<Generation>,
        refusal: &mut Refusal,
    ) -> Result<Arc<Proof>, Cause> {
        let targets = generation.trusted().targets();
        refusal.context = Context {
            layout: None,
            repository: Some(self.repository.name().to_string()),
            targets_version: Some(targets.version),
            expires: Some(targets.expires),
            ..refusal.context.clone()
        };
        let digest = self.digest_by(generation).await?;
        refusal.digest = Some(digest);
        let entry = self.entry(generation, digest).await?;
        refusal.context.layout = entry.layout.as_ref().map(ToString::to_string);
        entry.outcome.clone().map_err(|error| self.explained(*error))
    }

    /// The verdict from memory, from the judgement that is under way, or from a new one.
    async fn entry(&self, generation: &Arc<Generation>, digest: Sha256) -> Result<Arc<Entry>, Cause> {
        let (repository, epoch) = (self.repository.name().clone(), self.settings.epoch);
        let key = Key { repository, epoch, subject: self.subject(digest), rule: self.rule };
        if let Some(entry) = self.verdicts.get(&key, generation, self.now) {
            return Ok(entry);
        }
        Box::pin(self.new_entry(generation, key)).await
    }

    /// A judgement that is not known.
    async fn new_entry(&self, generation: &Arc<Generation>, key: Key) -> Result<Arc<Entry>, Cause> {
        // The one under way may have begun on an older generation; then another follows on this one.
        for _ in 0..2 {
            let judgement = self.judgement(generation, &key);
            let ended =
                self.verdicts.judge(key.clone(), (generation, self.now), self.payer(), self.deadline, judgement).await;
            let entry = ended.map_err(|reason| match reason {
                NoEntry::Failed(error) => self.cause(error),
                NoEntry::StillRunning => self.cause(RepositoryError::NotYet),
                NoEntry::OverBudget => Cause::OverBudget { namespace: self.payer().map(str::to_owned) },
            })?;
            // An admission was proven at the time of whoever began it, and this review may be later: it is held to its own.
            let current = entry.outcome.is_err() || entry.holds(generation, self.now);
            if entry.rests_on(generation) && current {
                return Ok(entry);
            }
        }
        Err(self.cause(RepositoryError::NotYet))
    }

    fn payer(&self) -> Option<&str> {
        match self.asked {
            Asked::Image { payer, .. } => payer,
            Asked::File { .. } => None,
        }
    }

    pub(super) fn subject(&self, digest: Sha256) -> Subject {
        match self.asked {
            Asked::File { path, .. } => Subject { name: Name::File(path.clone()), digest, tag: None },
            Asked::Image { reference, name, .. } => {
                // The tag, where the answer depends on it.
                let in_parameter = || self.requirement.parameters.values().any(|template| template.uses(Field::Tag));
                let depends = self.requirement.tags == Tags::Attested || in_parameter();
                let tag = reference.meant_tag().filter(|_| depends);
                Subject { name: Name::Image(name.clone()), digest, tag }
            }
        }
    }

    fn judgement(
        &self,
        generation: &Arc<Generation>,
        key: &Key,
    ) -> impl Future<Output = Result<evidence::Judgement<Proof>, RepositoryError>> + Send + 'static {
        let (repository, generation, limits) = (self.repository.clone(), generation.clone(), self.limits.clone());
        let (requirement, subject, now) = (self.requirement.clone(), key.subject.clone(), self.now);
        let (layers, commands) = (self.layers.clone(), self.commands.cloned());
        async move {
            let deadline = Instant::now() + repository.limits().judgement_time;
            let judge = move |view: View<'_>| {
                judge(&subject, &requirement, View { commands: commands.as_deref(), ..view }, now, &limits)
            };
            repository.judge(layers.as_deref(), &generation, now, deadline, judge).await
        }
    }

    /// Every step of the supply chain by the set in use, whether it holds or not.
    pub(super) async fn survey(&self) -> Result<Survey, Cause> {
        let generation = self.current().await?;
        let subject = self.subject(self.digest_by(&generation).await?);
        let commands = self.commands.map(|commands| &**commands);
        let look = |view: View<'_>| {
            evidence::survey(&subject, self.requirement, View { commands, ..view }, self.now, self.limits)
        };
        let layers = self.layers.as_deref();
        let looked = self.repository.look(layers, &generation, self.now, self.deadline, look).await;
        looked.map_err(|error| self.cause(error))?.outcome.map_err(|error| self.explained(error))
    }

    pub(super) async fn digest_by(&self, generation: &Arc<Generation>) -> Result<Sha256, Cause> {
        match self.asked {
            Asked::File { digest, .. } => Ok(digest),
            Asked::Image { reference: Reference { digest: Some(digest), .. }, .. } => Ok(*digest),
            Asked::Image { reference, name, tag_names, .. } => {
                Box::pin(self.digest_of_tag(generation, (reference, name, tag_names))).await
            }
        }
    }

    async fn digest_of_tag(
        &self,
        generation: &Arc<Generation>,
        (reference, name, tag_names): (&Reference, &ImageName, Option<Sha256>),
    ) -> Result<Sha256, Cause> {
        let tag = reference.tag.clone().unwrap_or_else(Tag::latest);
        match tag_names {
            Some(_) if self.requirement.tags == Tags::Deny => {
                return Err(Cause::Evidence(evidence::Error::TagDenied { tag }));
            }
            Some(digest) => return Ok(digest),
            None => {}
        }
        if self.requirement.tags == Tags::Registry {
            return self.digest_in_registry(&reference.repository, &tag).await;
        }
        let resolve = |view: View<'_>| resolve_tag(name, &tag, self.requirement, view, self.now, self.limits);
        let judgement = self.repository.look(None, generation, self.now, self.deadline, resolve).await;
        judgement.map_err(|error| self.cause(error))?.outcome.map_err(|error| self.explained(error))
    }

    /// What the registry says that a tag names: a digest to judge, and no evidence of anything.
    async fn digest_in_registry(&self, image: &ImageName, tag: &Tag) -> Result<Sha256, Cause> {
        // Policies are read so that every rule that asks one describes it.
        let missing = || Cause::Internal { what: format!("no registry {}", image.host()) };
        let found = self.registry.ok_or_else(missing)?.resolve(image, tag, self.deadline).await;
        found.map_err(|fault| Cause::Registry { registry: image.host().to_owned(), fault })
    }

    pub(super) fn cause(&self, error: RepositoryError) -> Cause {
        let repository = self.repository.name().to_string();
        // Who waits for the disk is not told to wait for the repository.
        let error = match error {
            RepositoryError::NotYet => self.repository.disk_failure().unwrap_or(RepositoryError::NotYet),
            error => error,
        };
        match error {
            RepositoryError::Tuf(error) => Cause::Tuf(error),
            RepositoryError::NotYet => Cause::Fetching { repository },
            RepositoryError::Store(error) => Cause::Store { code: error.code(), what: error.to_string() },
            RepositoryError::Layer(NoLayer { registry, fault }) => Cause::Layer { registry, fault },
            error @ (RepositoryError::Internal(_) | RepositoryError::TooManyRounds(_)) => {
                Cause::Internal { what: error.to_string() }
            }
        }
    }

    /// Says beside an expiry why there is nothing fresher: the one is the verdict, the other its reason.
    pub(super) fn explained(&self, error: evidence::Error) -> Cause {
        match (&error, self.repository.failure()) {
            (evidence::Error::Tuf(tuf::Error::Expired { .. }), Some(failure)) => {
                Cause::Stale { error: Box::new(error), refresh: failure.to_string() }
            }
            _ => Cause::Evidence(error),
        }
    }
}
