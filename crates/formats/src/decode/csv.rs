//! Pass 1 over CSV records.
use super::{Cell, Key, Scanned, Text, cell::Kind, inside::Inside, misfit};
use crate::{
    csv::{FieldSpan, split},
    marks::Marks,
};
use dataflow_sdk::{
    batch::Dead,
    records::{CsvLayout, Records},
};

/// The wanted paths.
#[derive(Debug)]
pub(super) struct Scan {
    paths: Vec<Vec<String>>,
    /// Of paths into fields that are declared as JSON.
    inside: Option<Inside>,
}

impl Scan {
    pub(super) fn new(paths: &[Vec<String>]) -> Self {
        Self { paths: paths.to_vec(), inside: None }
    }

    /// Reads the fields with these names as JSON where paths go into them.
    pub(super) fn declare(&mut self, is_json: impl Fn(&str) -> bool) {
        self.inside = Inside::new(&self.paths, is_json);
    }

    /// Whether the values of a wanted path lie in [`Scanned::documents`].
    pub(super) fn is_inside(&self, slot: usize) -> bool {
        self.inside.as_ref().is_some_and(|inside| inside.has(slot))
    }

    pub(super) fn scan(&mut self, records: &Records, text: &Text<'_>, layout: &CsvLayout) -> Scanned {
        let rows = records.len();
        let mut cells = vec![vec![Cell::MISSING; rows]; self.paths.len()];
        // The wanted path of each column of the file.
        let path = |name: &String| self.paths.iter().position(|path| path.len() == 1 && path[0] == *name);
        let wanted: Vec<Option<usize>> = layout.columns.iter().map(path).collect();
        let mut inside = self.inside.as_mut().map(|inside| inside.begin(layout));
        let mut broken = Vec::new();
        let mut oversized = records.oversized.iter().peekable();
        let mut places = Vec::with_capacity(layout.columns.len());
        let (mut good, mut last) = (0, 0);
        for (row, span) in (0_u32..).zip(&records.spans) {
            let result = if let Some(large) = oversized.next_if(|large| large.row == row) {
                Err(misfit::oversized(large))
            } else if records.unfinished == Some(row) {
                Err(misfit::unfinished())
            } else if span.is_null() {
                Err(("tombstone", "the record has no data (a tombstone)".into()))
            } else {
                text.check(*span)
                    .map_err(|at| misfit::not_utf8(span.of(text.data()), at))
                    .and_then(|()| split(text.data(), span.start as usize, span.end as usize, layout, &mut places))
            };
            match result {
                Ok(()) => {
                    for (place, slot) in places.iter().zip(&wanted) {
                        if let Some(slot) = slot {
                            cells[*slot][row as usize] = cell(text.data(), *place, layout);
                        }
                    }
                    if let Some(inside) = &mut inside {
                        inside.record(row, text, |at| cell(text.data(), places[at], layout));
                    }
                    good += 1;
                    last = row;
                }
                Err((code, cause)) => broken.push(Dead { row, stage: "decode".into(), code, cause }),
            }
        }
        let names = layout.columns.iter().filter(|_| good > 0);
        let keys = names.map(|name| Key { name: name.clone(), records: good, last_row: last }).collect();
        let documents = inside.map(|inside| inside.finish(&mut cells)).unwrap_or_default();
        Scanned { cells, broken, keys, untracked: Vec::new(), marks: Marks::default(), documents }
    }
}

fn cell(data: &[u8], place: FieldSpan, layout: &CsvLayout) -> Cell {
    let kind = match place {
        _ if place.is_null(data, layout) => Kind::Null,
        FieldSpan { doubled: true, .. } => Kind::Doubled,
        _ => Kind::Untyped,
    };
    Cell { start: place.start as u32, end: place.end as u32, kind }
}
