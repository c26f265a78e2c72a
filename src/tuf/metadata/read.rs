//! Reading a JSON value into a model: every member by name, with the place of what is wrong.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misshapen {
    pub(crate) at: String,
    pub(crate) why: String,
}

impl Misshapen {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { at: String::new(), why: clipped(why.into()) }
    }

    pub(crate) fn within(mut self, outer: &str) -> Self {
        let outer = clipped(outer.to_owned());
        self.at = match self.at.as_str() {
            "" => outer,
            inner if inner.starts_with('[') => format!("{outer}{inner}"),
            inner => format!("{outer}.{inner}"),
        };
        self
    }
}

/// Foreign text that goes into an error, cut to a length that a log line can bear.
pub(crate) fn clipped(mut text: String) -> String {
    const LONGEST: usize = 160;
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The members of an object, taken out one by one. What is never taken is unknown and ignored (TUF 4).
pub(crate) struct Members(Map<String, Value>);

impl From<Map<String, Value>> for Members {
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

impl Members {
    pub(crate) fn of(value: Value) -> Result<Self, Misshapen> {
        match value {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(Misshapen::new("not an object")),
        }
    }

    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, Misshapen>,
    ) -> Result<T, Misshapen> {
        self.optional(name, read)?.ok_or_else(|| Misshapen::new("missing").within(name))
    }

    /// A member that may be absent. `null` is not absence.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, Misshapen>,
    ) -> Result<Option<T>, Misshapen> {
        self.0.remove(name).map(read).transpose().map_err(|error| error.within(name))
    }
}

/// A reader of an array of what `read` reads.
pub(crate) fn list<T>(read: impl Fn(Value) -> Result<T, Misshapen>) -> impl FnOnce(Value) -> Result<Vec<T>, Misshapen> {
    move |value| match value {
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| read(item).map_err(|error| error.within(&format!("[{index}]"))))
            .collect(),
        _ => Err(Misshapen::new("not an array")),
    }
}

/// A reader of an object whose member names are data.
pub(crate) fn map<K: Ord, T>(
    read: impl Fn(&str, Value) -> Result<(K, T), Misshapen>,
) -> impl FnOnce(Value) -> Result<BTreeMap<K, T>, Misshapen> {
    move |value| match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| read(&name, member).map_err(|error| error.within(&format!("[{name:?}]"))))
            .collect(),
        _ => Err(Misshapen::new("not an object")),
    }
}

pub(crate) fn object(value: Value) -> Result<Map<String, Value>, Misshapen> {
    Members::of(value).map(|members| members.0)
}

pub(crate) fn text(value: Value) -> Result<String, Misshapen> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Misshapen::new("not a string")),
    }
}

pub(crate) fn flag(value: Value) -> Result<bool, Misshapen> {
    value.as_bool().ok_or_else(|| Misshapen::new("not true or false"))
}

/// A number of bytes.
pub(crate) fn length(value: Value) -> Result<u64, Misshapen> {
    value.as_u64().ok_or_else(|| Misshapen::new("not an integer of 0 to 2^64-1"))
}
