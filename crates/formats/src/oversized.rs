//! Records over the limit: the head of them is kept, and a note of the whole.
use dataflow_sdk::records::Oversized;
use xxhash_rust::xxh3::xxh3_64;

/// How much of a record over the limit is kept.
pub const KEPT: usize = 64 << 10;

/// The note of a record over the limit.
pub fn oversized(row: usize, value: &[u8]) -> Oversized {
    Oversized { row: row as u32, length: value.len() as u64, hash: format!("{:016x}", xxh3_64(value)) }
}
