//! What a judgement or a search lacks, fetched and verified.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{
    aside::{aside, turn},
    generation::Generation,
    layers::Layers,
    live::{Error, Repository},
};
use crate::{
    evidence::{Judgement, Need, Progress, RepositoryName, View},
    image::{
        Descriptor,
        layer::{Layer, LayerFault},
    },
    tuf::{self, Delegated, LoadedRole, Lookup, RoleRequest, TargetFile, TargetPath},
};

/// Rounds of "needs, fetch, judge again" that one judgement may take: delegations deep times lists of lists.
const MAX_ROUNDS: usize = 64;

/// Bytes that the layers of one image may take here, all together: more than they do within the caps on their files.
const MAX_LAYERS: usize = 64 << 20;

/// What a judgement works with: one generation, and what was fetched for it so far.
#[derive(Debug)]
struct Evidence {
    repository: RepositoryName,
    generation: Arc<Generation>,
    roles: Arc<Delegated>,
    /// The roles that were read for it. Else those of many judgements at once would push each other out.
    loaded: Vec<LoadedRole>,
    files: BTreeMap<TargetPath, Arc<[u8]>>,
    layers: BTreeMap<Descriptor, Result<Arc<Layer>, LayerFault>>,
}

impl Evidence {
    fn view(&self) -> View<'_> {
        View {
            repository: &self.repository,
            trusted: &self.generation.trusted,
            roles: &self.roles,
            files: &self.files,
            layers: &self.layers,
            commands: None,
        }
    }
}

impl Repository {
    /// Judges against one generation, fetching what the judgement lacks until it ends. It is worked out where it holds
    /// up nothing else. Layers of images come from `source`; the time that they take is not taken off the deadline.
    pub async fn judge<T: Send + 'static>(
        &self,
        source: Option<&dyn Layers>,
        generation: &Arc<Generation>,
        now: Timestamp,
        mut deadline: Instant,
        judge: impl Fn(View<'_>) -> Progress<T> + Send + Sync + 'static,
    ) -> Result<Judgement<T>, Error> {
        let (mut evidence, judge) = (self.evidence(generation), Arc::new(judge));
        for _ in 0..MAX_ROUNDS {
            let turn = turn(deadline).await.ok_or(Error::NotYet)?;
            let judge = judge.clone();
            let judged = aside(turn, move || {
                let progress = judge(evidence.view());
                (evidence, progress)
            });
            let progress;
            (evidence, progress) = judged.await;
            match progress {
                Progress::Done(judgement) => return Ok(judgement),
                Progress::Needs(needs) => {
                    deadline = self.supply(source, &mut evidence, needs, now, deadline).await?;
                }
            }
        }
        Err(Error::TooManyRounds(MAX_ROUNDS))
    }

