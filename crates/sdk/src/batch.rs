//! The output of transforms, which a sink receives.
pub use crate::records::Column;
use crate::records::{Records, Span};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    buffer::BooleanBuffer,
    compute::take_arrays,
};
use bytes::Bytes;
pub use dataflow_core::warned::Notice;
use dataflow_core::{
    types::{InferredTypes, Type},
    warned::Warned,
};
use std::{ops::Deref, sync::Arc};

/// The parts of each output row that a sink needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// One JSON document a row: the original bytes where nothing was changed, line breaks and blanks included.
    Documents,
    /// The same on one line: line breaks between the tokens of a document are blanks.
    Lines,
    /// Columns of these names and types.
    Columns(Vec<Column>),
    /// The same, of a table of the pipeline's own, which gets a column for every other field that has a value: see
    /// [`Processed::new_columns`].
    Growing(Vec<Column>),
    /// Every top-level field, with the types of the first batch; [`crate::sink::Writer::define`] then says the columns.
    AllColumns,
}

impl Demand {
    /// The columns of a table.
    pub fn columns(&self) -> Option<&[Column]> {
        match self {
            Self::Columns(columns) | Self::Growing(columns) => Some(columns),
            Self::Documents | Self::Lines | Self::AllColumns => None,
        }
    }
}

/// Columns for output fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inferred {
    /// The columns, of the types that are declared, that SQL names, or that the data has, with room for more.
    pub columns: Vec<Column>,
    /// The names of all fields, in order; also of those that have no value yet, and so no type.
    pub fields: Vec<String>,
    /// What of it only the data says; also of fields that have no value yet.
    pub learned: InferredTypes,
    /// What to know of it: fields whose values have no type in common.
    pub warnings: Vec<Warning>,
}

impl Inferred {
    /// Columns of all fields; of those that have no value yet, [any](Type::Any).
    pub fn named(&self) -> Vec<Column> {
        let column = |name: &String| self.columns.iter().find(|column| column.name == *name).cloned();
        let named = |name: &String| column(name).unwrap_or_else(|| Column { name: name.clone(), ty: Type::Any });
        self.fields.iter().map(named).collect()
    }
}

/// The arrow type in which a sink gets a column of this type.
pub fn arrow_type(ty: Type) -> arrow::datatypes::DataType {
    use arrow::datatypes::{DataType, TimeUnit};
    match ty {
        Type::Boolean => DataType::Boolean,
        Type::Smallint => DataType::Int16,
        Type::Integer => DataType::Int32,
        Type::Bigint => DataType::Int64,
        Type::Real => DataType::Float32,
        Type::Double => DataType::Float64,
        Type::Decimal { precision, scale } => DataType::Decimal128(precision, scale as i8),
        Type::Number | Type::Text | Type::Uuid | Type::Json | Type::Any => DataType::Utf8,
        Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::Datetime => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::Date => DataType::Date32,
        Type::Binary => DataType::Binary,
    }
}

/// Output rows, ready for a sink.
#[derive(Clone, Debug)]
pub struct Output {
    /// The records they come from: ids, keys, metadata and places. None: they come from the state of a transform, and no single
    /// record stands behind any of them.
    pub records: Option<Arc<Records>>,
    /// The record of each output row, never falling. A record may be missing (filtered, dead) or repeated (UNNEST). Of rows
    /// without records: a number that tells each from the others.
    pub rows: Vec<u32>,
    /// The operation of each row at the target.
    pub operations: Operations,
    /// The rows, as the sink demanded them.
    pub payload: Payload,
    /// The values of the sink's [side expressions](crate::declared::SinkRows::side), in their order and in the
    /// [arrow type](arrow_type) of each: one a row.
    pub side: Vec<ArrayRef>,
    /// Of documents of CSV records: the fields whose values have a declared type, or lie within one declared as JSON. Strings in
    /// the others are untyped texts.
    pub typed: Arc<[String]>,
}

/// The operations of rows at the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Operations {
    /// All of them are upserts.
    #[default]
    Upserts,
    /// So much of each row.
    Each(Vec<Operation>),
}

/// What is to become of a row at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is there from here on: in the place of the row of its key, where the target has keys.
    Upsert,
    /// The row of its key is not there any more. It counts only by its key: whatever else it has is not looked at.
    Delete,
}

impl Operation {
    /// The operation that a word stands for, in any case, as change feeds and other sinks name them; `None`: none.
    pub fn of(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "delete" | "d" => Some(Self::Delete),
            "index" | "upsert" | "create" | "insert" | "update" | "read" | "c" | "i" | "u" | "r" => Some(Self::Upsert),
            _ => None,
        }
    }
}

/// The rows, as the sink demanded them.
#[derive(Clone, Debug)]
pub enum Payload {
    /// One JSON document a row; without line break inside where [`Demand::Lines`] were demanded.
    Documents {
        /// The buffer: often the original one.
        data: Bytes,
        /// One slice a row; [`Span::NULL`] for a record without data for which nothing was computed.
        spans: Vec<Span>,
    },
    /// Columns in the order of the demand.
    Columns(Cells),
}

/// Rows as columns: their values, and which of them are missing rather than NULL.
#[derive(Clone, Debug)]
pub struct Cells {
    values: RecordBatch,
    /// For each column, the rows whose record lacks the field; `None`: all have it. Empty: so for all columns.
    absent: Vec<Option<BooleanBuffer>>,
}

