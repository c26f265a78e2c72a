//! The archive of a layer: POSIX ustar with pax headers, and the long names of GNU (IEEE 1003.1, "pax"; GNU tar manual).
//!
//! Readers of archives disagree at their edges, and files were hidden there before: which of two names or sizes counts,
//! what a size means where there is no content, what stands behind the end. Whatever is not plain is refused.

use std::{collections::BTreeMap, io::Read};

use super::{
    Entry, Layer, LayerFault, Limits, entry_fault, limit,
    names::{normal, whiteout},
};
use crate::crypto::digest::Digester;

const BLOCK: usize = 512;
/// Bytes of the extended header of one entry.
const MAX_PAX: u64 = 1 << 20;

/// Reads an archive to its end.
pub(super) fn read(input: impl Read, limits: &Limits) -> Result<Layer, LayerFault> {
    let mut tar = Tar { input, limits, read: 0 };
    let mut layer = Layer::default();
    let mut entries: usize = 0;
    let mut ahead = Ahead::default();
    while let Some(block) = tar.block()? {
        if block.iter().all(|byte| *byte == 0) {
            tar.only_zeros()?;
            break;
        }
        let header = Header::read(&block)?;
        match header.kind {
            b'x' | b'L' | b'K' => ahead.read(&header, &mut tar)?,
            _ => {
                entries = entries.saturating_add(1);
                if entries > limits.entries {
                    return Err(limit("entries", limits.entries));
                }
                let header = ahead.apply(header)?;
                take(&header, &mut tar, &mut layer)?;
            }
        }
    }
    if !ahead.is_empty() {
        return Err(malformed("an extended header has no entry behind it"));
    }
    layer.bytes = tar.read;
    layer.no_link_ahead()?;
    Ok(layer)
}

fn malformed(why: &str) -> LayerFault {
    LayerFault::Malformed(why.to_owned())
}

struct Tar<'l, R> {
    input: R,
    limits: &'l Limits,
    read: u64,
}

impl<R: Read> Tar<'_, R> {
    /// Reads as much as there is, up to the length of `buffer`.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, LayerFault> {
        let mut filled: usize = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) => break,
                Ok(read) => filled = filled.saturating_add(read),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerFault::Malformed(error.to_string())),
            }
        }
        self.read = self.read.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
        if self.read > self.limits.bytes {
            return Err(limit("bytes unpacked", self.limits.bytes));
        }
        Ok(filled)
    }

    /// The next block; none at the end.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, LayerFault> {
        let mut block = [0; BLOCK];
        match self.fill(&mut block)? {
            0 => Ok(None),
            BLOCK => Ok(Some(block)),
            _ => Err(malformed("it ends within a block")),
        }
    }

    /// Hands the content of an entry on in pieces, and passes over what pads it.
    fn content(&mut self, size: u64, mut each: impl FnMut(&[u8])) -> Result<(), LayerFault> {
        let mut buffer = vec![0; 64 << 10];
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let piece = buffer.get_mut(..most).unwrap_or_default();
            let read = self.fill(piece)?;
            if read < most {
                return Err(malformed("it ends within a file"));
            }
            each(piece);
            left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        }
        const BLOCK_SIZE: u64 = BLOCK as u64;
        let padding = usize::try_from((BLOCK_SIZE - size % BLOCK_SIZE) % BLOCK_SIZE).unwrap_or_default();
        let padding = buffer.get_mut(..padding).unwrap_or_default();
        let wanted = padding.len();
        if self.fill(padding)? < wanted {
            return Err(malformed("it ends within a file"));
        }
        Ok(())
    }

    /// Holds that nothing stands behind the end.
    fn only_zeros(&mut self) -> Result<(), LayerFault> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = self.fill(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            if buffer.get(..read).unwrap_or_default().iter().any(|byte| *byte != 0) {
                return Err(malformed("something stands behind its end"));
            }
        }
    }

    fn text(&mut self, size: u64, most: u64) -> Result<Vec<u8>, LayerFault> {
        if size > most {
            return Err(limit("bytes of an extended header", most));
        }
        let mut text = Vec::new();
        self.content(size, |piece| text.extend_from_slice(piece))?;
        Ok(text)
    }
}

