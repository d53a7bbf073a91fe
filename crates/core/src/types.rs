//! Types of fields, as users and sinks name them; and what a pipeline has learned about its fields.
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The type of a field or column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// true or false.
    Boolean,
    /// 16-bit integer.
    Smallint,
    /// 32-bit integer.
    Integer,
    /// 64-bit integer.
    Bigint,
    /// 32-bit floating point.
    Real,
    /// 64-bit floating point.
    Double,
    /// A decimal number of at most 38 digits, `scale` of them behind the point.
    Decimal {
        /// Digits in all, 1–38.
        precision: u8,
        /// Digits behind the point, at most `precision`.
        scale: u8,
    },
    /// Any number, kept as the text it was written in: loses nothing.
    Number,
    /// Text.
    Text,
    /// A point in time, microseconds, UTC.
    Timestamp,
    /// A date and time of day without a zone, microseconds.
    Datetime,
    /// A calendar date.
    Date,
    /// Bytes; in JSON as base64.
    Binary,
    /// A UUID.
    Uuid,
    /// Any JSON value, as its text.
    Json,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Boolean => f.write_str("boolean"),
            Self::Smallint => f.write_str("smallint"),
            Self::Integer => f.write_str("integer"),
            Self::Bigint => f.write_str("bigint"),
            Self::Real => f.write_str("real"),
            Self::Double => f.write_str("double"),
            Self::Number => f.write_str("number"),
            Self::Text => f.write_str("text"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Datetime => f.write_str("datetime"),
            Self::Date => f.write_str("date"),
            Self::Binary => f.write_str("binary"),
            Self::Uuid => f.write_str("uuid"),
            Self::Json => f.write_str("json"),
        }
    }
}

/// What was learned from the data: the type each field was used with, by its use (`age#number`, `city#infer`).
/// Only ever widens without loss (bigint → decimal → double; anything → json).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Learned(pub BTreeMap<String, Type>);

impl Learned {
    /// Takes in what another lane learned; true if that changed anything.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (field, ty) in &other.0 {
            let next = self.0.get(field).map_or(*ty, |known| widen(*known, *ty));
            changed |= self.0.insert(field.clone(), next) != Some(next);
        }
        changed
    }
}

/// The narrowest type that holds all values of both.
pub fn widen(a: Type, b: Type) -> Type {
    use Type::{Bigint, Date, Datetime, Decimal, Double, Integer, Json, Number, Real, Smallint, Timestamp};
    let digits = |ty| match ty {
        Smallint => Some((5, 0)),
        Integer => Some((10, 0)),
        Bigint => Some((19, 0)),
        Decimal { precision, scale } => Some((precision - scale, scale)),
        _ => None,
    };
    let numeric = |ty| digits(ty).is_some() || matches!(ty, Real | Double | Number);
    match (a, b) {
        _ if a == b => a,
        (Number, other) | (other, Number) if numeric(other) => Number,
        (Double | Real, other) | (other, Double | Real) if numeric(other) => Double,
        (Timestamp, Date) | (Date, Timestamp) => Timestamp,
        (Datetime, Date) | (Date, Datetime) => Datetime,
        _ => match (digits(a), digits(b)) {
            (Some((whole_a, scale_a)), Some((whole_b, scale_b))) => {
                let (whole, scale) = (whole_a.max(whole_b), scale_a.max(scale_b));
                match (scale, whole + scale) {
                    (0, ..=5) => Smallint,
                    (0, ..=10) => Integer,
                    (0, ..=19) => Bigint,
                    (_, precision @ ..=38) => Decimal { precision, scale },
                    _ => Double,
                }
            }
            _ => Json,
        },
    }
}
