//! Copies of one repository that lag, lie, or are not there. Whoever holds one of them decides what it serves.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    crypto::Sha256,
    publish::{Document, Plan, Publisher, Side, SigningKey},
    repository::transport::{Access, Locations, Transport},
    tuf::{Lookup, Settings, TargetPath},
};

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// A repository at its publisher's.
struct Published {
    temp: tempfile::TempDir,
    root: Vec<u8>,
}

impl Published {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let plan = Plan::default();
        let keys = plan.keys_from_seed("mirrors").unwrap();
        Publisher::init(&temp.path().join("own"), keys, &plan, now()).unwrap().commit().unwrap();
        let root = fs::read(temp.path().join("own/metadata/1.root.json")).unwrap();
        Self { temp, root }
    }

    fn publish(&self, change: impl FnOnce(&mut Publisher)) {
        let mut keys = Plan::default().keys_from_seed("mirrors").unwrap();
        keys.trust(Document::parse(&"root".into(), self.root.clone()).unwrap());
        let mut publisher = Publisher::open(&self.temp.path().join("own"), keys, now()).unwrap();
        change(&mut publisher);
        publisher.commit().unwrap();
    }

    /// What is published now, in a copy of this name.
    fn copy(&self, name: &str) -> PathBuf {
        let copy = self.temp.path().join(name);
        copy_folder(&self.temp.path().join("own"), &copy);
        copy
    }

    /// A client that knows nothing yet of copies at these URLs.
    fn client(&self, urls: &[String]) -> Repository {
        let locations: Vec<Locations> = urls.iter().map(|url| Locations::below(url)).collect();
        let (origin, mirrors) = locations.split_first().unwrap();
        let transport = Transport::open_all(origin, mirrors, &Access::default()).unwrap();
        Repository::new("acme".parse().unwrap(), self.root.clone(), Settings::default(), transport, None).unwrap()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.unwrap(), to);
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// Root and timestamp that a refresh comes to.
async fn versions(client: &Repository) -> Result<(u64, u64), &'static str> {
    let refreshed = client.refresh(now()).await.map_err(|error| error.code())?;
    Ok((refreshed.trusted().root().version, refreshed.trusted().timestamp().version))
}

/// The copies in the order in which they are to be asked.
fn order(client: &Repository) -> Vec<String> {
    client.transport.turns(later()).map(|(mirror, _)| mirror.name().to_owned()).collect()
}

/// Takes connections and never says a word.
async fn silent() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    url
}

