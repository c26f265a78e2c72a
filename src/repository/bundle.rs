//! Files of repositories carried as one file, for where no network leads.
//!
//! ```text
//! pratique bundle 1
//! image registry.example/team/app@sha256:…
//! file acme metadata 1234 timestamp.json
//! <1234 bytes>
//! …
//! end <sha256 of all before>
//! ```
//!
//! Entries are named as a client asks for them and stand in the order of their names, so equal content makes equal bundles
//! and nothing stands twice. No name becomes the name of a file. Nothing here is believed: whoever imports verifies it as
//! he would what a server sends. The digest at the end only tells a bundle that arrived damaged from one that is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{crypto::Sha256, evidence::RepositoryName, tuf::fetch::FetchBase};

/// Bytes of a bundle.
pub const MAX_BYTES: usize = 512 << 20;
/// Files in a bundle.
const MAX_FILES: usize = 1 << 16;
/// Images of a bundle.
const MAX_IMAGES: usize = 1 << 12;
/// Bytes of one line.
const MAX_LINE: usize = 4096;
const FIRST: &str = "pratique bundle 1";

/// The files of one repository, by what is asked for.
pub type Held = BTreeMap<(FetchBase, String), Arc<[u8]>>;

/// What is carried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The images that it was made for.
    pub images: BTreeSet<String>,
    /// The files.
    pub repositories: BTreeMap<RepositoryName, Held>,
}

/// Why a file is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another kind of file, or one of a version that is not read.
    #[error("it does not begin with {FIRST:?}")]
    NoBundle,
    /// It ends before its end.
    #[error("it is cut off")]
    Truncated,
    /// There is more behind its end.
    #[error("something stands behind its end")]
    Trailing,
    /// Its content is not the one that was written.
    #[error("it was damaged on its way: its digest is another")]
    Damaged,
    /// A line that means nothing here.
    #[error("line {0:?} means nothing in it")]
    Line(String),
    /// An entry that does not come after the one before it.
    #[error("{0:?} stands twice in it, or out of order")]
    Order(String),
    /// More than is read.
    #[error("it has more than {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
}

impl Bundle {
    /// The bundle as a file.
    ///
    /// # Errors
    /// It would be larger than is read, or a name does not fit into a line.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        let mut out = format!("{FIRST}\n").into_bytes();
        for image in &self.images {
            out.extend(line(&format!("image {image}"))?);
        }
        for (repository, held) in &self.repositories {
            for ((base, path), bytes) in held {
                let base = word(*base);
                out.extend(line(&format!("file {repository} {base} {} {path}", bytes.len()))?);
                out.extend_from_slice(bytes);
                out.push(b'\n');
            }
        }
        let digest = Sha256::of(&out);
        out.extend(line(&format!("end {digest}"))?);
        // What cannot be read again is not written.
        Self::read(&out).map(|_| out)
    }

    /// Reads a bundle.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        too_much(bytes.len(), MAX_BYTES, "bytes")?;
        let mut rest = Rest { bytes, at: 0 };
        if rest.line().ok() != Some(FIRST) {
            return Err(Error::NoBundle);
        }
        let mut bundle = Self::default();
        let (mut last_image, mut last_file) = (None, None);
        let mut files: usize = 0;
        loop {
            let begin = rest.at;
            let text = rest.line()?;
            let unknown = || Error::Line(text.chars().take(100).collect());
            let (kind, value) = text.split_once(' ').ok_or_else(unknown)?;
            match kind {
                "image" if files == 0 => {
                    in_order(&mut last_image, value.to_owned(), value)?;
                    bundle.images.insert(value.to_owned());
                    too_much(bundle.images.len(), MAX_IMAGES, "images")?;
                }
                "file" => {
                    files = files.saturating_add(1);
                    too_much(files, MAX_FILES, "files")?;
                    let [repository, base, length, path] = fields(value).ok_or_else(unknown)?;
                    let repository: RepositoryName = repository.parse().map_err(|_| unknown())?;
                    let base = base_of(base).ok_or_else(unknown)?;
                    let length: usize = length.parse().map_err(|_| unknown())?;
                    in_order(&mut last_file, (repository.clone(), base, path.to_owned()), path)?;
                    let body = rest.take(length)?;
                    if rest.take(1)? != b"\n" {
                        return Err(unknown());
                    }
                    bundle.repositories.entry(repository).or_default().insert((base, path.to_owned()), body.into());
                }
                "end" => {
                    let before = bytes.get(..begin).unwrap_or_default();
                    return match value.parse::<Sha256>() {
                        _ if rest.at != bytes.len() => Err(Error::Trailing),
                        Ok(digest) if digest == Sha256::of(before) => Ok(bundle),
                        _ => Err(Error::Damaged),
                    };
                }
                _ => return Err(unknown()),
            }
        }
    }
}

/// What was not read yet.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn line(&mut self) -> Result<&'a str, Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let window = rest.get(..MAX_LINE).unwrap_or(rest);
        let end = window.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or(if window.len() < MAX_LINE { Error::Truncated } else { long_line() })?;
        let text = rest.get(..end).and_then(|line| str::from_utf8(line).ok());
        let text = text.filter(|text| !text.contains(char::is_control)).ok_or_else(|| Error::Line("…".to_owned()))?;
        self.at = self.at.saturating_add(end).saturating_add(1);
        Ok(text)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(length).ok_or(Error::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(Error::Truncated)?;
        self.at = end;
        Ok(taken)
    }
}

fn long_line() -> Error {
    Error::TooMuch { what: "bytes in a line", limit: MAX_LINE }
}

fn too_much(count: usize, limit: usize, what: &'static str) -> Result<(), Error> {
    if count > limit { Err(Error::TooMuch { what, limit }) } else { Ok(()) }
}

