//! Files that were signed and hold anything anywhere: refused or believed, and never a panic.

use serde_json::{Value, json};

use crate::tuf::testing::{Client, Repo, bent, key_object, keyid, sign};

/// A repository that uses every feature of the format.
fn repo() -> Repo {
    let mut repo = Repo::new();
    repo.lists_hashes = true;
    repo.delegate("targets", "team", 10, &["team/*"]);
    repo.delegate("targets", "bins", 11, &["*"]);
    let prefixed = json!({"name": "prefixed", "keyids": [keyid(12)], "threshold": 1, "terminating": true,
        "path_hash_prefixes": ["0", "1"]});
    repo.delegate_as("team", prefixed, &[12]);
    repo.role("bins")["delegations"] = json!({"keys": {keyid(13): key_object(13)}, "succinct_roles": {
        "keyids": [keyid(13)], "threshold": 1, "bit_length": 1, "name_prefix": "bin"}});
    for name in ["bin-0", "bin-1"] {
        repo.add_role(name, &[13]);
    }
    repo.add_target("team", "team/x", b"x");
    repo.role("team")["targets"]["team/x"]["custom"] = json!({"in-toto": []});
    repo.publish_all();
    repo
}

#[test]
fn no_value_in_any_place_makes_the_client_panic() {
    let good = repo();
    let mut refused = 0;
    let mut tried = 0;
    for name in ["root", "timestamp", "snapshot", "targets", "team", "bins"] {
        for signed in bent(&good.signed[name]) {
            let mut repo = repo_with(&good, name, sign(&signed, &good.signers[name]));
            if matches!(name, "targets" | "team" | "bins") {
                repo.publish_as_is("snapshot");
            }
            if !matches!(name, "root" | "timestamp") {
                repo.publish_as_is("timestamp");
            }
            let mut client = Client::new(&repo);
            let outcome = client.refresh(&repo).and_then(|trusted| {
                client.lookup(&repo, &trusted, "team/x")?;
                client.lookup(&repo, &trusted, "other")?;
                client.lookup_in(&repo, &trusted, "targets/bins/bin-0", "other")
            });
            tried += 1;
            refused += usize::from(outcome.is_err());
        }
    }
    assert!(tried > 1_000 && refused > tried / 2, "{refused} of {tried}");
}

#[test]
fn no_value_in_any_place_of_the_signatures_makes_the_client_panic() {
    let good = repo();
    for name in ["root", "timestamp", "snapshot", "targets"] {
        let file: Value = serde_json::from_slice(&good.files[&good.path(name)]).unwrap();
        for signatures in bent(&file["signatures"]) {
            let bytes = serde_json::to_vec(&json!({"signatures": signatures, "signed": file["signed"]})).unwrap();
            let mut repo = repo_with(&good, name, bytes);
            repo.lists_hashes = false;
            repo.publish_as_is(if name == "targets" { "snapshot" } else { "timestamp" });
            let _ = Client::new(&repo).refresh(&repo);
        }
    }
}

/// The same repository with other bytes for one role.
fn repo_with(good: &Repo, name: &str, bytes: Vec<u8>) -> Repo {
    let mut repo = good.clone();
    repo.serve(name, bytes);
    repo
}
