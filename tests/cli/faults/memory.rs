//! The kernel's own end of a process that takes more memory than its cgroup may have.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::serving::{Serving, demo_of_both, pod};

/// A cgroup with a limit of memory, of version 1 or 2. Gone when it is dropped.
struct Group {
    folder: PathBuf,
    is_v1: bool,
}

impl Group {
    /// One of this name, so far without a limit.
    fn new(name: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let is_v1 = root.join("memory/memory.limit_in_bytes").exists();
        let folder = if is_v1 { root.join("memory") } else { root.to_owned() }.join(name);
        let group = Self { folder, is_v1 };
        if !is_v1 {
            as_root("echo +memory >$1", &[&root.join("cgroup.subtree_control")]);
        }
        as_root("mkdir $1", &[&group.folder]);
        group
    }

    /// A script in which a process enters it before it becomes what it is to be.
    fn entered(&self) -> String {
        let root = if is_root() { "" } else { "sudo --non-interactive " };
        format!("{root}sh -euc 'echo $1 >$2' sh $$ {}/cgroup.procs\nexec \"$@\"", self.folder.display())
    }

    /// Bytes that are in use and cannot be taken back without an end of somebody.
    fn used(&self) -> u64 {
        let names = if self.is_v1 { ["total_rss ", "total_shmem "] } else { ["anon ", "shmem "] };
        names.iter().map(|name| self.figure("memory.stat", name)).sum()
    }

    fn limit(&self, bytes: u64) {
        let (memory, swap) = match self.is_v1 {
            true => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
            false => ("memory.max", "memory.swap.max"),
        };
        as_root("echo $2 >$1", &[&self.folder.join(memory), Path::new(&bytes.to_string())]);
        // Not on every kernel.
        if self.folder.join(swap).exists() {
            let bytes = if self.is_v1 { bytes } else { 0 };
            as_root("echo $2 >$1", &[&self.folder.join(swap), Path::new(&bytes.to_string())]);
        }
    }

    /// How many processes the kernel has ended.
    fn ended(&self) -> u64 {
        self.figure(if self.is_v1 { "memory.oom_control" } else { "memory.events" }, "oom_kill ")
    }

    fn figure(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(self.folder.join(file)).unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name:?} in {text}")).parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Something may still run in it, and nothing more is to be said.
            let _ = fs::remove_dir(&self.folder);
        } else {
            as_root("rmdir $1", &[&self.folder]);
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Runs a script with these arguments.
fn as_root(script: &str, args: &[&Path]) {
    let mut command = Command::new(if is_root() { "env" } else { "sudo" });
    command.args((!is_root()).then_some("--non-interactive"));
    let ran = command.args(["sh", "-euc", script, "sh"]).args(args).output();
    let done = ran.as_ref().is_ok_and(|ran| ran.status.success());
    assert!(done, "{script} {args:?}, for which root or sudo is needed: {ran:?}");
}

#[tokio::test]
#[ignore = "needs root, to make a cgroup"]
async fn who_is_ended_by_the_kernel_at_the_limit_of_its_cgroup_dies_without_an_answer_and_comes_back_from_its_disk() {
    let temp = tempfile::tempdir().unwrap();
    let (good, bad) = demo_of_both(temp.path());
    let group = Group::new(&format!("pratique-faults-{}", std::process::id()));
    let more = ["--policy", "kept/policy.yaml", "--state", "state"];
    let mut serving = Serving::by_script(temp.path(), &["env"], &group.entered(), &more);
    serving.says(&good, "admitted").await;
    // Not what is idle, and far less than bodies may take.
    let limit = group.used() + (24 << 20);
    group.limit(limit);
    serving.says(&good, "admitted").await;
    assert_eq!(group.ended(), 0);

    let mut review = pod(&bad);
    review["request"]["object"]["metadata"]["annotations"]["x"] = serde_json::json!("x".repeat(6 << 20));
    let review = review.to_string();
    let (mut unanswered, mut rounds) = (0, 0);
    while serving.runs() {
        // All of them at once are more than there is, whoever comes first.
        let calls = (0..32).map(|_| serving.send("/verify?timeout=10s", "application/json", review.clone()));
        for answer in futures::future::join_all(calls).await {
            match answer {
                Ok((status, text)) => assert!(status != 200 || text.contains("\"allowed\":false"), "{status} {text}"),
                // For the API server a failed call: it refuses.
                Err(_) => unanswered += 1,
            }
        }
        rounds += 1;
        assert!(rounds < 100, "it has memory after all");
    }
    assert_eq!(serving.wait().signal(), Some(9));
    assert_eq!(group.ended(), 1);
    assert!(unanswered > 0);
    assert!(serving.send("/verify", "application/json", pod(&good).to_string()).await.is_err());

    // The kubelet starts it anew under the same limit.
    fs::rename(temp.path().join("kept/repository"), temp.path().join("away")).unwrap();
    let serving = Serving::by_script(temp.path(), &["env"], &group.entered(), &more);
    serving.recovers("the kernel had ended it, started again", &good).await;
    serving.says(&bad, "[evidence/not-bound]").await;
    drop(serving);
    assert_eq!(group.ended(), 1);
}
