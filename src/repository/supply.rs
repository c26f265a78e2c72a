//! What a judgement or a search lacks, fetched and verified.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use tokio::time::Instant;

use super::live::{Error, Generation, Repository};
use crate::{
    evidence::{Judgement, Need, Progress, View},
    tuf::{self, Delegated, Lookup, RoleRequest, TargetFile, TargetPath},
};

/// Rounds of "needs, fetch, judge again" that one judgement may take: delegations deep times lists of lists.
const MAX_ROUNDS: usize = 64;

impl Repository {
    /// Judges against one generation, fetching what the judgement lacks until it ends.
    pub async fn judge<T>(
        &self,
        generation: &Generation,
        now: Timestamp,
        deadline: Instant,
        judge: impl Fn(View<'_>) -> Progress<T>,
    ) -> Result<Judgement<T>, Error> {
        let mut files: BTreeMap<TargetPath, Arc<[u8]>> = BTreeMap::new();
        for _ in 0..MAX_ROUNDS {
            let roles = generation.roles();
            let view = View { repository: &self.name, trusted: &generation.trusted, roles: &roles, files: &files };
            let needs = match judge(view) {
                Progress::Done(judgement) => return Ok(judgement),
                Progress::Needs(needs) => needs,
            };
            let (roles, targets) = split(needs);
            let fetched = futures::future::try_join(
                self.load_roles(generation, roles, now, deadline),
                futures::future::try_join_all(targets.iter().map(|target| self.file(generation, target, deadline))),
            );
            let ((), bodies) = fetched.await?;
            for (target, bytes) in targets.iter().zip(bodies) {
                files.insert(target.path.clone(), bytes);
            }
        }
        Err(Error::TooManyRounds(MAX_ROUNDS))
    }

    /// Searches for a target, fetching the delegated roles that the search comes to (TUF 5.6.7). Never
    /// [`Lookup::Needs`].
    pub async fn lookup(
        &self,
        generation: &Generation,
        path: &TargetPath,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Lookup, Error> {
        for _ in 0..MAX_ROUNDS {
            match generation.trusted.lookup(&generation.roles(), path, now)? {
                Lookup::Needs(request) => self.load_roles(generation, vec![*request], now, deadline).await?,
                found => return Ok(found),
            }
        }
        Err(Error::TooManyRounds(MAX_ROUNDS))
    }

    async fn load_roles(
        &self,
        generation: &Generation,
        requests: Vec<RoleRequest>,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<(), Error> {
        if requests.is_empty() {
            return Ok(());
        }
        // One at a time for all reviews: whoever waited finds the role loaded.
        let _alone = generation.loading.lock().await;
        for request in requests {
            let mut roles = Delegated::clone(&generation.roles());
            if roles.holds(&request) {
                continue;
            }
            let cached = match &self.store {
                Some(store) => store.metadata(&request.file_name, request.fetch.max_bytes).await,
                None => None,
            };
            let supplied = cached.is_some_and(|bytes| roles.supply(&generation.trusted, &request, &bytes, now).is_ok());
            if !supplied {
                let fetched = self.transport.fetch(&request.fetch, deadline).await;
                let bytes = fetched.map_err(|cause| request.failed(cause))?;
                roles.supply(&generation.trusted, &request, &bytes, now)?;
                if let Some(store) = &self.store {
                    store.writer(deadline).await?.put(&request.file_name, bytes).await?;
                }
            }
            generation.roles.store(Arc::new(roles));
        }
        Ok(())
    }

    /// One target file, verified by all its hashes and its length (TUF 5.7).
    pub async fn file(
        &self,
        generation: &Generation,
        target: &TargetFile,
        deadline: Instant,
    ) -> Result<Arc<[u8]>, Error> {
        if let (Some(store), Some(digest)) = (&self.store, target.hashes.sha256())
            && let Some(bytes) = store.target(digest, target.length).await
            && target.verify(&bytes).is_ok()
        {
            return Ok(bytes.into());
        }
        let request = generation.trusted.target_request(target);
        let fetched = self.transport.fetch(&request, deadline).await;
        let bytes = fetched.map_err(|cause| tuf::Error::fetching(tuf::What::Target(target.path.clone()), cause))?;
        target.verify(&bytes)?;
        if let Some(store) = &self.store
            && target.hashes.sha256().is_some()
        {
            store.put_target(&bytes).await?;
        }
        Ok(bytes.into())
    }
}

fn split(needs: Vec<Need>) -> (Vec<RoleRequest>, Vec<Arc<TargetFile>>) {
    let mut roles = Vec::new();
    let mut files = Vec::new();
    for need in needs {
        match need {
            Need::Role(request) => roles.push(*request),
            Need::File(target) => files.push(target),
        }
    }
    (roles, files)
}
