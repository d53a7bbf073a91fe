//! Columns in which each value has its own type, independent of the others.
//!
//! If all values have the same type, the column has that type, otherwise it is a dense union of one column per type. A
//! number is a bigint, a decimal or a double; decimals have one of a few scales, so that a batch of amounts has few
//! types.
use super::{
    Misfit, Want,
    cell::Kind,
    column::Values,
    misfit::{Asked, Why},
};
use arrow::{
    array::{
        ArrayBuilder, ArrayRef, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, NullArray,
        StringBuilder, TimestampMicrosecondBuilder, TimestampNanosecondBuilder, UnionArray,
    },
    buffer::ScalarBuffer,
    datatypes::{DataType, Field, TimeUnit, UnionFields},
};
use dataflow_core::types::Type;
use dataflow_sdk::batch::arrow_type;
use std::sync::Arc;

/// The name of the union's field that holds JSON texts.
pub const JSON: &str = "json";

/// A value in its own type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// A NULL of unknown type.
    Null,
    Boolean(bool),
    /// An integer; `None` is a NULL number.
    Bigint(Option<i64>),
    Decimal {
        unscaled: i128,
        precision: u8,
        scale: u8,
    },
    Double(f64),
    Text(&'a str),
    /// The JSON text of an object or array.
    Json(&'a str),
    /// A point in time; `None` is a NULL time.
    Micros(Option<i64>),
    /// A point in time with more than microseconds.
    Nanos(i64),
}

/// The values of one type.
enum Part {
    Null(usize),
    Boolean(BooleanBuilder),
    Bigint(Int64Builder),
    Decimal(u8, u8, Decimal128Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Json(StringBuilder),
    Micros(TimestampMicrosecondBuilder),
    Nanos(TimestampNanosecondBuilder),
}

impl Part {
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null(0),
            Value::Boolean(_) => Self::Boolean(BooleanBuilder::new()),
            Value::Bigint(_) => Self::Bigint(Int64Builder::new()),
            Value::Decimal { precision, scale, .. } => {
                let ty = DataType::Decimal128(precision, scale as i8);
                Self::Decimal(precision, scale, Decimal128Builder::new().with_data_type(ty))
            }
            Value::Double(_) => Self::Double(Float64Builder::new()),
            Value::Text(_) => Self::Text(StringBuilder::new()),
            Value::Json(_) => Self::Json(StringBuilder::new()),
            Value::Micros(_) => {
                Self::Micros(TimestampMicrosecondBuilder::new().with_data_type(arrow_type(Type::Timestamp)))
            }
            Value::Nanos(_) => {
                let ty = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
                Self::Nanos(TimestampNanosecondBuilder::new().with_data_type(ty))
            }
        }
    }

    /// Takes a value of its type; false if it is of another one.
    #[inline]
    fn push(&mut self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Null(count), Value::Null) => *count += 1,
            (Self::Boolean(builder), Value::Boolean(value)) => builder.append_value(value),
            (Self::Bigint(builder), Value::Bigint(value)) => builder.append_option(value),
            (Self::Decimal(p, s, builder), Value::Decimal { unscaled, precision, scale })
                if (*p, *s) == (precision, scale) =>
            {
                builder.append_value(unscaled);
            }
            (Self::Double(builder), Value::Double(value)) => builder.append_value(value),
            (Self::Text(builder), Value::Text(value)) | (Self::Json(builder), Value::Json(value)) => {
                builder.append_value(value);
            }
            (Self::Micros(builder), Value::Micros(value)) => builder.append_option(value),
            (Self::Nanos(builder), Value::Nanos(value)) => builder.append_value(value),
            _ => return false,
        }
        true
    }

    fn len(&self) -> usize {
        match self {
            Self::Null(count) => *count,
            Self::Boolean(builder) => builder.len(),
            Self::Bigint(builder) => builder.len(),
            Self::Decimal(.., builder) => builder.len(),
            Self::Double(builder) => builder.len(),
            Self::Text(builder) | Self::Json(builder) => builder.len(),
            Self::Micros(builder) => builder.len(),
            Self::Nanos(builder) => builder.len(),
        }
    }

    /// Returns the name of its field in a union, and its values.
    fn finish(self) -> (&'static str, ArrayRef) {
        match self {
            Self::Null(count) => ("null", Arc::new(NullArray::new(count))),
            Self::Boolean(mut builder) => ("boolean", Arc::new(builder.finish())),
            Self::Bigint(mut builder) => ("bigint", Arc::new(builder.finish())),
            Self::Decimal(.., mut builder) => ("decimal", Arc::new(builder.finish())),
            Self::Double(mut builder) => ("double", Arc::new(builder.finish())),
            Self::Text(mut builder) => ("text", Arc::new(builder.finish())),
            Self::Json(mut builder) => (JSON, Arc::new(builder.finish())),
            Self::Micros(mut builder) => ("timestamp", Arc::new(builder.finish())),
            Self::Nanos(mut builder) => ("nanoseconds", Arc::new(builder.finish())),
        }
    }
}

