//! Files past their date, dates that are too far off, and versions below the floor that the settings give.

use jiff::SignedDuration;
use serde_json::json;

use crate::tuf::{
    Error, Role, TargetPath,
    testing::{Client, Repo, at, chain, now},
};

#[test]
fn an_expired_file_is_refused_and_not_stored() {
    for (name, role) in
        [("timestamp", Role::Timestamp), ("snapshot", Role::Snapshot), ("targets", Role::Targets(chain("targets")))]
    {
        let mut repo = Repo::new();
        let mut client = Client::new(&repo);
        client.refresh(&repo).unwrap();
        let before = client.stored.clone();
        repo.role(name)["expires"] = json!("2030-01-01T00:00:00Z");
        repo.publish_all();
        let expected = Error::Expired { role, version: 2, expires: now(), now: now() };
        assert_eq!(client.refresh(&repo).map(drop), Err(expected));
        assert_eq!(client.stored.targets, before.targets);
        assert_eq!(client.stored.snapshot == before.snapshot, name != "targets");
        assert_eq!(client.stored.timestamp == before.timestamp, name == "timestamp");
    }
}

#[test]
fn an_expired_stored_file_is_fetched_again() {
    let mut repo = Repo::new();
    for name in ["timestamp", "snapshot", "targets"] {
        repo.role(name)["expires"] = json!("2030-01-08T00:00:00Z");
    }
    repo.publish_all();
    let mut client = Client::new(&repo);
    client.refresh(&repo).unwrap();
    for name in ["timestamp", "snapshot", "targets"] {
        repo.role(name)["expires"] = json!("2030-01-22T00:00:00Z");
    }
    repo.publish_all();
    client.now = at("2030-01-18T00:00:00Z");
    assert_eq!(client.refresh(&repo).unwrap().timestamp().version, 3);
}

#[test]
fn a_stored_file_that_has_expired_is_not_used_because_its_version_is_still_the_listed_one() {
    for (name, role) in [("snapshot", Role::Snapshot), ("targets", Role::Targets(chain("targets")))] {
        let mut repo = Repo::new();
        repo.role(name)["expires"] = json!("2030-01-08T00:00:00Z");
        repo.publish_all();
        let mut client = Client::new(&repo);
        let trusted = client.refresh(&repo).unwrap();
        client.now = at("2030-01-08T00:00:00Z");
        repo.publish(if name == "targets" { &["snapshot", "timestamp"] } else { &["timestamp"] });
        let expected = Error::Expired { role, version: 2, expires: client.now, now: client.now };
        assert_eq!(client.clone().refresh_after(&trusted, &repo).map(drop), Err(expected.clone()));
        assert_eq!(client.refresh(&repo).map(drop), Err(expected));
    }
}

#[test]
fn a_frozen_timestamp_is_refused_though_it_is_the_stored_one() {
    let mut repo = Repo::new();
    repo.role("timestamp")["expires"] = json!("2030-01-08T00:00:00Z");
    repo.publish(&["timestamp"]);
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    client.now = at("2030-01-08T00:00:00Z");
    let expired = |error| matches!(error, Err(Error::Expired { role: Role::Timestamp, version: 2, .. }));
    assert!(expired(client.refresh(&repo).map(drop)));
    assert!(expired(client.refresh_after(&trusted, &repo).map(drop)));
}

#[test]
fn a_lookup_looks_at_the_clock_again() {
    let date = "2030-01-02T00:00:00Z";
    for (name, role) in [
        ("root", Role::Root),
        ("timestamp", Role::Timestamp),
        ("snapshot", Role::Snapshot),
        ("targets", Role::Targets(chain("targets"))),
        ("team", Role::Targets(chain("targets/team"))),
    ] {
        let mut repo = Repo::new();
        repo.delegate("targets", "team", 10, &["*"]);
        repo.add_target("team", "x", b"x");
        repo.role(name)["expires"] = json!(date);
        repo.publish(&["root"]);
        repo.publish_all();
        let mut client = Client::new(&repo);
        let trusted = client.refresh(&repo).unwrap();
        client.lookup(&repo, &trusted, "x").unwrap();
        if name != "team" {
            assert_eq!(trusted.earliest_expiry(), (role.clone(), at(date)));
        }
        let lookup = |now| trusted.lookup(&client.roles, &TargetPath::from("x"), now);
        let lookup_in = |now| trusted.lookup_in(&client.roles, &chain("targets/team"), &TargetPath::from("x"), now);
        assert!(lookup(at("2030-01-01T23:59:59Z")).is_ok() && lookup_in(at("2030-01-01T23:59:59Z")).is_ok());
        for refused in [lookup(at(date)), lookup_in(at(date))] {
            assert!(matches!(refused, Err(Error::Expired { role: expired, .. }) if expired == role), "{name}");
        }
    }
}

