//! Delegated roles as files: what they are verified against, how long they are held, where targets are fetched.

use serde_json::json;

use crate::tuf::{
    Delegated, Error, Lookup, Role, TargetPath, Trusted, What,
    testing::{Client, Repo, chain, found, is_absent, key_object, keyid, target},
};

fn one_role() -> Repo {
    let mut repo = Repo::new();
    repo.delegate("targets", "team", 10, &["team/*"]);
    repo.add_target("team", "team/x", b"x");
    repo.publish_all();
    repo
}

fn refusal(repo: &Repo) -> Error {
    let mut client = Client::new(repo);
    let trusted = client.refresh(repo).unwrap();
    let error = client.lookup(repo, &trusted, "team/x").unwrap_err();
    assert!(client.roles.is_empty(), "what was refused is not held");
    error
}

fn team() -> Role {
    Role::Targets(chain("targets/team"))
}

#[test]
fn a_delegated_role_signed_by_another_key_is_refused() {
    let mut repo = one_role();
    repo.signers.insert("team".to_owned(), vec![4]);
    repo.publish_all();
    assert!(matches!(refusal(&repo), Error::Threshold { role, authority, .. }
        if role == team() && authority == Role::Targets(chain("targets"))));
}

#[test]
fn an_expired_delegated_role_is_refused() {
    let mut repo = one_role();
    repo.role("team")["expires"] = json!("2029-01-01T00:00:00Z");
    repo.publish_all();
    assert!(matches!(refusal(&repo), Error::Expired { role, .. } if role == team()));
}

#[test]
fn a_delegated_role_of_another_version_than_listed_is_refused() {
    let mut repo = one_role();
    let older = repo.files["1.team.json"].clone();
    repo.publish_all();
    repo.files.insert("2.team.json".to_owned(), older);
    assert_eq!(refusal(&repo), Error::VersionMismatch { role: team(), expected: 2, actual: 1 });
}

#[test]
fn a_delegated_role_with_another_hash_or_length_than_listed_is_refused() {
    let mut repo = one_role();
    repo.role("snapshot")["meta"]["team.json"]["hashes"] = json!({"sha256": "0".repeat(64)});
    repo.publish(&["snapshot", "timestamp"]);
    assert!(matches!(refusal(&repo), Error::HashMismatch { what: What::Role(role), .. } if role == team()));
    repo.role("snapshot")["meta"]["team.json"] = json!({"version": 1, "length": 100_000});
    repo.publish(&["snapshot", "timestamp"]);
    assert!(matches!(refusal(&repo), Error::LengthMismatch { expected: 100_000, .. }));
}

#[test]
fn a_delegated_file_of_another_type_is_refused() {
    let mut repo = one_role();
    repo.role("team")["_type"] = json!("snapshot");
    repo.publish_all();
    assert!(matches!(refusal(&repo), Error::WrongType { .. }));
}

/// `a` and `b` both delegate to `release`, under different keys; only the one of `a` has signed it.
fn diamond() -> Repo {
    let mut repo = Repo::new();
    repo.delegate("targets", "a", 10, &["team-a/*"]);
    repo.delegate("targets", "b", 11, &["team-b/*"]);
    repo.delegate("a", "release", 12, &["team-a/*"]);
    repo.delegate("b", "release", 13, &["team-b/*"]);
    repo.add_target("release", "team-a/x", b"good");
    repo.add_target("release", "team-b/x", b"bad");
    repo.publish_all();
    repo
}

#[test]
fn a_role_that_was_verified_on_one_way_is_not_thereby_verified_on_another() {
    let repo = diamond();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    assert_eq!(found(client.lookup(&repo, &trusted, "team-a/x")).chain, chain("targets/a/release"));
    let error = client.lookup(&repo, &trusted, "team-b/x").unwrap_err();
    assert!(matches!(error, Error::Threshold { authority, .. } if authority == Role::Targets(chain("targets/b"))));
}

