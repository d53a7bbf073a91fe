//! The values of a column, as they are written into records.
use super::{super::number, meaning::Meaning, shape::Shape};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StructArray},
    array::{BinaryViewArray, FixedSizeBinaryArray},
    datatypes::{
        ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, Int32Type, Int64Type,
        TimestampNanosecondType, TimestampSecondType,
    },
};
use dataflow_formats::encode::{self, Value};

type Ints<T> = PrimitiveArray<T>;
const SECOND: i64 = 1_000_000_000;

/// The values of a column that were read together.
#[derive(Debug)]
pub(super) enum Cells {
    Nothing,
    Boolean(BooleanArray),
    Int32(Ints<Int32Type>, Meaning),
    Int64(Ints<Int64Type>, Meaning),
    /// The nanoseconds, of which only the last bits may be there, and the seconds.
    Int96(Ints<TimestampNanosecondType>, Ints<TimestampSecondType>),
    Real(Ints<Float32Type>),
    Double(Ints<Float64Type>),
    Bytes(BinaryViewArray, Meaning),
    Fixed(FixedSizeBinaryArray, Meaning),
    List(ListArray, Box<Cells>),
    Struct(StructArray, Vec<(Vec<u8>, Cells)>),
    Map(MapArray, Box<Cells>, Box<Cells>),
}

impl Cells {
    /// The values of `array`. `coarse`: the same, with each INT96 in seconds, where there is any. None: it is not what its shape says.
    pub(super) fn new(shape: &Shape, array: &ArrayRef, coarse: Option<&ArrayRef>) -> Option<Self> {
        Some(match (shape, array.data_type()) {
            (Shape::Leaf(Meaning::Nothing), _) => Self::Nothing,
            (Shape::Leaf(_), DataType::Boolean) => Self::Boolean(array.as_boolean().clone()),
            (Shape::Leaf(meaning), DataType::Int32) => Self::Int32(array.as_primitive().clone(), *meaning),
            (Shape::Leaf(meaning), DataType::Int64) => Self::Int64(array.as_primitive().clone(), *meaning),
            (Shape::Leaf(_), DataType::Timestamp(..)) => {
                Self::Int96(array.as_primitive_opt()?.clone(), coarse?.as_primitive_opt()?.clone())
            }
            (Shape::Leaf(_), DataType::Float32) => Self::Real(array.as_primitive().clone()),
            (Shape::Leaf(_), DataType::Float64) => Self::Double(array.as_primitive().clone()),
            (Shape::Leaf(meaning), DataType::BinaryView) => Self::Bytes(array.as_binary_view().clone(), *meaning),
            (Shape::Leaf(meaning), DataType::FixedSizeBinary(_)) => {
                Self::Fixed(array.as_fixed_size_binary().clone(), *meaning)
            }
            (Shape::List(item), DataType::List(_)) => {
                let (list, coarse) = (array.as_list::<i32>(), coarse.map(|coarse| coarse.as_list::<i32>().values()));
                Self::List(list.clone(), Box::new(Self::new(item, list.values(), coarse)?))
            }
            (Shape::Struct(fields), DataType::Struct(_)) => {
                let (parts, coarse) = (array.as_struct(), coarse.map(|coarse| coarse.as_struct()));
                let part = |(nth, (key, shape)): (usize, &(Vec<u8>, Shape))| {
                    let coarse = coarse.map(|coarse| coarse.column(nth));
                    Some((key.clone(), Self::new(shape, parts.column(nth), coarse)?))
                };
                Self::Struct(parts.clone(), fields.iter().enumerate().map(part).collect::<Option<_>>()?)
            }
            (Shape::Map(key, value), DataType::Map(..)) => {
                let (map, coarse) = (array.as_map(), coarse.map(|coarse| coarse.as_map()));
                let keys = Self::new(key, map.keys(), coarse.map(|coarse| coarse.keys()))?;
                let values = Self::new(value, map.values(), coarse.map(|coarse| coarse.values()))?;
                Self::Map(map.clone(), Box::new(keys), Box::new(values))
            }
            _ => return None,
        })
    }

