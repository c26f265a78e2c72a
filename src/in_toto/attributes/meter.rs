//! What expressions cost, and the end of it.
//!
//! The interpreter counts nothing. So an expression is rewritten once it is read: what it reads of a Statement or takes
//! from a list goes through a function that weighs it, and so does each list that a macro goes over. All other values
//! are made of these, and no operator does more than to go over its operands.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicU64, Ordering},
};

use cel::{
    Context, Env, ExecutionError, IdedExpr,
    common::{
        ast::{CallExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators},
        types::{CelInt, CelList, CelMap, CelMapKey, CelString, DYN_TYPE, Type},
        value::{CowVal, StaticVal, Val},
    },
};

/// Weighs a value and hands it on. No text of an expression can name what begins with `@`.
const READ: &str = "@read";
/// The same for a list that a macro goes over.
const RANGE: &str = "@range";
const METER: &str = "@meter";

/// What may be spent on the rules of one verification.
#[derive(Debug, Clone)]
pub(in crate::in_toto) struct Meter(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    limit: u64,
    /// Atomic because values of the interpreter may be shared; nobody shares this one.
    left: AtomicU64,
}

impl Meter {
    pub(in crate::in_toto) fn new(limit: u64) -> Self {
        Self(Arc::new(Budget { limit, left: AtomicU64::new(limit) }))
    }

    pub(super) fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Whether more was asked for than there was.
    pub(super) fn is_empty(&self) -> bool {
        self.0.left.load(Ordering::Relaxed) == 0
    }

    /// Takes from what is left; all of it where that is too little.
    pub(super) fn spend(&self, cost: u64) -> bool {
        let left = self.0.left.load(Ordering::Relaxed).saturating_sub(cost);
        self.0.left.store(left, Ordering::Relaxed);
        left > 0
    }

    /// Lets what is evaluated in this context draw on it.
    pub(super) fn enter(&self, context: &mut Context<'_, '_>) {
        context.add_variable_as_val(METER, Box::new(self.clone()));
    }
}

static METER_TYPE: Type = Type::new_unspecified_type(METER);

impl Val for Meter {
    fn get_type(&self) -> &Type {
        &METER_TYPE
    }

    fn cel_type() -> &'static Type {
        &METER_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Meter {}

/// Functions and macros of the standard, and those that weigh.
pub(super) fn env() -> Arc<Env> {
    static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut env = Env::stdlib().with_optional_support(false);
        // Were one of them not there, no rule would hold.
        let _ = env.add_overload(READ, READ, vec![DYN_TYPE, DYN_TYPE], read);
        let _ = env.add_overload(RANGE, RANGE, vec![DYN_TYPE, DYN_TYPE, DYN_TYPE], range);
        Arc::new(env)
    });
    ENV.clone()
}

fn read<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Ok([value, meter]) = <[CowVal<'b, 'v>; 2]>::try_from(arguments) else { return Err(spent()) };
    let meter = meter.downcast_ref::<Meter>().ok_or_else(spent)?;
    // What is not there any more is not weighed, either.
    if meter.is_empty() || !meter.spend(weight(value.as_ref())) {
        return Err(spent());
    }
    Ok(value)
}

fn range<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Ok([value, meter, step]) = <[CowVal<'b, 'v>; 3]>::try_from(arguments) else { return Err(spent()) };
    let meter = meter.downcast_ref::<Meter>().ok_or_else(spent)?;
    let step = step.downcast_ref::<CelInt>().and_then(|step| u64::try_from(*step.inner()).ok()).ok_or_else(spent)?;
    // The members of a map come in any order, and what is said of the first that fails would, too.
    let Some(list) = value.downcast_ref::<CelList<'_>>() else {
        let (function, message) =
            ("macro".to_owned(), format!("a macro goes over a list, not over a {}", value.get_type().name()));
        return Err(ExecutionError::FunctionError { function, message });
    };
    let steps = u64::try_from(list.inner().len()).unwrap_or(u64::MAX).saturating_mul(step);
    if meter.is_empty() || !meter.spend(weight(value.as_ref()).saturating_add(steps)) {
        return Err(spent());
    }
    Ok(value)
}

fn spent() -> ExecutionError {
    ExecutionError::FunctionError { function: "meter".to_owned(), message: "it takes too long".to_owned() }
}

/// A text is gone over in one stroke, which for a short one takes no longer than to find it.
pub(super) fn of_text(text: &str) -> u64 {
    u64::try_from(text.len() / 16).unwrap_or(u64::MAX).saturating_add(1)
}

