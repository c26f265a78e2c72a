//! Each rule of the shared memory where exactly it refuses, and what a replica does about what others wrote.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::StreamExt as _;
use tokio::sync::watch;

use super::*;
use crate::{
    publish::{Document, Plan, Publisher},
    repository::{
        store::Store,
        transport::{Access, Locations, Transport},
    },
    tuf::Settings,
};

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn epoch(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap()
}

/// What all replicas of a test remember.
#[derive(Debug, Clone)]
struct Board(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    kept: Mutex<Kept>,
    changes: watch::Sender<u64>,
    /// Whether nobody answers.
    away: AtomicBool,
    alerts: Mutex<Vec<Alert>>,
}

impl Board {
    fn new(kept: Kept) -> Self {
        let (kept, alerts) = (Mutex::new(kept), Mutex::default());
        Self(Arc::new(Inside { kept, changes: watch::Sender::new(0), away: AtomicBool::new(false), alerts }))
    }

    fn kept(&self) -> Kept {
        self.0.kept.lock().unwrap().clone()
    }

    fn set(&self, kept: Kept) {
        *self.0.kept.lock().unwrap() = kept;
        self.0.changes.send_modify(|number| *number += 1);
    }

    fn alerts(&self) -> Vec<&'static str> {
        self.0.alerts.lock().unwrap().iter().map(|alert| alert.code).collect()
    }

    fn is_away(&self, away: bool) {
        self.0.away.store(away, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Memory for Board {
    async fn update(&self, join: &Join<'_>) -> Result<(), MemoryError> {
        if self.0.away.load(Ordering::SeqCst) {
            return Err(MemoryError::Unavailable { place: "the board".into(), why: "away".into() });
        }
        let kept = self.kept();
        if let Some(remembered) = join(&kept) {
            self.set(Kept { remembered: Ok(remembered), ..kept });
        }
        Ok(())
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        let changes = self.0.changes.subscribe();
        futures::stream::unfold(changes, |mut changes| async {
            changes.changed().await.ok()?;
            Some(((), changes))
        })
        .boxed()
    }

    fn tell(&self, alert: &Alert) {
        self.0.alerts.lock().unwrap().push(alert.clone());
    }
}

/// A repository in a folder, and replicas of a client of it.
struct World {
    temp: tempfile::TempDir,
    root: Vec<u8>,
    board: Board,
}

impl World {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let plan = Plan::default();
        let keys = plan.keys_from_seed("memory").unwrap();
        let mut publisher = Publisher::init(&temp.path().join("repository"), keys, &plan, now()).unwrap();
        publisher.commit().unwrap();
        let root = fs::read(temp.path().join("repository/metadata/1.root.json")).unwrap();
        let remembered = Ok(Remembered::new(epoch(1), &root));
        Self { temp, root, board: Board::new(Kept { remembered, born: Ok(()) }) }
    }

    fn publish(&self) {
        let mut keys = Plan::default().keys_from_seed("memory").unwrap();
        keys.trust(Document::parse(&"root".into(), self.root.clone()).unwrap());
        let mut publisher = Publisher::open(&self.temp.path().join("repository"), keys, now()).unwrap();
        publisher.commit().unwrap();
    }

    /// The timestamp as it is served now.
    fn timestamp(&self) -> Vec<u8> {
        fs::read(self.timestamp_file()).unwrap()
    }

    fn timestamp_file(&self) -> std::path::PathBuf {
        self.temp.path().join("repository/metadata/timestamp.json")
    }

    fn client(&self, root: &[u8], store: Option<Store>) -> Repository {
        let url = reqwest::Url::from_directory_path(self.temp.path().join("repository")).unwrap();
        let transport = Transport::open(&Locations::below(url.as_str()), &Access::default()).unwrap();
        Repository::new("acme".parse().unwrap(), root.to_vec(), Settings::default(), transport, store).unwrap()
    }

    fn replica(&self) -> Repository {
        self.client(&self.root, None).with_memory(Arc::new(self.board.clone()), epoch(1))
    }

    async fn recalled(&self) -> Repository {
        let replica = self.replica();
        replica.recall(|fault| panic!("{fault}")).await;
        replica
    }

    fn remembered(&self) -> Remembered {
        self.board.kept().remembered.unwrap()
    }
}

async fn refresh(replica: &Repository) -> Result<u64, &'static str> {
    let refreshed = replica.refresh(now()).await;
    refreshed.map(|generation| generation.trusted().timestamp().version).map_err(|error| error.code())
}

