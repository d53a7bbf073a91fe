//! Stores events that are too long for the log, alone or together: their body is a chunk, written before the row that names it.
use crate::{
    Encoded, Error, MAX_APPEND_BYTES, Store,
    listed::PAGE,
    stored::{Kind, MAX_BODY, Row},
};
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, Scope},
    id::{Epoch, Seq},
    shard::ShardId,
};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// Replaces such a body in the log. It can't be confused with an event, as every event has a `v`.
#[derive(Serialize, Deserialize)]
struct Moved {
    chunk: ChunkId,
}

/// Whose the body of an event is, by its [kind](Row::kind).
fn scope(shard: ShardId, kind: u8) -> Scope {
    if kind == Kind::Lifecycle.code() { Scope::Lifecycle(shard) } else { Scope::Progress(shard) }
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
        let chunk = scope(shard, row.kind).event(row.seq, epoch);
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

/// Removes the bodies of a shard's progress events before a place, once these were dropped. Reads no more names than it removes,
/// and one page.
pub(crate) async fn collect(store: &dyn Store, shard: ShardId, before: Seq) -> Result<(), Error> {
    let (of, mut after) = (Scope::Progress(shard), None);
    loop {
        let page = store.chunks(&of, after.as_ref(), PAGE).await?;
        let place = |chunk: &ChunkId| of.event_of(chunk).map(|(place, _)| place);
        let gone: Vec<_> = page.iter().filter(|chunk| place(chunk).is_some_and(|at| at < before)).cloned().collect();
        if !gone.is_empty() {
            store.remove_chunks(&gone).await?;
        }
        // Names are sorted by place.
        let is_last = page.len() < PAGE || page.iter().any(|chunk| place(chunk).is_some_and(|at| at >= before));
        if is_last {
            return Ok(());
        }
        after = page.into_iter().next_back();
    }
}

/// Removes what owners before this epoch have stored for places from `next` on, where the log ends: it never got there.
pub(crate) async fn collect_unwritten(store: &dyn Store, shard: ShardId, epoch: Epoch, next: Seq) -> Result<(), Error> {
    for of in [Scope::Progress(shard), Scope::Lifecycle(shard)] {
        let mut unwritten = store.chunks(&of, Some(&of.from(next)), PAGE).await?;
        unwritten.retain(|chunk| of.event_of(chunk).is_some_and(|(_, of)| of < epoch));
        if !unwritten.is_empty() {
            store.remove_chunks(&unwritten).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::MAX_BODY;
    use crate::{
        Appended, Claim, Holder, Journal, Memory,
        fault::{Fault, Faulty},
        testing::{
            contract::encoded,
            samples::{lifecycle, pipeline, progress},
        },
    };
    use dataflow_core::{
        chunk::Scope,
        id::{Epoch, Seq},
        pipeline::{RecordedEvent, event::Event},
        position::Position,
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
                discarded: None,
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
        let chunks = async || memory.chunk_ids().len();
        assert_eq!(chunks().await, 2);
        // A chunk that never got into the log: its writer was fenced.
        assert_eq!(journal.append(SHARD, Epoch(0), Seq(2), &encoded[1..2]).await, Appended::Fenced);
        assert_eq!(chunks().await, 3);
        let read = async || journal.read(SHARD, Seq(1), 10).await.unwrap().entries;
        assert_eq!(read().await.into_iter().map(|entry| (name.clone(), entry.event)).collect::<Vec<_>>(), events);
        journal.snapshot(SHARD, Epoch(1), Seq(5), vec![]).await.unwrap();
        journal.compact(SHARD, Epoch(1), Seq(5)).await.unwrap();
        assert_eq!(chunks().await, 3, "those of the history, and the one of the fenced writer");
        let history = journal.history(&name, 0, 10).await.unwrap();
        let lifecycle = events.iter().filter(|(_, event)| event.command.as_str() != "3").map(|(_, event)| event);
        assert_eq!(history.iter().map(|entry| &entry.event).collect::<Vec<_>>(), lifecycle.collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn of_what_is_too_long_together_only_the_longest_leave_the_log() {
        let memory = Memory::new();
        let journal = claimed(&memory).await;
        let name = pipeline(SHARD, 0);
        let lengths = [10_000, 60_000, 50_000, 62_000, 40_000, 61_000, 30_000];
        let events: Vec<_> = lengths.iter().map(|length| (name.clone(), long(&length.to_string(), *length))).collect();
        let encoded = encoded(&journal, &events);
        assert_eq!(journal.append(SHARD, Epoch(1), Seq(1), &encoded).await, Appended::Applied);
        let moved: Vec<_> = memory.chunk_ids().iter().map(ToString::to_string).collect();
        assert_eq!(moved, ["_lifecycle/2/00000000000000000004/1"], "312 KiB, of which 256 fit");
        let read = journal.read(SHARD, Seq(1), 10).await.unwrap().entries;
        assert_eq!(read.into_iter().map(|entry| (entry.pipeline, entry.event)).collect::<Vec<_>>(), events);
    }

    /// A checkpoint of so many partitions that it is too long for the log.
    fn long_progress(sequence: u64) -> RecordedEvent {
        let mut event = progress(&sequence.to_string(), sequence);
        if let Event::BatchProcessed { lanes, .. } = &mut event.event {
            let partition = |number: u64| (format!("{number:0100}").as_str().into(), Position::offset(number));
            lanes[0].positions = (0..1_000).map(partition).collect();
        }
        event
    }

    /// However much history there is.
    #[tokio::test]
    async fn a_compaction_takes_as_many_calls_as_it_removes_chunks() {
        let memory = Memory::new();
        let journal = claimed(&memory).await;
        let name = pipeline(SHARD, 0);
        for at in 1..=60 {
            let event = if at % 20 == 0 { long_progress(at) } else { long(&at.to_string(), MAX_BODY) };
            let encoded = encoded(&journal, &[(name.clone(), event)]);
            assert_eq!(journal.append(SHARD, Epoch(1), Seq(at), &encoded).await, Appended::Applied);
        }
        journal.snapshot(SHARD, Epoch(1), Seq(61), vec![]).await.unwrap();
        for (before, left) in [(41, 58), (61, 57), (61, 57)] {
            // Its readers, the compaction, the names, their removal.
            let faults = std::iter::repeat_n(Fault::None, 4).chain(std::iter::repeat_n(Fault::Before, 100));
            let counting = Journal::new(Arc::new(Faulty::scripted(memory.clone(), faults)));
            counting.compact(SHARD, Epoch(1), Seq(before)).await.unwrap();
            assert_eq!(memory.chunk_ids().len(), left, "before {before}");
        }
    }

    /// Its writer crashed, or was fenced, after it had stored the body.
    #[tokio::test]
    async fn what_never_got_into_the_log_goes_with_the_next_owner() {
        let memory = Memory::new();
        let journal = claimed(&memory).await;
        let name = pipeline(SHARD, 0);
        let written = encoded(&journal, &[(name.clone(), long("1", MAX_BODY))]);
        assert_eq!(journal.append(SHARD, Epoch(1), Seq(1), &written).await, Appended::Applied);
        for event in [long("2", MAX_BODY), long_progress(2)] {
            let lost = Journal::new(Arc::new(Faulty::scripted(memory.clone(), [Fault::None, Fault::Before])));
            let unwritten = encoded(&journal, &[(name.clone(), event)]);
            assert_eq!(lost.append(SHARD, Epoch(1), Seq(2), &unwritten).await, Appended::Unknown);
        }
        assert_eq!(memory.chunk_ids().len(), 3);
        let head = journal.take_over(SHARD, &Holder::new("two")).await.unwrap();
        journal.collect(SHARD, head.epoch, head.next_seq).await;
        assert_eq!(memory.chunk_ids(), [Scope::Lifecycle(SHARD).event(Seq(1), Epoch(1))]);
        assert_eq!(journal.read(SHARD, Seq(1), 10).await.unwrap().entries.len(), 1);
    }
}
