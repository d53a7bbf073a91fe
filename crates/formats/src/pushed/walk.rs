//! Walks through a body once.
use super::{MAX_FINDINGS, Record};
use crate::json::{Fault, Kind, NOTHING_MORE, Scanner, Token, What, unescape};
use dataflow_core::{id::BatchId, problem::Problem};
use dataflow_sdk::records::Span;
use std::ops::Range;

/// The findings and parts of a body so far.
pub(super) struct Walk<'a> {
    body: &'a [u8],
    batch_id: Option<BatchId>,
    /// Whether the body had one at all, valid or not.
    has_batch_id: bool,
    has_records: bool,
    records: u64,
    /// The location of the value of `records`.
    array: Range<usize>,
    problems: Vec<Problem>,
    scratch: String,
}

/// Called for each record with its number and a way to get it.
type Visit<'v> = &'v mut dyn FnMut(u64, &dyn Fn() -> Record);

/// The locations of a record's parts.
#[derive(Default)]
struct Parts {
    id: Option<Token>,
    data: Option<Token>,
    metadata: Option<Token>,
}

/// What to send.
const FORM: &str = "send {\"batchId\": \"…\", \"records\": [{\"data\": {…}}, …]}";
const BODY: [&str; 2] = ["batchId", "records"];
const RECORD: [&str; 3] = ["data", "id", "metadata"];

