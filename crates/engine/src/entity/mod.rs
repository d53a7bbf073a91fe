//! One pipeline, alive: takes messages one at a time, decides, has the events appended, performs the effects, answers.
mod commands;
mod inbox;
mod ingest;
mod join;
mod queries;
mod settle;
pub(crate) mod snapshot;
mod supervise;
mod update;

pub(crate) use queries::answer_query;

use crate::{
    directory::Directory,
    parts::Parts,
    region::{AskError, Reply, UserCommand},
    restored::Restored,
    shard::{AppendError, PipelineCell, ShardLog},
    status::Trouble,
    telemetry,
};
use dataflow_core::{
    branch::BranchNumber,
    chunk::{ChunkId, ChunkName, Content},
    id::{Actor, CommandId, SinkName},
    pipeline::{Branch, Command, CommandKind, Decision, Effect, Event, Pipeline, RecordedEvent, Rejected, decide},
    shard::ShardId,
    time::Timestamp,
};
use dataflow_sdk::Paths;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use supervise::ActiveRun;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// An entity that nothing was asked of for so long, and that runs nothing, leaves memory.
const IDLE: Duration = Duration::from_secs(60);

/// A command and where its answer goes.
pub(crate) struct Mail {
    pub(crate) command: UserCommand,
    /// Is cancelled once a command is decided whose answer waits for a stop.
    pub(crate) decided: CancellationToken,
    pub(crate) reply: oneshot::Sender<Result<Reply, AskError>>,
}

/// What all entities of a node share.
#[derive(Clone, Debug)]
pub(crate) struct EntityContext {
    pub(crate) parts: Parts,
    pub(crate) directory: Arc<Directory>,
    /// The files that connectors may touch.
    pub(crate) paths: Arc<Paths>,
    /// Most lanes that a pipeline gets by default.
    pub(crate) default_lanes: u32,
    /// What the journal had of pushes when it was restored.
    pub(crate) restored: Arc<Restored>,
    /// The node goes down: nothing is taken any more.
    pub(crate) closing: CancellationToken,
}

/// One pipeline, alive.
pub(crate) struct Entity {
    pub(crate) cell: Arc<PipelineCell>,
    pub(crate) log: ShardLog,
    pub(crate) context: EntityContext,
    /// The shard is released: the run ends after what is under way, and nothing is taken any more.
    closing: CancellationToken,
    /// The runs of its branches.
    runs: BTreeMap<BranchNumber, ActiveRun>,
    /// Why the run failed that the one to be started follows: shown until that one has opened.
    failure: Option<Trouble>,
    /// Who waits for a stop to be over, and with which command.
    waiting: Vec<(CommandId, oneshot::Sender<Result<Reply, AskError>>)>,
    /// The update that waited for the stop and can't be made, and why.
    refused: Option<(CommandId, Rejected)>,
    /// Another node has the shard, or the history is damaged: nothing may be done any more.
    lost: Option<AppendError>,
    /// Chunks of a branch's dead letters before this place are not joined: they are large.
    unjoined: BTreeMap<BranchNumber, usize>,
    /// Batches that were pushed again to it since it is in memory.
    replayed: u64,
    /// When a branch that failed is to start again, by the wall clock and by the one that nobody sets.
    restarts: BTreeMap<BranchNumber, (Timestamp, Instant)>,
}

/// What the loop does next.
enum Next {
    Mail(Mail),
    Idle,
    Closing,
    Handled,
}

impl Entity {
    pub(crate) fn new(
        cell: Arc<PipelineCell>,
        log: ShardLog,
        context: EntityContext,
        closing: CancellationToken,
    ) -> Self {
        Self {
            cell,
            log,
            context,
            closing,
            runs: BTreeMap::new(),
            failure: None,
            waiting: Vec::new(),
            refused: None,
            lost: None,
            unjoined: BTreeMap::new(),
            replayed: 0,
            restarts: BTreeMap::new(),
        }
    }

    /// The name of a chunk of this pipeline that the shard's owner makes now.
    fn chunk(&self, pipeline: &Pipeline, content: Content) -> ChunkId {
        let (pipeline, incarnation) = (pipeline.id.clone(), pipeline.incarnation.clone());
        ChunkName { pipeline, incarnation, epoch: self.log.epoch(), content }.into()
    }

