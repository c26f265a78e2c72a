//! The manifest of an image, as the repository of its rule has it: which images an index stands for.

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Question, Verifier, World};
use crate::{
    crypto::Sha256,
    evidence::requirement::Fields,
    image::{Manifest, Reference, manifest},
    policy::{Part, Selected},
    tuf::{Lookup, TargetPath},
    verdict::Cause,
};

impl Verifier {
    /// What the repository of the rule's first requirement lists under the image's name and this digest. `None` where it lists nothing, where no rule
    /// verifies the image, or where what is listed is no manifest. It is no verdict, and none rests on it.
    ///
    /// # Errors
    /// It could not be had now.
    pub async fn manifest(
        &self,
        world: &World,
        question: &Question<'_>,
        digest: Sha256,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Option<Manifest>, Cause> {
        let Ok(reference) = Reference::parse(question.reference) else { return Ok(None) };
        let Selected::Rule(rule) = world.policy().select(&question.subject(&reference), now) else { return Ok(None) };
        let Ok(bound) = rule.bind(&reference) else { return Ok(None) };
        let Some(Part { requirement, .. }) = bound.parts.first() else { return Ok(None) };
        let (_, repository) = world.repository(&requirement.repository)?;
        let unavailable = || Cause::Fetching { repository: repository.name().to_string() };
        let generation = repository.generation().ok_or_else(unavailable)?;
        let fields = Fields { repository: Some(&bound.name), tag: None, digest: Some(digest) };
        let Some(path) = requirement.digest_target.expand(&fields) else { return Ok(None) };
        let found = repository.lookup(&generation, &TargetPath::from(path), now, deadline).await;
        let Lookup::Found(found) = found.map_err(|_| unavailable())? else { return Ok(None) };
        let bytes = repository.file(&generation, &found.target, deadline).await.map_err(|_| unavailable())?;
        if Sha256::of(&bytes) != digest {
            return Ok(None);
        }
        Ok(manifest::parse(&bytes).ok())
    }
}