fn weight(value: &dyn Val) -> u64 {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return of_text(text.inner());
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        return list.inner().iter().map(|value| weight(value.as_ref())).fold(1, u64::saturating_add);
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        let members = map.inner().iter().map(|(key, value)| {
            let key = if let CelMapKey::String(text) = key { of_text(text.inner()) } else { 1 };
            key.saturating_add(weight(value.as_ref()))
        });
        return members.fold(1, u64::saturating_add);
    }
    1
}

/// The expression with everything weighed that it reads.
pub(super) fn metered(expression: IdedExpr) -> IdedExpr {
    if is_path(&expression) {
        return weighed(READ, along(expression), []);
    }
    let IdedExpr { id, expr } = expression;
    let expr = match expr {
        // To see whether a member is there, what is beside it is not gone over.
        Expr::Select(SelectExpr { operand, field, test }) => {
            let operand = if test { along(*operand) } else { metered(*operand) };
            Expr::Select(SelectExpr { operand: Box::new(operand), field, test })
        }
        Expr::Call(CallExpr { func_name, target, args }) => Expr::Call(CallExpr {
            func_name,
            target: target.map(|target| Box::new(metered(*target))),
            args: args.into_iter().map(metered).collect(),
        }),
        Expr::List(mut list) => {
            list.elements = list.elements.into_iter().map(metered).collect();
            Expr::List(list)
        }
        Expr::Map(mut map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    entry.key = metered(std::mem::take(&mut entry.key));
                    entry.value = metered(std::mem::take(&mut entry.value));
                }
            }
            Expr::Map(map)
        }
        Expr::Comprehension(mut comprehension) => {
            let step = i64::try_from(cost(&comprehension.loop_step)).unwrap_or(i64::MAX);
            let step = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(CelInt::from(step))) };
            comprehension.iter_range = weighed(RANGE, along(comprehension.iter_range), [step]);
            comprehension.loop_step = metered(comprehension.loop_step);
            Expr::Comprehension(comprehension)
        }
        other => other,
    };
    IdedExpr { id, expr }
}

fn weighed<const N: usize>(function: &str, value: IdedExpr, more: [IdedExpr; N]) -> IdedExpr {
    let meter = IdedExpr { id: 0, expr: Expr::Ident(METER.to_owned()) };
    let args = [value, meter].into_iter().chain(more).collect();
    IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args }) }
}

/// Whether the expression finds its way from a name to a member, so that only what is at its end is gone over.
fn is_path(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Ident(name) => !name.starts_with('@'),
        Expr::Select(select) => !select.test && is_path(&select.operand),
        Expr::Call(call) => call.func_name == operators::INDEX && call.args.first().is_some_and(is_path),
        _ => false,
    }
}

/// The path as it is, with what stands in brackets weighed; what is no path is weighed as any other expression.
fn along(expression: IdedExpr) -> IdedExpr {
    if !is_path(&expression) {
        return metered(expression);
    }
    let IdedExpr { id, expr } = expression;
    let expr = match expr {
        Expr::Select(select) => Expr::Select(SelectExpr { operand: Box::new(along(*select.operand)), ..select }),
        Expr::Call(call) => {
            let mut args = call.args.into_iter();
            let base = args.next().map(along);
            Expr::Call(CallExpr { args: base.into_iter().chain(args.map(metered)).collect(), ..call })
        }
        other => other,
    };
    IdedExpr { id, expr }
}

/// What one round of a macro takes at most, but for what it reads.
fn cost(expression: &IdedExpr) -> u64 {
    let all = |parts: &mut dyn Iterator<Item = &IdedExpr>| parts.map(cost).fold(1, u64::saturating_add);
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => of_text(text.inner()),
        Expr::Literal(LiteralValue::Bytes(bytes)) => u64::try_from(bytes.inner().len()).unwrap_or(u64::MAX),
        Expr::Select(select) => cost(&select.operand).saturating_add(1),
        Expr::Call(call) => all(&mut call.target.iter().map(AsRef::as_ref).chain(&call.args)),
        Expr::List(list) => all(&mut list.elements.iter()),
        Expr::Map(map) => all(&mut map.entries.iter().flat_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            EntryExpr::StructField(field) => vec![&field.value],
        })),
        Expr::Comprehension(inner) => all(&mut [&inner.iter_range, &inner.loop_step].into_iter()),
        Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => 1,
    }
}
