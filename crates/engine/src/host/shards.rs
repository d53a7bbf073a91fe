//! Taking shards over and letting them go.
use super::{ENDING, LocalRegion, Region, Shard, ShardState, closed};
use crate::shard::{Claimed, PipelineCell, ShardLog, Tail, claim_shard};
use async_trait::async_trait;
use dataflow_core::{id::Epoch, pipeline::Branch, shard::ShardId};
use dataflow_journal::{Error, Head};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_util::task::TaskTracker;

/// The shards that a node owns: taken over and let go one by one. A single node takes all at its start and lets them go at its
/// end; a cluster does so as it assigns them. Calls for one shard are carried out one after the other.
#[async_trait]
pub trait ShardHost: Send + Sync {
    /// Takes over a shard whose epoch is `expected`: claims its log, loads its pipelines, and lets those go on that ran. Nothing
    /// happens to one that is owned already. A call whose answer was lost may be repeated.
    ///
    /// # Errors
    /// If the journal can't be read at all, or the node is shutting down.
    async fn acquire(&self, shard: ShardId, expected: Epoch) -> Result<Acquired, Error>;
    /// Ends a shard's runs after what is under way, takes its snapshot, and lets it go: who acquires it next finds all settled.
    async fn release(&self, shard: ShardId);
    /// The shards that were acquired, except for closed ones and those that another node has taken over since.
    fn owned(&self) -> Vec<ShardId>;
}

/// What became of a shard that was to be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is this node's, under this epoch.
    Owned(Epoch),
    /// It has another epoch than the expected one: whoever assigned it did not know its last owner. Nothing was changed.
    Held(Head),
    /// It stays closed, as the journal has something damaged of it, or something that another build has written: its log says
    /// which. Nobody else can do more with it.
    Closed,
}

#[async_trait]
impl ShardHost for Region {
    async fn acquire(&self, shard: ShardId, expected: Epoch) -> Result<Acquired, Error> {
        let (region, parts) = (&self.0, &self.0.context.parts);
        let _turn = region.turn(shard).lock().await;
        if region.context.closing.is_cancelled() {
            return Err(Error::Unavailable(ENDING.into()));
        }
        match region.state(shard) {
            Some(ShardState::Open(held)) if !held.log.lost().is_cancelled() => {
                return Ok(Acquired::Owned(held.log.epoch()));
            }
            // What is left of it has to end before it begins anew.
            Some(ShardState::Open(held)) => region.end(&held).await,
            Some(ShardState::Closed(_) | ShardState::Lost) | None => {}
        }
        let (head, loaded) = match claim_shard(&parts.journal, shard, expected, &region.holder).await? {
            Claimed::Owned(head, loaded) => (head, loaded),
            Claimed::Held(head) => return Ok(Acquired::Held(head)),
            Claimed::Closed(why) => {
                region.close(shard, why);
                return Ok(Acquired::Closed);
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
        let (tail, epoch) = (Tail { changed, events: loaded.tail }, head.epoch);
        let (openings, journal, clock) = (region.openings.clone(), parts.journal.clone(), parts.clock.clone());
        let owner = (region.holder.clone(), head);
        let held = Arc::new(Shard {
            log: ShardLog::start(shard, owner, tail, openings, journal, clock, &*parts.spawner),
            entities: Mutex::default(),
            closing: region.context.closing.child_token(),
            tasks: TaskTracker::new(),
        });
        region.set(shard, Some(ShardState::Open(held.clone())));
        for cell in awake {
            let pipeline = cell.pipeline.clone();
            region.wake(&held, &mut held.entities(), &pipeline, Some(cell));
        }
        parts.spawner.spawn("shard", Box::pin(region.clone().let_go_once_lost(shard, held)));
        Ok(Acquired::Owned(epoch))
    }

    async fn release(&self, shard: ShardId) {
        let region = &self.0;
        let _turn = region.turn(shard).lock().await;
        if let Some(ShardState::Open(held)) = region.state(shard) {
            region.end(&held).await;
            held.log.snapshot().await;
        }
        region.set(shard, None);
        region.context.directory.forget(shard);
    }

    fn owned(&self) -> Vec<ShardId> {
        let is_owned = |state: &ShardState| matches!(state, ShardState::Open(held) if !held.log.lost().is_cancelled());
        self.0.shards().iter().filter(|(_, state)| is_owned(state)).map(|(shard, _)| *shard).collect()
    }
}

impl Region {
    /// Takes a shard over from whoever has it, for the only node of its journal.
    ///
    /// # Errors
    /// If the journal can't be read at all.
    pub(crate) async fn take_over(&self, shard: ShardId) -> Result<(), Error> {
        // Where that can't be read, the claim says why.
        let mut expected = self.0.context.parts.journal.head(shard).await.map_or(Epoch(0), |head| head.epoch);
        loop {
            match self.acquire(shard, expected).await? {
                Acquired::Owned(_) | Acquired::Closed => return Ok(()),
                Acquired::Held(head) => expected = head.epoch,
            }
        }
    }
}

impl LocalRegion {
    /// Whose turn it is to take a shard over or let it go.
    fn turn(&self, shard: ShardId) -> &tokio::sync::Mutex<()> {
        &self.turns[usize::from(shard.0)]
    }

    fn state(&self, shard: ShardId) -> Option<ShardState> {
        self.shards().get(&shard).cloned()
    }

    fn set(&self, shard: ShardId, state: Option<ShardState>) {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let shards = Arc::make_mut(&mut shards);
        match state {
            Some(state) => shards.insert(shard, state),
            None => shards.remove(&shard),
        };
    }

    /// A shard whose pipelines can't be read.
    fn close(&self, shard: ShardId, why: Error) {
        tracing::error!("{}; none of its pipelines runs, and the node is not ready", closed(shard, &why));
        self.set(shard, Some(ShardState::Closed(why)));
    }

    /// Ends the entities of a shard. What is sent to them under their lock is taken by one that is waited for, or refused.
    async fn end(&self, held: &Shard) {
        {
            let _sending = held.entities();
            held.closing.cancel();
            held.tasks.close();
        }
        held.tasks.wait().await;
    }

    /// Once another node has taken a shard over, ends what is left of it here: its pipelines are listed and counted there.
    async fn let_go_once_lost(self: Arc<Self>, shard: ShardId, held: Arc<Shard>) {
        tokio::select! {
            () = held.closing.cancelled() => return,
            () = held.log.lost().cancelled() => {}
        }
        let _turn = self.turn(shard).lock().await;
        self.end(&held).await;
        if matches!(self.state(shard), Some(ShardState::Open(now)) if Arc::ptr_eq(&now, &held)) {
            self.set(shard, Some(ShardState::Lost));
            self.context.directory.forget(shard);
        }
    }
}
