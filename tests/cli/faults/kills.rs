//! Killed at every request of a refresh and of what a verdict needs.

use std::{fs, path::Path, process::Stdio};

use super::server::{Fault, Server, policy};
use crate::{
    serving::{Serving, demo},
    support::{Ran, pratique, run},
};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A demonstration with a second version of its repository, in which the good image is revoked.
pub(super) struct Versions {
    temp: tempfile::TempDir,
    pub(super) good: String,
    pub(super) server: Server,
}

impl Versions {
    pub(super) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let good = demo(temp.path());
        let dir = temp.path();
        copy(&dir.join("kept/repository"), &dir.join("first"));
        let digest = good.split_once('@').unwrap().1;
        let ran = run(dir, &["repo", "revoke", "kept/repository", digest, "--reason", "do not use"]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        let server = Server::start(&dir.join("first"));
        policy(dir, "served", &server.url);
        Self { temp, good, server }
    }

    pub(super) fn dir(&self) -> &Path {
        self.temp.path()
    }

    /// The good image is judged by this version, `first` or `kept/repository`.
    pub(super) fn verify(&self, version: &str, state: &str) -> Ran {
        self.server.serves(&self.dir().join(version));
        self.server.becomes(Fault::None);
        run(self.dir(), &["verify", "--policy", "kept/served.yaml", "--state", state, &self.good])
    }

    /// The same, killed at the request of this number; `false` if it ended before.
    fn killed(&self, version: &str, state: &str, request: usize) -> bool {
        self.server.serves(&self.dir().join(version));
        self.server.becomes(Fault::SilentFrom(request));
        let mut command = pratique(self.dir());
        command.args(["verify", "--policy", "kept/served.yaml", "--state", state, &self.good]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let reached = self.server.is_asked(request, || child.try_wait().unwrap().is_some());
        let _ = child.kill();
        child.wait().unwrap();
        reached
    }
}

#[track_caller]
pub(super) fn says(ran: &Ran, code: i32, words: &str) {
    assert!(ran.code == Some(code) && ran.out.contains(words), "{words}: {ran:?}");
}

#[test]
fn who_is_killed_at_any_request_of_its_first_refresh_begins_again() {
    let versions = Versions::new();
    let mut request = 0;
    while versions.killed("first", &format!("state-{request}"), request) {
        says(&versions.verify("first", &format!("state-{request}")), 0, "");
        says(&versions.verify("kept/repository", &format!("state-{request}")), 1, "[tuf/revoked]");
        request += 1;
    }
    assert!(request > 8, "{request} requests");
}

#[test]
fn who_is_killed_at_any_request_of_a_later_one_knows_what_was_before_or_what_came_and_nothing_else() {
    let versions = Versions::new();
    says(&versions.verify("first", "before"), 0, "");
    let (mut request, mut unlearnt) = (0, Vec::new());
    loop {
        let state = format!("state-{request}");
        copy(&versions.dir().join("before"), &versions.dir().join(&state));
        if !versions.killed("kept/repository", &state, request) {
            break;
        }
        // What was verified before the kill is a floor, and what was not is not.
        let ran = versions.verify("first", &state);
        unlearnt.push(ran.code == Some(0));
        if ran.code != Some(0) {
            says(&ran, 1, "[tuf/rollback]");
        }
        says(&versions.verify("kept/repository", &state), 1, "[tuf/revoked]");
        says(&versions.verify("first", &state), 1, "[tuf/rollback]");
        request += 1;
    }
    // The next root, the timestamp; then the snapshot and all after it.
    assert!(unlearnt.len() > 3 && unlearnt.iter().enumerate().all(|(at, first)| *first == (at < 2)), "{unlearnt:?}");
}

#[tokio::test]
async fn a_webhook_that_is_told_to_stop_stops_at_every_request_of_a_refresh() {
    let versions = Versions::new();
    let mut stopping = Vec::new();
    for request in 0..4 {
        let server = Server::start(&versions.dir().join("first"));
        let policy = policy(versions.dir(), &format!("stop-{request}"), &server.url);
        let state = format!("stop-{request}");
        let serving = Serving::with(versions.dir(), &["--policy", &policy, "--state", &state]);
        serving.says(&versions.good, "admitted").await;
        server.serves(&versions.dir().join("kept/repository"));
        server.becomes(Fault::SilentFrom(request));
        stopping.push((state, server, serving));
    }
    for (request, (_, server, serving)) in stopping.iter_mut().enumerate() {
        assert!(server.is_asked(request, || !serving.runs()), "{request}");
        serving.signal("TERM");
    }
    for (state, _, mut serving) in stopping {
        assert_eq!(serving.wait().code(), Some(0), "{state}");
        says(&versions.verify("kept/repository", &state), 1, "[tuf/revoked]");
    }
}
