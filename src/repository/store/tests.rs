//! On real folders, in the states in which a crash, another process or an attacker may leave them.

use std::time::Duration;

use super::*;

fn later() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("acme")).await.unwrap();
    (dir, store)
}

/// The names below the folder, sorted.
fn names(store: &Store) -> Vec<String> {
    let list = |dir: &Path, prefix: &str| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| format!("{prefix}{}", entry.file_name().to_string_lossy())).collect()
    };
    let mut names = list(&store.dir, "");
    names.extend(list(&store.dir.join("roots"), "roots/"));
    names.extend(list(&store.dir.join("targets"), "targets/"));
    names.sort();
    names
}

#[tokio::test]
async fn keeps_the_exact_bytes_and_nothing_else_that_ends_in_json() {
    let (_dir, store) = store().await;
    let writer = store.writer(later()).await.unwrap();
    for name in ["root.json", "timestamp.json", "snapshot.json", "targets.json", "..%2Fteam%3F.json"] {
        writer.put(name, format!("{{ \"{name}\" :1}}\n").into_bytes()).await.unwrap();
    }
    writer.put_root(2, b"two".to_vec()).await.unwrap();
    let target = store.put_target(b"manifest").await.unwrap();
    assert_eq!(store.metadata("snapshot.json", 99).await.unwrap(), b"{ \"snapshot.json\" :1}\n");
    assert_eq!(store.metadata("..%2Fteam%3F.json", 99).await.unwrap(), b"{ \"..%2Fteam%3F.json\" :1}\n");
    assert_eq!(store.roots(2, &Limits::default()).await, [b"two".to_vec()]);
    assert_eq!(store.target(target, 99).await.unwrap(), b"manifest");
    let expected = [
        "..%2Fteam%3F.json",
        ".lock",
        "root.json",
        "roots",
        "roots/2.root.json",
        "snapshot.json",
        "targets",
        "targets.json",
        &format!("targets/{target}"),
        "timestamp.json",
    ]
    .map(str::to_owned);
    assert_eq!(names(&store), expected);
}

#[test]
fn names_of_roles_are_encoded_as_in_their_urls() {
    let name = |role: &str| file_name(&RoleName::from(role));
    assert_eq!(name("targets"), "targets.json");
    assert_eq!(name("../a b/c?#é~_-.1"), "..%2Fa%20b%2Fc%3F%23%C3%A9~_-.1.json");
}

