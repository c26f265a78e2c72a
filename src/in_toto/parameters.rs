//! Parameters: `{name}` in a layout's rules and commands.

use std::{cell::Cell, collections::BTreeMap};

use super::{
    attributes::AttributeRule,
    error::{Error, ParameterProblem, Problem},
    layout::Layout,
    limits::Limits,
    rule::Rule,
};

/// Fills in `parameters` wherever the reference does: in rules, expected commands and inspections' commands. Names,
/// keys and the expiry stay as they are.
///
/// The reference uses python's `str.format`, which evaluates what stands in the braces; here `{name}` is replaced and
/// nothing else is a form. A value that could act as a pattern is refused unless `raw`.
pub(super) fn substitute(
    layout: &mut Layout,
    parameters: &BTreeMap<String, String>,
    raw: bool,
    limits: &Limits,
) -> Result<(), Error> {
    for (name, value) in parameters {
        check(name, value, raw).map_err(|problem| Error::Parameter { problem })?;
    }
    // What is short in a layout may be long in every one of its words.
    let left = Cell::new(limits.layout_bytes);
    let fill = |text: &str, what: &'static str, most: usize| {
        let filled = fill(text, parameters, most).map_err(|problem| Error::Parameter { problem })?;
        let too_long = |what, limit, found| Error::Limit { file: "parameters".to_owned(), what, limit, found };
        let filled = filled.map_err(|found| too_long(what, most, found))?;
        let rest = left.get().checked_sub(filled.len());
        let all = limits.layout_bytes;
        left.set(rest.ok_or_else(|| too_long("bytes in all words", all, all.saturating_add(filled.len())))?);
        Ok(filled)
    };
    let fill_word = |text: &str| fill(text, "bytes in a word of a rule", limits.rule_bytes);
    let all_rules = |rules: &mut Vec<Rule>| -> Result<(), Error> {
        for rule in rules {
            *rule = rule.try_map(&fill_word)?;
        }
        Ok(())
    };
    let all_words = |words: &mut Vec<String>| -> Result<(), Error> {
        for word in words {
            *word = fill(word, "bytes in a word of a command", limits.layout_bytes)?;
        }
        Ok(())
    };
    for step in &mut layout.steps {
        all_rules(&mut step.expected_materials)?;
        all_rules(&mut step.expected_products)?;
        all_words(&mut step.expected_command)?;
        for rule in step.predicates.iter_mut().flat_map(|expected| &mut expected.attributes) {
            fill_expression(rule, parameters, limits)?;
        }
    }
    for inspection in &mut layout.inspections {
        all_rules(&mut inspection.expected_materials)?;
        all_rules(&mut inspection.expected_products)?;
        all_words(&mut inspection.run)?;
    }
    Ok(())
}

/// Fills in an attribute rule. Braces are its own as well, so that only `{name}` is replaced, which is nothing in CEL but
/// within a text; and out of that text no value may lead.
fn fill_expression(
    rule: &mut AttributeRule,
    parameters: &BTreeMap<String, String>,
    limits: &Limits,
) -> Result<(), Error> {
    let refuse = |problem| Error::Parameter { problem };
    let fill = |text: &str| -> Result<String, Error> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, from)) = rest.split_once('{') {
            out.push_str(before);
            match from.split_once('}').filter(|(name, _)| is_name(name)) {
                Some((name, after)) => {
                    let unknown = || ParameterProblem::Unknown { name: name.to_owned(), text: text.to_owned() };
                    let value = parameters.get(name).ok_or_else(unknown).map_err(refuse)?;
                    let leads_out = |c: char| c.is_control() || "'\"\\".contains(c);
                    if let Some(found) = value.chars().find(|c| leads_out(*c)) {
                        return Err(refuse(ParameterProblem::InExpression { name: name.to_owned(), found }));
                    }
                    out.push_str(value);
                    rest = after;
                }
                None => {
                    out.push('{');
                    rest = from;
                }
            }
        }
        out.push_str(rest);
        if out.len() > limits.attribute_bytes {
            let (what, limit, found) = ("bytes in an attribute rule", limits.attribute_bytes, out.len());
            return Err(Error::Limit { file: "parameters".to_owned(), what, limit, found });
        }
        Ok(out)
    };
    let text = fill(&rule.text)?;
    let debug = rule.debug.as_deref().map(fill).transpose()?;
    *rule = rule.with_text(&text, debug, limits).map_err(|reason| {
        let (at, problem) = (String::new(), Problem::AttributeRule { rule: text.chars().take(200).collect(), reason });
        Error::Malformed { file: "layout".to_owned(), at, problem }
    })?;
    Ok(())
}

fn check(name: &str, value: &str, raw: bool) -> Result<(), ParameterProblem> {
    if !is_name(name) {
        return Err(ParameterProblem::Name(name.to_owned()));
    }
    let active = |c: char| c.is_control() || "*?[]{}\\".contains(c);
    match value.chars().find(|c| active(*c)) {
        Some(found) if !raw => Err(ParameterProblem::Value { name: name.to_owned(), found }),
        _ => Ok(()),
    }
}

/// The text with its parameters; or where that has more than `most` bytes, how many at least.
fn fill(
    text: &str,
    parameters: &BTreeMap<String, String>,
    most: usize,
) -> Result<Result<String, usize>, ParameterProblem> {
    let braces = || ParameterProblem::Braces { text: text.to_owned() };
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from_brace) = rest.split_at(at);
        let (name, after) = from_brace.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or_else(braces)?;
        if !is_name(name) {
            return Err(braces());
        }
        let unknown = || ParameterProblem::Unknown { name: name.to_owned(), text: text.to_owned() };
        out.push_str(before);
        out.push_str(parameters.get(name).ok_or_else(unknown)?);
        if out.len() > most {
            return Ok(Err(out.len()));
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(if out.len() > most { Err(out.len()) } else { Ok(out) })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_are_replaced_once() {
        let parameters = BTreeMap::from([("A".into(), "{B}".into()), ("B".into(), "b".into())]);
        let fill = |text: &str, parameters: &_| fill(text, parameters, 8);
        assert_eq!(fill("x{A}y{B}z", &parameters).unwrap(), Ok("x{B}ybz".to_owned()));
        assert_eq!(fill("plain", &parameters).unwrap(), Ok("plain".to_owned()));
        assert_eq!(fill("12345678", &parameters).unwrap(), Ok("12345678".to_owned()));
        assert_eq!(fill("123456789", &parameters).unwrap(), Err(9));
        assert_eq!(fill("{A}{A}{A}{A}{A}{A}", &parameters).unwrap(), Err(9));
        for text in ["{", "}", "{A", "{{A}}", "{}", "{A.b}", "{A[0]}", "{A!r}", "${A b}"] {
            assert!(matches!(fill(text, &parameters), Err(ParameterProblem::Braces { .. })), "{text}");
        }
        assert!(matches!(fill("{C}", &parameters), Err(ParameterProblem::Unknown { .. })));
    }

    #[test]
    fn values_that_act_as_patterns_are_refused_unless_raw() {
        for value in ["*", "a?", "[a", "a]", "{", "}", "\\", "a\n"] {
            assert!(check("X", value, false).is_err(), "{value:?}");
            assert!(check("X", value, true).is_ok(), "{value:?}");
        }
        assert!(check("X.y", "a", true).is_err());
        assert!(check("X", "registry.example/team/app@sha256:00", false).is_ok());
    }
}
