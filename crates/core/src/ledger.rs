//! The ledger: what became of every input record.
use serde::{Deserialize, Serialize};

/// Cumulative counts over committed input records. Each input record counts once:
/// `read = filtered + delivered + absorbed + dead + lost`; what is in flight is counted by the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counters {
    /// Input records whose fate is durable.
    pub read: u64,
    /// Left out on purpose, by a filter or a `where`.
    pub filtered: u64,
    /// Written to the sink.
    pub delivered: u64,
    /// Taken into durable operator state.
    pub absorbed: u64,
    /// Kept as dead letters.
    pub dead: u64,
    /// Gone, by an explicit choice: no longer at the source and passed over (`onPositionLost`), pushed and passed over by a new
    /// generation, or delivered to a target that has lost it.
    pub lost: u64,
    /// Bytes of files that were lost with records that nobody could count.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_lost: u64,
    /// Rows written to the sink (an input record may yield several, or share one).
    pub rows_written: u64,
    /// Bytes of input records.
    pub bytes_read: u64,
    /// Commits.
    pub batches: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(crate) fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Counters {
    /// Adds another count to this one.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.filtered += other.filtered;
        self.delivered += other.delivered;
        self.absorbed += other.absorbed;
        self.dead += other.dead;
        self.lost += other.lost;
        self.bytes_lost += other.bytes_lost;
        self.rows_written += other.rows_written;
        self.bytes_read += other.bytes_read;
        self.batches += other.batches;
    }

    /// What of this count another one does not hold.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        Self {
            read: self.read.saturating_sub(other.read),
            filtered: self.filtered.saturating_sub(other.filtered),
            delivered: self.delivered.saturating_sub(other.delivered),
            absorbed: self.absorbed.saturating_sub(other.absorbed),
            dead: self.dead.saturating_sub(other.dead),
            lost: self.lost.saturating_sub(other.lost),
            bytes_lost: self.bytes_lost.saturating_sub(other.bytes_lost),
            rows_written: self.rows_written.saturating_sub(other.rows_written),
            bytes_read: self.bytes_read.saturating_sub(other.bytes_read),
            batches: self.batches.saturating_sub(other.batches),
        }
    }

    /// Whether every record read has exactly one fate.
    pub fn balances(&self) -> bool {
        self.read == self.filtered + self.delivered + self.absorbed + self.dead + self.lost
    }
}
