//! Objects of rows with types: each value is compared as an audit of a table compares it.
use super::{
    super::{avro, columns::Columns, layout::Format},
    Objects,
};
use crate::{
    blocking,
    table::audit::{Cell, Class, Column, Equal, Expected, Same},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, Float64Type},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};
use arrow_avro::reader::ReaderBuilder;
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use dataflow_core::types::Type;
use dataflow_sdk::{
    Error,
    audit::{Audited, Auditor, Findings},
    batch::Output,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// An auditor that knows the columns of the generation.
pub(super) fn open(format: Format, objects: Objects, columns: &Columns, volatile: &[String]) -> Result<Audited, Error> {
    let column = |column: &dataflow_sdk::batch::Column| Column {
        name: column.name.clone(),
        class: class(column.ty),
        fills: false,
        equal: Equal::Exactly,
    };
    let demand = columns.demand();
    let names = match format {
        Format::Avro => avro::names(&columns.all),
        _ => columns.all.iter().map(|column| column.name.clone()).collect(),
    };
    let columns: Vec<Column> = columns.all.iter().map(column).collect();
    let expected = Expected::new(columns.clone(), &[], volatile)?;
    Ok(Audited {
        auditor: Box::new(Rows { format, objects, names, columns, expected }),
        demand,
        not_durable: Vec::new(),
    })
}

fn class(ty: Type) -> Class {
    match ty {
        Type::Boolean => Class::Boolean,
        Type::Smallint | Type::Integer | Type::Bigint | Type::Decimal { .. } => Class::Number,
        Type::Real => Class::Real,
        Type::Double | Type::Number => Class::Double,
        Type::Text => Class::Text,
        Type::Timestamp => Class::Instant,
        Type::Datetime => Class::Datetime,
        Type::Date => Class::Date,
        Type::Binary => Class::Bytes,
        Type::Uuid => Class::Uuid,
        Type::Json => Class::Json,
        Type::Any => Class::Anything,
    }
}

struct Rows {
    format: Format,
    objects: Objects,
    /// The names of the columns in the objects.
    names: Vec<String>,
    columns: Vec<Column>,
    expected: Expected,
}

impl Rows {
    fn compare(self) -> Result<Findings, Error> {
        let Self { format, objects, names, columns, mut expected } = self;
        expected.begin()?;
        for key in &objects.keys {
            let Some(bytes) = objects.read(key)? else { continue };
            expected.part(objects.store.place(key));
            for rows in read(format, bytes).map_err(|error| objects.damaged(key, &error))? {
                let rows = rows.map_err(|error| objects.damaged(key, &error))?;
                // One that came after the object was begun is null there.
                let found: Vec<Option<&ArrayRef>> = names.iter().map(|name| rows.column_by_name(name)).collect();
                for row in 0..rows.num_rows() {
                    let cells = columns.iter().zip(&found);
                    let cells =
                        cells.map(|(column, found)| found.map_or(Ok(None), |found| cell(column.class, found, row)));
                    let cells: Vec<Cell> =
                        cells.collect::<Result<_, _>>().map_err(|error| objects.damaged(key, &error))?;
                    expected.found(cells, &Same::new())?;
                }
            }
        }
        expected.finish()
    }
}

fn read(format: Format, bytes: Bytes) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>, ArrowError> {
    Ok(match format {
        Format::Avro => {
            let reader = ReaderBuilder::new().build(bytes.clone().reader())?;
            // A file that breaks off is read to there, without a word.
            if !bytes.ends_with(&reader.avro_header().sync()) {
                return Err(ArrowError::AvroError("the file breaks off".into()));
            }
            Box::new(reader)
        }
        _ => Box::new(ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?),
    })
}

/// A value as the object has it.
fn cell(class: Class, column: &ArrayRef, row: usize) -> Result<Cell, ArrowError> {
    if column.is_null(row) {
        return Ok(None);
    }
    Ok(Some(match column.data_type() {
        DataType::Float64 => class.stored_double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => class.stored_text(&format!("{:e}", column.as_primitive::<Float32Type>().value(row))),
        DataType::Binary => class.stored_bytes(column.as_binary::<i32>().value(row)),
        _ => {
            let shown = ArrayFormatter::try_new(column, &FormatOptions::default())?;
            class.stored_text(&shown.value(row).try_to_string()?)
        }
    }))
}

#[async_trait]
impl Auditor for Rows {
    async fn expect(&mut self, rows: &Output) -> Result<(), Error> {
        let said = self.expected.said(rows)?;
        self.expected.keep(said)
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        Ok(vec![None; output.len()])
    }

    fn is_own_reason(&self, _: &str) -> bool {
        false
    }

    async fn finish(self: Box<Self>) -> Result<Findings, Error> {
        blocking::run(move || self.compare()).await?
    }
}
