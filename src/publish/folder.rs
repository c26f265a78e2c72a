//! Writing a repository's folder so that a reader never meets half a file, nor a timestamp ahead of what it names.

#![expect(clippy::disallowed_methods, reason = "a repository that is published is files")]

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempPath};

use super::Error;

/// Writes all files below `dir`, or reports why none or not all took their names: each is written to a temporary name
/// and synced first; only when all are there are they renamed, in the order given.
pub(super) fn write_all(dir: &Path, files: &[(String, Vec<u8>)]) -> Result<(), Error> {
    let mut staged: Vec<(TempPath, PathBuf)> = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        let path = dir.join(name);
        // Closed at once: a repository with bins may have more of them than a process may have open files.
        staged.push((stage(&path, bytes, 0o644)?.into_temp_path(), path));
    }
    // When all are written, so that the disk takes them together.
    for (file, path) in &staged {
        File::open(file).and_then(|file| file.sync_all()).map_err(|error| Error::io("write", path, &error))?;
    }
    let mut parents = Vec::new();
    for (file, path) in staged {
        file.persist(&path).map_err(|error| Error::io("write", &path, &error.error))?;
        parents.extend(path.parent().map(Path::to_owned));
    }
    parents.sort();
    parents.dedup();
    // A rename lasts only when the folder that holds the name is synced too.
    parents.iter().try_for_each(|parent| sync(parent))
}

/// Writes one file that only its owner may read.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let file = stage(path, bytes, 0o600)?;
    file.as_file().sync_all().map_err(|error| Error::io("write", path, &error))?;
    file.persist_noclobber(path).map_err(|error| Error::io("write", path, &error.error))?;
    path.parent().map_or(Ok(()), sync)
}

fn stage(path: &Path, bytes: &[u8], mode: u32) -> Result<NamedTempFile, Error> {
    let failed = |error: &io::Error| Error::io("write", path, error);
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| failed(&error))?;
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(parent)
        .map_err(|error| failed(&error))?;
    file.write_all(bytes).map_err(|error| failed(&error))?;
    Ok(file)
}

fn sync(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| Error::io("write", dir, &error))
}

/// Whether there is a file or folder of this name.
pub(super) fn exists(path: &Path) -> Result<bool, Error> {
    fs::exists(path).map_err(|error| Error::io("read", path, &error))
}

/// Reads a file that need not be there.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path, &error)),
    }
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::io("read", path, &error))
}

/// Takes the folder for this process until the returned file is dropped. The folder itself is locked, so that nothing
/// is left behind in what a web server publishes.
pub(super) fn lock(dir: &Path) -> Result<File, Error> {
    let file = File::open(dir).map_err(|error| Error::io("read", dir, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(Error::io("read", dir, &error)),
    }
}

/// The names of the files in a folder.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let failed = |error: io::Error| Error::io("list", dir, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_before_the_first_rename_leaves_the_folder_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        write_all(dir.path(), &[("metadata/timestamp.json".to_owned(), b"old".to_vec())]).unwrap();
        let files = [
            ("metadata/timestamp.json".to_owned(), b"new".to_vec()),
            // A folder cannot be made below a file.
            ("metadata/timestamp.json/below".to_owned(), b"x".to_vec()),
        ];
        assert!(matches!(write_all(dir.path(), &files), Err(Error::Io { action: "write", .. })));
        assert_eq!(names(&dir.path().join("metadata")).unwrap(), ["timestamp.json"]);
        assert_eq!(read(&dir.path().join("metadata/timestamp.json")).unwrap(), b"old");
    }

    #[test]
    fn published_files_are_for_everyone_and_private_ones_are_not_and_are_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        write_all(dir.path(), &[("a".to_owned(), Vec::new())]).unwrap();
        write_private(&dir.path().join("key"), b"first").unwrap();
        let mode = |name| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a"), mode("key")), (0o644, 0o600));
        assert!(write_private(&dir.path().join("key"), b"second").is_err());
        assert_eq!(read(&dir.path().join("key")).unwrap(), b"first");
    }

    #[test]
    fn a_second_writer_is_told_that_the_folder_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert_eq!(lock(dir.path()).unwrap_err(), Error::Locked(dir.path().to_owned()));
        drop(held);
        assert!(lock(dir.path()).is_ok());
    }
}
