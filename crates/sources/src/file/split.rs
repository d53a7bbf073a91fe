//! Finding where records end: lines, and CSV records, whose quoted fields may hold line breaks.
use super::piece::PIECE;
use dataflow_formats::oversized::{KEPT, oversized};
use dataflow_sdk::records::{Oversized, Span};
use memchr::{memchr, memchr2};
use xxhash_rust::xxh3::Xxh3;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What bounds a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) record_bytes: usize,
}

/// Records that were split off, and the interval of offsets they cover.
#[derive(Debug, Default)]
pub(crate) struct Split {
    pub(crate) data: Vec<u8>,
    pub(crate) spans: Vec<Span>,
    pub(crate) offsets: Vec<u64>,
    pub(crate) oversized: Vec<Oversized>,
    /// Offset behind the last record and the blank lines that follow it.
    pub(crate) to: u64,
}

/// Splits bytes into records. Memory is bounded by the largest record allowed and what is added at once.
#[derive(Debug)]
pub(crate) struct Splitter {
    caps: Caps,
    dialect: Option<Dialect>,
    /// Bytes from offset `base` on: whole records, then one that has not ended.
    pub(crate) buffer: Vec<u8>,
    base: u64,
    /// The last bytes before the buffer, up to 1 KiB.
    before: Vec<u8>,
    /// In the buffer: where the record begins that has not ended, and how far its end was looked for.
    start: usize,
    scanned: usize,
    quoted: bool,
    /// Behind the last closing quote: a quote right there opens again, as it was one half of a doubled quote.
    closed: usize,
    spans: Vec<Span>,
    offsets: Vec<u64>,
    oversized: Vec<Oversized>,
    giant: Option<Giant>,
    full: bool,
}

/// What separates and encloses the fields of CSV.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
}

/// A record over the limit whose end is not known yet.
struct Giant {
    offset: u64,
    head: Vec<u8>,
    length: u64,
    hash: Box<Xxh3>,
    /// A `\r` at the end of what was seen: part of the line break, or of the record.
    held: bool,
    /// Nothing but blanks so far, in lines.
    blank: bool,
}

impl std::fmt::Debug for Giant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Giant").field("offset", &self.offset).field("length", &self.length).finish_non_exhaustive()
    }
}

/// The last bytes of those before and what follows them.
fn last_piece(before: &[u8], data: &[u8]) -> Vec<u8> {
    let new = &data[data.len().saturating_sub(PIECE)..];
    let kept = before.len().min(PIECE - new.len());
    [&before[before.len() - kept..], new].concat()
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

impl Giant {
    fn eat(&mut self, mut bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.held) {
            self.take(b"\r");
        }
        if let Some(rest) = bytes.strip_suffix(b"\r") {
            (bytes, self.held) = (rest, true);
        }
        self.take(bytes);
    }

    fn take(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(KEPT - self.head.len());
        self.head.extend_from_slice(&bytes[..kept]);
        self.length += bytes.len() as u64;
        self.hash.update(bytes);
        self.blank &= is_blank(bytes);
    }
}

impl Splitter {
    /// A splitter for bytes from offset `base` on, which follow those `before`; lines, if there is no CSV dialect.
    pub(crate) fn new(base: u64, dialect: Option<Dialect>, caps: Caps) -> Self {
        Self {
            caps,
            dialect,
            buffer: Vec::new(),
            base,
            before: Vec::new(),
            start: 0,
            scanned: 0,
            quoted: false,
            closed: usize::MAX,
            spans: Vec::new(),
            offsets: Vec::new(),
            oversized: Vec::new(),
            giant: None,
            full: false,
        }
    }

    /// The same, after these bytes.
    pub(crate) fn after(self, before: Vec<u8>) -> Self {
        Self { before, ..self }
    }

    /// The last bytes before the buffer, up to 1 KiB: those before what is taken next.
    pub(crate) fn before(&self) -> &[u8] {
        &self.before
    }

    /// The last of the bytes up to a place in the buffer, up to 1 KiB.
    pub(crate) fn last(&self, to: usize) -> Vec<u8> {
        last_piece(&self.before, &self.buffer[..to])
    }

    /// The offset behind all bytes that were added.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }

    /// Looks for records in what was added. True: they fill a batch, take them.
    pub(crate) fn scan(&mut self) -> bool {
        if self.base == 0 && self.start == 0 && self.giant.is_none() {
            if self.buffer.len() < BOM.len() && BOM.starts_with(&self.buffer) {
                return false;
            }
            if self.buffer.starts_with(BOM) && self.scanned == 0 {
                (self.start, self.scanned) = (BOM.len(), BOM.len());
            }
        }
        while !self.full {
            let Some(end) = self.line_end() else { break };
            match self.giant {
                Some(_) => self.end_giant(end, end + 1),
                None => self.record(end, end + 1),
            }
        }
        let rest = self.buffer[self.start..].strip_suffix(b"\r").unwrap_or(&self.buffer[self.start..]).len();
        if !self.full && (rest > self.caps.record_bytes || self.giant.is_some()) {
            match self.spans.is_empty() {
                true => self.swallow(),
                false => self.full = true, // first the records before it
            }
        }
        self.full
    }

