//! The local shard region: the shards that this node owns, and their entities.
mod looked;
mod pushed;
mod shards;
mod unwritable;

pub use shards::{Acquired, ShardHost};

use crate::{
    answers::{Listing, Measured, Overview},
    entity::{Entity, EntityContext, Mail},
    region::{Action, AskError, ListQuery, Message, Query, Reply, ShardRegion, ShardingEnvelope, UserCommand},
    shard::{PipelineCell, ShardLog, load_pipeline},
};
use async_trait::async_trait;
use dataflow_core::{
    branch::BranchNumber,
    id::{Epoch, PipelineId},
    pipeline::{State, Status},
    shard::ShardId,
};
use dataflow_journal::{Error, Holder};
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use unwritable::Unwritable;

/// What is said while the node ends.
const ENDING: &str = "the node is shutting down";
/// Messages that wait for one entity.
const MAILBOX: usize = 256;
/// How long a watcher waits at most before it is told to look again.
const WATCH: Duration = Duration::from_millis(500);
/// How long a request waits for its answer at least while the journal can't be written.
const AWAY: Duration = Duration::from_secs(5);
#[derive(Debug)]
struct Shard {
    log: ShardLog,
    entities: Mutex<HashMap<PipelineId, Handle>>,
    /// It is released: runs end after what is under way, and nothing is taken any more.
    closing: CancellationToken,
    /// The entities' tasks.
    tasks: TaskTracker,
}

/// A shard that was acquired.
#[derive(Clone, Debug)]
enum ShardState {
    /// It is this node's, unless its log was lost meanwhile.
    Open(Arc<Shard>),
    /// It can't be read, and why.
    Closed(Error),
    /// Another node has taken it over.
    Lost,
}

/// The door to an entity in memory.
#[derive(Clone, Debug)]
struct Handle {
    mailbox: mpsc::Sender<Mail>,
    cell: Arc<PipelineCell>,
}

impl Shard {
    fn entities(&self) -> MutexGuard<'_, HashMap<PipelineId, Handle>> {
        self.entities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shards of this node, as the doors see them.
#[derive(Clone, Debug)]
pub(crate) struct Region(Arc<LocalRegion>);

impl Region {
    /// A region that owns nothing yet; `holder` is what the journal calls this node.
    pub(crate) fn new(holder: Holder, context: EntityContext) -> Self {
        let (shards, unwritable, openings) = (Mutex::default(), Mutex::default(), Arc::default());
        let turns = ShardId::all().map(|_| tokio::sync::Mutex::default()).collect();
        Self(Arc::new(LocalRegion { holder, shards, turns, context, unwritable, openings }))
    }

    /// The journal has these epochs: shards that another node owns by now are let go.
    pub(crate) fn seen(&self, epochs: &[(ShardId, Epoch)]) {
        for (shard, epoch) in epochs {
            if let Some(ShardState::Open(held)) = self.0.shards().get(shard) {
                held.log.seen(*epoch);
            }
        }
    }

    /// Ends all runs after what is under way, and takes snapshots.
    pub(crate) async fn close(&self) {
        self.0.context.closing.cancel();
        // Also those that are just being acquired.
        futures::future::join_all(ShardId::all().map(|shard| self.release(shard))).await;
    }
}

#[derive(Debug)]
struct LocalRegion {
    holder: Holder,
    /// Those that were acquired and not released: changed as a whole, so that who looks at them holds no lock.
    shards: Mutex<Arc<BTreeMap<ShardId, ShardState>>>,
    /// One for each shard: it is taken over and let go in turn.
    turns: Box<[tokio::sync::Mutex<()>]>,
    context: EntityContext,
    unwritable: Mutex<Option<Unwritable>>,
    /// Counts the openings of lanes of all shards while the node runs: it then comes back under higher epochs.
    openings: Arc<AtomicU64>,
}

impl LocalRegion {
    /// The shards as they are now.
    fn shards(&self) -> Arc<BTreeMap<ShardId, ShardState>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The shard of a pipeline, if it was acquired and is not closed.
    fn shard(&self, pipeline: &PipelineId) -> Result<Arc<Shard>, AskError> {
        let shard = ShardId::of(pipeline);
        match self.shards().get(&shard) {
            Some(ShardState::Open(held)) => Ok(held.clone()),
            Some(ShardState::Closed(why @ Error::OtherBuild(_))) => Err(AskError::OtherBuild(closed(shard, why))),
            Some(ShardState::Closed(why)) => Err(AskError::Damaged(closed(shard, why))),
            None if self.context.closing.is_cancelled() => Err(AskError::Unavailable(ENDING.into())),
            Some(ShardState::Lost) | None => Err(AskError::NotOwner(shard)),
        }
    }

