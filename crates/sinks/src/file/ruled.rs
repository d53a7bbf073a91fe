//! A file as an audit reads it: line by line from where the generation began, and what makes two lines equal.
use super::{Compression, FileSink, handle::Handle, lines::Csv};
use crate::{document::Document, on_disk};
use dataflow_sdk::{
    Error,
    audit::{Difference, shown},
};
use indexmap::IndexMap;
use serde_json::value::RawValue;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// A line of the file, without its line break.
pub(crate) struct Line<'a> {
    pub(crate) text: &'a [u8],
    /// Whether its line break is there.
    pub(crate) ended: bool,
    /// Whether it lies beyond the length that the journal counts.
    pub(crate) beyond: bool,
}

/// Which part of the file is read.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    path: PathBuf,
    compression: Compression,
    /// Where the generation began, and the length that the journal counts.
    base: u64,
    length: u64,
    /// Whether the file begins with the names of the columns, and whether that line is the generation's own.
    header: bool,
    heads: bool,
    /// Whether the first line break ends a line that was there before.
    joins: bool,
    csv: Option<Csv>,
}

impl Reading {
    pub(super) fn new(config: &FileSink, handle: Option<&Handle>) -> Self {
        let path = config.path.clone();
        let (base, length) = handle.map_or((0, 0), |handle| (handle.base, handle.length));
        let compression = config.compression();
        let csv = config.is_csv().then(|| config.csv());
        let joins = compression == Compression::None && base > 0 && !ends_a_line(&path, base);
        let header = csv.is_some() && config.header;
        Self { header, heads: header && base == 0, path, compression, base, length, joins, csv }
    }

    /// The names of the columns in the file's first line, of a CSV file that has them.
    pub(super) fn header(&self) -> Result<Option<Vec<String>>, Error> {
        let (Some(csv), true) = (self.csv, self.header && self.path.exists()) else { return Ok(None) };
        let failed = |error: &dyn std::fmt::Display| {
            let message = format!("the header of {} can't be read: {error}", self.path.display());
            Error::fatal("not-csv", message).for_user()
        };
        let file = File::open(&self.path).map_err(|error| failed(&error))?;
        let text = self.compression.reader(file).map_err(|error| failed(&error))?;
        csv.names(text).map_err(|error| failed(&error))
    }

    /// The number of a line as editors count it, from where the generation began.
    pub(super) fn number(&self, line: u32) -> u64 {
        u64::from(line) + 1 + u64::from(self.heads)
    }

    /// Every line, first those that the journal counts, then those beyond.
    pub(super) fn lines(&self, rule: &Rule, mut each: impl FnMut(Line<'_>)) -> Result<(), Error> {
        let failed = |error: &io::Error| on_disk::failure("read", &self.path, error);
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            file => Some(file.map_err(|error| failed(&error))?),
        };
        let there = file.as_ref().map_or(Ok(0), |file| file.metadata().map(|meta| meta.len()));
        let there = there.map_err(|error| failed(&error))?;
        if there < self.base {
            let message = format!(
                "{} has {there} bytes, fewer than the {} at the start of this generation: earlier content is gone",
                self.path.display(),
                self.base
            );
            return Err(Error::fatal("file-too-short", message).fix("put the file back as it was").for_user());
        }
        let Some(mut file) = file else { return Ok(()) };
        file.seek(SeekFrom::Start(self.base)).map_err(|error| failed(&error))?;
        let counted = self.length.min(there).saturating_sub(self.base);
        let mut first = true;
        let rest = there.saturating_sub(self.base + counted);
        // A frame ends where the journal says; a line may be anywhere, once somebody has changed the file.
        let parts = match self.compression {
            Compression::None => [(false, counted + rest), (true, 0)],
            Compression::Gzip | Compression::Zstd => [(false, counted), (true, rest)],
        };
        for (beyond, bytes) in parts {
            if bytes == 0 {
                continue;
            }
            let mut at = 0;
            let text = self.compression.reader((&file).take(bytes)).map_err(|error| failed(&error))?;
            let mut text = BufReader::with_capacity(1 << 20, text);
            let mut line = Vec::new();
            loop {
                let ended = match rule.next(&mut text, &mut line) {
                    Ok(None) => break,
                    Ok(Some(ended)) => ended,
                    // A torn or damaged frame: nothing behind it can be read, and nothing is equal to it.
                    Err(error) => {
                        each(Line { text: format!("unreadable: {error}").as_bytes(), ended: false, beyond });
                        break;
                    }
                };
                let skip = std::mem::take(&mut first) && (self.heads || self.joins);
                if !skip {
                    let beyond = beyond || self.compression == Compression::None && at >= counted;
                    each(Line { text: &line, ended, beyond });
                }
                at += line.len() as u64 + u64::from(ended);
            }
        }
        Ok(())
    }
}

fn ends_a_line(path: &Path, length: u64) -> bool {
    let mut last = [b'\n'];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut last, length - 1));
    read.is_err() || last == *b"\n"
}

/// Where lines end, and which are equal.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) csv: Option<Csv>,
    /// CSV: names of the columns.
    pub(crate) columns: Vec<String>,
    /// Fields that are not compared.
    pub(crate) volatile: Vec<String>,
}

impl Rule {
    /// Reads the next line into `line`; whether it was ended, none at the end.
    pub(crate) fn next(&self, text: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
        line.clear();
        loop {
            match text.read_until(b'\n', line)? {
                0 => return Ok((!line.is_empty()).then_some(false)),
                _ if line.last() == Some(&b'\n') && !self.is_open(line) => {
                    line.pop();
                    return Ok(Some(true));
                }
                _ => {}
            }
        }
    }

