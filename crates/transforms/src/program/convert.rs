//! Computed columns in the type that a sink asks for.
use arrow::{
    array::{Array, ArrayRef, StringArray},
    compute::{CastOptions, cast_with_options},
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};
use dataflow_core::types::Type;
use dataflow_formats::encode;
use dataflow_sdk::batch::arrow_type;
use std::sync::Arc;

/// The column in a type, and the rows (with their values) that don't fit it; they are NULL.
pub(crate) fn to(column: &ArrayRef, ty: Type) -> (ArrayRef, Vec<(usize, String)>) {
    if ty == Type::Json {
        return json(column);
    }
    let target = arrow_type(ty);
    if column.data_type() == &target {
        return (column.clone(), Vec::new());
    }
    let Some(converted) = cast(column, &target) else {
        let failed = (0..column.len()).filter(|row| column.is_valid(*row)).map(|row| (row, shown(column, row)));
        return (arrow::array::new_null_array(&target, column.len()), failed.collect());
    };
    // A number that isn't whole doesn't become one by itself.
    let whole = target.is_integer() && (column.data_type().is_floating() || column.data_type().is_decimal());
    let back = if whole { cast(&converted, column.data_type()) } else { None };
    if converted.null_count() == column.null_count() && back.as_ref().is_none_or(|back| back == column) {
        return (converted, Vec::new());
    }
    let changed = |row| back.as_ref().is_some_and(|back| back.slice(row, 1) != column.slice(row, 1));
    let failed: Vec<usize> =
        (0..column.len()).filter(|row| column.is_valid(*row) && (converted.is_null(*row) || changed(*row))).collect();
    let keep =
        arrow::array::BooleanArray::from_iter((0..column.len()).map(|row| Some(failed.binary_search(&row).is_ok())));
    let converted = arrow::compute::nullif(&converted, &keep)
        .unwrap_or_else(|error| unreachable!("there is a flag for each row: {error}"));
    (converted, failed.into_iter().map(|row| (row, shown(column, row))).collect())
}

/// The type that holds a computed column.
pub(crate) fn type_of(ty: &DataType) -> Type {
    match ty {
        DataType::Boolean => Type::Boolean,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => Type::Smallint,
        DataType::UInt16 | DataType::Int32 => Type::Integer,
        DataType::UInt32 | DataType::Int64 => Type::Bigint,
        DataType::UInt64 => Type::Decimal { precision: 20, scale: 0 },
        DataType::Float16 | DataType::Float32 => Type::Real,
        DataType::Float64 => Type::Double,
        DataType::Decimal128(precision, scale @ 0..) => Type::Decimal { precision: *precision, scale: *scale as u8 },
        ty if ty.is_decimal() => Type::Number,
        DataType::Timestamp(_, Some(_)) => Type::Timestamp,
        DataType::Timestamp(_, None) => Type::Datetime,
        DataType::Date32 | DataType::Date64 => Type::Date,
        DataType::Binary => Type::Binary,
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) | DataType::LargeList(_) => Type::Json,
        _ => Type::Text,
    }
}

/// A value in words.
fn shown(column: &ArrayRef, row: usize) -> String {
    let formatter = ArrayFormatter::try_new(column, &FormatOptions::new());
    formatter.map_or_else(|_| "a value".into(), |formatter| formatter.value(row).to_string())
}

fn cast(column: &ArrayRef, ty: &DataType) -> Option<ArrayRef> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(column, ty, &options).ok()
}

/// Each value as its JSON text, and the rows that JSON can't hold. NULL stays NULL.
fn json(column: &ArrayRef) -> (ArrayRef, Vec<(usize, String)>) {
    const OPEN: &str = "{\"v\":";
    let made = encode::documents_from_columns(&[encode::Column { name: "v", array: column, raw: false }], column.len());
    let failed: Vec<(usize, String)> =
        made.misfits.iter().map(|misfit| misfit.row as usize).map(|row| (row, shown(column, row))).collect();
    let nulls = column.logical_nulls();
    let texts = made.spans.iter().enumerate().map(|(row, span)| {
        let text = std::str::from_utf8(span.of(&made.data)).ok()?.strip_prefix(OPEN)?.strip_suffix('}')?;
        let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        (!null && failed.binary_search_by_key(&row, |(row, _)| *row).is_err()).then_some(text)
    });
    (Arc::new(StringArray::from_iter(texts)), failed)
}
