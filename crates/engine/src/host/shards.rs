//! Taking shards over and letting them go.
use super::{Region, Shard, closed};
use crate::shard::{PipelineCell, ShardLog, Tail, claim_shard};
use async_trait::async_trait;
use dataflow_core::{pipeline::Branch, shard::ShardId};
use dataflow_journal::Error;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_util::task::TaskTracker;

/// The shards that a node owns: taken over and let go one by one. A single node takes all at its start and lets them go at its
/// end; a cluster does so as it assigns them.
#[async_trait]
pub trait ShardHost: Send + Sync {
    /// Takes a shard over: claims its log, loads its pipelines, and lets those go on that ran. One of which the journal has
    /// something damaged stays closed. Nothing happens to one that is owned already.
    ///
    /// # Errors
    /// If the journal can't be read at all.
    async fn acquire(&self, shard: ShardId) -> Result<(), Error>;
    /// Ends a shard's runs after what is under way, takes its snapshot, and lets it go: who acquires it next finds all settled.
    async fn release(&self, shard: ShardId);
    /// The shards that were acquired, except for closed ones and those that another node has taken over since.
    fn owned(&self) -> Vec<ShardId>;
}

#[async_trait]
impl ShardHost for Region {
    async fn acquire(&self, shard: ShardId) -> Result<(), Error> {
        if self.owned().contains(&shard) {
            return Ok(());
        }
        let (region, parts) = (&self.0, &self.0.context.parts);
        let hold = |held| region.shards.write().unwrap_or_else(PoisonError::into_inner).insert(shard, held);
        let (head, loaded) = match claim_shard(&parts.journal, shard, &region.holder).await? {
            Ok(claimed) => claimed,
            Err(why) => {
                tracing::error!("{}; none of its pipelines runs, and the node is not ready", closed(shard, &why));
                hold(Err(why));
                return Ok(());
            }
        };
        let (mut changed, mut awake) = (BTreeMap::new(), Vec::new());
        for (pipeline, state) in loaded.states {
            region.context.directory.note(&pipeline, &state);
            let runs = |branch: &Branch| branch.running().is_some() || branch.restart_at().is_some();
            let runs = state.pipeline().is_some_and(|pipeline| pipeline.branches.values().any(runs));
            let is_changed = loaded.changed.contains(&pipeline);
            if runs || is_changed {
                let cell = PipelineCell::new(pipeline.clone(), state);
                if is_changed {
                    changed.insert(pipeline, cell.clone());
                }
                if runs {
                    awake.push(cell);
                }
            }
        }
        let tail = Tail { changed, events: loaded.tail };
        let (journal, clock, spawner) = (parts.journal.clone(), parts.clock.clone(), &*parts.spawner);
        let held = Arc::new(Shard {
            log: ShardLog::start(shard, (region.holder.clone(), head), tail, journal, clock, spawner),
            entities: Mutex::default(),
            closing: region.context.closing.child_token(),
            tasks: TaskTracker::new(),
        });
        hold(Ok(held.clone()));
        for cell in awake {
            let pipeline = cell.pipeline.clone();
            region.wake(&held, &mut held.entities(), &pipeline, Some(cell));
        }
        Ok(())
    }

    async fn release(&self, shard: ShardId) {
        let Some(Ok(held)) = self.0.shards().get(&shard).cloned() else { return };
        {
            // What is sent under the lock is taken by an entity that is waited for, or refused.
            let _sending = held.entities();
            held.closing.cancel();
            held.tasks.close();
        }
        held.tasks.wait().await;
        held.log.snapshot().await;
        self.0.shards.write().unwrap_or_else(PoisonError::into_inner).remove(&shard);
        self.0.context.directory.forget(shard);
    }

    fn owned(&self) -> Vec<ShardId> {
        let shards = self.0.shards();
        let owned = shards.iter().filter(|(_, held)| held.as_ref().is_ok_and(|held| !held.log.lost().is_cancelled()));
        owned.map(|(shard, _)| *shard).collect()
    }
}
