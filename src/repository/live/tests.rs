//! What a resident client remembers of refreshes that failed. Whoever sits in the network decides which files arrive.

mod disk;

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use jiff::SignedDuration;

use super::*;
use crate::{
    evidence::{Need, Progress, View},
    publish::{Bins, Document, NewFile, NewRole, Plan, Publisher, Side, SigningKey, metadata::Scope},
    repository::transport::{Access, Locations},
    tuf::{Lookup, TargetPath},
};

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn client(url: &reqwest::Url, root: Vec<u8>, settings: Settings) -> Repository {
    let transport = Transport::open(&Locations::below(url.as_str()), &Access::default()).unwrap();
    Repository::new("acme".parse().unwrap(), root, settings, transport, None).unwrap()
}

/// A repository in a folder, and a client of it without a disk.
struct Folder {
    temp: tempfile::TempDir,
    root: Vec<u8>,
    client: Repository,
}

impl Folder {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let plan = Plan::default();
        let keys = plan.keys_from_seed("live").unwrap();
        let mut publisher = Publisher::init(temp.path(), keys, &plan, now()).unwrap();
        publisher.commit().unwrap();
        let root = fs::read(temp.path().join("metadata/1.root.json")).unwrap();
        let url = reqwest::Url::from_directory_path(temp.path()).unwrap();
        let client = client(&url, root.clone(), Settings::default());
        Self { temp, root, client }
    }

    fn publish(&self, change: impl FnOnce(&mut Publisher)) {
        let mut keys = Plan::default().keys_from_seed("live").unwrap();
        keys.trust(Document::parse(&"root".into(), self.root.clone()).unwrap());
        let mut publisher = Publisher::open(self.temp.path(), keys, now()).unwrap();
        change(&mut publisher);
        publisher.commit().unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.temp.path().join("metadata").join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap()
    }

    async fn refresh(&self) -> Result<u64, &'static str> {
        let refreshed = self.client.refresh(now()).await;
        refreshed.map(|generation| generation.trusted().timestamp().version).map_err(|error| error.code())
    }
}

#[tokio::test]
async fn a_timestamp_that_a_failed_refresh_has_seen_is_a_floor_for_the_next_one() {
    for begun in [false, true] {
        let folder = Folder::new();
        if begun {
            assert_eq!(folder.refresh().await, Ok(1));
        }
        let old = folder.read("timestamp.json");
        folder.publish(|_| {});
        let (new, snapshot) = (folder.read("timestamp.json"), folder.read("2.snapshot.json"));
        fs::remove_file(folder.file("2.snapshot.json")).unwrap();
        assert_eq!(folder.refresh().await, Err("tuf/missing"));
        fs::write(folder.file("timestamp.json"), &old).unwrap();
        assert_eq!(folder.refresh().await, Err("tuf/rollback"), "begun: {begun}");
        assert_eq!(folder.refresh().await, Err("tuf/rollback"), "and again");
        fs::write(folder.file("timestamp.json"), new).unwrap();
        fs::write(folder.file("2.snapshot.json"), snapshot).unwrap();
        assert_eq!(folder.refresh().await, Ok(2));
        assert!(folder.client.with_state(|state| state.seen.is_none()), "it is in the set now");
    }
}

#[tokio::test]
async fn a_root_that_a_failed_refresh_has_seen_is_not_unlearnt() {
    let folder = Folder::new();
    assert_eq!(folder.refresh().await, Ok(1));
    let old = folder.read("timestamp.json");
    // The timestamp's key was stolen, so the holders of the root replace it.
    let fresh = SigningKey::ed25519_from_seed([9; 32]);
    folder.publish(|publisher| publisher.rotate("timestamp", Side::Online, vec![fresh], 1).unwrap());
    let root = folder.read("2.root.json");
    fs::remove_file(folder.file("timestamp.json")).unwrap();
    assert_eq!(folder.refresh().await, Err("tuf/missing"));
    // The thief hides the new root, and hands out what the stolen key signed.
    fs::remove_file(folder.file("2.root.json")).unwrap();
    fs::write(folder.file("timestamp.json"), old).unwrap();
    assert_eq!(folder.refresh().await, Err("tuf/signature-threshold"));
    assert_eq!(folder.client.failure().map(|error| error.code()), Some("tuf/signature-threshold"));
    fs::write(folder.file("2.root.json"), root).unwrap();
    assert_eq!(folder.refresh().await, Err("tuf/signature-threshold"));
}

