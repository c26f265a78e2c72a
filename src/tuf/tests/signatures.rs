//! Files that too few have signed.

use serde_json::{Value, json};

use crate::{
    crypto::KeyId,
    tuf::{
        Error, Rejection, Role,
        testing::{Client, Repo, chain, file, key_object, keyid, sign},
    },
};

fn threshold(error: Error) -> (Role, u32, usize, Vec<Rejection>) {
    match error {
        Error::Threshold { role, threshold, verified, rejected, .. } => {
            (role, threshold, verified.len(), rejected.into_iter().map(|(_, why)| why).collect())
        }
        other => panic!("refused otherwise: {other}"),
    }
}

/// The file of `signed` with the signature entries of other files of it.
fn with_signatures(signed: &Value, signatures: Vec<Value>) -> Vec<u8> {
    file(signed, signatures)
}

fn signature(signed: &Value, seed: u8) -> Value {
    serde_json::from_slice::<Value>(&sign(signed, &[seed])).unwrap()["signatures"][0].clone()
}

#[test]
fn an_unsigned_file_of_any_role_is_refused_and_the_earlier_ones_are_kept() {
    for (name, kept) in [("root", [0, 0, 0]), ("timestamp", [1, 0, 0]), ("snapshot", [1, 1, 0]), ("targets", [1, 1, 1])]
    {
        let mut repo = Repo::new();
        let mut client = Client::new(&repo);
        repo.signers.insert(name.to_owned(), vec![]);
        repo.publish(&["root"]);
        repo.publish_all();
        let error = client.refresh(&repo).unwrap_err();
        assert_eq!(threshold(error).2, 0);
        let stored = &client.stored;
        let lengths = [stored.roots.len(), stored.timestamp.iter().len(), stored.snapshot.iter().len()];
        assert_eq!(lengths, kept, "{name}");
        assert!(stored.targets.is_none());
    }
}

#[test]
fn two_of_three_signatures_do_not_meet_a_threshold_of_three() {
    let mut repo = Repo::new();
    repo.set_keys("snapshot", &[3, 13, 23], 3);
    repo.publish(&["root"]);
    repo.signers.insert("snapshot".to_owned(), vec![3, 23]);
    repo.publish_all();
    let (role, threshold, verified, _) = threshold(Client::new(&repo).refresh(&repo).unwrap_err());
    assert_eq!((role, threshold, verified), (Role::Snapshot, 3, 2));
    repo.signers.insert("snapshot".to_owned(), vec![3, 13, 23]);
    repo.publish_all();
    assert!(Client::new(&repo).refresh(&repo).is_ok());
}

#[test]
fn a_threshold_above_the_number_of_keys_is_never_met() {
    let mut repo = Repo::new();
    repo.set_keys("timestamp", &[2, 12], 3);
    repo.publish(&["root"]);
    repo.publish_all();
    assert_eq!(threshold(Client::new(&repo).refresh(&repo).unwrap_err()).2, 2);
}

#[test]
fn one_key_under_two_key_ids_counts_once() {
    let mut repo = Repo::new();
    let root = repo.role("root");
    root["keys"]["alias"] = key_object(3);
    root["roles"]["snapshot"] = json!({"keyids": [keyid(3), "alias"], "threshold": 2});
    repo.publish(&["root"]);
    repo.publish_all();
    let signed = repo.signed["snapshot"].clone();
    let mut alias = signature(&signed, 3);
    alias["keyid"] = json!("alias");
    repo.serve("snapshot", with_signatures(&signed, vec![signature(&signed, 3), alias]));
    let (_, _, verified, rejected) = threshold(Client::new(&repo).refresh(&repo).unwrap_err());
    assert_eq!((verified, rejected), (1, vec![Rejection::SameKeyAs(KeyId::from(keyid(3).as_str()))]));
}

#[test]
fn a_key_id_listed_many_times_counts_once() {
    let mut repo = Repo::new();
    repo.role("root")["roles"]["snapshot"] = json!({"keyids": vec![keyid(3); 9], "threshold": 2});
    repo.publish(&["root"]);
    repo.publish_all();
    assert_eq!(threshold(Client::new(&repo).refresh(&repo).unwrap_err()).2, 1);
}

