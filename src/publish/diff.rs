//! What a signer is to see of a change: the difference between two versions, one line for each member.

use serde_json::{Map, Value};

use crate::crypto::json as strict;

/// One line for each member that was added, removed or changed. Only printable ASCII: a text that was written by
/// somebody else must not hide parts of itself from whoever reads it in a terminal.
pub(super) fn changes(before: Option<&Value>, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    match before {
        Some(before) => compare("", before, after, &mut lines),
        None => compare("", &Value::Object(Map::new()), after, &mut lines),
    }
    lines
}

fn compare(place: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    match (members(before), members(after)) {
        (Some(before), Some(after)) => {
            let names: std::collections::BTreeSet<&str> = before.iter().chain(&after).map(|(name, _)| *name).collect();
            for name in names {
                let find = |list: &[(&str, &'_ Value)]| list.iter().position(|(other, _)| *other == name);
                let place = join(place, name);
                let old = find(&before).and_then(|index| before.get(index));
                let new = find(&after).and_then(|index| after.get(index));
                match (old, new) {
                    (Some((_, old)), Some((_, new))) => compare(&place, old, new, lines),
                    (Some((_, old)), None) => lines.push(format!("- {place}: {}", text(old))),
                    (None, Some((_, new))) => lines.push(format!("+ {place}: {}", text(new))),
                    (None, None) => {}
                }
            }
        }
        _ if before == after => {}
        _ => lines.push(format!("~ {place}: {} -> {}", text(before), text(after))),
    }
}

/// The parts that are compared one by one: members of an object, and roles of a list of delegations by their names.
fn members(value: &Value) -> Option<Vec<(&str, &Value)>> {
    match value {
        Value::Object(members) => Some(members.iter().map(|(name, value)| (name.as_str(), value)).collect()),
        Value::Array(items) if !items.is_empty() => {
            let named: Option<Vec<_>> = items.iter().map(|item| Some((item.get("name")?.as_str()?, item))).collect();
            let named = named?;
            // The order of delegations means something, and so does a name that stands twice.
            let sorted = named.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
            sorted.then_some(named)
        }
        _ => None,
    }
}

fn join(place: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    match (plain, place.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{place}.{name}"),
        (false, _) => format!("{place}[{}]", text(&Value::from(name))),
    }
}

fn text(value: &Value) -> String {
    let canonical = strict::canonical(value);
    printable(&String::from_utf8_lossy(&canonical))
}

/// Everything but printable ASCII is written as an escape.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_graphic() || c == ' ' {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_member_that_differs_has_a_line() {
        let before = json!({"version": 1, "targets": {"a/b": {"length": 1}, "gone": {}}, "kept": [1, 2]});
        let after = json!({"version": 2, "targets": {"a/b": {"length": 2}, "new": {"length": 3}}, "kept": [1, 2]});
        assert_eq!(
            changes(Some(&before), &after),
            [
                "~ targets[\"a/b\"].length: 1 -> 2",
                "- targets.gone: {}",
                "+ targets.new: {\"length\":3}",
                "~ version: 1 -> 2",
            ]
        );
        assert_eq!(changes(None, &json!({"version": 1})), ["+ version: 1"]);
    }

    #[test]
    fn delegations_are_compared_by_name_unless_their_order_says_more() {
        let role = |name: &str, threshold: u64| json!({"name": name, "threshold": threshold});
        let before = json!({"roles": [role("a", 1), role("b", 1)]});
        assert_eq!(
            changes(Some(&before), &json!({"roles": [role("a", 1), role("b", 2)]})),
            ["~ roles.b.threshold: 1 -> 2"]
        );
        let turned = changes(Some(&before), &json!({"roles": [role("b", 1), role("a", 1)]}));
        assert!(turned.len() == 1 && turned[0].starts_with("~ roles: ["), "{turned:?}");
    }

    #[test]
    fn a_text_cannot_hide_itself() {
        let evil = json!({"\u{202e}a": "x\u{1b}[2K\r\n\u{9b}é"});
        assert_eq!(changes(None, &evil), ["+ [\"\\u{202e}a\"]: \"x\\u{1b}[2K\\u{d}\\u{a}\\u{9b}\\u{e9}\""]);
    }
}