#[tokio::test]
async fn a_judgement_that_never_has_enough_is_given_up() {
    let folder = Folder::new();
    let generation = folder.client.refresh(now()).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let asked = std::cell::Cell::new(0);
    let judged = folder.client.look(None, &generation, now(), deadline, |_| {
        asked.set(asked.get() + 1);
        Progress::<()>::Needs(Vec::<Need>::new())
    });
    let error = judged.await.map(drop).unwrap_err();
    assert_eq!((error.code(), asked.get()), ("internal/failure", 64));
}

#[tokio::test]
async fn a_target_file_that_is_not_the_listed_one_is_handed_to_nobody() {
    let folder = Folder::new();
    let digest = crate::crypto::Sha256::of(b"image");
    folder.publish(|publisher| drop(publisher.revoke("targets", digest, "no").unwrap()));
    let generation = folder.client.refresh(now()).await.unwrap();
    let path = tuf::TargetPath::from(format!("revoked/sha256/{digest}"));
    let deadline = Instant::now() + Duration::from_secs(60);
    let tuf::Lookup::Found(found) = folder.client.lookup(&generation, &path, now(), deadline).await.unwrap() else {
        panic!("it is listed");
    };
    let fetch = async || folder.client.file(&generation, &found.target, deadline).await.map_err(|error| error.code());
    assert_eq!(fetch().await.as_deref(), Ok(&b"no\n"[..]));
    let sha256 = found.target.hashes.sha256().unwrap();
    let file = folder.temp.path().join(format!("targets/revoked/sha256/{sha256}.{digest}"));
    for (bytes, code) in [("on\n", "tuf/hash-mismatch"), ("n\n", "tuf/length-mismatch"), ("no!\n", "tuf/too-large")] {
        fs::write(&file, bytes).unwrap();
        assert_eq!(fetch().await, Err(code));
    }
}

/// A target that changes with each version of the repository; now and then somebody changes the file alone.
#[tokio::test]
async fn round_after_round_only_what_is_signed_is_handed_out() {
    let folder = Folder::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    let path = tuf::TargetPath::from("app");
    let mut before: Option<(Arc<Generation>, String)> = None;
    for round in 0..11_u8 {
        let text = format!("version {round}\n");
        let new = NewFile {
            path: "app".into(),
            bytes: text.clone().into(),
            role: Some("targets".into()),
            ..NewFile::default()
        };
        folder.publish(|publisher| drop(publisher.add_file(&new).unwrap()));
        let generation = folder.client.refresh(now()).await.unwrap();
        let file = async |generation: &Arc<Generation>| {
            let found = folder.client.lookup(generation, &path, now(), deadline).await.unwrap();
            let tuf::Lookup::Found(found) = found else { panic!("it is listed") };
            let file = folder.client.file(generation, &found.target, deadline).await;
            file.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).map_err(|error| error.code())
        };
        assert_eq!(file(&generation).await, Ok(text.clone()));
        // A review that began before has what was signed then.
        if let Some((older, text)) = &before {
            assert_eq!(file(older).await.as_ref(), Ok(text));
        }
        let served = folder.temp.path().join(format!("targets/{}.app", crate::crypto::Sha256::of(text.as_bytes())));
        fs::write(&served, format!("version {}\n", (round + 1) % 10)).unwrap();
        let wrong = if round < 10 { "tuf/hash-mismatch" } else { "tuf/length-mismatch" };
        assert_eq!(file(&generation).await, Err(wrong), "round {round}");
        fs::write(&served, &text).unwrap();
        before = Some((generation, text));
    }
}

