//! A refresh and a lookup in which nothing goes wrong: what is asked for, and what is stored.

use crate::tuf::{
    RoleChain,
    testing::{Client, Repo, found, is_absent},
};

#[test]
fn the_first_refresh_asks_for_four_files_and_stores_three() {
    let repo = Repo::new();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    assert_eq!(client.asked(), ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]);
    assert_eq!(client.stored.roots, Vec::<Vec<u8>>::new());
    assert_eq!(client.stored.timestamp.as_ref(), repo.files.get("timestamp.json"));
    assert_eq!(client.stored.snapshot.as_ref(), repo.files.get("1.snapshot.json"));
    assert_eq!(client.stored.targets.as_ref(), repo.files.get("1.targets.json"));
    assert_eq!(trusted.targets().version, 1);
}

#[test]
fn an_unchanged_repository_costs_two_requests() {
    let repo = Repo::new();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    client.asked();
    client.refresh(&repo).unwrap();
    assert_eq!(client.asked(), ["2.root.json", "timestamp.json"]);
    client.refresh_after(&trusted, &repo).unwrap();
    assert_eq!(client.asked(), ["2.root.json", "timestamp.json"]);
}

#[test]
fn delegated_roles_are_fetched_when_a_path_leads_to_them_and_once() {
    let mut repo = Repo::new();
    repo.add_target("targets", "top", b"0");
    repo.delegate("targets", "team", 10, &["team/*", "team/*/*"]);
    repo.delegate("team", "app", 11, &["team/app/*"]);
    repo.add_target("app", "team/app/x", b"1");
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    client.asked();
    assert_eq!(found(client.lookup(&repo, &trusted, "top")).chain, RoleChain::top());
    assert!(client.asked().is_empty());
    let resolved = found(client.lookup(&repo, &trusted, "team/app/x"));
    assert_eq!(resolved.chain.to_string(), "targets/team/app");
    assert_eq!(resolved.visited.len(), 3);
    assert_eq!(client.asked(), ["1.team.json", "1.app.json"]);
    assert!(is_absent(client.lookup(&repo, &trusted, "team/app/y")));
    assert!(is_absent(client.lookup(&repo, &trusted, "other")));
    assert!(client.asked().is_empty());
}
