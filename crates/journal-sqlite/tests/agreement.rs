//! All backends give the same answers to any calls in any order.
#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, Scope},
    id::{Epoch, Seq},
    pipeline::RecordedEvent,
    shard::ShardId,
};
use dataflow_journal::{
    Holder, Journal, Memory, Snapshot,
    testing::{
        contract::encoded,
        samples::{lifecycle, opened, pipeline, progress, received},
    },
};
use dataflow_journal_sqlite::Sqlite;
use proptest::{collection::vec, prelude::*};
use std::sync::Arc;

/// A call, with places relative to the shard's last claim and the appends applied since.
#[derive(Clone, Debug)]
enum Call {
    Claim { shard: u8, epoch: i8, holder: u8 },
    Append { shard: u8, epoch: i8, place: i8, events: Vec<(usize, u8)> },
    Read { shard: u8, from: u64, limit: usize },
    History { shard: u8, name: usize, after: u64, limit: usize },
    Compact { shard: u8, epoch: i8, before: u64 },
    NoteReader { shard: u8, next: Option<u64> },
    Snapshot { shard: u8, epoch: i8, back: u64, changed: Vec<usize> },
    PutChunk { name: u8, body: u8 },
    RemoveChunks(Vec<u8>),
}

fn call() -> impl Strategy<Value = Call> {
    let shard = 0..2_u8;
    let near = prop_oneof![20 => Just(0_i8), 1 => -1..=1_i8];
    let names = || vec(0..3_usize, 0..3);
    prop_oneof![
        2 => (shard.clone(), near.clone(), 0..2_u8)
            .prop_map(|(shard, epoch, holder)| Call::Claim { shard, epoch, holder }),
        12 => (shard.clone(), near.clone(), near.clone(), vec((0..3_usize, 0..4_u8), 0..6))
            .prop_map(|(shard, epoch, place, events)| Call::Append { shard, epoch, place, events }),
        6 => (shard.clone(), 0..40_u64, 0..9_usize).prop_map(|(shard, from, limit)| Call::Read { shard, from, limit }),
        3 => (shard.clone(), 0..3_usize, 0..40_u64, 0..9_usize)
            .prop_map(|(shard, name, after, limit)| Call::History { shard, name, after, limit }),
        2 => (shard.clone(), near.clone(), 0..40_u64)
            .prop_map(|(shard, epoch, before)| Call::Compact { shard, epoch, before }),
        1 => (shard.clone(), prop::option::of(0..40_u64)).prop_map(|(shard, next)| Call::NoteReader { shard, next }),
        4 => (shard, near, 0..4_u64, names())
            .prop_map(|(shard, epoch, back, changed)| Call::Snapshot { shard, epoch, back, changed }),
        2 => (0..6_u8, 0..2_u8).prop_map(|(name, body)| Call::PutChunk { name, body }),
        1 => vec(0..6_u8, 0..3).prop_map(Call::RemoveChunks),
    ]
}

fn event(kind: u8, n: usize) -> RecordedEvent {
    let command = format!("{n}");
    match kind {
        0 => lifecycle(&command),
        1 => progress(&command, n as u64),
        2 => received(&command),
        _ => opened(&command),
    }
}

fn chunk(name: u8) -> ChunkId {
    ChunkId(format!("{}/i/{}", name % 2, name / 2).into())
}

/// Executes a call and records the answer and everything visible afterwards.
async fn answer(journal: &Journal, call: &Call, heads: &[(Epoch, Seq); 2], step: usize) -> String {
    let near = |number: u64, by: i8| number.saturating_add_signed(by.into());
    let said = match call {
        Call::Claim { shard, epoch, holder } => {
            let expected = Epoch(near(heads[usize::from(*shard)].0.0, *epoch));
            format!("{:?}", journal.claim(ShardId(*shard), expected, &Holder::new(format!("node-{holder}"))).await)
        }
        Call::Compact { shard, epoch, before } => {
            let epoch = Epoch(near(heads[usize::from(*shard)].0.0, *epoch));
            format!("{:?}", journal.compact(ShardId(*shard), epoch, Seq(*before)).await)
        }
        Call::NoteReader { shard, next } => match next {
            Some(next) => format!("{:?}", journal.note_reader("reader", ShardId(*shard), Seq(*next)).await),
            None => format!("{:?}", journal.forget_reader("reader", ShardId(*shard)).await),
        },
        Call::Append { shard, epoch, place, events } => {
            let (head_epoch, head_next) = heads[usize::from(*shard)];
            let events: Vec<_> =
                events.iter().map(|(name, kind)| (pipeline(ShardId(*shard), *name), event(*kind, step))).collect();
            let (epoch, next) = (Epoch(near(head_epoch.0, *epoch)), Seq(near(head_next.0, *place)));
            format!(
                "{:?} {}",
                journal.append(ShardId(*shard), epoch, next, &encoded(journal, &events)).await,
                events.len()
            )
        }
        Call::Read { shard, from, limit } => format!("{:?}", journal.read(ShardId(*shard), Seq(*from), *limit).await),
        Call::History { shard, name, after, limit } => {
            format!("{:?}", journal.history(&pipeline(ShardId(*shard), *name), *after, *limit).await)
        }
        Call::Snapshot { shard, epoch, back, changed } => {
            let (head_epoch, head_next) = heads[usize::from(*shard)];
            let name = |n: &usize| pipeline(ShardId(*shard), *n);
            let state = Bytes::from(format!("state {step}"));
            let changed: Vec<_> =
                changed.iter().map(|n| Snapshot { pipeline: name(n), state: state.clone() }).collect();
            let (epoch, next) = (Epoch(near(head_epoch.0, *epoch)), Seq(head_next.0.saturating_sub(*back)));
            format!("{:?}", journal.snapshot(ShardId(*shard), epoch, next, changed).await)
        }
        Call::PutChunk { name, body } => format!("{:?}", journal.put_chunk(&chunk(*name), vec![*body; 9].into()).await),
        Call::RemoveChunks(names) => {
            let ids: Vec<_> = names.iter().map(|name| chunk(*name)).collect();
            format!("{:?}", journal.remove_chunks(&ids).await)
        }
    };
    let scope = Scope::Pipeline("1".try_into().unwrap(), "i".try_into().unwrap());
    let mut seen = format!("{said}\n{:?}\n", journal.chunks(&scope).await);
    for shard in [ShardId(0), ShardId(1)] {
        let one = journal.load(&pipeline(shard, 0)).await;
        seen +=
            &format!("{:?}\n{:?}\n{one:?}\n", journal.read(shard, Seq(1), 1_000).await, journal.snapshots(shard).await);
        seen += &format!("{:?}\n", journal.head(shard).await);
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_agree(calls in vec(call(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Journal::new(Arc::new(Sqlite::open(&folder.path().join("journal.db")).unwrap()));
        let memory = Journal::new(Arc::new(Memory::new()));
        runtime.block_on(async {
            let mut heads = [(Epoch(0), Seq(1)); 2];
            for (step, call) in calls.iter().enumerate() {
                let said = answer(&memory, call, &heads, step).await;
                prop_assert_eq!(&said, &answer(&sqlite, call, &heads, step).await, "step {}: {:?}", step, call);
                match call {
                    Call::Claim { shard, .. } => {
                        heads[usize::from(*shard)].0 = memory.head(ShardId(*shard)).await.unwrap().epoch;
                    }
                    Call::Append { shard, events, .. } if said.starts_with("Applied") => {
                        heads[usize::from(*shard)].1.0 += events.len() as u64;
                    }
                    _ => {}
                }
            }
            Ok(())
        })?;
    }
}