#[tokio::test]
async fn a_refresh_ends_when_its_time_is_over() {
    let folder = Folder::new();
    // A server that takes connections and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let transport = Transport::open(&Locations::below(&url), &Access::default()).unwrap();
    let mut settings = Settings::default();
    settings.limits.refresh_time = Duration::from_millis(50);
    let client = Repository::new("acme".parse().unwrap(), folder.root.clone(), settings, transport, None).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(15), client.refresh(now())).await.expect("it goes on");
    assert_eq!(ended.map(drop).unwrap_err().code(), "tuf/unreachable");
}

/// As old archives have them: target files under their SHA-512 alone.
#[tokio::test]
async fn a_target_file_is_found_under_its_other_hash_and_verified_by_all() {
    let folder = Folder::new();
    let mut keys = Plan::default().keys_from_seed("live").unwrap();
    keys.trust(Document::parse(&"root".into(), folder.root.clone()).unwrap());
    let (mut editor, keys) = Publisher::open(folder.temp.path(), keys, now()).unwrap().into_parts();
    let hash = |algorithm, bytes: &[u8]| hex::encode(aws_lc_rs::digest::digest(algorithm, bytes));
    let (sha256, sha512) = (&aws_lc_rs::digest::SHA256, &aws_lc_rs::digest::SHA512);
    let entry = serde_json::json!({
        "length": 4, "hashes": {"sha256": hash(sha256, b"app\n"), "sha512": hash(sha512, b"app\n")},
    });
    editor.list_target("targets", "dir/app", entry).unwrap();
    editor.set_version("targets", 2).unwrap();
    editor.sign("targets", &keys.made_for("targets")).unwrap();
    let expires = now() + SignedDuration::from_hours(24);
    editor.draft_snapshot(2, expires).unwrap();
    editor.sign("snapshot", &keys.made_for("snapshot")).unwrap();
    editor.draft_timestamp(2, expires).unwrap();
    editor.sign("timestamp", &keys.made_for("timestamp")).unwrap();
    editor.write().unwrap();
    let generation = folder.client.refresh(now()).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let found = folder.client.lookup(&generation, &"dir/app".into(), now(), deadline).await.unwrap();
    let tuf::Lookup::Found(found) = found else { panic!("it is listed") };
    let fetch = async || folder.client.file(&generation, &found.target, deadline).await.map_err(|error| error.code());
    assert_eq!(fetch().await, Err("tuf/missing"));
    let dir = folder.temp.path().join("targets/dir");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join(format!("{}.app", hash(sha512, b"app\n")));
    fs::write(&file, "app\n").unwrap();
    assert_eq!(fetch().await.as_deref(), Ok(&b"app\n"[..]));
    fs::write(&file, "pap\n").unwrap();
    assert_eq!(fetch().await, Err("tuf/hash-mismatch"));
    // What stands under the first hash is not passed over because it is wrong.
    fs::write(&file, "app\n").unwrap();
    fs::write(dir.join(format!("{}.app", hash(sha256, b"app\n"))), "pap\n").unwrap();
    assert_eq!(fetch().await, Err("tuf/hash-mismatch"));
}

#[tokio::test]
async fn roles_that_count_no_longer_are_let_go_with_the_set() {
    let folder = Folder::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    let loaded = async || {
        let generation = folder.client.refresh(now()).await.unwrap();
        let before = generation.roles().len();
        folder.client.lookup(&generation, &"x".into(), now(), deadline).await.unwrap();
        (before, generation.roles().len())
    };
    assert_eq!(loaded().await, (0, 1));
    folder.publish(|_| {});
    assert_eq!(loaded().await, (1, 1), "it has not changed");
    folder.publish(|publisher| publisher.renew("images").unwrap());
    assert_eq!(loaded().await, (0, 1));
}

