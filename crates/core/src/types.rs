//! Types of fields, as users and sinks name them; and what a pipeline has learned about its sink's columns.
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

/// The type of a field or column, written as a text: `bigint`, `decimal(10,2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// A decimal number of at most 38 digits, `scale` of them after the point.
    Decimal {
        /// Digits in all, 1–38.
        precision: u8,
        /// Digits after the point, at most `precision`.
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
    /// Whatever comes, as JSON text; text without a type (CSV) is a JSON string. What a sink asks for where a column has no
    /// type; nobody can name it, and nothing stored has it.
    Any,
}

/// All types but decimals, by name.
const NAMES: [(&str, Type); 14] = [
    ("boolean", Type::Boolean),
    ("smallint", Type::Smallint),
    ("integer", Type::Integer),
    ("bigint", Type::Bigint),
    ("real", Type::Real),
    ("double", Type::Double),
    ("number", Type::Number),
    ("text", Type::Text),
    ("timestamp", Type::Timestamp),
    ("datetime", Type::Datetime),
    ("date", Type::Date),
    ("binary", Type::Binary),
    ("uuid", Type::Uuid),
    ("json", Type::Json),
];

/// What other systems call them.
const ELSEWHERE: [(&str, &str); 26] = [
    ("bool", "boolean"),
    ("int2", "smallint"),
    ("short", "smallint"),
    ("int", "integer"),
    ("int4", "integer"),
    ("int32", "integer"),
    ("int8", "bigint"),
    ("int64", "bigint"),
    ("long", "bigint"),
    ("float", "double"),
    ("float4", "real"),
    ("float8", "double"),
    ("float64", "double"),
    ("double precision", "double"),
    ("decimal", "decimal(10,2)"),
    ("numeric", "decimal(10,2)"),
    ("money", "decimal(10,2)"),
    ("string", "text"),
    ("str", "text"),
    ("varchar", "text"),
    ("char", "text"),
    ("timestamptz", "timestamp"),
    ("instant", "timestamp"),
    ("bytea", "binary"),
    ("bytes", "binary"),
    ("jsonb", "json"),
];

impl Type {
    /// The names of all types but decimals.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().map(|(name, _)| name)
    }

    /// What another system's name of a type is called here: `integer` for `int`, `decimal(8,3)` for `numeric(8,3)`.
    pub fn called_elsewhere(name: &str) -> Option<String> {
        let name = name.trim().to_lowercase();
        let (word, arguments) = name.split_once('(').unwrap_or((&name, ""));
        match (word.trim(), arguments) {
            ("numeric" | "dec" | "number", arguments) if !arguments.is_empty() => {
                let decimal = format!("decimal({arguments}");
                decimal.parse::<Self>().ok().map(|ty| ty.to_string())
            }
            (word, _) => ELSEWHERE.iter().find(|(other, _)| *other == word).map(|(_, ours)| (*ours).into()),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            other => f.write_str(NAMES.iter().find(|(_, ty)| ty == other).map_or("any", |(name, _)| name)),
        }
    }
}

impl FromStr for Type {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, ty)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*ty);
        }
        let decimal = || {
            let digits = text.strip_prefix("decimal(")?.strip_suffix(')')?;
            let (precision, scale) = digits.split_once(',').unwrap_or((digits, "0"));
            let (precision, scale): (u8, u8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
            ((1..=38).contains(&precision) && scale <= precision).then_some(Self::Decimal { precision, scale })
        };
        decimal().ok_or_else(|| {
            let names: Vec<&str> = Self::names().collect();
            format!(
                "{text:?} is not a type: types are {} and decimal(digits,digits after the point) of up to 38",
                names.join(", ")
            )
        })
    }
}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for Type {
    fn schema_name() -> Cow<'static, str> {
        "Type".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = Self::names().collect();
        schemars::json_schema!({
            "description": "Type of a field or column. `decimal(10,2)` has up to 38 digits; `number` is a decimal number of any length.",
            "type": "string",
            "format": "column-type",
            "pattern": format!("^({}|decimal\\([0-9]+(, ?[0-9]+)?\\))$", names.join("|")),
        })
    }
}

/// The columns that a sink was to make of the data, by name, with the types that the data had; none: no record has had a
/// value yet. Types of expressions never depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InferredTypes(pub BTreeMap<String, Option<Type>>);

impl InferredTypes {
    /// Takes in what another lane learned; true if that changed anything.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (column, ty) in &other.0 {
            let known = self.0.get(column).copied().flatten();
            // "Any" says nothing of a column, and is no type that a spec or a snapshot can name.
            let next = match (known, ty.filter(|ty| *ty != Type::Any)) {
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
            _ if !a.is_number() || !b.is_number() => Json,
            _ if a == Number || b == Number => Number,
            _ => Double,
        },
    }
}

/// Digits before and after the point that an exact numeric type of limited length holds.
fn digits(ty: Type) -> Option<(u8, u8)> {
    match ty {
        Type::Smallint => Some((5, 0)),
        Type::Integer => Some((10, 0)),
        Type::Bigint => Some((19, 0)),
        Type::Decimal { precision, scale } => Some((precision.saturating_sub(scale), scale)),
        _ => None,
    }
}

impl Type {
    /// Whether its values are numbers.
    pub fn is_number(self) -> bool {
        digits(self).is_some() || matches!(self, Self::Real | Self::Double | Self::Number)
    }
}