#[test]
fn a_role_on_two_ways_that_both_authorise_it_is_found_on_both() {
    let mut repo = diamond();
    repo.signers.insert("release".to_owned(), vec![12, 13]);
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    assert_eq!(found(client.lookup(&repo, &trusted, "team-a/x")).chain, chain("targets/a/release"));
    assert_eq!(found(client.lookup(&repo, &trusted, "team-b/x")).chain, chain("targets/b/release"));
}

#[test]
fn a_role_that_has_not_changed_is_held_over_refreshes() {
    let mut repo = one_role();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    found(client.lookup(&repo, &trusted, "team/x"));
    repo.publish(&["snapshot", "timestamp"]);
    let trusted = client.refresh_after(&trusted, &repo).unwrap();
    client.asked();
    found(client.lookup(&repo, &trusted, "team/x"));
    assert!(client.asked().is_empty());
}

#[test]
fn a_role_whose_delegator_or_version_has_changed_is_read_again() {
    for changed in ["targets", "team"] {
        let mut repo = one_role();
        let mut client = Client::new(&repo);
        let trusted = client.refresh(&repo).unwrap();
        found(client.lookup(&repo, &trusted, "team/x"));
        repo.publish(&[changed, "snapshot", "timestamp"]);
        let trusted = client.refresh_after(&trusted, &repo).unwrap();
        client.asked();
        found(client.lookup(&repo, &trusted, "team/x"));
        assert_eq!(client.asked().len(), 1, "{changed}");
    }
}

#[test]
fn a_key_that_the_delegator_takes_away_counts_no_longer() {
    let mut repo = one_role();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    found(client.lookup(&repo, &trusted, "team/x"));
    let delegations = &mut repo.role("targets")["delegations"];
    delegations["keys"][keyid(14)] = key_object(14);
    delegations["roles"][0]["keyids"] = json!([keyid(14)]);
    repo.publish(&["targets", "snapshot", "timestamp"]);
    let trusted = client.refresh_after(&trusted, &repo).unwrap();
    assert!(matches!(client.lookup(&repo, &trusted, "team/x"), Err(Error::Threshold { .. })));
}

#[test]
fn roles_that_count_no_longer_are_let_go() {
    let mut repo = diamond();
    repo.signers.insert("release".to_owned(), vec![12, 13]);
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    found(client.lookup(&repo, &trusted, "team-a/x"));
    found(client.lookup(&repo, &trusted, "team-b/x"));
    assert_eq!(client.roles.len(), 4);
    client.roles.retain_current(&trusted);
    assert_eq!(client.roles.len(), 4);
    repo.publish(&["b", "snapshot", "timestamp"]);
    let trusted = client.refresh(&repo).unwrap();
    client.roles.retain_current(&trusted);
    assert_eq!(client.roles.len(), 2, "a and its release");
}

#[test]
fn hash_bins_lead_to_the_one_role_of_a_path() {
    let mut repo = Repo::new();
    for bin in 0..16_u8 {
        let role = json!({"name": format!("bin-{bin:x}"), "keyids": [keyid(70)], "threshold": 1, "terminating": false,
            "path_hash_prefixes": [format!("{bin:x}")]});
        repo.delegate_as("targets", role, &[70]);
    }
    // sha256("abc") = ba7816bf…
    repo.add_target("bin-b", "abc", b"1");
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    client.asked();
    assert_eq!(found(client.lookup(&repo, &trusted, "abc")).chain, chain("targets/bin-b"));
    assert_eq!(client.asked(), ["1.bin-b.json"]);
}

/// A team that delegates to nine bins, of which three may be held whole.
fn few_of_many_bins() -> (Repo, Client) {
    let mut repo = Repo::new();
    repo.delegate("targets", "team", 10, &["*"]);
    for bin in 0..9_u8 {
        repo.delegate("team", &format!("bin-{bin}"), 70, &[&format!("{bin}-*")]);
        repo.add_target(&format!("bin-{bin}"), &format!("{bin}-file"), &[bin]);
    }
    repo.publish_all();
    let mut client = Client::new(&repo);
    client.settings.limits.leaf_roles = 3;
    (repo, client)
}

