//! A file whose signed part came in canonical form, read where it stands.
//!
//! A repository may list a hundred thousand targets in one file. Of those only the places are kept, and a target is read
//! when it is looked up. That it can be read is made sure of before: whatever is not as it should be, or is only written
//! in another form, makes [`InPlace::read`] give up, and the file is read in the ordinary way, which says what is wrong.

use std::{cmp::Ordering, collections::BTreeMap, ops::Range, sync::Arc};

use serde_json::{Map, Value, value::RawValue};

use super::{
    body::{MetaFile, TargetFile},
    delegation::Delegations,
    read::{Misshapen, clipped},
};
use crate::{
    crypto::{
        canonical::{Reader, Written},
        json,
    },
    tuf::{name::TargetPath, stored::FileBytes},
};

/// How many containers deep the signed part is in its file.
const SIGNED: usize = 1;

/// The parts of a file whose signed part is canonical as it stands.
pub(super) struct InPlace {
    pub(super) signatures: Value,
    /// Where the signed part is.
    pub(super) signed: Range<usize>,
    /// Its members, without those in `large`.
    pub(super) members: Map<String, Value>,
    pub(super) large: Large,
}

/// Members that are large in large repositories, as far as they were read in place.
#[derive(Debug, Default)]
pub(in crate::tuf) struct Large {
    pub(super) targets: Option<ListedInPlace>,
    pub(super) delegations: Option<Delegations>,
    pub(super) meta: Option<BTreeMap<String, MetaFile>>,
}

impl InPlace {
    /// Reads a file, if [`json::parse`] would and its signed part is canonical, and the members that `large` names if
    /// they would be read as well.
    pub(super) fn read(file: &FileBytes, large: &[&str]) -> Option<Self> {
        let text = std::str::from_utf8(file).ok()?;
        let mut outer = Outer { text, at: 0 };
        let (mut signatures, mut signed) = (None, None);
        let mut names: Vec<&str> = Vec::new();
        outer.byte(b'{')?;
        loop {
            let name = outer.name()?;
            if names.contains(&name) || names.len() == MOST_PARTS {
                return None;
            }
            names.push(name);
            if name == "signed" {
                signed = Some(outer.signed(file, large)?);
            } else {
                let value = json::parse_within(outer.value()?.as_bytes(), SIGNED).ok()?;
                if name == "signatures" {
                    signatures = Some(value);
                }
            }
            match outer.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        if !outer.rest()?.bytes().all(is_space) {
            return None;
        }
        let (signed, members, large) = signed?;
        Some(Self { signatures: signatures?, signed, members, large })
    }
}

/// The members beside `signed` and `signatures` that a file may have to be read in place.
const MOST_PARTS: usize = 16;

/// Goes through the outermost object, in which there may be white space.
struct Outer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Outer<'a> {
    fn rest(&self) -> Option<&'a str> {
        self.text.get(self.at..)
    }

    fn next(&mut self) -> Option<u8> {
        let rest = self.rest()?;
        let space = rest.bytes().take_while(|&byte| is_space(byte)).count();
        self.at += space + 1;
        rest.as_bytes().get(space).copied()
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// A name and its colon.
    fn name(&mut self) -> Option<&'a str> {
        self.byte(b'"')?;
        let rest = self.rest()?;
        let name = rest.get(..rest.find('"')?)?;
        if name.bytes().any(|byte| byte == b'\\' || byte < b' ') {
            return None;
        }
        self.at += name.len() + 1;
        self.byte(b':')?;
        Some(name)
    }

    /// Any object, array or string.
    fn value(&mut self) -> Option<&'a str> {
        let mut values = serde_json::Deserializer::from_str(self.rest()?).into_iter::<&RawValue>();
        let value = values.next()?.ok()?.get();
        self.at += values.byte_offset();
        value.starts_with(['{', '[', '"']).then_some(value)
    }

    fn signed(&mut self, file: &FileBytes, wanted: &[&str]) -> Option<(Range<usize>, Map<String, Value>, Large)> {
        let rest = self.rest()?;
        let start = self.at + rest.bytes().take_while(|&byte| is_space(byte)).count();
        let text = self.text.get(start..)?;
        let mut reader = Reader::new(text, SIGNED);
        let mut members = Map::new();
        let mut large = Large::default();
        reader.object(|reader, name| {
            let from = reader.at();
            match name.plain().filter(|name| wanted.contains(name)) {
                Some("targets") => {
                    large.targets = Some(ListedInPlace { file: file.clone(), targets: places(reader, start)?.into() });
                    return Some(());
                }
                // These may be read in the ordinary way where they are not of the usual form.
                Some("delegations") => large.delegations = attempt(reader, Delegations::read_in_place),
                Some("meta") => large.meta = attempt(reader, meta),
                _ => {}
            }
            if reader.at() > from {
                return Some(());
            }
            let value = reader.value()?;
            let Value::String(name) = meant(name)? else { return None };
            members.insert(name, value);
            Some(())
        })?;
        self.at = start + reader.at();
        Some((start..self.at, members, large))
    }
}

