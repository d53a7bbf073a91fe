//! The engine of a node: takes all shards over at its start, and lets them go at its end.
use crate::{
    directory::Directory,
    entity::EntityContext,
    host::{Region, ShardHost},
    parts::Parts,
    region::ShardRegion,
    restored::Restored,
};
use dataflow_core::shard::ShardId;
use dataflow_journal::{Error, Holder, Journal};
use dataflow_sdk::Paths;
use futures::{StreamExt, TryStreamExt, stream};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Shards taken over at once.
const LOADS: usize = 64;

/// How often it is looked whether this node can write its journal and still owns its shards.
const LOOK: Duration = Duration::from_secs(1);

/// How long a journal that can't be written is waited for when the engine ends.
const GIVE_UP: Duration = Duration::from_secs(5);

/// What the engine is told of its node.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Which files pipelines may touch.
    pub paths: Arc<Paths>,
    /// Most lanes that a pipeline gets where its spec names none: the node's cores.
    pub default_lanes: u32,
    /// What its journal had of pushes when it was restored.
    pub restored: Arc<Restored>,
}

/// The engine of a node.
#[derive(Debug)]
pub struct Engine {
    region: Region,
    journal: Journal,
}

/// Looks again and again whether this node can write its journal, and still owns its shards. One that was frozen (or its machine) may have been
/// replaced meanwhile, and must let go of files and locks even if it has nothing to write.
async fn watch_ownership(region: Region, journal: Journal, closing: CancellationToken) {
    let looking = async {
        loop {
            tokio::time::sleep(LOOK).await;
            look_at(&journal, &region).await;
            match journal.epochs(&region.owned()).await {
                Ok(epochs) => region.seen(&epochs),
                Err(error) => tracing::debug!(%error, "can't check whether this node still owns its shards"),
            }
        }
    };
    tokio::select! {
        () = closing.cancelled() => {}
        () = looking => {}
    }
}

/// Looks whether the journal can be written.
async fn look_at(journal: &Journal, region: &Region) {
    // It looks at files and their disk.
    let journal = journal.clone();
    match tokio::task::spawn_blocking(move || journal.unwritable()).await {
        Ok(why) => region.note_unwritable(why),
        Err(error) => tracing::error!(%error, "can't check whether the journal is writable"),
    }
}

impl Default for EngineSettings {
    /// All files; as many lanes as the machine has cores.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { paths: Arc::default(), default_lanes: u32::try_from(cores).unwrap_or(1), restored: Arc::default() }
    }
}

impl Engine {
    /// [Acquires](ShardHost::acquire) all shards, from whoever had them. One of which the journal has something damaged stays closed, and the others do
    /// without it.
    ///
    /// # Errors
    /// If the journal can't be read at all.
    pub async fn start(settings: EngineSettings, parts: Parts) -> Result<Self, Error> {
        let directory = Arc::new(Directory::default());
        let context = EntityContext {
            paths: settings.paths,
            default_lanes: settings.default_lanes.max(1),
            restored: settings.restored,
            directory: directory.clone(),
            closing: CancellationToken::new(),
            parts,
        };
        let journal = context.parts.journal.clone();
        let holder = Holder::new(context.parts.rng.name());
        let (spawner, closing) = (context.parts.spawner.clone(), context.closing.clone());
        let region = Region::new(holder, context);
        let acquired = stream::iter(ShardId::all().map(|shard| region.take_over(shard))).buffered(LOADS);
        if let Err(error) = acquired.try_collect::<()>().await {
            closing.cancel();
            return Err(error);
        }
        spawner.spawn("ownership", Box::pin(watch_ownership(region.clone(), journal.clone(), closing)));
        Ok(Self { region, journal })
    }

    /// The door to all pipelines.
    pub fn region(&self) -> Arc<dyn ShardRegion> {
        Arc::new(self.region.clone())
    }

    /// The shards that this node owns.
    pub fn shards(&self) -> Arc<dyn ShardHost> {
        Arc::new(self.region.clone())
    }

    /// Ends all runs after what is under way, and takes snapshots. False if that was not over by the deadline, or can't be;
    /// what was under way then is settled at the next start.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.region.close() => true,
            () = tokio::time::sleep(deadline) => false,
            () = self.can_not_be_settled() => false,
        }
    }

    /// Waits until the journal could not be written for so long that nothing which waits for it is worth waiting for.
    pub async fn can_not_be_settled(&self) {
        while self.region.unwritable_for() < GIVE_UP {
            tokio::time::sleep(LOOK).await;
            look_at(&self.journal, &self.region).await;
        }
    }
}
