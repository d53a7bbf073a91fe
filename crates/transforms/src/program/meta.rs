//! Metadata of records as columns.
use crate::expression::{
    class::{default_type, time},
    guard::MICROS,
    scope::{META, NOW},
};
use arrow::{
    array::{Array, ArrayRef, Int64Array, StringArray, StringBuilder, TimestampMicrosecondArray, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::DataType,
};
use dataflow_core::types::Type;
use dataflow_formats::decode::{Column, Decoder, Field, Misfit, Want};
use dataflow_sdk::records::{KeyFormat, Layout, Records};
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
        Self { decoder: Decoder::new(fields.clone()).within(META), fields }
    }

    /// The columns, a value for each record. What a record has no metadata of is NULL.
    pub(crate) fn columns(&mut self, records: &Records) -> Vec<Column> {
        if self.fields.is_empty() {
            return Vec::new();
        }
        let own = records.metadata.as_ref().map(|metadata| {
            let mut objects = Records::empty(records.partition.clone(), records.from.clone(), Layout::Json);
            objects.data = metadata.data.clone();
            objects.spans = metadata.spans.clone();
            self.decoder.decode(&objects).columns
        });
        let mut own = own.map(Vec::into_iter);
        let column = |field: &Field| {
            let own = own.as_mut().and_then(Iterator::next);
            if field.path == [NOW] {
                return present(records);
            }
            if field.path == ["key"] && records.keys.is_some() {
                return keys(records, &default_type(field.want));
            }
            if field.path == ["timestamp"] && records.timestamps.is_some() {
                return times(records, &default_type(field.want));
            }
            let ty = default_type(field.want);
            match (given(field, records).or_else(|| shared(field, records)), own) {
                (Some(column), _) => plain(as_type(column, &ty)),
                (None, Some(own)) => Column { json: own.json || field.want == Want::As(Type::Json), ..own },
                (None, None) => plain(new_null_array(&ty, records.len())),
            }
        };
        self.fields.iter().map(column).collect()
    }
}

/// A column in which all is as it should be.
fn plain(array: ArrayRef) -> Column {
    Column { array, json: false, misfits: Vec::new(), present: 0, absent: None }
}

/// The key of each record: one whose bytes are not what keys are can't go through what asks for it.
fn keys(records: &Records, ty: &DataType) -> Column {
    let key = |row| records.keys.as_ref().and_then(|keys| keys.get(row));
    let (mut texts, mut misfits) = (StringBuilder::new(), Vec::new());
    for row in 0..records.len() {
        match key(row).map(|key| records.key_format.text(key)).transpose() {
            Ok(text) => texts.append_option(text),
            Err(cause) => {
                texts.append_null();
                misfits.push(Misfit { row: row as u32, cause, suits: None });
            }
        }
    }
    let json = records.key_format == KeyFormat::Json;
    Column { misfits, json, ..plain(as_type(Arc::new(texts.finish()), ty)) }
}

/// The time of each record, which stands for the present time: a record without one can't go through what asks for it.
fn present(records: &Records) -> Column {
    let mut column = times(records, &time());
    let cause = "the record has no time at its source, and now() is that time; use a field that holds a time";
    let without = |row: &usize| records.timestamps.as_ref().is_none_or(|times| times[*row].is_none());
    let without = (0..records.len()).filter(without);
    column.misfits.extend(without.map(|row| Misfit { row: row as u32, cause: cause.into(), suits: None }));
    column
}

/// The time of each record; NULL if the source has none. One outside the years 1 to 9999 can't go through what asks for it.
fn times(records: &Records, ty: &DataType) -> Column {
    let Some(millis) = &records.timestamps else { return plain(new_null_array(ty, records.len())) };
    let micros = |millis: &Option<i64>| {
        millis.and_then(|millis| millis.checked_mul(1_000)).filter(|micros| MICROS.contains(micros))
    };
    let times = TimestampMicrosecondArray::from_iter(millis.iter().map(micros)).with_timezone("UTC");
    let outside = (0..millis.len()).filter(|row| millis[*row].is_some() && times.is_null(*row));
    let cause = "the record's time at its source is outside the years 1 to 9999";
    let misfits = outside.map(|row| Misfit { row: row as u32, cause: cause.into(), suits: None }).collect();
    Column { misfits, ..plain(as_type(Arc::new(times), ty)) }
}

/// What every source gives in the same place.
fn given(field: &Field, records: &Records) -> Option<ArrayRef> {
    let [name] = field.path.as_slice() else { return None };
    Some(match name.as_str() {
        // What stands there instead depends on how batches are cut.
        "offset" if records.positions.is_some() => new_null_array(&DataType::Int64, records.len()),
        "offset" => Arc::new(Int64Array::from_iter_values(records.offsets.iter().map(|offset| *offset as i64))),
        "position" => Arc::new(StringArray::from_iter_values((0..records.len()).map(|row| records.place(row)))),
        "id" => Arc::new(StringArray::from_iter_values((0..records.len()).map(|row| records.id(row)))),
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
    if column.data_type() == ty {
        return column;
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(&column, ty, &options).unwrap_or_else(|_| new_null_array(ty, column.len()))
}
