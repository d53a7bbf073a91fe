//! Raw records as a source reads them: original bytes by slice, ids, metadata, and the interval they cover.
mod columns;
pub mod key;
pub use columns::{Column, Columns};
pub use key::KeyFormat;

use bytes::Bytes;
use dataflow_core::position::{Partition, Position, Positions};
use std::{ops::Range, sync::Arc};

/// A slice of a buffer: `start..end`. [`Span::NULL`] stands for no value at all (a Kafka tombstone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

impl Span {
    /// No value.
    pub const NULL: Self = Self { start: u32::MAX, end: u32::MAX };

    /// The slice `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        assert!(start <= end && end < u32::MAX as usize, "a buffer has less than 4 GiB");
        Self { start: start as u32, end: end as u32 }
    }
    /// Whether there is no value.
    pub fn is_null(self) -> bool {
        self == Self::NULL
    }
    /// Length in bytes; 0 for no value.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize // NULL: 0
    }
    /// Whether the slice has no bytes.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
    /// The bytes of the slice; none for no value.
    pub fn of(self, data: &[u8]) -> &[u8] {
        if self.is_null() { &[] } else { &data[self.start as usize..self.end as usize] }
    }
}

/// Values of one kind for each record, as slices of a buffer of their own.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    /// The buffer.
    pub data: Bytes,
    /// One slice per record.
    pub spans: Vec<Span>,
}

impl Slices {
    /// The value of a record; none if it has none.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let span = *self.spans.get(row)?;
        (!span.is_null()).then(|| span.of(&self.data))
    }
}

/// Records of one source partition, in order, covering the interval `(from, to]`.
#[derive(Clone, Debug)]
pub struct Records {
    /// The partition.
    pub partition: Partition,
    /// The position before the first record: must be where the partition was left.
    pub from: Position,
    /// The position behind the last record (and behind what lies between it and the next: blank lines, aborted transactions).
    pub to: Position,
    /// Original bytes.
    pub data: Bytes,
    /// One slice of [`Self::data`] per record, without line end.
    pub spans: Vec<Span>,
    /// Place of each record in its partition (Kafka offset, byte offset of a line, number of a pushed record); with
    /// [`Self::positions`], any number, which nobody is shown.
    pub offsets: Vec<u64>,
    /// The position before each record, from which it is the first to be read, where that is something else than its offset: the
    /// key after which a query goes on, a cursor.
    pub positions: Option<Vec<Arc<str>>>,
    /// Ids given with the records (Kafka keys, ids of pushed records); where there is none, `partition/offset` is the id.
    pub keys: Option<Slices>,
    /// Whether a record without a key has none at all, as in Kafka; elsewhere its place is its key.
    pub keyless: bool,
    /// What the bytes of [`Self::keys`] stand for.
    pub key_format: KeyFormat,
    /// Time of each record, milliseconds since the Unix epoch, where it has one; none if the source never has any.
    pub timestamps: Option<Vec<Option<i64>>>,
    /// Metadata of each record as a JSON object, where it has any of its own (Kafka headers, metadata of pushed records).
    pub metadata: Option<Slices>,
    /// Metadata that all of them share: `topic`, `partition`, `file`, …
    pub shared: Arc<Vec<(String, String)>>,
    /// How the bytes are to be read.
    pub layout: Layout,
    /// Records larger than `maxRecordBytes`: their slice holds only the head. By rising row.
    pub oversized: Vec<Oversized>,
    /// The record, always the last, that had no line break at the end of its file, where the spec says that such a one is
    /// dead.
    pub unfinished: Option<u32>,
    /// Bytes read for these records, framing included.
    pub bytes_read: u64,
    /// Records between `from` and the first record that are no longer there and were passed over by choice.
    pub lost: Option<Lost>,
    /// Places in other partitions that hold from here on, without any record: what was found and is read later, or what
    /// goes on in this one.
    pub beside: Positions,
}

/// How the bytes of records are to be read.
#[derive(Clone, Debug)]
pub enum Layout {
    /// Each record is a JSON text.
    Json,
    /// Each record is a CSV record.
    Csv(Arc<CsvLayout>),
    /// Each record is a JSON text, and it is known where its values lie.
    Columns(Columns),
}

impl Layout {
    /// That of these records alone.
    fn slice(&self, rows: Range<usize>) -> Self {
        match self {
            Self::Json | Self::Csv(_) => self.clone(),
            Self::Columns(columns) => Self::Columns(columns.slice(rows)),
        }
    }
}

/// How CSV records are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvLayout {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields; doubled inside.
    pub quote: u8,
    /// Names of the fields in order, each another one, and none of them empty.
    pub columns: Vec<String>,
    /// Unquoted texts that stand for null.
    pub null_values: Vec<String>,
    /// The header that named them, as it is written; none: the spec did.
    pub header: Option<String>,
}

