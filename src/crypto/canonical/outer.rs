//! The outermost object of a file, whose signed part is read where it stands.

use std::ops::Range;

use serde_json::value::RawValue;

use super::Reader;

/// How many containers deep the members of a file are.
pub const MEMBERS: usize = 1;

/// The members that a file may have to be read in this way.
const MOST: usize = 16;

/// Goes through the outermost object of a file, in which there may be white space.
#[derive(Debug)]
pub struct Outer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Outer<'a> {
    /// Goes through a file. `member` goes over the value of each member by [`Self::value`], [`Self::canonical`] or
    /// [`Self::plain_string`]; no name
    /// stands twice. `None` where a file is not as usual: then it is read in the ordinary way.
    pub fn members(text: &'a str, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        let mut outer = Self { text, at: 0 };
        let mut names: Vec<&str> = Vec::new();
        outer.byte(b'{')?;
        loop {
            let name = outer.name()?;
            if names.contains(&name) || names.len() == MOST {
                return None;
            }
            names.push(name);
            member(&mut outer, name)?;
            match outer.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        outer.rest()?.bytes().all(is_space).then_some(())
    }

    /// Any object, array or string, as it is written.
    pub fn value(&mut self) -> Option<&'a str> {
        let mut values = serde_json::Deserializer::from_str(self.rest()?).into_iter::<&RawValue>();
        let value = values.next()?.ok()?.get();
        self.at += values.byte_offset();
        value.starts_with(['{', '[', '"']).then_some(value)
    }

    /// A value that `read` takes for canonical, and where it stands. `None` where it does not, and nothing was gone over.
    pub fn canonical<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<(T, Range<usize>)> {
        let rest = self.rest()?;
        let start = self.at + rest.bytes().take_while(|&byte| is_space(byte)).count();
        let mut reader = Reader::new(self.text.get(start..)?, MEMBERS);
        let found = read(&mut reader)?;
        self.at = start + reader.at();
        Some((found, start..self.at))
    }

    /// A string in which nothing stands behind a `\`. Control characters are not looked for: whoever reads it takes only
    /// those that it may have.
    pub fn plain_string(&mut self) -> Option<&'a str> {
        self.byte(b'"')?;
        let rest = self.rest()?;
        let string = rest.get(..rest.find('"')?)?;
        self.at += string.len() + 1;
        (!string.contains('\\')).then_some(string)
    }

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
        let name = self.plain_string()?;
        if name.bytes().any(|byte| byte < b' ') {
            return None;
        }
        self.byte(b':')?;
        Some(name)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
