//! What was pushed to a pipeline, as its source reads it: bodies from chunks of the journal, in the order of receipt.
use crate::shard::PipelineCell;
use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use dataflow_core::{chunk::ChunkId, pipeline::inbox::InboxDigest, time::Timestamp};
use dataflow_journal::Journal;
use dataflow_sdk::{
    Error,
    inbox::{Inbox, Pushed},
};
use std::sync::Arc;

/// The inbox of one pipeline.
#[derive(Debug)]
pub(crate) struct EntityInbox {
    pub(crate) cell: Arc<PipelineCell>,
    pub(crate) journal: Journal,
}

/// A pushed body as it is stored: when it came (8 bytes, big endian, milliseconds since the Unix epoch), then the body.
pub(crate) fn encode(at: Timestamp, body: &[u8]) -> Bytes {
    let mut stored = BytesMut::with_capacity(8 + body.len());
    stored.put_i64(at.millis());
    stored.put_slice(body);
    stored.freeze()
}

struct Found {
    from: u64,
    to: u64,
    digest: InboxDigest,
    chunk: ChunkId,
}

impl EntityInbox {
    fn find(&self, from: u64) -> Result<Option<Found>, Error> {
        let state = self.cell.state();
        let Some(pipeline) = state.pipeline() else {
            return Err(Error::fatal("deleted", "the pipeline was deleted").for_user());
        };
        let inbox = &pipeline.inbox;
        if from >= inbox.received {
            return Ok(None);
        }
        let found = inbox.holding(from);
        match found {
            Some(batch) => {
                Ok(Some(Found { from: batch.from, to: batch.to, digest: batch.digest, chunk: batch.chunk.clone() }))
            }
            None => Err(Error::fatal("records-gone", format!("record {from} was pushed but is no longer kept"))
                .fix(format!("set the checkpoint to \"beginning\", which is {} now, or to \"end\"", inbox.first()))
                .for_user()),
        }
    }
}

#[async_trait]
impl Inbox for EntityInbox {
    async fn next(&self, from: u64) -> Result<Pushed, Error> {
        let mut changes = self.cell.changes();
        let found = loop {
            changes.mark_unchanged();
            if let Some(found) = self.find(from)? {
                break found;
            }
            if changes.changed().await.is_err() {
                return Err(Error::transient("closed", "the pipeline is being closed"));
            }
        };
        let Found { from, to, digest, chunk } = found;
        let body = self.journal.chunk(&chunk).await.map_err(|error| match error {
            dataflow_journal::Error::Corrupt(_) | dataflow_journal::Error::Broken(_) => {
                Error::fatal("journal-damaged", error.to_string()).for_user()
            }
            _ => Error::transient("journal", error.to_string()),
        })?;
        let mut body = body.filter(|body| body.len() >= 8).ok_or_else(|| {
            Error::fatal("chunk-missing", format!("the pushed records {from} to {to} are not in the journal: {chunk}"))
                .for_user()
        })?;
        let at = body.get_i64();
        Ok(Pushed { from, to, digest: digest.to_string().into(), at, body })
    }

    async fn first(&self) -> Result<u64, Error> {
        Ok(self.cell.state().pipeline().map_or(0, |pipeline| pipeline.inbox.first()))
    }

    async fn received(&self) -> Result<u64, Error> {
        Ok(self.cell.state().pipeline().map_or(0, |pipeline| pipeline.inbox.received))
    }
}
