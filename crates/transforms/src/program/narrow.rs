//! Results of exact arithmetic, which have up to 76 digits on the way, in the types that numbers have by themselves.
use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, UInt32Array},
    datatypes::{Decimal256Type, i256},
};
use dataflow_formats::decode;
use std::{collections::BTreeMap, sync::Arc};

/// The values by type, with the rows that they are of. A number that no decimal of 38 digits holds is the nearest double.
pub(super) fn narrowed(rows: UInt32Array, column: ArrayRef) -> Vec<(UInt32Array, ArrayRef)> {
    let Some(wide) = column.as_primitive_opt::<Decimal256Type>() else { return vec![(rows, column)] };
    let mut parts: BTreeMap<Option<(u8, u8)>, Vec<usize>> = BTreeMap::new();
    for row in 0..wide.len() {
        let number = wide.is_valid(row).then(|| reduced(wide.value(row), wide.scale()));
        let shape = number.map_or(Some((38, 0)), |(unscaled, scale)| decode::shape(unscaled.to_i128()?, scale));
        parts.entry(shape).or_default().push(row);
    }
    let part = |(shape, of): (Option<(u8, u8)>, Vec<usize>)| {
        let valid = of.iter().map(|row| wide.is_valid(*row).then(|| reduced(wide.value(*row), wide.scale())));
        let values: ArrayRef = match shape {
            Some((precision, scale)) => {
                let at = |(unscaled, less): (i256, u32)| {
                    unscaled.to_i128()?.checked_mul(10_i128.checked_pow(u32::from(scale).checked_sub(less)?)?)
                };
                let values: Decimal128Array = valid.map(|number| number.and_then(at)).collect();
                let values = values.with_precision_and_scale(precision, scale as i8);
                Arc::new(
                    values.unwrap_or_else(|error| unreachable!("a scale is no larger than its precision: {error}")),
                )
            }
            None => {
                let double = |(unscaled, scale): (i256, u32)| format!("{unscaled}e-{scale}").parse::<f64>().ok();
                Arc::new(valid.map(|number| number.and_then(double)).collect::<Float64Array>())
            }
        };
        (UInt32Array::from_iter_values(of.iter().map(|row| rows.value(*row))), values)
    };
    parts.into_iter().map(part).collect()
}

/// A number without needless zeros after the point.
fn reduced(mut unscaled: i256, scale: i8) -> (i256, u32) {
    let (ten, mut scale) = (i256::from_i128(10), u32::from(scale.unsigned_abs()));
    while scale > 0 && unscaled.wrapping_rem(ten) == i256::ZERO {
        (unscaled, scale) = (unscaled.wrapping_div(ten), scale - 1);
    }
    (unscaled, scale)
}