/// A column under construction.
struct Varied {
    parts: Vec<Part>,
    /// The part of the previous value, which most values go to.
    last: usize,
    /// For each row, its part and its index there.
    ids: Vec<i8>,
    offsets: Vec<i32>,
}

impl Varied {
    /// A column that begins with integers.
    fn integers(begin: Int64Builder, rows: usize) -> Self {
        let (mut ids, mut offsets) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        ids.resize(begin.len(), 0);
        offsets.extend(0..begin.len() as i32);
        Self { parts: vec![Part::Bigint(begin)], last: 0, ids, offsets }
    }

    fn new(rows: usize) -> Self {
        Self { parts: Vec::new(), last: 0, ids: Vec::with_capacity(rows), offsets: Vec::with_capacity(rows) }
    }

    #[inline]
    fn push(&mut self, value: Value<'_>) {
        if self.parts.get_mut(self.last).is_none_or(|part| !part.push(value)) {
            self.last = match self.parts.iter_mut().position(|part| part.push(value)) {
                Some(at) => at,
                None => {
                    let mut part = Part::of(value);
                    part.push(value);
                    self.parts.push(part);
                    self.parts.len() - 1
                }
            };
        }
        self.ids.push(self.last as i8);
        self.offsets.push(self.parts[self.last].len() as i32 - 1);
    }

    /// Returns the column, and whether all its texts are JSON.
    fn finish(mut self) -> (ArrayRef, bool) {
        // A part without values adds no type to the column. Only the first part can be empty.
        if self.parts.len() > 1 && self.parts[0].len() == 0 {
            self.parts.remove(0);
            self.ids.iter_mut().for_each(|id| *id -= 1);
        }
        if self.parts.len() <= 1 {
            let (name, array) = self.parts.pop().unwrap_or(Part::Null(0)).finish();
            return (array, name == JSON);
        }
        let (fields, children): (Vec<Field>, Vec<ArrayRef>) = self
            .parts
            .into_iter()
            .map(Part::finish)
            .map(|(name, array)| (Field::new(name, array.data_type().clone(), true), array))
            .unzip();
        let fields = UnionFields::from_fields(fields);
        let (ids, offsets) = (ScalarBuffer::from(self.ids), Some(ScalarBuffer::from(self.offsets)));
        let union = UnionArray::try_new(fields, ids, offsets, children)
            .unwrap_or_else(|error| unreachable!("each row is in one part: {error}"));
        (Arc::new(union), false)
    }
}

/// Builds a column of values in their own types; returns whether all of them are JSON texts.
pub(super) fn column(values: &Values<'_>, want: Want) -> (ArrayRef, bool, Vec<Misfit>) {
    let rows = values.cells.len();
    let mut scratch = String::new();
    let (null, mut varied, first) = match want {
        Want::Number => {
            let mut begin = Int64Builder::with_capacity(rows);
            let integers = values.cells.iter().take_while(|cell| match cell.kind {
                Kind::Missing | Kind::Barred | Kind::Null => {
                    begin.append_null();
                    true
                }
                _ => values.integer(**cell, &mut scratch).is_some_and(|value| {
                    begin.append_value(value);
                    true
                }),
            });
            let integers = integers.count();
            if integers == rows {
                return (Arc::new(begin.finish()), false, Vec::new());
            }
            (Value::Bigint(None), Varied::integers(begin, rows), integers)
        }
        Want::Time => (Value::Micros(None), Varied::new(rows), 0),
        _ => (Value::Null, Varied::new(rows), 0),
    };
    let asked = match want {
        Want::Time => Asked::class("a point in time"),
        Want::Number => Asked::class("a number"),
        _ => Asked::class("a value"),
    };
    let mut misfits = Vec::new();
    for (row, cell) in values.cells.iter().enumerate().skip(first) {
        let value = match cell.kind {
            Kind::Missing | Kind::Barred | Kind::Null => Ok(null),
            _ => values.own(*cell, want, &mut scratch),
        };
        varied.push(value.unwrap_or_else(|why: Why| {
            misfits.push(values.misfit(row as u32, *cell, asked, why));
            null
        }));
    }
    let (array, json) = varied.finish();
    (array, json, misfits)
}
