//! Certificates that something else renews: `tls.crt` and `tls.key` in a folder, as a mounted Secret has them.
//!
//! The files are looked at again and again instead of being watched: the kubelet replaces a Secret by swapping one
//! symbolic link, which no event on the files themselves tells of.

#![expect(clippy::disallowed_methods, reason = "a mounted Secret is files")]

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use super::{Certificate, Error, Resolver};
use crate::telemetry::{Metrics, metrics::LoadOutcome};

/// Bytes of one file; a chain of RSA certificates has a few thousand.
const MAX_BYTES: u64 = 1 << 20;

/// A folder that is looked at again and again.
pub struct Files {
    dir: PathBuf,
    resolver: Arc<Resolver>,
    metrics: Arc<Metrics>,
    /// What was found at the last look, good or bad: each state of the folder is judged and reported once.
    seen: Option<Result<Texts, Error>>,
}

/// A chain and its key as the files have them. Not to be printed.
type Texts = (Vec<u8>, Vec<u8>);

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Files {
    /// Will look into `dir` for what `resolver` is to serve.
    pub fn new(dir: impl Into<PathBuf>, resolver: Arc<Resolver>, metrics: Arc<Metrics>) -> Self {
        Self { dir: dir.into(), resolver, metrics, seen: None }
    }

    /// Looks once. `Ok(true)`: a new pair is served; `Ok(false)`: nothing has changed. After an error whatever was
    /// served before is still served; the same state of the folder does not raise it again.
    pub async fn look(&mut self, now: Timestamp) -> Result<bool, Error> {
        let dir = self.dir.clone();
        let read = tokio::task::spawn_blocking(move || read_pair(&dir)).await;
        let read = read.map_err(|error| unreadable(&self.dir, &error)).flatten();
        if self.seen.as_ref() == Some(&read) {
            return Ok(false);
        }
        let taken = match &read {
            Ok((chain, key)) => self.take(chain, key, now),
            Err(error) => Err(error.clone()),
        };
        self.seen = Some(read);
        self.report(&taken);
        taken.map(|_| true)
    }

    /// Looks every `pause`, for ever. `clock` is read at every look.
    pub async fn follow(mut self, pause: Duration, clock: impl Fn() -> Timestamp) {
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Reported where it was found.
            let _ = self.look(clock()).await;
        }
    }

    fn take(&self, chain: &[u8], key: &[u8], now: Timestamp) -> Result<Timestamp, Error> {
        let new = Certificate::parse(chain, key)?;
        let expires = new.expires();
        self.resolver.replace(new, now)?;
        Ok(expires)
    }

    fn report(&self, taken: &Result<Timestamp, Error>) {
        let dir = self.dir.display();
        match taken {
            Ok(expires) => {
                tracing::info!(%dir, %expires, "serving a new certificate");
                self.metrics.certificate_loaded(LoadOutcome::Loaded);
                self.metrics.certificate_expires(*expires);
            }
            Err(error) if self.resolver.current().is_some() => {
                tracing::error!(%dir, %error, "the new certificate cannot be served, the last good one is kept");
                self.metrics.certificate_loaded(LoadOutcome::Kept);
            }
            Err(error) => {
                tracing::error!(%dir, %error, "there is no certificate to serve");
                self.metrics.certificate_loaded(LoadOutcome::Missing);
            }
        }
    }
}

