//! Functions of numbers.
use super::{Own, cast, texts::strings};
use crate::expression::{explain::in_words, kind::Kind};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, PrimitiveArray},
    compute::{kernels::numeric::neg, nullif},
    datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, Float64Type, Int64Type, i256},
};
use datafusion_common::{DataFusionError, Result, exec_err};
use datafusion_expr::ScalarUDF;
use std::sync::Arc;

/// `-x`, which fails for an integer without a counterpart.
pub(in crate::expression) const NEGATIVE: &str = "negative of";

/// Casts of a text to a double and a real; for `try_cast` those of numbers, too.
pub(in crate::expression) const TO_DOUBLE: &str = "to double";
pub(in crate::expression) const TO_REAL: &str = "to real";
pub(in crate::expression) const TRY_TO_DOUBLE: &str = "to double or null";
pub(in crate::expression) const TRY_TO_REAL: &str = "to real or null";

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    use DataType::{Float32, Float64};
    let trying = |name, ty: DataType| {
        let to = ty.clone();
        let returns = move |types: &[DataType]| if is_readable(&types[0]) { ty.clone() } else { types[0].clone() };
        Own::of_any(name, &[1], returns, move |columns| match is_readable(columns[0].data_type()) {
            true => floats_or_null(&columns[0], &to),
            false => Ok(columns[0].clone()),
        })
    };
    vec![
        Own::reader(TO_DOUBLE, Float64, |column| floats(column, &Float64)),
        Own::reader(TO_REAL, Float32, |column| floats(column, &Float32)),
        trying(TRY_TO_DOUBLE, Float64),
        trying(TRY_TO_REAL, Float32),
        Own::of_any(NEGATIVE, &[1], same, |columns| Ok(neg(&numbers(&columns[0])?)?)),
        Own::of_any("floor", &[1], whole, |columns| part(&columns[0], f64::floor, i128::div_euclid)),
        Own::of_any("ceil", &[1], whole, |columns| {
            part(&columns[0], f64::ceil, |value, unit| -(-value).div_euclid(unit))
        }),
        Own::of_any("sign", &[1], sign_type, |columns| sign(&columns[0])),
        Own::of("exp", &[&[Float64]], Float64, |columns| doubles(&columns[0], |x| nonzero(x.exp(), true))),
        Own::of("log", &[&[Float64], &[Float64, Float64]], Float64, |columns| match columns {
            [base, number] => pairs(base, number, |base, x| Ok(logarithm(base, x))),
            _ => doubles(&columns[0], |x| Ok(x.log10())),
        }),
        Own::of("degrees", &[&[Float64]], Float64, |columns| doubles(&columns[0], |x| Ok(x / DEGREE))),
        Own::of("radians", &[&[Float64]], Float64, |columns| doubles(&columns[0], |x| nonzero(x * DEGREE, x != 0.0))),
        Own::of("power", &[&[Float64, Float64]], Float64, |columns| pairs(&columns[0], &columns[1], power)),
    ]
}

/// Whether values of a type may be numbers.
fn is_readable(ty: &DataType) -> bool {
    matches!(Kind::of(ty), Kind::Text | Kind::Whole | Kind::Fraction)
}

/// The numbers of texts. One that is too near to zero for the type is not zero.
fn floats(texts: &ArrayRef, ty: &DataType) -> Result<ArrayRef> {
    let numbers = cast(texts, ty)?;
    match vanished(texts, &numbers)?.first() {
        Some(row) => exec_err!("{:?} is too near to zero for a {}", strings(texts).value(*row), in_words(ty)),
        None => Ok(numbers),
    }
}

/// Numbers as doubles or reals; NULL where that can't hold them.
fn floats_or_null(values: &ArrayRef, ty: &DataType) -> Result<ArrayRef> {
    let numbers = arrow::compute::cast(values, ty)?;
    let mut lost = vanished(&cast(values, &DataType::Utf8)?, &numbers)?;
    let wide = cast(&numbers, &DataType::Float64)?;
    let wide = wide.as_primitive::<Float64Type>();
    lost.extend((0..wide.len()).filter(|row| wide.is_valid(*row) && !wide.value(*row).is_finite()));
    let lost = BooleanArray::from_iter((0..wide.len()).map(|row| Some(lost.contains(&row))));
    Ok(nullif(&numbers, &lost)?)
}

/// The rows whose text is not zero while the number is.
fn vanished(texts: &ArrayRef, numbers: &ArrayRef) -> Result<Vec<usize>> {
    let (texts, numbers) = (strings(texts), cast(numbers, &DataType::Float64)?);
    let numbers = numbers.as_primitive::<Float64Type>();
    let zero = |row: &usize| numbers.is_valid(*row) && numbers.value(*row) == 0.0;
    let digits = |row: &usize| {
        let mantissa = texts.value(*row).split(['e', 'E']).next().unwrap_or_default();
        mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
    };
    Ok((0..numbers.len()).filter(zero).filter(digits).collect())
}

