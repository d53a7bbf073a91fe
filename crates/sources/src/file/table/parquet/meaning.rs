//! What the bytes of a Parquet column mean, and which type it has here.
use super::super::number::MOST_SCALE;
use dataflow_core::types::Type;
use parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical},
    schema::types::ColumnDescriptor,
};

/// What the values of a leaf mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// There are none.
    Nothing,
    Boolean,
    Signed,
    /// Of so many bits.
    Unsigned(u8),
    /// Of so many digits after the point.
    Decimal(u32),
    Half,
    Real,
    Double,
    Date,
    /// So many of it are a second.
    Time(i64),
    /// The same; whether it is in UTC.
    Timestamp(i64, bool),
    /// A day and nanoseconds.
    Int96,
    Interval,
    Text,
    Json,
    Uuid,
    Bytes,
}

/// The meaning of a column, and its type.
pub(super) fn meaning(column: &ColumnDescriptor) -> (Meaning, Type) {
    let logical = column.logical_type_ref().and_then(|logical| by_logical(column, logical));
    let known = logical.or_else(|| match column.logical_type_ref() {
        // What is newer than this program is its bytes or its number.
        Some(_) => None,
        None => by_converted(column),
    });
    known.unwrap_or(match column.physical_type() {
        Physical::BOOLEAN => (Meaning::Boolean, Type::Boolean),
        Physical::INT32 => (Meaning::Signed, Type::Integer),
        Physical::INT64 => (Meaning::Signed, Type::Bigint),
        Physical::INT96 => (Meaning::Int96, Type::Datetime),
        Physical::FLOAT => (Meaning::Real, Type::Real),
        Physical::DOUBLE => (Meaning::Double, Type::Double),
        Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY => (Meaning::Bytes, Type::Binary),
    })
}

fn by_logical(column: &ColumnDescriptor, logical: &LogicalType) -> Option<(Meaning, Type)> {
    let physical = column.physical_type();
    Some(match (logical, physical) {
        (LogicalType::Unknown, _) => (Meaning::Nothing, Type::Any),
        (LogicalType::Integer(int), Physical::INT32 | Physical::INT64) => integer(int.bit_width as u8, int.is_signed),
        (LogicalType::Decimal(decimal), _) => return self::decimal(column, decimal.precision, decimal.scale),
        (LogicalType::Date, Physical::INT32) => (Meaning::Date, Type::Date),
        (LogicalType::Time(time), Physical::INT32 | Physical::INT64) => {
            (Meaning::Time(per_second(&time.unit)), Type::Text)
        }
        (LogicalType::Timestamp(timestamp), Physical::INT64) => {
            self::timestamp(per_second(&timestamp.unit), timestamp.is_adjusted_to_u_t_c)
        }
        (LogicalType::String | LogicalType::Enum, Physical::BYTE_ARRAY) => (Meaning::Text, Type::Text),
        (LogicalType::Json, Physical::BYTE_ARRAY) => (Meaning::Json, Type::Json),
        (LogicalType::Uuid, Physical::FIXED_LEN_BYTE_ARRAY) if column.type_length() == 16 => {
            (Meaning::Uuid, Type::Uuid)
        }
        (LogicalType::Float16, Physical::FIXED_LEN_BYTE_ARRAY) if column.type_length() == 2 => {
            (Meaning::Half, Type::Real)
        }
        _ => return None,
    })
}

fn by_converted(column: &ColumnDescriptor) -> Option<(Meaning, Type)> {
    use ConvertedType as Converted;
    let physical = column.physical_type();
    Some(match (column.converted_type(), physical) {
        (Converted::UTF8 | Converted::ENUM, Physical::BYTE_ARRAY) => (Meaning::Text, Type::Text),
        (Converted::JSON, Physical::BYTE_ARRAY) => (Meaning::Json, Type::Json),
        (Converted::DECIMAL, _) => return decimal(column, column.type_precision(), column.type_scale()),
        (Converted::DATE, Physical::INT32) => (Meaning::Date, Type::Date),
        (Converted::TIME_MILLIS, Physical::INT32) => (Meaning::Time(1_000), Type::Text),
        (Converted::TIME_MICROS, Physical::INT64) => (Meaning::Time(1_000_000), Type::Text),
        (Converted::TIMESTAMP_MILLIS, Physical::INT64) => timestamp(1_000, true),
        (Converted::TIMESTAMP_MICROS, Physical::INT64) => timestamp(1_000_000, true),
        (Converted::UINT_8, Physical::INT32) => integer(8, false),
        (Converted::UINT_16, Physical::INT32) => integer(16, false),
        (Converted::UINT_32, Physical::INT32) => integer(32, false),
        (Converted::UINT_64, Physical::INT64) => integer(64, false),
        (Converted::INT_8 | Converted::INT_16, Physical::INT32) => integer(16, true),
        (Converted::INTERVAL, Physical::FIXED_LEN_BYTE_ARRAY) if column.type_length() == 12 => {
            (Meaning::Interval, Type::Text)
        }
        _ => return None,
    })
}

fn integer(bits: u8, signed: bool) -> (Meaning, Type) {
    let ty = match (bits, signed) {
        (8, _) | (16, true) => Type::Smallint,
        (16, false) | (32, true) => Type::Integer,
        (32, false) | (64, true) => Type::Bigint,
        _ => Type::Decimal { precision: 20, scale: 0 },
    };
    (if signed { Meaning::Signed } else { Meaning::Unsigned(bits) }, ty)
}

fn decimal(column: &ColumnDescriptor, precision: i32, scale: i32) -> Option<(Meaning, Type)> {
    let is = matches!(
        column.physical_type(),
        Physical::INT32 | Physical::INT64 | Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY
    );
    let digits = u32::try_from(scale).ok().filter(|scale| is && *scale <= MOST_SCALE)?;
    Some((Meaning::Decimal(digits), super::super::decimal_type(precision, scale)))
}

fn timestamp(per_second: i64, utc: bool) -> (Meaning, Type) {
    (Meaning::Timestamp(per_second, utc), if utc { Type::Timestamp } else { Type::Datetime })
}

fn per_second(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::MILLIS => 1_000,
        TimeUnit::MICROS => 1_000_000,
        TimeUnit::NANOS => 1_000_000_000,
    }
}
