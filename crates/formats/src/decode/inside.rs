//! Values within fields of CSV records that are declared as JSON: they are found as in JSON records that have these fields.
use super::{Cell, Text, cell::Kind, json::Scan};
use crate::json;
use dataflow_core::position::Position;
use dataflow_sdk::records::{CsvLayout, Layout, Records, Span};

/// The wanted paths into such fields.
#[derive(Debug)]
pub(super) struct Inside {
    /// The names of the fields.
    names: Vec<String>,
    /// Each path's place among all wanted ones, and that of its field among the names.
    paths: Vec<(usize, usize)>,
    scan: Scan,
}

/// The records of a batch as JSON, with these fields alone.
pub(super) struct Documents<'a> {
    inside: &'a mut Inside,
    /// For each name, its column in the file.
    columns: Vec<Option<usize>>,
    data: Vec<u8>,
    spans: Vec<Span>,
    /// The row of each.
    rows: Vec<u32>,
    /// Fields that are no JSON: the row, the place among the names, and the text.
    odd: Vec<(u32, usize, String)>,
}

impl Inside {
    /// Of the paths that go into a field which `is_json`; none does.
    pub(super) fn new(all: &[Vec<String>], is_json: impl Fn(&str) -> bool) -> Option<Self> {
        let (mut names, mut paths, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, path) in all.iter().enumerate().filter(|(_, path)| path.len() > 1 && is_json(&path[0])) {
            let known = names.iter().position(|name| *name == path[0]);
            paths.push((slot, known.unwrap_or(names.len())));
            names.extend(known.is_none().then(|| path[0].clone()));
            wanted.push(path.clone());
        }
        (!paths.is_empty()).then(|| Self { names, paths, scan: Scan::new(&wanted) })
    }

    /// Whether it finds the values of a path, by its place among all wanted ones.
    pub(super) fn has(&self, slot: usize) -> bool {
        self.paths.iter().any(|(path, _)| *path == slot)
    }

    pub(super) fn begin(&mut self, layout: &CsvLayout) -> Documents<'_> {
        let column = |name: &String| layout.columns.iter().rposition(|column| column == name);
        let columns = self.names.iter().map(column).collect();
        Documents { inside: self, columns, data: Vec::new(), spans: Vec::new(), rows: Vec::new(), odd: Vec::new() }
    }
}

impl Documents<'_> {
    /// Takes a record, of which `cell` is the value of a column.
    pub(super) fn record(&mut self, row: u32, text: &Text<'_>, cell: impl Fn(usize) -> Cell) {
        let (start, mut scratch) = (self.data.len(), String::new());
        self.data.push(b'{');
        for (at, (name, column)) in self.inside.names.iter().zip(&self.columns).enumerate() {
            let Some(column) = column else { continue };
            if self.data.len() > start + 1 {
                self.data.push(b',');
            }
            json::write_string(name, &mut self.data);
            self.data.push(b':');
            let cell = cell(*column);
            let value =
                if cell.kind == Kind::Null { "null" } else { text.content(cell, &mut scratch).unwrap_or_default() };
            let is_json = json::validate(value.as_bytes()).is_ok();
            self.data.extend_from_slice(if is_json { value.as_bytes() } else { b"null" });
            if !is_json {
                self.odd.push((row, at, value.to_owned()));
            }
        }
        self.data.push(b'}');
        self.spans.push(Span::new(start, self.data.len()));
        self.rows.push(row);
    }

    /// Puts the wanted values among the `cells` of all paths. They lie in what is returned.
    pub(super) fn finish(self, cells: &mut [Vec<Cell>]) -> Vec<u8> {
        let Self { inside: Inside { paths, scan, .. }, mut data, spans, rows, odd, .. } = self;
        let mut records = Records::empty("fields".into(), Position::offset(0), Layout::Json);
        records.offsets = vec![0; spans.len()];
        records.spans = spans;
        let found = scan.scan(&records, &Text::of_all(&data)).cells;
        for ((slot, _), found) in paths.iter().zip(found) {
            for (row, cell) in rows.iter().zip(found) {
                cells[*slot][*row as usize] = cell;
            }
        }
        for (row, name, text) in odd {
            let start = data.len();
            data.extend_from_slice(text.as_bytes());
            let cell = Cell { start: start as u32, end: data.len() as u32, kind: Kind::NotJson };
            for (slot, _) in paths.iter().filter(|(_, field)| *field == name) {
                cells[*slot][row as usize] = cell;
            }
        }
        data
    }
}
