//! Records with some of their fields replaced, added or left out.
use super::{Column, Documents, documents::misfit, single_line, value};
use crate::{
    csv,
    decode::Misfit,
    json::{self, Fault, Scanner, unescape, write_string},
    keys::{Dictionary, NONE},
};
use dataflow_sdk::records::{CsvLayout, Layout, Records, Span};

/// What becomes of a field.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Keep,
    Drop,
    /// Its value is that of this column.
    Set(usize),
}

/// Copies the top-level fields of records, as they are written, into new documents: those that `set` names get its
/// values in the same place, or at the end if the record doesn't have them; those in `remove` are left out; and if there
/// is a `select`, all that it doesn't name (fields that are set stay in any case). Names are top-level keys, also if there
/// is a dot in them: parts of nested objects can't be set or removed.
///
/// `rows` are the records of the output rows, and the columns of `set` have one value per output row. Records must have
/// been decoded without being broken; of one that can't be read there is a misfit and no document. CSV values become
/// strings, or null.
pub fn overlay(
    records: &Records,
    rows: &[u32],
    set: &[Column<'_>],
    remove: &[String],
    select: Option<&[String]>,
) -> Documents {
    let mut rules = Vec::new();
    let mut dictionary = Dictionary::new();
    let mut rule = |name: &str, rule| {
        dictionary.want(name).slot = Some(rules.len());
        rules.push(rule);
    };
    select.unwrap_or_default().iter().for_each(|name| rule(name, Rule::Keep));
    remove.iter().for_each(|name| rule(name, Rule::Drop));
    set.iter().enumerate().for_each(|(at, column)| rule(column.name, Rule::Set(at)));
    let mut overlay = Overlay {
        dictionary,
        rules,
        others: if select.is_some() { Rule::Drop } else { Rule::Keep },
        set: set
            .iter()
            .map(|column| Set {
                name: column.name,
                key: value::key(column.name),
                write: value::json(column.array, column.raw),
                done: false,
            })
            .collect(),
        out: Vec::with_capacity(records.data.len() / records.len().max(1) * rows.len()),
        misfits: Vec::new(),
        scratch: String::new(),
    };
    let mut spans = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let span = records.spans[*row as usize];
        spans.push(if span.is_null() { Span::NULL } else { overlay.document(at, span, records) });
    }
    single_line(&mut overlay.out);
    Documents { data: overlay.out.into(), spans, misfits: overlay.misfits }
}

struct Overlay<'a> {
    dictionary: Dictionary,
    rules: Vec<Rule>,
    /// What becomes of fields without a rule.
    others: Rule,
    set: Vec<Set<'a>>,
    out: Vec<u8>,
    misfits: Vec<Misfit>,
    scratch: String,
}

struct Set<'a> {
    name: &'a str,
    key: Vec<u8>,
    write: value::Write<'a>,
    /// Written in this row.
    done: bool,
}

impl Overlay<'_> {
    fn document(&mut self, at: usize, span: Span, records: &Records) -> Span {
        let start = self.out.len();
        let misfits = self.misfits.len();
        self.set.iter_mut().for_each(|set| set.done = false);
        self.out.push(b'{');
        let copied = match &records.layout {
            Layout::Json => self.json(at, span, &records.data),
            Layout::Csv(layout) => self.csv(at, span, &records.data, layout),
        };
        if let Err(cause) = copied {
            self.out.truncate(start);
            self.misfits.truncate(misfits);
            self.misfits.push(Misfit { row: at as u32, cause });
            return Span::NULL;
        }
        for set in 0..self.set.len() {
            self.write(set, at);
        }
        self.out.push(b'}');
        Span::new(start, self.out.len())
    }

    /// A comma, unless nothing stands before.
    fn comma(&mut self) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
    }

    /// Writes a field that is set, once a row.
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

    fn json(&mut self, row: usize, span: Span, data: &[u8]) -> Result<(), String> {
        let (start, end) = (span.start as usize, span.end as usize);
        let data = &data[..end];
        self.members(row, &mut Scanner::new(data, start), data)
            .map_err(|fault| format!("the record is not a JSON object: {}", fault.describe(data, start)))
    }

    fn members(&mut self, row: usize, scanner: &mut Scanner<'_>, data: &[u8]) -> Result<(), Fault> {
        if scanner.blank() != b'{' {
            return Err(scanner.expected("an object"));
        }
        scanner.step();
        if scanner.blank() == b'}' {
            scanner.step();
            return scanner.end();
        }
        let mut previous = NONE;
        loop {
            scanner.open_key()?;
            let key = scanner.at() - 1;
            let id = match self.dictionary.expected(previous) {
                Some((id, name)) if scanner.take_key(name) => id,
                _ => {
                    let token = scanner.string()?;
                    self.find(&data[token.start..token.end], token.kind, previous)
                }
            };
            let key_end = scanner.at();
            if id != NONE {
                previous = id;
            }
            scanner.colon()?;
            let value = scanner.at();
            scanner.value()?;
            match self.rule(id) {
                Rule::Drop => {}
                Rule::Set(set) => self.write(set, row),
                Rule::Keep => {
                    self.comma();
                    self.out.extend_from_slice(&data[key..key_end]);
                    self.out.push(b':');
                    self.out.extend_from_slice(&data[value..scanner.at()]);
                }
            }
            if !scanner.next_member()? {
                return scanner.end();
            }
        }
    }

    fn find(&mut self, raw: &[u8], kind: json::Kind, previous: u32) -> u32 {
        match (kind, std::str::from_utf8(raw)) {
            (json::Kind::Escaped, Ok(text)) if unescape(text, &mut self.scratch) => {
                self.dictionary.find(self.scratch.as_bytes(), previous)
            }
            (json::Kind::Escaped, _) => NONE,
            _ => self.dictionary.find(raw, previous),
        }
    }

    fn rule(&self, id: u32) -> Rule {
        self.dictionary.entry(id).and_then(|entry| entry.slot).map_or(self.others, |slot| self.rules[slot])
    }

    fn csv(&mut self, row: usize, span: Span, data: &[u8], layout: &CsvLayout) -> Result<(), String> {
        let mut places = Vec::with_capacity(layout.columns.len());
        csv::split(data, span.start as usize, span.end as usize, layout, &mut places).map_err(|(_, cause)| cause)?;
        for (at, (name, place)) in layout.columns.iter().zip(&places).enumerate() {
            if layout.columns[at + 1..].contains(name) {
                continue; // of columns with the same name the last one wins
            }
            let id = self.dictionary.find(name.as_bytes(), NONE);
            match self.rule(id) {
                Rule::Drop => {}
                Rule::Set(set) => self.write(set, row),
                Rule::Keep => {
                    self.comma();
                    self.out.extend_from_slice(&value::key(name));
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