    /// Lives until it is idle (`may_leave` then says whether no message is under way), or the shard is released or lost.
    pub(crate) async fn run(
        mut self,
        mut mailbox: mpsc::Receiver<Mail>,
        may_leave: impl Fn(&mpsc::Receiver<Mail>) -> bool,
    ) {
        if self.log.lost().is_cancelled() {
            self.lost = Some(AppendError::Fenced);
        } else {
            self.resume().await;
        }
        let taken_over = self.log.lost().clone();
        while self.lost.is_none() {
            let restart = self.restart();
            let busy = !self.runs.is_empty() || restart.is_some();
            let next = tokio::select! {
                biased;
                (branch, happened) = supervise::next(&mut self.runs) => {
                    self.happened(branch, happened).await;
                    Next::Handled
                }
                () = taken_over.cancelled() => {
                    self.lost = Some(AppendError::Fenced);
                    Next::Handled
                }
                () = self.closing.cancelled() => Next::Closing,
                branch = due(restart), if restart.is_some() => {
                    self.restart_by_policy(branch).await;
                    Next::Handled
                }
                mail = mailbox.recv() => mail.map_or(Next::Closing, Next::Mail),
                () = tokio::time::sleep(IDLE), if !busy => Next::Idle,
            };
            match next {
                Next::Mail(mail) => {
                    let (pushes, other) = ingest::gather(mail, &mut mailbox);
                    if !pushes.is_empty() {
                        self.ingest(pushes).await;
                    }
                    if let Some(mail) = other {
                        let Mail { command, decided, reply } = mail;
                        self.command(command, decided, reply).await;
                    }
                }
                Next::Idle if may_leave(&mailbox) => return,
                Next::Closing => break,
                Next::Idle | Next::Handled => {}
            }
        }
        let pipeline = &self.cell.pipeline;
        match &self.lost {
            Some(AppendError::Fenced) => tracing::warn!(%pipeline, "the pipeline is moving to another node"),
            Some(AppendError::Closed) => {
                tracing::warn!(%pipeline, "the pipeline ends because the node is shutting down")
            }
            Some(AppendError::Corrupt(why) | AppendError::Refused(why)) => {
                tracing::error!(%pipeline, "the pipeline can't go on, because its journal is damaged: {why}");
            }
            None => {}
        }
        mailbox.close();
        self.end_runs().await;
        while let Some(mail) = mailbox.recv().await {
            answer(mail.reply, Err(self.unavailable()));
        }
        for (_, reply) in std::mem::take(&mut self.waiting) {
            answer(reply, Err(self.unavailable()));
        }
        if self.lost.is_some() {
            may_leave(&mailbox);
        }
    }

    /// Decides, appends, performs. What is returned was decided; its events are durable.
    async fn carry_out(&mut self, command: Command) -> Result<Decision, AskError> {
        let decision = decide(&self.cell.state(), &command)?;
        let waited = self.awaited();
        if !decision.events.is_empty() {
            self.append(decision.events.clone()).await?;
            self.tell(&decision.events);
        }
        // Neither made nor refused: another one was wanted since.
        let concerns = |update: &CommandId| decision.events.iter().any(|event| event.command == *update);
        if let Some(replaced) = waited.filter(|update| self.awaited().as_ref() != Some(update) && !concerns(update)) {
            self.refuse(&replaced, &Rejected::Replaced);
        }
        if let Some(rejected) = &decision.refused {
            let of = decision.events.iter().find(|event| matches!(event.event, Event::UpdateRefused { .. }));
            if let Some(event) = of {
                self.refuse(&event.command, rejected);
            }
        }
        for (branch, effect) in &decision.effects {
            match effect {
                Effect::StartRun => self.start_run(*branch),
                Effect::StopRun => self.stop_run(*branch).await,
                // The run sees the state itself; a restart is found in it.
                Effect::WakeRun | Effect::RestartAt(_) => {}
            }
        }
        Ok(decision)
    }

    /// The command of the update that waits for a stop.
    fn awaited(&self) -> Option<CommandId> {
        self.cell.state().pipeline().and_then(Pipeline::awaited).cloned()
    }

