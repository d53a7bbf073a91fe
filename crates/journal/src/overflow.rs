//! Stores events that are too long for the log, alone or together: their body is a chunk, written before the row that names it.
use crate::{
    Encoded, Error, MAX_APPEND_BYTES, Store,
    stored::{MAX_BODY, Row},
};
use bytes::Bytes;
use dataflow_core::{
    chunk::ChunkId,
    id::{Epoch, Seq},
    shard::ShardId,
};
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, collections::HashSet};

/// Replaces such a body in the log. It can't be confused with an event, as every event has a `v`.
#[derive(Serialize, Deserialize)]
struct Moved {
    chunk: ChunkId,
}

/// The prefix of a shard's chunk names of this kind.
fn prefix(shard: ShardId) -> String {
    format!("event/{}/", shard.0)
}

/// The chunk's name. It contains the epoch, because a fenced writer may have stored other content for the same place.
fn name(shard: ShardId, seq: Seq, epoch: Epoch) -> ChunkId {
    ChunkId(format!("{}{}/{}", prefix(shard), seq.0, epoch.0).into())
}

/// Returns the rows of an append at `next`.
pub(crate) async fn rows(
    store: &dyn Store,
    shard: ShardId,
    epoch: Epoch,
    next: Seq,
    events: &[Encoded],
) -> Result<Vec<Row>, Error> {
    let mut rows: Vec<Row> = (next.0..).map(Seq).zip(events).map(|(seq, event)| event.at(seq)).collect();
    let mut bytes = bytes(&rows);
    let mut longest_first: Vec<&mut Row> = rows.iter_mut().collect();
    longest_first.sort_by_key(|row| Reverse(row.body.len()));
    for row in longest_first {
        let length = row.body.len();
        if length <= MAX_BODY && bytes <= MAX_APPEND_BYTES {
            break;
        }
        let chunk = name(shard, row.seq, epoch);
        let named = serde_json::to_string(&Moved { chunk: chunk.clone() });
        let named = named.map_err(|cause| Error::Corrupt(cause.to_string()))?;
        let body = std::mem::replace(&mut row.body, named);
        bytes = bytes - length + row.body.len();
        store.stage_chunk(&chunk, Bytes::from(body)).await?;
    }
    Ok(rows)
}

/// What an append of these rows takes in the log.
pub(crate) fn bytes(rows: &[Row]) -> usize {
    rows.iter().map(|row| row.body.len()).sum()
}

/// Returns a row with its body, read from a chunk if necessary.
pub(crate) async fn fetched(store: &dyn Store, shard: ShardId, mut row: Row) -> Result<Row, Error> {
    let Some(chunk) = moved(&row) else { return Ok(row) };
    let damaged = |what: &str| Error::Corrupt(format!("shard {shard}, event {}: its chunk {chunk} {what}", row.seq));
    let body = store.chunk(&chunk).await?.ok_or_else(|| damaged("is missing"))?;
    row.body = String::from_utf8(body.into()).map_err(|_| damaged("is not UTF-8"))?;
    Ok(row)
}

