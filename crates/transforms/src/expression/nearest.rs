//! Converts decimals to the nearest double. DataFusion converts the digits to a double and divides that by a power of
//! ten, and so rounds twice.
use super::own::Own;
use arrow::{
    array::{ArrayRef, AsArray, Float64Array},
    compute::cast,
    datatypes::{DataType, Decimal128Type},
};
use datafusion_common::{DFSchema, tree_node::Transformed};
use datafusion_expr::{Expr, ExprSchemable, ScalarUDF, expr::ScalarFunction};
use std::sync::Arc;

/// Its internal function name.
const NEAREST: &str = "nearest double of";

/// Makes casts of decimals to doubles return the nearest one.
pub(super) fn nearest(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let is_decimal = |expr: &Expr| expr.get_type(schema).is_ok_and(|ty| ty.is_decimal());
    match expr {
        Expr::Cast(cast) if cast.field.data_type() == &DataType::Float64 && is_decimal(&cast.expr) => {
            Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function(), vec![*cast.expr])))
        }
        expr => Transformed::no(expr),
    }
}

fn function() -> Arc<ScalarUDF> {
    Own::of_any(NEAREST, &[1], |_| DataType::Float64, |columns| doubles(&columns[0]))
}

/// The nearest double of each decimal.
pub(super) fn doubles(decimals: &ArrayRef) -> datafusion_common::Result<ArrayRef> {
    if let Some(doubles) = short_doubles(decimals) {
        return Ok(doubles);
    }
    let texts = cast(decimals, &DataType::Utf8)?;
    let doubles: Float64Array =
        texts.as_string::<i32>().iter().map(|text| text.and_then(|text| text.parse().ok())).collect();
    Ok(Arc::new(doubles))
}

/// Converts decimals of up to 15 digits, each of which has its own double.
pub(crate) fn short_doubles(column: &ArrayRef) -> Option<ArrayRef> {
    let DataType::Decimal128(_, scale @ 0..=22) = column.data_type() else { return None };
    let (decimals, power) = (column.as_primitive::<Decimal128Type>(), 10_f64.powi(i32::from(*scale)));
    let doubles: Float64Array = decimals
        .try_unary(|unscaled| match unscaled.unsigned_abs() {
            ..1_000_000_000_000_000 => Ok(unscaled as f64 / power),
            _ => Err(()),
        })
        .ok()?;
    Some(Arc::new(doubles))
}
