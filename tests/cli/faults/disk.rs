//! A disk that answers with errors, or not at all: strace has the kernel answer the running process that way.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{
    kills::{Versions, says},
    server::{Fault, Server, policy},
};
use crate::{
    serving::{Serving, demo_of_both},
    support::run,
};

/// Something that is wrong with the system calls of a process, until this is dropped, which is to be before the process.
struct Injected {
    strace: String,
    child: Option<Child>,
}

impl Injected {
    /// What is wrong, as strace writes it, and the only files that it is about where there are any.
    fn into(serving: &Serving, what: &str, files: &[PathBuf]) -> Self {
        let pid = serving.pid().to_string();
        // Its root may trace what runs in a namespace of users, whoever that is outside.
        let mut command = Command::new("nsenter");
        command.args(["--preserve-credentials", "--user", "--target", &pid]);
        command.args(["strace", "--follow-forks", "--output=/dev/null", "--attach", &pid]);
        command.arg(format!("--inject={what}"));
        command.args(files.iter().map(|file| format!("--trace-path={}", file.display())));
        let mut strace = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(strace.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut seen = String::new();
        let attached = log.any(|line| {
            seen.push_str(&line);
            line.contains("attached")
        });
        assert!(attached, "{seen}");
        std::thread::spawn(move || log.for_each(drop));
        Self { strace: strace.id().to_string(), child: Some(strace) }
    }

    /// The same, by the process that traces this one already.
    fn already(serving: &Serving) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", serving.pid())).unwrap();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap().trim();
        Self { strace: tracer.to_owned(), child: None }
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        // It lets go of the process, which goes on where it stands.
        let _ = Command::new("kill").args(["-s", "INT", &self.strace]).status();
        let _ = self.child.as_mut().map(Child::wait);
    }
}

/// Over a repository that has not answered yet, so that nothing is on its disk.
fn unread(dir: &Path, name: &str) -> (Server, Serving) {
    unread_by(dir, name, "exec \"$@\"")
}

/// The same by a script that ends with `exec "$@"`.
fn unread_by(dir: &Path, name: &str, script: &str) -> (Server, Serving) {
    let server = Server::start(&dir.join("kept/repository"));
    server.becomes(Fault::Silent);
    policy(dir, name, &server.url);
    let serving = by(dir, name, script);
    // The folder is there by then.
    assert!(server.is_asked(0, || false));
    (server, serving)
}

/// By the policy of this name, with a disk of this name.
fn over(dir: &Path, name: &str) -> Serving {
    by(dir, name, "exec \"$@\"")
}

/// The same by a script that ends with `exec "$@"`.
fn by(dir: &Path, name: &str, script: &str) -> Serving {
    let (policy, state) = (format!("kept/{name}.yaml"), dir.join(name).display().to_string());
    Serving::in_namespaces(dir, script, &["--policy", &policy, "--state", &state])
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_disk_that_answers_with_errors_is_named_and_admits_nothing_until_it_does_not() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    let (good, bad) = demo_of_both(&dir);
    let cases = [
        ("sync", "fsync,fdatasync:error=EIO", None),
        ("rename", "rename,renameat,renameat2:error=EIO", None),
        ("open", "openat:error=EIO", Some("open/acme/.lock")),
        ("folder", "mkdir,mkdirat:error=EROFS", None),
    ];
    for (name, what, file) in cases {
        let (server, serving) = unread(&dir, name);
        let fault = Injected::into(&serving, what, &file.map(|file| dir.join(file)).into_iter().collect::<Vec<_>>());
        server.becomes(Fault::None);
        for image in [&good, &bad, &good] {
            let answer = serving.says(image, "[internal/store]").await;
            let message = answer["status"]["message"].as_str().unwrap();
            assert_eq!(answer["status"]["code"], 500, "{name}: {answer}");
            assert!(message.contains("os error 5") || message.contains("os error 30"), "{name}: {answer}");
        }
        drop(fault);
        serving.recovers(&format!("{name}: {what}"), &good).await;
        serving.says(&bad, "[evidence/not-bound]").await;
    }
}

