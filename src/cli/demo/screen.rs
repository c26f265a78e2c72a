//! How the demonstration looks in a terminal.

use std::io::{self, Write};

use super::webhook::Answer;

/// Characters of a line before it is cut.
const WIDTH: usize = 132;
/// Digits of a digest.
const DIGITS: u32 = 12;

/// Where it is shown, and how many cases went as they must.
pub(super) struct Screen<'a> {
    out: &'a mut dyn Write,
    colours: bool,
    shown: u32,
    wrong: u32,
}

/// What must come of a case.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    Admitted,
    Refused(&'static str),
}

impl<'a> Screen<'a> {
    pub(super) fn new(out: &'a mut dyn Write, colours: bool) -> Self {
        Self { out, colours, shown: 0, wrong: 0 }
    }

    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        let text = self.coloured("1", text);
        writeln!(self.out, "\n{text}")
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "  {text}")
    }

    /// One case: what was asked, what was answered, and why.
    pub(super) fn case(&mut self, title: &str, answer: &Answer, expected: Expected) -> io::Result<()> {
        let outcome = if answer.allowed { self.coloured("32", "admitted") } else { self.coloured("31", "refused ") };
        let right = match expected {
            Expected::Admitted => answer.allowed,
            Expected::Refused(code) => !answer.allowed && answer.message.contains(&format!("[{code}]")),
        };
        self.count(right);
        writeln!(self.out, "  {:>2}. {outcome}  {title}", self.shown)?;
        for image in &answer.pinned {
            writeln!(self.out, "        pinned to {}", cut(image))?;
        }
        // The first line repeats the others for those who see no more than one.
        for line in answer.message.lines().skip(1) {
            writeln!(self.out, "        {}", cut(line))?;
        }
        self.say_if_wrong(right, expected)
    }

    /// A case that is no review: what was refused, if anything was.
    pub(super) fn refusal(
        &mut self,
        title: &str,
        code: Option<&str>,
        text: &str,
        wanted: &'static str,
    ) -> io::Result<()> {
        let right = code == Some(wanted);
        self.count(right);
        let outcome = self.coloured("31", "refused ");
        writeln!(self.out, "  {:>2}. {outcome}  {title}", self.shown)?;
        writeln!(self.out, "        [{}] {}", code.unwrap_or("accepted"), cut(text))?;
        self.say_if_wrong(right, Expected::Refused(wanted))
    }

    /// Whether every case went as it must.
    pub(super) fn end(&mut self) -> io::Result<bool> {
        let right = self.shown - self.wrong;
        self.heading(&format!("{right} of {} as they must be", self.shown))?;
        Ok(self.wrong == 0)
    }

    fn count(&mut self, right: bool) {
        self.shown += 1;
        self.wrong += u32::from(!right);
    }

    fn say_if_wrong(&mut self, right: bool, expected: Expected) -> io::Result<()> {
        if right {
            return Ok(());
        }
        let text = match expected {
            Expected::Admitted => "WRONG: it must be admitted".to_owned(),
            Expected::Refused(code) => format!("WRONG: it must be refused with {code}"),
        };
        let text = self.coloured("1;31", &text);
        writeln!(self.out, "        {text}")
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A line that fits a terminal: digests by their first digits, and without the command that the reader has no use for.
fn cut(line: &str) -> String {
    let (line, _) = line.split_once("; see: ").unwrap_or((line, ""));
    let mut short = String::new();
    let mut digits = 0;
    for character in line.chars() {
        digits = if character.is_ascii_hexdigit() { digits + 1 } else { 0 };
        match digits {
            ..=DIGITS => short.push(character),
            // Only digests have as many digits in a row.
            _ if digits == DIGITS + 1 => short.push('…'),
            _ => {}
        }
    }
    if short.chars().count() <= WIDTH {
        return short;
    }
    short.chars().take(WIDTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_shortened_and_long_lines_cut() {
        let digest = "0123456789ab".repeat(5) + "cdef";
        assert_eq!(cut(&format!("app@sha256:{digest}: x; see: pratique explain y")), "app@sha256:0123456789ab…: x");
        assert_eq!(cut(&"word ".repeat(100)).chars().count(), WIDTH);
    }
}
