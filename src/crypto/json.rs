//! JSON that two readers cannot understand differently, and its canonical bytes.
//!
//! Signed metadata is read once into a [`Value`]; typed models are read from that value, and signatures are verified
//! over the canonical form of the same value. Duplicate members, a byte order mark, trailing bytes, fractions and deep
//! nesting are refused before anything is verified (TUF 4.1: "interpret without ambiguity").

use std::{cell::Cell, collections::btree_map::Entry, fmt};

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Containers within containers that a document may have.
pub const MAX_DEPTH: usize = 64;

/// Values of one document, where whoever reads it has no cap of their own: a file of 128 MiB can hold so many that no
/// machine has the memory for them. A flat repository of 100,000 targets with eight names each has 1.5 million.
pub const MAX_VALUES: usize = 2_000_000;

/// A document that is not unambiguous JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not unambiguous JSON: {0}")]
pub struct JsonError(pub String);

/// Reads one document.
///
/// # Errors
/// Invalid JSON or UTF-8, a byte order mark, lone surrogates, duplicate members, numbers that are not integers in
/// the range of `i64` and `u64`, more than [`MAX_DEPTH`] levels or [`MAX_VALUES`] values, bytes after the document.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_within(bytes, 0)
}

/// Reads one document of at most `values` values, those within others included. A value takes hundreds of times the memory
/// of the few bytes that it may be written in.
///
/// # Errors
/// As [`parse`], and more values.
pub fn parse_at_most(bytes: &[u8], values: usize) -> Result<Value, JsonError> {
    parse_within_at_most(bytes, 0, values)
}

/// Reads one value that stands `depth` containers deep in its document.
///
/// # Errors
/// As [`parse`].
pub fn parse_within(bytes: &[u8], depth: usize) -> Result<Value, JsonError> {
    parse_within_at_most(bytes, depth, MAX_VALUES)
}

/// Reads one value that stands `depth` containers deep in its document and has at most `values` values.
///
/// # Errors
/// As [`parse_at_most`].
pub fn parse_within_at_most(bytes: &[u8], depth: usize, values: usize) -> Result<Value, JsonError> {
    read(bytes, Strict { depth, fractions: false, most: values, left: &Cell::new(values) })
}

/// Reads one document whose very bytes are signed, so that it needs no canonical form: any number may stand in it. One
/// that is no integer of 64 bits is rounded.
///
/// # Errors
/// As [`parse`], but for numbers.
pub fn parse_with_fractions(bytes: &[u8], values: usize) -> Result<Value, JsonError> {
    read(bytes, Strict { depth: 0, fractions: true, most: values, left: &Cell::new(values) })
}

fn read(bytes: &[u8], strict: Strict<'_>) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = strict.deserialize(&mut deserializer).map_err(|error| JsonError(error.to_string()))?;
    deserializer.end().map_err(|error| JsonError(error.to_string()))?;
    Ok(value)
}

/// The canonical JSON of OLPC as securesystemslib writes it: members sorted by code point, no white space, only `\`
/// and `"` escaped, everything else raw UTF-8 without normalisation. These are the bytes that TUF (4.1) and in-toto
/// Metablocks sign.
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            // `Map` is a BTreeMap here: the order of UTF-8 bytes is the order of code points.
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(name, out);
                out.push(b':');
                write_canonical(member, out);
            }
            out.push(b'}');
        }
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

