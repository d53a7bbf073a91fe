//! Splitting files into records: however the bytes arrive and whatever bounds a batch, the same records.
use dataflow_sources::file::testing::{self as split, Bounds, Record};

/// The first byte says how the rest arrives, and what bounds there are.
pub fn check(data: &[u8]) {
    let Some((&how, file)) = data.split_first() else { return };
    let how = usize::from(how);
    let chunk = 1 + how % 5;
    let bounds = Bounds { records: 1 + how % 3, bytes: 1 + how % 41, record_bytes: 1 + how % 17 };
    for csv in [false, true] {
        let whole = split::whole(file, csv);
        if !csv {
            assert_eq!(whole, lines(file));
        }
        let parts = split::parts(file, csv, chunk, bounds);
        let says = |records: &[Record]| -> Vec<(u64, u64)> {
            records.iter().map(|record| (record.offset, record.length)).collect()
        };
        assert_eq!(says(&parts), says(&whole), "csv: {csv}, {bounds:?}, {chunk} bytes at once");
        for (part, whole) in parts.iter().zip(&whole) {
            assert_eq!(part.oversized, whole.length > bounds.record_bytes as u64, "{whole:?} {bounds:?}");
            assert_eq!(part.bytes, whole.bytes);
        }
    }
}

/// The lines of a file, without blank ones.
fn lines(file: &[u8]) -> Vec<Record> {
    let mut offset = 0;
    let mut lines = Vec::new();
    for line in file.split(|byte| *byte == b'\n') {
        let next = offset + line.len() as u64 + 1;
        let mark: &[u8] = if offset == 0 { b"\xef\xbb\xbf" } else { b"" };
        let bytes = line.strip_prefix(mark).unwrap_or(line);
        offset += (line.len() - bytes.len()) as u64;
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if !bytes.iter().all(u8::is_ascii_whitespace) {
            lines.push(Record { offset, length: bytes.len() as u64, bytes: bytes.into(), oversized: false });
        }
        offset = next;
    }
    lines
}