    /// Writes the value of a row as JSON. Of what goes beyond `until` in `out` not all is written.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>, until: usize) {
        if self.is_null(row) {
            return Value::Null.write(out);
        }
        match self {
            Self::Nothing => Value::Null.write(out),
            Self::Boolean(values) => Value::Boolean(values.value(row)).write(out),
            Self::Int32(values, meaning) => integer(values.value(row).into(), *meaning, out),
            Self::Int64(values, meaning) => integer(values.value(row), *meaning, out),
            Self::Int96(nanos, seconds) => {
                let seconds = seconds.value(row);
                // Both are right in their last bits, so their difference is, too.
                let nanos = nanos.value(row).wrapping_sub(seconds.wrapping_mul(SECOND));
                let seconds = seconds + nanos.div_euclid(SECOND);
                Value::Instant { seconds, nanos: nanos.rem_euclid(SECOND) as u32, zone: false }.write(out);
            }
            Self::Real(values) => Value::Real(values.value(row)).write(out),
            Self::Double(values) => Value::Double(values.value(row)).write(out),
            Self::Bytes(values, meaning) => bytes(values.value(row), *meaning, out, until),
            Self::Fixed(values, meaning) => bytes(values.value(row), *meaning, out, until),
            Self::List(list, items) => {
                out.push(b'[');
                for (nth, at) in range(list.value_offsets(), row).enumerate() {
                    if out.len() > until {
                        break;
                    }
                    if nth > 0 {
                        out.push(b',');
                    }
                    items.write(at, out, until);
                }
                out.push(b']');
            }
            Self::Struct(_, parts) => {
                out.push(b'{');
                for (nth, (key, cells)) in parts.iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(key);
                    cells.write(row, out, until);
                }
                out.push(b'}');
            }
            Self::Map(map, keys, values) => {
                let entries = range(map.value_offsets(), row);
                // What is no scalar has no text of its own.
                let named = keys.is_scalar() && !entries.clone().any(|at| keys.is_null(at));
                out.push(if named { b'{' } else { b'[' });
                for (nth, at) in entries.enumerate() {
                    if out.len() > until {
                        break;
                    }
                    if nth > 0 {
                        out.push(b',');
                    }
                    if named {
                        let start = out.len();
                        keys.write(at, out, until);
                        if out[start] != b'"' {
                            out.insert(start, b'"');
                            out.push(b'"');
                        }
                        out.push(b':');
                        values.write(at, out, until);
                    } else {
                        out.extend_from_slice(b"{\"key\":");
                        keys.write(at, out, until);
                        out.extend_from_slice(b",\"value\":");
                        values.write(at, out, until);
                        out.push(b'}');
                    }
                }
                out.push(if named { b'}' } else { b']' });
            }
        }
    }

    fn is_scalar(&self) -> bool {
        match self {
            Self::List(..) | Self::Struct(..) | Self::Map(..) => false,
            // It may hold anything.
            Self::Bytes(_, meaning) => *meaning != Meaning::Json,
            _ => true,
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Nothing => true,
            Self::Boolean(values) => values.is_null(row),
            Self::Int32(values, _) => values.is_null(row),
            Self::Int64(values, _) => values.is_null(row),
            Self::Int96(values, _) => values.is_null(row),
            Self::Real(values) => values.is_null(row),
            Self::Double(values) => values.is_null(row),
            Self::Bytes(values, _) => values.is_null(row),
            Self::Fixed(values, _) => values.is_null(row),
            Self::List(values, _) => values.is_null(row),
            Self::Struct(values, _) => values.is_null(row),
            Self::Map(values, ..) => values.is_null(row),
        }
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

fn integer(value: i64, meaning: Meaning, out: &mut Vec<u8>) {
    let value = match meaning {
        Meaning::Unsigned(64) => return out.extend_from_slice((value as u64).to_string().as_bytes()),
        Meaning::Unsigned(bits) => Value::Integer(value & ((1_i64 << bits) - 1)),
        Meaning::Decimal(scale) => return number::decimal(&value.to_be_bytes(), scale, out),
        Meaning::Date => Value::Date(value as i32),
        Meaning::Time(per_second) => super::super::time(value, per_second),
        Meaning::Timestamp(per_second, zone) => super::super::moment(value, per_second, zone),
        _ => Value::Integer(value),
    };
    value.write(out);
}

fn bytes(value: &[u8], meaning: Meaning, out: &mut Vec<u8>, until: usize) {
    let begin = &value[..value.len().min(until.saturating_sub(out.len()) + 1)];
    match meaning {
        Meaning::Decimal(scale) => number::decimal(value, scale, out),
        Meaning::Text | Meaning::Json => match std::str::from_utf8(begin) {
            Ok(text) if meaning == Meaning::Json => Value::Json(text).write(out),
            Ok(text) => Value::Text(text).write(out),
            Err(_) => Value::Foreign(begin).write(out),
        },
        Meaning::Uuid => {
            out.push(b'"');
            number::uuid(value, out);
            out.push(b'"');
        }
        Meaning::Half => {
            let half = <Float16Type as ArrowPrimitiveType>::Native::from_le_bytes([value[0], value[1]]);
            Value::Real(half.to_f32()).write(out);
        }
        Meaning::Interval => interval(value, out),
        _ => Value::Binary(begin).write(out),
    }
}

/// Writes the twelve bytes of months, days and milliseconds.
pub(in super::super) fn interval(value: &[u8], out: &mut Vec<u8>) {
    let part = |at: usize| u32::from_le_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
    let text = encode::interval(part(0).into(), part(4).into(), i128::from(part(8)) * 1_000_000);
    Value::Text(&text).write(out);
}
