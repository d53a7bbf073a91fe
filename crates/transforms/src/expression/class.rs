//! Classes of values.
use arrow::datatypes::{DataType, TimeUnit};
use dataflow_core::types::Type;
use dataflow_formats::decode::Want;
use dataflow_sdk::batch::arrow_type;

/// How an expression interprets a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Unknown.
    Any,
    /// Any number.
    Number,
    /// A whole number, as for a count or an index.
    Integer,
    /// Text.
    Text,
    /// true or false.
    Boolean,
    /// A point in time or a date.
    Time,
    /// A length of time.
    Interval,
    /// Any value as its text, as the argument of a cast.
    Literal,
}

impl Class {
    /// The class of an arrow type.
    pub(crate) fn of(ty: &DataType) -> Self {
        match ty {
            DataType::Boolean => Self::Boolean,
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Self::Time,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::Dictionary(_, value) => Self::of(value),
            ty if ty.is_string() => Self::Text,
            ty if ty.is_numeric() => Self::Number,
            _ => Self::Any,
        }
    }

    /// The class of a declared type.
    pub(crate) fn of_type(ty: Type) -> Self {
        match ty {
            Type::Number => Self::Number,
            Type::Json | Type::Any => Self::Any,
            other => Self::of(&arrow_type(other)),
        }
    }

    /// How a field of this class is decoded.
    pub(crate) fn want(self) -> Want {
        match self {
            Self::Any | Self::Interval => Want::Infer,
            Self::Number => Want::Number,
            Self::Integer => Want::As(Type::Bigint),
            Self::Text => Want::Text,
            Self::Boolean => Want::Boolean,
            Self::Time => Want::Time,
            Self::Literal => Want::Literal,
        }
    }

    /// Returns whether a value of class `actual` is accepted where this class is expected.
    pub(crate) fn takes(self, actual: Self) -> bool {
        match (self.plain(), actual.plain()) {
            (Self::Any | Self::Literal, _) | (_, Self::Any | Self::Literal) => true,
            // A quoted text can denote a time.
            (Self::Time, Self::Text) => true,
            (a, b) => a == b,
        }
    }

    fn plain(self) -> Self {
        if self == Self::Integer { Self::Number } else { self }
    }

    /// The class in words, for messages.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Number => "a number",
            Self::Integer => "a whole number",
            Self::Text | Self::Literal => "text",
            Self::Boolean => "true or false",
            Self::Time => "a time",
            Self::Interval => "an interval",
        }
    }

    /// Suggests how to convert the expression `text` of class `actual` to this class; `None` if no conversion makes
    /// sense.
    pub(crate) fn cast(self, text: &str, actual: Self) -> Option<String> {
        let cast = |ty: &str| format!("cast({text} as {ty})");
        let written = match (self, actual) {
            (Self::Any | Self::Text | Self::Literal, _) => cast("text"),
            (Self::Interval, Self::Text) => cast("interval"),
            (Self::Interval, _) | (_, Self::Interval) | (Self::Boolean, Self::Time) | (Self::Time, Self::Boolean) => {
                return None;
            }
            (Self::Number | Self::Integer, Self::Boolean) => format!("case when {text} then 1 else 0 end"),
            (Self::Number, Self::Time) => format!("extract(epoch from {text})"),
            (Self::Integer, Self::Time) => {
                return Some(format!("to round it, write cast(extract(epoch from {text}) as bigint)"));
            }
            (Self::Integer, Self::Number) => return Some(format!("to round it, write {}", cast("bigint"))),
            // A double would round the long ones.
            (Self::Number, _) => cast("decimal(38, 10)"),
            (Self::Integer, _) => cast("bigint"),
            (Self::Boolean, Self::Number | Self::Integer) => format!("{text} <> 0"),
            (Self::Boolean, _) => cast("boolean"),
            // Seconds since 1970; milliseconds would need a division by 1,000.
            (Self::Time, Self::Number | Self::Integer) => format!("to_timestamp({text})"),
            (Self::Time, _) => cast("timestamptz"),
        };
        Some(format!("write {written}"))
    }
}

/// The type of a field until data shows another.
pub(crate) fn default_type(want: Want) -> DataType {
    match want {
        Want::Number => DataType::Int64,
        Want::Text | Want::Literal | Want::Infer => DataType::Utf8,
        Want::Boolean => DataType::Boolean,
        Want::Time => time(),
        Want::As(ty) | Want::Strict(ty) => arrow_type(ty),
    }
}

/// The type of points in time.
pub(crate) fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}
