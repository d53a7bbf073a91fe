//! Pass 1 over CSV records.
use super::{Cell, Key, Scanned, Text, cell::Kind, misfit};
use dataflow_sdk::{
    batch::Dead,
    records::{CsvLayout, Records},
};
use memchr::{memchr, memchr2};

/// The wanted paths.
#[derive(Debug)]
pub(super) struct Scan {
    paths: Vec<Vec<String>>,
}

/// A field of a record: what is between the quotes, if it has any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub start: usize,
    pub end: usize,
    pub quoted: bool,
    /// Has quotes inside, doubled.
    pub doubled: bool,
}

impl Scan {
    pub(super) fn new(paths: &[Vec<String>]) -> Self {
        Self { paths: paths.to_vec() }
    }

    pub(super) fn scan(&mut self, records: &Records, text: &Text<'_>, layout: &CsvLayout) -> Scanned {
        let rows = records.len();
        let mut cells = vec![vec![Cell::MISSING; rows]; self.paths.len()];
        // For each column of the file, the path that it is; of columns with the same name the last one wins.
        let wanted = layout.columns.iter().enumerate().map(|(column, name)| {
            let last = !layout.columns[column + 1..].contains(name);
            self.paths.iter().position(|path| last && path.len() == 1 && path[0] == *name)
        });
        let wanted: Vec<Option<usize>> = wanted.collect();
        let mut broken = Vec::new();
        let mut oversized = records.oversized.iter().peekable();
        let mut places = Vec::with_capacity(layout.columns.len());
        let (mut good, mut last) = (0, 0);
        for (row, span) in (0_u32..).zip(&records.spans) {
            let result = if let Some(large) = oversized.next_if(|large| large.row == row) {
                Err(misfit::oversized(large))
            } else if span.is_null() {
                Err(("tombstone", "the record has no data (a tombstone)".into()))
            } else {
                text.check(*span)
                    .map_err(|at| ("not-utf8", format!("the record is not UTF-8 at byte {at}")))
                    .and_then(|()| split(text.data(), span.start as usize, span.end as usize, layout, &mut places))
            };
            match result {
                Ok(()) => {
                    for (place, slot) in places.iter().zip(&wanted) {
                        if let Some(slot) = slot {
                            cells[*slot][row as usize] = cell(text.data(), *place, layout);
                        }
                    }
                    good += 1;
                    last = row;
                }
                Err((code, cause)) => broken.push(Dead { row, stage: "decode".into(), code, cause }),
            }
        }
        let names =
            layout.columns.iter().enumerate().filter(|(at, name)| good > 0 && !layout.columns[..*at].contains(name));
        let keys = names.map(|(_, name)| Key { name: name.clone(), records: good, last_row: last }).collect();
        Scanned { cells, broken, keys }
    }
}

fn cell(data: &[u8], place: Place, layout: &CsvLayout) -> Cell {
    let text = &data[place.start..place.end];
    let null = !place.quoted && layout.null_values.iter().any(|null| null.as_bytes() == text);
    let kind = match () {
        () if null => Kind::Null,
        () if place.doubled => Kind::Doubled,
        () => Kind::Untyped,
    };
    Cell { start: place.start as u32, end: place.end as u32, kind }
}

/// Splits the record `start..end` into its fields, which must be as many as there are columns.
pub(crate) fn split(
    data: &[u8],
    start: usize,
    end: usize,
    layout: &CsvLayout,
    places: &mut Vec<Place>,
) -> Result<(), (&'static str, String)> {
    places.clear();
    let data = &data[..end];
    let mut at = start;
    loop {
        let place = if data.get(at) == Some(&layout.quote) {
            quoted(data, at + 1, layout, start, places.len())?
        } else {
            let length = memchr(layout.delimiter, &data[at..]).unwrap_or(end - at);
            Place { start: at, end: at + length, quoted: false, doubled: false }
        };
        places.push(place);
        at = place.end + usize::from(place.quoted);
        if at >= end {
            break;
        }
        at += 1;
    }
    let (found, columns) = (places.len(), layout.columns.len());
    if found == columns {
        return Ok(());
    }
    Err(("csv-fields", format!("the record has {found} fields, the header has {columns}")))
}

/// The field behind an opening quote.
fn quoted(
    data: &[u8],
    start: usize,
    layout: &CsvLayout,
    record: usize,
    field: usize,
) -> Result<Place, (&'static str, String)> {
    let broken = |what: &str, at: usize| {
        let name = layout.columns.get(field).map(|name| format!(" ({name})")).unwrap_or_default();
        Err(("not-csv", format!("field {}{name} {what} at byte {}", field + 1, at - record)))
    };
    let mut at = start;
    let mut doubled = false;
    loop {
        let Some(length) = memchr(layout.quote, &data[at..]) else {
            return broken("has no closing quote: the record ends", data.len());
        };
        at += length;
        match data.get(at + 1) {
            Some(next) if *next == layout.quote => {
                doubled = true;
                at += 2;
            }
            Some(next) if *next != layout.delimiter => return broken("goes on behind its closing quote", at + 1),
            _ => return Ok(Place { start, end: at, quoted: true, doubled }),
        }
    }
}