    /// Whether a line break is inside quotes: a quote that is part of a value is doubled.
    fn is_open(&self, text: &[u8]) -> bool {
        self.csv.is_some_and(|csv| text.iter().filter(|byte| **byte == csv.quote).count() % 2 == 1)
    }

    /// What two lines have in common if they are equal, and otherwise not.
    pub(super) fn fingerprint(&self, line: &Line<'_>) -> u128 {
        let hash = match (self.csv, self.volatile.is_empty()) {
            (None, true) => xxh3_128(line.text),
            (None, false) => {
                self.hash(self.named(line.text).iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))))
            }
            (Some(csv), _) => match cells(line.text, csv).filter(|cells| cells.len() == self.columns.len()) {
                Some(cells) => {
                    self.hash(self.columns.iter().map(String::as_str).zip(cells.iter().map(Option::as_deref)))
                }
                None => !xxh3_128(line.text),
            },
        };
        if line.ended { hash } else { !hash }
    }

    /// The fingerprint of the line that a document should be.
    pub(super) fn fingerprint_of(&self, document: &[u8]) -> u128 {
        match self.csv {
            None => self.fingerprint(&Line { text: document, ended: true, beyond: false }),
            Some(_) => {
                let said = self.said(document);
                self.hash(self.columns.iter().map(String::as_str).zip(said.iter().map(Option::as_deref)))
            }
        }
    }

    fn hash<'a>(&self, fields: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> u128 {
        let mut hash = Xxh3::new();
        for (name, value) in fields.filter(|(name, _)| !self.volatile.iter().any(|volatile| volatile == name)) {
            hash.update(name.as_bytes());
            hash.update(&value.map_or(u64::MAX, |value| value.len() as u64).to_le_bytes());
            hash.update(value.unwrap_or_default().as_bytes());
        }
        hash.digest128()
    }

    /// What a document says of each column of a CSV file: the content of a string, whatever else as it is written.
    fn said(&self, document: &[u8]) -> Vec<Option<String>> {
        let document = Document::read(document);
        let cell = |name: &String| match document.get(name)? {
            null if null == "null" => None,
            json if json.starts_with('"') => Some(serde_json::from_str(&json).unwrap_or(json)),
            json => Some(json),
        };
        self.columns
            .iter()
            .map(cell)
            .map(|cell| cell.filter(|cell| !cell.is_empty() || self.columns.len() > 1))
            .collect()
    }

    /// The fields of a document that the file has no column for.
    pub(super) fn leftovers(&self, document: &[u8], mut each: impl FnMut(&str)) {
        if self.csv.is_some() {
            Document::read(document).without(self.columns.iter().map(String::as_str)).for_each(&mut each);
        }
    }

    /// The fields of a line; none if it has not the form of one.
    fn named(&self, text: &[u8]) -> IndexMap<String, String> {
        match self.csv {
            None => {
                let fields: IndexMap<String, Box<RawValue>> = serde_json::from_slice(text).unwrap_or_default();
                fields.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect()
            }
            Some(csv) => named(&self.columns, cells(text, csv).unwrap_or_default()),
        }
    }

    /// The fields in which a line differs from the document that it should be.
    pub(super) fn differences(&self, document: &[u8], found: &[u8]) -> Vec<Difference> {
        let expected = match self.csv {
            None => self.named(document),
            Some(_) => named(&self.columns, self.said(document)),
        };
        let found = self.named(found);
        if expected.is_empty() || found.is_empty() {
            return Vec::new();
        }
        let names = expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name)));
        let differing = names.filter(|name| !self.volatile.contains(name) && expected.get(*name) != found.get(*name));
        let value =
            |fields: &IndexMap<String, String>, name: &String| fields.get(name).map(|value| shown(value.as_bytes()));
        differing
            .map(|name| Difference {
                field: name.clone(),
                expected: value(&expected, name),
                found: value(&found, name),
            })
            .collect()
    }
}

fn named(columns: &[String], cells: Vec<Option<String>>) -> IndexMap<String, String> {
    columns.iter().cloned().zip(cells).filter_map(|(name, cell)| Some((name, cell?))).collect()
}

/// The cells of a CSV line; none: nothing at all, which is NULL. An only cell can't be nothing. None if it is no CSV.
fn cells(line: &[u8], csv: Csv) -> Option<Vec<Option<String>>> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let quoted = rest.first() == Some(&csv.quote);
        let mut cell = Vec::new();
        if quoted {
            rest = &rest[1..];
            loop {
                let end = rest.iter().position(|byte| *byte == csv.quote)?;
                cell.extend_from_slice(&rest[..end]);
                rest = &rest[end + 1..];
                if rest.first() != Some(&csv.quote) {
                    break;
                }
                cell.push(csv.quote);
                rest = &rest[1..];
            }
        } else {
            let end = rest.iter().position(|byte| *byte == csv.delimiter).unwrap_or(rest.len());
            cell.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
        cells.push(Some(String::from_utf8(cell).ok()?).filter(|cell| quoted || !cell.is_empty()));
        match rest.split_first() {
            None => break,
            Some((delimiter, more)) if *delimiter == csv.delimiter => rest = more,
            Some(_) => return None,
        }
    }
    if let [only] = cells.as_mut_slice() {
        *only = only.take().filter(|only| !only.is_empty());
    }
    Some(cells)
}
