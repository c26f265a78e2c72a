//! Rules on what a Statement says (in-toto ITE-11): an expression of CEL that must be true of it.
//!
//! An expression has no effects and always ends, yet macros in macros over a large predicate would take hours. So every
//! value that an expression reads, and every list that a macro goes over, is weighed first, and what all rules of a
//! verification may weigh together has a cap.

mod meter;

use cel::{
    Context, ExecutionError, IdedExpr, Value as CelValue,
    common::{
        ast::{EntryExpr, Expr, operators},
        types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
        value::Val,
    },
    parser::PrattParser,
};
use serde_json::Value;

use super::limits::Limits;

pub(super) use meter::Meter;

/// The members of a Statement that a rule may name.
const VARIABLES: [&str; 3] = ["predicate", "predicateType", "subject"];

/// The functions that a rule may call, beside operators and the macros `has`, `all`, `exists`, `exists_one`, `map` and
/// `filter`, which are none any more when an expression was read.
const FUNCTIONS: [&str; 7] = ["contains", "double", "endsWith", "int", "size", "startsWith", "string"];

const OPERATORS: [&str; 18] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
];

/// A rule on attributes.
#[derive(Debug, Clone)]
pub(super) struct AttributeRule {
    pub text: String,
    /// Whether it holds where a member that it names is not there.
    pub allow_if_no_claim: bool,
    /// What its author says where it does not hold.
    pub debug: Option<String>,
    metered: IdedExpr,
}

/// A rule that does not hold for a Statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeFailure {
    /// Where it stands in its list, from 1.
    pub position: usize,
    /// The expression, with parameters filled in.
    pub rule: String,
    /// What the layout's author says to it.
    pub debug: Option<String>,
    /// What came of it.
    pub problem: AttributeProblem,
}

/// What came of an expression that is not true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributeProblem {
    /// It is false.
    #[error("is false")]
    False,
    /// It is no truth value.
    #[error("is a {0}, neither true nor false")]
    NotBoolean(String),
    /// A member that it names is not there.
    #[error("names {0:?}, which the Statement does not have")]
    NoClaim(String),
    /// It has no value.
    #[error("has no value: {0}")]
    NoValue(String),
}

impl std::fmt::Display for AttributeFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { position, rule, debug, problem } = self;
        write!(f, "attribute rule {position}, {}, {problem}", cut(rule))?;
        debug.as_ref().map_or(Ok(()), |debug| write!(f, " ({})", cut(debug)))
    }
}

/// Texts of layouts and Statements in messages.
fn cut(text: &str) -> String {
    const SHOWN: usize = 200;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl AttributeRule {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(
        text: &str,
        allow_if_no_claim: bool,
        debug: Option<String>,
        limits: &Limits,
    ) -> Result<Self, String> {
        // The library's other parser, made by ANTLR, takes 100 KiB of stack for each pair of parentheses.
        let depth = u16::try_from(limits.attribute_depth).unwrap_or(u16::MAX);
        let parser = PrattParser::new().max_recursion_depth(depth).max_expression_node_count(limits.attribute_nodes);
        let expression = parser.parse(text).map_err(|errors| {
            let first = errors.errors.first().map_or("it cannot be read", |error| error.msg.as_str());
            cut(first.trim())
        })?;
        Check { nodes: 0, scope: VARIABLES.to_vec(), limits }.expression(&expression, 0)?;
        Ok(Self { text: text.to_owned(), allow_if_no_claim, debug, metered: meter::metered(expression) })
    }

    /// The same with another text.
    pub(super) fn with_text(&self, text: &str, debug: Option<String>, limits: &Limits) -> Result<Self, String> {
        Self::parse(text, self.allow_if_no_claim, debug, limits)
    }
}

/// What an expression is made of, held against what is read.
struct Check<'a> {
    nodes: usize,
    /// The names that stand for something.
    scope: Vec<&'a str>,
    limits: &'a Limits,
}

