//! Canonical JSON read where it stands, without a copy.
//!
//! Most tools write the signed part of their metadata in the very form in which it is signed. [`Reader`] goes through such
//! bytes once and says whether they are exactly what [`json::canonical`] makes of them; then they
//! can be verified, and looked things up in, as they are.
//!
//! It accepts no more than [`json::parse`] followed by that comparison does, and gives no reason for
//! what it does not accept: whoever gets `None` reads the bytes in the ordinary way, and has the reason from there.

mod outer;
mod rewrite;

use std::{cmp::Ordering, ops::Range};

use serde_json::Value;

use super::json::{self, MAX_DEPTH};

pub use outer::{MEMBERS, Outer};
pub use rewrite::rewrite;

/// Goes through one canonical value.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Whether control characters stand in strings as they are.
    controls: bool,
    /// Whether there may be white space.
    spaces: bool,
}

/// A string between its quotes, as written: `"` and `\` stand behind a `\`, all else stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written<'a> {
    raw: &'a str,
    /// Where it begins in the text.
    at: usize,
    /// Whether nothing in it stands behind a `\`.
    is_plain: bool,
}

impl<'a> Written<'a> {
    /// The string between the quotes that stand around `raw` in a canonical document.
    pub fn new(raw: &'a str) -> Self {
        Self { raw, at: 0, is_plain: !raw.as_bytes().contains(&b'\\') }
    }

    /// Where it stands in the text from which a [`Reader`] has it.
    pub fn place(self) -> Range<usize> {
        self.at..self.at + self.raw.len()
    }

    /// The bytes as written.
    pub fn raw(self) -> &'a [u8] {
        self.raw.as_bytes()
    }

    /// What is meant, if it is written as it is meant.
    pub fn plain(self) -> Option<&'a str> {
        if self.is_plain { Some(self.raw) } else { None }
    }

    /// The order of what is meant, by code points, in which members stand.
    pub fn compare(self, other: Self) -> Ordering {
        match self.is_plain && other.is_plain {
            true => self.raw.cmp(other.raw),
            false => meant(self.raw()).cmp(meant(other.raw())),
        }
    }

    /// The order of what is meant and `text`.
    pub fn compare_to(self, text: &str) -> Ordering {
        match self.is_plain {
            true => self.raw.cmp(text),
            false => meant(self.raw()).cmp(text.bytes()),
        }
    }
}