    /// All shards that are not closed.
    fn open(&self) -> Vec<Arc<Shard>> {
        let open = |state: &ShardState| match state {
            ShardState::Open(held) => Some(held.clone()),
            ShardState::Closed(_) | ShardState::Lost => None,
        };
        self.shards().values().filter_map(open).collect()
    }

    /// Why those are closed that are.
    fn closed(&self) -> Vec<String> {
        let why = |(shard, state): (&ShardId, &ShardState)| match state {
            ShardState::Closed(why) => Some(closed(*shard, why)),
            ShardState::Open(_) | ShardState::Lost => None,
        };
        self.shards().iter().filter_map(why).collect()
    }

    /// The entity of a pipeline, taken into memory if it is not there.
    fn wake(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        entities: &mut HashMap<PipelineId, Handle>,
        pipeline: &PipelineId,
        cell: Option<Arc<PipelineCell>>,
    ) -> Handle {
        if let Some(handle) = entities.get(pipeline).filter(|handle| !handle.mailbox.is_closed()) {
            return handle.clone();
        }
        let log = shard.log.clone();
        let known = cell.or_else(|| log.changed(pipeline));
        let loaded = known.is_some();
        let cell = known.unwrap_or_else(|| PipelineCell::new(pipeline.clone(), State::Empty));
        let (mailbox, inbox) = mpsc::channel(MAILBOX);
        let handle = Handle { mailbox, cell: cell.clone() };
        entities.insert(pipeline.clone(), handle.clone());
        let entity = Entity::new(cell.clone(), log, self.context.clone(), shard.closing.clone());
        let task = live(shard.clone(), entity, cell, loaded, inbox);
        self.context.parts.spawner.spawn("entity", Box::pin(shard.tasks.track_future(task)));
        handle
    }

    /// Delivers a message to the entity's mailbox.
    fn deliver(
        self: &Arc<Self>,
        pipeline: &PipelineId,
        command: UserCommand,
        decided: CancellationToken,
    ) -> Result<(oneshot::Receiver<Result<Reply, AskError>>, Handle), AskError> {
        if self.context.closing.is_cancelled() {
            return Err(AskError::Unavailable(ENDING.into()));
        }
        let (reply, answer) = oneshot::channel();
        // Sent under the lock, so that an entity that leaves memory has either got the message or is not found.
        let shard = self.shard(pipeline)?;
        let mut entities = shard.entities();
        if shard.closing.is_cancelled() {
            return Err(AskError::NotOwner(ShardId::of(pipeline)));
        }
        let handle = self.wake(&shard, &mut entities, pipeline, None);
        handle.mailbox.try_send(Mail { command, decided, reply }).map_err(|_| {
            AskError::Unavailable(format!("pipeline {pipeline} has {MAILBOX} requests waiting; try again later"))
        })?;
        Ok((answer, handle))
    }