/// What a header says.
struct Header {
    kind: u8,
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    /// Major and minor number of a device.
    device: (u64, u64),
}

impl Header {
    fn read(block: &[u8; BLOCK]) -> Result<Self, LayerFault> {
        let field = |from: usize, length: usize| block.get(from..from.saturating_add(length)).unwrap_or_default();
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte }))
            .sum();
        if number(field(148, 8)) != Some(sum) {
            return Err(malformed("the checksum of a header is wrong"));
        }
        // What came before ustar has no version here, and no fields that agree.
        let prefix = match field(257, 8) {
            b"ustar\x0000" => until_zero(field(345, 155)),
            b"ustar  \0" => &[],
            _ => return Err(malformed("a header is neither of ustar nor of GNU")),
        };
        let name = match (prefix, until_zero(field(0, 100))) {
            ([], name) => name.to_vec(),
            (prefix, name) => [prefix, b"/", name].concat(),
        };
        let numeric = |from, length, what| number(field(from, length)).ok_or_else(|| malformed(what));
        let kind = field(156, 1).first().copied().unwrap_or_default();
        let device = match kind {
            b'3' | b'4' => (numeric(329, 8, "no device")?, numeric(337, 8, "no device")?),
            _ => (1, 1),
        };
        let size = numeric(124, 12, "the size of an entry is no number")?;
        Ok(Self { kind, name, link: until_zero(field(157, 100)).to_vec(), size, device })
    }
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits between spaces and zero bytes, or in base 256 where the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let mut value = u64::from(first & 0x7f);
        for byte in rest {
            value = value.checked_mul(256)?.checked_add(u64::from(*byte))?;
        }
        return Some(value);
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// What extended headers say about the entry behind them.
#[derive(Default)]
struct Ahead {
    pax: Option<BTreeMap<String, String>>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Ahead {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }

    fn read<R: Read>(&mut self, header: &Header, tar: &mut Tar<'_, R>) -> Result<(), LayerFault> {
        let twice = || malformed("an entry has two extended headers of one kind");
        if header.kind == b'x' {
            if self.pax.is_some() {
                return Err(twice());
            }
            self.pax = Some(pax(&tar.text(header.size, MAX_PAX)?)?);
            return Ok(());
        }
        let most = u64::try_from(tar.limits.name_bytes).unwrap_or(u64::MAX).saturating_add(1);
        let text = tar.text(header.size, most)?;
        let text = text.strip_suffix(b"\0").unwrap_or(&text).to_vec();
        let place = if header.kind == b'L' { &mut self.long_name } else { &mut self.long_link };
        if place.replace(text).is_some() { Err(twice()) } else { Ok(()) }
    }

    /// The header with what came ahead of it, which is then forgotten.
    fn apply(&mut self, mut header: Header) -> Result<Header, LayerFault> {
        let Self { pax, long_name, long_link } = std::mem::take(self);
        if pax.is_some() && (long_name.is_some() || long_link.is_some()) {
            return Err(malformed("an entry has extended headers of two kinds"));
        }
        header.name = long_name.unwrap_or(header.name);
        header.link = long_link.unwrap_or(header.link);
        for (key, value) in pax.into_iter().flatten() {
            match key.as_str() {
                "path" => header.name = value.into_bytes(),
                "linkpath" => header.link = value.into_bytes(),
                "size" => header.size = value.parse().map_err(|_| malformed("a size in pax is no number"))?,
                // These would make another file of it.
                _ if key.starts_with("GNU.sparse.") || key == "hdrcharset" => {
                    return Err(LayerFault::Malformed(format!("a pax header has {key:?}")));
                }
                // Where layers are mounted over one another they hide what is below.
                _ if key.contains(".overlay.") => {
                    return Err(LayerFault::Malformed(format!("a pax header has {key:?}")));
                }
                _ => {}
            }
        }
        Ok(header)
    }
}