#[tokio::test]
async fn refuses_names_that_are_no_names_of_metadata() {
    let (dir, store) = store().await;
    let writer = store.writer(later()).await.unwrap();
    for name in
        ["", ".json", "../root.json", "a/b.json", "/root.json", "root", ".lock", "a\\b.json", "a\0.json", "é.json"]
    {
        let refused = writer.put(name, b"{}".to_vec()).await;
        assert_eq!(refused, Err(Error::BadName { name: name.to_owned() }));
        assert_eq!(writer.remove(name).await, Err(Error::BadName { name: name.to_owned() }));
        assert_eq!(store.metadata(name, 99).await, None);
    }
    assert_eq!(names(&store), [".lock"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_role_name_longer_than_file_systems_allow_is_kept_all_the_same() {
    let (_dir, store) = store().await;
    let name = file_name(&RoleName::from("é".repeat(100).as_str()));
    let writer = store.writer(later()).await.unwrap();
    writer.put(&name, b"{}".to_vec()).await.unwrap();
    assert_eq!(store.metadata(&name, 9).await.unwrap(), b"{}");
    assert_eq!(store.metadata(&name.replace("%A9.json", "%A8.json"), 9).await, None);
}

#[tokio::test]
async fn what_cannot_be_used_counts_as_absent_and_can_be_replaced() {
    let (_dir, store) = store().await;
    let path = store.dir.join("timestamp.json");
    let writer = store.writer(later()).await.unwrap();
    // Never written; emptied by a lost write; too large; a dangling link.
    assert_eq!(store.metadata("timestamp.json", 9).await, None);
    fs::write(&path, "").unwrap();
    assert_eq!(store.metadata("timestamp.json", 9).await, None);
    fs::write(&path, "0123456789").unwrap();
    assert_eq!(store.metadata("timestamp.json", 9).await, None);
    assert_eq!(store.metadata("timestamp.json", 10).await.unwrap(), b"0123456789");
    #[cfg(unix)]
    {
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(store.metadata("timestamp.json", 9).await, None);
    }
    writer.put("timestamp.json", b"{}".to_vec()).await.unwrap();
    assert_eq!(store.metadata("timestamp.json", 9).await.unwrap(), b"{}");
    // A folder in its place can be neither read nor replaced.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(store.metadata("timestamp.json", 9).await, None);
    assert!(matches!(writer.put("timestamp.json", b"{}".to_vec()).await, Err(Error::Io { .. })));
    assert!(!names(&store).iter().any(|name| name.starts_with(TEMPORARY)));
}

#[cfg(unix)]
#[tokio::test]
async fn a_write_replaces_a_link_and_not_what_it_points_to() {
    let (dir, store) = store().await;
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "precious").unwrap();
    std::os::unix::fs::symlink(&elsewhere, store.dir.join("root.json")).unwrap();
    store.writer(later()).await.unwrap().put("root.json", b"{}".to_vec()).await.unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
    assert_eq!(store.metadata("root.json", 9).await.unwrap(), b"{}");
}

#[tokio::test]
async fn a_writer_that_was_killed_leaves_the_old_file_and_no_rubbish() {
    let (_dir, store) = store().await;
    let writer = store.writer(later()).await.unwrap();
    writer.put("snapshot.json", b"old".to_vec()).await.unwrap();
    writer.put_root(1, b"one".to_vec()).await.unwrap();
    drop(writer);
    // As far as a write comes that ends before its rename.
    fs::write(store.dir.join(format!("{TEMPORARY}x1")), "ne").unwrap();
    fs::write(store.dir.join(format!("roots/{TEMPORARY}x2")), "tw").unwrap();
    assert_eq!(store.metadata("snapshot.json", 9).await.unwrap(), b"old");
    assert_eq!(store.roots(1, &Limits::default()).await.len(), 1);
    drop(store.writer(later()).await.unwrap());
    assert_eq!(names(&store), [".lock", "roots", "roots/1.root.json", "snapshot.json"]);
}

#[tokio::test]
async fn a_reader_sees_the_old_file_or_the_new_one_and_never_a_part() {
    let (_dir, store) = store().await;
    let writer = store.writer(later()).await.unwrap();
    let versions: Vec<Vec<u8>> = (b'a'..=b'd').map(|byte| vec![byte; 200_000]).collect();
    writer.put("targets.json", versions[0].clone()).await.unwrap();
    let reading = {
        let (store, versions) = (store.clone(), versions.clone());
        tokio::spawn(async move {
            for _ in 0..200 {
                let seen = store.metadata("targets.json", 1 << 20).await.unwrap();
                assert!(versions.contains(&seen));
            }
        })
    };
    for version in versions.iter().cycle().take(100) {
        writer.put("targets.json", version.clone()).await.unwrap();
    }
    reading.await.unwrap();
}

#[tokio::test]
async fn one_writes_at_a_time_and_the_next_waits_for_him() {
    let (_dir, store) = store().await;
    let writer = store.writer(later()).await.unwrap();
    let now = Instant::now();
    assert_eq!(store.writer(now).await.unwrap_err(), Error::Locked { path: store.dir.to_path_buf() });
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.writer(later()).await.map(|_| ()) }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(writer);
    assert_eq!(waiting.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn forgets_what_a_recovery_drops() {
    let (_dir, store) = store().await;
    let writer = store.writer(later()).await.unwrap();
    writer.put("timestamp.json", b"{}".to_vec()).await.unwrap();
    writer.remove("timestamp.json").await.unwrap();
    writer.remove("timestamp.json").await.unwrap();
    assert_eq!(store.metadata("timestamp.json", 9).await, None);
}

#[tokio::test]
async fn the_chain_of_roots_ends_at_the_first_gap_and_at_the_limit() {
    let (_dir, store) = store().await;
    let writer = store.writer(later()).await.unwrap();
    for version in [1, 2, 3, 5, u64::MAX] {
        writer.put_root(version, version.to_string().into_bytes()).await.unwrap();
    }
    let limits = Limits::default();
    assert_eq!(store.roots(2, &limits).await, [b"2", b"3"]);
    assert_eq!(store.roots(4, &limits).await, Vec::<Vec<u8>>::new());
    assert!(store.roots(u64::MAX, &limits).await.is_empty());
    assert_eq!(store.roots(1, &Limits { root_rotations: 2, ..limits.clone() }).await, [b"1", b"2"]);
    assert!(store.roots(1, &Limits { root_bytes: 0, ..limits }).await.is_empty());
}

#[tokio::test]
async fn a_target_file_whose_content_was_changed_is_absent_and_is_repaired() {
    let (_dir, store) = store().await;
    let digest = store.put_target(b"a layout").await.unwrap();
    fs::write(store.dir.join(target_name(digest)), "a LAYOUT").unwrap();
    assert_eq!(store.target(digest, 99).await, None);
    store.put_target(b"a layout").await.unwrap();
    assert_eq!(store.target(digest, 99).await.unwrap(), b"a layout");
    assert_eq!(store.target(digest, 7).await, None);
    assert_eq!(store.target(Sha256::of(b"other"), 99).await, None);
}

#[tokio::test]
async fn prunes_the_oldest_target_files_down_to_the_limit() {
    let (_dir, store) = store().await;
    prune(&store.dir.join("targets"), 0).unwrap();
    let mut digests = Vec::new();
    for (age, content) in [(3, "oldest"), (1, "newest"), (2, "middle")] {
        let digest = store.put_target(content.as_bytes()).await.unwrap();
        let file = File::options().write(true).open(store.dir.join(target_name(digest))).unwrap();
        let birth = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
        file.set_modified(birth).unwrap();
        digests.push(digest);
    }
    prune(&store.dir.join("targets"), 12).unwrap();
    assert_eq!(store.target(digests[0], 99).await, None);
    assert!(store.target(digests[1], 99).await.is_some());
    assert!(store.target(digests[2], 99).await.is_some());
}

#[tokio::test]
async fn target_files_without_an_end_take_no_more_room_than_they_are_given() {
    let dir = tempfile::tempdir().unwrap();
    for process in 0..3 {
        let store = Store::open(dir.path().join("acme")).await.unwrap().keeping(800);
        for number in 0..40 {
            let digest = store.put_target(format!("{process:50}{number:50}").as_bytes()).await.unwrap();
            assert!(store.target(digest, 100).await.is_some());
            let kept = fs::read_dir(dir.path().join("acme/targets")).unwrap().count();
            // One look an eighth of the limit, and what was put before the next.
            assert!(kept <= 8 + 1, "{kept} files of 100 bytes");
        }
    }
}

#[tokio::test]
async fn a_state_of_the_command_line_keeps_all_target_files() {
    let (_dir, store) = store().await;
    let mut digests = Vec::new();
    for number in 0..40 {
        digests.push(store.put_target(format!("{number:100}").as_bytes()).await.unwrap());
    }
    for digest in digests {
        assert!(store.target(digest, 100).await.is_some());
    }
}

#[tokio::test]
async fn a_disk_that_does_not_answer_is_given_up_and_asked_nothing_more_until_it_does() {
    let (_dir, store) = store().await;
    let digest = store.put_target(b"a layout").await.unwrap();
    let impatient = Store { patience: Patience::of(Duration::from_millis(1)), ..store.clone() };
    let writer = Writer { store: impatient.clone(), ..store.writer(later()).await.unwrap() };
    let (answer, wait) = std::sync::mpsc::channel();
    let hangs = move |_: &Path| wait.recv().map_err(|error| at(Path::new("."))(io::Error::other(error)));
    let no_answer = Error::Io { path: store.dir.to_path_buf(), why: "the disk does not answer".to_owned() };
    assert_eq!(writer.write(hangs).await, Err(no_answer.clone()));
    assert_eq!(impatient.put_target(b"a link").await, Err(no_answer.clone()));
    assert_eq!(impatient.target(digest, 99).await, None);
    assert_eq!(impatient.writer(later()).await.unwrap_err(), no_answer);
    // What it may still write is not to replace what somebody else writes meanwhile.
    drop(writer);
    assert!(matches!(store.writer(Instant::now()).await, Err(Error::Locked { .. })));
    answer.send(()).unwrap();
    store.writer(later()).await.unwrap();
    let mut pause = tokio::time::interval(Duration::from_millis(1));
    while impatient.answers().is_err() {
        pause.tick().await;
    }
    let patient = Store { patience: store.patience.clone(), ..impatient };
    assert_eq!(patient.target(digest, 99).await.unwrap(), b"a layout");
}
