//! Numbers written with an exponent.
use datafusion_common::{DataFusionError, ScalarValue, tree_node::Transformed};
use datafusion_expr::Expr;

/// Rewrites `1e4` as the decimal 10000, or as a double if it has more digits than any decimal. DataFusion would make a
/// decimal of negative scale, on which its simplifier panics.
pub(super) fn written_out(expr: Expr) -> Result<Transformed<Expr>, DataFusionError> {
    let number = match &expr {
        Expr::Literal(ScalarValue::Decimal128(Some(value), _, scale @ ..0), _) => {
            whole(*value, scale.unsigned_abs()).unwrap_or_else(|| double(value, scale.unsigned_abs()))
        }
        Expr::Literal(ScalarValue::Decimal256(Some(value), _, scale @ ..0), _) => double(value, scale.unsigned_abs()),
        _ => return Ok(Transformed::no(expr)),
    };
    Ok(Transformed::yes(Expr::Literal(number, None)))
}

fn whole(value: i128, zeros: u8) -> Option<ScalarValue> {
    let whole = value.checked_mul(10_i128.checked_pow(zeros.into())?)?;
    let digits = whole.unsigned_abs().checked_ilog10().map_or(1, |log| log as u8 + 1);
    (digits <= 38).then_some(ScalarValue::Decimal128(Some(whole), digits, 0))
}

fn double(value: impl std::fmt::Display, zeros: u8) -> ScalarValue {
    ScalarValue::Float64(format!("{value}e{zeros}").parse().ok())
}
