#![allow(clippy::unwrap_used)]
use super::{AppendError, ShardLog, Tail};
use crate::{
    parts::{SystemClock, TokioSpawner},
    shard::{Claimed, PipelineCell, claim_shard},
};
use dataflow_core::{
    id::{Epoch, PipelineId, Seq},
    pipeline::{
        RecordedEvent,
        testing::{command_id, created, described, updated, user},
    },
    shard::ShardId,
    spec::PipelineSpec,
    time::Timestamp,
};
use dataflow_journal::{
    Holder, Journal, Memory,
    fault::{Chances, Fault, Faulty},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const SHARD: ShardId = ShardId(5);
const APPENDS: usize = 20;

/// A node with a log of its own on a journal that fails.
struct Node {
    log: ShardLog,
    cell: Arc<PipelineCell>,
}

impl Node {
    async fn start(memory: &Memory, seed: u64) -> Self {
        let chances = Chances { slow: 100, before: 150, after: 150, late: 150 };
        Self::on(Journal::new(Arc::new(Faulty::seeded(memory.clone(), seed, chances))), seed).await
    }

    async fn on(journal: Journal, seed: u64) -> Self {
        let holder = Holder::new(format!("node-{seed}"));
        let mut expected = Epoch(0);
        let (head, mut loaded) = loop {
            match claim_shard(&journal, SHARD, expected, &holder).await.unwrap() {
                Claimed::Owned(head, loaded) => break (head, loaded),
                Claimed::Held(head) => expected = head.epoch,
                Claimed::Closed(why) => panic!("{why}"),
            }
        };
        let tail = Tail { changed: BTreeMap::new(), events: 0 };
        let clock = Arc::new(SystemClock);
        let log = ShardLog::start(SHARD, (holder, head), tail, Arc::default(), journal, clock, &TokioSpawner);
        let orders = PipelineId::try_from("orders").unwrap();
        let state = loaded.states.remove(&orders).unwrap_or_default();
        let cell = PipelineCell::new(orders, state);
        Self { log, cell }
    }

    /// Appends an event about a spec that has this description.
    async fn append_one(&self, name: &str, description: &str) -> Result<(), AppendError> {
        let event = {
            let state = self.cell.state();
            let spec = PipelineSpec { description: description.into(), ..described() };
            let event = if state.pipeline().is_some() { updated(spec) } else { created() };
            let (number, command) = (state.events() + 1, command_id(name));
            RecordedEvent {
                number,
                at: Timestamp(0),
                actor: user(),
                reason: None,
                trace: None,
                command,
                hash: None,
                branch: 0,
                event,
            }
        };
        self.log.append(&self.cell, vec![event]).await
    }

    /// Appends one event after the other; the names of those that were called applied.
    async fn append(&self, node: &str) -> Vec<String> {
        let mut applied = Vec::new();
        for number in 0..APPENDS {
            let name = format!("{node}-{number}");
            match self.append_one(&name, "all orders").await {
                Ok(()) => applied.push(name),
                Err(AppendError::Fenced) => break,
                Err(other) => panic!("{other}"),
            }
        }
        applied
    }
}

/// A node takes a shard over from one that has not noticed yet. Whatever answers both lose, the one that came last owns it in the
/// end, and what either was told is applied is there once.
#[tokio::test(start_paused = true)]
async fn of_two_nodes_that_settle_at_once_the_successor_stays() {
    for seed in 0..300 {
        let memory = Memory::new();
        let old = Node::start(&memory, 2 * seed).await;
        let before = old.append("before").await;
        assert_eq!(before.len(), APPENDS, "seed {seed}: nobody else is there yet");
        let (during, (new, after)) = tokio::join!(old.append("during"), async {
            tokio::time::sleep(Duration::from_millis(seed * 7 % 300)).await;
            let new = Node::start(&memory, 2 * seed + 1).await;
            let after = new.append("after").await;
            (new, after)
        });
        assert!(!new.log.lost().is_cancelled(), "seed {seed}: the shard was taken back from its successor");
        assert_eq!(after.len(), APPENDS, "seed {seed}");
        let written = Journal::new(Arc::new(memory)).read(SHARD, Seq(1), 1_000).await.unwrap().entries;
        let written: Vec<_> = written.into_iter().map(|entry| entry.event.command.to_string()).collect();
        let told = [before, during, after].concat();
        // An event whose outcome was not known when its node was replaced may be there, untold.
        let told_of_written: Vec<_> = written.iter().filter(|name| told.contains(name)).cloned().collect();
        assert_eq!(told_of_written, told, "seed {seed}");
        assert!(written.len() <= told.len() + 1, "seed {seed}: {written:?}");
    }
}

/// Before its chunks are stored, nothing of an append can be written: there is nothing to settle.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_staged_is_staged_again_in_the_same_epoch() {
    let store = Arc::new(Faulty::scripted(Memory::new(), []));
    let node = Node::on(Journal::new(store.clone()), 1).await;
    node.append_one("short", "").await.unwrap();
    let epoch = node.log.epoch();
    store.script([Fault::Before, Fault::After, Fault::Before]);
    node.append_one("long", &"d".repeat(100_000)).await.unwrap();
    assert_eq!(node.log.epoch(), epoch);
}
