//! Columns and keys as users write them.
use dataflow_core::types::Type;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use std::{borrow::Cow, str::FromStr};

/// Which columns are written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Columns {
    /// Their names.
    Names(Vec<String>),
    /// Their names and types: `{"id": "bigint", "price": "decimal(10,2)"}`. The types count where a column is made.
    Types(IndexMap<String, ColumnType>),
}

impl Columns {
    /// Their names, in order.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Names(names) => names.iter().map(String::as_str).collect(),
            Self::Types(types) => types.keys().map(String::as_str).collect(),
        }
    }
}

/// One name or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Names {
    /// One.
    One(String),
    /// Several, in order.
    Many(Vec<String>),
}

impl Names {
    /// All of them.
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name.clone()],
            Self::Many(names) => names.clone(),
        }
    }
}

/// The type of a column, as text: `bigint`, `decimal(10,2)`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnType(pub Type);

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

impl FromStr for ColumnType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, ty)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*ty));
        }
        let decimal = || {
            let digits = text.strip_prefix("decimal(")?.strip_suffix(')')?;
            let (precision, scale) = digits.split_once(',').unwrap_or((digits, "0"));
            let (precision, scale): (u8, u8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
            ((1..=38).contains(&precision) && scale <= precision).then_some(Self(Type::Decimal { precision, scale }))
        };
        decimal().ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!(
                "{text:?} is no column type: use {} or decimal(precision,scale) with at most 38 digits",
                names.join(", ")
            )
        })
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for ColumnType {
    fn schema_name() -> Cow<'static, str> {
        "ColumnType".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        schemars::json_schema!({
            "description": "Type of a column. `decimal(precision,scale)` has at most 38 digits; `number` is a decimal number of any length.",
            "anyOf": [{"type": "string", "enum": names}, {"type": "string", "pattern": "^decimal\\([0-9]+(, ?[0-9]+)?\\)$"}]
        })
    }
}
