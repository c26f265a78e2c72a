//! A repository in a folder: mounted into the pod, unpacked from a bundle, or made by `pratique repo`.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use reqwest::Url;
use tokio::sync::Semaphore;

use super::{Error, is_plain, outside, printable};
use crate::{repository::store::read_at_most, tuf::FetchError};

/// One folder. A file has its name in the request, as repository tools write the files of roles (`1.team%2Fa.json`), or
/// else what a static web server over the same folder would serve: percent-encoding is undone. Symbolic links are
/// followed, mounted ConfigMaps consist of them.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    threads: Arc<Semaphore>,
}

/// Files that are read at one time. A folder that hangs, as one on the other side of a network may, holds so many threads;
/// and each thread that reads comes to hold the memory of a file.
const AT_A_TIME: usize = 2;

impl Folder {
    pub(super) fn open(url: &Url) -> Result<Self, Error> {
        let path = url.to_file_path().map_err(|()| Error::BadUrl {
            url: printable(url),
            why: "it names no folder of this machine".to_owned(),
        })?;
        Ok(Self { path, threads: Arc::new(Semaphore::new(AT_A_TIME)) })
    }

    pub(super) async fn fetch(&self, path: &str, max_bytes: u64) -> Result<Vec<u8>, FetchError> {
        // Decoded as well before anything is opened: `..%2F..` is as much a way out as `../..`.
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8().map_err(|_| outside(path))?;
        let decoded = self.join(&decoded).ok_or_else(|| outside(path))?;
        let literal = self.join(path).ok_or_else(|| outside(path))?;
        let read = move || match read(&literal, max_bytes) {
            Err(FetchError::NotFound) if decoded != literal => read(&decoded, max_bytes),
            found => found,
        };
        // Nobody closes it. Held by the thread: whoever waits may give up.
        let thread = self.threads.clone().acquire_owned().await;
        let read = move || {
            let _thread = thread;
            read()
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(FetchError::Unreachable(error.to_string())))
    }

    /// Where a file of the repository would be, or `None` if that is not below the folder. Nothing touches the disk.
    fn join(&self, path: &str) -> Option<PathBuf> {
        let below = path.split('/').all(is_plain) && !path.contains('\\');
        below.then(|| self.path.iter().chain(Path::new(path).iter()).collect())
    }
}

fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FetchError> {
    let read = read_at_most(path, max_bytes).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => FetchError::NotFound,
        ErrorKind::FileTooLarge => FetchError::TooLarge { limit: max_bytes },
        _ => FetchError::Unreachable(format!("{}: {error}", path.display())),
    });
    read?.ok_or(FetchError::NotFound)
}
