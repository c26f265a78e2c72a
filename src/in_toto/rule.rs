//! Artifact rules (in-toto 4.3.3).

use std::fmt;

use serde_json::Value;

use super::{link::Side, name::StepName};
use crate::pattern::Fnmatch;

/// One artifact rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Consumes products that are not materials.
    Create(Fnmatch),
    /// Consumes materials that are not products.
    Delete(Fnmatch),
    /// Consumes what is both, with other digests.
    Modify(Fnmatch),
    /// Consumes whatever fits.
    Allow(Fnmatch),
    /// Fails if anything fits that was not consumed yet.
    Disallow(Fnmatch),
    /// Fails unless this very name is there and not consumed yet.
    Require(String),
    /// Consumes what another step has with equal digests.
    Match(Match),
}

/// `MATCH <pattern> [IN <source>] WITH (MATERIALS|PRODUCTS) [IN <destination>] FROM <step>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// What the names must fit, without the source prefix.
    pub pattern: Fnmatch,
    /// The folder that is taken off; empty when none is.
    pub source: String,
    /// Which list of the other step.
    pub side: Side,
    /// The folder that is put in front; empty when none is.
    pub destination: String,
    /// The other step or inspection. One that does not exist has nothing, so nothing is consumed.
    pub step: String,
}

impl Rule {
    /// The rule, if it is a `MATCH`.
    pub fn as_match(&self) -> Option<&Match> {
        match self {
            Self::Match(rule) => Some(rule),
            _ => None,
        }
    }

    /// Reads the list of words that a layout writes for a rule; keywords in any case. `None` for anything else.
    pub(super) fn parse(value: &Value) -> Option<Self> {
        let words: Vec<&str> = value.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
        let (keyword, pattern) = (words.first()?.to_ascii_uppercase(), words.get(1)?);
        if keyword == "MATCH" {
            return Self::parse_match(pattern, words.get(2..)?);
        }
        if words.len() != 2 {
            return None;
        }
        Some(match keyword.as_str() {
            "CREATE" => Self::Create(Fnmatch::new(pattern)),
            "DELETE" => Self::Delete(Fnmatch::new(pattern)),
            "MODIFY" => Self::Modify(Fnmatch::new(pattern)),
            "ALLOW" => Self::Allow(Fnmatch::new(pattern)),
            "DISALLOW" => Self::Disallow(Fnmatch::new(pattern)),
            "REQUIRE" => Self::Require((*pattern).to_owned()),
            _ => return None,
        })
    }

    fn parse_match(pattern: &str, words: &[&str]) -> Option<Self> {
        let (source, words) = match words {
            [keyword, prefix, rest @ ..] if keyword.eq_ignore_ascii_case("IN") => (*prefix, rest),
            rest => ("", rest),
        };
        let [with, side, words @ ..] = words else { return None };
        let (destination, words) = match words {
            [keyword, prefix, rest @ ..] if keyword.eq_ignore_ascii_case("IN") => (*prefix, rest),
            rest => ("", rest),
        };
        let [from, step] = words else { return None };
        if !with.eq_ignore_ascii_case("WITH") || !from.eq_ignore_ascii_case("FROM") {
            return None;
        }
        let side = match side.to_ascii_uppercase().as_str() {
            "MATERIALS" => Side::Materials,
            "PRODUCTS" => Side::Products,
            _ => return None,
        };
        Some(Self::Match(Match {
            pattern: Fnmatch::new(pattern),
            source: source.to_owned(),
            side,
            destination: destination.to_owned(),
            step: (*step).to_owned(),
        }))
    }

    /// The same rule with every text of its author replaced by what `fill` makes of it.
    pub(super) fn try_map<E>(&self, fill: &impl Fn(&str) -> Result<String, E>) -> Result<Self, E> {
        let pattern = |pattern: &Fnmatch| Ok(Fnmatch::new(&fill(pattern.as_str())?));
        Ok(match self {
            Self::Create(text) => Self::Create(pattern(text)?),
            Self::Delete(text) => Self::Delete(pattern(text)?),
            Self::Modify(text) => Self::Modify(pattern(text)?),
            Self::Allow(text) => Self::Allow(pattern(text)?),
            Self::Disallow(text) => Self::Disallow(pattern(text)?),
            Self::Require(name) => Self::Require(fill(name)?),
            Self::Match(rule) => Self::Match(Match {
                pattern: pattern(&rule.pattern)?,
                source: fill(&rule.source)?,
                side: rule.side,
                destination: fill(&rule.destination)?,
                step: fill(&rule.step)?,
            }),
        })
    }