fn moved(row: &Row) -> Option<ChunkId> {
    // Every other body starts with its version.
    let is_moved = row.body.starts_with(r#"{"chunk":"#);
    is_moved.then(|| serde_json::from_str::<Moved>(&row.body).ok()).flatten().map(|moved| moved.chunk)
}

/// Removes the chunks of a shard's events before a place, if the log no longer contains the events or never did.
pub(crate) async fn collect(store: &dyn Store, shard: ShardId, before: Seq) -> Result<(), Error> {
    let prefix = prefix(shard);
    let place = |chunk: &ChunkId| chunk.0[prefix.len()..].split_once('/')?.0.parse().ok().map(Seq);
    let chunks = store.chunks(&prefix).await?;
    let chunks: Vec<_> = chunks.into_iter().filter(|chunk| place(chunk).is_some_and(|seq| seq < before)).collect();
    let mut kept = HashSet::new();
    for seq in chunks.iter().filter_map(place) {
        let page = store.read(shard, seq, 1).await?;
        kept.extend(page.rows.iter().filter(|row| row.seq == seq).filter_map(moved));
    }
    let gone: Vec<_> = chunks.into_iter().filter(|chunk| !kept.contains(chunk)).collect();
    if gone.is_empty() { Ok(()) } else { store.remove_chunks(&gone).await }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::MAX_BODY;
    use crate::{
        Appended, Claim, Holder, Journal, Memory,
        testing::{
            contract::encoded,
            samples::{lifecycle, pipeline, progress},
        },
    };
    use dataflow_core::{
        id::{Epoch, Seq},
        pipeline::{RecordedEvent, event::Event},
        shard::ShardId,
        spec::PipelineSpec,
    };
    use std::sync::Arc;

    const SHARD: ShardId = ShardId(2);

    fn long(command: &str, bytes: usize) -> RecordedEvent {
        let spec = serde_json::json!({"description": "d".repeat(bytes), "source": {"type": "http"}, "sink": {"type": "blackhole"}});
        let spec: PipelineSpec = serde_json::from_value(spec).unwrap();
        RecordedEvent {
            event: Event::PipelineUpdated {
                spec: Box::new(spec),
                sink: None,
                generation: None,
                positions: None,
                pushes: None,
            },
            ..lifecycle(command)
        }
    }

    async fn claimed(memory: &Memory) -> Journal {
        let journal = Journal::new(Arc::new(memory.clone()));
        let claim = journal.claim(SHARD, Epoch(0), &Holder::new("one")).await.unwrap();
        assert!(matches!(claim, Claim::Claimed(_)));
        journal
    }

    #[tokio::test]
    async fn a_long_event_comes_back_and_its_chunk_stays_as_long_as_it_does() {
        let memory = Memory::new();
        let journal = claimed(&memory).await;
        let name = pipeline(SHARD, 0);
        let events = [lifecycle("1"), long("2", 3 * MAX_BODY), progress("3", 1), long("4", MAX_BODY)]
            .map(|event| (name.clone(), event));
        let encoded = encoded(&journal, &events);
        assert_eq!(journal.append(SHARD, Epoch(1), Seq(1), &encoded).await, Appended::Applied);
        let chunks = async || journal.chunks("event/").await.unwrap().len();
        assert_eq!(chunks().await, 2);
        // A chunk that never got into the log: its writer was fenced.
        assert_eq!(journal.append(SHARD, Epoch(0), Seq(2), &encoded[1..2]).await, Appended::Fenced);
        assert_eq!(chunks().await, 3);
        let read = async || journal.read(SHARD, Seq(1), 10).await.unwrap().entries;
        assert_eq!(read().await.into_iter().map(|entry| (name.clone(), entry.event)).collect::<Vec<_>>(), events);
        journal.snapshot(SHARD, Epoch(1), Seq(5), vec![]).await.unwrap();
        journal.compact(SHARD, Epoch(1), Seq(5)).await.unwrap();
        assert_eq!(chunks().await, 2, "those of the history");
        let history = journal.history(&name, 0, 10).await.unwrap();
        let lifecycle = events.iter().filter(|(_, event)| event.command.as_str() != "3").map(|(_, event)| event);
        assert_eq!(history.iter().map(|entry| &entry.event).collect::<Vec<_>>(), lifecycle.collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn of_what_is_too_long_together_only_the_longest_leave_the_log() {
        let journal = claimed(&Memory::new()).await;
        let name = pipeline(SHARD, 0);
        let lengths = [10_000, 60_000, 50_000, 62_000, 40_000, 61_000, 30_000];
        let events: Vec<_> = lengths.iter().map(|length| (name.clone(), long(&length.to_string(), *length))).collect();
        let encoded = encoded(&journal, &events);
        assert_eq!(journal.append(SHARD, Epoch(1), Seq(1), &encoded).await, Appended::Applied);
        let moved: Vec<_> = journal.chunks("event/").await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(moved, ["event/2/4/1"], "312 KiB, of which 256 fit");
        let read = journal.read(SHARD, Seq(1), 10).await.unwrap().entries;
        assert_eq!(read.into_iter().map(|entry| (entry.pipeline, entry.event)).collect::<Vec<_>>(), events);
    }
}
