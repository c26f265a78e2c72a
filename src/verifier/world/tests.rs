//! Policies that read well and cannot be put in force.

use std::fs;

use jiff::Timestamp;

use super::*;
use crate::publish::{Plan, Publisher};

const URL: &str = "file:///nowhere";

/// What a policy with this description of its repository cannot be put in force for.
async fn refusal(description: &str, files: &[(&str, &[u8])], state: Option<&Path>) -> &'static str {
    let policy = format!("version: 1\nrepositories:\n  acme: {{{description}}}\nrules: []\n");
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    let world = World::build(Arc::new(Policy::parse(&policy).unwrap()), &files, state, None, None).await;
    world.map_or_else(|error| error.code(), |_| "in force")
}

fn root(folder: &Path) -> Vec<u8> {
    let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let plan = Plan::default();
    let mut publisher = Publisher::init(folder, plan.keys_from_seed("world").unwrap(), &plan, now).unwrap();
    publisher.commit().unwrap();
    fs::read(folder.join("metadata/1.root.json")).unwrap()
}

#[tokio::test]
async fn a_policy_whose_files_are_missing_or_unusable_is_not_in_force() {
    let temp = tempfile::tempdir().unwrap();
    let root = root(&temp.path().join("repository"));
    let file_and = |words: &str| format!("url: \"{URL}\", root: root.json{words}");
    let secure = "url: https://tuf.example, root: root.json, caBundle: ca.pem".to_owned();
    let root = ("root.json", root.as_slice());
    assert_eq!(refusal(&file_and(""), &[root], None).await, "in force");
    assert_eq!(refusal(&file_and(""), &[], None).await, "policy/no-such-file");
    assert_eq!(refusal(&file_and(""), &[("other.json", root.1)], None).await, "policy/no-such-file");
    assert_eq!(refusal(&file_and(""), &[("root.json", b"{}")], None).await, "tuf/pinned-root");
    assert_eq!(refusal(&secure, &[root], None).await, "policy/no-such-file");
    assert_eq!(refusal(&secure, &[root, ("ca.pem", b"no certificate")], None).await, "policy/bad-ca-bundle");
    // What is to be the folder of the state is a file.
    let state = temp.path().join("state");
    fs::write(&state, "").unwrap();
    assert_eq!(refusal(&file_and(""), &[root], Some(&state)).await, "internal/store");
}

#[tokio::test]
async fn an_edit_keeps_a_repository_only_while_its_words_and_its_root_are_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let one = root(&temp.path().join("repository"));
    let build = async |words: &str, root: &[u8], previous: Option<&World>| {
        let policy =
            format!("version: 1\nrepositories:\n  acme: {{url: \"{URL}\", root: root.json{words}}}\nrules: []\n");
        let files = BTreeMap::from([("root.json".to_owned(), root.to_vec())]);
        World::build(Arc::new(Policy::parse(&policy).unwrap()), &files, None, previous, None).await.unwrap()
    };
    let repository = |world: &World| world.repositories().next().map(|(_, repository)| repository.clone()).unwrap();
    let first = build("", &one, None).await;
    let is_kept = async |words: &str, root: &[u8]| {
        Arc::ptr_eq(&repository(&build(words, root, Some(&first)).await), &repository(&first))
    };
    assert!(is_kept("", &one).await);
    assert!(!is_kept(", epoch: 2", &one).await);
    assert!(!is_kept(", minimum: {root: 2}", &one).await);
    let other = [one.as_slice(), b"\n"].concat();
    assert!(!is_kept("", &other).await);
}

#[tokio::test]
async fn a_secret_that_is_not_there_takes_its_own_repository_away_and_no_policy() {
    let temp = tempfile::tempdir().unwrap();
    let root = root(&temp.path().join("repository"));
    let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let policy = format!(
        "version: 1\nrepositories:\n  open: {{url: \"file://{}\", root: root.json}}\n  closed: {{url: \
         \"https://127.0.0.1:1\", root: closed.json, caBundle: ca.pem, auth: {{secretRef: tuf}}}}\nrules: []\n",
        temp.path().join("repository").display()
    );
    let files = [("root.json", &root[..]), ("closed.json", &root[..]), ("ca.pem", authority.as_bytes())];
    let files = files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
    let world = World::build(Arc::new(Policy::parse(&policy).unwrap()), &files, None, None, None).await.unwrap();
    let now = "2030-01-01T00:00:00Z".parse().unwrap();
    let mut said = Vec::new();
    for (_, repository) in world.repositories() {
        said.push(repository.refresh(now).await.map_or_else(|error| error.code(), |_| "fresh"));
    }
    assert_eq!(said, ["policy/bad-credentials", "fresh"]);
}