fn read_pair(dir: &Path) -> Result<Texts, Error> {
    // In a mounted Secret both files are links through `..data`. Its target is resolved once, so that a swap between
    // the two reads does not pair an old certificate with a new key.
    let linked = dir.join("..data");
    let dir = match fs::canonicalize(&linked) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => dir.to_owned(),
        target => target.map_err(|error| unreadable(&linked, &error))?,
    };
    Ok((read(&dir.join("tls.crt"))?, read(&dir.join("tls.key"))?))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let length = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if length > MAX_BYTES {
        return Err(unreadable(path, &format!("{length} bytes, the limit is {MAX_BYTES}")));
    }
    fs::read(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Unreadable { file: path.display().to_string(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use jiff::SignedDuration;

    use super::*;
    use crate::certs::issue::{Authority, Pair};

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn pair(days: i64) -> Pair {
        let authority = Authority::generate("test", now(), SignedDuration::from_hours(24)).unwrap();
        authority.issue(&["localhost".to_owned()], now(), SignedDuration::from_hours(24 * days)).unwrap()
    }

    /// Puts a pair where the kubelet would: a new folder, and one rename that swaps the link to it.
    fn mount(dir: &Path, name: &str, pair: &Pair) {
        fs::create_dir(dir.join(name)).unwrap();
        fs::write(dir.join(name).join("tls.crt"), &pair.certificate).unwrap();
        fs::write(dir.join(name).join("tls.key"), &pair.key).unwrap();
        symlink(name, dir.join("..data_tmp")).unwrap();
        fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
        for file in ["tls.crt", "tls.key"] {
            if fs::symlink_metadata(dir.join(file)).is_err() {
                symlink(Path::new("..data").join(file), dir.join(file)).unwrap();
            }
        }
    }

    fn files(dir: &Path) -> Files {
        Files::new(dir, Arc::new(Resolver::default()), Arc::new(Metrics::default()))
    }

    fn expires(files: &Files) -> Timestamp {
        files.resolver.current().unwrap().expires()
    }

    fn days(days: i64) -> Timestamp {
        now() + SignedDuration::from_hours(24 * days)
    }

    #[tokio::test]
    async fn serves_the_new_pair_after_the_link_was_swapped() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        mount(dir.path(), "..1", &pair(1));
        assert_eq!(files.look(now()).await, Ok(true));
        assert_eq!(expires(&files), days(1));
        assert_eq!(files.look(now()).await, Ok(false));
        mount(dir.path(), "..2", &pair(2));
        fs::remove_dir_all(dir.path().join("..1")).unwrap();
        assert_eq!(files.look(now()).await, Ok(true));
        assert_eq!(expires(&files), days(2));
    }

    #[tokio::test]
    async fn reads_plain_files_too() {
        let dir = tempfile::tempdir().unwrap();
        let pair = pair(3);
        fs::write(dir.path().join("tls.crt"), &pair.certificate).unwrap();
        fs::write(dir.path().join("tls.key"), &pair.key).unwrap();
        let mut files = files(dir.path());
        assert_eq!(files.look(now()).await, Ok(true));
        assert_eq!(expires(&files), days(3));
    }

    #[tokio::test]
    async fn keeps_the_old_pair_when_the_new_one_is_bad_and_says_so_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        let good = pair(5);
        mount(dir.path(), "..1", &good);
        files.look(now()).await.unwrap();
        mount(dir.path(), "..2", &Pair { key: pair(5).key, ..good.clone() });
        assert_eq!(files.look(now()).await, Err(Error::KeyMismatch));
        assert_eq!(files.look(now()).await, Ok(false));
        mount(dir.path(), "..3", &Pair { certificate: "half a certif".to_owned(), ..good });
        assert!(matches!(files.look(now()).await, Err(Error::BadCertificate { .. })));
        fs::remove_file(dir.path().join("..3/tls.key")).unwrap();
        assert!(matches!(files.look(now()).await, Err(Error::Unreadable { .. })));
        assert_eq!(files.look(now()).await, Ok(false));
        assert_eq!(expires(&files), days(5));
        let text = files.metrics.render();
        assert!(text.contains("pratique_certificate_loads_total{outcome=\"kept\"} 3\n"), "{text}");
        assert!(text.contains("pratique_certificate_loads_total{outcome=\"loaded\"} 1\n"), "{text}");
        // And recovers with the next good one.
        mount(dir.path(), "..4", &pair(6));
        assert_eq!(files.look(now()).await, Ok(true));
        assert_eq!(expires(&files), days(6));
    }

    #[tokio::test]
    async fn an_empty_folder_is_an_error_until_there_is_a_pair() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = files(dir.path());
        assert!(matches!(files.look(now()).await, Err(Error::Unreadable { .. })));
        assert!(files.resolver.current().is_none());
        assert!(files.metrics.render().contains("outcome=\"missing\"} 1"));
        mount(dir.path(), "..1", &pair(1));
        assert_eq!(files.look(now()).await, Ok(true));
    }
}