/// Answers with the beginning of something that comes a byte at a time.
async fn dripping() -> String {
    use tokio::io::AsyncWriteExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
                let mut pace = tokio::time::interval(Duration::from_millis(10));
                while stream.write_all(b"x").await.is_ok() {
                    pace.tick().await;
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn where_one_copy_is_dead_silent_or_drips_the_next_one_is_asked_within_the_same_deadline() {
    let published = Published::new();
    let copy = url(&published.copy("copy"));
    // Bound, so that nobody else is given it, and listening to nothing.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let dead = format!("http://{}", closed.local_addr().unwrap());
    for bad in [dead, silent().await, dripping().await] {
        let client = published.client(&[bad.clone(), copy.clone()]);
        let deadline = Instant::now() + Duration::from_secs(2);
        let refreshed = refresh(&client, now(), None, deadline).await;
        assert_eq!(refreshed.map(|trusted| trusted.timestamp().version), Ok(1), "{bad}");
        // From now on it costs nothing.
        assert!(order(&client)[1].starts_with(&bad), "{:?}", order(&client));
        // As the second one it is only asked for a newer root, and is told apart from the one that serves.
        let client = published.client(&[copy.clone(), bad.clone()]);
        assert_eq!(versions(&client).await, Ok((1, 1)), "{bad}");
        assert_eq!(client.transport.copies().map(|(_, serves)| serves).collect::<Vec<_>>(), [true, false], "{bad}");
        // And as the only one it is an outage.
        let client = published.client(std::slice::from_ref(&bad));
        let deadline = Instant::now() + Duration::from_millis(300);
        let error = refresh(&client, now(), None, deadline).await.map(drop).unwrap_err();
        assert!(error.is_outage(), "{bad}: {error}");
    }
}

#[tokio::test]
async fn where_one_copy_has_garbage_the_next_one_is_asked_and_is_held_to_the_same() {
    let published = Published::new();
    let (first, second) = (published.copy("first"), published.copy("second"));
    for file in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let good = fs::read(first.join("metadata").join(file)).unwrap();
        fs::write(first.join("metadata").join(file), "garbage").unwrap();
        let client = published.client(&[url(&first), url(&second)]);
        assert_eq!(versions(&client).await, Ok((1, 1)), "{file}");
        assert!(order(&client)[1].contains("/first/"), "{:?}", order(&client));
        fs::write(first.join("metadata").join(file), good).unwrap();
    }
    for copy in [&first, &second] {
        fs::write(copy.join("metadata/timestamp.json"), "garbage").unwrap();
    }
    assert_eq!(versions(&published.client(&[url(&first), url(&second)])).await, Err("tuf/malformed"));
    // The error of one that answered goes before that of one that did not.
    let nobody = published.temp.path().join("nobody");
    assert_eq!(versions(&published.client(&[url(&nobody), url(&second)])).await, Err("tuf/malformed"));
}

#[tokio::test]
async fn what_one_copy_has_shown_no_other_can_take_back() {
    let published = Published::new();
    let lagging = published.copy("lagging");
    published.publish(|_| {});
    let newest = published.copy("newest");
    let client = published.client(&[url(&newest), url(&lagging)]);
    assert_eq!(versions(&client).await, Ok((1, 2)));
    // Only the one that lags is left.
    fs::remove_dir_all(newest.join("metadata")).unwrap();
    assert_eq!(versions(&client).await, Err("tuf/rollback"));
    assert_eq!(client.generation().unwrap().trusted().timestamp().version, 2, "the set in use stays in use");

    // Also where the newest was shown by a copy that lacked the rest.
    let half = published.copy("half");
    fs::remove_file(half.join("metadata/2.snapshot.json")).unwrap();
    let client = published.client(&[url(&half), url(&lagging)]);
    assert_eq!(versions(&client).await, Err("tuf/rollback"));
}

#[tokio::test]
async fn a_copy_that_lags_is_not_asked_first_for_ever() {
    let published = Published::new();
    let lagging = published.copy("lagging");
    published.publish(|_| {});
    let newest = published.copy("newest");
    let client = published.client(&[url(&lagging), url(&newest)]);
    // What it has is valid: TUF lets whoever serves it withhold the newer one until it expires.
    assert_eq!(versions(&client).await, Ok((1, 1)));
    fs::remove_file(lagging.join("metadata/timestamp.json")).unwrap();
    assert_eq!(versions(&client).await, Ok((1, 2)));
}

#[tokio::test]
async fn whoever_holds_the_first_copy_and_a_stolen_key_cannot_hide_the_root_that_takes_the_key_away() {
    let published = Published::new();
    // What the thief serves: he signs as he likes with the key of the timestamp, and there is no root after the first.
    let thief = published.copy("thief");
    let fresh = SigningKey::ed25519_from_seed([9; 32]);
    published.publish(|publisher| publisher.rotate("timestamp", Side::Online, vec![fresh], 1).unwrap());
    let honest = published.copy("honest");
    assert_eq!(versions(&published.client(&[url(&thief)])).await, Ok((1, 1)), "alone he can");

    let client = published.client(&[url(&thief), url(&honest)]);
    let (root, _) = versions(&client).await.unwrap();
    assert_eq!(root, 2);

    // The root alone is enough to end it, though nothing else is to be had from there.
    fs::remove_file(honest.join("metadata/timestamp.json")).unwrap();
    let client = published.client(&[url(&thief), url(&honest)]);
    assert_eq!(versions(&client).await, Err("tuf/signature-threshold"));
    assert!(client.generation().is_none());
    // And it stays known.
    fs::remove_file(honest.join("metadata/2.root.json")).unwrap();
    assert_eq!(versions(&client).await, Err("tuf/signature-threshold"));
}

#[tokio::test]
async fn a_root_that_does_not_verify_stops_nothing() {
    let published = Published::new();
    let (good, bad) = (published.copy("good"), published.copy("bad"));
    let client = published.client(&[url(&good), url(&bad)]);
    for root in [b"garbage".to_vec(), published.root.clone()] {
        fs::write(bad.join("metadata/2.root.json"), root).unwrap();
        assert_eq!(versions(&client).await, Ok((1, 1)));
    }
}

#[tokio::test]
async fn evidence_is_taken_from_whichever_copy_has_it() {
    let published = Published::new();
    let digest = Sha256::of(b"image");
    published.publish(|publisher| drop(publisher.revoke("targets", digest, "no").unwrap()));
    let (first, second) = (published.copy("first"), published.copy("second"));
    let client = published.client(&[url(&first), url(&second)]);
    let generation = client.refresh(now()).await.unwrap();
    let path = TargetPath::from(format!("revoked/sha256/{digest}"));
    let Lookup::Found(found) = client.lookup(&generation, &path, now(), later()).await.unwrap() else {
        panic!("it is listed");
    };
    let fetch = async || client.file(&generation, &found.target, later()).await.map_err(|error| error.code());
    let name = format!("targets/revoked/sha256/{}.{digest}", found.target.hashes.sha256().unwrap());
    fs::remove_file(first.join(&name)).unwrap();
    assert_eq!(fetch().await.as_deref(), Ok(&b"no\n"[..]), "missing in one");
    assert!(order(&client)[0].contains("/first/"), "to lack a file is no failure");
    fs::write(first.join(&name), "on\n").unwrap();
    assert_eq!(fetch().await.as_deref(), Ok(&b"no\n"[..]), "garbage in one");
    assert!(order(&client)[0].contains("/second/"), "to serve garbage is");
    fs::write(second.join(&name), "on\n").unwrap();
    assert_eq!(fetch().await, Err("tuf/hash-mismatch"));
    fs::remove_file(first.join(&name)).unwrap();
    assert_eq!(fetch().await, Err("tuf/hash-mismatch"), "garbage tells more than nothing");
    fs::remove_file(second.join(&name)).unwrap();
    assert_eq!(fetch().await, Err("tuf/missing"));
}

#[tokio::test]
async fn the_error_is_that_of_the_copy_that_has_the_most_to_say() {
    let published = Published::new();
    let older = published.copy("older");
    published.publish(|_| {});
    let newer = published.copy("newer");
    let nobody = published.temp.path().join("nobody");
    // A timestamp holds for a day.
    let later = now() + jiff::SignedDuration::from_hours(30);
    let error = async |copies: &[&PathBuf]| {
        let urls: Vec<String> = copies.iter().map(|copy| url(copy)).collect();
        published.client(&urls).refresh(later).await.map(drop).unwrap_err()
    };
    for copies in [[&nobody, &older, &newer], [&newer, &older, &nobody]] {
        let error = error(&copies).await;
        assert!(matches!(error, Error::Tuf(tuf::Error::Expired { version: 2, .. })), "{error}");
    }
    fs::write(older.join("metadata/timestamp.json"), "garbage").unwrap();
    assert_eq!(error(&[&newer, &nobody, &older]).await.code(), "tuf/malformed");
    assert!(error(&[&nobody]).await.is_outage());
}
