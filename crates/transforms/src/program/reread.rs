//! Computed values of which only the data tells the type, taken as an expression uses them: as a field with that value would be.
use super::{frame::Frame, unnest::causes};
use crate::expression::{Slot, class::default_type};
use arrow::{
    array::{Array, new_empty_array},
    datatypes::DataType,
};
use dataflow_core::position::Position;
use dataflow_formats::{
    decode::{Decoder, Field, Want},
    encode,
};
use dataflow_sdk::{
    Records,
    records::{CsvLayout, Layout, Span},
};
use serde_json::Value;
use std::sync::Arc;

/// Makes a column that is read as an expression wants it of one whose values have a type each.
#[derive(Debug)]
pub(crate) struct Reread {
    /// The column of the values.
    pub(super) from: usize,
    /// The column to be made.
    pub(super) to: usize,
    /// What the values are called.
    name: String,
    want: Want,
    /// Whether the source's values are untyped texts: a number is one, too.
    untyped: bool,
    decoder: Decoder,
}

impl Reread {
    pub(super) fn new(from: usize, to: usize, name: &str, want: Want, untyped: bool) -> Self {
        let decoder = Decoder::new(vec![Field { path: vec![name.into()], want }]);
        Self { from, to, name: name.into(), want, untyped, decoder }
    }

    /// Without rows there are no values.
    pub(super) fn fill(&self, frame: &mut Frame<'_>) {
        frame.set(self.to, new_empty_array(&default_type(self.want)));
    }

    /// Reads them. Values that don't fit are told when the column is used.
    pub(super) fn run(&mut self, frame: &mut Frame<'_>) {
        let from = Slot::Register(self.from);
        let (column, raw) = (frame.column(from), frame.is_json(from));
        if !raw && fits(column.data_type(), self.want) {
            return frame.set(self.to, column);
        }
        let made = encode::documents_from_columns(
            &[encode::Column { name: &self.name, array: &column, raw, absent: None }],
            column.len(),
        );
        let mut records = Records::empty("values".into(), Position::offset(0), Layout::Json);
        records.offsets = vec![0; made.spans.len()];
        (records.data, records.spans) = (made.data, made.spans);
        if self.untyped {
            self.as_texts(&mut records);
        }
        for column in self.decoder.decode(&records).columns {
            if !column.misfits.is_empty() {
                frame.set_unfit(self.to, causes(&column.misfits, frame.len()));
            }
            frame.set(self.to, column.array);
        }
    }
}

impl Reread {
    /// Makes CSV records of documents that hold the value alone.
    fn as_texts(&self, records: &mut Records) {
        let mut data = Vec::with_capacity(records.data.len());
        let spans = records.spans.iter().map(|span| {
            let start = data.len();
            let document: Value = serde_json::from_slice(span.of(&records.data)).unwrap_or_default();
            let text = match &document[&self.name] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            // A second field, as a line without any text is no record.
            data.extend(text.map(|text| format!("\"{}\"", text.replace('"', "\"\""))).unwrap_or_default().into_bytes());
            data.push(b',');
            Span::new(start, data.len())
        });
        records.spans = spans.collect();
        records.data = data.into();
        records.layout = Layout::Csv(Arc::new(CsvLayout {
            delimiter: b',',
            quote: b'"',
            columns: vec![self.name.clone(), format!("{}'", self.name)],
            null_values: vec![String::new()],
            header: None,
        }));
    }
}

/// Whether all values of a type are read as they are.
fn fits(ty: &DataType, want: Want) -> bool {
    match want {
        Want::Number => ty.is_numeric(),
        want => *ty == default_type(want),
    }
}