/// Reads what is next, or leaves the reader where it is.
fn attempt<'a, T>(reader: &mut Reader<'a>, read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
    let mut ahead = reader.clone();
    let found = read(&mut ahead)?;
    *reader = ahead;
    Some(found)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn meant(name: Written<'_>) -> Option<Value> {
    json::parse(&[b"\"", name.raw(), b"\""].concat()).ok()
}

/// The files that a snapshot lists. Where more is said of one than its version, in the ordinary way.
fn meta(reader: &mut Reader<'_>) -> Option<BTreeMap<String, MetaFile>> {
    let mut found = Vec::new();
    reader.object(|reader, name| {
        let mut version = None;
        reader.object(|reader, member| {
            version = Some(reader.unsigned().filter(|&version| version > 0)?);
            (member.raw() == b"version").then_some(())
        })?;
        found.push((name.plain()?.to_owned(), MetaFile { version: version?, length: None, hashes: None }));
        Some(())
    })?;
    Some(found.into_iter().collect())
}

/// Where one target stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The first byte of its name.
    name: u32,
    /// The colon's place after the name is one more than this.
    name_end: u32,
    value: u32,
    value_end: u32,
}

/// Goes over the targets, and sees that [`TargetFile::read`] can read each.
fn places(reader: &mut Reader<'_>, base: usize) -> Option<Vec<Place>> {
    let place = |at: usize| u32::try_from(base + at).ok();
    let mut found = Vec::new();
    reader.object(|reader, name| {
        let value = reader.at();
        target(reader)?;
        // The name ends at the quote and the colon before the value.
        let name_end = value.checked_sub(2)?;
        found.push(Place {
            name: place(name_end.checked_sub(name.raw().len())?)?,
            name_end: place(name_end)?,
            value: place(value)?,
            value_end: place(reader.at())?,
        });
        Some(())
    })?;
    found.shrink_to_fit();
    Some(found)
}

fn target(reader: &mut Reader<'_>) -> Option<()> {
    let (mut length, mut hashed) = (None, None);
    reader.object(|reader, name| match name.raw() {
        b"length" => {
            length = Some(reader.unsigned()?);
            Some(())
        }
        b"hashes" => {
            hashed = Some(hashes(reader)?);
            Some(())
        }
        b"custom" if reader.peek()? != b'{' => None,
        _ => reader.skip(),
    })?;
    length.and(hashed.filter(|&known| known)).map(drop)
}

/// Whether one of the hashes is of an algorithm that is known.
fn hashes(reader: &mut Reader<'_>) -> Option<bool> {
    let mut known = false;
    reader.object(|reader, name| {
        let digits = match name.raw() {
            b"sha256" => Some(64),
            b"sha512" => Some(128),
            _ => None,
        };
        let value = reader.string()?.raw();
        let Some(digits) = digits else { return Some(()) };
        known = true;
        let is_hex = value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (value.len() == digits && is_hex).then_some(())
    })?;
    Some(known)
}

/// The targets of one role, in its file.
#[derive(Debug, Clone)]
pub(in crate::tuf) struct ListedInPlace {
    file: FileBytes,
    /// In the order of the paths, which is that of the file.
    targets: Arc<[Place]>,
}

impl PartialEq for ListedInPlace {
    fn eq(&self, other: &Self) -> bool {
        self.targets == other.targets && self.file == other.file
    }
}

impl Eq for ListedInPlace {}

impl ListedInPlace {
    /// What is listed about `path`, if anything is.
    ///
    /// # Errors
    /// What is listed cannot be read after all.
    pub(super) fn get(&self, path: &TargetPath) -> Result<Option<Arc<TargetFile>>, Misshapen> {
        let order = |place: &Place| match self.part(place.name, place.name_end) {
            Some(name) => Written::new(name).compare_to(path.as_str()),
            None => Ordering::Less,
        };
        let Ok(index) = self.targets.binary_search_by(order) else { return Ok(None) };
        let value = self.targets.get(index).and_then(|place| self.part(place.value, place.value_end));
        json::parse(value.unwrap_or_default())
            .map_err(|error| Misshapen::new(error.to_string()))
            .and_then(|value| TargetFile::read(path.as_str(), value))
            .map(|(_, target)| Some(target))
            .map_err(|error| error.within(&format!("[{:?}]", clipped(path.to_string()))))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    fn part(&self, from: u32, to: u32) -> Option<&[u8]> {
        self.file.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
    }
}

#[cfg(test)]
mod tests;
