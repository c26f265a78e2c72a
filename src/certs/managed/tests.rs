//! Several replicas over one Secret, with a clock that is set.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use rustls::{
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{ServerName, UnixTime},
};

use super::*;
use crate::{
    certs::{provider, roots},
    cluster::serving::{Data, Stored},
};

const NAME: &str = "pratique.pratique-system.svc";
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn start() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// A Secret and one `caBundle` behind compare-and-swap.
#[derive(Debug, Clone, Default)]
struct Cluster(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    data: Data,
    version: u64,
    bundle: String,
    writes: usize,
    /// Somebody else writes between our reading and our writing, as often as this.
    races: usize,
    forbidden: bool,
}

impl Place for Cluster {
    async fn read(&self) -> Result<Stored, serving::Error> {
        let mut state = self.0.lock().unwrap();
        let stored = Stored { data: state.data.clone(), version: state.version.to_string() };
        if state.races > 0 {
            state.races -= 1;
            state.version += 1;
        }
        Ok(stored)
    }

    async fn replace(&self, data: Data, version: &str) -> Result<bool, serving::Error> {
        let mut state = self.0.lock().unwrap();
        if state.version.to_string() != version {
            return Ok(false);
        }
        state.data = data;
        state.version += 1;
        state.writes += 1;
        Ok(true)
    }

    async fn believe(&self, bundle: &str) -> Result<(), serving::Error> {
        let mut state = self.0.lock().unwrap();
        if state.forbidden {
            return Err(serving::Error { what: "the webhook".to_owned(), why: "forbidden".to_owned() });
        }
        state.bundle = bundle.to_owned();
        Ok(())
    }
}

impl Cluster {
    fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }

    fn authorities(&self) -> usize {
        self.0.lock().unwrap().bundle.matches("BEGIN CERTIFICATE").count()
    }

    fn replica(&self) -> Managed<Self> {
        self.replica_of(&[NAME])
    }

    fn replica_of(&self, names: &[&str]) -> Managed<Self> {
        let names = names.iter().map(ToString::to_string).collect();
        Managed::new(self.clone(), names, Arc::default(), Arc::default())
    }

    /// Two replicas that serve what the first one made.
    async fn served_by_two() -> (Self, Managed<Self>, Managed<Self>) {
        let cluster = Self::default();
        let (mut first, mut second) = (cluster.replica(), cluster.replica());
        first.look(start()).await.unwrap();
        second.look(start()).await.unwrap();
        (cluster, first, second)
    }

    /// Whether the API server would take what the replica serves.
    fn believes(&self, replica: &Managed<Self>, name: &'static str, now: Timestamp) -> bool {
        let roots = roots(self.0.lock().unwrap().bundle.as_bytes()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build().unwrap();
        let served = replica.resolver.current().unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().try_into().unwrap()));
        let name = ServerName::try_from(name).unwrap();
        verifier.verify_server_cert(&served.key.cert[0], &[], &name, &[], at).is_ok()
    }
}

#[tokio::test]
async fn the_first_replica_makes_a_certificate_and_the_others_take_it() {
    let (cluster, first, second) = Cluster::served_by_two().await;
    assert_eq!(cluster.writes(), 1);
    for replica in [&first, &second] {
        assert!(cluster.believes(replica, NAME, start()));
        assert_eq!(replica.resolver.current().unwrap().expires(), start() + DAY * 90);
    }
    assert!(!cluster.believes(&first, "other.svc", start()));
}

#[tokio::test]
async fn what_another_replica_wrote_in_between_is_not_overwritten() {
    let cluster = Cluster::default();
    cluster.0.lock().unwrap().races = 2;
    let mut replica = cluster.replica();
    replica.look(start()).await.unwrap();
    assert_eq!(cluster.writes(), 1);
    let busy = Cluster::default();
    busy.0.lock().unwrap().races = 100;
    assert_eq!(busy.replica().look(start()).await, Err(Failure::Contended));
    assert_eq!(busy.writes(), 0);
}

#[tokio::test]
async fn a_certificate_is_renewed_when_two_thirds_are_over_and_under_the_same_authority() {
    let cluster = Cluster::default();
    let mut replica = cluster.replica();
    replica.look(start()).await.unwrap();
    let bundle = cluster.0.lock().unwrap().bundle.clone();
    replica.look(start() + DAY * 60 - SignedDuration::from_secs(1)).await.unwrap();
    assert_eq!(cluster.writes(), 1);
    let later = start() + DAY * 60;
    replica.look(later).await.unwrap();
    assert_eq!(cluster.writes(), 2);
    assert_eq!(replica.resolver.current().unwrap().expires(), later + DAY * 90);
    assert_eq!(cluster.0.lock().unwrap().bundle, bundle);
    assert!(cluster.believes(&replica, NAME, later));
}