/// What comes of one look at what is there.
async fn heed(replica: &Repository) -> Option<u64> {
    replica.heed(replica.memory.as_ref().unwrap(), now()).await;
    replica.generation().map(|generation| generation.trusted().timestamp().version)
}

#[tokio::test]
async fn nothing_is_judged_before_what_is_remembered_was_read_and_outages_after_that_do_no_harm() {
    let world = World::new();
    let replica = world.replica();
    assert_eq!(refresh(&replica).await, Err("trust/unread"));
    assert_eq!(replica.load_cache(now()).await.unwrap_err().code(), "trust/unread");
    replica.recall(|fault| panic!("{fault}")).await;
    replica.recalled().await;
    world.board.is_away(true);
    assert_eq!(refresh(&replica).await, Ok(1));
    assert_eq!(world.remembered().timestamp, None);
    world.board.is_away(false);
    assert_eq!(refresh(&replica).await, Ok(1));
    assert_eq!(world.remembered().timestamp, Some(world.timestamp()), "what could not be said then is said now");
}

#[tokio::test]
async fn a_replica_waits_for_a_first_state() {
    let world = World::new();
    let kept = world.board.kept();
    world.board.set(Kept { born: Err("ConfigMap x.born".into()), ..kept.clone() });
    let replica = world.replica();
    let said = Mutex::new(Vec::new());
    let told = |fault: &tuf::Error| {
        said.lock().unwrap().push(fault.code());
        world.board.set(kept.clone());
    };
    replica.recall(told).await;
    assert_eq!(*said.lock().unwrap(), ["trust/not-born"]);
    assert_eq!(refresh(&replica).await, Ok(1));
}

#[tokio::test]
async fn what_one_has_seen_binds_the_others_at_once() {
    let world = World::new();
    let (one, other) = (world.recalled().await, world.recalled().await);
    assert_eq!((refresh(&one).await, refresh(&other).await), (Ok(1), Ok(1)));
    let old = world.timestamp();
    world.publish();
    assert_eq!(refresh(&one).await, Ok(2));
    fs::write(world.timestamp_file(), &old).unwrap();
    assert_eq!(heed(&other).await, None, "it answers no more by what it has");
    assert_eq!(refresh(&other).await, Err("tuf/rollback"));
    let fresh = world.recalled().await;
    assert_eq!(refresh(&fresh).await, Err("tuf/rollback"));
    assert_eq!(world.board.alerts(), [] as [&str; 0]);
}

/// A4 lets images go on while nothing fresh can be had, and never by less than any replica has seen.
#[tokio::test]
async fn what_lapsed_is_let_go_once_another_has_seen_more() {
    let world = World::new();
    let (one, other) = (world.recalled().await, world.recalled().await);
    assert_eq!((refresh(&one).await, refresh(&other).await), (Ok(1), Ok(1)));
    let later = now() + jiff::SignedDuration::from_hours(24 * 30);
    assert_eq!(other.refresh(later).await.unwrap_err().code(), "tuf/expired");
    assert!(other.lapsed().is_some());
    world.publish();
    assert_eq!(refresh(&one).await, Ok(2));
    fs::remove_file(world.timestamp_file()).unwrap();
    other.exchange(other.memory.as_ref().unwrap(), other.known().await).await;
    assert!(other.lapsed().is_none() && other.generation().is_none(), "at once");
    assert_eq!(heed(&other).await, None);
    assert!(other.lapsed().is_none(), "without the newer files there is nothing to go on with");
}

#[tokio::test]
async fn a_refresh_learns_from_what_others_wrote_meanwhile() {
    let world = World::new();
    let (one, other) = (world.recalled().await, world.recalled().await);
    let old = world.timestamp();
    world.publish();
    assert_eq!(refresh(&one).await, Ok(2));
    fs::write(world.timestamp_file(), &old).unwrap();
    // Nothing told it yet.
    assert_eq!(refresh(&other).await, Err("tuf/rollback"));
}

