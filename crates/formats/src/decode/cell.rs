//! The location and kind of a wanted value.
use super::{Key, Untracked};
use crate::{csv::undouble, json, marks::Marks};
use dataflow_sdk::{
    batch::Dead,
    records::{Layout, Records, Span},
};
use memchr::memchr;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The record has no such field, or can't be read.
    Missing,
    /// What should be the object of the field is none: null, a text, a list. So the record says that there is no such field.
    Barred,
    Null,
    True,
    False,
    Number,
    /// A JSON string without escapes.
    String,
    /// A JSON string with escapes.
    Escaped,
    Object,
    Array,
    /// Text of unknown class (CSV).
    Untyped,
    /// Text of unknown class with doubled quotes (CSV).
    Doubled,
    /// The text of a CSV field that is declared as JSON and is none: nothing can be said of what would be in it.
    NotJson,
}

impl From<json::Kind> for Kind {
    fn from(kind: json::Kind) -> Self {
        match kind {
            json::Kind::Null => Self::Null,
            json::Kind::True => Self::True,
            json::Kind::False => Self::False,
            json::Kind::Number => Self::Number,
            json::Kind::String => Self::String,
            json::Kind::Escaped => Self::Escaped,
            json::Kind::Object => Self::Object,
            json::Kind::Array => Self::Array,
        }
    }
}

/// A value of one record. For strings, the span excludes the quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub start: u32,
    pub end: u32,
    pub kind: Kind,
}

impl Cell {
    pub(super) const MISSING: Self = Self { start: 0, end: 0, kind: Kind::Missing };
    pub(super) const BARRED: Self = Self { kind: Kind::Barred, ..Self::MISSING };

    /// A JSON value, as it is written.
    pub(super) fn written(data: &[u8], value: Span) -> Self {
        let Span { start, end } = value;
        let kind = match data[start as usize] {
            b'n' => Kind::Null,
            b't' => Kind::True,
            b'f' => Kind::False,
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => {
                let escaped = memchr(b'\\', value.of(data)).is_some();
                let kind = if escaped { Kind::Escaped } else { Kind::String };
                return Self { start: start + 1, end: end - 1, kind };
            }
            _ => Kind::Number,
        };
        Self { start, end, kind }
    }

    pub(super) fn of(token: json::Token) -> Self {
        Self { start: token.start as u32, end: token.end as u32, kind: token.kind.into() }
    }
}

/// The result of pass 1.
#[derive(Debug)]
pub(super) struct Scanned {
    /// For each path, a cell per record.
    pub cells: Vec<Vec<Cell>>,
    pub broken: Vec<Dead>,
    pub keys: Vec<Key>,
    pub untracked: Vec<Untracked>,
    pub marks: Marks,
    /// Of CSV records, the JSON of their fields, where values within it lie.
    pub documents: Vec<u8>,
}

/// The buffer of the records, as text if it is UTF-8.
#[derive(Debug)]
pub(super) struct Text<'a> {
    data: &'a [u8],
    /// The whole buffer, if all of it is UTF-8: then no record needs its own check.
    whole: Option<&'a str>,
    quote: u8,
}

impl<'a> Text<'a> {
    pub(super) fn of(records: &'a Records) -> Self {
        let used: usize = records.spans.iter().map(|span| span.len()).sum();
        // If the records fill only a small part of the buffer, each is checked separately.
        let whole = (used >= records.data.len() / 4).then(|| std::str::from_utf8(&records.data).ok()).flatten();
        let quote = match &records.layout {
            Layout::Json | Layout::Columns(_) => b'"',
            Layout::Csv(layout) => layout.quote,
        };
        Self { data: &records.data, whole, quote }
    }

    /// A buffer that is UTF-8 as a whole.
    pub(super) fn of_all(data: &'a [u8]) -> Self {
        Self { data, whole: std::str::from_utf8(data).ok(), quote: b'"' }
    }

    pub(super) fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Checks that a record is UTF-8; if not, returns the position of the first bad byte.
    pub(super) fn check(&self, span: Span) -> Result<(), usize> {
        let (start, end) = (span.start as usize, span.end as usize);
        match self.whole {
            Some(whole) if whole.is_char_boundary(start) && whole.is_char_boundary(end) => Ok(()),
            _ => std::str::from_utf8(span.of(self.data)).map(|_| ()).map_err(|error| error.valid_up_to()),
        }
    }

    /// Returns the bytes `start..end` of a checked record.
    #[inline]
    pub(super) fn slice(&self, start: u32, end: u32) -> &'a str {
        let range = start as usize..end as usize;
        match self.whole {
            Some(whole) => whole.get(range).unwrap_or_default(),
            None => std::str::from_utf8(&self.data[range]).unwrap_or_default(),
        }
    }

    /// Returns a value as written, without the quotes of a string.
    #[inline]
    pub(super) fn raw(&self, cell: Cell) -> &'a str {
        self.slice(cell.start, cell.end)
    }

    /// Returns a JSON value as written.
    pub(super) fn json(&self, cell: Cell) -> &'a str {
        match cell.kind {
            Kind::String | Kind::Escaped => self.slice(cell.start - 1, cell.end + 1),
            _ => self.raw(cell),
        }
    }

    /// Returns the content of a string or untyped text; `None` if it contains half of a surrogate pair.
    #[inline]
    pub(super) fn content<'s>(&self, cell: Cell, scratch: &'s mut String) -> Option<&'s str>
    where
        'a: 's,
    {
        let raw = self.raw(cell);
        match cell.kind {
            Kind::Escaped => json::unescape(raw, scratch).then_some(scratch),
            Kind::Doubled => {
                undouble(raw, self.quote, scratch);
                Some(scratch)
            }
            _ => Some(raw),
        }
    }
}
