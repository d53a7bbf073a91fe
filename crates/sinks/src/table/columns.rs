//! Columns and keys in the form users write them.
use dataflow_core::types::Type;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// The columns that are written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Columns {
    /// Their names.
    Names(Vec<String>),
    /// Their names and types: `{"id": "bigint", "price": "decimal(10,2)"}`. The types are used when a column is
    /// created.
    Types(IndexMap<String, Type>),
}

impl Columns {
    /// Their names, in order.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Names(names) => names.iter().map(String::as_str).collect(),
            Self::Types(types) => types.keys().map(String::as_str).collect(),
        }
    }

    /// Their names, in order, and the types that are given.
    pub fn typed(&self) -> Vec<(String, Option<Type>)> {
        match self {
            Self::Names(names) => names.iter().map(|name| (name.clone(), None)).collect(),
            Self::Types(types) => types.iter().map(|(name, ty)| (name.clone(), Some(*ty))).collect(),
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
    /// Returns all names.
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name.clone()],
            Self::Many(names) => names.clone(),
        }
    }
}