/// Bytes that files of a process may have from now on, as prlimit writes it. The kernel refuses what is written beyond
/// them, to files alone: strace knows files by their names, and those that are written have names that are drawn.
fn may_write(serving: &Serving, bytes: &str) {
    let pid = serving.pid().to_string();
    // The limit that a process may raise again.
    let ran = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

#[tokio::test]
#[ignore = "needs prlimit"]
async fn a_disk_on_which_writes_end_in_the_middle_of_a_file_keeps_no_half_of_one() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    let (good, bad) = demo_of_both(&dir);
    // Without the signal that would end it.
    let (server, serving) = unread_by(&dir, "write", "trap '' XFSZ; exec \"$@\"");
    // But for what is just being written.
    let contents = || -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files(&dir.join("write")).into_iter().filter(|file| !file.display().to_string().contains("/.new-"));
        files.map(|file| (file.clone(), fs::read(&file).unwrap())).collect()
    };
    // The root that was handed out.
    let before = contents();
    may_write(&serving, "100");
    server.becomes(Fault::None);
    for image in [&good, &bad, &good] {
        let answer = serving.says(image, "[internal/store]").await;
        assert_eq!(answer["status"]["code"], 500, "{answer}");
        assert!(answer["status"]["message"].as_str().unwrap().contains("os error 27"), "{answer}");
    }
    assert_eq!(contents(), before);
    may_write(&serving, "unlimited");
    serving.recovers("write: EFBIG in the middle of a file", &good).await;
    serving.says(&bad, "[evidence/not-bound]").await;

    // What is new is not in force either before it is kept, and what is known goes on.
    may_write(&serving, "100");
    serving.says(&good, "admitted").await;
    let before = contents();
    let digest = good.split_once('@').unwrap().1;
    let ran = run(&dir, &["repo", "revoke", "kept/repository", digest, "--reason", "do not use"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    serving.fails_to_refresh().await;
    serving.says(&good, "admitted").await;
    assert_eq!(contents(), before);
    may_write(&serving, "unlimited");
    serving.becomes(&good, "[tuf/revoked]").await;
}

/// A folder of state that cannot be made: how that comes about, and what the system says.
const UNMADE: [(&str, &str, &str); 3] = [
    ("taken", "exec \"$@\"", "os error 20"),
    // Nobody may write there, not even root without its right to.
    ("forbidden", "exec setpriv --bounding-set=-dac_override,-dac_read_search \"$@\"", "os error 13"),
    ("read-only", "mount -t tmpfs -o ro tmpfs read-only; exec \"$@\"", "os error 30"),
];

#[tokio::test]
#[ignore = "needs to make namespaces"]
async fn a_folder_of_state_that_cannot_be_made_is_named_and_is_made_when_it_can_be() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    let (good, bad) = demo_of_both(&dir);
    fs::write(dir.join("taken"), "").unwrap();
    fs::create_dir(dir.join("read-only")).unwrap();
    fs::create_dir(dir.join("forbidden")).unwrap();
    let mode = |mode| fs::set_permissions(dir.join("forbidden"), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    for (name, script, why) in UNMADE {
        let place = format!("file://{}/kept/repository", dir.display());
        policy(&dir, name, &place);
        let serving = by(&dir, name, script);
        let folder = dir.join(name).join("acme").display().to_string();
        for image in [&good, &bad] {
            let answer = serving.says(image, "[internal/store]").await;
            let message = answer["status"]["message"].as_str().unwrap();
            assert_eq!(answer["status"]["code"], 500, "{name}: {answer}");
            assert!(message.contains(&folder) && message.contains(why), "{name}: {answer}");
        }
        let page = serving.page("/readyz").await;
        assert!(page.contains(&format!("policy: [internal/store] repository acme: {folder}: ")), "{name}: {page}");
        assert!(page.contains(why), "{name}: {page}");
        match name {
            "taken" => fs::remove_file(dir.join(name)).unwrap(),
            "forbidden" => mode(0o700),
            _ => {
                let mut inside = Command::new("nsenter");
                inside.args(["--preserve-credentials", "--user", "--mount", "--target", &serving.pid().to_string()]);
                let ran = inside.args(["mount", "-o", "remount,rw"]).arg(dir.join(name)).output().unwrap();
                assert!(ran.status.success(), "{ran:?}");
            }
        }
        serving.recovers(&format!("no folder of state: {name}"), &good).await;
        serving.says(&bad, "[evidence/not-bound]").await;
        serving.shows("/readyz", "ok").await;
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
#[ignore = "needs strace"]
async fn what_the_disk_does_not_give_is_not_there_until_it_gives_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    let (good, bad) = demo_of_both(&dir);
    let (server, serving) = unread(&dir, "read");
    server.becomes(Fault::None);
    serving.says(&good, "admitted").await;
    drop(serving);
    server.becomes(Fault::HangsUp);
    let serving = over(&dir, "read");
    serving.shows("/readyz", "ok").await;
    // Whatever it has read of roles and evidence until now, the rest is on disk alone.
    let fault = Injected::into(&serving, "read:error=EIO", &files(&dir.join("read/acme")));
    serving.says(&good, "[tuf/unreachable]").await;
    drop(fault);
    serving.recovers("read:error=EIO", &good).await;
    server.becomes(Fault::None);
    serving.says(&bad, "[evidence/not-bound]").await;
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_disk_that_hangs_holds_up_nobody_who_is_known_and_is_named_to_the_others() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    let (good, bad) = demo_of_both(&dir);
    let (server, serving) = unread(&dir, "hangs");
    server.becomes(Fault::None);
    serving.says(&good, "admitted").await;
    // The evidence is that of the good one, and has to be kept anew.
    fs::remove_dir_all(dir.join("hangs/acme/targets")).unwrap();
    let fault = Injected::into(&serving, "fsync,fdatasync:delay_enter=3600s", &[]);
    for _ in 0..3 {
        let answer = serving.says(&bad, "[internal/store]").await;
        let message = answer["status"]["message"].as_str().unwrap();
        assert!(message.contains("does not answer"), "{answer}");
        serving.says(&good, "admitted").await;
        assert!(serving.page("/readyz").await.contains("ok"));
    }
    // Nor does what is new come into force that it could not keep.
    let digest = good.split_once('@').unwrap().1;
    let ran = run(&dir, &["repo", "revoke", "kept/repository", digest, "--reason", "do not use"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    serving.fails_to_refresh().await;
    serving.fails_to_refresh().await;
    serving.says(&good, "admitted").await;
    drop(fault);
    serving.says(&bad, "[evidence/not-bound]").await;
    serving.becomes(&good, "[tuf/revoked]").await;
}

/// Else whoever is in the network could have a replica take an older repository while its disk is slow.
#[tokio::test]
#[ignore = "needs strace"]
async fn what_a_disk_knows_that_hangs_at_the_start_is_waited_for() {
    let versions = Versions::new();
    let dir = versions.dir().canonicalize().unwrap();
    says(&versions.verify("kept/repository", "state"), 1, "[tuf/revoked]");
    versions.server.serves(&dir.join("first"));
    let files = files(&dir.join("state/acme")).into_iter().map(|file| format!(" --trace-path={}", file.display()));
    let script = format!(
        "exec strace --daemonize --follow-forks --interruptible=waiting --output=/dev/null \
        --inject=read:delay_enter=3600s {} -- \"$@\"",
        files.collect::<String>()
    );
    let state = dir.join("state").display().to_string();
    let serving = Serving::in_namespaces(&dir, &script, &["--policy", "kept/served.yaml", "--state", &state]);
    let fault = Injected::already(&serving);
    let answer = serving.says(&versions.good, "[internal/store]").await;
    assert!(answer["status"]["message"].as_str().unwrap().contains("does not answer"), "{answer}");
    assert!(serving.page("/readyz").await.contains("repositories: not there yet"));
    drop(fault);
    serving.says(&versions.good, "[tuf/revoked]").await;
    serving.shows("/readyz", "ok").await;
}
