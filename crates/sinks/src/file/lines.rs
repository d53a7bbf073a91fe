//! Rows as lines of text.
use arrow::array::{Array, AsArray};
use dataflow_sdk::{
    Error,
    batch::{Output, Payload},
    sink::{CommitError, RejectedRow},
};
use std::{borrow::Cow, io::Read};

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
    Error::fatal("internal", "the sink received rows in another shape than it requested").for_user()
}

/// How CSV is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Csv {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
}

impl Csv {
    /// The names in the first line that is not blank, of a file that has one.
    pub(crate) fn names(self, text: impl Read) -> csv::Result<Option<Vec<String>>> {
        let mut reader = csv::ReaderBuilder::new();
        let reader = reader.has_headers(false).flexible(true).delimiter(self.delimiter).quote(self.quote);
        let is_blank = |line: &csv::StringRecord| line.len() == 1 && line[0].trim_ascii().is_empty();
        let mut lines = reader.from_reader(text).into_records();
        let header = lines.find(|line| !line.as_ref().is_ok_and(is_blank)).transpose()?;
        Ok(header.map(|line| line.iter().map(Into::into).collect()))
    }

    /// A line with these names.
    pub(crate) fn header(self, columns: &[String]) -> Vec<u8> {
        let mut text = Vec::new();
        self.line(&mut text, columns.iter().map(|name| Some(name.as_str())));
        text
    }

    /// Rows of all outputs, whose columns are JSON values, and their number.
    ///
    /// # Errors
    /// [`CommitError::Rejected`] for rows with a string that is no text.
    pub(crate) fn rows(self, outputs: &[Output]) -> Result<(Vec<u8>, u64), CommitError> {
        let mut text = Vec::with_capacity(outputs.iter().map(size).sum());
        let (mut rows, mut rejected) = (0, Vec::new());
        for (index, output) in outputs.iter().enumerate() {
            let Payload::Columns(batch) = &output.payload else { return Err(misfit().into()) };
            let columns = batch.columns().iter().map(|column| column.as_string_opt::<i32>().ok_or_else(misfit));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let mut cells = Vec::with_capacity(columns.len());
            'rows: for row in 0..batch.num_rows() {
                cells.clear();
                for (place, column) in columns.iter().enumerate() {
                    let value = column.is_valid(row).then(|| column.value(row));
                    match value.map_or(Ok(None), plain) {
                        Ok(None) if columns.len() == 1 => {
                            let name = batch.schema().field(place).name().clone();
                            let cause = format!(
                                "column {name}: null would be an empty line, which is not a record; a file of one column takes only text: set the field with a map transform, as in coalesce({name}, '')"
                            );
                            rejected.push(RejectedRow { output: index, row, cause });
                            continue 'rows;
                        }
                        Ok(cell) => cells.push(cell),
                        Err(cause) => {
                            let cause = format!("column {}: {cause}", batch.schema().field(place).name());
                            rejected.push(RejectedRow { output: index, row, cause });
                            continue 'rows;
                        }
                    }
                }
                self.line(&mut text, cells.iter().map(|cell| cell.as_deref()));
                rows += 1;
            }
        }
        if rejected.is_empty() { Ok((text, rows)) } else { Err(CommitError::Rejected(rejected)) }
    }

    /// A line of these cells; none: NULL, which is nothing at all, but for the only cell of a line: an empty line is no
    /// record.
    fn line<'a>(self, text: &mut Vec<u8>, cells: impl ExactSizeIterator<Item = Option<&'a str>>) {
        let only = cells.len() == 1;
        for (place, cell) in cells.enumerate() {
            if place > 0 {
                text.push(self.delimiter);
            }
            match cell {
                Some(cell) => self.cell(text, cell),
                None if only => self.cell(text, ""),
                None => {}
            }
        }
        text.push(b'\n');
    }

    /// A text: in quotes where it would be read as something else without them, by us or by others.
    fn cell(self, text: &mut Vec<u8>, cell: &str) {
        let special = |byte: u8| byte == self.delimiter || byte == self.quote || byte == b'\n' || byte == b'\r';
        let is_bare = !cell.is_empty()
            && !cell.starts_with([' ', '\t', '\u{feff}'])
            && !cell.ends_with([' ', '\t'])
            && !cell.bytes().any(special);
        if is_bare {
            return text.extend_from_slice(cell.as_bytes());
        }
        text.push(self.quote);
        for byte in cell.bytes() {
            text.push(byte);
            if byte == self.quote {
                text.push(byte);
            }
        }
        text.push(self.quote);
    }
}

/// A JSON value as plain text: a string's content, none for null, and whatever else as it is written.
fn plain(json: &str) -> Result<Option<Cow<'_, str>>, &'static str> {
    Ok(Some(match json.as_bytes() {
        [b'"', content @ .., b'"'] if !content.contains(&b'\\') => Cow::Borrowed(&json[1..json.len() - 1]),
        [b'"', ..] => Cow::Owned(serde_json::from_str(json).map_err(|_| "the string has half of a surrogate pair")?),
        b"null" => return Ok(None),
        _ => Cow::Borrowed(json),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Csv, plain};
    use proptest::{collection::vec, option, prelude::*};

    #[test]
    fn json_values_become_plain_cells() {
        let cases = [
            ("\"a\"", Some("a")),
            (r#""a\"b\n""#, Some("a\"b\n")),
            ("\"\"", Some("")),
            ("null", None),
            ("\"null\"", Some("null")),
            ("12.50", Some("12.50")),
            ("true", Some("true")),
            ("[1]", Some("[1]")),
        ];
        for (json, cell) in cases {
            assert_eq!(plain(json).unwrap().as_deref(), cell);
        }
        assert!(plain(r#""\ud800""#).is_err());
    }

    fn text() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a", "", " ", "\t", "\"", "'", ",", ";", "\n", "\r", "\r\n", "\u{feff}", "\0", "ä", "😀", "\\", "#",
            "null", "0", "-",
        ]);
        vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn another_parser_reads_what_was_written(
            rows in (1_usize..5).prop_flat_map(|width| vec(vec(option::of(text()), width), 1..5)),
            (delimiter, quote) in prop::sample::select(vec![(b',', b'"'), (b';', b'\''), (b'\t', b'"'), (b' ', b'"'), (b'a', b'0')]),
        ) {
            let csv = Csv { delimiter, quote };
            let mut written = Vec::new();
            rows.iter().for_each(|row| csv.line(&mut written, row.iter().map(Option::as_deref)));
            let reader = csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).quote(quote).from_reader(&*written);
            let read: Vec<Vec<String>> =
                reader.into_records().map(|record| record.unwrap().iter().map(Into::into).collect()).collect();
            let wanted: Vec<Vec<String>> =
                rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect();
            prop_assert_eq!(read, wanted);
        }
    }
}
