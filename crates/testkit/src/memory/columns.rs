//! Records as the columns of a table, as a database hands them over.
use arrow::array::{Array, AsArray};
use dataflow_core::types::Type;
use dataflow_formats::{
    decode::{self, Decoder, Field, Want},
    encode::{Rows, Value},
};
use dataflow_sdk::{Records, batch::Column};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// A column of a memory source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MemoryColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
}

impl From<MemoryColumn> for Column {
    fn from(MemoryColumn { name, ty }: MemoryColumn) -> Self {
        Self { name, ty }
    }
}

/// The same records, as columns. A field that is not among these is left out.
///
/// # Panics
/// If a value is not of the type of its column.
pub(super) fn as_columns(records: Records, columns: &Arc<[Column]>) -> Records {
    let want = |ty| if matches!(ty, Type::Json | Type::Any) { Want::As(Type::Any) } else { Want::Literal };
    let fields = columns.iter().map(|column| Field { path: vec![column.name.clone()], want: want(column.ty) });
    let texts = Decoder::new(fields.collect()).decode(&records).columns;
    let bytes = columns.iter().zip(&texts).map(|(column, texts)| match column.ty {
        Type::Binary => Some(decode::texts(texts.array.as_string(), Type::Binary).0),
        _ => None,
    });
    let bytes: Vec<_> = bytes.collect();
    let mut rows = Rows::new(columns.clone(), usize::MAX);
    for row in 0..records.len() {
        let value = |at: usize| {
            let array = texts[at].array.as_string::<i32>();
            match &bytes[at] {
                _ if texts[at].absent.as_ref().is_some_and(|absent| absent.value(row)) => Value::Missing,
                _ if array.is_null(row) => Value::Null,
                Some(bytes) => Value::Binary(bytes.as_binary::<i32>().value(row)),
                None => {
                    value(array.value(row), columns[at].ty).unwrap_or_else(|| panic!("{:?}: {array:?}", columns[at]))
                }
            }
        };
        rows.push((0..columns.len()).map(value));
    }
    rows.into_records(records)
}

fn value(text: &str, ty: Type) -> Option<Value<'_>> {
    Some(match ty {
        Type::Boolean => Value::Boolean(text.parse().ok()?),
        Type::Smallint | Type::Integer | Type::Bigint => Value::Integer(text.parse().ok()?),
        Type::Real => Value::Real(text.parse().ok()?),
        Type::Double => Value::Double(text.parse().ok()?),
        Type::Decimal { .. } | Type::Number => Value::Number(text),
        Type::Text | Type::Uuid => Value::Text(text),
        Type::Timestamp => Value::Timestamp(decode::micros(text).ok()?),
        Type::Datetime => Value::Datetime(decode::micros(text).ok()?),
        Type::Date => Value::Date(decode::days(text).ok()?),
        Type::Json | Type::Any => Value::Json(text),
        Type::Binary => return None,
    })
}
