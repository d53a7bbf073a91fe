//! One row for each element of a list.
use super::{
    frame::{Excess, Frame},
    misfits::Misfits,
    watch::{By, Watch},
};
use crate::expression::{Elements, MOST_OF_BATCH, Slot, class::default_type};
use arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt32Array, new_empty_array};
use dataflow_core::position::Position;
use dataflow_formats::decode::{Decoder, Field, Misfit, Want};
use dataflow_sdk::{
    Records,
    batch::Dead,
    records::{Layout, Span},
};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Most bytes that the rows of one record may be, where each of them has texts, or all, of the record again (64 MiB).
const MOST: usize = 64 << 20;

/// Makes a row of each element of a list.
#[derive(Debug)]
pub(crate) struct Unnest {
    /// The column of the list, as JSON text.
    list: usize,
    /// What the elements are called, and the field that they are put in to be decoded.
    name: String,
    /// The columns to be made, and of what: the whole elements, then what else is wanted of them.
    columns: Vec<usize>,
    fields: Vec<Field>,
    decoder: Decoder,
    watch: Watch,
}

impl Unnest {
    /// Makes `elements` of a list, each of the type that it has by itself.
    pub(crate) fn new(list: usize, elements: usize, name: &str) -> Self {
        let fields = vec![Field { path: vec![name.into()], want: Want::Infer }];
        let (decoder, watch) = (Decoder::new(fields.clone()), Watch::new([], &[]));
        Self { list, name: name.into(), columns: vec![elements], fields, decoder, watch }
    }

    /// What is wanted of the elements beside the whole.
    pub(super) fn want(&mut self, elements: &Elements) {
        for (field, column) in elements.of(self.columns[0]) {
            let path = std::iter::once(&self.name).chain(&field.path).cloned().collect();
            self.fields.push(Field { path, want: field.want });
            self.columns.push(column);
        }
        let named = self.fields.iter().filter(|field| field.path.len() > 1);
        self.watch = Watch::new(named.map(|field| (field.path.clone(), By::Expression)), &self.fields);
        self.decoder = Decoder::new(self.fields.clone());
    }

    /// Without a row there are no elements.
    pub(super) fn fill(&self, frame: &mut Frame<'_>) {
        for (column, field) in self.columns.iter().zip(&self.fields) {
            frame.set(*column, new_empty_array(&default_type(field.want)));
        }
    }

    /// Makes a row for each element of the list of each row. A row with an empty list, or none, yields no rows. What is no list
    /// kills its record, and a list does of which too much would be made. `whole`: each row will have all of its record, which is
    /// one of these.
    ///
    /// # Errors
    /// The rows of all records would be more than a batch may be.
    pub(super) fn run(
        &mut self,
        frame: &mut Frame<'_>,
        whole: Option<&Records>,
        (stage, lenient): (&str, bool),
        misfits: &mut Misfits,
    ) -> Result<(), Excess> {
        let list = self.list;
        let unfit = frame.field(Slot::Field(list)).into_iter().flat_map(|column| &column.misfits);
        let unfit = unfit.map(|misfit| Dead {
            row: misfit.row,
            stage: stage.into(),
            code: "type-mismatch",
            cause: misfit.cause.clone(),
        });
        let unfit: Vec<Dead> = unfit.filter(|dead| frame.has(dead.row)).collect();
        frame.kill(unfit);
        let lists = frame.column(Slot::Field(list));
        let lists = lists.as_string::<i32>();
        let before = format!("{{{}:", serde_json::Value::from(self.name.as_str()));
        let mut rows = Vec::new();
        let mut dead = Vec::new();
        let mut bytes = 0;
        let (mut data, mut spans) = (Vec::with_capacity(2 * lists.value_data().len()), Vec::new());
        for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
            let again = frame.texts(row, Slot::Field(list))
                + whole.map_or(0, |records| records.spans[frame.record(row) as usize].len());
            match serde_json::from_str::<Vec<&RawValue>>(lists.value(row)) {
            Ok(list) if list.len().saturating_mul(again) > MOST => dead.push(Dead {
                row: frame.record(row),
                stage: stage.into(),
                code: "too-large",
                cause: format!(
                    "unnest would make {} rows that have {again} bytes of the record each, which is more than {MOST} in all",
                    list.len()
                ),
            }),
            Ok(list) => {
                bytes += list.len() * again;
                if bytes > MOST_OF_BATCH {
                    return Err(Excess::of_bytes(stage, "the rows that unnest makes"));
                }
                for element in list {
                    let start = data.len();
                    data.extend_from_slice(before.as_bytes());
                    data.extend_from_slice(element.get().as_bytes());
                    data.push(b'}');
                    spans.push(Span::new(start, data.len()));
                    rows.push(row as u32);
                }
            }
            Err(_) => dead.push(Dead {
                row: frame.record(row),
                stage: stage.into(),
                code: "type-mismatch",
                cause: format!("unnest takes a list, but found {}", shortened(lists.value(row))),
            }),
        }
        }
        let mut elements = Records::empty("elements".into(), Position::offset(0), Layout::Json);
        elements.offsets = vec![0; spans.len()];
        (elements.data, elements.spans) = (data.into(), spans);
        let decoded = self.decoder.decode(&elements);
        frame.repeat(&UInt32Array::from(rows));
        if frame.len() > 0 {
            misfits.say(self.watch.warnings(&decoded, frame.len()));
        }
        for (register, column) in self.columns.iter().zip(decoded.columns) {
            if !column.misfits.is_empty() {
                frame.set_unfit(*register, causes(&column.misfits, frame.len()));
            }
            if let Some(absent) = column.absent {
                frame.set_absent(*register, absent);
            }
            match column.json {
                true => frame.set_json(*register, column.array),
                false => frame.set(*register, column.array),
            }
        }
        frame.kill(dead);
        // What may leave without being asked for must be as it came.
        let plain = self.fields.iter().zip(&self.columns).filter(|(field, _)| field.want == Want::Infer);
        for (field, register) in plain {
            misfits.take_of_rows(frame, *register, stage, &field.path.join("."), lenient);
        }
        Ok(())
    }
}

/// Why values don't fit, a text for each row.
pub(super) fn causes(misfits: &[Misfit], rows: usize) -> ArrayRef {
    let mut causes = vec![None; rows];
    for misfit in misfits {
        causes[misfit.row as usize] = Some(misfit.cause.as_str());
    }
    Arc::new(StringArray::from(causes))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
