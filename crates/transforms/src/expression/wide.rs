//! Numbers far apart: a common type of decimals and integers that would need more than 38 digits has 76 of them, which any of
//! them fits into.
use super::exact::{DIGITS, WIDE, shape};
use arrow::datatypes::DataType;
use datafusion_expr::Expr;

/// Converts decimals and integers among these to a type with room for each of them, if the one that DataFusion takes has too few
/// digits: it would fail for numbers that need more.
pub(super) fn widened(typed: &mut [(&mut Expr, DataType)]) -> bool {
    let shapes = || typed.iter().filter_map(|(_, ty)| shape(ty));
    let whole = shapes().map(|(precision, scale)| i32::from(precision) - i32::from(scale)).max();
    let scale = shapes().map(|(_, scale)| scale).max();
    let (Some(whole), Some(scale)) = (whole, scale) else { return false };
    let is_decimal = typed.iter().any(|(_, ty)| ty.is_decimal());
    if !is_decimal || whole + i32::from(scale) <= DIGITS as i32 {
        return false;
    }
    let wide = DataType::Decimal256(WIDE, scale.max(0));
    let mut changed = false;
    for (member, _) in typed.iter_mut().filter(|(_, ty)| shape(ty).is_some() && *ty != wide) {
        **member = datafusion_expr::cast(std::mem::take(*member), wide.clone());
        changed = true;
    }
    changed
}
