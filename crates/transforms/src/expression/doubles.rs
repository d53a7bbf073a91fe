//! Converts numbers side by side to one type. Beside a double decimals are doubles, as in SQL: DataFusion would convert the
//! double to a decimal, which can't hold most of them. Computes with reals as doubles wherever PostgreSQL has no operation
//! on reals.
use super::{chosen, kind::compares, wide::widened};
use arrow::datatypes::DataType;
use datafusion_common::{DFSchema, ScalarValue, tree_node::Transformed};
use datafusion_expr::{
    BinaryExpr, Case, Expr, ExprSchemable, Operator,
    expr::{Between, InList, ScalarFunction},
};

/// Functions whose arguments have one type.
const ALIKE: &[&str] = &["coalesce", "make_array"];

/// Those of them that return the first or the last one.
const EXTREME: &[&str] = &["greatest", "least"];

/// Functions that PostgreSQL has for doubles, but not for reals.
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

/// Converts to doubles: the numbers that an operator combines with a double or a real, the numbers that a choice
/// combines with one, and the reals that a function of doubles takes. Converts numbers that are compared or chosen between
/// to a type with room for all of them.
pub(super) fn beside_doubles(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let changed = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            compared([&mut **left, &mut **right], schema)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_numeric(*op) => {
            operands(&mut typed([&mut **left, &mut **right], schema))
        }
        Expr::Between(Between { expr, low, high, .. }) => compared([&mut **expr, &mut **low, &mut **high], schema),
        Expr::InList(list) if is_real_list(list, schema) => return Transformed::yes(of_reals(list)),
        Expr::InList(InList { expr, list, .. }) => compared(std::iter::once(&mut **expr).chain(list), schema),
        Expr::Case(Case { expr, when_then_expr, else_expr }) => {
            let (mut whens, mut results): (Vec<&mut Expr>, Vec<&mut Expr>) =
                when_then_expr.iter_mut().map(|(when, then)| (&mut **when, &mut **then)).unzip();
            results.extend(else_expr.iter_mut().map(|result| &mut **result));
            let results = alike(results, schema);
            match expr {
                Some(expr) => {
                    whens.push(&mut **expr);
                    compared(whens, schema) | results
                }
                None => results,
            }
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "nullif" => match args.as_slice() {
            [first, second] if are_two_types(first, second, schema) => {
                return Transformed::yes(null_if(first, second, schema));
            }
            _ => false,
        },
        Expr::ScalarFunction(ScalarFunction { func, args }) if ALIKE.contains(&func.name()) => alike(args, schema),
        Expr::ScalarFunction(ScalarFunction { func, args }) if EXTREME.contains(&func.name()) => {
            let mut typed = typed(args.iter_mut(), schema);
            match float_among(&typed) {
                None => widened(&mut typed),
                Some(float) if !mixes_numbers(&typed) => into(&float, &mut typed, DataType::is_decimal),
                Some(float) => {
                    let greatest = func.name() == "greatest";
                    let members =
                        typed.into_iter().map(|(member, ty)| chosen::member(std::mem::take(member), &ty, &float));
                    return Transformed::yes(chosen::extreme(greatest, members.collect(), &float));
                }
            }
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if OF_DOUBLES.contains(&func.name()) => {
            into(&DataType::Float64, &mut typed(args, schema), is_real)
        }
        _ => false,
    };
    if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

/// Returns whether these are numbers of two types.
fn are_two_types(first: &Expr, second: &Expr, schema: &DFSchema) -> bool {
    let types = first.get_type(schema).ok().zip(second.get_type(schema).ok());
    types.is_some_and(|(first, second)| first != second && first.is_numeric() && second.is_numeric())
}

/// `nullif`, which returns its first argument unchanged, whatever type the two are compared in.
fn null_if(first: &Expr, second: &Expr, schema: &DFSchema) -> Expr {
    let same = beside_doubles(first.clone().eq(second.clone()), schema).data;
    Expr::Case(Case::new(
        None,
        vec![(Box::new(same), Box::new(Expr::Literal(ScalarValue::Null, None)))],
        Some(Box::new(first.clone())),
    ))
}

/// Returns whether a real is looked up among several constants, none of which is a double: PostgreSQL converts these to
/// reals, and compares doubles everywhere else.
fn is_real_list(InList { expr, list, .. }: &InList, schema: &DFSchema) -> bool {
    let constants: Vec<&Expr> = list.iter().filter(|member| is_constant(member)).collect();
    let number = |ty: &DataType| is_real(ty) || ty.is_decimal() || ty.is_integer();
    constants.len() > 1
        && expr.get_type(schema).is_ok_and(|ty| is_real(&ty))
        && constants.iter().all(|member| member.get_type(schema).is_ok_and(|ty| number(&ty)))
        && constants.iter().any(|member| member.get_type(schema).is_ok_and(|ty| !is_real(&ty)))
}

pub(super) fn is_constant(expr: &Expr) -> bool {
    !expr.any_column_refs()
}

/// Converts the constants to reals, other members to doubles.
fn of_reals(InList { expr, list, negated }: &InList) -> Expr {
    let (constants, others): (Vec<Expr>, Vec<Expr>) = list.iter().cloned().partition(is_constant);
    let reals = constants.into_iter().map(|number| converted(number, &DataType::Float32)).collect();
    let reals = datafusion_expr::in_list((**expr).clone(), reals, *negated);
    if others.is_empty() {
        return reals;
    }
    let double = |number: Expr| converted(number, &DataType::Float64);
    let others = others.into_iter().map(double).collect();
    let others = datafusion_expr::in_list(double((**expr).clone()), others, *negated);
    if *negated { reals.and(others) } else { reals.or(others) }
}

fn is_numeric(op: Operator) -> bool {
    use Operator as Op;
    matches!(op, Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo)
        || op.supports_propagation()
        || matches!(op, Op::NotEq | Op::IsDistinctFrom | Op::IsNotDistinctFrom)
}

/// Converts numbers that are compared to a type in which each is itself.
fn compared<'a>(members: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> bool {
    let mut typed = typed(members, schema);
    operands(&mut typed) || widened(&mut typed)
}

/// Converts all decimals and reals among these to doubles, if there is a double, or a real beside a number of another
/// type.
fn operands(typed: &mut [(&mut Expr, DataType)]) -> bool {
    let has = |wanted: fn(&DataType) -> bool| typed.iter().any(|(_, ty)| wanted(ty));
    (has(|ty| *ty == DataType::Float64) || has(is_real) && has(|ty| ty.is_decimal() || ty.is_integer()))
        && into(&DataType::Float64, typed, |ty| ty.is_decimal() || is_real(ty))
}

/// Converts numbers that a choice is made between to the widest floating-point type among them, if there is one, otherwise
/// to a type with room for all of them. A number that would become another one is an error if it is chosen.
fn alike<'a>(members: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> bool {
    let mut typed = typed(members, schema);
    let Some(float) = float_among(&typed) else { return widened(&mut typed) };
    if !mixes_numbers(&typed) {
        return into(&float, &mut typed, DataType::is_decimal);
    }
    for (member, ty) in &mut typed {
        **member = chosen::itself(std::mem::take(*member), ty, &float);
    }
    true
}