    /// Tells whoever waits for this update, or is about to be answered, that it can't be made.
    fn refuse(&mut self, update: &CommandId, rejected: &Rejected) {
        for (_, reply) in self.waiting.extract_if(.., |(waits_for, _)| waits_for == update) {
            answer(reply, Err(rejected.clone().into()));
        }
        self.refused = Some((update.clone(), rejected.clone()));
    }

    /// Tells operators what has happened.
    fn tell(&self, events: &[RecordedEvent]) {
        let state = self.cell.state();
        for event in events {
            let sink = state.branch(event.branch).and_then(|branch| branch.sink.as_ref());
            telemetry::log(&self.cell.pipeline, sink.map(SinkName::as_str), event);
        }
        self.context.directory.note(&self.cell.pipeline, &state);
    }

    /// Makes events durable and takes them into the state. If another node has the shard, the entity is lost; if the journal
    /// refuses them, nothing has happened.
    async fn append(&mut self, events: Vec<RecordedEvent>) -> Result<(), AskError> {
        match self.log.append(&self.cell, events).await {
            Ok(()) => Ok(()),
            Err(refused @ AppendError::Refused(_)) => Err(AskError::Internal(refused.to_string())),
            Err(lost) => {
                self.lost = Some(lost);
                Err(self.unavailable())
            }
        }
    }

    /// A command of the platform itself, about a branch.
    fn system(&self, branch: BranchNumber, kind: CommandKind) -> Command {
        Command {
            pipeline: self.cell.pipeline.clone(),
            id: self.context.command_id(),
            hash: None,
            actor: Actor::system(),
            reason: None,
            trace: None,
            at: self.context.parts.clock.now(),
            expected_version: None,
            branch,
            kind,
        }
    }

    /// Which branch starts again by itself next, and when: fixed once it is known, so that a clock that is set changes nothing.
    fn restart(&mut self) -> Option<(BranchNumber, Instant)> {
        let (state, known) = (self.cell.state(), std::mem::take(&mut self.restarts));
        let now = self.context.parts.clock.now();
        let due = |(number, branch): (BranchNumber, &Branch)| {
            let at = branch.restart_at()?;
            let new = || {
                let wait = u64::try_from(at.millis().saturating_sub(now.millis())).unwrap_or(0);
                Instant::now() + Duration::from_millis(wait.min(branch.longest_wait()))
            };
            let due = known.get(&number).filter(|(known, _)| *known == at).map_or_else(new, |(_, due)| *due);
            Some((number, (at, due)))
        };
        self.restarts = state.pipeline().into_iter().flat_map(Pipeline::present).filter_map(due).collect();
        self.restarts.iter().map(|(number, (_, due))| (*number, *due)).min_by_key(|(_, due)| *due)
    }

    fn unavailable(&self) -> AskError {
        match &self.lost {
            Some(AppendError::Corrupt(error)) => AskError::Internal(error.clone()),
            Some(AppendError::Fenced) => AskError::NotOwner(ShardId::of(&self.cell.pipeline)),
            Some(error) => AskError::Unavailable(error.to_string()),
            None if self.context.closing.is_cancelled() => AskError::Unavailable("the node is shutting down".into()),
            None => AskError::NotOwner(ShardId::of(&self.cell.pipeline)),
        }
    }
}

impl EntityContext {
    /// A command id that nobody has used.
    pub(crate) fn command_id(&self) -> CommandId {
        let name = self.parts.rng.name();
        CommandId::try_from(name).unwrap_or_else(|error| unreachable!("hexadecimal digits make an id: {error}"))
    }
}

/// Waits until this branch starts again.
async fn due(restart: Option<(BranchNumber, Instant)>) -> BranchNumber {
    let (branch, at) = restart.unwrap_or_else(|| (0, Instant::now()));
    tokio::time::sleep_until(at).await;
    branch
}

/// Answers, if somebody still waits.
fn answer(reply: oneshot::Sender<Result<Reply, AskError>>, with: Result<Reply, AskError>) {
    if reply.send(with).is_err() {
        tracing::trace!("nobody waits for this answer any more");
    }
}
