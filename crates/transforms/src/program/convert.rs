//! Computed columns in the type that a sink asks for.
use crate::expression::{class::Class, short_doubles, written};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, new_null_array},
    compute::{CastOptions, cast_with_options, interleave, nullif},
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};
use dataflow_core::types::Type;
use dataflow_formats::{
    decode::{self, JSON, Misfit},
    encode,
};
use dataflow_sdk::batch::arrow_type;
use std::{collections::HashMap, sync::Arc};

/// Most characters of a value that a message shows.
const MAX_SHOWN: usize = 60;

/// What texts stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Texts {
    /// Themselves: they are no numbers.
    Strings,
    /// What they spell.
    Untyped,
}

/// The column in a type, and the rows (with the reason) that don't fit it; they are NULL. Nothing is rounded, cut or made
/// another value or another kind of value. Texts of a `raw` column are JSON, and fit what a field with that value would.
pub(crate) fn to(column: &ArrayRef, ty: Type, raw: bool, texts: Texts) -> (ArrayRef, Vec<(usize, String)>) {
    let (Some(union), DataType::Union(fields, _)) = (column.as_union_opt(), column.data_type()) else {
        return of_one_type(column, ty, raw, texts);
    };
    let parts = fields.iter().map(|(id, field)| of_one_type(union.child(id), ty, field.name() == JSON, texts));
    let (parts, failed): (Vec<ArrayRef>, Vec<Vec<(usize, String)>>) = parts.unzip();
    let failed: Vec<HashMap<usize, String>> = failed.into_iter().map(|part| part.into_iter().collect()).collect();
    let places: Vec<(usize, usize)> =
        (0..union.len()).map(|row| (union.type_id(row) as usize, union.value_offset(row))).collect();
    let arrays: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    let whole = interleave(&arrays, &places).unwrap_or_else(|error| unreachable!("all parts are of one type: {error}"));
    let failed = places.iter().enumerate().filter_map(|(row, (part, at))| Some((row, failed[*part].get(at)?.clone())));
    (whole, failed.collect())
}

/// Numbers of one type as doubles or reals, and the rows whose number none of these is; they are NULL.
pub(crate) fn floats(column: &ArrayRef, float: &DataType) -> (ArrayRef, Vec<usize>) {
    let ty = if *float == DataType::Float32 { Type::Real } else { Type::Double };
    let (floats, failed) = of_one_type(column, ty, false, Texts::Strings);
    (floats, failed.into_iter().map(|(row, _)| row).collect())
}

fn of_one_type(column: &ArrayRef, ty: Type, raw: bool, texts: Texts) -> (ArrayRef, Vec<(usize, String)>) {
    let (from, target) = (column.data_type(), arrow_type(ty));
    match ty {
        _ if from == &DataType::Null => (new_null_array(&target, column.len()), Vec::new()),
        Type::Json | Type::Any if raw => (column.clone(), Vec::new()),
        Type::Json if from == &DataType::Utf8 && texts == Texts::Untyped => read(column, ty),
        Type::Json | Type::Any => json(column),
        _ if raw => causes(decode::values(column.as_string(), ty)),
        _ if !holds(ty, from) => unfit(column, ty),
        Type::Text if let Some(intervals) = encode::intervals(column) => (Arc::new(intervals), Vec::new()),
        _ if from.is_string() && from != &DataType::Utf8 => of_one_type(&text(column), ty, raw, texts),
        // A text is taken as the source's would be.
        _ if from.is_string() && texts == Texts::Strings && (ty.is_number() || ty == Type::Boolean) => {
            unfit(column, ty)
        }
        _ if from.is_string() && ty != Type::Text => read(column, ty),
        // What has no scale, or another base, goes by its text, which is the shortest that gives the same number again.
        Type::Real | Type::Decimal { .. } if from.is_floating() && from != &target => number(column, ty),
        Type::Number if from.is_numeric() => number(column, ty),
        Type::Double | Type::Real if from.is_decimal() => match short_doubles(column).filter(|_| ty == Type::Double) {
            Some(doubles) => (doubles, Vec::new()),
            None => number(column, ty),
        },
        _ if from == &target => (column.clone(), Vec::new()),
        _ => same(column, &target),
    }
}

/// Whether some values of a type may be ones of the column's type, by what they are. Texts stand for times, among others.
fn holds(ty: Type, from: &DataType) -> bool {
    match from {
        DataType::Boolean => ty == Type::Boolean,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            matches!(ty, Type::Timestamp | Type::Datetime | Type::Date)
        }
        // No column has their type: they have a text.
        DataType::Interval(_) | DataType::Duration(_) | DataType::Time32(_) | DataType::Time64(_) => ty == Type::Text,
        DataType::Binary => ty == Type::Binary,
        from if from.is_numeric() => ty.is_number(),
        from => from.is_string(),
    }
}

