//! What of a repository is kept on disk, and what happens when the disk lies?
//!
//! ```text
//! root.json timestamp.json snapshot.json targets.json <role>.json   the trusted metadata, as it was received
//! roots/<version>.root.json                                         every root on the way to the newest one
//! targets/<sha256>                                                  target files by their content
//! .lock                                                             held by whoever writes metadata
//! ```
//!
//! The disk is a cache (trust.md §5): nothing read from it is believed before it is verified again, so what cannot be
//! read counts as absent and is fetched anew. Writes are whole or not at all: a temporary file in the same folder,
//! synced, renamed, and the folder synced. A disk that does not answer is given up (see `patience`).

#![expect(clippy::disallowed_methods, reason = "the store is files")]

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    crypto::Sha256,
    tuf::{FileBytes, Limits, RoleName},
};

use self::patience::Patience;

mod patience;
#[cfg(test)]
mod tests;

/// The folder of one repository. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    dir: Arc<Path>,
    targets: Arc<Targets>,
    patience: Arc<Patience>,
}

/// How much of target files is kept. They are named by their content, so nothing ever takes the place of another.
#[derive(Debug, Default)]
struct Targets {
    /// Bytes after which those written longest ago go; all are kept where there is none.
    kept: Option<u64>,
    /// Bytes that were written since that was last looked at.
    since: AtomicU64,
}

/// The right to change the metadata of a [`Store`]: held by one process at a time, from before the first byte is read
/// until after the last is written, so that nobody replaces a version by an older one that he began with earlier.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    lock: Arc<File>,
}

/// Why something was not stored. What cannot be *read* is no error, it is absent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {why}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Another process held the lock until the deadline.
    #[error("{}: another process is writing there", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A name that is not the name of a metadata file.
    #[error("{name:?} is not the name of a metadata file")]
    BadName {
        /// The name.
        name: String,
    },
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::BadName { .. } => "internal/store",
            Self::Locked { .. } => "internal/store-locked",
        }
    }
}

/// Bytes of target files that a process keeps that lives long: of one repository, where the folder of all may have a few
/// hundred mebibytes.
const TARGETS: u64 = 64 << 20;
/// For whoever can wait: as long as a refresh may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Less than a review may take.
const REVIEW_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two attempts at a lock that another process holds.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// The longest file name written; file systems end at 255 bytes.
const MAX_NAME: usize = 200;
const TEMPORARY: &str = ".new-";

/// The name of the file in which the metadata of a role is kept: percent-encoded as in its URL.
pub fn file_name(role: &RoleName) -> String {
    /// What Python's `quote(role, safe="")` encodes.
    const ENCODED: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    format!("{}.json", percent_encoding::utf8_percent_encode(role.as_str(), ENCODED))
}

/// Replaces a file as a whole, or leaves it as it was. The folder must exist.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "a file is in a folder"))?;
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The rename itself is an entry in the folder.
    File::open(dir)?.sync_all()
}

impl Store {
    /// The store in a folder, which is made if it is missing.
    pub async fn open(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        let dir: PathBuf = dir.into();
        let store = Self { dir: dir.as_path().into(), targets: Arc::default(), patience: Patience::of(PATIENCE) };
        store.patiently(move |_| fs::create_dir_all(&dir).map_err(at(&dir))).await??;
        Ok(store)
    }

    /// The same for a process that lives long and is waited for: with an end to what target files may take, which are
    /// fetched again when they went, and less patience with the disk. A state into which a bundle was imported is all
    /// there is.
    pub fn bounded(self) -> Self {
        Self { patience: Patience::of(REVIEW_PATIENCE), ..self.keeping(TARGETS) }
    }

    fn keeping(self, kept: u64) -> Self {
        // What processes before this one have left is looked at with the first file.
        let targets = Targets { kept: Some(kept), since: AtomicU64::new(kept) };
        Self { targets: Arc::new(targets), ..self }
    }