impl<'a> Walk<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            batch_id: None,
            has_batch_id: false,
            has_records: false,
            records: 0,
            array: 0..0,
            problems: Vec::new(),
            scratch: String::new(),
        }
    }

    /// Walks through the body, if it is JSON.
    pub(super) fn run(&mut self, mut visit: impl FnMut(u64, &dyn Fn() -> Record)) -> Result<(), Problem> {
        if let Err(error) = std::str::from_utf8(self.body) {
            let message = format!("the body is not UTF-8 at byte {}", error.valid_up_to());
            return Err(Problem::new("", "not-utf8", message));
        }
        self.body(&mut visit).map_err(|fault| {
            if fault.what == What::TooDeep {
                return Problem::new("", "too-deep", format!("the body is {}", fault.describe(self.body, 0)));
            }
            // Another value on another line: records as a file has them.
            let lines = fault.what == What::Expected(NOTHING_MORE) && self.body[..fault.at].contains(&b'\n');
            let message = match lines {
                true => "the body is lines of JSON, not one JSON object".into(),
                false => format!("the body is not JSON: {}", fault.describe(self.body, 0)),
            };
            let fix = if lines { format!("{FORM}, each line as the data of a record") } else { FORM.into() };
            Problem::new("", "not-json", message).fix(fix)
        })
    }

    /// The raw array of records, brackets included.
    pub(super) fn array(&self) -> &'a [u8] {
        &self.body[self.array.clone()]
    }

    /// Returns the id of the batch and the number of records, or all findings.
    pub(super) fn findings(mut self) -> Result<(BatchId, u64), Vec<Problem>> {
        if !self.has_batch_id && !self.full() {
            let fix = "name the batch: repeating its id has no second effect";
            self.problems.insert(0, Problem::new("batchId", "missing-field", "batchId is missing").fix(fix));
        }
        if !self.has_records && !self.full() {
            let fix = "send the records as an array of {id?, data, metadata?}";
            self.problems.push(Problem::new("records", "missing-field", "records is missing").fix(fix));
        }
        match self.batch_id {
            Some(batch_id) if self.problems.is_empty() => Ok((batch_id, self.records)),
            _ => Err(self.problems),
        }
    }

    fn full(&self) -> bool {
        self.problems.len() >= MAX_FINDINGS
    }

    fn problem(&mut self, problem: impl FnOnce() -> Problem) {
        if !self.full() {
            self.problems.push(problem());
        }
    }

    fn body(&mut self, visit: Visit<'_>) -> Result<(), Fault> {
        let mut scanner = Scanner::new(self.body, 0);
        let scanner = &mut scanner;
        if scanner.blank() != b'{' {
            let token = scanner.value()?;
            scanner.end()?;
            self.has_batch_id = true; // one finding is enough
            self.has_records = true;
            let (message, fix) = match token.kind {
                Kind::Array => {
                    ("the body is an array", format!("{FORM}, with each element of the array as the data of a record"))
                }
                _ => ("the body is not a JSON object", FORM.into()),
            };
            self.problem(|| Problem::new("", "not-object", message).fix(fix));
            return Ok(());
        }
        let mut more = open(scanner)?;
        while more {
            match self.key(scanner, &BODY)? {
                Some("batchId") => {
                    let token = scanner.value()?;
                    self.batch_id(token);
                }
                Some(_) => {
                    if self.has_records {
                        self.problem(|| Problem::new("records", "duplicate", "records is given twice"));
                    }
                    self.has_records = true;
                    let start = scanner.at();
                    self.items(scanner, visit)?;
                    self.array = start..scanner.at();
                }
                None => {
                    self.unknown("", &BODY);
                    scanner.value()?;
                }
            }
            more = scanner.next_member()?;
        }
        scanner.end()
    }

    fn batch_id(&mut self, token: Token) {
        if self.has_batch_id {
            self.problem(|| Problem::new("batchId", "duplicate", "batchId is given twice"));
        }
        self.has_batch_id = true;
        let Some(text) = text(self.body, token) else {
            let what = if string(token) { "batchId has half of a surrogate pair" } else { "batchId is not a string" };
            return self.problem(|| Problem::new("batchId", "invalid-value", what).fix("give it as a text in quotes"));
        };
        match BatchId::try_from(text) {
            Ok(id) => self.batch_id = Some(id),
            Err(error) => self.problem(|| Problem::new("batchId", "invalid-value", error.to_string())),
        }
    }

    fn items(&mut self, scanner: &mut Scanner<'_>, visit: Visit<'_>) -> Result<(), Fault> {
        if self.body.get(scanner.at()) != Some(&b'[') {
            scanner.value()?;
            let fix = "send an array, also for one record: [{\"data\": {…}}]";
            self.problem(|| Problem::new("records", "invalid-value", "records is not an array").fix(fix));
            return Ok(());
        }
        scanner.step();
        self.records = 0;
        if scanner.blank() == b']' {
            scanner.step();
            return Ok(());
        }
        loop {
            if let Some(parts) = self.record(scanner)? {
                visit(self.records, &|| parts.record(self.body));
            }
            self.records += 1;
            if !scanner.next_item()? {
                return Ok(());
            }
        }
    }

    /// Reads a record, if it is valid.
    fn record(&mut self, scanner: &mut Scanner<'_>) -> Result<Option<Parts>, Fault> {
        let index = self.records;
        if self.body.get(scanner.at()) != Some(&b'{') {
            scanner.value()?;
            self.problem(|| {
                let message = format!("record {index} is not an object");
                Problem::new(format!("records[{index}]"), "invalid-value", message).fix("put it into {\"data\": …}")
            });
            return Ok(None);
        }
        let before = self.problems.len();
        let full = self.full();
        let mut parts = Parts::default();
        let mut more = open(scanner)?;
        while more {
            let key = self.key(scanner, &RECORD)?;
            let token = scanner.value()?;
            let place = match key {
                Some("data") => &mut parts.data,
                Some("id") => &mut parts.id,
                Some(_) => &mut parts.metadata,
                None => {
                    self.unknown(&format!("records[{index}]"), &RECORD);
                    more = scanner.next_member()?;
                    continue;
                }
            };
            if place.replace(token).is_some() {
                let name = key.unwrap_or_default();
                let path = format!("records[{index}].{name}");
                self.problem(|| Problem::new(path, "duplicate", format!("{name} is given twice")));
            }
            more = scanner.next_member()?;
        }
        self.parts(index, &parts);
        Ok((self.problems.len() == before && !full).then_some(parts))
    }

    fn parts(&mut self, index: u64, parts: &Parts) {
        if parts.data.is_none() {
            self.problem(|| {
                let path = format!("records[{index}].data");
                Problem::new(path, "missing-field", format!("record {index} has no data"))
                    .fix("put the record itself into data: {\"data\": {…}}; null stands for a tombstone")
            });
        }
        if parts.id.is_some_and(|id| id.kind != Kind::Null && text(self.body, id).is_none()) {
            self.problem(|| {
                let path = format!("records[{index}].id");
                Problem::new(path, "invalid-value", format!("the id of record {index} is not a string"))
                    .fix("put it in quotes")
            });
        }
        if parts.metadata.is_some_and(|metadata| !matches!(metadata.kind, Kind::Object | Kind::Null)) {
            self.problem(|| {
                let path = format!("records[{index}].metadata");
                Problem::new(path, "invalid-value", format!("the metadata of record {index} is not an object"))
            });
        }
    }

    /// Skips a key and its colon; returns the known one that it matches. The name of an unknown key is in `scratch`.
    fn key<'k>(&mut self, scanner: &mut Scanner<'_>, known: &[&'k str]) -> Result<Option<&'k str>, Fault> {
        scanner.open_key()?;
        let mut found = known.iter().find(|name| scanner.take_key(name.as_bytes())).copied();
        if found.is_none() {
            let token = scanner.string()?;
            let raw = String::from_utf8_lossy(&self.body[token.start..token.end]);
            if token.kind != Kind::Escaped || !unescape(&raw, &mut self.scratch) {
                self.scratch = raw.into_owned();
            }
            found = known.iter().find(|name| **name == self.scratch).copied();
        }
        scanner.colon()?;
        Ok(found)
    }

    fn unknown(&mut self, path: &str, known: &[&str]) {
        let name: String = self.scratch.chars().take(64).collect();
        let known = known.iter().copied();
        let fix = match dataflow_sdk::check::nearest(&name, known.clone()) {
            Some(nearest) => format!("did you mean {nearest:?}?"),
            None => format!("known: {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.problem(|| {
            Problem::new(name.as_str(), "unknown-field", format!("unknown field {name:?}")).under(path).fix(fix)
        });
    }
}

impl Parts {
    fn record(&self, body: &[u8]) -> Record {
        let span = |token: Token| match token.kind {
            Kind::Null => Span::NULL,
            Kind::String | Kind::Escaped => Span::new(token.start - 1, token.end + 1),
            _ => Span::new(token.start, token.end),
        };
        Record {
            id: self.id.and_then(|id| text(body, id)),
            data: self.data.map_or(Span::NULL, span),
            metadata: self.metadata.map(span).filter(|span| !span.is_null()),
        }
    }
}

/// Skips an opening brace; true at a key, false after an empty object.
fn open(scanner: &mut Scanner<'_>) -> Result<bool, Fault> {
    scanner.step();
    if scanner.blank() == b'}' {
        scanner.step();
        return Ok(false);
    }
    Ok(true)
}

fn string(token: Token) -> bool {
    matches!(token.kind, Kind::String | Kind::Escaped)
}

/// Returns the content of a string.
fn text(body: &[u8], token: Token) -> Option<String> {
    let raw = std::str::from_utf8(&body[token.start..token.end]).ok().filter(|_| string(token))?;
    if token.kind == Kind::String {
        return Some(raw.into());
    }
    let mut text = String::new();
    unescape(raw, &mut text).then_some(text)
}
