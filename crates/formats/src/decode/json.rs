//! Pass 1 over JSON records, and over those whose values need not be looked for.
mod columns;

use super::{
    Cell, Scanned, Text, Untracked,
    keys::{Dictionary, NONE},
    misfit,
};
use crate::{
    foreign,
    json::{self, Fault, MAX_DEPTH, Scanner, What, unescape},
    marks::{Mark, Marks},
};
use columns::Known;
use dataflow_sdk::{
    batch::Dead,
    records::{Layout, Records, Span},
};

/// The wanted paths as a tree of dictionaries; the first one belongs to the records themselves.
#[derive(Debug)]
pub(super) struct Scan {
    levels: Vec<Dictionary>,
    paths: usize,
    /// The marks of the records so far.
    marks: Marks,
    untracked: Vec<Untracked>,
    scratch: String,
}

impl Scan {
    pub(super) fn new(paths: &[Vec<String>]) -> Self {
        let mut levels = vec![Dictionary::new()];
        for (slot, path) in paths.iter().enumerate() {
            let mut level = 0;
            for (depth, key) in path.iter().enumerate().take(MAX_DEPTH) {
                let below = levels.len();
                let entry = levels[level].want(key);
                if depth + 1 == path.len() {
                    entry.slot = Some(slot);
                } else {
                    level = *entry.child.get_or_insert(below);
                    if level == below {
                        levels.push(Dictionary::new());
                    }
                }
            }
        }
        Self { levels, paths: paths.len(), marks: Marks::default(), untracked: Vec::new(), scratch: String::new() }
    }