    /// Waits until nobody else writes here, at most until `deadline`.
    pub async fn writer(&self, deadline: Instant) -> Result<Writer, Error> {
        loop {
            let lock = self.patiently(|dir| lock(&dir.join(".lock"))).await??;
            if let Some(lock) = lock {
                let writer = Writer { store: self.clone(), lock: Arc::new(lock) };
                writer.write(sweep).await?;
                return Ok(writer);
            }
            if Instant::now() >= deadline {
                return Err(Error::Locked { path: self.dir.to_path_buf() });
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
    }

    /// The metadata file `name` (see [`file_name`]), unverified.
    pub async fn metadata(&self, name: &str, max_bytes: u64) -> Option<Vec<u8>> {
        let name = metadata_name(name).ok()?;
        self.blocking(move |dir| read(&dir.join(name), max_bytes)).await
    }

    /// The stored roots from version `first` on, without gaps, unverified.
    pub async fn roots(&self, first: u64, limits: &Limits) -> Vec<Vec<u8>> {
        let (max_bytes, rotations) = (limits.root_bytes, u64::from(limits.root_rotations));
        let read_all = move |dir: &Path| {
            let versions = first..first.saturating_add(rotations);
            versions.map_while(|version| read(&dir.join(root_name(version)), max_bytes)).collect()
        };
        self.blocking(read_all).await
    }

    /// All stored roots from the oldest on, without gaps, unverified.
    pub async fn all_roots(&self, limits: &Limits) -> Vec<Vec<u8>> {
        let oldest = |dir: &Path| {
            let entries = fs::read_dir(dir.join("roots")).ok()?;
            let version = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".root.json")?.parse().ok();
            entries.flatten().filter_map(version).min()
        };
        match self.blocking(oldest).await {
            Some(first) => self.roots(first, limits).await,
            None => Vec::new(),
        }
    }

    /// The target file with this content, if it is here and still has it.
    pub async fn target(&self, digest: Sha256, max_bytes: u64) -> Option<Vec<u8>> {
        let read_checked = move |dir: &Path| {
            let path = dir.join(target_name(digest));
            let bytes = read(&path, max_bytes)?;
            let found = Sha256::of(&bytes);
            if found != digest {
                tracing::warn!(path = %path.display(), %found, "a stored target file has another content, ignored");
                return None;
            }
            Some(bytes)
        };
        // Whatever it is about, it can be fetched: a disk that does not answer has nothing.
        self.patiently(read_checked).await.ok().flatten()
    }

    /// Keeps a target file under its content. Where that has a bound, those written longest ago go.
    pub async fn put_target(&self, bytes: &[u8]) -> Result<Sha256, Error> {
        let bytes = bytes.to_vec();
        let (digest, targets) = (Sha256::of(&bytes), self.targets.clone());
        let put = move |dir: &Path| {
            write(&dir.join(target_name(digest)), &bytes)?;
            let Some(kept) = targets.kept else { return Ok(()) };
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let since = targets.since.fetch_add(length, Ordering::Relaxed).saturating_add(length);
            // A look goes over all of them.
            if since <= kept / 8 {
                return Ok(());
            }
            targets.since.store(0, Ordering::Relaxed);
            prune(&dir.join("targets"), kept)
        };
        self.patiently(put).await??;
        Ok(digest)
    }
}

impl Writer {
    /// Keeps the metadata file `name` (see [`file_name`]), the exact bytes that were received.
    pub async fn put(&self, name: &str, bytes: impl Into<FileBytes>) -> Result<(), Error> {
        let (name, bytes) = (metadata_name(name)?, bytes.into());
        self.write(move |dir| write(&dir.join(name), &bytes)).await
    }

    /// Keeps one root of the chain.
    pub async fn put_root(&self, version: u64, bytes: impl Into<FileBytes>) -> Result<(), Error> {
        let bytes = bytes.into();
        self.write(move |dir| write(&dir.join(root_name(version)), &bytes)).await
    }

