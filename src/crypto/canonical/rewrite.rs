//! Canonical JSON of what is written in another way.

use std::cmp::Ordering;

use super::{Reader, clear, meant};
use crate::crypto::json::MAX_DEPTH;

/// Canonical bytes of a document that is written in another way, by one pass over it.
///
/// Many tools write the signed part of their metadata with line breaks and its members in order. That takes no more than
/// leaving out white space and undoing escapes. `None` where it takes more, or where the text is not what
/// [`json::parse_within`](crate::crypto::json::parse_within) accepts; whoever gets it reads the text in the ordinary way.
pub fn rewrite(text: &str, depth: usize) -> Option<String> {
    let mut writer = Writer { text: text.as_bytes(), at: 0, depth, out: Vec::with_capacity(text.len()) };
    writer.value()?;
    writer.space();
    if writer.at != writer.text.len() {
        return None;
    }
    String::from_utf8(writer.out).ok()
}

struct Writer<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        self.space();
        self.text.get(self.at).copied()
    }

    /// Copies `wanted`, if that is next.
    fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then(|| {
            self.at += 1;
            self.out.push(wanted);
        })
    }

    fn value(&mut self) -> Option<()> {
        match self.next()? {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => self.string(),
            _ => self.word(),
        }
    }

    fn object(&mut self) -> Option<()> {
        self.enter(b'{')?;
        // Where the name of the member before stands in what is written.
        let mut before: Option<(usize, usize)> = None;
        while self.next()? != b'}' {
            if before.is_some() {
                self.byte(b',')?;
                self.space();
            }
            let start = self.out.len() + 1;
            self.string()?;
            let end = self.out.len() - 1;
            if let Some((from, to)) = before {
                let (earlier, this) = (self.out.get(from..to)?, self.out.get(start..end)?);
                if meant(earlier).cmp(meant(this)) != Ordering::Less {
                    return None;
                }
            }
            before = Some((start, end));
            self.byte(b':')?;
            self.value()?;
        }
        self.leave(b'}')
    }

    fn array(&mut self) -> Option<()> {
        self.enter(b'[')?;
        let mut is_first = true;
        while self.next()? != b']' {
            if !is_first {
                self.byte(b',')?;
            }
            is_first = false;
            self.value()?;
        }
        self.leave(b']')
    }

    fn string(&mut self) -> Option<()> {
        self.byte(b'"')?;
        loop {
            let rest = self.text.get(self.at..)?;
            let length = clear(rest)?;
            self.out.extend_from_slice(rest.get(..length)?);
            self.at += length;
            match self.text.get(self.at)? {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
        self.at += 1;
        self.out.push(b'"');
        Some(())
    }

    fn escape(&mut self) -> Option<()> {
        let escaped = *self.text.get(self.at + 1)?;
        self.at += 2;
        match escaped {
            b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', escaped]),
            b'/' => self.out.push(b'/'),
            b'b' => self.out.push(8),
            b'f' => self.out.push(12),
            b'n' => self.out.push(b'\n'),
            b'r' => self.out.push(b'\r'),
            b't' => self.out.push(b'\t'),
            b'u' => {
                let meant = self.code_point()?;
                if matches!(meant, '"' | '\\') {
                    self.out.push(b'\\');
                }
                self.out.extend_from_slice(meant.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return None,
        }
        Some(())
    }

    /// What stands behind `\u`, as one or as two surrogates.
    fn code_point(&mut self) -> Option<char> {
        let first = self.unit()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first);
        }
        if self.text.get(self.at..)?.get(..2)? != b"\\u" {
            return None;
        }
        self.at += 2;
        let units = [u16::try_from(first).ok()?, u16::try_from(self.unit()?).ok()?];
        let mut meant = char::decode_utf16(units);
        let one = meant.next()?.ok()?;
        meant.next().is_none().then_some(one)
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..)?.get(..4)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// `true`, `false`, `null` or an integer, as canonical JSON has them too.
    fn word(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'));
        let word = rest.get(..length.count())?;
        let mut reader = Reader::new(std::str::from_utf8(word).ok()?, self.depth);
        reader.skip()?;
        if reader.at != word.len() {
            return None;
        }
        self.at += word.len();
        self.out.extend_from_slice(word);
        Some(())
    }

    fn enter(&mut self, begin: u8) -> Option<()> {
        self.byte(begin)?;
        (self.depth < MAX_DEPTH).then(|| self.depth += 1)
    }

    fn leave(&mut self, end: u8) -> Option<()> {
        self.depth -= 1;
        self.byte(end)
    }
}
