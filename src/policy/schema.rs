//! What does an editor need to know about the policy's language? Its JSON Schema, made from the types that read it.

use serde_json::{Value, json};

use super::raw::RawPolicy;

/// The JSON Schema (2020-12) of `policy.yaml`. It knows the words and their types; what they mean together
/// [`super::Policy::parse`] knows.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(RawPolicy).to_value();
    without_null(&mut schema);
    if let Some(members) = schema.as_object_mut() {
        members.insert("title".to_owned(), json!("Policy of Pratique"));
    }
    schema
}

/// In a policy what is absent is left out: a key without a value is an error.
fn without_null(schema: &mut Value) {
    let is_null = |value: &Value| *value == json!("null") || *value == json!({"type": "null"});
    match schema {
        Value::Array(items) => {
            items.retain(|item| !is_null(item));
            items.iter_mut().for_each(without_null);
        }
        Value::Object(members) => {
            members.values_mut().for_each(without_null);
            members.retain(|key, value| !(key == "default" && value.is_null()));
            for key in ["type", "anyOf"] {
                let Some(Value::Array(alternatives)) = members.get_mut(key) else { continue };
                if alternatives.len() != 1 {
                    continue;
                }
                match (key, alternatives.pop()) {
                    ("anyOf", Some(Value::Object(only))) => {
                        members.remove(key);
                        members.extend(only);
                    }
                    (_, Some(only)) => {
                        members.insert(key.to_owned(), only);
                    }
                    (_, None) => {}
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::policy::{Fault, Policy};

    const POLICY: &str = "version: 1\nrepositories: {acme: {url: \"https://a.example\", root: r.json}}\nrules:\n\
                          - {name: own, match: {}, verify: {repositories: [acme], product: {}, sublayouts: {depth: 1}}}\n";

    /// The words that the reader knows in the mapping that begins with `start`.
    fn words(start: &str) -> BTreeSet<String> {
        let text = POLICY.replacen(start, &format!("{start}nonsense: 1{}", if start == "v" { "\n" } else { ", " }), 1);
        let text = text.replace("nonsense: 1, }", "nonsense: 1}").replacen("vnonsense: 1\n", "nonsense: 1\nv", 1);
        match *Policy::parse(&text).unwrap_err().fault {
            Fault::UnknownKey { known, .. } => known.into_iter().map(str::to_owned).collect(),
            other => panic!("{text}: {other}"),
        }
    }

    #[test]
    fn the_schema_has_exactly_the_words_that_are_read() {
        let schema = schema();
        let described = |pointer: &str| {
            let described = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in {schema:#}"));
            assert_eq!(described["additionalProperties"], false, "{pointer}");
            for (word, value) in described["properties"].as_object().unwrap() {
                let text = value.to_string();
                assert!(value["description"].is_string() && !text.contains("null"), "{pointer} {word}: {text}");
            }
            described["properties"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>()
        };
        for (start, pointer) in [
            ("v", ""),
            ("acme: {", "/$defs/RawRepository"),
            ("- {", "/$defs/RawRule"),
            ("match: {", "/$defs/RawMatch"),
            ("verify: {", "/$defs/RawVerify"),
            ("product: {", "/$defs/RawProduct"),
        ] {
            assert_eq!(described(pointer), words(start), "{pointer}");
        }
        assert_eq!(schema["required"], json!(["version", "rules"]));
        assert_eq!(schema["$defs"]["RawVerify"]["required"], json!(["repositories"]));
        let modes = schema["$defs"]["Mode"].to_string();
        assert!(["enforce", "warn", "audit"].iter().all(|mode| modes.contains(mode)), "{modes}");
    }
}