    /// The same on this very thread, for what looks up a few targets and verifies nothing large.
    pub async fn look<T>(
        &self,
        source: Option<&dyn Layers>,
        generation: &Arc<Generation>,
        now: Timestamp,
        mut deadline: Instant,
        look: impl Fn(View<'_>) -> Progress<T>,
    ) -> Result<Judgement<T>, Error> {
        let mut evidence = self.evidence(generation);
        for _ in 0..MAX_ROUNDS {
            match look(evidence.view()) {
                Progress::Done(judgement) => return Ok(judgement),
                Progress::Needs(needs) => {
                    deadline = self.supply(source, &mut evidence, needs, now, deadline).await?;
                }
            }
        }
        Err(Error::TooManyRounds(MAX_ROUNDS))
    }

    fn evidence(&self, generation: &Arc<Generation>) -> Evidence {
        Evidence {
            repository: self.name.clone(),
            generation: generation.clone(),
            roles: generation.roles(),
            loaded: Vec::new(),
            files: BTreeMap::new(),
            layers: BTreeMap::new(),
        }
    }

    /// Fetches what lacks, and says until when the next attempt may take.
    async fn supply(
        &self,
        source: Option<&dyn Layers>,
        evidence: &mut Evidence,
        needs: Vec<Need>,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Instant, Error> {
        // One attempt is bounded by what it counts. That many are not made, whatever is at hand already, is held here.
        if Instant::now() >= deadline {
            return Err(Error::NotYet);
        }
        let generation = &*evidence.generation;
        let (roles, targets, wanted) = split(needs);
        let fetched = futures::future::try_join(
            self.load_roles(generation, roles, now, deadline),
            futures::future::try_join_all(targets.iter().map(|target| self.file(generation, target, deadline))),
        );
        let (loaded, bodies) = fetched.await?;
        evidence.loaded.extend(loaded);
        evidence.roles = with(generation.roles(), &evidence.loaded);
        evidence.files.extend(targets.iter().map(|target| target.path.clone()).zip(bodies));
        if wanted.is_empty() {
            return Ok(deadline);
        }
        let began = Instant::now();
        let source = source.ok_or_else(|| Error::Internal("layers are wanted, and come from nowhere".to_owned()))?;
        // One after another: what many layers hold together is bounded, too.
        for wanted in wanted {
            let weight: usize = evidence.layers.values().flatten().map(|layer| layer.weight()).sum();
            let read = match weight > MAX_LAYERS {
                true => Err(LayerFault::Limit { what: "bytes of what layers hold", limit: MAX_LAYERS as u64 }),
                false => source.layer(&wanted).await.map_err(Error::Layer)?,
            };
            evidence.layers.insert(wanted, read);
        }
        Ok(deadline.checked_add(began.elapsed()).unwrap_or(deadline))
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
        let mut loaded = Vec::new();
        for _ in 0..MAX_ROUNDS {
            match generation.trusted.lookup(&with(generation.roles(), &loaded), path, now)? {
                Lookup::Needs(request) => loaded.push(self.load_role(generation, &request, now, deadline).await?),
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
    ) -> Result<Vec<LoadedRole>, Error> {
        let loads = requests.iter().map(|request| self.load_role(generation, request, now, deadline));
        futures::future::try_join_all(loads).await
    }

    /// One delegated role, read once for all reviews that want it at the same time.
    async fn load_role(
        &self,
        generation: &Generation,
        request: &RoleRequest,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<LoadedRole, Error> {
        let _alone = generation.alone(request, deadline).await?;
        if let Some(loaded) = generation.roles().loaded(request) {
            return Ok(loaded);
        }
        let cached = match &self.store {
            Some(store) => store.metadata(&request.file_name, request.fetch.max_bytes).await,
            None => None,
        };
        let verify = |bytes: Vec<u8>| {
            let bytes = held(bytes);
            request.verify(&generation.trusted, &bytes, now).map(|role| (role, bytes))
        };
        let role = match cached.map(verify) {
            Some(Ok((role, _))) => role,
            _ => {
                let failed = |cause| request.failed(cause);
                let (role, bytes) = self.transport.fetch_verified(&request.fetch, deadline, verify, failed).await?;
                if let Some(store) = &self.store {
                    // Who finds the folder locked looks again after a pause; here it is known when it is free.
                    let writing = timeout_at(deadline, generation.writing.lock()).await;
                    let _writing = writing.map_err(|_| Error::NotYet)?;
                    store.writer(deadline).await?.put(&request.file_name, bytes).await?;
                }
                role
            }
        };
        generation.add(&role);
        Ok(role)
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
        let verify = |bytes: Vec<u8>| target.verify(&bytes).map(|()| bytes);
        let failed = |cause| tuf::Error::fetching(tuf::What::Target(target.path.clone()), cause);
        let mut fetched = self.transport.fetch_verified(&request, deadline, verify, failed).await;
        if let (Err(tuf::Error::Missing { .. }), Some(other)) =
            (&fetched, generation.trusted.target_request_by_sha512(target))
        {
            fetched = self.transport.fetch_verified(&other, deadline, verify, failed).await;
        }
        let bytes = fetched?;
        if let Some(store) = &self.store
            && target.hashes.sha256().is_some()
        {
            store.put_target(&bytes).await?;
        }
        Ok(bytes.into())
    }
}

/// The roles with those that were let go meanwhile.
fn with(mut roles: Arc<Delegated>, loaded: &[LoadedRole]) -> Arc<Delegated> {
    for role in loaded {
        if !roles.has(role) {
            Arc::make_mut(&mut roles).add_back(role);
        }
    }
    roles
}

/// Bytes that are held for long: whoever reads files and answers takes more memory than they need.
fn held(mut bytes: Vec<u8>) -> Arc<Vec<u8>> {
    bytes.shrink_to_fit();
    Arc::new(bytes)
}

fn split(needs: Vec<Need>) -> (Vec<RoleRequest>, Vec<Arc<TargetFile>>, Vec<Descriptor>) {
    let (mut roles, mut files, mut layers) = (Vec::new(), Vec::new(), Vec::new());
    for need in needs {
        match need {
            Need::Role(request) => roles.push(*request),
            Need::File(target) => files.push(target),
            Need::Layer(descriptor) => layers.push(descriptor),
        }
    }
    (roles, files, layers)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;
    use crate::{
        publish::{Plan, Publisher},
        repository::layers::NoLayer,
        repository::transport::{Access, Locations, Transport},
        tuf::{Limits, Settings},
    };

    async fn read() -> (tempfile::TempDir, Repository, Arc<Generation>, Timestamp) {
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        let temp = tempfile::tempdir().unwrap();
        let plan = Plan::default();
        let keys = plan.keys_from_seed("supply").unwrap();
        Publisher::init(temp.path(), keys, &plan, now).unwrap().commit().unwrap();
        let root = fs::read(temp.path().join("metadata/1.root.json")).unwrap();
        let folder = |name: &str| format!("file://{}/{name}/", temp.path().display());
        let locations = Locations { metadata: folder("metadata"), targets: Some(folder("targets")) };
        let transport = Transport::open(&locations, &Access::default()).unwrap();
        let settings = Settings { limits: Limits::default(), max_validity: None, minimum: Default::default() };
        let repository = Repository::new("acme".parse().unwrap(), root, settings, transport, None).unwrap();
        let generation = repository.refresh(now).await.unwrap();
        (temp, repository, generation, now)
    }

    /// Gives the same layer for whatever is wanted, and counts how often.
    #[derive(Debug)]
    struct Same(Arc<Layer>, std::sync::atomic::AtomicUsize);

    #[async_trait::async_trait]
    impl Layers for Same {
        async fn layer(&self, _: &Descriptor) -> Result<Result<Arc<Layer>, LayerFault>, NoLayer> {
            self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(Ok(self.0.clone()))
        }
    }

    #[tokio::test]
    async fn what_many_layers_hold_together_is_bounded() {
        use crate::image::layer::tests as layer;
        let (_temp, repository, generation, now) = read().await;
        // Thirty megabytes of names.
        let long = |number: usize| format!("{number:04}{}", "/x".repeat(100) + &"x".repeat(3880));
        let files: Vec<_> = (0..7500).map(|number| layer::long_file(&long(number))).collect();
        let blob = layer::gzip(&layer::archive(&files));
        let descriptor = layer::descriptor(layer::GZIP, &blob);
        let held = crate::image::layer::read(&descriptor, &blob[..], &crate::image::layer::Limits::default()).unwrap();
        assert!(held.weight() > 30 << 20 && 2 * held.weight() < MAX_LAYERS);
        let source = Same(Arc::new(held), Default::default());
        let wanted: Vec<_> = (0..9).map(|size| Descriptor { size, ..descriptor.clone() }).collect();
        let refused = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = refused.clone();
        let judge = move |view: View<'_>| {
            let failed = view.layers.values().filter(|read| read.is_err()).count();
            count.store(failed, std::sync::atomic::Ordering::SeqCst);
            let lacks = wanted.iter().filter(|wanted| !view.layers.contains_key(*wanted));
            Progress::<()>::Needs(lacks.cloned().map(Need::Layer).collect())
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        let ended = repository.judge(Some(&source), &generation, now, deadline, judge).await;
        assert_eq!(ended.unwrap_err(), Error::TooManyRounds(MAX_ROUNDS));
        assert_eq!((source.1.into_inner(), refused.load(std::sync::atomic::Ordering::SeqCst)), (3, 6));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_judgement_that_takes_long_holds_nothing_else_up() {
        let (_temp, repository, generation, now) = read().await;
        let (repository, deadline) = (Arc::new(repository), Instant::now() + Duration::from_secs(60));
        let (answered, wait) = std::sync::mpsc::channel();
        let wait = std::sync::Mutex::new(wait);
        let judged = tokio::spawn(async move {
            let runtime = tokio::runtime::Handle::current();
            let judge = move |_: View<'_>| {
                // On the only thread there is, unless this goes on elsewhere.
                runtime.spawn({
                    let answered = answered.clone();
                    async move { answered.send(()).unwrap() }
                });
                wait.lock().unwrap().recv_timeout(Duration::from_secs(20)).expect("held up");
                Progress::<()>::Needs(Vec::new())
            };
            repository.judge(None, &generation, now, deadline, judge).await
        });
        assert_eq!(judged.await.unwrap().unwrap_err(), Error::TooManyRounds(MAX_ROUNDS));
    }

    #[tokio::test]
    async fn what_is_at_hand_is_not_judged_again_and_again_beyond_the_deadline() {
        let (_temp, repository, generation, now) = read().await;
        let judged = std::cell::Cell::new(0);
        let judge = |_: View<'_>| {
            judged.set(judged.get() + 1);
            Progress::<()>::Needs(Vec::new())
        };
        let ended = repository.look(None, &generation, now, Instant::now(), judge).await;
        assert_eq!((ended.unwrap_err(), judged.get()), (Error::NotYet, 1));
    }

    #[tokio::test]
    async fn nobody_waits_beyond_their_deadline_for_a_role_that_another_review_fetches() {
        let (_temp, repository, generation, now) = read().await;
        let path = TargetPath::from("registry.example/team/app:1.0".to_owned());
        let Lookup::Needs(request) = generation.trusted.lookup(&generation.roles(), &path, now).unwrap() else {
            panic!("it lacks nothing");
        };
        let _another = generation.alone(&request, Instant::now()).await.unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        let lookup = repository.lookup(&generation, &path, now, deadline);
        let answer = tokio::time::timeout(Duration::from_secs(20), lookup).await.expect("it still waits");
        assert_eq!(answer.unwrap_err(), Error::NotYet);
    }
}