fn in_order<T: Ord>(last: &mut Option<T>, next: T, name: &str) -> Result<(), Error> {
    if last.as_ref().is_some_and(|last| *last >= next) {
        return Err(Error::Order(name.to_owned()));
    }
    *last = Some(next);
    Ok(())
}

fn fields(value: &str) -> Option<[&str; 4]> {
    let mut fields = value.splitn(4, ' ');
    Some([fields.next()?, fields.next()?, fields.next()?, fields.next()?])
}

fn line(text: &str) -> Result<Vec<u8>, Error> {
    if text.contains(char::is_control) {
        return Err(Error::Line("…".to_owned()));
    }
    if text.len() >= MAX_LINE {
        return Err(long_line());
    }
    Ok(format!("{text}\n").into_bytes())
}

fn word(base: FetchBase) -> &'static str {
    match base {
        FetchBase::Metadata => "metadata",
        FetchBase::Targets => "targets",
    }
}

fn base_of(word: &str) -> Option<FetchBase> {
    [FetchBase::Metadata, FetchBase::Targets].into_iter().find(|base| self::word(*base) == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        let held = |files: &[(FetchBase, &str, &str)]| {
            files.iter().map(|(base, path, text)| ((*base, (*path).to_owned()), text.as_bytes().into())).collect()
        };
        Bundle {
            images: ["r.example/a@sha256:1".to_owned(), "r.example/b:1".to_owned()].into(),
            repositories: BTreeMap::from([
                (
                    "acme".parse().unwrap(),
                    held(&[
                        (FetchBase::Metadata, "1.root.json", "root"),
                        (FetchBase::Metadata, "timestamp.json", "time\nstamp"),
                        (FetchBase::Targets, "../../etc/a b", ""),
                    ]),
                ),
                ("other".parse().unwrap(), held(&[(FetchBase::Metadata, "1.root.json", "x")])),
            ]),
        }
    }

    /// A bundle with these lines and a right end.
    fn ended(text: &str) -> Vec<u8> {
        let mut bytes = format!("{FIRST}\n{text}").into_bytes();
        let digest = Sha256::of(&bytes);
        bytes.extend(format!("end {digest}\n").into_bytes());
        bytes
    }

    #[test]
    fn what_is_written_is_read_and_equal_content_makes_equal_files() {
        let bytes = bundle().write().unwrap();
        assert_eq!(Bundle::read(&bytes), Ok(bundle()));
        assert_eq!(bundle().write().unwrap(), bytes);
        let begin = "pratique bundle 1\nimage r.example/a@sha256:1\nimage r.example/b:1\nfile acme metadata 4 1.root.json\nroot\n";
        assert!(bytes.starts_with(begin.as_bytes()), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(Bundle::read(&ended("")), Ok(Bundle::default()));
    }

    #[test]
    fn a_bundle_that_is_cut_off_anywhere_is_no_bundle() {
        let bytes = bundle().write().unwrap();
        for end in 0..bytes.len() {
            let error = Bundle::read(&bytes[..end]).unwrap_err();
            assert!(matches!(error, Error::Truncated | Error::NoBundle | Error::Damaged), "{end}: {error}");
        }
    }

    #[test]
    fn a_bundle_that_was_changed_anywhere_is_no_bundle() {
        let bytes = bundle().write().unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Bundle::read(&changed).is_err(), "{at}");
        }
        let more = [bytes.as_slice(), b"\n"].concat();
        assert_eq!(Bundle::read(&more), Err(Error::Trailing));
    }

    #[test]
    fn each_odd_thing_is_named() {
        let order = |name: &str| Err(Error::Order(name.to_owned()));
        let line = |text: &str| Err(Error::Line(text.to_owned()));
        let file = "file acme metadata 1 b\nx\n";
        for (text, wanted) in [
            (format!("{file}{file}"), order("b")),
            (format!("{file}file acme metadata 1 a\nx\n"), order("a")),
            (format!("file acme targets 1 a\nx\n{file}"), order("b")),
            ("image b\nimage a\n".into(), order("a")),
            ("image a\nimage a\n".into(), order("a")),
            (format!("{file}image a\n"), line("image a")),
            ("file acme metadata 1 b\nxx\n".into(), line("file acme metadata 1 b")),
            ("file acme elsewhere 1 b\nx\n".into(), line("file acme elsewhere 1 b")),
            ("file ../acme metadata 1 b\nx\n".into(), line("file ../acme metadata 1 b")),
            ("file acme metadata -1 b\n".into(), line("file acme metadata -1 b")),
            ("file acme metadata 1\n".into(), line("file acme metadata 1")),
            ("link acme b\n".into(), line("link acme b")),
            ("\n".into(), line("")),
            ("image a\0\n".into(), line("…")),
            (format!("file acme metadata {} b\nx\n", usize::MAX), Err(Error::Truncated)),
            (format!("image {}\n", "a".repeat(MAX_LINE)), Err(long_line())),
        ] {
            assert_eq!(Bundle::read(&ended(&text)), wanted, "{text}");
        }
        let many: String = (0..=MAX_IMAGES).map(|number| format!("image {number:05}\n")).collect();
        assert_eq!(Bundle::read(&ended(&many)), Err(Error::TooMuch { what: "images", limit: MAX_IMAGES }));
        let many: String = (0..=MAX_FILES).map(|number| format!("file a metadata 0 {number:05}\n\n")).collect();
        assert_eq!(Bundle::read(&ended(&many)), Err(Error::TooMuch { what: "files", limit: MAX_FILES }));
        assert_eq!(Bundle::read(b"version: 1\n"), Err(Error::NoBundle));
    }
}
