//! Decimals beside a double are doubles, as in every other SQL: the engine would make a decimal of the double, which has
//! no room for most of them.
use arrow::datatypes::DataType;
use datafusion_common::{DFSchema, DataFusionError, ScalarValue, tree_node::Transformed};
use datafusion_expr::{
    BinaryExpr, Case, Expr, ExprSchemable, Operator,
    expr::{Between, InList, ScalarFunction},
};

/// Functions whose arguments are of one type.
const ALIKE: &[&str] = &["coalesce", "nullif", "greatest", "least", "nvl", "nvl2"];

/// Makes doubles (or reals) of the decimals that an operator, or a function, takes together with one.
pub(super) fn beside_doubles(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    let changed = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_numeric(*op) => {
            alike([&mut **left, &mut **right], schema)?
        }
        Expr::Between(Between { expr, low, high, .. }) => alike([&mut **expr, &mut **low, &mut **high], schema)?,
        Expr::InList(InList { expr, list, .. }) => alike(std::iter::once(&mut **expr).chain(list), schema)?,
        Expr::Case(Case { expr, when_then_expr, else_expr }) => {
            let (mut whens, mut results): (Vec<&mut Expr>, Vec<&mut Expr>) =
                when_then_expr.iter_mut().map(|(when, then)| (&mut **when, &mut **then)).unzip();
            results.extend(else_expr.iter_mut().map(|result| &mut **result));
            let results = alike(results, schema)?;
            match expr {
                Some(expr) => {
                    whens.push(&mut **expr);
                    alike(whens, schema)? | results
                }
                None => results,
            }
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if ALIKE.contains(&func.name()) => alike(args, schema)?,
        _ => false,
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn is_numeric(op: Operator) -> bool {
    use Operator as Op;
    matches!(op, Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo)
        || op.supports_propagation()
        || matches!(op, Op::NotEq | Op::IsDistinctFrom | Op::IsNotDistinctFrom)
}

/// Makes all decimals among these the widest floating-point type there is among them, if there is one.
fn alike<'a>(members: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> Result<bool, DataFusionError> {
    let mut typed = Vec::new();
    for member in members {
        // What has no type yet is told later, by the planner.
        let Ok(ty) = member.get_type(schema) else { return Ok(false) };
        typed.push((member, ty));
    }
    let has = |wanted: &DataType| typed.iter().any(|(_, ty)| ty == wanted);
    let float = match (has(&DataType::Float64), has(&DataType::Float32)) {
        (true, _) => DataType::Float64,
        (false, true) => DataType::Float32,
        (false, false) => return Ok(false),
    };
    let mut changed = false;
    for (member, _) in typed.into_iter().filter(|(_, ty)| ty.is_decimal()) {
        let decimal = std::mem::take(member);
        *member = match literal(&decimal, &float) {
            Some(literal) => Expr::Literal(literal, None),
            None => datafusion_expr::cast(decimal, float.clone()),
        };
        changed = true;
    }
    Ok(changed)
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