#[test]
fn of_many_leaves_only_so_many_are_held_whole_and_any_is_read_again_where_a_lookup_comes_to_it() {
    let (repo, mut client) = few_of_many_bins();
    let trusted = client.refresh(&repo).unwrap();
    client.asked();
    let mut most = 0;
    for round in 0..3 {
        for bin in 0..9 {
            let path = format!("{bin}-file");
            assert_eq!(found(client.lookup(&repo, &trusted, &path)).chain, chain(&format!("targets/team/bin-{bin}")));
            // What was read last is at hand.
            client.asked();
            found(client.lookup(&repo, &trusted, &path));
            assert!(client.asked().is_empty(), "round {round}");
            let whole = (0..9).filter(|bin| {
                let lookup = trusted.lookup(&client.roles, &TargetPath::from(format!("{bin}-file")), client.now);
                matches!(lookup, Ok(Lookup::Found(_)))
            });
            most = most.max(whole.count());
        }
    }
    assert_eq!((most, client.roles.len()), (3, 10), "team and its bins");
}

#[test]
fn what_stands_is_known_by_a_number_until_a_role_is_replaced_or_the_set() {
    let (mut repo, mut client) = few_of_many_bins();
    let trusted = client.refresh(&repo).unwrap();
    let before = client.roles.standing();
    for bin in [0, 1, 2, 3, 4, 0] {
        found(client.lookup(&repo, &trusted, &format!("{bin}-file")));
    }
    assert_eq!(client.roles.standing(), before, "read again, and the same");
    // Other content of the same version, which a snapshot without hashes cannot tell.
    repo.add_target("bin-1", "1-other", b"other");
    repo.publish_as_is("bin-1");
    found(client.lookup(&repo, &trusted, "1-file"));
    let replaced = client.roles.standing();
    assert_ne!(replaced, before);
    let (one, other) = (client.roles.clone().under_another(), client.roles.clone().under_another());
    assert!(one.standing() != replaced && one.standing() != other.standing());
}

#[test]
fn what_was_read_from_a_leaf_that_is_no_longer_whole_stands_until_that_leaf_changes() {
    let (mut repo, mut client) = few_of_many_bins();
    let trusted = client.refresh(&repo).unwrap();
    let mut states = Vec::new();
    for bin in 0..9 {
        let resolved = found(client.lookup(&repo, &trusted, &format!("{bin}-file")));
        let visit = resolved.visited.last().unwrap().clone();
        states.push((visit.chain.clone(), visit.version, visit.sha256));
    }
    let stands = |trusted: &Trusted, roles: &Delegated| -> Vec<bool> {
        states
            .iter()
            .map(|(chain, version, sha256)| trusted.state_of(roles, chain) == Some((*version, *sha256)))
            .collect()
    };
    assert_eq!(stands(&trusted, &client.roles), [true; 9]);

    repo.add_target("bin-4", "4-other", b"other");
    repo.publish(&["bin-4", "snapshot", "timestamp"]);
    let trusted = client.refresh_after(&trusted, &repo).unwrap();
    client.roles.retain_current(&trusted);
    let mut expected = [true; 9];
    expected[4] = false;
    assert_eq!(stands(&trusted, &client.roles), expected);

    // One whose delegator has changed counts no longer either.
    repo.publish_all();
    let trusted = client.refresh_after(&trusted, &repo).unwrap();
    assert_eq!(stands(&trusted, &client.roles), [false; 9]);
}

