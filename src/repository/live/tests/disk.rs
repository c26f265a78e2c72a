//! A disk of which single bytes are wrong, or whose files end too early.

use super::*;

/// A client with a disk. Nobody is to be reached, unless it is read from the folder of the repository.
async fn with_disk(folder: &Folder, disk: &std::path::Path, place: &str) -> Repository {
    let transport = Transport::open(&Locations::below(place), &Access::default()).unwrap();
    let store = Store::open(disk).await.unwrap();
    Repository::new("acme".parse().unwrap(), folder.root.clone(), Settings::default(), transport, Some(store)).unwrap()
}

#[tokio::test]
async fn a_disk_that_is_wrong_at_any_byte_gives_the_same_set_or_none() {
    let folder = Folder::new();
    folder.publish(|publisher| publisher.renew("root").unwrap());
    let origin = reqwest::Url::from_directory_path(folder.temp.path()).unwrap();
    let (disk, nowhere) = (folder.temp.path().join("disk"), format!("{origin}nowhere"));
    let before = with_disk(&folder, &disk, origin.as_str()).await.refresh(now()).await.unwrap();
    assert_eq!(before.trusted().root().version, 2);
    let mut refused = 0;
    for name in ["root.json", "roots/2.root.json", "timestamp.json", "snapshot.json", "targets.json"] {
        let path = disk.join(name);
        let right = fs::read(&path).unwrap();
        for at in 0..right.len() {
            // Another bit everywhere, another case and the end here and there.
            for change in if at % 8 == 0 { &[1, 0x20, 0][..] } else { &[1] } {
                let mut wrong = right.clone();
                match *change {
                    0 => wrong.truncate(at),
                    bit => wrong[at] ^= bit,
                }
                fs::write(&path, &wrong).unwrap();
                let client = with_disk(&folder, &disk, &nowhere).await;
                match client.load_cache(now()).await {
                    Ok(()) => {
                        let generation = client.generation().unwrap();
                        assert!(same_set(&before, &generation), "{name}, {at}, {change}");
                    }
                    Err(error) => {
                        assert!(matches!(error, Error::Tuf(_)), "{name}, {at}, {change}: {error}");
                        assert!(client.generation().is_none());
                        refused += 1;
                    }
                }
                // Mended by what is published, without an admin.
                if at % 64 == 0 {
                    let mended = with_disk(&folder, &disk, origin.as_str()).await.refresh(now()).await.unwrap();
                    assert!(same_set(&before, &mended), "{name}, {at}, {change}");
                    with_disk(&folder, &disk, &nowhere).await.load_cache(now()).await.unwrap();
                }
            }
        }
        fs::write(&path, &right).unwrap();
    }
    assert!(refused > 1000, "{refused}");
}

/// Who reads nothing but the disk would go on under an older root, for as long as nobody answers.
#[tokio::test]
async fn a_newest_root_that_is_gone_from_disk_puts_no_older_one_in_force() {
    let folder = Folder::new();
    folder.publish(|publisher| publisher.renew("root").unwrap());
    let origin = reqwest::Url::from_directory_path(folder.temp.path()).unwrap();
    let (disk, nowhere) = (folder.temp.path().join("disk"), format!("{origin}nowhere"));
    let refresh = async || with_disk(&folder, &disk, origin.as_str()).await.refresh(now()).await.map(drop);
    let load = async || with_disk(&folder, &disk, &nowhere).await.load_cache(now()).await;
    refresh().await.unwrap();
    load().await.unwrap();
    fs::remove_file(disk.join("roots/2.root.json")).unwrap();
    let error = tuf::Error::Rollback { role: Role::Root, stored: 2, offered: 1 };
    assert_eq!(load().await, Err(Error::Tuf(error)));
    refresh().await.unwrap();
    load().await.unwrap();
    // A number that no key stands behind is in nobody's way, and goes with the next refresh.
    let right = folder.read("2.root.json");
    let text = String::from_utf8(right.clone()).unwrap().replace("\"version\":2", "\"version\":9");
    assert_ne!(text.as_bytes(), right);
    fs::write(disk.join("root.json"), text).unwrap();
    load().await.unwrap();
    refresh().await.unwrap();
    assert_eq!(fs::read(disk.join("root.json")).unwrap(), right);
}

/// Whether all is of the same versions. The bytes may differ where the letters of a signature are upper case.
fn same_set(one: &Generation, other: &Generation) -> bool {
    let (one, other) = (one.trusted(), other.trusted());
    [
        (one.root(), other.root()),
        (one.timestamp(), other.timestamp()),
        (one.snapshot(), other.snapshot()),
        (one.targets(), other.targets()),
    ]
    .iter()
    .all(|(one, other)| (one.version, one.expires) == (other.version, other.expires))
}
