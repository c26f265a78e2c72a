//! An object as JSON without what cannot lead to an image.
//!
//! A tree of JSON values can take ninety times the memory of its text, and whoever may create a Pod decides what stands
//! in it. So only members that a walk may look at are kept, and only so many values of these.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

use super::Error;

/// Values that are kept of one object: many times what the images take that it may name.
const MAX_VALUES: usize = 20_000;

/// Reads the JSON of an object, at every depth only the members that `keeps` says.
pub(super) fn read_object(object: &RawValue, keeps: &dyn Fn(&str) -> bool) -> Result<Value, Error> {
    let mut text = serde_json::Deserializer::from_str(object.get());
    let value = Sieve::new(keeps).deserialize(&mut text);
    value.map_err(|error| Error::UnreadableObject { reason: error.to_string() })
}

/// Reads a value, at every depth only the members that `keeps` says.
pub(super) struct Sieve<'a> {
    keeps: &'a dyn Fn(&str) -> bool,
    left: Cell<usize>,
}

impl<'a> Sieve<'a> {
    pub(super) fn new(keeps: &'a dyn Fn(&str) -> bool) -> Self {
        Self { keeps, left: Cell::new(MAX_VALUES) }
    }
}

impl<'de> DeserializeSeed<'de> for Sieve<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        (&self).deserialize(deserializer)
    }
}

impl<'de> DeserializeSeed<'de> for &Sieve<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let too_many = || D::Error::custom(format!("more than {MAX_VALUES} values stand where images are named"));
        self.left.set(self.left.get().checked_sub(1).ok_or_else(too_many)?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Sieve<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if !(self.keeps)(&name) {
                access.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = access.next_value_seed(self)?;
            // Two readers could each take another one for the image.
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("member {name:?} stands twice")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, Error> {
        let object: Box<RawValue> = serde_json::from_str(text).unwrap();
        read_object(&object, &|name| ["spec", "containers", "image"].contains(&name))
    }

    #[test]
    fn what_leads_to_no_image_takes_no_memory() {
        let aliases = vec![r#"{"ip":""}"#; 100_000].join(",");
        let text = format!(
            r#"{{"spec":{{"hostAliases":[{aliases}],"containers":[{{"name":"a","image":"app","env":[{{}}]}},null,7]}}}}"#
        );
        assert_eq!(read(&text), Ok(json!({"spec": {"containers": [{"image": "app"}, null, 7]}})));
    }

    #[test]
    fn more_values_than_images_can_take_are_refused() {
        let containers = |count: usize| format!(r#"{{"spec":{{"containers":[{}]}}}}"#, vec!["{}"; count].join(","));
        // The object, spec and the list count, too.
        assert!(read(&containers(MAX_VALUES - 3)).is_ok());
        assert!(matches!(read(&containers(MAX_VALUES - 2)), Err(Error::UnreadableObject { .. })));
    }

    #[test]
    fn a_member_that_stands_twice_is_refused() {
        let twice = read(r#"{"spec":{"containers":[{"image":"signed","image":"other"}]}}"#);
        assert!(matches!(twice, Err(Error::UnreadableObject { .. })), "{twice:?}");
        assert!(read(r#"{"spec":{"nodeName":"a","nodeName":"b"}}"#).is_ok());
    }
}