impl Cells {
    /// Rows of which some may lack fields: `absent` has, for each column, the rows without it. Their values are NULL.
    pub fn new(values: RecordBatch, absent: Vec<Option<BooleanBuffer>>) -> Self {
        let absent = if absent.iter().all(Option::is_none) { Vec::new() } else { absent };
        Self { values, absent }
    }
    /// The rows whose record lacks the field; `None`: all have it.
    pub fn absent(&self, column: usize) -> Option<&BooleanBuffer> {
        self.absent.get(column)?.as_ref()
    }
    /// Whether the record of a row lacks a field.
    pub fn is_absent(&self, column: usize, row: usize) -> bool {
        self.absent(column).is_some_and(|absent| absent.value(row))
    }
    /// Whether no record lacks any field.
    pub fn is_whole(&self) -> bool {
        self.absent.is_empty()
    }
    /// These rows alone.
    fn take(&self, rows: &[usize]) -> Self {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let values =
            RecordBatch::try_new_with_options(self.values.schema(), taken(self.values.columns(), rows), &options)
                .unwrap_or_else(|error| unreachable!("rows of a batch can be taken from it: {error}"));
        let taken = |absent: &BooleanBuffer| BooleanBuffer::collect_bool(rows.len(), |at| absent.value(rows[at]));
        Self { values, absent: self.absent.iter().map(|absent| absent.as_ref().map(taken)).collect() }
    }
}

/// The values of these rows in each column.
fn taken(columns: &[ArrayRef], rows: &[usize]) -> Vec<ArrayRef> {
    let indices = UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32));
    take_arrays(columns, &indices, None)
        .unwrap_or_else(|error| unreachable!("rows of a batch can be taken from it: {error}"))
}

impl From<RecordBatch> for Cells {
    /// No record lacks any field.
    fn from(values: RecordBatch) -> Self {
        Self { values, absent: Vec::new() }
    }
}

impl Deref for Cells {
    type Target = RecordBatch;

    fn deref(&self) -> &RecordBatch {
        &self.values
    }
}

impl Output {
    /// Rows that come from records, of a sink without side expressions: those of records without data are deletes, the others
    /// upserts.
    pub fn of(records: Arc<Records>, rows: Vec<u32>, payload: Payload) -> Self {
        let operation = |row: &u32| match records.spans[*row as usize].is_null() {
            true => Operation::Delete,
            false => Operation::Upsert,
        };
        let operations = match records.spans.iter().any(|span| span.is_null()) {
            true => Operations::Each(rows.iter().map(operation).collect()),
            false => Operations::Upserts,
        };
        Self { records: Some(records), rows, operations, payload, side: Vec::new(), typed: Arc::default() }
    }
    /// What is to become of a row at the target.
    pub fn operation(&self, row: usize) -> Operation {
        match &self.operations {
            Operations::Upserts => Operation::Upsert,
            Operations::Each(each) => each[row],
        }
    }
    /// Whether the row of its key is not there any more.
    pub fn deletes(&self, row: usize) -> bool {
        self.operation(row) == Operation::Delete
    }
    /// Number of output rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    /// Whether there is no output row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    /// Number of input records that these rows come from.
    pub fn records_delivered(&self) -> u64 {
        if self.records.is_none() {
            return 0;
        }
        let mut last = None;
        self.rows.iter().filter(|row| last.replace(**row) != Some(**row)).count() as u64
    }
    /// The rows that `keep` holds for.
    pub fn retain(&self, keep: impl Fn(usize) -> bool) -> Self {
        let kept: Vec<usize> = (0..self.len()).filter(|row| keep(*row)).collect();
        let payload = match &self.payload {
            Payload::Documents { data, spans } => {
                Payload::Documents { data: data.clone(), spans: kept.iter().map(|row| spans[*row]).collect() }
            }
            Payload::Columns(cells) => Payload::Columns(cells.take(&kept)),
        };
        let operations = match &self.operations {
            Operations::Upserts => Operations::Upserts,
            Operations::Each(each) => Operations::Each(kept.iter().map(|row| each[*row]).collect()),
        };
        Self {
            records: self.records.clone(),
            rows: kept.iter().map(|row| self.rows[*row]).collect(),
            operations,
            payload,
            side: taken(&self.side, &kept),
            typed: self.typed.clone(),
        }
    }
}

/// The output of transforms for one [`Records`]: the fate of each record, and rows for the sink.
#[derive(Clone, Debug)]
pub struct Processed {
    /// The records, and with them the interval that is done.
    pub records: Arc<Records>,
    /// What goes to the sink.
    pub output: Output,
    /// Records that were left out on purpose.
    pub filtered: u64,
    /// Records that could not be processed. By rising row, each at most once, and in no output row.
    pub dead: Vec<Dead>,
    /// Output fields that the sink has no column for, where the spec says that columns are to be added, or that the
    /// pipeline is to fail; and such as had no value yet when its columns were made. If there are columns among them,
    /// nothing else in here counts: the engine has the sink add them, compiles again, and processes the records again; or
    /// it fails.
    pub new_columns: Inferred,
    /// Things worth a user's attention, each said once per run: a field that no record has had, an ignored field; and those that
    /// are over.
    pub warnings: Vec<Notice>,
}

/// A record that could not be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// Which record.
    pub row: u32,
    /// Where: `decode`, `transforms[1]`, `sink`.
    pub stage: String,
    /// Stable code, kebab-case: `not-json`, `type-mismatch`, `expression`, `too-large`, `rejected`.
    pub code: &'static str,
    /// Why, with field and value.
    pub cause: String,
}

/// Something worth a user's attention that stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable code, kebab-case: `unknown-field`, `ignored-field`.
    pub code: &'static str,
    /// Its subject (a field): a warning is identified by code and subject, and shown once with its count.
    pub subject: String,
    /// What to know.
    pub message: String,
    /// How many records it concerned.
    pub records: u64,
}

impl From<Warning> for Notice {
    fn from(Warning { code, subject, message, records }: Warning) -> Self {
        Self::Holds(Warned { code: code.into(), subject, message, records })
    }
}
