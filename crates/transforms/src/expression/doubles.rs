//! Decimals beside a double are doubles, as in every other SQL: the engine would make a decimal of the double, which has
//! no room for most of them. Reals are computed with as doubles wherever PostgreSQL has no operation of reals.
use arrow::datatypes::DataType;
use datafusion_common::{DFSchema, ScalarValue, tree_node::Transformed};
use datafusion_expr::{
    BinaryExpr, Case, Expr, ExprSchemable, Operator,
    expr::{Between, InList, ScalarFunction},
};

/// Functions whose arguments are of one type.
const ALIKE: &[&str] = &["coalesce", "nullif", "greatest", "least", "nvl", "nvl2"];

/// Functions that PostgreSQL has for doubles, and not for reals.
const OF_DOUBLES: &[&str] = &[
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "cot",
    "degrees",
    "exp",
    "floor",
    "ln",
    "log",
    "log10",
    "log2",
    "power",
    "radians",
    "round",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "to_timestamp",
    "trunc",
];

/// Makes doubles of the numbers that an operator takes together with a double or a real, of the decimals that a choice takes
/// together with one, and of the reals that a function of doubles takes.
pub(super) fn beside_doubles(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let changed = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_numeric(*op) => {
            operands([&mut **left, &mut **right], schema)
        }
        Expr::Between(Between { expr, low, high, .. }) => operands([&mut **expr, &mut **low, &mut **high], schema),
        Expr::InList(InList { expr, list, .. }) => operands(std::iter::once(&mut **expr).chain(list), schema),
        Expr::Case(Case { expr, when_then_expr, else_expr }) => {
            let (mut whens, mut results): (Vec<&mut Expr>, Vec<&mut Expr>) =
                when_then_expr.iter_mut().map(|(when, then)| (&mut **when, &mut **then)).unzip();
            results.extend(else_expr.iter_mut().map(|result| &mut **result));
            let results = alike(results, schema);
            match expr {
                Some(expr) => {
                    whens.push(&mut **expr);
                    operands(whens, schema) | results
                }
                None => results,
            }
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if ALIKE.contains(&func.name()) => alike(args, schema),
        Expr::ScalarFunction(ScalarFunction { func, args }) if OF_DOUBLES.contains(&func.name()) => {
            into(&DataType::Float64, typed(args, schema), is_real)
        }
        _ => false,
    };
    if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

fn is_numeric(op: Operator) -> bool {
    use Operator as Op;
    matches!(op, Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo)
        || op.supports_propagation()
        || matches!(op, Op::NotEq | Op::IsDistinctFrom | Op::IsNotDistinctFrom)
}

/// Makes doubles of all decimals and reals among these, if there is a double, or a real beside a number of another type.
fn operands<'a>(members: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> bool {
    let typed = typed(members, schema);
    let has = |wanted: fn(&DataType) -> bool| typed.iter().any(|(_, ty)| wanted(ty));
    (has(|ty| *ty == DataType::Float64) || has(is_real) && has(|ty| ty.is_decimal() || ty.is_integer()))
        && into(&DataType::Float64, typed, |ty| ty.is_decimal() || is_real(ty))
}

/// Makes all decimals among these the widest floating-point type there is among them, if there is one.
fn alike<'a>(members: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> bool {
    let typed = typed(members, schema);
    let has = |wanted: &DataType| typed.iter().any(|(_, ty)| ty == wanted);
    let float = match (has(&DataType::Float64), has(&DataType::Float32)) {
        (true, _) => DataType::Float64,
        (false, true) => DataType::Float32,
        (false, false) => return false,
    };
    into(&float, typed, DataType::is_decimal)
}

/// The members with their types; none if one of them has no type yet: it is told later, by the planner.
fn typed<'a>(members: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> Vec<(&'a mut Expr, DataType)> {
    let typed = members.into_iter().map(|member| member.get_type(schema).ok().map(|ty| (member, ty)));
    typed.collect::<Option<_>>().unwrap_or_default()
}

/// Makes this type of those members that are `taken`; whether there are any.
fn into(float: &DataType, typed: Vec<(&mut Expr, DataType)>, taken: fn(&DataType) -> bool) -> bool {
    let mut changed = false;
    for (member, _) in typed.into_iter().filter(|(_, ty)| taken(ty)) {
        let number = std::mem::take(member);
        *member = match literal(&number, float) {
            Some(literal) => Expr::Literal(literal, None),
            None => datafusion_expr::cast(number, float.clone()),
        };
        changed = true;
    }
    changed
}

fn is_real(ty: &DataType) -> bool {
    *ty == DataType::Float32
}

/// A literal, read anew from its text: it is the nearest that the type has.
fn literal(expr: &Expr, float: &DataType) -> Option<ScalarValue> {
    let text = match expr {
        Expr::Literal(ScalarValue::Decimal128(Some(value), _, scale), _) => format!("{value}e{}", -i32::from(*scale)),
        Expr::Literal(ScalarValue::Decimal256(Some(value), _, scale), _) => format!("{value}e{}", -i32::from(*scale)),
        _ => return None,
    };
    match float {
        DataType::Float32 => text.parse().ok().map(|value| ScalarValue::Float32(Some(value))),
        _ => text.parse().ok().map(|value| ScalarValue::Float64(Some(value))),
    }
}
