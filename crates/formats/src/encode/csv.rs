//! Rows as CSV.
use super::{
    Column,
    value::{self, Form, Write},
};
use crate::{decode::Misfit, json::unescape};
use arrow::array::Array as _;

/// Writes the names of the columns and a line feed.
pub fn csv_header(columns: &[Column<'_>], delimiter: u8, quote: u8, out: &mut Vec<u8>) {
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            out.push(delimiter);
        }
        text(column.name.as_bytes(), delimiter, quote, out);
    }
    out.push(b'\n');
}

/// Writes `rows` rows of columns, each with a line feed behind it. NULL is nothing at all, an empty text is two quotes;
/// quotes stand around texts that need them only. Lists and structs are written as JSON, of `raw` columns strings as their
/// content and null as NULL. Values that have no text (NaN,
/// infinity) are misfits, and written as NULL.
pub fn csv_rows(columns: &[Column<'_>], rows: usize, delimiter: u8, quote: u8, out: &mut Vec<u8>) -> Vec<Misfit> {
    let cells: Vec<(&str, Write<'_>)> =
        columns.iter().map(|column| (column.name, cell(column, delimiter, quote))).collect();
    let mut misfits = Vec::new();
    for row in 0..rows {
        for (at, (name, write)) in cells.iter().enumerate() {
            if at > 0 {
                out.push(delimiter);
            }
            let before = out.len();
            if let Err(why) = write(row, out) {
                out.truncate(before);
                misfits.push(super::documents::misfit(row, name, why));
            }
        }
        out.push(b'\n');
    }
    misfits
}

fn cell<'a>(column: &Column<'a>, delimiter: u8, quote: u8) -> Write<'a> {
    let nulls = column.array.logical_nulls();
    let write: Write<'a> = match value::form(column.array) {
        Form::Text(value) if column.raw => Box::new(move |row, out| {
            plain(value(row), delimiter, quote, out);
            Ok(())
        }),
        Form::Text(value) => Box::new(move |row, out| {
            text(value(row).as_bytes(), delimiter, quote, out);
            Ok(())
        }),
        Form::Quoted(write) | Form::Json(write) => Box::new(move |row, out| {
            let mut value = Vec::new();
            write(row, &mut value)?;
            text(&value, delimiter, quote, out);
            Ok(())
        }),
    };
    Box::new(move |row, out| match &nulls {
        Some(nulls) if nulls.is_null(row) => Ok(()),
        _ => write(row, out),
    })
}

/// Writes a JSON value: the content of a string, nothing for null, and what else it may be as it is written.
fn plain(json: &str, delimiter: u8, quote: u8, out: &mut Vec<u8>) {
    let mut content = String::new();
    let string = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match string {
        Some(raw) if unescape(raw, &mut content) => text(content.as_bytes(), delimiter, quote, out),
        _ if json == "null" => {}
        _ => text(json.as_bytes(), delimiter, quote, out),
    }
}

/// Writes a text that is not NULL, in quotes if it needs them.
fn text(text: &[u8], delimiter: u8, quote: u8, out: &mut Vec<u8>) {
    let special = |byte: &u8| *byte == delimiter || *byte == quote || matches!(byte, b'\n' | b'\r');
    if !text.is_empty() && !text.iter().any(special) {
        out.extend_from_slice(text);
        return;
    }
    out.push(quote);
    for byte in text {
        if *byte == quote {
            out.push(quote);
        }
        out.push(*byte);
    }
    out.push(quote);
}