struct Strict<'c> {
    depth: usize,
    fractions: bool,
    most: usize,
    left: &'c Cell<usize>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..*self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let more = || D::Error::custom(format!("more than {} values", self.most));
        self.left.set(self.left.get().checked_sub(1).ok_or_else(more)?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without fractions and duplicate members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        // Canonical JSON has no fractions, and an integer beyond 64 bits arrives here as a rounded one.
        let number = Number::from_f64(value).filter(|_| self.fractions);
        number.map(Value::Number).ok_or_else(|| E::custom(format!("{value} is not an integer of 64 bits")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = std::collections::BTreeMap::new();
        while let Some(name) = access.next_key::<String>()? {
            let member = access.next_value_seed(self.deeper()?)?;
            match members.entry(name) {
                Entry::Occupied(entry) => {
                    return Err(A::Error::custom(format!("member {:?} stands twice", entry.key())));
                }
                Entry::Vacant(entry) => {
                    entry.insert(member);
                }
            }
        }
        Ok(Value::Object(Map::from_iter(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().0
    }

    #[test]
    fn duplicate_members_are_refused_at_any_depth() {
        assert!(refusal(r#"{"a":1,"a":1}"#).contains("stands twice"));
        assert!(refusal(r#"[{"a":{"b":1,"b":2}}]"#).contains("stands twice"));
        assert!(refusal(r#"{"\u0061":1,"a":1}"#).contains("stands twice"));
    }

    #[test]
    fn fractions_and_huge_integers_are_refused() {
        for text in ["1.0", "1e3", "18446744073709551616", "-9223372036854775809", "NaN"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["1.5", "1e3", "18446744073709551616"] {
            assert!(parse_with_fractions(text.as_bytes(), 10).is_ok(), "{text}");
        }
        for text in ["1e999", "NaN", r#"{"a":1.5,"a":1.5}"#] {
            assert!(parse_with_fractions(text.as_bytes(), 10).is_err(), "{text}");
        }
        assert_eq!(canonical(&parse(b"18446744073709551615").unwrap()), b"18446744073709551615");
        assert_eq!(canonical(&parse(b"9007199254740993").unwrap()), b"9007199254740993");
    }

    #[test]
    fn bytes_around_the_document_are_refused() {
        assert!(parse(b"{} x").is_err());
        assert!(parse(b"\xef\xbb\xbf{}").is_err());
        assert!(parse(b"\"\xff\"").is_err());
        assert!(parse(br#""\ud800""#).is_err());
        assert!(parse(b"{}\n").is_ok());
    }

    #[test]
    fn depth_is_capped() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 2).as_bytes()).is_err());
    }

    #[test]
    fn values_are_capped_wherever_they_stand() {
        for text in ["[0,0]", r#"{"a":0,"b":0}"#, r#"{"a":{"b":0}}"#, "[[[]]]"] {
            assert!(parse_at_most(text.as_bytes(), 3).is_ok(), "{text}");
            assert!(parse_with_fractions(text.as_bytes(), 3).is_ok(), "{text}");
            let expected = Err(JsonError("more than 2 values at line 1 column".to_owned()));
            for parsed in [parse_at_most(text.as_bytes(), 2), parse_with_fractions(text.as_bytes(), 2)] {
                let cut = parsed.map_err(|JsonError(why)| JsonError(why.rsplit_once(' ').unwrap().0.to_owned()));
                assert_eq!(cut, expected, "{text}");
            }
        }
    }

    #[test]
    fn values_are_capped_by_default() {
        let zeros = |count: usize| format!("[{}]", vec!["0"; count].join(",")).into_bytes();
        assert!(parse(&zeros(MAX_VALUES - 1)).is_ok());
        let JsonError(refused) = parse(&zeros(MAX_VALUES)).unwrap_err();
        assert!(refused.starts_with("more than 2000000 values"), "{refused}");
    }

    #[test]
    fn canonical_form_sorts_by_code_point_and_keeps_text_raw() {
        let value =
            parse("{\"b\":[1,-2,true,null],\"a\":\"q\\\"\\\\\\n\\u0007e\u{301}\u{1f600}\",\"\u{e9}\":{}}".as_bytes())
                .unwrap();
        let expected = "{\"a\":\"q\\\"\\\\\n\u{7}e\u{301}\u{1f600}\",\"b\":[1,-2,true,null],\"\u{e9}\":{}}";
        assert_eq!(String::from_utf8(canonical(&value)).unwrap(), expected);
    }
}
