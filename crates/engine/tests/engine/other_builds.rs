//! What another build has written: its shard stays closed, says what to do, and is not touched. Two builds that differ in the
//! write level share a journal until that is raised.
use crate::house::{House, numbers, question};
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, Scope},
    id::{PipelineId, Seq},
    level::WriteLevel,
    shard::ShardId,
};
use dataflow_engine::region::{Action, AskError, Query};
use dataflow_journal::{
    Appended, Error, Journal, Memory, Snapshot,
    store::{Chunks, Log, Page, Snapshots},
    stored::Row,
};
use serde_json::Value;
use std::sync::Arc;

const OLDER: WriteLevel = WriteLevel::NEWEST;
const NEWER: WriteLevel = WriteLevel(WriteLevel::NEWEST.0 + 1);

fn shard() -> ShardId {
    ShardId::of(&PipelineId::try_from("p").unwrap())
}

/// Everything that a journal has of the pipeline's shard, but for who owns it.
type Content = (Page, Vec<Snapshot>, Vec<(ChunkId, Option<Bytes>)>);

async fn content(memory: &Memory) -> Content {
    let mut chunks = Vec::new();
    for id in memory.chunk_ids() {
        let body = memory.chunk(&id).await.unwrap();
        chunks.push((id, body));
    }
    (memory.read(shard(), Seq(1), 1_000).await.unwrap(), memory.snapshots(shard()).await.unwrap().0, chunks)
}

/// A node finds that another build has written its shard: it answers so, and changes nothing.
async fn is_refused(house: &mut House, memory: &Memory, says: &str) {
    let before = content(memory).await;
    house.build().await;
    let says = |why: &str| {
        why.contains("written by another build")
            && why.contains(says)
            && why.contains("run the build that wrote it, or a newer one")
    };
    let closed = house.region().overview().await.closed;
    assert!(closed.len() == 1 && says(&closed[0]), "{closed:?}");
    for refused in [house.ask(question(Query::State)).await, house.act(Action::Start { sink: None }).await] {
        assert!(matches!(&refused, Err(AskError::OtherBuild(why)) if says(why)), "{refused:?}");
    }
    house.shutdown().await;
    assert_eq!(content(memory).await, before);
}

/// A node that has made a pipeline and gone down, with dead letters in chunks.
async fn left(name: &str) -> (House, Memory) {
    let memory = Memory::new();
    let mut house = House::on(name, Journal::new(Arc::new(memory.clone())), 1, 1).await;
    house.create(house.spec()).await;
    house.start().await;
    house.feed.push("t/0", numbers(0, 5).into_iter().chain(["die".into()]));
    house.until(|view| view.counters.dead == 1).await;
    (house, memory)
}

#[tokio::test(start_paused = true)]
async fn an_unknown_event_closes_its_shard() {
    let (mut house, memory) = left("unknown-event").await;
    house.crash().await;
    let head = memory.head(shard()).await.unwrap();
    let number = memory.read(shard(), Seq(1), 1_000).await.unwrap().rows.last().unwrap().number + 1;
    let body = format!(
        r#"{{"v":1,"number":{number},"at":1,"actor":"a","command":"later","event":{{"pipelinePaused":{{}}}}}}"#
    );
    let row = Row { seq: head.next_seq, pipeline: "p".into(), number, kind: 0, body };
    assert_eq!(memory.append(shard(), head.epoch, head.next_seq, vec![row]).await, Appended::Applied);
    is_refused(&mut house, &memory, "`pipelinePaused`").await;
}

/// A later build names chunks in a way that this one can't read: it must not take them for unnamed ones.
#[tokio::test(start_paused = true)]
async fn a_snapshot_of_a_later_shape_closes_its_shard_and_keeps_its_segments() {
    let (mut house, memory) = left("unknown-snapshot").await;
    house.crash().await;
    let head = memory.head(shard()).await.unwrap();
    let segment = ChunkId(format!("{}p/7.{}.0", Scope::Segments(shard()), head.epoch).into());
    memory.put_chunk(&segment, Bytes::from_static(b"a segment")).await.unwrap();
    let state = Bytes::from_static(br#"{"v":2,"segmentsByDay":["7.1.0"]}"#);
    let snapshot = Snapshot { pipeline: PipelineId::try_from("p").unwrap(), state };
    memory.snapshot(shard(), head.epoch, head.next_seq, vec![snapshot]).await.unwrap();
    is_refused(&mut house, &memory, "level 2").await;
}

/// The levels at which what a journal holds was written: events, snapshots, dead letters.
async fn levels(memory: &Memory) -> [Vec<u64>; 3] {
    let level = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap()["v"].as_u64().unwrap();
    let (log, snapshots, chunks) = content(memory).await;
    [
        log.rows.iter().map(|row| level(row.body.as_bytes())).collect(),
        snapshots.iter().map(|snapshot| level(&snapshot.state)).collect(),
        chunks.iter().map(|(_, body)| level(body.as_ref().unwrap())).collect(),
    ]
}

/// Each build in turn runs the pipeline on what the other has left. Until the level is raised, nothing is written that the older
/// one can't read; from then on it is refused, and nothing is touched.
#[tokio::test(start_paused = true)]
async fn two_builds_run_a_pipeline_in_turn_until_the_level_is_raised() {
    let memory = Memory::new();
    let build = |newest| Journal::of_build(Arc::new(memory.clone()), newest);
    let mut house = House::on("two-builds", build(OLDER), 1, 1).await;
    house.create(house.spec()).await;
    house.start().await;
    let mut done = 0;
    for newest in [OLDER, NEWER, OLDER, NEWER] {
        assert!(house.shutdown().await);
        house.journal = build(newest);
        house.build().await;
        house.feed.push("t/0", numbers(done, done + 9).into_iter().chain(["die".into()]));
        done += 9;
        house.until(|view| (view.counters.delivered, view.counters.dead) == (done, done / 9)).await;
        assert_eq!(house.store.level(), Some(OLDER));
    }
    assert!(levels(&memory).await.iter().all(|levels| levels.iter().all(|level| *level == 1)));

    assert!(matches!(build(OLDER).raise_write_level(NEWER).await, Err(Error::OtherBuild(_))));
    house.journal.raise_write_level(NEWER).await.unwrap();
    // The lane that is open goes on at the level at which it was opened.
    assert!(house.shutdown().await);
    house.build().await;
    house.feed.push("t/0", numbers(done, done + 9).into_iter().chain(["die".into()]));
    done += 9;
    house.until(|view| (view.counters.delivered, view.counters.dead) == (done, done / 9)).await;
    assert_eq!(house.store.level(), Some(NEWER));
    let [log, _, letters] = levels(&memory).await;
    assert!(
        [&log, &letters].iter().all(|levels| levels.first() == Some(&1) && levels.last() == Some(&2)),
        "{log:?} {letters:?}"
    );
    assert!(house.shutdown().await);
    assert_eq!(levels(&memory).await[1], [2]);
    assert_eq!(house.store.data(), numbers(0, done));

    let before = content(&memory).await;
    let all: Vec<_> = ShardId::all().collect();
    let heads = memory.epochs(&all).await.unwrap();
    house.journal = build(OLDER);
    assert!(!house.try_build().await, "the older build may not write any more");
    assert_eq!((content(&memory).await, memory.epochs(&all).await.unwrap()), (before, heads));
}