/// No value of the column is one of the type.
fn unfit(column: &ArrayRef, ty: Type) -> (ArrayRef, Vec<(usize, String)>) {
    let from = Class::of(column.data_type());
    let fix = match Class::of_type(ty) {
        Class::Any => None,
        Class::Number if from == Class::Text => {
            // A cast to the column's own type would round what the column refuses.
            let scale = if let Type::Decimal { scale, .. } = ty { scale.max(10) } else { 10 };
            Some(format!("write cast(… as decimal(38, {scale}))"))
        }
        to => to.cast("…", from),
    };
    let fix = fix.map(|fix| format!("; {fix}")).unwrap_or_default();
    let what = if from == Class::Any { "not".into() } else { format!("{}, not", from.words()) };
    let failure = |row| (row, format!("{} is {what} {ty}{fix}", shown(column, row)));
    let failed = (0..column.len()).filter(|row| column.is_valid(*row)).map(failure);
    (new_null_array(&arrow_type(ty), column.len()), failed.collect())
}

/// The column in another type; a value that doesn't come back the same doesn't fit.
fn same(column: &ArrayRef, target: &DataType) -> (ArrayRef, Vec<(usize, String)>) {
    let failure = |row| (row, format!("{} does not fit", shown(column, row)));
    let valid = |row: &usize| column.is_valid(*row);
    let Some(converted) = cast(column, target) else {
        return (new_null_array(target, column.len()), (0..column.len()).filter(valid).map(failure).collect());
    };
    let back = if target.is_string() { None } else { cast(&converted, column.data_type()) };
    if converted.null_count() == column.null_count() && back.as_ref().is_none_or(|back| back == column) {
        return (converted, Vec::new());
    }
    let changed = |row| back.as_ref().is_some_and(|back| back.slice(row, 1) != column.slice(row, 1));
    let failed: Vec<usize> =
        (0..column.len()).filter(valid).filter(|row| converted.is_null(*row) || changed(*row)).collect();
    let drop = BooleanArray::from_iter((0..column.len()).map(|row| Some(failed.binary_search(&row).is_ok())));
    let converted =
        nullif(&converted, &drop).unwrap_or_else(|error| unreachable!("there is a flag for each row: {error}"));
    (converted, failed.into_iter().map(failure).collect())
}

/// Texts taken as a type, as they are spelled.
fn read(texts: &ArrayRef, ty: Type) -> (ArrayRef, Vec<(usize, String)>) {
    causes(decode::texts(texts.as_string(), ty))
}

/// Numbers taken as a type by their texts.
fn number(column: &ArrayRef, ty: Type) -> (ArrayRef, Vec<(usize, String)>) {
    causes(decode::numbers(written::shortest(&text(column)).as_string(), ty))
}

fn causes((column, misfits): (ArrayRef, Vec<Misfit>)) -> (ArrayRef, Vec<(usize, String)>) {
    (column, misfits.into_iter().map(|misfit| (misfit.row as usize, misfit.cause)).collect())
}

fn text(column: &ArrayRef) -> ArrayRef {
    cast(column, &DataType::Utf8).unwrap_or_else(|| new_null_array(&DataType::Utf8, column.len()))
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
        DataType::LargeUtf8 | DataType::List(_) | DataType::Struct(_) | DataType::Map(..) | DataType::LargeList(_) => {
            Type::Json
        }
        _ => Type::Text,
    }
}

/// A value as SQL or a record would write it, shortened if it is long.
pub(crate) fn shown(column: &ArrayRef, row: usize) -> String {
    let formatter = ArrayFormatter::try_new(column, &FormatOptions::new());
    let text = formatter.map_or_else(|_| "a value".into(), |formatter| formatter.value(row).to_string());
    let end = text.char_indices().nth(MAX_SHOWN).map(|(end, _)| end);
    match column.data_type() {
        ty if ty.is_decimal() => written::short(&text).into(),
        ty if ty.is_string() => end.map_or_else(|| format!("{text:?}"), |end| format!("{:?}…", &text[..end])),
        _ => end.map_or_else(|| text.clone(), |end| format!("{}…", &text[..end])),
    }
}

fn cast(column: &ArrayRef, ty: &DataType) -> Option<ArrayRef> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(column, ty, &options).ok()
}

/// Each value as its JSON text, and the rows that JSON can't hold. NULL stays NULL.
fn json(column: &ArrayRef) -> (ArrayRef, Vec<(usize, String)>) {
    const OPEN: &str = "{\"v\":";
    let made = encode::documents_from_columns(
        &[encode::Column { name: "v", array: column, raw: false, absent: None }],
        column.len(),
    );
    let failed: Vec<(usize, String)> =
        made.misfits.iter().map(|misfit| misfit.row as usize).map(|row| (row, shown(column, row))).collect();
    let nulls = column.logical_nulls();
    let texts = made.spans.iter().enumerate().map(|(row, span)| {
        let text = std::str::from_utf8(span.of(&made.data)).ok()?.strip_prefix(OPEN)?.strip_suffix('}')?;
        let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        (!null && failed.binary_search_by_key(&row, |(row, _)| *row).is_err()).then_some(text)
    });
    let texts = StringArray::from_iter(texts);
    (Arc::new(texts), failed.into_iter().map(|(row, value)| (row, format!("{value} does not fit"))).collect())
}
