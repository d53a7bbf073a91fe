//! Putting values of records together: one buffer, slices of it.
use bytes::Bytes;
use dataflow_formats::oversized::{KEPT, oversized};
use dataflow_sdk::records::{Oversized, Slices, Span};

/// Adds a value to a buffer.
pub(crate) fn append(data: &mut Vec<u8>, value: &[u8]) -> Span {
    let start = data.len();
    data.extend_from_slice(value);
    Span::new(start, data.len())
}

/// Adds a record to a buffer; of one over the limit only the head, and a note of the whole.
pub(crate) fn record(data: &mut Vec<u8>, value: &[u8], limit: usize, row: usize, over: &mut Vec<Oversized>) -> Span {
    if value.len() <= limit {
        return append(data, value);
    }
    over.push(oversized(row, value));
    append(data, &value[..value.len().min(KEPT)])
}

/// One value, or none, for each record.
#[derive(Debug, Default)]
pub(crate) struct Column {
    data: Vec<u8>,
    spans: Vec<Span>,
    any: bool,
}

impl Column {
    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        self.any |= value.is_some();
        self.spans.push(value.map_or(Span::NULL, |value| append(&mut self.data, value)));
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The values; none if no record has one.
    pub(crate) fn take(&mut self) -> Option<Slices> {
        let Self { data, spans, any } = std::mem::take(self);
        any.then(|| Slices { data: Bytes::from(data), spans })
    }
}