impl<'a> Check<'a> {
    fn expression(&mut self, expression: &'a IdedExpr, depth: usize) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > self.limits.attribute_nodes {
            return Err(format!("it has more than {} parts", self.limits.attribute_nodes));
        }
        if depth > self.limits.attribute_depth {
            return Err(format!("it is nested deeper than {}", self.limits.attribute_depth));
        }
        let depth = depth.saturating_add(1);
        match &expression.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if name.starts_with('@') || self.scope.contains(&name.as_str()) => Ok(()),
            Expr::Ident(name) => Err(format!("{name:?} is not known; known are {}", VARIABLES.join(", "))),
            Expr::Select(select) => self.expression(&select.operand, depth),
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                let is_known = OPERATORS.contains(&name) || FUNCTIONS.contains(&name) || name.starts_with('@');
                if !is_known {
                    return Err(format!("function {name:?} is not known; known are {}", FUNCTIONS.join(", ")));
                }
                let mut parts = call.target.iter().map(AsRef::as_ref).chain(&call.args);
                parts.try_for_each(|part| self.expression(part, depth))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|part| self.expression(part, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key, depth)?;
                    self.expression(&entry.value, depth)
                }
                EntryExpr::StructField(_) => Err("it makes a message".to_owned()),
            }),
            Expr::Comprehension(comprehension) => {
                self.expression(&comprehension.iter_range, depth)?;
                let name = comprehension.iter_var.as_str();
                if self.scope.contains(&name) {
                    return Err(format!("{name:?} stands for something else already"));
                }
                self.scope.push(name);
                self.expression(&comprehension.loop_step, depth)?;
                self.scope.pop();
                Ok(())
            }
            Expr::Struct(_) => Err("it makes a message".to_owned()),
            Expr::Unspecified => Err("it is empty".to_owned()),
        }
    }
}

/// Why a list of rules does not hold.
pub(super) enum Unheld {
    Failure(AttributeFailure),
    /// They may not weigh more than this.
    TooCostly(u64),
}

/// Holds rules against a Statement. Returns for each whether it holds for want of a claim alone.
pub(super) fn hold(rules: &[AttributeRule], statement: &Value, meter: &Meter) -> Result<Vec<bool>, Unheld> {
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    // A Statement need not have a predicate.
    let empty = Value::Object(serde_json::Map::new());
    let mut context = Context::with_env(meter::env());
    for name in VARIABLES {
        let value = statement.get(name).unwrap_or(&empty);
        if !meter.spend(weight(value)) {
            return Err(Unheld::TooCostly(meter.limit()));
        }
        context.add_variable_as_val(name, value_of(value));
    }
    meter.enter(&mut context);
    let mut no_claims = Vec::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        let found = CelValue::resolve_val(&rule.metered, &context);
        // Whatever came of it: not everything was looked at.
        if meter.is_empty() {
            return Err(Unheld::TooCostly(meter.limit()));
        }
        let problem = match found {
            Ok(value) => match value.downcast_ref::<CelBool>().map(|value| *value.inner()) {
                Some(true) => {
                    no_claims.push(false);
                    continue;
                }
                Some(false) => AttributeProblem::False,
                None => AttributeProblem::NotBoolean(value.get_type().name().to_owned()),
            },
            Err(ExecutionError::NoSuchKey(_)) if rule.allow_if_no_claim => {
                no_claims.push(true);
                continue;
            }
            Err(error) => no_value(&error),
        };
        let (position, rule, debug) = (index.saturating_add(1), rule.text.clone(), rule.debug.clone());
        return Err(Unheld::Failure(AttributeFailure { position, rule, debug, problem }));
    }
    Ok(no_claims)
}

/// Why an expression has no value. What the library says may hold the whole predicate, its members in any order.
fn no_value(error: &ExecutionError) -> AttributeProblem {
    AttributeProblem::NoValue(match error {
        ExecutionError::NoSuchKey(name) => return AttributeProblem::NoClaim(cut(name)),
        ExecutionError::NoSuchOverload(overload) => cut(&overload.to_string()),
        ExecutionError::FunctionError { message, .. } => cut(message),
        ExecutionError::UnsupportedBinaryOperator(name, ..) => format!("such values have no {name:?}"),
        ExecutionError::UnexpectedType { got, want } => format!("a {got} where a {want} belongs"),
        ExecutionError::IndexOutOfBounds(_) => "a list has no such element".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "a division by zero".to_owned(),
        ExecutionError::Overflow(..) => "a number is too large".to_owned(),
        _ => "such values do not go together".to_owned(),
    })
}

/// What it takes to make a value of it.
fn weight(value: &Value) -> u64 {
    match value {
        Value::String(text) => meter::of_text(text),
        Value::Array(list) => list.iter().map(weight).fold(1, u64::saturating_add),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| meter::of_text(name).saturating_add(weight(value)));
            members.fold(1, u64::saturating_add)
        }
        _ => 1,
    }
}

/// A value of the Statement as one of CEL. Whole numbers stay whole, so that they are compared to the last digit.
fn value_of<'v>(value: &'v Value) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Box::new(CelInt::from(number)),
            (None, Some(number)) => Box::new(CelUInt::from(number)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(list) => Box::new(CelList::from(list.iter().map(value_of).collect::<Vec<_>>())),
        Value::Object(members) => {
            let mut map = CelMap::default().into_inner();
            map.extend(members.iter().map(|(name, value)| (CelMapKey::from(name.as_str()), value_of(value))));
            Box::new(CelMap::from(map))
        }
    }
}

#[cfg(test)]
mod tests;