    /// The pattern; a `REQUIRE` has none.
    pub fn pattern(&self) -> Option<&Fnmatch> {
        match self {
            Self::Create(pattern) | Self::Delete(pattern) | Self::Modify(pattern) => Some(pattern),
            Self::Allow(pattern) | Self::Disallow(pattern) => Some(pattern),
            Self::Match(rule) => Some(&rule.pattern),
            Self::Require(_) => None,
        }
    }

    /// Whether this is a `MATCH` against `step`.
    pub fn matches_from(&self, step: &StepName) -> bool {
        matches!(self, Self::Match(rule) if rule.step == step.as_str())
    }
}

/// The rule as layouts' authors write it, words in quotation marks where they need them.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(pattern) => write!(f, "CREATE {}", word(pattern.as_str())),
            Self::Delete(pattern) => write!(f, "DELETE {}", word(pattern.as_str())),
            Self::Modify(pattern) => write!(f, "MODIFY {}", word(pattern.as_str())),
            Self::Allow(pattern) => write!(f, "ALLOW {}", word(pattern.as_str())),
            Self::Disallow(pattern) => write!(f, "DISALLOW {}", word(pattern.as_str())),
            Self::Require(name) => write!(f, "REQUIRE {}", word(name)),
            Self::Match(rule) => write!(f, "{rule}"),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MATCH {}", word(self.pattern.as_str()))?;
        if !self.source.is_empty() {
            write!(f, " IN {}", word(&self.source))?;
        }
        write!(f, " WITH {}", self.side.to_string().to_ascii_uppercase())?;
        if !self.destination.is_empty() {
            write!(f, " IN {}", word(&self.destination))?;
        }
        write!(f, " FROM {}", word(&self.step))
    }
}

fn word(text: &str) -> String {
    let is_plain = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
    if is_plain { text.to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_of_the_specification_is_read_and_written_back() {
        for text in [
            "CREATE a*",
            "DELETE a",
            "MODIFY a",
            "ALLOW [a]",
            "DISALLOW *",
            "REQUIRE a/b",
            "MATCH * WITH PRODUCTS FROM build",
            "MATCH * IN src WITH MATERIALS FROM build",
            "MATCH * WITH PRODUCTS IN dst FROM build",
            "MATCH * IN src WITH PRODUCTS IN dst FROM build",
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(Rule::parse(&json!(words)).unwrap().to_string(), text);
        }
        let lower = Rule::parse(&json!(["match", "a b", "with", "products", "from", ""])).unwrap();
        assert_eq!(lower.to_string(), r#"MATCH "a b" WITH PRODUCTS FROM """#);
    }

    #[test]
    fn a_pattern_may_be_a_keyword() {
        let rule = Rule::parse(&json!(["MATCH", "IN", "IN", "IN", "WITH", "PRODUCTS", "IN", "FROM", "FROM", "IN"]));
        assert_eq!(rule.unwrap().to_string(), "MATCH IN IN IN WITH PRODUCTS IN FROM FROM IN");
    }

    #[test]
    fn other_forms_are_no_rules() {
        for value in [
            json!([]),
            json!(["ALLOW"]),
            json!(["ALLOW", "a", "b"]),
            json!(["PERMIT", "a"]),
            json!(["ALLOW", 1]),
            json!("ALLOW *"),
            json!(["MATCH", "*"]),
            json!(["MATCH", "*", "WITH", "STUFF", "FROM", "build"]),
            json!(["MATCH", "*", "WITH", "PRODUCTS", "FROM"]),
            json!(["MATCH", "*", "WITH", "PRODUCTS", "FROM", "build", "x"]),
            json!(["MATCH", "*", "WITH", "PRODUCTS", "IN", "dst", "build"]),
        ] {
            assert_eq!(Rule::parse(&value), None, "{value}");
        }
    }
}