    /// Where the current record ends, if that is among what was added.
    fn line_end(&mut self) -> Option<usize> {
        let Some(Dialect { delimiter, quote }) = self.dialect else {
            let found = memchr(b'\n', &self.buffer[self.scanned..]).map(|at| self.scanned + at);
            self.scanned = found.map_or(self.buffer.len(), |at| at + 1);
            return found;
        };
        loop {
            let rest = &self.buffer[self.scanned..];
            let found = match self.quoted {
                true => memchr(quote, rest),
                false => memchr2(quote, b'\n', rest),
            };
            let Some(at) = found.map(|at| self.scanned + at) else {
                self.scanned = self.buffer.len();
                return None;
            };
            self.scanned = at + 1;
            if self.quoted {
                (self.quoted, self.closed) = (false, at + 1);
            } else if self.buffer[at] == b'\n' {
                return Some(at);
            } else {
                // A quote inside an unquoted field is an ordinary character.
                let begins = at == self.start && self.giant.is_none();
                self.quoted = begins || at == self.closed || self.buffer[at - 1] == delimiter;
            }
        }
    }

    /// Takes the record `start..end`, unless it is blank; the next one begins at `next`.
    fn record(&mut self, end: usize, next: usize) {
        let line = &self.buffer[self.start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let blank = line.is_empty() || self.dialect.is_none() && is_blank(line);
        if !blank {
            if !self.spans.is_empty() && (next > self.caps.bytes || self.spans.len() >= self.caps.records) {
                self.full = true;
                (self.scanned, self.quoted, self.closed) = (self.start, false, usize::MAX);
                return;
            }
            let mut kept = line.len();
            if line.len() > self.caps.record_bytes {
                kept = kept.min(KEPT);
                self.oversized.push(oversized(self.spans.len(), line));
            }
            self.spans.push(Span::new(self.start, self.start + kept));
            self.offsets.push(self.base + self.start as u64);
        }
        self.start = next;
        self.full = self.spans.len() >= self.caps.records || next >= self.caps.bytes;
    }

    /// The current record is over the limit: only its head, length and hash are kept.
    fn swallow(&mut self) {
        let giant = self.giant.get_or_insert_with(|| Giant {
            offset: self.base + self.start as u64,
            head: Vec::with_capacity(KEPT),
            length: 0,
            hash: Box::default(),
            held: false,
            blank: self.dialect.is_none(),
        });
        giant.eat(&self.buffer[self.start..]);
        let length = self.buffer.len();
        // The last byte stays: a quote after it is judged by it.
        let dropped = length - 1;
        self.before = self.last(dropped);
        self.buffer.drain(..dropped);
        self.base += dropped as u64;
        (self.start, self.scanned) = (1, 1);
        self.closed = self.closed.wrapping_sub(dropped);
    }

    /// The record over the limit ends here, unless it is blank and so none; the next one begins at `next`.
    fn end_giant(&mut self, end: usize, next: usize) {
        if let Some(giant) = &mut self.giant {
            giant.eat(&self.buffer[self.start..end]);
        }
        self.giant.take_if(|giant| giant.blank);
        self.full = self.giant.is_some();
        self.start = next;
    }

    /// There will be no more bytes: what is left is the last record. True if there is anything to take.
    pub(crate) fn finish(&mut self) -> bool {
        if self.full {
            return true;
        }
        let end = self.buffer.len();
        match self.giant {
            Some(_) => self.end_giant(end, end),
            None if self.start < end => self.record(end, end),
            None => {}
        }
        self.scanned = self.scanned.max(self.start);
        self.is_ready()
    }

    /// Whether there is anything to take: records, or blank lines that were passed.
    pub(crate) fn is_ready(&self) -> bool {
        match self.giant {
            Some(_) => self.full,
            None => self.start > 0,
        }
    }

    /// Whether a record has begun that has not ended.
    pub(crate) fn has_rest(&self) -> bool {
        self.giant.is_some() || self.start < self.buffer.len()
    }

    /// Takes the records found so far.
    pub(crate) fn take(&mut self) -> Split {
        let start = self.start;
        self.before = self.last(start);
        let mut rest = Vec::with_capacity(self.buffer.len());
        rest.extend_from_slice(&self.buffer[start..]);
        let mut data = std::mem::replace(&mut self.buffer, rest);
        data.truncate(start);
        if data.capacity() > 2 * data.len() {
            data.shrink_to_fit();
        }
        self.base += start as u64;
        self.scanned -= start;
        self.closed = self.closed.wrapping_sub(start);
        (self.start, self.full) = (0, false);
        let mut split = Split { data, to: self.base, ..Split::default() };
        match self.giant.take() {
            None => {
                split.spans = std::mem::take(&mut self.spans);
                split.offsets = std::mem::take(&mut self.offsets);
                split.oversized = std::mem::take(&mut self.oversized);
            }
            Some(giant) => {
                split.spans.push(Span::new(0, giant.head.len()));
                split.offsets.push(giant.offset);
                split.oversized.push(Oversized {
                    row: 0,
                    length: giant.length,
                    hash: format!("{:016x}", giant.hash.digest()),
                });
                split.data = giant.head;
            }
        }
        split
    }
}
