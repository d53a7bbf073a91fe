//! Records as they come, decoded as the sink asks for them.
use crate::target::*;
use arrow::datatypes::{Field as ArrowField, Schema};
use dataflow_core::position::Position;
use dataflow_formats::decode::{Decoder, Field, Want};
use dataflow_sdk::{
    Records, Span,
    batch::{Cells, Operation, Operations, Output, arrow_type},
    records::Layout,
};
use std::sync::Arc;

/// An output of these documents as they are; those with `"_op": "d"` are deletes.
pub(crate) fn documents(documents: &[String]) -> Output {
    let mut records = Records::empty("p/0".into(), Position::offset(0), Layout::Json);
    let mut data = Vec::new();
    for (row, document) in documents.iter().enumerate() {
        records.spans.push(Span::new(data.len(), data.len() + document.len()));
        records.offsets.push(row as u64);
        data.extend_from_slice(document.as_bytes());
    }
    (records.data, records.to) = (data.into(), Position::offset(documents.len() as u64));
    let payload = Payload::Documents { data: records.data.clone(), spans: records.spans.clone() };
    let output = Output::of(Arc::new(records), (0..documents.len() as u32).collect(), payload);
    let operations = documents.iter().map(|document| match document.contains(r#""_op":"d""#) {
        true => Operation::Delete,
        false => Operation::Upsert,
    });
    let operations: Vec<Operation> = operations.collect();
    match operations.contains(&Operation::Delete) {
        true => Output { operations: Operations::Each(operations), ..output },
        false => output,
    }
}

/// An output of these documents, and which of them have values that the column is not asked for with.
pub(crate) fn decoded(demand: &Demand, documents: &[String]) -> (Output, Vec<usize>) {
    let Demand::Columns(columns) = demand else { panic!("{demand:?}") };
    let output = self::documents(documents);
    let field = |column: &Column| Field { path: vec![column.name.clone()], want: Want::As(column.ty) };
    let found = Decoder::new(columns.iter().map(field).collect()).decode(output.records.as_ref().unwrap());
    assert!(found.broken.is_empty(), "{:?}", found.broken);
    let fields = columns.iter().map(|column| ArrowField::new(&column.name, arrow_type(column.ty), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let misfits = found.columns.iter().flat_map(|column| column.misfits.iter().map(|misfit| misfit.row as usize));
    let misfits = misfits.collect();
    let (arrays, absent) = found.columns.into_iter().map(|column| (column.array, column.absent)).unzip();
    let payload = Payload::Columns(Cells::new(RecordBatch::try_new(schema, arrays).unwrap(), absent));
    (Output { payload, ..output }, misfits)
}

/// What is written of documents that come one after the other: commits of so many, each with what it refuses (by its place
/// among all).
pub(crate) async fn write(target: &Target, documents: &[&str], together: usize) -> Vec<(usize, String)> {
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let mut refused = Vec::new();
    for (at, part) in documents.chunks(together).enumerate() {
        let part: Vec<String> = part.iter().map(|document| (*document).into()).collect();
        let (mut output, misfits) = decoded(&demand, &part);
        output = output.retain(|row| !misfits.contains(&row));
        refused.extend(misfits.into_iter().map(|row| (at * together + row, "misfit".to_owned())));
        loop {
            match writer.commit(&[output.clone()].into(), &token(&fence("p", 1), at as u64 + 1)).await {
                Ok(_) => break,
                Err(CommitError::Rejected(rows)) => {
                    let place = |row: usize| at * together + output.rows[row] as usize;
                    refused.extend(rows.iter().map(|row| (place(row.row), row.cause.clone())));
                    output = output.retain(|row| rows.iter().all(|refused| refused.row != row));
                }
                Err(CommitError::Failed(error)) => panic!("{error:?}"),
            }
        }
    }
    writer.close().await;
    refused.sort();
    refused
}
