//! A file as an audit reads it: line by line from where the generation began, and what makes two lines equal.
use super::{Compression, FileSink, Format, handle::Handle, lines::Csv};
use crate::on_disk;
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
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    /// Whether its line break is there.
    pub(super) ended: bool,
    /// Whether it lies beyond the length that the journal counts.
    pub(super) beyond: bool,
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
        let compression = config.compression.unwrap_or_else(|| Compression::of(&path));
        let csv = Csv { delimiter: config.delimiter as u8, quote: config.quote as u8 };
        let csv = (config.format == Format::Csv).then_some(csv);
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
        let mut reader = csv::ReaderBuilder::new().delimiter(csv.delimiter).quote(csv.quote).from_reader(text);
        let names: Vec<String> = reader.headers().map_err(|error| failed(&error))?.iter().map(Into::into).collect();
        Ok((!names.is_empty()).then_some(names))
    }

    /// The number of a line as editors count it, from where the generation began.
    pub(super) fn number(&self, line: u32) -> u64 {
        u64::from(line) + 1 + u64::from(self.heads)
    }

    /// Every line, first those that the journal counts, then those beyond.
    pub(super) fn lines(&self, rule: &Rule, mut each: impl FnMut(Line<'_>)) -> Result<(), Error> {
        let failed = |error: &io::Error| on_disk::failure("read", &self.path, error);
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(|error| failed(&error))?,
        };
        file.seek(SeekFrom::Start(self.base)).map_err(|error| failed(&error))?;
        let there = file.metadata().map_err(|error| failed(&error))?.len();
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
pub(super) struct Rule {
    pub(super) csv: Option<Csv>,
    /// CSV: names of the columns.
    pub(super) columns: Vec<String>,
    /// Fields that are not compared.
    pub(super) volatile: Vec<String>,
}

impl Rule {
    /// Reads the next line into `line`; whether it was ended, none at the end.
    fn next(&self, text: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
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

    /// The first line of a text, and what follows it.
    pub(super) fn split<'a>(&self, text: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let mut from = 0;
        loop {
            let end = from + text[from..].iter().position(|byte| *byte == b'\n')?;
            match self.is_open(&text[..=end]) {
                true => from = end + 1,
                false => return Some((&text[..end], &text[end + 1..])),
            }
        }
    }

    /// Whether a line break is inside quotes: a quote that is part of a value is doubled.
    fn is_open(&self, text: &[u8]) -> bool {
        self.csv.is_some_and(|csv| text.iter().filter(|byte| **byte == csv.quote).count() % 2 == 1)
    }

    /// What two lines have in common if they are equal, and otherwise not.
    pub(super) fn fingerprint(&self, line: &Line<'_>) -> u128 {
        let hash = match self.volatile.is_empty() {
            true => xxh3_128(line.text),
            false => {
                let mut hash = Xxh3::new();
                for (name, value) in self.fields(line.text).into_iter().flatten() {
                    if !self.volatile.contains(&name) {
                        hash.update(name.as_bytes());
                        hash.update(&[0]);
                        hash.update(value.as_bytes());
                        hash.update(&[0]);
                    }
                }
                hash.digest128()
            }
        };
        if line.ended { hash } else { !hash }
    }

    /// The fields of a line; none if it has not the form of one.
    fn fields(&self, text: &[u8]) -> Option<IndexMap<String, String>> {
        match self.csv {
            None => {
                let fields: IndexMap<String, Box<RawValue>> = serde_json::from_slice(text).ok()?;
                Some(fields.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect())
            }
            Some(csv) => {
                let mut reader = csv::ReaderBuilder::new();
                let reader = reader.has_headers(false).delimiter(csv.delimiter).quote(csv.quote).from_reader(text);
                let record = reader.into_records().next()?.ok()?;
                Some(self.columns.iter().cloned().zip(record.iter().map(Into::into)).collect())
            }
        }
    }

    /// The fields in which two lines differ.
    pub(super) fn differences(&self, expected: &[u8], found: &[u8]) -> Vec<Difference> {
        let (Some(expected), Some(found)) = (self.fields(expected), self.fields(found)) else { return Vec::new() };
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
