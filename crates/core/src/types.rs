//! Types of fields, as users and sinks name them; and what a pipeline has learned about its sink's columns.
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

/// The columns that a sink was to make of the data, by name, with the types that the data had; none: no record has had a
/// value yet. Types of expressions never depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Learned(pub BTreeMap<String, Option<Type>>);

impl Learned {
    /// Takes in what another lane learned; true if that changed anything.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (column, ty) in &other.0 {
            let known = self.0.get(column).copied().flatten();
            let next = match (known, *ty) {
                (Some(known), Some(ty)) => Some(widen(known, ty)),
                (known, ty) => known.or(ty),
            };
            changed |= self.0.insert(column.clone(), next) != Some(next);
        }
        changed
    }
}

/// The narrowest type that holds the values of both. Types are a lattice under it: the order in which lanes learn does not
/// matter (it is commutative, associative and idempotent).
///
/// - Integers widen among themselves, then to decimals of enough digits, then, as decimals of more than 38 digits do, to
///   double. A double is exact for integers only up to 2^53, so who reads values into one must turn down the integers that
///   it does not hold: they are misfits, and never rounded.
/// - Number, which keeps the text, holds all of them, but nothing can be calculated with it, so it never arises from others.
/// - A date is also a timestamp (at midnight, UTC) and a datetime; these two together are json, like all that has nothing
///   in common.
pub fn widen(a: Type, b: Type) -> Type {
    use Type::{Bigint, Date, Datetime, Decimal, Double, Integer, Json, Number, Smallint, Timestamp};
    if a == b {
        return a;
    }
    match (a, b) {
        (Smallint, other @ (Integer | Bigint)) | (other @ (Integer | Bigint), Smallint) => other,
        (Integer, Bigint) | (Bigint, Integer) => Bigint,
        (Date, other @ (Timestamp | Datetime)) | (other @ (Timestamp | Datetime), Date) => other,
        _ => match (digits(a), digits(b)) {
            (Some((whole_a, scale_a)), Some((whole_b, scale_b))) => {
                let (whole, scale) = (whole_a.max(whole_b), scale_a.max(scale_b));
                match whole.saturating_add(scale) {
                    precision @ ..=38 => Decimal { precision, scale },
                    _ => Double,
                }
            }
            _ if !is_number(a) || !is_number(b) => Json,
            _ if a == Number || b == Number => Number,
            _ => Double,
        },
    }
}

/// Digits before and behind the point that an exact numeric type of limited length holds.
fn digits(ty: Type) -> Option<(u8, u8)> {
    match ty {
        Type::Smallint => Some((5, 0)),
        Type::Integer => Some((10, 0)),
        Type::Bigint => Some((19, 0)),
        Type::Decimal { precision, scale } => Some((precision.saturating_sub(scale), scale)),
        _ => None,
    }
}

fn is_number(ty: Type) -> bool {
    digits(ty).is_some() || matches!(ty, Type::Real | Type::Double | Type::Number)
}
