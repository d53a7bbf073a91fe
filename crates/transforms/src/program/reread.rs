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
use dataflow_sdk::{Records, records::Layout};

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
    decoder: Decoder,
}

impl Reread {
    pub(super) fn new(from: usize, to: usize, name: &str, want: Want) -> Self {
        let decoder = Decoder::new(vec![Field { path: vec![name.into()], want }]);
        Self { from, to, name: name.into(), want, decoder }
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
            &[encode::Column { name: &self.name, array: &column, raw, optional: false }],
            column.len(),
        );
        let mut records = Records::empty("values".into(), Position::offset(0), Layout::Json);
        records.offsets = vec![0; made.spans.len()];
        (records.data, records.spans) = (made.data, made.spans);
        for column in self.decoder.decode(&records).columns {
            if !column.misfits.is_empty() {
                frame.set_unfit(self.to, causes(&column.misfits, frame.len()));
            }
            frame.set(self.to, column.array);
        }
    }
}

/// Whether all values of a type are read as they are.
fn fits(ty: &DataType, want: Want) -> bool {
    match want {
        Want::Number => ty.is_numeric(),
        want => *ty == default_type(want),
    }
}
