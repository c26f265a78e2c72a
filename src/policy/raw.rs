//! The policy exactly as typed: every word it may hold, and no meaning yet.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_saphyr::{MergeKeyPolicy, Options};

use super::{DefaultAction, Error, Fault, Mode, UsedAs, outline::Outline};
use crate::evidence::requirement::{Inspections, Level, ProductFrom, Tags};

/// Bytes of a policy: what a ConfigMap can hold.
const MAX_BYTES: usize = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPolicy {
    pub(super) version: u64,
    #[serde(default)]
    pub(super) repositories: BTreeMap<String, RawRepository>,
    pub(super) rules: Vec<RawRule>,
    pub(super) next: Option<Vec<RawRule>>,
    #[serde(default)]
    pub(super) default: DefaultAction,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawRepository {
    pub(super) url: Option<String>,
    pub(super) metadata_url: Option<String>,
    pub(super) targets_url: Option<String>,
    pub(super) root: String,
    pub(super) refresh: Option<String>,
    pub(super) minimum: Option<BTreeMap<String, u64>>,
    pub(super) max_validity: Option<String>,
    pub(super) max_age: Option<String>,
    pub(super) ca_bundle: Option<String>,
    pub(super) epoch: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawRule {
    pub(super) name: String,
    #[serde(rename = "match")]
    pub(super) matcher: RawMatch,
    #[serde(rename = "as")]
    pub(super) renamed: Option<String>,
    pub(super) verify: Option<RawVerify>,
    pub(super) all: Option<Vec<RawVerify>>,
    pub(super) allow: Option<String>,
    pub(super) until: Option<String>,
    pub(super) mode: Option<Mode>,
    pub(super) enforce_from: Option<String>,
    pub(super) reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMatch {
    pub(super) namespaces: Option<Vec<String>>,
    pub(super) images: Option<Vec<String>>,
    pub(super) uses: Option<Vec<UsedAs>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawVerify {
    pub(super) repositories: Vec<String>,
    pub(super) layout: Option<String>,
    pub(super) layout_roles: Option<Vec<String>>,
    pub(super) link_roles: Option<Vec<String>>,
    pub(super) role: Option<String>,
    pub(super) layout_threshold: Option<u32>,
    pub(super) product: Option<RawProduct>,
    pub(super) parameters: Option<BTreeMap<String, String>>,
    pub(super) inspections: Option<Inspections>,
    pub(super) sublayouts: Option<RawSublayouts>,
    pub(super) tags: Option<Tags>,
    pub(super) custom: Option<String>,
    pub(super) level: Option<Level>,
    pub(super) not_before: Option<String>,
    pub(super) target: Option<String>,
    pub(super) tag_target: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProduct {
    pub(super) step: Option<String>,
    pub(super) from: Option<ProductFrom>,
    pub(super) name: Option<String>,
}

/// `deny`, `allow` or `{depth: 2}`
#[derive(Debug, Serialize)]
pub(super) enum RawSublayouts {
    Deny,
    Allow,
    Depth(u32),
}

/// Reads the text, and where everything in it stands.
pub(super) fn read(text: &str) -> Result<(RawPolicy, Outline), Error> {
    if text.len() > MAX_BYTES {
        return Err(Outline::unread(Fault::TooLarge { length: text.len(), limit: MAX_BYTES }));
    }
    let outline = Outline::read(text)?;
    match serde_saphyr::from_str_with_options(text, options()) {
        Ok(policy) => Ok((policy, outline)),
        Err(error) => Err(outline.error_of(&error)),
    }
}

/// No merge keys, no tags, no `yes` for `true`, and no text that another reader takes for a number (`1.10`) or a truth
/// (`allow: true`): what stands at a place is what holds there.
pub(super) fn options() -> Options {
    serde_saphyr::options! {
        strict_booleans: true,
        no_schema: true,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// Rewords an error of the YAML reader in terms of policies, without its place.
pub(super) fn fault_of(error: &serde_saphyr::Error) -> Fault {
    use serde_saphyr::Error as Yaml;
    match error.without_snippet() {
        Yaml::SerdeUnknownField { field, expected, .. } => {
            Fault::UnknownKey { key: field.clone(), known: expected.clone() }
        }
        Yaml::SerdeUnknownVariant { variant, expected, .. } => {
            Fault::UnknownWord { word: variant.clone(), known: expected.clone() }
        }
        Yaml::SerdeMissingField { field, .. } => Fault::MissingKey((*field).to_owned()),
        Yaml::DuplicateMappingKey { key, .. } => Fault::DuplicateKey(key.clone().unwrap_or_default()),
        Yaml::MultipleDocuments { .. } => Fault::Yaml("a second document follows, a policy is one".to_owned()),
        Yaml::MergeKeyNotAllowed { .. } => Fault::Yaml("merge keys are not read".to_owned()),
        Yaml::Eof { .. } => Fault::Yaml("the document ends too early".to_owned()),
        Yaml::InvalidScalar { .. } => Fault::Yaml("is not a number, or too large a one".to_owned()),
        Yaml::QuotingRequired { value, .. } => Fault::Yaml(format!("{value:?} is a text only in quotes")),
        Yaml::UnknownAnchor { .. } => Fault::Yaml("put a pattern that begins with \"*\" in quotes".to_owned()),
        Yaml::Unexpected { expected, .. } => Fault::Yaml(format!("expected {}", kind_of(expected))),
        other => Fault::Yaml(without_place(&other.to_string())),
    }
}

fn kind_of(expected: &str) -> &str {
    match expected {
        "sequence start" => "a list",
        "mapping start" => "a mapping",
        "string scalar" => "a text",
        other => other,
    }
}

/// Cuts off ` at line 3, column 16`, which stands in front already.
fn without_place(text: &str) -> String {
    text.split_once(" at line ").map_or(text, |(message, _)| message).to_owned()
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