/// A record over the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oversized {
    /// Which record.
    pub row: u32,
    /// Its whole length, in bytes.
    pub length: u64,
    /// Hash of the whole (xxh3-64, hex).
    pub hash: String,
}

/// Records that were passed over because they are no longer there (`onPositionLost`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Number of records, as far as it can be known.
    pub records: u64,
    /// Bytes whose records can't be counted, as far as it can be known.
    pub bytes: u64,
    /// What happened to them.
    pub reason: String,
    /// Where the first record that is still there begins.
    pub to: Position,
}

/// What records cover, and what is said of that beside them. Without defaults: whoever divides records decides about each.
struct Interval {
    from: Position,
    to: Position,
    bytes_read: u64,
    lost: Option<Lost>,
    beside: Positions,
}

impl Records {
    /// No records yet, from a position on.
    pub fn empty(partition: Partition, from: Position, layout: Layout) -> Self {
        Self {
            partition,
            to: from.clone(),
            from,
            data: Bytes::new(),
            spans: Vec::new(),
            offsets: Vec::new(),
            positions: None,
            keys: None,
            keyless: false,
            key_format: KeyFormat::Text,
            timestamps: None,
            metadata: None,
            shared: Arc::default(),
            layout,
            oversized: Vec::new(),
            unfinished: None,
            bytes_read: 0,
            lost: None,
            beside: Positions::new(),
        }
    }
    /// Number of records.
    pub fn len(&self) -> usize {
        self.spans.len()
    }
    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
    /// Original bytes of a record; none for a tombstone.
    pub fn bytes(&self, row: usize) -> Option<&[u8]> {
        let span = self.spans[row];
        (!span.is_null()).then(|| span.of(&self.data))
    }
    /// The id of a record: its key ([`key::id`]), otherwise [where it is](Self::place).
    pub fn id(&self, row: usize) -> String {
        match self.keys.as_ref().and_then(|keys| keys.get(row)) {
            Some(key) => key::id(key),
            None => self.place(row),
        }
    }
    /// The id of a record that no other one ever has: its key, otherwise where it is in a log that only grows
    /// ([`Self::keyless`]). None: another record may come to be where it is, in a file that is rotated or pushed to another
    /// pipeline.
    pub fn lasting_id(&self, row: usize) -> Option<String> {
        let has_key = self.keys.as_ref().is_some_and(|keys| keys.get(row).is_some());
        (has_key || self.keyless).then(|| self.id(row))
    }
    /// The key of a message that a record becomes: its own key, byte for byte, otherwise [where it is](Self::place), which is
    /// put into `scratch`; none where records need [no key](Self::keyless).
    pub fn message_key<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        match self.keys.as_ref().and_then(|keys| keys.get(row)) {
            Some(key) => Some(key),
            None if self.keyless => None,
            None => {
                *scratch = self.place(row).into_bytes();
                Some(scratch)
            }
        }
    }
    /// Where a record is: `partition/offset`. No other record of the source is there.
    pub fn place(&self, row: usize) -> String {
        match &self.positions {
            Some(positions) => format!("{}/{}", self.partition, positions[row]),
            None => format!("{}/{}", self.partition, self.offsets[row]),
        }
    }
    /// The position before a record: reading goes on from it with that record.
    pub fn before(&self, row: usize) -> Position {
        let at = self.positions.as_ref().map_or_else(|| self.offsets[row].to_string().into(), |all| all[row].clone());
        // What the partition was known by before still holds; what it is known by at the end may tell of what comes after.
        Position { at, ..self.from.clone() }
    }
    /// Lets go of all but the first `len` records. The interval stays as it is.
    pub fn truncate(&mut self, len: usize) {
        self.spans.truncate(len);
        self.offsets.truncate(len);
        if let Some(positions) = &mut self.positions {
            positions.truncate(len);
        }
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.truncate(len);
        }
        for slices in [&mut self.keys, &mut self.metadata].into_iter().flatten() {
            slices.spans.truncate(len);
        }
        if let Layout::Columns(columns) = &mut self.layout {
            columns.truncate(len);
        }
        self.oversized.retain(|oversized| (oversized.row as usize) < len);
        self.unfinished = self.unfinished.filter(|row| (*row as usize) < len);
    }
    /// These records alone, which share the buffers. They cover the same interval, of which nothing else is said.
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let (from, to) = (self.from.clone(), self.to.clone());
        self.part(rows, Interval { from, to, bytes_read: 0, lost: None, beside: Positions::new() })
    }
    /// These records alone, which share the buffers and cover an interval of their own.
    fn part(&self, rows: Range<usize>, Interval { from, to, bytes_read, lost, beside }: Interval) -> Self {
        let slices = |slices: &Option<Slices>| {
            slices
                .as_ref()
                .map(|slices| Slices { data: slices.data.clone(), spans: slices.spans[rows.clone()].to_vec() })
        };
        let oversized = self.oversized.iter().filter(|oversized| rows.contains(&(oversized.row as usize)));
        Self {
            partition: self.partition.clone(),
            from,
            to,
            data: self.data.clone(),
            spans: self.spans[rows.clone()].to_vec(),
            offsets: self.offsets[rows.clone()].to_vec(),
            positions: self.positions.as_ref().map(|positions| positions[rows.clone()].to_vec()),
            keys: slices(&self.keys),
            keyless: self.keyless,
            key_format: self.key_format,
            timestamps: self.timestamps.as_ref().map(|timestamps| timestamps[rows.clone()].to_vec()),
            metadata: slices(&self.metadata),
            shared: self.shared.clone(),
            layout: self.layout.slice(rows.clone()),
            oversized: oversized.map(|one| Oversized { row: one.row - rows.start as u32, ..one.clone() }).collect(),
            unfinished: self
                .unfinished
                .filter(|row| rows.contains(&(*row as usize)))
                .map(|row| row - rows.start as u32),
            bytes_read,
            lost,
            beside,
        }
    }
    /// The contents of these records alone, by rising row and whatever they were called: to look at them, not to pass them on.
    pub fn contents(&self, rows: &[u32]) -> Self {
        let layout = match &self.layout {
            Layout::Columns(all) => {
                let values = rows.iter().flat_map(|row| all.of(*row as usize)).copied().collect();
                Layout::Columns(Columns { columns: all.columns.clone(), values })
            }
            layout => layout.clone(),
        };
        Self {
            data: self.data.clone(),
            spans: rows.iter().map(|row| self.spans[*row as usize]).collect(),
            offsets: vec![0; rows.len()],
            ..Self::empty(self.partition.clone(), self.from.clone(), layout)
        }
    }
    /// These records in two parts, which share the buffers and the interval: the first ends where the second begins. There are two records
    /// at least.
    pub fn halves(&self) -> (Self, Self) {
        let middle = self.len() / 2;
        let between = self.before(middle);
        // Each thing that is said of the whole is said once: what lies before the first record with the first half, and what
        // holds once all is delivered with the second.
        let first = Interval {
            from: self.from.clone(),
            to: between.clone(),
            bytes_read: self.bytes_read,
            lost: self.lost.clone(),
            beside: Positions::new(),
        };
        let second =
            Interval { from: between, to: self.to.clone(), bytes_read: 0, lost: None, beside: self.beside.clone() };
        (self.part(0..middle, first), self.part(middle..self.len(), second))
    }
    /// Bytes that these records hold in memory.
    pub fn weight(&self) -> usize {
        let values = if let Layout::Columns(columns) = &self.layout { columns.values.len() } else { 0 };
        self.data.len()
            + self.spans.len() * 32
            + values * size_of::<Span>()
            + self.keys.as_ref().map_or(0, |keys| keys.data.len())
            + self.metadata.as_ref().map_or(0, |meta| meta.data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, Lost, Records, Span};
    use dataflow_core::position::{Position, Positions};

    #[test]
    fn halves_meet_and_are_the_whole() {
        let from = Position::offset(10).of("known");
        let mut records = Records::empty("t/0".into(), from.clone(), Layout::Json);
        records.data = "abc".into();
        records.spans = (0..3).map(|at| Span::new(at, at + 1)).collect();
        records.offsets = vec![10, 17, 25];
        records.to = Position::offset(30).of("known:end");
        records.bytes_read = 20;
        records.lost = Some(Lost { records: 3, bytes: 0, reason: "expired".into(), to: from.clone() });
        records.beside = [("t/1".into(), Position::offset(0))].into();
        let (first, second) = records.halves();
        assert_eq!((&first.from, &first.to, &second.from), (&from, &Position::offset(17).of("known"), &first.to));
        assert_eq!(second.to, records.to);
        assert_eq!([first.offsets, second.offsets].concat(), records.offsets);
        assert_eq!((first.bytes_read, second.bytes_read), (20, 0));
        assert_eq!((first.lost, second.lost), (records.lost, None));
        assert_eq!((first.beside, second.beside), (Positions::new(), records.beside));
    }

    #[test]
    fn positions_need_not_be_numbers() {
        let at = |key: &str| Position { at: key.into(), ..Position::offset(0).of("table") };
        let mut records = Records::empty("orders".into(), at("(\"2026-01-01\",9)"), Layout::Json);
        records.data = "ab".into();
        records.spans = (0..2).map(|at| Span::new(at, at + 1)).collect();
        records.offsets = vec![0, 1];
        records.positions = Some(vec![records.from.at.clone(), "(\"2026-01-02\",3)".into()]);
        records.to = at("(\"2026-01-02\",4)");
        let (first, second) = records.halves();
        assert_eq!((&first.from, &first.to), (&records.from, &at("(\"2026-01-02\",3)")));
        assert_eq!((&second.from, &second.to), (&first.to, &records.to));
        assert_eq!(second.place(0), "orders/(\"2026-01-02\",3)");
    }
}