/// Records of the form `<length> <key>=<value>\n`.
fn pax(mut text: &[u8]) -> Result<BTreeMap<String, String>, LayerFault> {
    let bad = || malformed("a pax header is not a list of records");
    let mut records = BTreeMap::new();
    while !text.is_empty() {
        let space = text.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
        let digits = text.get(..space).filter(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
        let length: usize = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).ok_or_else(bad)?;
        let record = text.get(space.saturating_add(1)..length).and_then(|record| record.strip_suffix(b"\n"));
        let record = record.ok_or_else(bad)?;
        text = text.get(length..).ok_or_else(bad)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
        let (key, value) = record.split_at(equals);
        let key = std::str::from_utf8(key).map_err(|_| bad())?;
        let value = value.get(1..).unwrap_or_default();
        // Attributes may hold any bytes, and none of them is read.
        let is_read = matches!(key, "path" | "linkpath" | "size");
        let value = match std::str::from_utf8(value) {
            Ok(value) if !(is_read && (value.contains('\0') || value.is_empty())) => value.to_owned(),
            _ if is_read => return Err(bad()),
            _ => String::new(),
        };
        if records.insert(key.to_owned(), value).is_some() {
            return Err(malformed("a pax header has one key twice"));
        }
    }
    Ok(records)
}

/// Puts one entry into the layer.
fn take<R: Read>(header: &Header, tar: &mut Tar<'_, R>, layer: &mut Layer) -> Result<(), LayerFault> {
    let limits = tar.limits;
    let name = String::from_utf8(header.name.clone());
    let name = name.map_err(|error| entry_fault(&String::from_utf8_lossy(error.as_bytes()), "is not UTF-8"))?;
    let is_file = matches!(header.kind, b'0' | 0);
    if !is_file && header.size != 0 {
        return Err(entry_fault(&name, "has a content, and its kind has none"));
    }
    let (path, is_named_as_folder) = normal(&name, limits)?;
    if is_named_as_folder && header.kind != b'5' {
        return Err(entry_fault(&name, "ends in a slash, and is no folder"));
    }
    let path = match path {
        Some(path) => path,
        None if header.kind == b'5' => return Ok(()),
        None => return Err(entry_fault(&name, "is the root, and no folder")),
    };
    let bytes = layer.name_bytes.saturating_add(path.len()).saturating_add(header.link.len());
    layer.name_bytes = bytes;
    if bytes > limits.all_name_bytes {
        return Err(limit("bytes of names", limits.all_name_bytes));
    }
    if whiteout(&path, &name, is_file && header.size == 0, layer)? {
        return Ok(());
    }
    let link = || {
        let link =
            String::from_utf8(header.link.clone()).map_err(|_| entry_fault(&name, "leads to what is not UTF-8"))?;
        if link.is_empty() || link.len() > limits.name_bytes {
            return Err(entry_fault(&name, "leads to no name, or to one that is too long"));
        }
        Ok(link)
    };
    let entry = match header.kind {
        b'0' | 0 => {
            let mut digester = Digester::default();
            tar.content(header.size, |piece| digester.update(piece))?;
            Entry::File(digester.end())
        }
        b'1' => match normal(&link()?, limits)? {
            (Some(target), false) => layer.linked(&name, target)?,
            _ => return Err(entry_fault(&name, "is a hard link to a folder")),
        },
        b'2' => Entry::Link(link()?),
        // In a layer that is mounted it would hide what is below, as a whiteout does.
        b'3' if header.device == (0, 0) => return Err(entry_fault(&name, "is a whiteout of another kind")),
        b'3' | b'4' | b'6' => Entry::Special,
        b'5' => Entry::Folder,
        _ => return Err(entry_fault(&name, "is of a kind that is not read")),
    };
    match (layer.entries.get(&path), &entry) {
        (None, _) => {
            layer.entries.insert(path, entry);
        }
        (Some(Entry::Folder), Entry::Folder) => {}
        _ => return Err(entry_fault(&name, "stands twice in the layer")),
    }
    Ok(())
}