#[test]
fn a_timestamp_or_snapshot_that_is_valid_too_long_is_refused() {
    for (name, role) in [("timestamp", Role::Timestamp), ("snapshot", Role::Snapshot)] {
        let mut repo = Repo::new();
        for online in ["timestamp", "snapshot"] {
            repo.role(online)["expires"] = json!("2030-01-31T00:00:00Z");
        }
        repo.publish_all();
        let mut client = Client::new(&repo);
        client.settings.max_validity = Some(SignedDuration::from_hours(30 * 24));
        client.refresh(&repo).unwrap();
        repo.role(name)["expires"] = json!("2030-01-31T00:00:01Z");
        repo.publish_all();
        let expires = at("2030-01-31T00:00:01Z");
        let latest = at("2030-01-31T00:00:00Z");
        let expected = Error::ValidTooLong { role, version: 3, expires, latest };
        assert_eq!(client.refresh(&repo).map(drop), Err(expected));
    }
}

#[test]
fn the_dates_of_offline_roles_may_be_far_off() {
    let mut repo = Repo::new();
    for (name, expires) in [("timestamp", "2030-01-02T00:00:00Z"), ("snapshot", "2030-01-02T00:00:00Z")] {
        repo.role(name)["expires"] = json!(expires);
    }
    repo.publish_all();
    let mut client = Client::new(&repo);
    client.settings.max_validity = Some(SignedDuration::from_hours(24));
    assert!(client.refresh(&repo).is_ok());
}

#[test]
fn a_version_below_the_minimum_is_refused_by_a_client_that_has_seen_nothing() {
    let mut repo = Repo::new();
    repo.delegate("targets", "team", 10, &["*"]);
    for name in ["root", "targets", "snapshot", "timestamp"] {
        repo.publish(&[name]);
    }
    repo.publish_as_is("team");
    repo.publish(&["snapshot", "timestamp"]);
    let refused = |role: Role, version| {
        let mut client = Client::new(&repo);
        client.pinned = repo.files["1.root.json"].clone();
        let minimum = version + 1;
        match &role {
            Role::Root => client.settings.minimum.root = minimum,
            Role::Timestamp => client.settings.minimum.timestamp = minimum,
            Role::Snapshot => client.settings.minimum.snapshot = minimum,
            Role::Targets(chain) => drop(client.settings.minimum.roles.insert(chain.clone(), minimum)),
        }
        let refreshed = client.refresh(&repo);
        let outcome = match &refreshed {
            Ok(trusted) => client.lookup(&repo, trusted, "x").map(drop),
            Err(error) => Err(error.clone()),
        };
        // Neither stored nor held.
        assert_eq!(refreshed.is_ok(), role == Role::Targets(chain("targets/team")), "{role}");
        assert!(client.stored.targets.is_none() || refreshed.is_ok());
        assert!(client.stored.snapshot.is_none() || matches!(role, Role::Targets(_)));
        assert!(client.stored.timestamp.is_none() || matches!(role, Role::Targets(_)));
        assert!(client.roles.is_empty());
        assert_eq!(outcome, Err(Error::BelowMinimum { role, version, minimum }));
    };
    refused(Role::Root, 2);
    refused(Role::Timestamp, 3);
    refused(Role::Snapshot, 3);
    refused(Role::Targets(chain("targets")), 2);
    refused(Role::Targets(chain("targets/team")), 1);
}

#[test]
fn a_generation_is_judged_again_under_new_settings() {
    let mut repo = Repo::new();
    repo.delegate("targets", "team", 10, &["*"]);
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    client.lookup(&repo, &trusted, "x").unwrap();
    let mut settings = client.settings.clone();
    settings.minimum.roles.insert(chain("targets/team"), 2);
    let again = trusted.under(settings.clone(), now()).unwrap();
    let error = again.lookup(&client.roles, &TargetPath::from("x"), now()).unwrap_err();
    assert!(matches!(error, Error::BelowMinimum { version: 1, minimum: 2, .. }), "also for a role loaded before");
    settings.minimum.snapshot = 9;
    assert!(matches!(trusted.under(settings.clone(), now()), Err(Error::BelowMinimum { role: Role::Snapshot, .. })));
    settings.minimum.snapshot = 0;
    settings.max_validity = Some(SignedDuration::from_hours(1));
    assert!(matches!(trusted.under(settings.clone(), now()), Err(Error::ValidTooLong { role: Role::Timestamp, .. })));
    repo.role("timestamp")["expires"] = json!("2030-01-01T01:00:00Z");
    repo.publish(&["timestamp"]);
    let trusted = client.refresh(&repo).unwrap();
    assert!(matches!(trusted.under(settings, now()), Err(Error::ValidTooLong { role: Role::Snapshot, .. })));
    let later = trusted.under(client.settings.clone(), at("2031-01-01T00:00:00Z"));
    assert!(matches!(later, Err(Error::Expired { role: Role::Root, .. })));
}
