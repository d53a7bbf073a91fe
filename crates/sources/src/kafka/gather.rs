//! Gathers the records of one partition into a batch: one buffer, slices of it.
use super::{partition, position_after, start::Begin};
use crate::column::{self, Column};
use bytes::Bytes;
use dataflow_core::position::{Partition, Position};
use dataflow_sdk::{
    Records,
    records::{KeyFormat, Layout, Oversized, Span},
};
use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers},
};
use std::sync::Arc;
use tokio::time::Instant;

/// The overhead of a record beside its bytes, in a batch and on the wire.
const OVERHEAD: usize = 32;

/// The limits of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) records: usize,
    pub(super) bytes: usize,
    pub(super) record_bytes: usize,
}

/// The records of one partition that were read but not handed out yet.
#[derive(Debug)]
pub(super) struct Gather {
    pub(super) topic: String,
    pub(super) number: i32,
    name: Partition,
    /// The id of its topic.
    pub(super) id: Option<Arc<str>>,
    shared: Arc<Vec<(String, String)>>,
    key_format: KeyFormat,
    /// The end of the last batch, and the offset after the last gathered record.
    from: i64,
    pub(super) to: i64,
    /// The leader epochs of the records before these two offsets.
    from_epoch: Option<i32>,
    pub(super) epoch: Option<i32>,
    /// When the first of these records arrived.
    pub(super) since: Option<Instant>,
    data: Vec<u8>,
    spans: Vec<Span>,
    offsets: Vec<u64>,
    keys: Column,
    metadata: Column,
    timestamps: Vec<Option<i64>>,
    oversized: Vec<Oversized>,
    bytes_read: u64,
    expected: usize,
}

impl Gather {
    pub(super) fn new(begin: &Begin, key_format: KeyFormat) -> Self {
        let Begin { found, offset: from, epoch, .. } = begin;
        let (topic, number, from) = (&*found.topic, found.number, *from);
        let shared = vec![("topic".to_owned(), topic.to_owned()), ("partition".to_owned(), number.to_string())];
        Self {
            name: partition(topic, number),
            id: found.id.clone(),
            topic: topic.to_owned(),
            number,
            shared: Arc::new(shared),
            key_format,
            from,
            to: from,
            from_epoch: *epoch,
            epoch: *epoch,
            since: None,
            data: Vec::new(),
            spans: Vec::new(),
            offsets: Vec::new(),
            keys: Column::default(),
            metadata: Column::default(),
            timestamps: Vec::new(),
            oversized: Vec::new(),
            bytes_read: 0,
            expected: 0,
        }
    }

    /// The number of bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.data.len() + self.keys.bytes() + self.metadata.bytes() + self.spans.len() * OVERHEAD
    }

    /// Returns whether a record of this size would exceed a limit.
    pub(super) fn is_full(&self, caps: &Caps, more: usize) -> bool {
        !self.spans.is_empty() && (self.spans.len() >= caps.records || self.bytes() + more > caps.bytes)
    }

    /// Returns whether a record was gathered or an offset was passed.
    pub(super) fn is_ready(&self) -> bool {
        self.to > self.from
    }

    /// Records that everything before this offset was read, or is not a record (aborted transactions and their
    /// markers); the last one has this leader epoch.
    pub(super) fn pass(&mut self, offset: i64, epoch: Option<i32>) {
        if offset > self.to {
            (self.to, self.epoch) = (offset, epoch);
        }
    }

    /// The start of the next batch.
    pub(super) fn position(&self) -> Position {
        position_after(self.from, self.id.as_ref(), self.from_epoch)
    }

    /// Continues at another offset; drops what was gathered.
    pub(super) fn jump(&mut self, offset: i64) {
        (self.from, self.to) = (offset, offset);
        (self.from_epoch, self.epoch) = (None, None);
    }

    /// Adds a record. A repeated one, after its partition was reassigned, is ignored.
    pub(super) fn add(&mut self, message: &BorrowedMessage<'_>, caps: &Caps) {
        if message.offset() < self.to {
            return;
        }
        if self.spans.is_empty() {
            self.since = Some(Instant::now());
            self.data.reserve(self.expected);
        }
        let row = self.spans.len();
        let span = message.payload().map_or(Span::NULL, |payload| {
            column::record(&mut self.data, payload, caps.record_bytes, row, &mut self.oversized)
        });
        self.spans.push(span);
        self.offsets.push(message.offset() as u64);
        self.keys.push(message.key());
        self.metadata.push(metadata(message).as_deref());
        self.timestamps.push(message.timestamp().to_millis());
        self.bytes_read += (message.payload_len() + message.key_len()) as u64;
        self.to = message.offset() + 1;
        self.epoch = dataflow_kafka::leader_epoch(message);
    }

    /// Returns the gathered records as a batch that continues where the last one ended.
    pub(super) fn take(&mut self) -> Records {
        let mut records = Records::empty(self.name.clone(), self.position(), Layout::Json);
        (self.from, self.from_epoch) = (self.to, self.epoch);
        records.to = self.position();
        self.since = None;
        self.expected = self.data.len();
        let mut data = std::mem::take(&mut self.data);
        if data.capacity() > 2 * data.len() {
            data.shrink_to_fit();
        }
        records.data = Bytes::from(data);
        records.spans = std::mem::take(&mut self.spans);
        records.offsets = std::mem::take(&mut self.offsets);
        records.keys = self.keys.take();
        records.keyless = true;
        records.key_format = self.key_format;
        records.metadata = self.metadata.take();
        records.timestamps = Some(std::mem::take(&mut self.timestamps));
        records.oversized = std::mem::take(&mut self.oversized);
        records.bytes_read = std::mem::take(&mut self.bytes_read);
        records.shared = self.shared.clone();
        records
    }
}

/// Converts headers to a JSON object.
fn metadata(message: &BorrowedMessage<'_>) -> Option<Vec<u8>> {
    let headers = message.headers()?;
    let object = super::headers::object(headers.iter().map(|header| (header.key, header.value)));
    (!object.is_empty()).then(|| serde_json::json!({ "headers": object }).to_string().into_bytes())
}