#[tokio::test]
async fn another_name_of_the_service_gets_another_certificate_at_once() {
    let cluster = Cluster::default();
    cluster.replica().look(start()).await.unwrap();
    let mut renamed = cluster.replica_of(&["new.svc", NAME]);
    renamed.look(start()).await.unwrap();
    assert_eq!(cluster.writes(), 2);
    assert!(cluster.believes(&renamed, "new.svc", start()) && cluster.believes(&renamed, NAME, start()));
}

#[tokio::test]
async fn the_api_server_believes_every_replica_all_through_a_change_of_the_authority() {
    // The second looks only now and then, as one that hangs.
    let (cluster, mut first, mut second) = Cluster::served_by_two().await;
    let mut changes = Vec::new();
    let mut now = start() + DAY * (3_650 - 365) - SignedDuration::from_mins(10);
    first.look(now).await.unwrap();
    second.look(now).await.unwrap();
    for tick in 0..(60 * 26) {
        now += SignedDuration::from_mins(1);
        first.look(now).await.unwrap();
        assert!(cluster.believes(&first, NAME, now) && cluster.believes(&second, NAME, now), "after {tick} min");
        if tick % 90 == 89 {
            second.look(now).await.unwrap();
            assert!(cluster.believes(&first, NAME, now) && cluster.believes(&second, NAME, now), "after {tick} min");
        }
        let authorities = cluster.authorities();
        if changes.last().is_none_or(|(_, before)| *before != authorities) {
            changes.push((tick, authorities));
        }
    }
    assert_eq!(changes.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 2, 1], "{changes:?}");
    let (announced, retired) = (changes[1].0, changes[2].0);
    assert!(retired - announced >= 60 * 24, "{changes:?}");
    assert_eq!(first.resolver.current().unwrap().key.cert, second.resolver.current().unwrap().key.cert);
}

#[tokio::test]
async fn the_next_authority_issues_only_after_it_has_been_believed_for_a_while() {
    let cluster = Cluster::default();
    let mut replica = cluster.replica();
    let due = start() + DAY * (3_650 - 365);
    replica.look(start()).await.unwrap();
    replica.look(due).await.unwrap();
    let before = replica.served.clone();
    assert_eq!(cluster.authorities(), 2);
    // It cannot be announced any more: it never issues.
    cluster.0.lock().unwrap().forbidden = true;
    let mut blocked = cluster.replica();
    assert!(matches!(blocked.look(due + DAY).await, Err(Failure::Place(_))));
    assert!(blocked.resolver.current().is_some(), "what there is is served all the same");
    assert!(cluster.0.lock().unwrap().data.contains_key("next-ca.key"));
    cluster.0.lock().unwrap().forbidden = false;
    replica.look(due + SignedDuration::from_secs(119)).await.unwrap();
    assert_eq!(replica.served, before);
    replica.look(due + SignedDuration::from_secs(121)).await.unwrap();
    assert_ne!(replica.served, before);
    assert!(!cluster.0.lock().unwrap().data.contains_key("next-ca.key"));
}

#[tokio::test]
async fn a_damaged_secret_is_made_anew_and_no_replica_is_disbelieved_meanwhile() {
    let damages: [fn(&mut Data); 5] = [
        BTreeMap::clear,
        |data| drop(data.insert("tls.key".to_owned(), b"half a key".to_vec())),
        |data| drop(data.insert("ca.crt".to_owned(), b"".to_vec())),
        |data| drop(data.remove("ca.key")),
        |data| {
            let other = data["tls.key"].clone();
            data.insert("ca.key".to_owned(), other);
        },
    ];
    for damage in damages {
        let (cluster, mut first, mut second) = Cluster::served_by_two().await;
        damage(&mut cluster.0.lock().unwrap().data);
        let now = start() + DAY;
        first.look(now).await.unwrap();
        assert_eq!(cluster.writes(), 2);
        assert_eq!(first.served, second.served, "an authority is served when all API servers have read it");
        assert!(cluster.believes(&first, NAME, now) && cluster.believes(&second, NAME, now));
        let later = now + SignedDuration::from_mins(3);
        first.look(later).await.unwrap();
        second.look(later).await.unwrap();
        assert!(cluster.believes(&first, NAME, later) && cluster.believes(&second, NAME, later));
        assert_eq!(first.served, second.served);
    }
}

#[tokio::test]
async fn an_authority_that_expired_while_nobody_looked_is_replaced() {
    let cluster = Cluster::default();
    let mut replica = cluster.replica();
    replica.look(start()).await.unwrap();
    let now = start() + DAY * 4_000;
    replica.look(now).await.unwrap();
    assert!(cluster.believes(&replica, NAME, now));
    let text = replica.metrics.render();
    let expires = (now + DAY * 3_650).as_second();
    assert!(text.contains(&format!("pratique_certificate_authority_expiry_timestamp_seconds {expires}\n")), "{text}");
}