/// Bins, and a client that holds one of them whole.
async fn of_bins() -> (Folder, Repository, Arc<Generation>) {
    let folder = Folder::new();
    folder.publish(|publisher| {
        let bin = NewRole {
            name: "bin".to_owned(),
            parent: "images".to_owned(),
            scope: Scope::everything(),
            terminating: true,
            threshold: 1,
            validity: SignedDuration::from_hours(24),
        };
        let key = SigningKey::ed25519_from_seed([1; 32]);
        publisher.delegate_bins(&bin, Bins::HashPrefixes(16), Side::Online, vec![key]).unwrap();
    });
    let settings = Settings { limits: Limits { leaf_roles: 1, ..Limits::default() }, ..Settings::default() };
    let url = reqwest::Url::from_directory_path(folder.temp.path()).unwrap();
    let client = client(&url, folder.root.clone(), settings);
    let generation = client.refresh(now()).await.unwrap();
    (folder, client, generation)
}

/// What a search for these paths lacks.
fn lacking(view: &View<'_>, paths: &[TargetPath]) -> Vec<Need> {
    let sought = paths.iter().map(|path| view.trusted.lookup(view.roles, path, now()).unwrap());
    sought
        .filter_map(|sought| if let Lookup::Needs(request) = sought { Some(Need::Role(request)) } else { None })
        .collect()
}

#[tokio::test]
async fn what_was_read_for_a_judgement_stays_with_it_though_others_push_it_out() {
    let (_folder, client, generation) = of_bins().await;
    let paths: Vec<TargetPath> = (0..100).map(|number| format!("file-{number}").into()).collect();
    let rounds = std::cell::RefCell::new(Vec::new());
    let deadline = Instant::now() + Duration::from_secs(60);
    let looked = client.look(None, &generation, now(), deadline, |view| {
        let needs = lacking(&view, &paths);
        rounds.borrow_mut().push(needs.len());
        Progress::<()>::Needs(needs)
    });
    assert_eq!(looked.await.unwrap_err().code(), "internal/failure", "it never ends");
    // The role that delegates to the bins, then the bins.
    let rounds = rounds.into_inner();
    assert!(rounds.starts_with(&[100, 100, 0]) && rounds.iter().sum::<usize>() == 200, "{rounds:?}");
    assert_eq!(generation.roles().len(), 17, "each was read once, and is known to all");
    let whole = |path| matches!(generation.trusted.lookup(&generation.roles(), path, now()), Ok(Lookup::Absent { .. }));
    assert!(!paths.iter().all(whole), "one of them is held whole");
}

