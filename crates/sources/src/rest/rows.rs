//! The rows of a page, in batches.
use super::{page::Page, place::State};
use dataflow_core::position::Position;
use dataflow_formats::oversized::{KEPT, oversized};
use dataflow_sdk::{
    Context, Records,
    records::{Layout, Span},
};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// How large a batch may get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    records: usize,
    bytes: usize,
    record_bytes: usize,
}

impl Limits {
    pub(super) fn of(cx: &Context) -> Self {
        Self {
            records: cx.batch.max_records.max(1) as usize,
            bytes: cx.batch.max_bytes.min(cx.max_in_flight_bytes / 2).clamp(1, 1 << 30) as usize,
            record_bytes: cx.max_record_bytes.clamp(1, 1 << 30) as usize,
        }
    }
}

/// A page that is being read.
#[derive(Debug)]
pub(super) struct Rows {
    page: Page,
    /// What was known before it was asked for.
    state: State,
    /// The rows that are to be read, and how many of these were.
    rows: Vec<usize>,
    at: usize,
    /// The hash of the rows up to one.
    done: Done,
    /// Bytes that no batch counts yet.
    bytes_read: u64,
    /// Where it goes on after it.
    pub(super) end: (State, u64),
    shared: Arc<Vec<(String, String)>>,
}

struct Done {
    rows: usize,
    hasher: Xxh3,
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Done").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Rows {
    pub(super) fn new(page: Page, rows: Vec<usize>, state: State, end: (State, u64)) -> Self {
        let number = state.number;
        let shared =
            [("page", number.page), ("poll", number.listing)].map(|(name, value)| (name.into(), value.to_string()));
        let state = State { done: None, etag: None, ..state };
        Self {
            bytes_read: page.body.len() as u64,
            page,
            state,
            rows,
            at: 0,
            done: Done { rows: 0, hasher: Xxh3::new() },
            end,
            shared: Arc::new(shared.into()),
        }
    }

    /// An interval without records.
    pub(super) fn none(from: Position) -> Records {
        Records::empty(super::partition(), from, Layout::Json)
    }

    /// The next batch; none: all are read.
    pub(super) fn next(&mut self, from: &Position, limits: &Limits) -> Option<Records> {
        let begin = self.at;
        let first = *self.rows.get(begin)?;
        let start = self.page.records[first].start as usize;
        let mut records = Self::none(from.clone());
        let mut positions = Vec::new();
        let number = self.state.number;
        let mut end = start;
        while let Some(&row) = self.rows.get(self.at) {
            let bytes = self.page.record(row);
            let taken = self.at - begin;
            if taken == limits.records || taken > 0 && end - start + bytes.len() > limits.bytes {
                break;
            }
            let at = self.page.records[row];
            let kept = match bytes.len() > limits.record_bytes {
                true => {
                    records.oversized.push(oversized(taken, bytes));
                    bytes.len().min(KEPT)
                }
                false => bytes.len(),
            };
            let at = at.start as usize - start;
            records.spans.push(Span::new(at, at + kept));
            records.offsets.push(row as u64);
            positions.push(format!("{}.{}.{row}", number.listing, number.page).into());
            end = start + at + kept;
            self.at += 1;
        }
        records.data = self.page.body.slice(start..end);
        records.positions = Some(positions);
        records.shared = self.shared.clone();
        records.bytes_read = std::mem::take(&mut self.bytes_read);
        records.to = match self.rows.get(self.at) {
            Some(&row) => self.before(row),
            None => {
                let (state, row) = &self.end;
                state.position(*row)
            }
        };
        Some(records)
    }

    fn before(&mut self, row: usize) -> Position {
        for passed in self.done.rows..row {
            self.done.hasher.update(self.page.record(passed));
            self.done.hasher.update(b"\n");
        }
        self.done.rows = row;
        State { done: Some((row as u64, self.done.hasher.digest())), ..self.state.clone() }.position(row as u64)
    }
}