#[test]
fn a_repeated_key_id_in_signatures_is_refused_though_the_threshold_is_met() {
    let mut repo = Repo::new();
    let signed = repo.signed["snapshot"].clone();
    let one = signature(&signed, 3);
    repo.serve("snapshot", with_signatures(&signed, vec![one.clone(), one]));
    let error = Client::new(&repo).refresh(&repo).unwrap_err();
    assert!(matches!(error, Error::RepeatedSignature { role: Role::Snapshot, .. }));
}

#[test]
fn signatures_that_do_not_count_do_no_harm() {
    let mut repo = Repo::new();
    let root = repo.role("root");
    root["keys"]["odd"] = json!({"keytype": "quantum", "scheme": "quantum", "keyval": {"public": "00"}});
    root["keys"]["shapeless"] = json!(7);
    root["keys"][keyid(12)] = key_object(12);
    root["roles"]["timestamp"]["keyids"] = json!(["odd", "shapeless", "absent", keyid(12), keyid(2)]);
    repo.publish(&["root"]);
    let signed = repo.signed["timestamp"].clone();
    let other = signature(&json!({"other": true}), 12);
    let garbage = |keyid: &str, sig: &str| json!({"keyid": keyid, "sig": sig, "extra": 1});
    let mut signatures =
        vec![other, garbage("odd", "00"), garbage("shapeless", ""), garbage("absent", "00"), garbage("stranger", "x")];
    repo.serve("timestamp", with_signatures(&signed, signatures.clone()));
    let (_, _, verified, rejected) = threshold(Client::new(&repo).refresh(&repo).unwrap_err());
    assert_eq!(verified, 0);
    assert!(matches!(
        rejected.as_slice(),
        [
            Rejection::Invalid,
            Rejection::UnusableKey(_),
            Rejection::MisshapenKey,
            Rejection::NoSuchKey,
            Rejection::NotAuthorised
        ]
    ));
    signatures.push(signature(&signed, 2));
    repo.serve("timestamp", with_signatures(&signed, signatures));
    assert!(Client::new(&repo).refresh(&repo).is_ok());
}

#[test]
fn a_signature_over_other_bytes_is_invalid() {
    let mut repo = Repo::new();
    let signed = repo.signed["targets"].clone();
    let mut changed = signed.clone();
    changed["targets"]["x"] = crate::tuf::testing::target(b"x");
    repo.serve("targets", with_signatures(&changed, vec![signature(&signed, 4)]));
    let (role, _, _, rejected) = threshold(Client::new(&repo).refresh(&repo).unwrap_err());
    assert_eq!((role, rejected), (Role::Targets(chain("targets")), vec![Rejection::Invalid]));
}

#[test]
fn a_key_of_another_role_does_not_count() {
    for (name, seed) in [("timestamp", 3), ("snapshot", 2), ("targets", 3)] {
        let mut repo = Repo::new();
        repo.signers.insert(name.to_owned(), vec![seed]);
        repo.publish_all();
        let (_, _, _, rejected) = threshold(Client::new(&repo).refresh(&repo).unwrap_err());
        assert_eq!(rejected, [Rejection::NotAuthorised], "{name}");
    }
}

#[test]
fn delegated_roles_are_held_to_the_same_threshold() {
    let mut repo = Repo::new();
    let role = json!({"name": "team", "keyids": [keyid(10), keyid(11), "alias"], "threshold": 2,
        "terminating": false, "paths": ["*"]});
    repo.delegate_as("targets", role, &[10, 11]);
    repo.role("targets")["delegations"]["keys"]["alias"] = key_object(10);
    repo.add_target("team", "x", b"x");
    repo.publish_all();
    let signed = repo.signed["team"].clone();
    let mut alias = signature(&signed, 10);
    alias["keyid"] = json!("alias");
    repo.serve("team", with_signatures(&signed, vec![signature(&signed, 10), alias]));
    repo.publish(&["snapshot", "timestamp"]);
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    let error = client.lookup(&repo, &trusted, "x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "targets/team needs signatures by 2 of the keys that targets v2 names, 1 verified: key10 ok, alias the same \
         key as key10"
    );
}
