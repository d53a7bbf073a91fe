//! Documents from columns, and from raw records.
use super::{Column, Documents, overlay, value};
use crate::{decode::Misfit, marks::Marks};
use dataflow_sdk::records::{Layout, Records, Span};
use memchr::memchr2;

/// Makes a JSON document of each row of some columns with `rows` values each: one object with a field per column that the row has.
pub fn documents_from_columns(columns: &[Column<'_>], rows: usize) -> Documents {
    let fields: Vec<_> = columns
        .iter()
        .map(|column| (column.name, value::key(column.name), value::json(column.array, column.raw), column.absent))
        .collect();
    let mut out = Vec::with_capacity(rows * columns.len() * 16);
    let (mut spans, mut misfits) = (Vec::with_capacity(rows), Vec::new());
    for row in 0..rows {
        let start = out.len();
        out.push(b'{');
        let mut is_first = true;
        for (name, key, write, absent) in &fields {
            if absent.is_some_and(|absent| absent.value(row)) {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            out.extend_from_slice(key);
            if let Err(why) = write(row, &mut out) {
                misfits.push(misfit(row, name, why));
            }
        }
        out.push(b'}');
        spans.push(Span::new(start, out.len()));
    }
    Documents { data: out.into(), spans, misfits }
}

pub(super) fn misfit(row: usize, name: &str, why: &str) -> Misfit {
    Misfit { row: row as u32, cause: format!("field {name:?} has a value {why}"), suits: None }
}

/// Returns the records of these rows as JSON documents: JSON as the very bytes that came in, in their own buffer; CSV becomes objects
/// of strings and nulls. JSON records are not checked.
pub fn documents(records: &Records, rows: &[u32]) -> Documents {
    if let Layout::Csv(_) = records.layout {
        return overlay(records, rows, &[], &[], &Marks::default());
    }
    let spans = rows.iter().map(|row| records.spans[*row as usize]).collect();
    Documents { data: records.data.clone(), spans, misfits: Vec::new() }
}

impl Documents {
    /// Each on one line: line breaks become blanks. They can only occur between tokens, in strings they are escaped. Copied only if
    /// there are any.
    #[must_use]
    pub fn on_lines(mut self) -> Self {
        if self.spans.iter().all(|span| memchr2(b'\n', b'\r', span.of(&self.data)).is_none()) {
            return self;
        }
        let mut out = Vec::with_capacity(self.spans.iter().map(|span| span.len()).sum());
        for span in self.spans.iter_mut().filter(|span| !span.is_null()) {
            let start = out.len();
            out.extend_from_slice(span.of(&self.data));
            *span = Span::new(start, out.len());
        }
        let mut at = 0;
        while let Some(next) = memchr2(b'\n', b'\r', &out[at..]) {
            at += next;
            out[at] = b' ';
        }
        self.data = out.into();
        self
    }
}