    /// The answer of an entity. While the journal can't be written it may never come: then why.
    async fn answered(
        &self,
        shard: ShardId,
        answer: oneshot::Receiver<Result<Reply, AskError>>,
    ) -> Result<Reply, AskError> {
        let away = async {
            tokio::time::sleep(AWAY).await;
            loop {
                if let Some(why) = self.why_unwritable() {
                    return why;
                }
                tokio::time::sleep(WATCH).await;
            }
        };
        tokio::select! {
            answer = answer => {
                answer.unwrap_or(Err(AskError::NotOwner(shard)))
            }
            why = away => Err(AskError::Unavailable(format!(
                "the journal can't be written; the request is carried out once it can: {why}"
            ))),
        }
    }
}

/// Says that a shard is closed, and why.
fn closed(shard: ShardId, why: &Error) -> String {
    format!("shard {shard} is closed because {why}")
}

/// Loads an entity if need be, and lets it live.
async fn live(
    shard: Arc<Shard>,
    entity: Entity,
    cell: Arc<PipelineCell>,
    loaded: bool,
    mut inbox: mpsc::Receiver<Mail>,
) {
    if !loaded {
        match load_pipeline(&entity.context.parts.journal, &cell.pipeline).await {
            Ok(state) => *cell.state() = state,
            Err(error) => {
                tracing::error!(pipeline = %cell.pipeline, %error, "the pipeline can't be loaded");
                shard.entities().remove(&cell.pipeline);
                inbox.close();
                while let Some(mail) = inbox.recv().await {
                    if mail.reply.send(Err(error.clone().into())).is_err() {
                        tracing::trace!("nobody waits for this answer any more");
                    }
                }
                return;
            }
        }
    }
    let may_leave = |inbox: &mpsc::Receiver<Mail>| {
        let mut entities = shard.entities();
        let free = inbox.is_empty();
        // Where this one takes no messages any more, another may have taken its place.
        let own = entities.get(&cell.pipeline).is_some_and(|handle| handle.mailbox.is_closed() == inbox.is_closed());
        if free && own {
            entities.remove(&cell.pipeline);
        }
        free
    };
    entity.run(inbox, may_leave).await;
}

#[async_trait]
impl ShardRegion for Region {
    async fn ask(&self, envelope: ShardingEnvelope) -> Result<Reply, AskError> {
        let ShardingEnvelope { pipeline, message } = envelope;
        let command = match message {
            Message::Query(asked) => return self.0.asked(&pipeline, asked).await,
            Message::Command(command) => command,
        };
        let wait = command.action.wait();
        let delivered = match &command.action {
            Action::Ingest { delivered, .. } => *delivered,
            _ => None,
        };
        if matches!(command.action, Action::Ingest { .. }) {
            self.0.decided(&pipeline).await;
        }
        let decided = CancellationToken::new();
        let (answer, handle) = self.0.deliver(&pipeline, command, decided.clone())?;
        let answer = self.0.answered(ShardId::of(&pipeline), answer);
        let reply = match wait {
            None => answer.await?,
            Some(wait) => {
                let waited = async {
                    decided.cancelled().await;
                    tokio::time::sleep(wait).await;
                };
                tokio::select! {
                    biased;
                    answer = answer => answer?,
                    // Not over yet: what it is meanwhile.
                    () = waited => self.0.query(&pipeline, None, Query::State).await?,
                }
            }
        };
        match (reply, delivered) {
            (Reply::Received(mut received), Some(within)) => {
                let begun = Instant::now();
                let left = || within.saturating_sub(begun.elapsed());
                let mut delivered = self.0.delivered(&handle.cell, received.to, left()).await;
                if delivered {
                    let pushed = (received.to.saturating_sub(received.accepted), received.to);
                    let dead = self.0.dead_between(&handle.cell, pushed).await?;
                    // Who is told of dead letters can read them.
                    delivered = dead == 0 || self.0.journalled(&handle.cell, left()).await;
                    received.dead = delivered.then_some(dead);
                }
                received.delivered = Some(delivered);
                Ok(Reply::Received(received))
            }
            (reply, _) => Ok(reply),
        }
    }

    async fn list(&self, query: ListQuery) -> Result<Listing, AskError> {
        let mut ids = self.0.context.directory.find(&query);
        let more = ids.len() > query.limit;
        ids.truncate(query.limit);
        let next = ids.last().filter(|_| more).cloned();
        if self.0.context.closing.is_cancelled() {
            return Err(AskError::Unavailable(ENDING.into()));
        }
        let found = async |id| match self.0.snapshot(&id).await {
            // Its shard has moved since it was found: its owner lists it.
            Err(AskError::NotOwner(_)) => Ok(None),
            found => found,
        };
        let snapshots = stream::iter(ids).map(found).buffered(32);
        // Some may have been deleted since they were found.
        let pipelines = snapshots.try_filter_map(async |snapshot| Ok(snapshot)).try_collect().await?;
        Ok(Listing { pipelines, next, closed: self.0.closed() })
    }

    async fn overview(&self) -> Overview {
        let open = self.0.open();
        let entities = open.iter().map(|shard| shard.entities().len()).sum();
        let running =
            |shard: &Arc<Shard>| shard.entities().values().map(|handle| handle.cell.live().len()).sum::<usize>();
        Overview {
            shards_owned: self.owned().len(),
            shards_assigned: self.0.shards().len(),
            by_status: self.0.context.directory.by_status(),
            entities,
            runs: open.iter().map(running).sum(),
            unwritable: self.0.why_unwritable(),
            closed: self.0.closed(),
        }
    }

    async fn measured(&self) -> Vec<Measured> {
        let lag = |(number, measured): (BranchNumber, Measured)| {
            let cell = self.0.awake(&measured.pipeline).filter(|_| measured.status == Status::Running);
            let live = cell.and_then(|cell| cell.live().get(&number).cloned());
            Measured { lag: live.and_then(|live| live.measured_lag()), ..measured }
        };
        self.0.context.directory.measured().into_iter().map(lag).collect()
    }

    async fn changed(&self, pipeline: &PipelineId, seen: u64) -> u64 {
        let open = self.0.shard(pipeline).ok().filter(|_| !self.0.context.closing.is_cancelled());
        let Some(shard) = open else {
            tokio::time::sleep(WATCH).await;
            return seen;
        };
        let mut changes = self.0.wake(&shard, &mut shard.entities(), pipeline, None).cell.changes();
        let changed = changes.wait_for(|changes| *changes > seen);
        let now = match tokio::time::timeout(WATCH, changed).await {
            Ok(Ok(now)) => Some(*now),
            Ok(Err(_)) | Err(_) => None,
        };
        now.unwrap_or_else(|| *changes.borrow())
    }
}
