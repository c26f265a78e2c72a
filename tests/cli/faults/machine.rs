//! The machine: its disk, its memory, its open files.

use std::{fs, net::TcpStream, process::Command, time::Duration};

use super::server::policy;
use crate::serving::{Serving, demo_of_both, pod};

#[tokio::test]
#[ignore = "needs to make namespaces"]
async fn a_disk_that_is_full_is_named_and_admits_nothing_until_there_is_room() {
    let temp = tempfile::tempdir().unwrap();
    let (good, bad) = demo_of_both(temp.path());
    fs::create_dir(temp.path().join("state")).unwrap();
    let place = format!("file://{}/kept/repository", temp.path().display());
    let policy = policy(temp.path(), "full", &place);
    let script = r#"mount -t tmpfs -o size=1m tmpfs state
        dd if=/dev/zero of=state/filler bs=4k count=1000 2>/dev/null || true
        exec "$@""#;
    let serving = Serving::in_namespaces(temp.path(), script, &["--policy", &policy, "--state", "state"]);
    let answer = serving.says(&good, "[internal/store]").await;
    assert_eq!(answer["status"]["code"], 500, "{answer}");
    assert!(answer["status"]["message"].as_str().unwrap().contains("No space left on device"), "{answer}");
    serving.says(&bad, "[internal/store]").await;
    let inside = format!("/proc/{}/root{}/state/filler", serving.pid(), temp.path().canonicalize().unwrap().display());
    fs::remove_file(inside).unwrap();
    serving.recovers("disk full", &good).await;
    serving.says(&bad, "[evidence/not-bound]").await;
}

#[tokio::test]
#[ignore = "needs prlimit"]
async fn who_runs_out_of_memory_dies_without_an_answer_and_comes_back_from_its_disk() {
    let temp = tempfile::tempdir().unwrap();
    let (good, bad) = demo_of_both(temp.path());
    let more = ["--policy", "kept/policy.yaml", "--state", "state"];
    let start = || Serving::with(temp.path(), &more);
    // The allocator sets a gibibyte of addresses aside, which then are no longer asked for.
    let mut serving = Serving::in_namespaces(temp.path(), "MIMALLOC_ARENA_EAGER_COMMIT=0 exec \"$@\"", &more);
    serving.says(&good, "admitted").await;
    let pid = serving.pid().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, "--data=1"]).status().unwrap().success());
    // As much as a review may have, and more than lies about unused.
    let mut review = pod(&bad);
    review["request"]["object"]["metadata"]["annotations"]["x"] = serde_json::json!("x".repeat(6 << 20));
    let mut answered = 0;
    while serving.runs() {
        let Ok((status, text)) = serving.send("/verify", "application/json", review.to_string()).await else {
            continue;
        };
        assert!(status != 200 || text.contains("\"allowed\":false"), "{status} {text}");
        answered += 1;
        assert!(answered < 1000, "it has memory after all");
    }
    assert!(!serving.wait().success());
    fs::rename(temp.path().join("kept/repository"), temp.path().join("away")).unwrap();
    let serving = start();
    serving.recovers("out of memory, started again", &good).await;
    serving.says(&bad, "[evidence/not-bound]").await;
}

#[tokio::test]
#[ignore = "needs prlimit"]
async fn a_flood_of_connections_takes_all_files_and_is_over_when_they_end() {
    let temp = tempfile::tempdir().unwrap();
    let (good, bad) = demo_of_both(temp.path());
    let serving = Serving::start(temp.path());
    serving.says(&good, "admitted").await;
    let pid = serving.pid().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, "--nofile=48"]).status().unwrap().success());
    let address = serving.url.strip_prefix("https://").unwrap();
    // Beyond what it may open they wait in the queue of the system.
    let flood: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    while fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() < 48 {
        pause.tick().await;
    }
    drop(flood);
    serving.recovers("no more files", &good).await;
    serving.says(&bad, "[evidence/not-bound]").await;
    assert!(serving.page("/healthz").await.contains("ok"));
}