/// The bytes that are meant by those of a string.
fn meant(raw: &[u8]) -> impl Iterator<Item = u8> {
    let mut bytes = raw.iter().copied();
    std::iter::from_fn(move || match bytes.next()? {
        b'\\' => bytes.next(),
        byte => Some(byte),
    })
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `text`, which stands `depth` containers deep in its document.
    pub fn new(text: &'a str, depth: usize) -> Self {
        Self { text, at: 0, depth, controls: false, spaces: false }
    }

    /// The same for canonical bytes that are no document: what [`rewrite()`] gives. Control characters stand in them as they
    /// are, which no document may have.
    pub fn of_canonical(text: &'a str, depth: usize) -> Self {
        Self { controls: true, ..Self::new(text, depth) }
    }

    /// The same for documents in which there may be white space, and which are canonical but for that.
    pub fn of_spaced(text: &'a str, depth: usize) -> Self {
        Self { spaces: true, ..Self::new(text, depth) }
    }

    /// The same from a later place on.
    pub fn from(self, at: usize) -> Self {
        Self { at, ..self }
    }

    /// How many bytes have been gone through.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next byte; one that is no white space, where there may be some.
    pub fn peek(&mut self) -> Option<u8> {
        if self.spaces {
            while matches!(self.here(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
                self.at += 1;
            }
        }
        self.here()
    }

    fn here(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> Option<&'a [u8]> {
        self.text.as_bytes().get(self.at..)
    }

    /// Goes over `wanted`, if that is next.
    pub fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// An object. `member` goes over the value of each member; their names are in order, so none stands twice.
    pub fn object(&mut self, mut member: impl FnMut(&mut Self, Written<'a>) -> Option<()>) -> Option<()> {
        self.byte(b'{')?;
        self.enter()?;
        let mut before: Option<Written<'a>> = None;
        while self.peek()? != b'}' {
            if before.is_some() {
                self.byte(b',')?;
            }
            let name = self.string()?;
            if before.is_some_and(|before| before.compare(name) != Ordering::Less) {
                return None;
            }
            before = Some(name);
            self.byte(b':')?;
            member(self, name)?;
        }
        self.leave(b'}')
    }

    /// Any value.
    pub fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(|reader, _| reader.skip()),
            b'[' => self.array(Self::skip),
            b'"' => self.string().map(drop),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            b'-' => self.negative(),
            _ => self.unsigned().map(drop),
        }
    }

    /// Any value, read.
    pub fn value(&mut self) -> Option<Value> {
        let (from, depth) = (self.at, self.depth);
        self.skip()?;
        json::parse_within(self.text.get(from..self.at)?.as_bytes(), depth).ok()
    }

    /// A string. Control characters, though canonical JSON has them, are not JSON.
    pub fn string(&mut self) -> Option<Written<'a>> {
        self.byte(b'"')?;
        let start = self.at;
        let mut is_plain = true;
        loop {
            self.at += clear(self.rest()?)?;
            match self.here()? {
                b'"' => break,
                b'\\' if matches!(self.rest()?.get(1)?, b'"' | b'\\') => {
                    self.at += 2;
                    is_plain = false;
                }
                control if control < b' ' && self.controls => self.at += 1,
                _ => return None,
            }
        }
        let written = Written { raw: self.text.get(start..self.at)?, at: start, is_plain };
        self.at += 1;
        Some(written)
    }

    /// `true` or `false`.
    pub fn flag(&mut self) -> Option<bool> {
        match self.peek()? {
            b't' => self.word(b"true").map(|()| true),
            _ => self.word(b"false").map(|()| false),
        }
    }

    /// An integer that is not negative.
    pub fn unsigned(&mut self) -> Option<u64> {
        let rest = self.rest()?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = rest.get(..length)?;
        if length > 1 && digits.first() == Some(&b'0') {
            return None;
        }
        self.at += length;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// `-0` is none: it is read as a fraction.
    fn negative(&mut self) -> Option<()> {
        self.byte(b'-')?;
        let magnitude = self.unsigned()?;
        (1..=i64::MIN.unsigned_abs()).contains(&magnitude).then_some(())
    }

    /// An array. `item` goes over each of its values.
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.byte(b'[')?;
        self.enter()?;
        let mut is_first = true;
        while self.peek()? != b']' {
            if !is_first {
                self.byte(b',')?;
            }
            is_first = false;
            item(self)?;
        }
        self.leave(b']')
    }

    fn enter(&mut self) -> Option<()> {
        (self.depth < MAX_DEPTH).then(|| self.depth += 1)
    }

    fn leave(&mut self, end: u8) -> Option<()> {
        self.depth -= 1;
        self.byte(end)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest()?.starts_with(word).then(|| self.at += word.len())
    }
}

