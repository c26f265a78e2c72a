//! With a policy that is a number, from real files and from an API server on a real socket.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;
use crate::cluster::testing::{ApiServer, now};

type Numbers = InForce<u32, std::num::ParseIntError>;

fn keeper(place: Place, events: Option<Events>) -> (Keeper<u32, std::num::ParseIntError>, Numbers, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let (keeper, in_force) = Keeper::new(place, |text| text.trim().parse(), events, metrics.clone());
    (keeper, in_force, metrics)
}

fn file(path: impl Into<PathBuf>) -> Place {
    Place::File(path.into())
}

fn in_config_map() -> Place {
    Place::ConfigMap {
        namespace: "pratique".to_owned(),
        name: "pratique-policy".to_owned(),
        key: "policy.yaml".to_owned(),
    }
}

fn map(key: &str, text: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some("pratique-policy".to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(key.to_owned(), text.to_owned())])),
        ..ConfigMap::default()
    }
}

/// Waits for a state of the policy, and not for ever: its number, and whether the newest text is wrong.
async fn until(in_force: &mut Numbers, number: u32, faulty: bool) {
    let holds = in_force.wait_for(|state| {
        state.as_ref().is_some_and(|state| *state.policy == number && state.fault.is_some() == faulty)
    });
    let held = tokio::time::timeout(Duration::from_secs(20), holds).await;
    let _ = held.unwrap_or_else(|_| panic!("never in force: {number}, faulty: {faulty}")).unwrap();
}

#[test]
fn a_bad_edit_keeps_the_last_good_policy_and_is_reported_once() {
    let (mut keeper, in_force, metrics) = keeper(file("p"), None);
    let text = |text: &str| Ok(text.to_owned());
    keeper.offer(text("1"), now()).unwrap();
    let later = now() + SignedDuration::from_mins(1);
    assert!(matches!(keeper.offer(text("one"), later), Err(Fault::Refused(_))));
    assert_eq!(keeper.offer(text("one"), later), Ok(()));
    let state = in_force.borrow().clone().unwrap();
    assert_eq!((*state.policy, state.since), (1, now()));
    assert!(matches!(state.fault, Some(Fault::Refused(_))));
    let rendered = metrics.render();
    assert!(rendered.contains("pratique_policy_stale 1\n"), "{rendered}");
    assert!(rendered.contains("pratique_policy_loads_total{outcome=\"kept\"} 1\n"), "{rendered}");
    // A text that goes away is no reason to go without a policy either.
    assert!(matches!(keeper.offer(Err("gone".to_owned()), later), Err(Fault::NoText { .. })));
    assert_eq!(*in_force.borrow().clone().unwrap().policy, 1);
    keeper.offer(text("2"), later).unwrap();
    let state = in_force.borrow().clone().unwrap();
    assert_eq!((*state.policy, state.since, &state.fault), (2, later, &None));
    assert!(metrics.render().contains("pratique_policy_stale 0\n"));
}

#[test]
fn the_first_policy_must_be_a_good_one() {
    let (mut keeper, in_force, metrics) = keeper(file("p"), None);
    assert!(keeper.offer(Ok("none".to_owned()), now()).is_err());
    assert!(in_force.borrow().is_none());
    assert!(metrics.render().contains("pratique_policy_loads_total{outcome=\"missing\"} 1\n"));
    keeper.offer(Ok("3".to_owned()), now()).unwrap();
    assert_eq!(*in_force.borrow().clone().unwrap().policy, 3);
}

#[tokio::test]
async fn follows_a_file_through_edits_removal_and_return() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.yaml");
    std::fs::write(&path, "1").unwrap();
    let (keeper, mut in_force, _) = keeper(file(&path), None);
    let following = tokio::spawn(keeper.follow_file(Duration::from_millis(5), now));
    until(&mut in_force, 1, false).await;
    std::fs::write(&path, "nonsense").unwrap();
    until(&mut in_force, 1, true).await;
    std::fs::write(&path, "2").unwrap();
    until(&mut in_force, 2, false).await;
    std::fs::remove_file(&path).unwrap();
    until(&mut in_force, 2, true).await;
    std::fs::write(&path, "3").unwrap();
    until(&mut in_force, 3, false).await;
    following.abort();
}

#[test]
fn reads_no_more_of_a_file_than_a_config_map_would_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.yaml");
    std::fs::write(&path, "0".repeat(1 << 20)).unwrap();
    assert_eq!(read(&path).unwrap().len(), 1 << 20);
    std::fs::write(&path, "0".repeat((1 << 20) + 1)).unwrap();
    assert_eq!(read(&path), Err("it has more than 1048576 bytes".to_owned()));
    std::fs::write(&path, [0xff]).unwrap();
    assert!(read(&path).unwrap_err().contains("UTF-8"));
}

#[tokio::test]
async fn follows_a_config_map_through_edits_removal_and_a_broken_watch() {
    let server = ApiServer::start().await;
    let (events, writer) = Events::new(server.client(), "replica-1", Arc::new(Metrics::default()));
    let (keeper, mut in_force, _) = keeper(in_config_map(), Some(events));
    server.put(&map("policy.yaml", "1"));
    let following = tokio::spawn(keeper.follow_config_map(server.client(), now));
    until(&mut in_force, 1, false).await;
    server.put(&map("policy.yaml", "2"));
    until(&mut in_force, 2, false).await;
    server.put(&map("policy.yaml", "two"));
    until(&mut in_force, 2, true).await;
    server.put(&map("policy.yaml", "3"));
    until(&mut in_force, 3, false).await;
    server.put(&map("other.yaml", "4"));
    until(&mut in_force, 3, true).await;
    server.put(&map("policy.yaml", "4"));
    until(&mut in_force, 4, false).await;
    server.delete(&map("policy.yaml", "4"));
    until(&mut in_force, 4, true).await;
    server.break_watches();
    server.put(&map("policy.yaml", "5"));
    until(&mut in_force, 5, false).await;
    following.abort();
    assert!(following.await.unwrap_err().is_cancelled());
    writer.run(now).await;
    let posted = server.posted();
    let notes: Vec<&str> = posted.iter().map(|(_, event)| event["note"].as_str().unwrap()).collect();
    let stays = "the policy of 2026-06-01T00:00:00Z stays in force: ";
    let place = "ConfigMap pratique/pratique-policy, key policy.yaml: ";
    assert_eq!(
        notes,
        [
            format!("{stays}invalid digit found in string"),
            format!("{stays}{place}there is no such key"),
            format!("{stays}{place}there is no such ConfigMap"),
        ]
    );
    assert_eq!(posted[0].1["regarding"]["kind"], "ConfigMap");
}

#[tokio::test]
async fn a_config_map_that_is_not_there_is_waited_for() {
    let server = ApiServer::start().await;
    let (keeper, mut in_force, metrics) = keeper(in_config_map(), None);
    let following = tokio::spawn(keeper.follow_config_map(server.client(), now));
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    while !metrics.render().contains("pratique_policy_loads_total{outcome=\"missing\"} 1\n") {
        pause.tick().await;
    }
    assert!(in_force.borrow().is_none());
    server.put(&map("policy.yaml", "1"));
    until(&mut in_force, 1, false).await;
    following.abort();
}