    /// Marks the top-level fields with these names. If a name is listed twice, the first one counts.
    pub(super) fn mark<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        for (at, name) in (0..).zip(names) {
            self.levels[0].want(name).mark.get_or_insert(at);
        }
    }

    pub(super) fn scan(&mut self, records: &Records, text: &Text<'_>) -> Scanned {
        let known = match &records.layout {
            Layout::Columns(columns) => Some(Known::of(columns, &mut self.levels[0])),
            Layout::Json | Layout::Csv(_) => None,
        };
        let mut cells = vec![vec![Cell::MISSING; records.len()]; self.paths];
        let mut broken = Vec::new();
        let mut oversized = records.oversized.iter().peekable();
        for (row, span) in (0_u32..).zip(&records.spans) {
            let large = oversized.next_if(|large| large.row == row);
            let result = match large {
                Some(large) => Err(misfit::oversized(large)),
                None if records.unfinished == Some(row) => Err(misfit::unfinished()),
                None if span.is_null() => Err(("tombstone", "the record has no data (a tombstone)".into())),
                None => match text.check(*span) {
                    Err(at) => Err(misfit::not_utf8(span.of(text.data()), at)),
                    Ok(()) => match &known {
                        Some(known) => self.known(known, text, row, &mut cells),
                        None => self.record(*span, text, row, &mut cells),
                    },
                },
            };
            self.marks.end_record();
            if let Err((code, cause)) = result {
                self.levels[0].untouch(row);
                while self.untracked.pop_if(|key| key.row == row).is_some() {}
                for column in &mut cells {
                    column[row as usize] = Cell::MISSING;
                }
                broken.push(Dead { row, stage: "decode".into(), code, cause });
            }
        }
        let keys = self.levels[0].seen();
        self.levels.iter_mut().for_each(Dictionary::reset);
        let untracked = std::mem::take(&mut self.untracked);
        let (marks, documents) = (std::mem::take(&mut self.marks), Vec::new());
        Scanned { cells, broken, keys, untracked, marks, documents }
    }

    fn record(
        &mut self,
        span: Span,
        text: &Text<'_>,
        row: u32,
        cells: &mut [Vec<Cell>],
    ) -> Result<(), (&'static str, String)> {
        let (start, end) = (span.start as usize, span.end as usize);
        let bytes = &text.data()[..end];
        let mut scanner = Scanner::new(bytes, start);
        if scanner.blank() != b'{' {
            return Err(not_object(bytes, start));
        }
        scanner.step();
        let read = self.object(&mut scanner, 0, text, row, cells).and_then(|()| scanner.end());
        read.map_err(|fault| not_json(fault, bytes, start))
    }

    /// Reads an object, starting after its opening brace.
    fn object(
        &mut self,
        scanner: &mut Scanner<'_>,
        level: usize,
        text: &Text<'_>,
        row: u32,
        cells: &mut [Vec<Cell>],
    ) -> Result<(), Fault> {
        scanner.enter()?;
        if scanner.blank() == b'}' {
            scanner.step();
            scanner.leave();
            return Ok(());
        }
        let mut previous = NONE;
        loop {
            scanner.open_key()?;
            let start = scanner.at() - 1;
            let dictionary = &mut self.levels[level];
            let id = match dictionary.expected(previous) {
                Some((id, name)) if scanner.take_key(name) => id,
                _ => {
                    let token = scanner.string()?;
                    let raw = text.slice(token.start as u32, token.end as u32);
                    let id = if token.kind == json::Kind::Escaped {
                        // Half of a surrogate pair can't occur in a wanted name.
                        if unescape(raw, &mut self.scratch) {
                            dictionary.find(self.scratch.as_bytes(), previous)
                        } else {
                            NONE
                        }
                    } else {
                        dictionary.find(raw.as_bytes(), previous)
                    };
                    if id == NONE && level == 0 {
                        self.untracked.push(Untracked { row, name: Span::new(token.start, token.end) });
                    }
                    id
                }
            };
            scanner.colon()?;
            let value = scanner.at() as u32;
            if id == NONE {
                scanner.value()?;
            } else {
                previous = id;
                let (entry, again) = dictionary.touch(id, row);
                let mark = entry.mark;
                match (entry.slot, entry.child) {
                    (None, None) => {
                        scanner.value()?;
                    }
                    (Some(slot), None) => cells[slot][row as usize] = Cell::of(scanner.value()?),
                    (slot, Some(child)) => {
                        if again {
                            self.fill(child, row, cells, Cell::MISSING);
                        }
                        let token = self.descend(scanner, child, text, row, cells)?;
                        if let Some(slot) = slot {
                            cells[slot][row as usize] = Cell::of(token);
                        }
                    }
                }
                if let Some(name) = mark {
                    self.marks.push(Mark { start: start as u32, end: scanner.at() as u32, value, name });
                }
            }
            if !scanner.next_member()? {
                scanner.leave();
                return Ok(());
            }
        }
    }

    /// Reads a value of which some parts are wanted.
    fn descend(
        &mut self,
        scanner: &mut Scanner<'_>,
        level: usize,
        text: &Text<'_>,
        row: u32,
        cells: &mut [Vec<Cell>],
    ) -> Result<json::Token, Fault> {
        if scanner.blank() != b'{' {
            self.fill(level, row, cells, Cell::BARRED);
            return scanner.value();
        }
        let start = scanner.at();
        scanner.step();
        self.object(scanner, level, text, row, cells)?;
        Ok(json::Token { kind: json::Kind::Object, start, end: scanner.at() })
    }

    /// What is said of all that is wanted below a field: nothing more of an earlier value of a repeated key, as the last one wins;
    /// or that there is no object for it.
    fn fill(&self, level: usize, row: u32, cells: &mut [Vec<Cell>], cell: Cell) {
        for entry in self.levels[level].entries() {
            if let Some(slot) = entry.slot {
                cells[slot][row as usize] = cell;
            }
            if let Some(child) = entry.child {
                self.fill(child, row, cells, cell);
            }
        }
    }
}

fn not_json(fault: Fault, bytes: &[u8], start: usize) -> (&'static str, String) {
    match fault.what {
        What::TooDeep => ("too-deep", format!("the record is {}", fault.describe(bytes, start))),
        _ => (
            "not-json",
            format!("the record is not JSON: {}{}", fault.describe(bytes, start), what_to_do(&bytes[start..])),
        ),
    }
}

/// A fix for an unreadable record, if one is known.
fn what_to_do(record: &[u8]) -> String {
    foreign::line(record).map_or_else(String::new, |fix| format!("; {fix}"))
}

/// The cause for a record that doesn't begin with a brace.
fn not_object(bytes: &[u8], start: usize) -> (&'static str, String) {
    let record = &bytes[start..];
    if record.starts_with(b"\xef\xbb\xbf") {
        return ("not-json", "the record is not JSON: it begins with a byte order mark (EF BB BF)".into());
    }
    if record.iter().all(u8::is_ascii_whitespace) {
        return ("not-json", "the record is not JSON: it is empty".into());
    }
    let what = match json::validate(record) {
        Err(fault) => return not_json(fault, record, 0),
        Ok(token) => match token.kind {
            json::Kind::Null => "null",
            json::Kind::True | json::Kind::False => "a boolean",
            json::Kind::Number => "a number",
            json::Kind::String | json::Kind::Escaped => "a string",
            json::Kind::Object => "an object",
            json::Kind::Array => "an array",
        },
    };
    ("not-object", format!("the record is {what}, not a JSON object{}", what_to_do(record)))
}
