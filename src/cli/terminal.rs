//! What others wrote, at a terminal: objects of a cluster are written by many.

use std::io::{self, Write};

use crate::verdict::sanitise;

/// Writes lines in which what a terminal would obey is spelled out. For text, not for data.
pub(super) struct Terminal<W: Write> {
    inner: W,
    /// The beginning of a line.
    begun: Vec<u8>,
}

impl<W: Write> Terminal<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, begun: Vec::new() }
    }
}

impl<W: Write> Write for Terminal<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end) => {
                    self.begun.extend_from_slice(end);
                    let line = sanitise(&String::from_utf8_lossy(&self.begun));
                    self.begun.clear();
                    writeln!(self.inner, "{line}")?;
                }
                None => self.begun.extend_from_slice(part),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> Drop for Terminal<W> {
    /// A last line without an end is written as well.
    fn drop(&mut self) {
        if !self.begun.is_empty() {
            // A closed output is no reason to fail otherwise.
            let _ = write!(self.inner, "{}", sanitise(&String::from_utf8_lossy(&self.begun)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_objects_of_a_cluster_say_moves_no_cursor() {
        let mut shown = Vec::new();
        let mut out = Terminal::new(&mut shown);
        write!(out, "acme: [trust/lost] unknown field `\u{1b}[2J").unwrap();
        write!(out, "\u{202e}`\nü").unwrap();
        // A character may come in parts.
        out.write_all(&"ß\u{9b}".as_bytes()[..1]).unwrap();
        out.write_all(&"ß\u{9b}\nend\r".as_bytes()[1..]).unwrap();
        drop(out);
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(shown, "acme: [trust/lost] unknown field `\\u{1b}[2J\\u{202e}`\nüß\\u{9b}\nend\\u{d}");
    }
}
