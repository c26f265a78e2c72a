//! What a verdict in memory stands on, and what ends it. Whatever is asked again finds the target files gone, so a
//! verdict that is given nevertheless is one from memory.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::SignedDuration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Semaphore,
};

use super::*;
use crate::{
    policy::{Policy, UsedAs},
    publish::{
        Document, Format, KeyRing, Layout, Link, LinkSource, NewImage, NewLayout, Plan, Publisher, SigningKey, Step,
    },
    verdict::{Cause, Class, Verdict},
    verifier::{Budget, Question, TagUse, Verifier, World},
};

const NAME: &str = "registry.example/team/app";
const LAYOUT: &str = "layouts/registry.example/team/app/root.layout";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn builder() -> SigningKey {
    SigningKey::ed25519_from_seed([2; 32])
}

fn new_image() -> NewImage {
    image_of(br#"{"schemaVersion":2,"manifests":[]}"#)
}

fn image_of(manifest: &[u8]) -> NewImage {
    let manifest = manifest.to_vec();
    let link = Link::new("push").product(NAME, Sha256::of(&manifest));
    let (name, bytes) = (link.file_name(&builder()).unwrap(), link.sign(Format::Dsse, &builder()).unwrap());
    NewImage {
        repository: NAME.to_owned(),
        tags: vec!["latest".to_owned()],
        layout: LAYOUT.to_owned(),
        links: vec![LinkSource { name, bytes }],
        role: Some("images".to_owned()),
        manifest,
    }
}

/// A repository in a folder whose layout holds for ten days, with one image.
struct Folder {
    temp: tempfile::TempDir,
    root: Vec<u8>,
    image: Sha256,
}

impl Folder {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let plan = Plan::default();
        let keys = plan.keys_from_seed("cache").unwrap();
        let mut publisher = Publisher::init(&temp.path().join("repository"), keys, &plan, now()).unwrap();
        let owner = SigningKey::ed25519_from_seed([1; 32]);
        let step = Step::new("push").functionary(&builder()).unwrap().products(&[&format!("CREATE {NAME}")]);
        let layout = Layout::new(now() + HOUR * 240).step(step).sign(Format::Metablock, &[&owner]).unwrap();
        let keys = vec![owner.public_pem().unwrap().into_bytes()];
        let (path, role) = (LAYOUT.to_owned(), "targets".to_owned());
        publisher.add_layout(NewLayout { path, bytes: layout, keys, images: Vec::new(), role }).unwrap();
        let image = publisher.add_image(&new_image()).unwrap().digest;
        publisher.commit().unwrap();
        let root = fs::read(temp.path().join("repository/metadata/1.root.json")).unwrap();
        Self { temp, root, image }
    }

    fn path(&self) -> PathBuf {
        self.temp.path().join("repository")
    }

    /// The reference of the image.
    fn image(&self) -> String {
        format!("{NAME}@sha256:{}", self.image)
    }

    /// A change by the holders of all keys; snapshot and timestamp are signed again in any case.
    fn publish(&self, at: Timestamp, change: impl FnOnce(&mut Publisher)) {
        let mut keys: KeyRing = Plan::default().keys_from_seed("cache").unwrap();
        keys.trust(Document::parse(&"root".into(), self.root.clone()).unwrap());
        let mut publisher = Publisher::open(&self.path(), keys, at).unwrap();
        change(&mut publisher);
        publisher.commit().unwrap();
    }

    /// From now on nothing can be judged again that needs a target file.
    fn lose_files(&self) {
        fs::remove_dir_all(self.path().join("targets")).unwrap();
    }

    /// The repository under a policy; `words` are added to its description, `verify` to the one rule.
    async fn world(&self, words: &str, verify: &str) -> World {
        self.world_at(&format!("url: \"file://{}\"{words}", self.path().display()), verify, None).await
    }

    async fn world_at(&self, description: &str, verify: &str, state: Option<&Path>) -> World {
        let policy = format!(
            "version: 1
repositories:
  acme: {{{description}, root: root.json}}
rules:
  - name: own
    match: {{images: [\"registry.example/**\"]}}
    verify: {{repositories: [acme], layout: \"layouts/{{repository}}/*\"{verify}}}
"
        );
        let files = BTreeMap::from([("root.json".to_owned(), self.root.clone())]);
        World::build(Arc::new(Policy::parse(&policy).unwrap()), &files, state, None, None).await.unwrap()
    }
}

async fn refresh(world: &World, now: Timestamp) {
    for (_, repository) in world.repositories() {
        repository.refresh(now).await.unwrap();
    }
}

async fn verify_by(verifier: &Verifier, world: &World, reference: &str, now: Timestamp, deadline: Instant) -> Verdict {
    verifier.verify(world, &question(reference), now, deadline).await
}

fn question(reference: &str) -> Question<'_> {
    Question {
        field: "",
        reference,
        namespace: "prod",
        budgeted: true,
        used_as: UsedAs::Container,
        tag: TagUse::NamesNow,
        moment: None,
    }
}

/// The code, or how the image was admitted.
async fn judge(verifier: &Verifier, world: &World, reference: &str, now: Timestamp) -> &'static str {
    verify_by(verifier, world, reference, now, Instant::now() + Duration::from_secs(60)).await.label()
}

/// A verdict in memory, and nothing to reach it by again.
async fn remembered() -> (Folder, World, Verifier) {
    let (folder, verifier) = (Folder::new(), Verifier::default());
    let world = folder.world("", "").await;
    // Twice: what was found to rest on the set once is not looked at again while that is the same.
    for _ in 0..2 {
        assert_eq!(judge(&verifier, &world, &folder.image(), now()).await, "proof");
    }
    folder.lose_files();
    (folder, world, verifier)
}

#[tokio::test]
async fn a_verdict_is_remembered_while_what_it_stands_on_is_the_same() {
    let (folder, world, verifier) = remembered().await;
    assert_eq!(judge(&verifier, &world, &folder.image(), now()).await, "proof");
    // A new snapshot and timestamp change nothing that it stands on.
    folder.publish(now(), |_| {});
    refresh(&world, now()).await;
    assert_eq!(judge(&verifier, &world, &folder.image(), now()).await, "proof");
    assert_eq!(judge(&Verifier::default(), &world, &folder.image(), now()).await, "tuf/missing");
}

#[tokio::test]
async fn what_is_remembered_of_a_proof_is_who_made_what_and_not_every_artifact() {
    let (folder, verifier) = (Folder::new(), Verifier::default());
    let world = folder.world("", "").await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut said = Vec::new();
    for has_trail in [true, false] {
        let verdict = verify_by(&verifier, &world, &folder.image(), now(), deadline).await;
        let Verdict::Admitted(admitted) = &verdict else { panic!("{verdict:?}") };
        let crate::verdict::AdmittedBy::Proof(proofs) = admitted.by() else { panic!("{verdict:?}") };
        assert_eq!(proofs.first().verified().is_some(), has_trail);
        assert_eq!(proofs.first().steps()[0].functionaries, [builder().keyid().unwrap()]);
        said.push(verdict.to_json());
        folder.path().join("targets").exists().then(|| folder.lose_files());
    }
    assert_eq!(said[0], said[1]);
}

#[tokio::test]
async fn a_judgement_that_landed_since_somebody_looked_is_not_made_again() {
    let (_folder, world, verifier) = remembered().await;
    let (_, repository) = world.repositories().next().unwrap();
    let (generation, verdicts) = (repository.generation().unwrap(), &verifier.verdicts);
    let (key, entry) = verdicts.remembered.known.iter().next().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let again = async { panic!("it was made again") };
    let found = verdicts.judge(key.clone(), (&generation, now()), None, deadline, again).await.unwrap();
    assert!(Arc::ptr_eq(&found, &entry));
    // What does not hold is.
    let later = now() + HOUR * 24 * 365;
    let again = async { Err(RepositoryError::NotYet) };
    let ended = verdicts.judge(key, (&generation, later), None, deadline, again).await;
    assert_eq!(ended.unwrap_err(), NoEntry::Failed(RepositoryError::NotYet));
}

/// A judgement that is asked for in a runtime that goes down is dropped where it is begun.
#[test]
fn a_judgement_that_is_asked_for_while_the_process_ends_holds_nothing_up() {
    let runtime = |threads| tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let first = runtime(1).unwrap();
    let (_folder, world, verifier) = first.block_on(remembered());
    let (_, repository) = world.repositories().next().unwrap();
    let generation = repository.generation().unwrap();
    let (key, _) = verifier.verdicts.remembered.known.iter().next().unwrap();
    let later = now() + HOUR * 24 * 365;

    let ends = runtime(2).unwrap();
    let (told_end, is_ending) = std::sync::mpsc::channel();
    let (told, answer) = std::sync::mpsc::channel();
    let (started, has_started) = std::sync::mpsc::channel();
    // Dropped by the other thread when the runtime has begun to take no more tasks.
    let sentinel = scopeguard(move || told_end.send(()).unwrap());
    ends.spawn(async move {
        let _sentinel = sentinel;
        std::future::pending::<()>().await;
    });
    ends.spawn(async move {
        started.send(()).unwrap();
        is_ending.recv().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let judge = async { panic!("nothing is begun") };
        let ended = verifier.verdicts.judge(key, (&generation, later), None, deadline, judge).now_or_never();
        let flights = verifier.verdicts.flights.lock().unwrap().len();
        told.send((ended.map(|ended| ended.is_ok()), flights)).unwrap();
    });
    has_started.recv().unwrap();
    ends.shutdown_background();
    assert_eq!(answer.recv_timeout(Duration::from_secs(20)), Ok((Some(false), 0)));
}

/// Calls something when it is dropped.
fn scopeguard(call: impl FnOnce() + Send + 'static) -> impl Send + 'static {
    struct Guard<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Guard<F> {
        fn drop(&mut self) {
            self.0.take().into_iter().for_each(|call| call());
        }
    }
    Guard(Some(call))
}

#[tokio::test]
async fn what_proofs_of_one_pipeline_have_in_common_is_remembered_once() {
    let (folder, verifier) = (Folder::new(), Verifier::default());
    let other = image_of(br#"{"schemaVersion":2, "manifests":[]}"#);
    let digest = Sha256::of(&other.manifest);
    folder.publish(now(), |publisher| drop(publisher.add_image(&other).unwrap()));
    let world = folder.world("", "").await;
    for reference in [folder.image(), format!("{NAME}@sha256:{digest}")] {
        assert_eq!(judge(&verifier, &world, &reference, now()).await, "proof");
    }
    let entries: Vec<_> = verifier.verdicts.remembered.known.iter().map(|(_, entry)| entry).collect();
    let proofs: Vec<_> = entries.iter().map(|entry| entry.outcome.as_ref().unwrap()).collect();
    assert_eq!(proofs.len(), 2);
    assert_ne!(proofs[0].subject(), proofs[1].subject());
    assert_eq!(proofs[0].steps().as_ptr(), proofs[1].steps().as_ptr());
    for (entry, proof) in entries.iter().zip(proofs) {
        assert_eq!(entry.basis.visited().as_ptr(), proof.visited().as_ptr());
    }
}

#[tokio::test]
async fn the_future_of_a_verdict_is_small_for_a_pod_may_wait_for_a_hundred() {
    let (folder, verifier) = (Folder::new(), Verifier::default());
    let (world, image) = (folder.world("", "").await, folder.image());
    let question = question(&image);
    let deadline = Instant::now() + Duration::from_secs(60);
    let size = size_of_val(&verifier.verify(&world, &question, now(), deadline));
    assert!(size <= 8 << 10, "{size} bytes");
}

#[tokio::test]
async fn a_revocation_ends_a_verdict_in_memory() {
    let (folder, world, verifier) = remembered().await;
    folder.publish(now(), |publisher| drop(publisher.revoke("targets", folder.image, "CVE-2030-1").unwrap()));
    refresh(&world, now()).await;
    assert_eq!(judge(&verifier, &world, &folder.image(), now()).await, "tuf/revoked");
}

#[tokio::test]
async fn a_change_of_the_role_that_lists_the_image_ends_a_verdict_in_memory() {
    let (folder, world, verifier) = remembered().await;
    folder.publish(now(), |publisher| publisher.remove_target("images", &folder.image()).unwrap());
    refresh(&world, now()).await;
    assert_eq!(judge(&verifier, &world, &folder.image(), now()).await, "image/unknown");
}

#[tokio::test]
async fn a_new_root_ends_a_verdict_in_memory() {
    let (folder, world, verifier) = remembered().await;
    folder.publish(now(), |publisher| publisher.renew("root").unwrap());
    refresh(&world, now()).await;
    assert_eq!(judge(&verifier, &world, &folder.image(), now()).await, "tuf/missing");
}

#[tokio::test]
async fn a_verdict_in_memory_ends_with_the_timestamp_though_nothing_else_has_changed() {
    let (folder, world, verifier) = remembered().await;
    let day = now() + HOUR * 24;
    assert_eq!(judge(&verifier, &world, &folder.image(), day - SignedDuration::from_secs(1)).await, "proof");
    assert_eq!(judge(&verifier, &world, &folder.image(), day).await, "tuf/expired");
}

#[tokio::test]
async fn a_verdict_in_memory_ends_with_the_layout() {
    let (folder, world, verifier) = remembered().await;
    let end = now() + HOUR * 240;
    folder.publish(end, |_| {});
    refresh(&world, end).await;
    assert_eq!(judge(&verifier, &world, &folder.image(), end - SignedDuration::from_secs(1)).await, "proof");
    assert_eq!(judge(&verifier, &world, &folder.image(), end).await, "tuf/missing");
}

#[tokio::test]
async fn a_verdict_by_one_rule_is_none_by_another() {
    let (folder, world, verifier) = remembered().await;
    let strict = folder.world("", ", role: targets/other").await;
    // The same roles are loaded there, so that only the rule tells the two verdicts apart.
    let stranger = format!("{NAME}@sha256:{}", Sha256::of(b"stranger"));
    assert_eq!(judge(&verifier, &strict, &stranger, now()).await, "image/unknown");
    assert_eq!(judge(&verifier, &strict, &folder.image(), now()).await, "image/wrong-role");
    assert_eq!(judge(&verifier, &world, &folder.image(), now()).await, "proof");
}

/// One judgement for each namespace, and the next in a minute.
fn frugal() -> Verifier {
    let one = NonZeroU32::MIN;
    Verifier::new(Budget { burst: one, per_minute: one })
}

#[tokio::test]
async fn a_namespace_over_its_budget_has_nothing_more_judged_until_it_is_given_back() {
    let (folder, verifier) = (Folder::new(), frugal());
    let world = folder.world("", "").await;
    let stranger = format!("{NAME}@sha256:{}", Sha256::of(b"stranger"));
    assert_eq!(judge(&verifier, &world, &stranger, now()).await, "image/unknown");
    let verdict = verify_by(&verifier, &world, &folder.image(), now(), Instant::now() + Duration::from_secs(60)).await;
    let refusal = verdict.refusal().unwrap();
    assert_eq!(refusal.cause, Cause::OverBudget { namespace: Some("prod".to_owned()) });
    assert_eq!((refusal.code(), refusal.class()), ("admission/over-budget", Class::Unavailable));
    // What is in memory costs nothing, neither does another namespace.
    assert_eq!(judge(&verifier, &world, &stranger, now()).await, "image/unknown");
    let image = folder.image();
    let elsewhere = Question { namespace: "other", ..question(&image) };
    let verdict = verifier.verify(&world, &elsewhere, now(), Instant::now() + Duration::from_secs(60)).await;
    assert_eq!(verdict.label(), "proof");
    // Nor is one spent where an outage would be let through.
    let other = format!("{NAME}@sha256:{}", Sha256::of(b"other"));
    assert_eq!(judge(&verifier, &world, &other, now()).await, "admission/over-budget");
    let unbudgeted = Question { budgeted: false, ..question(&other) };
    let verdict = verifier.verify(&world, &unbudgeted, now(), Instant::now() + Duration::from_secs(60)).await;
    assert_eq!(verdict.label(), "image/unknown");
    // And what another namespace has had judged is in memory for all.
    assert_eq!(judge(&verifier, &world, &image, now()).await, "proof");
}

#[tokio::test]
async fn whoever_joins_a_judgement_under_way_pays_nothing() {
    let (folder, verifier, gate) = (Folder::new(), frugal(), Arc::new(Semaphore::new(0)));
    let targets = gated(folder.path().join("targets"), gate.clone()).await;
    let urls = format!("metadataUrl: \"file://{}/metadata\", targetsUrl: \"{targets}\"", folder.path().display());
    let world = folder.world_at(&urls, "", None).await;
    refresh(&world, now()).await;
    let image = folder.image();
    let open = async { gate.add_permits(100) };
    let wait = || judge(&verifier, &world, &image, now());
    assert_eq!(futures::join!(wait(), wait(), wait(), open), ("proof", "proof", "proof", ()));
}

#[tokio::test]
async fn images_that_nobody_lists_do_not_push_out_verdicts() {
    let (_folder, world, verifier) = remembered().await;
    let before = &verifier.verdicts.remembered.known;
    let stranger = format!("{NAME}@sha256:{}", Sha256::of(b"stranger"));
    assert_eq!(judge(&verifier, &world, &stranger, now()).await, "image/unknown");
    assert_eq!(before.len(), 1);
    let unknown = &verifier.verdicts.remembered.unknown;
    assert_eq!(unknown.len(), 1);
    assert_eq!(verifier.remembered(), 2);
}

#[tokio::test]
async fn that_a_role_has_expired_is_not_remembered_beyond_its_renewal() {
    let (folder, verifier) = (Folder::new(), Verifier::default());
    let world = folder.world("", "").await;
    let stranger = format!("{NAME}@sha256:{}", Sha256::of(b"stranger"));
    assert_eq!(judge(&verifier, &world, &stranger, now()).await, "image/unknown");
    // The role `images` holds for two weeks.
    let later = now() + HOUR * (24 * 14);
    folder.publish(later, |_| {});
    refresh(&world, later).await;
    assert_eq!(judge(&verifier, &world, &stranger, later).await, "tuf/expired");
    folder.publish(later, |publisher| publisher.renew("images").unwrap());
    refresh(&world, later).await;
    assert_eq!(judge(&verifier, &world, &stranger, later).await, "image/unknown");
}

/// Serves the files of a folder, each when it gets a permit.
async fn gated(folder: PathBuf, gate: Arc<Semaphore>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (folder, gate) = (folder.clone(), gate.clone());
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let path = head.split(' ').nth(1).unwrap().trim_start_matches('/');
                gate.acquire().await.unwrap().forget();
                let (status, bytes) = fs::read(folder.join(path)).map_or((404, Vec::new()), |bytes| (200, bytes));
                let length = bytes.len();
                let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
                // Whoever asked may have stopped waiting.
                let _ = stream.write_all(&[head.as_bytes(), &bytes].concat()).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn a_review_that_cannot_wait_is_told_so_and_what_it_began_is_found_by_a_later_one() {
    let (folder, verifier) = (Folder::new(), Verifier::default());
    let (roles, files) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let metadata = gated(folder.path().join("metadata"), roles.clone()).await;
    let targets = gated(folder.path().join("targets"), files.clone()).await;
    let urls = format!("metadataUrl: \"{metadata}\", targetsUrl: \"{targets}\"");
    let world = folder.world_at(&urls, "", None).await;
    let at_once = async || verify_by(&verifier, &world, &folder.image(), now(), Instant::now()).await;
    // Before there is a trusted set, and before there is a verdict.
    for prepared in [false, true] {
        if prepared {
            roles.add_permits(100);
            refresh(&world, now()).await;
        }
        let verdict = at_once().await;
        assert_eq!(verdict.label(), "admission/fetching");
        assert_eq!(verdict.refusal().map(|refusal| refusal.class()), Some(Class::Unavailable));
    }
    files.add_permits(100);
    assert_eq!(judge(&verifier, &world, &folder.image(), now()).await, "proof");
    // A verdict in memory needs no time.
    assert_eq!(at_once().await.label(), "proof");
}

#[tokio::test]
async fn a_judgement_that_began_before_a_revocation_is_not_the_answer_to_a_review_after_it() {
    let (folder, verifier, gate) = (Folder::new(), Verifier::default(), Arc::new(Semaphore::new(0)));
    let targets = gated(folder.path().join("targets"), gate.clone()).await;
    let urls = format!("metadataUrl: \"file://{}/metadata\", targetsUrl: \"{targets}\"", folder.path().display());
    let world = folder.world_at(&urls, "", None).await;
    refresh(&world, now()).await;
    // It waits for a file from now on.
    let verdict = verify_by(&verifier, &world, &folder.image(), now(), Instant::now()).await;
    assert_eq!(verdict.label(), "admission/fetching");
    folder.publish(now(), |publisher| drop(publisher.revoke("targets", folder.image, "CVE-2030-1").unwrap()));
    refresh(&world, now()).await;
    // A later review waits for the same judgement before that can go on.
    let image = folder.image();
    let open = async { gate.add_permits(100) };
    let (code, ()) = futures::join!(judge(&verifier, &world, &image, now()), open);
    assert_eq!(code, "tuf/revoked");
}

#[tokio::test]
async fn a_tag_that_is_implied_is_attested_like_one_that_is_written() {
    let (folder, verifier) = (Folder::new(), Verifier::default());
    let signed = folder.world("", "").await;
    assert_eq!(judge(&verifier, &signed, NAME, now()).await, "proof");
    let attested = folder.world("", ", tags: attested").await;
    for reference in [NAME.to_owned(), format!("{NAME}:latest"), format!("{NAME}:latest@sha256:{}", folder.image)] {
        assert_eq!(judge(&verifier, &attested, &reference, now()).await, "evidence/tag-not-attested", "{reference}");
    }
    // By digest nothing is said about a tag.
    assert_eq!(judge(&verifier, &attested, &folder.image(), now()).await, "proof");
}

#[tokio::test]
async fn what_is_not_there_may_just_have_been_published() {
    let folder = Folder::new();
    folder.publish(now(), |publisher| publisher.remove_target("images", &folder.image()).unwrap());
    let (url, state) = (format!("url: \"file://{}\"", folder.path().display()), folder.temp.path().join("state"));
    refresh(&folder.world_at(&url, "", Some(&state)).await, now()).await;
    // A process that has begun from what is on the disk, and has not asked the repository since.
    let world = folder.world_at(&url, "", Some(&state)).await;
    for (_, repository) in world.repositories() {
        repository.load_cache(now()).await.unwrap();
    }
    folder.publish(now(), |publisher| drop(publisher.add_image(&new_image()).unwrap()));
    assert_eq!(judge(&Verifier::default(), &world, &folder.image(), now()).await, "proof");
}

#[tokio::test]
async fn the_floors_and_spans_of_the_policy_hold_for_its_repository() {
    let folder = Folder::new();
    for (words, code) in [
        (", minimum: {root: 2}", "tuf/minimum"),
        (", minimum: {timestamp: 2}", "tuf/minimum"),
        (", minimum: {snapshot: 2}", "tuf/minimum"),
        (", minimum: {targets: 2}", "tuf/minimum"),
        (", minimum: {targets/images: 2}", "tuf/minimum"),
        (", maxValidity: 1d", "tuf/max-validity"),
        (", maxValidity: 7d, minimum: {root: 1, timestamp: 1, snapshot: 1, targets: 1, targets/images: 1}", "proof"),
    ] {
        let world = folder.world(words, "").await;
        assert_eq!(judge(&Verifier::default(), &world, &folder.image(), now()).await, code, "{words}");
    }
}

#[tokio::test]
async fn an_expiry_says_why_there_is_nothing_fresher() {
    let (folder, verifier) = (Folder::new(), Verifier::default());
    let world = folder.world("", "").await;
    refresh(&world, now()).await;
    fs::remove_dir_all(folder.path().join("metadata")).unwrap();
    let day = now() + HOUR * 24;
    for (_, repository) in world.repositories() {
        assert_eq!(repository.refresh(day).await.unwrap_err().code(), "tuf/missing");
    }
    let verdict = verify_by(&verifier, &world, &folder.image(), day, Instant::now() + Duration::from_secs(60)).await;
    assert_eq!(verdict.label(), "tuf/expired");
    let text = verdict.refusal().unwrap().cause.to_string();
    assert!(text.ends_with("the last refresh failed: timestamp is not in the repository"), "{text}");
}