#[tokio::test]
async fn what_is_taken_away_is_put_back_by_whoever_knows_it() {
    let world = World::new();
    let replica = world.recalled().await;
    assert_eq!(refresh(&replica).await, Ok(1));
    let honest = world.remembered();
    let mut foreign = Plan::default().keys_from_seed("foreign").unwrap();
    let folder = world.temp.path().join("foreign");
    let keys = std::mem::take(&mut foreign);
    Publisher::init(&folder, keys, &Plan::default(), now()).unwrap().commit().unwrap();
    let root = fs::read(folder.join("metadata/1.root.json")).unwrap();
    for remembered in [
        Err("ConfigMap x is empty".to_owned()),
        Ok(Remembered::new(epoch(1), &root)),
        Ok(Remembered { roots: vec![b"junk".to_vec()], ..honest.clone() }),
        Ok(Remembered { timestamp: Some(b"junk".to_vec()), ..honest.clone() }),
    ] {
        world.board.set(Kept { remembered: remembered.clone(), born: Ok(()) });
        assert_eq!(heed(&replica).await, Some(1), "it goes on");
        assert_eq!(world.remembered(), honest, "{remembered:?}");
    }
    assert_eq!(world.board.alerts(), ["trust/tampered"; 4]);
    let lower = Remembered { timestamp: None, ..honest.clone() };
    world.board.set(Kept { remembered: Ok(lower), born: Ok(()) });
    assert_eq!((heed(&replica).await, world.remembered()), (Some(1), honest));
}

#[tokio::test]
async fn who_knows_nothing_judges_nothing_by_what_is_lost() {
    let world = World::new();
    let honest = world.remembered();
    for remembered in
        [Err("ConfigMap x is empty".to_owned()), Ok(Remembered { roots: vec![b"junk".to_vec()], ..honest.clone() })]
    {
        world.board.set(Kept { remembered: remembered.clone(), born: Ok(()) });
        let replica = world.recalled().await;
        assert_eq!(refresh(&replica).await, Err("trust/lost"));
        assert_eq!(world.board.kept().remembered, remembered, "and writes nothing");
        world.board.set(Kept { remembered: Ok(honest.clone()), born: Ok(()) });
        heed(&replica).await;
        assert_eq!(refresh(&replica).await, Ok(1));
    }
}

#[tokio::test]
async fn an_epoch_that_went_back_is_refused_by_who_starts_and_ignored_by_who_lives() {
    let world = World::new();
    let replica = world.recalled().await;
    assert_eq!(refresh(&replica).await, Ok(1));
    let later = Remembered { epoch: epoch(2), ..world.remembered() };
    world.board.set(Kept { remembered: Ok(later.clone()), born: Ok(()) });
    assert_eq!(heed(&replica).await, Some(1));
    assert_eq!(world.remembered(), later);
    let fresh = world.recalled().await;
    assert_eq!(refresh(&fresh).await, Err("trust/epoch"));
    let counted = world.client(&world.root, None).with_memory(Arc::new(world.board.clone()), epoch(3));
    counted.recall(|fault| panic!("{fault}")).await;
    assert_eq!(world.board.alerts(), ["trust/reset"]);
    assert_eq!(world.remembered(), Remembered::new(epoch(3), &world.root));
    let alerts: Vec<&str> = counted.take_alerts().iter().map(|alert| alert.code).collect();
    assert_eq!((alerts, counted.take_alerts()), (vec!["trust/reset"], vec![]));
}

#[tokio::test]
async fn another_root_on_disk_is_refused_where_nothing_is_shared() {
    let world = World::new();
    let store = async |name: &str| Some(Store::open(world.temp.path().join(name)).await.unwrap());
    let client = world.client(&world.root, store("state").await);
    assert_eq!(refresh(&client).await, Ok(1));
    let folder = world.temp.path().join("foreign");
    let keys = Plan::default().keys_from_seed("foreign").unwrap();
    Publisher::init(&folder, keys, &Plan::default(), now()).unwrap().commit().unwrap();
    let foreign = fs::read(folder.join("metadata/1.root.json")).unwrap();
    let replaced = world.client(&foreign, store("state").await);
    assert_eq!(refresh(&replaced).await, Err("tuf/root-replaced"));
    assert_eq!(replaced.load_cache(now()).await.unwrap_err().code(), "tuf/root-replaced");
    let kept = fs::read(world.temp.path().join("state/roots/1.root.json")).unwrap();
    assert_eq!(kept, world.root, "nothing is written over it");
    let elsewhere = world.client(&foreign, store("state.2").await);
    assert_eq!(refresh(&elsewhere).await, Err("tuf/signature-threshold"), "another folder begins anew");
    // What is no root at all is not believed, and not in the way.
    fs::write(world.temp.path().join("state/roots/1.root.json"), "junk").unwrap();
    let client = world.client(&world.root, store("state").await);
    assert_eq!(refresh(&client).await, Ok(1));
}
