//! Replaces, adds and removes fields of records.
use super::{Column, Documents, documents::misfit, single_line, value};
use crate::{
    csv::{self, Place},
    decode::Misfit,
    json::write_string,
    marks::{Mark, Marks},
};
use arrow::array::{Array, ArrayRef};
use dataflow_sdk::records::{CsvLayout, Layout, Records, Span};
use memchr::{memchr, memrchr};

/// Copies records, as written, into new documents: fields named by `set` get its values in the same place, or at the
/// end if the record lacks them; those in `remove` are left out. Names are top-level keys, even if they contain a dot.
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
                optional: column.optional.then_some(column.array),
                done: false,
            })
            .collect(),
        out: Vec::with_capacity(records.data.len() / records.len().max(1) * rows.len()),
        misfits: Vec::new(),
        places: Vec::new(),
        scratch: String::new(),
    };
    let fields = match &records.layout {
        Layout::Json => Vec::new(),
        Layout::Csv(layout) => fields(layout, set, remove),
    };
    let mut spans = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let span = records.spans[*row as usize];
        let made = |overlay: &mut Overlay<'_>| match &records.layout {
            Layout::Json => {
                overlay.json(at, span, &records.data, marks.of(*row));
                Ok(())
            }
            Layout::Csv(layout) => overlay.csv(at, span, &records.data, layout, &fields),
        };
        spans.push(if span.is_null() { Span::NULL } else { overlay.document(at, made) });
    }
    single_line(&mut overlay.out);
    Documents { data: overlay.out.into(), spans, misfits: overlay.misfits }
}

struct Overlay<'a> {
    set: Vec<Set<'a>>,
    out: Vec<u8>,
    misfits: Vec<Misfit>,
    places: Vec<Place>,
    scratch: String,
}

struct Set<'a> {
    name: &'a str,
    key: Vec<u8>,
    write: value::Write<'a>,
    /// The values, if a record may lack the field.
    optional: Option<&'a ArrayRef>,
    /// Written in this row.
    done: bool,
}

impl Overlay<'_> {
    fn document(&mut self, row: usize, make: impl FnOnce(&mut Self) -> Result<(), String>) -> Span {
        let start = self.out.len();
        let misfits = self.misfits.len();
        self.set.iter_mut().for_each(|set| set.done = false);
        self.out.push(b'{');
        if let Err(cause) = make(self) {
            self.out.truncate(start);
            self.misfits.truncate(misfits);
            self.misfits.push(Misfit { row: row as u32, cause, suits: None });
            return Span::NULL;
        }
        for set in 0..self.set.len() {
            if self.set[set].optional.is_none_or(|values| values.is_valid(row)) {
                self.write(set, row);
            }
        }
        self.out.push(b'}');
        Span::new(start, self.out.len())
    }

    /// Writes a comma, unless this is the first field.
    fn comma(&mut self) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
    }

    /// Writes a field of `set`, once per row.
    fn write(&mut self, set: usize, row: usize) {
        if self.set[set].done {
            return;
        }
        self.comma();
        let set = &mut self.set[set];
        set.done = true;
        self.out.extend_from_slice(&set.key);
        if let Err(why) = (set.write)(row, &mut self.out) {
            self.misfits.push(misfit(row, set.name, why));
        }
    }

    fn json(&mut self, row: usize, span: Span, data: &[u8], marks: &[Mark]) {
        let record = span.of(data);
        let Some((open, close)) = memchr(b'{', record).zip(memrchr(b'}', record)) else { return };
        let mut from = span.start as usize + open + 1;
        for mark in marks {
            self.copy(&data[from..mark.start as usize]);
            if (mark.name as usize) < self.set.len() {
                self.write(mark.name as usize, row);
            }
            from = mark.end as usize;
        }
        self.copy(&data[from..span.start as usize + close]);
    }

    /// Copies the fields in a part of a record, without the commas and blanks around them.
    fn copy(&mut self, part: &[u8]) {
        let is_field = |byte: &u8| !matches!(byte, b',' | b' ' | b'\n' | b'\r' | b'\t');
        if let Some((first, last)) = part.iter().position(is_field).zip(part.iter().rposition(is_field)) {
            self.comma();
            self.out.extend_from_slice(&part[first..=last]);
        }
    }

    fn csv(&mut self, row: usize, span: Span, data: &[u8], layout: &CsvLayout, fields: &[Field]) -> Result<(), String> {
        let mut places = std::mem::take(&mut self.places);
        let split = csv::split(data, span.start as usize, span.end as usize, layout, &mut places);
        let written = split.map_err(|(_, cause)| cause).and_then(|()| self.fields(row, data, layout, fields, &places));
        self.places = places;
        written
    }

    fn fields(
        &mut self,
        row: usize,
        data: &[u8],
        layout: &CsvLayout,
        fields: &[Field],
        places: &[Place],
    ) -> Result<(), String> {
        for (field, place) in fields.iter().zip(places) {
            match field {
                Field::Drop => {}
                Field::Set(set) => self.write(*set, row),
                Field::Keep { name, key } => {
                    self.comma();
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
