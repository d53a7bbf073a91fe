//! Rows as lines of text.
use arrow::array::{Array, AsArray, RecordBatch};
use dataflow_sdk::{
    Error,
    batch::{Output, Payload},
    sink::{CommitError, RejectedRow},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Documents of all outputs, one a line, and their number.
///
/// # Errors
/// [`CommitError::Rejected`] for rows without a value.
pub(crate) fn documents(outputs: &[Output]) -> Result<(Vec<u8>, u64), CommitError> {
    let mut text = Vec::with_capacity(outputs.iter().map(size).sum());
    let mut rejected = Vec::new();
    let mut rows = 0;
    for (index, output) in outputs.iter().enumerate() {
        let Payload::Documents { data, spans } = &output.payload else { return Err(misfit().into()) };
        for (row, span) in spans.iter().enumerate() {
            if span.is_null() {
                rejected.push(RejectedRow { output: index, row, cause: "the record has no value (tombstone)".into() });
                continue;
            }
            text.extend_from_slice(span.of(data));
            text.push(b'\n');
            rows += 1;
        }
    }
    if rejected.is_empty() { Ok((text, rows)) } else { Err(CommitError::Rejected(rejected)) }
}

fn size(output: &Output) -> usize {
    match &output.payload {
        Payload::Documents { spans, .. } => spans.iter().map(|span| span.len() + 1).sum(),
        Payload::Columns(batch) => batch.num_rows() * batch.num_columns() * 16,
    }
}

/// A payload that was not demanded.
pub(crate) fn misfit() -> Error {
    Error::fatal("internal", "the sink was given rows in another shape than it asked for").for_user()
}

/// How CSV is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Csv {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
}

impl Csv {
    fn writer(self) -> csv::Writer<Vec<u8>> {
        csv::WriterBuilder::new().delimiter(self.delimiter).quote(self.quote).from_writer(Vec::new())
    }

    /// A line with these names.
    pub(crate) fn header(self, columns: &[String]) -> Result<Vec<u8>, Error> {
        let mut writer = self.writer();
        writer.write_record(columns).map_err(|error| unwritable(&error))?;
        finish(writer)
    }

    /// Rows of all outputs, whose columns are JSON values, and their number.
    pub(crate) fn rows(self, outputs: &[Output]) -> Result<(Vec<u8>, u64), Error> {
        let mut writer = self.writer();
        let mut rows = 0;
        for output in outputs {
            let Payload::Columns(batch) = &output.payload else { return Err(misfit()) };
            for row in 0..batch.num_rows() {
                self.row(&mut writer, batch, row)?;
                rows += 1;
            }
        }
        Ok((finish(writer)?, rows))
    }

    fn row(self, writer: &mut csv::Writer<Vec<u8>>, batch: &RecordBatch, row: usize) -> Result<(), Error> {
        for column in batch.columns() {
            let column = column.as_string_opt::<i32>().ok_or_else(misfit)?;
            let cell = if column.is_null(row) { Cow::Borrowed("") } else { plain(column.value(row)) };
            writer.write_field(cell.as_bytes()).map_err(|error| unwritable(&error))?;
        }
        writer.write_record(None::<&[u8]>).map_err(|error| unwritable(&error))
    }
}

fn finish(writer: csv::Writer<Vec<u8>>) -> Result<Vec<u8>, Error> {
    writer.into_inner().map_err(|error| unwritable(&error.into_error().into()))
}

fn unwritable(error: &csv::Error) -> Error {
    Error::fatal("internal", format!("rows can't be written as CSV: {error}")).for_user()
}

/// A JSON value as plain text: a string's content, nothing for null, and whatever else as it is written.
fn plain(json: &str) -> Cow<'_, str> {
    match json.as_bytes().first() {
        Some(b'"') if !json.contains('\\') && json.len() >= 2 => Cow::Borrowed(&json[1..json.len() - 1]),
        Some(b'"') => serde_json::from_str::<String>(json).map_or(Cow::Borrowed(json), Cow::Owned),
        Some(b'n') if serde_json::from_str::<&RawValue>(json).is_ok() => Cow::Borrowed(""),
        _ => Cow::Borrowed(json),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn json_values_become_plain_cells() {
        let cases = [
            ("\"a\"", "a"),
            (r#""a\"b\n""#, "a\"b\n"),
            ("null", ""),
            ("12.50", "12.50"),
            ("true", "true"),
            ("[1]", "[1]"),
        ];
        for (json, cell) in cases {
            assert_eq!(plain(json), cell);
        }
    }
}