/// The widest floating-point type among these.
fn float_among(typed: &[(&mut Expr, DataType)]) -> Option<DataType> {
    let floats = [DataType::Float64, DataType::Float32];
    floats.into_iter().find(|float| typed.iter().any(|(_, ty)| ty == float))
}

/// Returns whether exact numbers are among these, and nothing but numbers.
fn mixes_numbers(typed: &[(&mut Expr, DataType)]) -> bool {
    typed.iter().any(|(_, ty)| ty.is_decimal() || ty.is_integer())
        && typed.iter().all(|(_, ty)| ty.is_numeric() || ty.is_null())
}

/// Returns the members with their types; nothing if one of them has no type yet, which the planner reports later.
fn typed<'a>(members: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> Vec<(&'a mut Expr, DataType)> {
    let typed = members.into_iter().map(|member| member.get_type(schema).ok().map(|ty| (member, ty)));
    typed.collect::<Option<_>>().unwrap_or_default()
}

/// Converts those members to this type that are `taken`; returns whether there are any.
fn into(float: &DataType, typed: &mut [(&mut Expr, DataType)], taken: fn(&DataType) -> bool) -> bool {
    let mut changed = false;
    for (member, _) in typed.iter_mut().filter(|(_, ty)| taken(ty)) {
        **member = converted(std::mem::take(*member), float);
        changed = true;
    }
    changed
}

/// The number as the nearest one of a floating-point type.
pub(super) fn converted(number: Expr, float: &DataType) -> Expr {
    match literal(&number, float) {
        Some(literal) => Expr::Literal(literal, None),
        None => datafusion_expr::cast(number, float.clone()),
    }
}

fn is_real(ty: &DataType) -> bool {
    *ty == DataType::Float32
}

/// Parses a literal again from its text, which gives the nearest value of the type.
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