/// A degree in radians.
const DEGREE: f64 = std::f64::consts::PI / 180.0;

/// A NULL number fits any type.
fn same(types: &[DataType]) -> DataType {
    if types[0] == DataType::Null { DataType::Float64 } else { types[0].clone() }
}

fn whole(types: &[DataType]) -> DataType {
    match same(types) {
        DataType::Decimal128(..) => DataType::Decimal128(38, 0),
        DataType::Decimal256(..) => DataType::Decimal256(76, 0),
        other => other,
    }
}

fn sign_type(types: &[DataType]) -> DataType {
    if matches!(same(types), DataType::Float64) { DataType::Float64 } else { DataType::Int64 }
}

fn numbers(column: &ArrayRef) -> Result<ArrayRef> {
    cast(column, &same(&[column.data_type().clone()]))
}

/// Rounds decimals by their `unit` (a power of ten), and doubles; integers are whole.
fn part(column: &ArrayRef, double: fn(f64) -> f64, decimal: fn(i128, i128) -> i128) -> Result<ArrayRef> {
    let column = cast(column, &same(&[column.data_type().clone()]))?;
    match column.data_type() {
        DataType::Decimal128(_, scale) => {
            let unit = 10_i128.pow((*scale).max(0) as u32);
            let parts =
                column.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(|value| decimal(value, unit));
            Ok(Arc::new(parts.with_precision_and_scale(38, 0)?))
        }
        DataType::Decimal256(_, scale) => {
            let unit = i256::from_i128(10).wrapping_pow((*scale).max(0) as u32);
            let parts = column.as_primitive::<Decimal256Type>().unary::<_, Decimal256Type>(|value| {
                // Only the sign of the fraction counts.
                let rest = double(f64::from(signum(value.wrapping_rem(unit)) as i32) / 2.0);
                value.wrapping_div(unit).wrapping_add(i256::from_i128(rest as i128))
            });
            Ok(Arc::new(parts.with_precision_and_scale(76, 0)?))
        }
        DataType::Float64 => doubles(&column, |x| Ok(double(x))),
        _ => Ok(column),
    }
}

fn sign(column: &ArrayRef) -> Result<ArrayRef> {
    let column = cast(column, &same(&[column.data_type().clone()]))?;
    match column.data_type() {
        DataType::Decimal128(..) => {
            let values: &Decimal128Array = column.as_primitive();
            Ok(Arc::new(values.unary::<_, Int64Type>(|value| value.signum() as i64)))
        }
        DataType::Decimal256(..) => Ok(Arc::new(column.as_primitive::<Decimal256Type>().unary::<_, Int64Type>(signum))),
        DataType::Float64 => doubles(&column, |x| Ok(if x == 0.0 { 0.0 } else { x.signum() })),
        ty if ty.is_integer() => {
            let values = cast(&column, &DataType::Int64)?;
            Ok(Arc::new(values.as_primitive::<Int64Type>().unary::<_, Int64Type>(i64::signum)))
        }
        ty => exec_err!("sign takes a number, not {ty}"),
    }
}

fn signum(value: i256) -> i64 {
    if value == i256::ZERO { 0 } else { 1 - 2 * i64::from(value.is_negative()) }
}

fn doubles(column: &ArrayRef, of: impl Fn(f64) -> Result<f64>) -> Result<ArrayRef> {
    Ok(Arc::new(mapped(column.as_primitive::<Float64Type>(), of)?))
}

fn pairs(left: &ArrayRef, right: &ArrayRef, of: impl Fn(f64, f64) -> Result<f64>) -> Result<ArrayRef> {
    let pairs = left.as_primitive::<Float64Type>().iter().zip(right.as_primitive::<Float64Type>());
    let made = pairs.map(|(x, y)| x.zip(y).map(|(x, y)| of(x, y)).transpose());
    Ok(Arc::new(made.collect::<Result<Float64Array>>()?))
}

/// Ignores the values under NULLs.
fn mapped<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    of: impl Fn(T::Native) -> Result<T::Native>,
) -> Result<PrimitiveArray<T>> {
    values.iter().map(|value| value.map(&of).transpose()).collect()
}

fn nonzero(result: f64, expected: bool) -> Result<f64> {
    if result == 0.0 && expected {
        return exec_err!("the result is too near to zero for a double");
    }
    Ok(result)
}

fn power(x: f64, y: f64) -> Result<f64> {
    if x == 0.0 && y < 0.0 {
        return Err(DataFusionError::Execution("zero to a negative power is undefined".into()));
    }
    if x < 0.0 && y.fract() != 0.0 {
        return exec_err!("a negative number to a fractional power is not a real number");
    }
    nonzero(x.powf(y), x != 0.0)
}

/// The quotient of two rounded logarithms may miss an exact whole number.
fn logarithm(base: f64, x: f64) -> f64 {
    let log = x.ln() / base.ln();
    let whole = log.round();
    if base.powf(whole) == x { whole } else { log }
}
