//! Replaces, adds and removes fields of records.
use super::{Column, Documents, documents::misfit, value};
use crate::{
    csv::{self, FieldSpan},
    decode::Misfit,
    json::write_string,
    marks::{Mark, Marks},
};
use arrow::buffer::BooleanBuffer;
use dataflow_sdk::records::{CsvLayout, Layout, Records, Span};
use memchr::memrchr;

/// Copies records, as written, into new documents: fields named by `set` get its values in the same place, or at the
/// end if the record lacks them; those in `remove`, and those that `set` has for other rows only, are left out, each with a comma and the blanks around that. Every other byte
/// stays as it is. Names are top-level keys, even if they contain a dot.
///
/// `rows` are the records of the output rows, and the columns of `set` have one value per output row. JSON records must
/// have been decoded without being broken, by a decoder that marked the names of `set` and then those of `remove`. CSV
/// values become strings, or null; a CSV record that can't be read gives a misfit and no document.
///
/// # Panics
/// If `marks` belong to other records.
pub fn overlay(records: &Records, rows: &[u32], set: &[Column<'_>], remove: &[String], marks: &Marks) -> Documents {
    let mut overlay = Overlay {
        set: set
            .iter()
            .map(|column| Set {
                name: column.name,
                key: value::key(column.name),
                write: value::json(column.array, column.raw),
                absent: column.absent,
                done: false,
            })
            .collect(),
        out: Vec::with_capacity(records.data.len() / records.len().max(1) * rows.len()),
        misfits: Vec::new(),
        places: Vec::new(),
        scratch: String::new(),
    };
    let fields = match &records.layout {
        Layout::Json | Layout::Columns(_) => Vec::new(),
        Layout::Csv(layout) => fields(layout, set, remove),
    };
    let mut spans = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let span = records.spans[*row as usize];
        let made = |overlay: &mut Overlay<'_>| match &records.layout {
            Layout::Json | Layout::Columns(_) => Ok(overlay.json(at, span, &records.data, marks.of(*row))),
            Layout::Csv(layout) => overlay.csv(at, span, &records.data, layout, &fields),
        };
        let nothing = |overlay: &mut Overlay<'_>| {
            overlay.out.push(b'{');
            Ok(&b"}"[..])
        };
        spans.push(if span.is_null() { overlay.document(at, nothing) } else { overlay.document(at, made) });
    }
    Documents { data: overlay.out.into(), spans, misfits: overlay.misfits }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Drops the comma that a text ends with, and the blanks after it: the field after it was left out.
pub(super) fn drop_comma(out: &mut Vec<u8>) {
    if let Some(last) = out.iter().rposition(|byte| !is_blank(byte)).filter(|last| out[*last] == b',') {
        out.truncate(last);
    }
}

struct Overlay<'a> {
    set: Vec<Set<'a>>,
    out: Vec<u8>,
    misfits: Vec<Misfit>,
    places: Vec<FieldSpan>,
    scratch: String,
}

struct Set<'a> {
    name: &'a str,
    key: Vec<u8>,
    write: value::Write<'a>,
    /// The rows without it.
    absent: Option<&'a BooleanBuffer>,
    /// Written in this row.
    done: bool,
}

impl Set<'_> {
    /// Whether it still has to be written in a row.
    fn is_due(&self, row: usize) -> bool {
        !self.done && !self.absent.is_some_and(|absent| absent.value(row))
    }
}

impl<'d> Overlay<'_> {
    /// `make` writes the fields that the record has, and returns what comes after all fields.
    fn document(&mut self, row: usize, make: impl FnOnce(&mut Self) -> Result<&'d [u8], String>) -> Span {
        let start = self.out.len();
        let misfits = self.misfits.len();
        self.set.iter_mut().for_each(|set| set.done = false);
        let end = match make(self) {
            Ok(end) => end,
            Err(cause) => {
                self.out.truncate(start);
                self.misfits.truncate(misfits);
                self.misfits.push(Misfit { row: row as u32, cause, suits: None });
                return Span::NULL;
            }
        };
        for set in 0..self.set.len() {
            if self.set[set].is_due(row) {
                self.field(set, row);
            }
        }
        self.out.extend_from_slice(end);
        Span::new(start, self.out.len())
    }