/// A web server over a repository, which answers to nobody who asks for bins before so many others have asked, too. It
/// counts who asks for them.
fn together(folder: &Folder, others: usize) -> (reqwest::Url, Arc<AtomicUsize>) {
    let (root, asked) = (folder.temp.path().to_owned(), Arc::new(AtomicUsize::new(0)));
    let (counted, barrier) = (asked.clone(), Arc::new(tokio::sync::Barrier::new(others + 1)));
    let answer = move |request: axum::extract::Request| {
        let (path, counted, barrier) = (request.uri().path().to_owned(), counted.clone(), barrier.clone());
        let file = fs::read(root.join(path.trim_start_matches('/')));
        async move {
            if path.contains(".bin-") {
                counted.fetch_add(1, Ordering::SeqCst);
                barrier.wait().await;
            }
            file.map_err(|_| axum::http::StatusCode::NOT_FOUND)
        }
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let app = axum::Router::new().fallback(answer).into_make_service();
    tokio::spawn(axum_server::from_tcp(listener).unwrap().serve(app));
    (url, asked)
}

#[tokio::test]
async fn roles_are_read_side_by_side_and_each_once_for_all_who_want_it() {
    let (folder, ..) = of_bins().await;
    let (url, asked) = together(&folder, 2);
    let client = client(&url, folder.root.clone(), Settings::default());
    let generation = client.refresh(now()).await.unwrap();
    // Whose bins are of three locks.
    let paths = ["a", "c", "d"].map(TargetPath::from);
    let deadline = Instant::now() + Duration::from_secs(20);
    let all = (0..5).flat_map(|_| &paths).map(|path| client.lookup(&generation, path, now(), deadline));
    for found in futures::future::join_all(all).await {
        assert!(matches!(found, Ok(Lookup::Absent { .. })), "{found:?}");
    }
    assert_eq!((asked.load(Ordering::SeqCst), generation.roles().len()), (3, 4));
}

#[tokio::test]
async fn a_set_is_used_until_it_expires_though_refreshes_fail() {
    let folder = Folder::new();
    assert_eq!(folder.refresh().await, Ok(1));
    fs::remove_dir_all(folder.temp.path().join("metadata")).unwrap();
    let day = now() + SignedDuration::from_hours(24);
    assert_eq!(folder.client.refresh(day).await.map(drop).unwrap_err().code(), "tuf/missing");
    let generation = folder.client.generation().unwrap();
    assert!(generation.trusted().check_unexpired(day - SignedDuration::from_secs(1)).is_ok());
    assert_eq!(generation.trusted().check_unexpired(day).unwrap_err().code(), "tuf/expired");
}

/// Whether something is left to go on with after this refresh, a day after the repository was made: when its timestamp
/// has expired.
async fn goes_on(client: &Repository) -> (&'static str, Option<u64>) {
    let day = now() + SignedDuration::from_hours(24);
    let code = client.refresh(day).await.map(drop).map_or_else(|error| error.code(), |()| "fresh");
    (code, client.lapsed().map(|lapsed| lapsed.generation.trusted().timestamp().version))
}

#[tokio::test]
async fn what_was_read_goes_on_while_the_repository_has_nothing_newer_or_cannot_be_reached() {
    let folder = Folder::new();
    assert_eq!(folder.refresh().await, Ok(1));
    assert!(folder.client.lapsed().is_none());
    assert_eq!(goes_on(&folder.client).await, ("tuf/expired", Some(1)));
    let timestamp = folder.read("timestamp.json");
    fs::remove_file(folder.file("timestamp.json")).unwrap();
    assert_eq!(goes_on(&folder.client).await, ("tuf/missing", Some(1)));
    fs::write(folder.file("timestamp.json"), timestamp).unwrap();
    folder.publish(|_| {});
    assert_eq!(folder.refresh().await, Ok(2));
    assert!(folder.client.lapsed().is_none(), "there is something fresh");
}

#[tokio::test]
async fn nothing_goes_on_after_an_answer_that_is_refused() {
    let folder = Folder::new();
    assert_eq!(folder.refresh().await, Ok(1));
    let timestamp = folder.read("timestamp.json");
    fs::write(folder.file("timestamp.json"), "{}").unwrap();
    assert_eq!(goes_on(&folder.client).await, ("tuf/malformed", None));
    fs::write(folder.file("timestamp.json"), timestamp).unwrap();
    fs::write(folder.file("2.root.json"), folder.read("1.root.json")).unwrap();
    assert_eq!(goes_on(&folder.client).await, ("tuf/version-mismatch", None));
}

#[tokio::test]
async fn nothing_goes_on_where_something_newer_is_signed_that_cannot_be_read() {
    // A timestamp that names a snapshot that is not there.
    let folder = Folder::new();
    assert_eq!(folder.refresh().await, Ok(1));
    folder.publish(|_| {});
    fs::remove_file(folder.file("2.snapshot.json")).unwrap();
    assert_eq!(folder.refresh().await, Err("tuf/missing"));
    assert!(folder.client.lapsed().is_none());
    // A timestamp that is newer, and has expired as well.
    let folder = Folder::new();
    assert_eq!(folder.refresh().await, Ok(1));
    folder.publish(|_| {});
    assert_eq!(goes_on(&folder.client).await, ("tuf/expired", None));
    // A root that takes the timestamp's key away.
    let folder = Folder::new();
    assert_eq!(folder.refresh().await, Ok(1));
    let fresh = SigningKey::ed25519_from_seed([9; 32]);
    folder.publish(|publisher| publisher.rotate("timestamp", Side::Online, vec![fresh], 1).unwrap());
    fs::remove_file(folder.file("timestamp.json")).unwrap();
    assert_eq!(folder.refresh().await, Err("tuf/missing"));
    assert!(folder.client.lapsed().is_none());
}