/// How many bytes come before the next `"`, `\` or control character.
fn clear(rest: &[u8]) -> Option<usize> {
    let ends = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte < b' ');
    // Whole blocks first: without a branch for each byte they are compared all at once.
    let (blocks, _) = rest.as_chunks::<16>();
    let clear = blocks.iter().take_while(|block| !block.iter().fold(false, |any, &byte| any | ends(byte)));
    let clear = clear.count() * 16;
    Some(clear + rest.get(clear..)?.iter().position(|&byte| ends(byte))?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;

    /// Whether the reader takes `text` for one canonical value.
    fn is_canonical(text: &str) -> bool {
        let mut reader = Reader::new(text, 0);
        reader.skip().is_some() && reader.at() == text.len()
    }

    /// The same by reading and writing.
    fn is_canonical_by_definition(text: &str) -> bool {
        json::parse(text.as_bytes()).is_ok_and(|value| json::canonical(&value) == text.as_bytes())
    }

    fn any_text() -> impl Strategy<Value = String> {
        // Rich in what is special, and long enough for whole blocks.
        proptest::collection::vec(
            prop_oneof![
                4 => any::<char>(),
                4 => Just('"'), 4 => Just('\\'), 2 => Just('\u{7f}'), 1 => Just('\n'), 4 => Just('\u{301}'), 9 => Just('a')
            ],
            0..40,
        )
        .prop_map(String::from_iter)
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-2i64..2).prop_map(Value::from),
            any_text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((any_text(), inner), 0..6)
                    .prop_map(|members| Value::Object(Map::from_iter(members))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_has_its_members_in_order_is_rewritten_to_its_canonical_bytes(value in any_value()) {
            let canonical = String::from_utf8(json::canonical(&value)).unwrap();
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(rewrite(&pretty, 0), Some(canonical.clone()));
            // With everything that may be escaped.
            let mut escaped = String::new();
            for c in pretty.chars() {
                match c.is_ascii() {
                    true => escaped.push(c),
                    false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}")),
                }
            }
            prop_assert_eq!(rewrite(&escaped, 0), Some(canonical));
        }

        #[test]
        fn what_is_rewritten_is_what_it_means(value in any_value(), at: usize, byte in 0u8..128) {
            let mut bytes = serde_json::to_string_pretty(&value).unwrap().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
            if let Some(rewritten) = rewrite(&text, 0) {
                let meant = json::parse(text.as_bytes());
                prop_assert_eq!(meant.map(|value| json::canonical(&value)), Ok(rewritten.into_bytes()));
            }
        }

        #[test]
        fn any_characters_of_json_are_rewritten_to_what_they_mean(
            text in r#"[\[\]{}:,"\\0-9aeuE.+ \ntruefalsnd8-]{0,24}"#,
        ) {
            if let Some(rewritten) = rewrite(&text, 0) {
                let meant = json::parse(text.as_bytes());
                prop_assert_eq!(meant.map(|value| json::canonical(&value)), Ok(rewritten.into_bytes()));
            }
        }

        #[test]
        fn canonical_bytes_of_any_value_are_taken_as_the_definition_takes_them(value in any_value()) {
            let text = String::from_utf8(json::canonical(&value)).unwrap();
            prop_assert_eq!(is_canonical(&text), is_canonical_by_definition(&text));
        }

        #[test]
        fn what_serde_writes_is_taken_only_where_it_is_canonical(value in any_value()) {
            let text = value.to_string();
            prop_assert_eq!(is_canonical(&text), is_canonical_by_definition(&text));
        }

        #[test]
        fn one_changed_byte_is_judged_as_by_the_definition(value in any_value(), at: usize, byte in 0u8..128) {
            let mut bytes = json::canonical(&value);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert_eq!(is_canonical(&text), is_canonical_by_definition(&text));
            }
        }

        #[test]
        fn any_characters_of_json_are_judged_as_by_the_definition(text in r#"[\[\]{}:,"\\0-9aeE.+ \ntruefalsn-]{0,24}"#) {
            prop_assert_eq!(is_canonical(&text), is_canonical_by_definition(&text));
        }

        #[test]
        fn names_compare_as_what_they_mean(one in any_text(), other in any_text()) {
            let written = |text: &String| json::canonical(&Value::from(text.as_str()));
            let (a, b) = (written(&one), written(&other));
            let inner = |bytes: &[u8]| String::from_utf8(bytes[1..bytes.len() - 1].to_vec()).unwrap();
            let (a, b) = (inner(&a), inner(&b));
            prop_assert_eq!(Written::new(&a).compare(Written::new(&b)), one.cmp(&other));
            prop_assert_eq!(Written::new(&a).compare_to(&other), one.cmp(&other));
        }
    }

    #[test]
    fn every_way_of_not_being_canonical_is_seen() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"b":1,"a":1}"#,
            r#"{"\"":1,"!":1}"#,
            r#"{"a" :1}"#,
            r#"{"a":1 }"#,
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            r#"{"a"}"#,
            r#"["a""b"]"#,
            "[1,]",
            "[,1]",
            "[1 ,2]",
            "01",
            "-0",
            "-",
            "",
            "+1",
            "1.0",
            "1e3",
            "18446744073709551616",
            "-9223372036854775809",
            "nul",
            "truer",
            "\"\\n\"",
            "\"\\u0041\"",
            "\"\\/\"",
            "\"\n\"",
            "\"0123456789abcdef\u{1f}\"",
            "\"0123456789abcdef\\x0123456789abcdef\"",
            "\"open",
            "\"open\\",
        ] {
            assert!(!is_canonical(text), "{text}");
        }
        for text in ["0", "18446744073709551615", "-9223372036854775808", "\"\u{7f}e\u{301}\"", r#""\\\"""#, "[]", "{}"]
        {
            assert!(is_canonical(text), "{text}");
        }
    }

    #[test]
    fn depth_is_counted_from_where_the_text_stands() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let is_taken = |text: &str, depth| Reader::new(text, depth).skip().is_some();
        assert!(is_taken(&nested(MAX_DEPTH), 0) && !is_taken(&nested(MAX_DEPTH), 1));
        assert!(!is_taken(&nested(MAX_DEPTH + 1), 0));
        assert!(json::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    }
}
