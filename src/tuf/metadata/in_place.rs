//! A file whose signed part came in canonical form, read where it stands.
//!
//! A repository may list a hundred thousand targets in one file. Of those only the places are kept, and a target is read
//! when it is looked up. That it can be read is made sure of before: whatever is not as it should be, or is only written
//! in another form, makes [`InPlace::read`] give up, and the file is read in the ordinary way, which says what is wrong.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use serde_json::{Map, Value};

use super::{
    body::{MetaFile, TargetFile},
    by_name::ByName,
    delegation::Delegations,
    read::{Misshapen, clipped},
};
use crate::{
    crypto::{
        Hashes, Sha256,
        canonical::{MEMBERS, Outer, Reader, Written},
        json,
    },
    tuf::{name::TargetPath, stored::FileBytes},
};

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
    pub(super) meta: Option<ByName<MetaFile>>,
}

impl InPlace {
    /// Reads a file, if [`json::parse`] would and its signed part is canonical, and the members that `large` names if
    /// they would be read as well.
    pub(super) fn read(file: &FileBytes, large: &[&str]) -> Option<Self> {
        let text = std::str::from_utf8(file).ok()?;
        let (mut signatures, mut signed) = (None, None);
        Outer::members(text, |outer, name| {
            if name == "signed" {
                signed = Some(read_signed(outer, file, large)?);
            } else {
                let value = json::parse_within(outer.value()?.as_bytes(), MEMBERS).ok()?;
                if name == "signatures" {
                    signatures = Some(value);
                }
            }
            Some(())
        })?;
        let (signed, members, large) = signed?;
        Some(Self { signatures: signatures?, signed, members, large })
    }
}

fn read_signed(
    outer: &mut Outer<'_>,
    file: &FileBytes,
    wanted: &[&str],
) -> Option<(Range<usize>, Map<String, Value>, Large)> {
    let mut members = Map::new();
    let mut large = Large::default();
    let mut listed = None;
    let ((), place) = outer.canonical(|reader| {
        reader.object(|reader, name| {
            let from = reader.at();
            match name.plain().filter(|name| wanted.contains(name)) {
                Some("targets") => {
                    listed = Some(places(reader)?);
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
        })
    })?;
    if let Some(targets) = listed {
        // Where none is listed, the file need not be held: with delegations it may be large.
        let file = if targets.is_empty() { FileBytes::default() } else { file.clone() };
        large.targets = Some(ListedInPlace { file, from: place.start, targets: targets.into() });
    }
    Some((place, members, large))
}

/// Reads what is next, or leaves the reader where it is.
fn attempt<'a, T>(reader: &mut Reader<'a>, read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
    let mut ahead = reader.clone();
    let found = read(&mut ahead)?;
    *reader = ahead;
    Some(found)
}

fn meant(name: Written<'_>) -> Option<Value> {
    json::parse(&[b"\"", name.raw(), b"\""].concat()).ok()
}

/// The files that a snapshot lists. Where one has a hash of another algorithm or a member of another name, in the ordinary
/// way.
fn meta(reader: &mut Reader<'_>) -> Option<ByName<MetaFile>> {
    let mut found = Vec::new();
    reader.object(|reader, name| {
        let (mut version, mut length, mut hashes) = (None, None, None);
        reader.object(|reader, member| {
            match member.raw() {
                b"version" => version = Some(reader.unsigned().filter(|&version| version > 0)?),
                b"length" => length = Some(reader.unsigned()?),
                b"hashes" => hashes = Some(Hashes::sha256_only(only_sha256(reader)?)),
                _ => return None,
            }
            Some(())
        })?;
        found.push((name.plain()?, MetaFile { version: version?, length, hashes }));
        Some(())
    })?;
    // What is canonical is in order already.
    Some(ByName::of_sorted(found))
}

fn only_sha256(reader: &mut Reader<'_>) -> Option<Sha256> {
    let mut found = None;
    reader.object(|reader, name| {
        found = Some(reader.string()?.plain()?.parse().ok()?);
        (name.raw() == b"sha256").then_some(())
    })?;
    found
}

/// Where one target stands, from the beginning of the signed part.
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
fn places(reader: &mut Reader<'_>) -> Option<Vec<Place>> {
    let place = |at: usize| u32::try_from(at).ok();
    let mut found = Vec::new();
    reader.object(|reader, name| {
        let value = reader.at();
        target(reader)?;
        let name = name.place();
        found.push(Place {
            name: place(name.start)?,
            name_end: place(name.end)?,
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
    /// Where the signed part begins.
    from: usize,
    /// In the order of the paths, which is that of the file.
    targets: Arc<[Place]>,
}

impl PartialEq for ListedInPlace {
    fn eq(&self, other: &Self) -> bool {
        self.targets == other.targets && self.from == other.from && self.file == other.file
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
            Some(name) => {
                std::str::from_utf8(name).map_or(Ordering::Less, |name| Written::new(name).compare_to(path.as_str()))
            }
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

    /// The paths of all that is listed.
    pub(super) fn paths(&self) -> Vec<TargetPath> {
        let names = self.targets.iter().filter_map(|place| self.part(place.name, place.name_end));
        let texts = names.filter_map(|name| serde_json::from_slice::<String>(&[b"\"", name, b"\""].concat()).ok());
        texts.map(TargetPath::from).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    fn part(&self, from: u32, to: u32) -> Option<&[u8]> {
        let place = |at: u32| self.from.checked_add(usize::try_from(at).ok()?);
        self.file.get(place(from)?..place(to)?)
    }
}

#[cfg(test)]
mod tests;