    /// Forgets a metadata file (TUF 5.3.11: fast-forward recovery). It may be absent already.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        let name = metadata_name(name)?;
        self.write(move |dir| {
            let path = dir.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                removed => removed.and_then(|()| File::open(dir)?.sync_all()).map_err(at(&path)),
            }
        })
        .await
    }

    /// A change that is given up keeps the lock for as long as the disk may still make it.
    async fn write(&self, work: impl FnOnce(&Path) -> Result<(), Error> + Send + 'static) -> Result<(), Error> {
        let lock = self.lock.clone();
        let locked = move |dir: &Path| {
            let done = work(dir);
            drop(lock);
            done
        };
        self.store.patiently(locked).await?
    }
}

/// Turns an IO error into ours.
fn at(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::Io { path: path.clone(), why: error.to_string() }
}

/// A name that stays in the folder and is read as metadata; one that file systems find too long is shortened.
fn metadata_name(name: &str) -> Result<String, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte);
    match name.strip_suffix(".json") {
        Some(stem) if !stem.is_empty() && stem.bytes().all(plain) => {
            let long = stem.len() > MAX_NAME;
            Ok(if long { format!("~{}.json", Sha256::of(stem.as_bytes())) } else { name.to_owned() })
        }
        _ => Err(Error::BadName { name: name.to_owned() }),
    }
}

fn root_name(version: u64) -> String {
    format!("roots/{version}.root.json")
}

fn target_name(digest: Sha256) -> String {
    format!("targets/{digest}")
}

/// A whole file, or `None` where something else is there. One that is longer is [`ErrorKind::FileTooLarge`].
pub(super) fn read_at_most(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    // Before opening: to open a named pipe is to wait for whoever writes it.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    // Its memory at once: a large role would be copied each time that it grows.
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(max_bytes)).unwrap_or(0));
    File::open(path)?.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max_bytes {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("larger than {max_bytes} bytes")));
    }
    Ok(Some(bytes))
}

/// A whole file, or `None` with a warning for whatever is wrong with it.
fn read(path: &Path, max_bytes: u64) -> Option<Vec<u8>> {
    let open = || -> io::Result<Vec<u8>> {
        let bytes = read_at_most(path, max_bytes)?;
        let bytes = bytes.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "not a file"))?;
        // A file system that lost power may keep the name and lose the content.
        if bytes.is_empty() { Err(io::Error::new(ErrorKind::UnexpectedEof, "empty")) } else { Ok(bytes) }
    };
    match open() {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a stored file cannot be used and counts as absent");
            None
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    // Most refreshes find what is here already.
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let here = fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == length);
    if here && read(path, length).is_some_and(|found| found == bytes) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(at(dir))?;
    }
    write_atomically(path, bytes).map_err(at(path))
}

/// The lock, or `None` while another process (or another `Writer` of this one) has it.
fn lock(path: &Path) -> Result<Option<File>, Error> {
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(at(path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(at(path)(error)),
    }
}

/// Removes what writers that were killed left behind. Under the lock: nobody is writing now.
fn sweep(dir: &Path) -> Result<(), Error> {
    for dir in [dir.to_owned(), dir.join("roots")] {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(at(&dir))?,
        };
        for entry in entries.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
                fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
            }
        }
    }
    Ok(())
}

fn prune(dir: &Path, max_bytes: u64) -> Result<(), Error> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(at(dir))?,
    };
    // A file that went away meanwhile is one less to remove.
    let facts = |entry: fs::DirEntry| {
        let metadata = entry.metadata().ok()?;
        Some((metadata.modified().ok()?, entry.path(), metadata.len()))
    };
    let mut files: Vec<_> = entries.flatten().filter_map(facts).collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, _, length)| length).sum();
    for (_, path, length) in files {
        if total <= max_bytes {
            break;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(&path)(error)),
            _ => total = total.saturating_sub(length),
        }
    }
    Ok(())
}
