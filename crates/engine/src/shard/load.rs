//! Making states from snapshots and the log's tail.
use super::stored;
use dataflow_core::{
    id::{Epoch, PipelineId, Seq},
    pipeline::{State, evolve},
    shard::ShardId,
};
use dataflow_journal::{Claim, Entry, Error, Head, Holder, Journal};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Events read at once.
const PAGE: usize = 1_000;
/// How long a node that starts waits for its journal.
const PATIENCE: Duration = Duration::from_secs(30);
/// Wait between tries.
const RETRY: Duration = Duration::from_millis(200);

/// All states of a shard, and which of them have changed since the last snapshot.
pub(crate) struct Loaded {
    pub(crate) states: BTreeMap<PipelineId, State>,
    pub(crate) changed: Vec<PipelineId>,
    /// Events since the last snapshot.
    pub(crate) tail: usize,
}

/// What became of a claim.
pub(crate) enum Claimed {
    Owned(Head, Loaded),
    /// The epoch is not the expected one.
    Held(Head),
    /// Something that its pipelines depend on is damaged in the journal, or another build has written it.
    Closed(Error),
}

/// Takes over a shard of this epoch and loads its pipelines. While the journal can't be reached it is asked again, for half a
/// minute.
pub(crate) async fn claim_shard(
    journal: &Journal,
    shard: ShardId,
    expected: Epoch,
    holder: &Holder,
) -> Result<Claimed, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let claimed = async {
            let head = match journal.claim(shard, expected, holder).await? {
                Claim::Claimed(head) => head,
                Claim::Held(head) => return Ok(Claimed::Held(head)),
            };
            match load_shard(journal, shard, &head).await {
                Ok(loaded) => Ok(Claimed::Owned(head, loaded)),
                Err(why @ (Error::Corrupt(_) | Error::OtherBuild(_))) => Ok(Claimed::Closed(why)),
                Err(error) => Err(error),
            }
        };
        match claimed.await {
            Err(Error::Unavailable(reason)) if Instant::now() < deadline => {
                tracing::warn!(shard = shard.0, reason, "the journal can't be reached; asking again");
                tokio::time::sleep(RETRY).await;
            }
            // Its head, too, is one of its shards'.
            Err(why @ Error::Corrupt(_)) => return Ok(Claimed::Closed(why)),
            outcome => return outcome,
        }
    }
}

/// Loads all pipelines of a shard that was claimed.
async fn load_shard(journal: &Journal, shard: ShardId, head: &Head) -> Result<Loaded, Error> {
    let loaded = read_shard(journal, shard).await?;
    // Only now: what this build can't read may name more.
    journal.collect(shard, head.epoch, head.next_seq).await;
    Ok(loaded)
}

/// Reads all pipelines of a shard: snapshots, then the log from there on.
pub(crate) async fn read_shard(journal: &Journal, shard: ShardId) -> Result<Loaded, Error> {
    let (snapshots, next) = journal.recover(shard).await?;
    let mut states = BTreeMap::new();
    for snapshot in snapshots {
        let state = decode(journal, &snapshot.pipeline, &snapshot.state)?;
        states.insert(snapshot.pipeline, state);
    }
    let mut changed = Vec::new();
    let mut tail = 0;
    read_all(journal, shard, next, |entry| {
        tail += 1;
        if !changed.contains(&entry.pipeline) {
            changed.push(entry.pipeline.clone());
        }
        let state = states.remove(&entry.pipeline).unwrap_or_default();
        states.insert(entry.pipeline.clone(), apply(state, &entry)?);
        Ok(())
    })
    .await?;
    Ok(Loaded { states, changed, tail })
}

/// Loads one pipeline.
pub(crate) async fn load_pipeline(journal: &Journal, pipeline: &PipelineId) -> Result<State, Error> {
    let (snapshot, since) = journal.load(pipeline).await?;
    let state = snapshot.map(|bytes| decode(journal, pipeline, &bytes)).transpose()?.unwrap_or_default();
    since.iter().try_fold(state, apply)
}

async fn read_all(
    journal: &Journal,
    shard: ShardId,
    mut from: Seq,
    mut each: impl FnMut(Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        let run = journal.read(shard, from, PAGE).await?;
        if run.next == from {
            return Ok(());
        }
        from = run.next;
        for entry in run.entries {
            each(entry)?;
        }
    }
}

fn apply(state: State, entry: &Entry) -> Result<State, Error> {
    evolve(&entry.pipeline, state, &entry.event).map_err(|error| Error::Corrupt(format!("at {}: {error}", entry.seq)))
}

fn decode(journal: &Journal, pipeline: &PipelineId, bytes: &[u8]) -> Result<State, Error> {
    let of_it = |what| format!("the snapshot of pipeline {pipeline} {what}");
    stored::decode(bytes, journal.newest_level()).map_err(|error| match error {
        Error::Corrupt(what) => Error::Corrupt(of_it(what)),
        Error::OtherBuild(what) => Error::OtherBuild(of_it(what)),
        other => other,
    })
}
