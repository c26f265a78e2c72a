//! Words of a policy that stand for a text or for something longer.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

/// `deny`, `allow` or `{depth: 2}`
#[derive(Debug, Serialize)]
pub(in crate::policy) enum RawSublayouts {
    Deny,
    Allow,
    Depth(u32),
}

/// `any`, `all` or `[linux/amd64, linux/arm/v7]`
#[derive(Debug, Serialize)]
pub(in crate::policy) enum RawPlatforms {
    Any,
    All,
    These(Vec<String>),
}

impl JsonSchema for RawSublayouts {
    fn schema_name() -> Cow<'static, str> {
        "Sublayouts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"enum": ["deny", "allow"]},
                {
                    "type": "object",
                    "properties": {"depth": {"type": "integer", "minimum": 0, "maximum": 8}},
                    "required": ["depth"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl<'de> Deserialize<'de> for RawSublayouts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrDepth;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Depth {
            depth: u32,
        }

        impl<'de> Visitor<'de> for WordOrDepth {
            type Value = RawSublayouts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("deny, allow or {depth: <levels>}")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<RawSublayouts, E> {
                match word {
                    "deny" => Ok(RawSublayouts::Deny),
                    "allow" => Ok(RawSublayouts::Allow),
                    other => Err(E::unknown_variant(other, &["deny", "allow", "{depth: <levels>}"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<RawSublayouts, A::Error> {
                let Depth { depth } = Depth::deserialize(MapAccessDeserializer::new(access))?;
                Ok(RawSublayouts::Depth(depth))
            }
        }

        deserializer.deserialize_any(WordOrDepth)
    }
}

impl JsonSchema for RawPlatforms {
    fn schema_name() -> Cow<'static, str> {
        "Platforms".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"enum": ["any", "all"]},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ],
        })
    }
}

impl<'de> Deserialize<'de> for RawPlatforms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrList;

        impl<'de> Visitor<'de> for WordOrList {
            type Value = RawPlatforms;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any, all or a list of platforms such as linux/amd64")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<RawPlatforms, E> {
                match word {
                    "any" => Ok(RawPlatforms::Any),
                    "all" => Ok(RawPlatforms::All),
                    other => Err(E::unknown_variant(other, &["any", "all", "[<os>/<architecture>]"])),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<RawPlatforms, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(access)).map(RawPlatforms::These)
            }
        }

        deserializer.deserialize_any(WordOrList)
    }
}
