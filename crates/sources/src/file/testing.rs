//! The splitter by itself, for fuzzing.
use super::split::{Caps, Dialect, Splitter};

/// A record that was split off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes; of one that is over the limit, the first ones.
    pub bytes: Vec<u8>,
    /// How many bytes it has.
    pub length: u64,
    /// Whether it is over the limit.
    pub oversized: bool,
}

/// What bounds a batch.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most records in it.
    pub records: usize,
    /// Most bytes in it.
    pub bytes: usize,
    /// Most bytes of a record.
    pub record_bytes: usize,
}

/// The records of a file: CSV with commas, or lines. All at once.
pub fn whole(file: &[u8], csv: bool) -> Vec<Record> {
    let most = 1 << 30;
    parts(file, csv, most, Bounds { records: most, bytes: most, record_bytes: most })
}

/// The same, so many bytes at a time.
///
/// # Panics
/// If batches don't cover the file from its start to its end, one behind the other.
pub fn parts(file: &[u8], csv: bool, chunk: usize, bounds: Bounds) -> Vec<Record> {
    let caps = Caps { records: bounds.records, bytes: bounds.bytes, record_bytes: bounds.record_bytes };
    let mut splitter = Splitter::new(0, csv.then_some(Dialect { delimiter: b',', quote: b'"' }), caps);
    let mut chunks = file.chunks(chunk);
    let (mut records, mut to) = (Vec::new(), 0);
    loop {
        if !splitter.scan() {
            if let Some(chunk) = chunks.next() {
                splitter.buffer.extend_from_slice(chunk);
                continue;
            }
            if !splitter.finish() {
                break;
            }
        }
        let split = splitter.take();
        assert!(split.spans.len() <= bounds.records);
        assert!(to < split.to, "a batch goes on where the last one ended");
        to = split.to;
        let mut oversized = split.oversized.into_iter().peekable();
        for (row, (span, offset)) in split.spans.iter().zip(split.offsets).enumerate() {
            let large = oversized.next_if(|large| large.row == row as u32);
            let bytes = span.of(&split.data).to_vec();
            let length = large.as_ref().map_or(bytes.len() as u64, |large| large.length);
            records.push(Record { offset, length, oversized: large.is_some(), bytes });
        }
        assert_eq!(oversized.next(), None);
    }
    assert_eq!(to, file.len() as u64, "the whole file was passed");
    records
}
