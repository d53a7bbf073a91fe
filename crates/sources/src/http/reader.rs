//! Reading what was pushed: several small pushes become one batch, a large one several.
use crate::column::{self, Column};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::position::Position;
use dataflow_formats::pushed::{self, Record};
use dataflow_sdk::{
    Context, Error, Records,
    inbox::{Inbox, Pushed},
    records::{Layout, Oversized, Span},
    source::{Read, Reader},
};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct HttpReader {
    inbox: Arc<dyn Inbox>,
    max_records: usize,
    max_bytes: usize,
    max_record_bytes: usize,
    /// Where the next batch begins: verbatim, and as a number.
    from: Position,
    at: u64,
    /// A push that is not read to its end.
    open: Option<Open>,
    /// What tells all that was received up to the end of the push before the next record apart from anything else.
    digest: Option<Arc<str>>,
    /// What was gathered of the next batch.
    batch: Batch,
    received: u64,
}

#[derive(Debug)]
struct Open {
    pushed: Pushed,
    records: std::vec::IntoIter<Record>,
}

impl HttpReader {
    pub(super) fn new(inbox: Arc<dyn Inbox>, cx: &Context, from: Position) -> Result<Self, Error> {
        let Some(at) = from.as_offset() else {
            let error = Error::fatal("bad-position", format!("position {from} is not a number of records"));
            return Err(error.fix("set the checkpoint to a number of records").for_user());
        };
        Ok(Self {
            inbox,
            max_records: cx.batch.max_records.max(1) as usize,
            max_bytes: cx.batch.max_bytes.min(cx.max_in_flight_bytes / 2).clamp(1, 1 << 30) as usize,
            max_record_bytes: cx.max_record_bytes.clamp(1, 1 << 30) as usize,
            digest: from.identity.clone(),
            from,
            at,
            open: None,
            batch: Batch::default(),
            received: at,
        })
    }

    /// Opens the push that holds the next record.
    async fn open(&mut self) -> Result<(), Error> {
        let pushed = self.inbox.next(self.at).await?;
        let records = pushed::read(&pushed.body, self.at.saturating_sub(pushed.from)).map_err(|problem| {
            Error::fatal("bad-batch", format!("records from {} on can't be read: {problem}", pushed.from)).for_user()
        })?;
        self.received = self.received.max(pushed.to);
        self.open = Some(Open { pushed, records: records.into_iter() });
        Ok(())
    }

    /// Moves records into the batch. True: it is full.
    fn fill(&mut self) -> bool {
        let batch = &mut self.batch;
        let Some(open) = &mut self.open else { return false };
        while let Some(record) = open.records.as_slice().first() {
            let size = record.data.len() + record.metadata.map_or(0, Span::len);
            let full = batch.spans.len() >= self.max_records || batch.data.len() + size > self.max_bytes;
            if full && !batch.spans.is_empty() {
                return true;
            }
            if self.at == open.pushed.from || self.digest.is_none() {
                self.digest = Some(open.pushed.digest.clone());
            }
            batch.add(&open.pushed, record, self.at, self.max_record_bytes);
            open.records.next();
            self.at += 1;
        }
        self.open = None;
        batch.spans.len() >= self.max_records || batch.data.len() >= self.max_bytes
    }
}

/// Records that are put together.
#[derive(Debug, Default)]
struct Batch {
    data: Vec<u8>,
    spans: Vec<Span>,
    offsets: Vec<u64>,
    keys: Column,
    metadata: Column,
    timestamps: Vec<Option<i64>>,
    oversized: Vec<Oversized>,
    bytes_read: u64,
}

impl Batch {
    fn add(&mut self, pushed: &Pushed, record: &Record, number: u64, limit: usize) {
        let data = record.data.of(&pushed.body);
        let span = match record.data.is_null() {
            true => Span::NULL,
            false => column::record(&mut self.data, data, limit, self.spans.len(), &mut self.oversized),
        };
        let metadata = record.metadata.map(|span| span.of(&pushed.body));
        self.spans.push(span);
        self.offsets.push(number);
        self.keys.push(record.id.as_ref().map(String::as_bytes));
        self.metadata.push(metadata);
        self.timestamps.push(Some(pushed.at));
        self.bytes_read += (data.len() + metadata.map_or(0, <[u8]>::len)) as u64;
    }
}

#[async_trait]
impl Reader for HttpReader {
    async fn read(&mut self) -> Result<Read, Error> {
        // Cancel-safe: what was gathered stays in `batch` until it is handed out.
        while !self.fill() {
            if self.batch.spans.is_empty() {
                self.open().await?;
                continue;
            }
            // Only what waits already; a failure will show again when there is nothing else to hand out.
            let Ok(received) = self.inbox.received().await else { break };
            self.received = self.received.max(received);
            if self.received <= self.at || self.open().await.is_err() {
                break;
            }
        }
        let mut batch = std::mem::take(&mut self.batch);
        let to = Position { identity: self.digest.clone(), ..Position::offset(self.at) };
        let from = std::mem::replace(&mut self.from, to.clone());
        let mut records = Records::empty(super::partition(), from, Layout::Json);
        records.to = to;
        records.data = Bytes::from(batch.data);
        records.spans = batch.spans;
        records.offsets = batch.offsets;
        records.keys = batch.keys.take();
        records.metadata = batch.metadata.take();
        records.timestamps = Some(batch.timestamps);
        records.oversized = batch.oversized;
        records.bytes_read = batch.bytes_read;
        Ok(Read::Records(records))
    }

    fn lag(&self) -> Option<u64> {
        Some(self.received.saturating_sub(self.at))
    }

    fn warnings(&mut self) -> Vec<dataflow_sdk::batch::Notice> {
        Vec::new()
    }

    async fn close(self: Box<Self>) {}
}