    /// Writes a field of `set`.
    fn field(&mut self, set: usize, row: usize) {
        if self.out.iter().rfind(|byte| !is_blank(byte)) != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.extend_from_slice(&self.set[set].key);
        self.value(set, row);
    }

    fn value(&mut self, set: usize, row: usize) {
        let set = &mut self.set[set];
        set.done = true;
        if let Err(why) = (set.write)(row, &mut self.out) {
            self.misfits.push(misfit(row, set.name, why));
        }
    }

    fn json(&mut self, row: usize, span: Span, data: &'d [u8], marks: &[Mark]) -> &'d [u8] {
        let record = span.of(data);
        let place = |at: u32| at as usize - span.start as usize;
        let close = memrchr(b'}', record).unwrap_or(record.len());
        let (mut from, mut left_out) = (0, false);
        for mark in marks {
            let set = Some(mark.name as usize).filter(|set| self.set.get(*set).is_some_and(|set| set.is_due(row)));
            let until = if set.is_some() { mark.value } else { mark.start };
            self.copy(&record[from..place(until)], left_out);
            if let Some(set) = set {
                self.value(set, row);
            }
            (from, left_out) = (place(mark.end), set.is_none());
        }
        let fields = record[from..close].iter().rposition(|byte| !is_blank(byte)).map_or(from, |last| from + last + 1);
        self.copy(&record[from..fields], left_out);
        if left_out && fields == from {
            drop_comma(&mut self.out);
        }
        &record[fields..]
    }

    /// Copies a part of a record; without the comma that it begins with, and the blanks around that, if the field before it was left
    /// out.
    fn copy(&mut self, part: &[u8], left_out: bool) {
        let is_between = |byte: &u8| *byte == b',' || is_blank(byte);
        let from = if left_out { part.iter().position(|byte| !is_between(byte)).unwrap_or(part.len()) } else { 0 };
        self.out.extend_from_slice(&part[from..]);
    }

    fn csv(
        &mut self,
        row: usize,
        span: Span,
        data: &[u8],
        layout: &CsvLayout,
        fields: &[Field],
    ) -> Result<&'d [u8], String> {
        self.out.push(b'{');
        let mut places = std::mem::take(&mut self.places);
        let split = csv::split(data, span.start as usize, span.end as usize, layout, &mut places);
        let written = split.map_err(|(_, cause)| cause).and_then(|()| self.fields(row, data, layout, fields, &places));
        self.places = places;
        written.map(|()| &b"}"[..])
    }

    fn fields(
        &mut self,
        row: usize,
        data: &[u8],
        layout: &CsvLayout,
        fields: &[Field],
        places: &[FieldSpan],
    ) -> Result<(), String> {
        for (field, place) in fields.iter().zip(places) {
            match field {
                Field::Drop => {}
                Field::Set(set) if self.set[*set].is_due(row) => self.field(*set, row),
                Field::Set(_) => {}
                Field::Keep { name, key } => {
                    if self.out.last() != Some(&b'{') {
                        self.out.push(b',');
                    }
                    self.out.extend_from_slice(key);
                    if place.is_null(data, layout) {
                        self.out.extend_from_slice(b"null");
                        continue;
                    }
                    let text = std::str::from_utf8(&data[place.start..place.end])
                        .map_err(|_| format!("field {name:?} is not UTF-8"))?;
                    if place.doubled {
                        csv::undouble(text, layout.quote, &mut self.scratch);
                        write_string(&self.scratch, &mut self.out);
                    } else {
                        write_string(text, &mut self.out);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The output of a column of CSV records.
enum Field {
    Drop,
    /// The value of this column of `set`.
    Set(usize),
    Keep {
        name: String,
        key: Vec<u8>,
    },
}

fn fields(layout: &CsvLayout, set: &[Column<'_>], remove: &[String]) -> Vec<Field> {
    let field = |(at, name): (usize, &String)| {
        if layout.columns[at + 1..].contains(name) {
            return Field::Drop; // of columns with the same name the last one wins
        }
        match set.iter().position(|column| column.name == name) {
            Some(set) => Field::Set(set),
            None if remove.contains(name) => Field::Drop,
            None => Field::Keep { name: name.clone(), key: value::key(name) },
        }
    };
    layout.columns.iter().enumerate().map(field).collect()
}