#[test]
fn succinct_bins_lead_to_the_one_role_of_a_path_and_are_not_terminating() {
    let mut repo = Repo::new();
    repo.delegate("targets", "bins", 71, &["*"]);
    repo.delegate("targets", "after", 72, &["*"]);
    repo.role("bins")["delegations"] = json!({"keys": {keyid(73): key_object(73)}, "succinct_roles": {
        "keyids": [keyid(73)], "threshold": 1, "bit_length": 4, "name_prefix": "bin"}});
    for bin in 0..16_u8 {
        repo.add_role(&format!("bin-{bin:x}"), &[73]);
    }
    repo.add_target("bin-b", "abc", b"1");
    repo.add_target("after", "abc", b"2");
    repo.add_target("after", "b", b"3");
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    assert_eq!(found(client.lookup(&repo, &trusted, "abc")).chain, chain("targets/bins/bin-b"));
    assert_eq!(found(client.lookup(&repo, &trusted, "b")).chain, chain("targets/after"));
    let signers = client.roles.signers(&trusted, &chain("targets/bins/bin-0")).unwrap();
    assert_eq!(signers.materials.len(), 1);
}

#[test]
fn the_keys_of_a_role_are_known_as_its_delegator_says() {
    let mut repo = one_role();
    repo.delegate("team", "app", 4, &["*"]);
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    let top = client.roles.signers(&trusted, &chain("targets")).unwrap();
    let team = client.roles.signers(&trusted, &chain("targets/team")).unwrap();
    assert!(top != team && !top.can_be_met_by(&team.materials));
    assert_eq!(client.roles.signers(&trusted, &chain("targets/team/app")), None, "team is not loaded");
    found(client.lookup(&repo, &trusted, "team/x"));
    let app = client.roles.signers(&trusted, &chain("targets/team/app")).unwrap();
    assert!(top.can_be_met_by(&app.materials), "the same key material under another role");
    assert_eq!(client.roles.signers(&trusted, &chain("targets/nobody")), None);
}

#[test]
fn a_target_is_fetched_by_its_hash_where_snapshots_are_consistent() {
    let mut repo = Repo::new();
    repo.add_target("targets", "host:5000/team/app@sha256:00", b"1");
    repo.add_target("targets", "a b?#%", b"2");
    repo.add_target("targets", "long", b"3");
    let mut sha512 = target(b"3");
    sha512["hashes"] = json!({"sha512": "ab".repeat(64)});
    repo.role("targets")["targets"]["long"] = sha512;
    repo.publish_all();
    let request = |repo: &Repo, path: &str| {
        let mut client = Client::new(repo);
        client.settings.limits.target_bytes = 100;
        let trusted = client.refresh(repo).unwrap();
        let Ok(Lookup::Found(resolved)) = trusted.lookup(&client.roles, &TargetPath::from(path), client.now) else {
            panic!("{path} is listed");
        };
        let hash = resolved.target.hashes.sha256().map(|hash| hash.to_string()).unwrap_or("ab".repeat(64));
        let request = trusted.target_request(&resolved.target);
        assert_eq!(request.max_bytes, 1);
        request.path.replace(&hash, "HASH")
    };
    assert_eq!(request(&repo, "host:5000/team/app@sha256:00"), "host:5000/team/HASH.app@sha256:00");
    assert_eq!(request(&repo, "a b?#%"), "HASH.a%20b%3F%23%25");
    assert_eq!(request(&repo, "long"), "HASH.long");
    repo.role("root")["consistent_snapshot"] = json!(false);
    repo.publish_as_is("root");
    repo.publish_all();
    assert_eq!(request(&repo, "host:5000/team/app@sha256:00"), "host:5000/team/app@sha256:00");
}

#[test]
fn a_role_may_not_speak_about_paths_that_were_not_delegated_to_it() {
    let mut repo = one_role();
    repo.add_target("team", "other/x", b"x");
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    assert!(is_absent(client.lookup(&repo, &trusted, "other/x")));
    assert!(is_absent(client.lookup_in(&repo, &trusted, "targets/team", "other/x")));
}
