//! Metadata of records as columns.
use crate::expression::class::{default_type, time};
use arrow::{
    array::{Array, ArrayRef, Int64Array, StringArray, StringBuilder, TimestampMicrosecondArray, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::DataType,
};
use dataflow_core::types::Learned;
use dataflow_formats::decode::{Decoder, Field};
use dataflow_sdk::records::{Layout, Records};
use std::sync::Arc;

/// Makes columns of metadata.
#[derive(Debug)]
pub(crate) struct Meta {
    fields: Vec<Field>,
    /// For metadata of single records.
    decoder: Decoder,
}

impl Meta {
    pub(crate) fn new(fields: Vec<Field>) -> Self {
        Self { decoder: Decoder::new(fields.clone(), &Learned::default()), fields }
    }

    /// The columns, a value for each record. What a record has no metadata of is NULL.
    pub(crate) fn columns(&mut self, records: &Records) -> Vec<ArrayRef> {
        if self.fields.is_empty() {
            return Vec::new();
        }
        let own = records.metadata.as_ref().map(|metadata| {
            let mut objects = Records::empty(records.partition.clone(), records.from.clone(), Layout::Json);
            objects.data = metadata.data.clone();
            objects.spans = metadata.spans.clone();
            self.decoder.decode(&objects).columns
        });
        let column = |(index, field): (usize, &Field)| {
            let ty = default_type(field.want);
            let given = given(field, records).or_else(|| shared(field, records));
            let given = given.or_else(|| own.as_ref().map(|columns| columns[index].array.clone()));
            given.map_or_else(|| new_null_array(&ty, records.len()), |column| as_type(column, &ty))
        };
        self.fields.iter().enumerate().map(column).collect()
    }
}

/// What every source gives in the same place.
fn given(field: &Field, records: &Records) -> Option<ArrayRef> {
    let [name] = field.path.as_slice() else { return None };
    Some(match name.as_str() {
        "offset" => Arc::new(Int64Array::from_iter_values(records.offsets.iter().map(|offset| *offset as i64))),
        "timestamp" => {
            let times = records.timestamps.as_ref()?.iter().map(|ms| ms.checked_mul(1_000));
            Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC"))
        }
        "key" => {
            let keys = records.keys.as_ref()?;
            let mut column = StringBuilder::with_capacity(records.len(), keys.data.len());
            for row in 0..records.len() {
                column.append_option(keys.get(row).map(String::from_utf8_lossy));
            }
            Arc::new(column.finish())
        }
        "id" => Arc::new(StringArray::from_iter_values((0..records.len()).map(|row| records.id(row)))),
        // Sources that have no number of it have its name.
        "partition" if !records.shared.iter().any(|(key, _)| key == "partition") => {
            let number = records.partition.0.rsplit('/').next().and_then(|last| last.parse::<i64>().ok())?;
            Arc::new(Int64Array::from_value(number, records.len()))
        }
        _ => return None,
    })
}

/// What all the records share.
fn shared(field: &Field, records: &Records) -> Option<ArrayRef> {
    let name = field.path.join(".");
    let (_, value) = records.shared.iter().find(|(key, _)| *key == name)?;
    Some(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, records.len()))))
}

fn as_type(column: ArrayRef, ty: &DataType) -> ArrayRef {
    // The number of a decoded column may have been learned to be wider than the default: it stays so.
    let wider = ty.is_numeric() && column.data_type().is_numeric();
    if column.data_type() == ty || wider || (*ty == time() && matches!(column.data_type(), DataType::Timestamp(..))) {
        return column;
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(&column, ty, &options).unwrap_or_else(|_| new_null_array(ty, column.len()))
}
