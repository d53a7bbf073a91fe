//! Taking in pushed batches: those that wait together are stored together and share one append.
use super::{Entity, Mail, answer, inbox};
use crate::{
    answers::Received,
    region::{Action, AskError, Reply, UserCommand},
};
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, Content},
    pipeline::{Command, CommandKind, RecordedEvent, Rejected, State, decide_after, state},
};
use futures::future::try_join_all;
use tokio::sync::{mpsc, oneshot};

/// Most batches that share an append.
const TOGETHER: usize = 128;

/// A batch, and where its answer goes.
pub(super) struct Push {
    command: UserCommand,
    reply: oneshot::Sender<Result<Reply, AskError>>,
}

/// The pushed batches that wait, beginning with this one; and the message behind them, if it is another. A message that
/// is no batch is given back alone.
pub(super) fn gather(first: Mail, mailbox: &mut mpsc::Receiver<Mail>) -> (Vec<Push>, Option<Mail>) {
    let mut pushes = Vec::new();
    let mut next = Some(first);
    while let Some(mail) = next.take() {
        match mail {
            Mail { command, reply, .. } if matches!(command.action, Action::Ingest { .. }) => {
                pushes.push(Push { command, reply });
            }
            other => return (pushes, Some(other)),
        }
        if pushes.len() < TOGETHER {
            next = mailbox.try_recv().ok();
        }
    }
    (pushes, None)
}

impl Entity {
    /// Takes in batches: bodies first, which count only once the events name them.
    pub(super) async fn ingest(&mut self, pushes: Vec<Push>) {
        let mut events: Vec<RecordedEvent> = Vec::new();
        let mut bodies: Vec<(ChunkId, Bytes)> = Vec::new();
        let mut taken = Vec::new();
        let mut replayed = 0;
        for Push { command, reply } in pushes {
            match self.place(command, &events) {
                Err(error) => answer(reply, Err(error)),
                Ok(Placed { received, body, new, replay }) => {
                    if let Some((event, chunk, body)) = new {
                        replayed += u64::from(replay);
                        events.push(event);
                        bodies.push((chunk, body));
                    }
                    taken.push((received, reply, body));
                }
            }
        }
        let outcome = self.store(bodies, events).await;
        if outcome.is_ok() {
            self.replayed += replayed;
        }
        for (received, reply, _) in taken {
            answer(reply, outcome.clone().map(|()| Reply::Received(received)));
        }
    }

    /// Decides on one batch behind those that are taken in with it.
    fn place(&self, command: UserCommand, earlier: &[RecordedEvent]) -> Result<Placed, AskError> {
        let UserCommand { id, actor, reason, trace, expected_version, action } = command;
        let Action::Ingest { batch_id, records, hash, body, delivered: _, replay } = action else {
            return Err(AskError::Internal("only batches are pushed".into()));
        };
        let now = self.context.parts.clock.now();
        let state = self.cell.state();
        let pipeline = state.pipeline().ok_or(Rejected::NotFound)?;
        let chunk = self.chunk(pipeline, Content::Pushed(self.context.parts.rng.name()));
        let bytes = body.len() as u64;
        let kind =
            CommandKind::Ingest { batch_id: batch_id.clone(), hash, records, bytes, chunk: chunk.clone(), replay };
        // A batch is told apart by its own id and hash.
        let pipeline = self.cell.pipeline.clone();
        let command =
            Command { pipeline, id, hash: None, actor, reason, trace, at: now, expected_version, branch: 0, kind };
        let decision = decide_after(&state, earlier, &command)?;
        if !replay && !decision.events.is_empty() {
            self.is_sure(&state)?;
        }
        let Some(state::Received { from, to, .. }) = decision.received else {
            return Err(AskError::Internal("a batch was taken without a place".into()));
        };
        let received = Received { batch: batch_id, accepted: to - from, to, delivered: None, dead: None };
        let event = decision.events.into_iter().next();
        let new = event.map(|event| (event, chunk, inbox::encode(now, &body)));
        Ok(Placed { received, body, new, replay })
    }

    /// After a restore, only what is pushed again is taken before the sinks were opened: its numbers are those that they know it by.
    fn is_sure(&self, state: &State) -> Result<(), AskError> {
        let mut unsure =
            state.pipeline().into_iter().flat_map(|pipeline| self.context.restored.unsure(pipeline)).peekable();
        if unsure.peek().is_none() {
            return Ok(());
        }
        let why = "the journal was restored from a backup, and not all sinks were opened since";
        if unsure.all(|branch| branch.running().is_some()) {
            return Err(AskError::Unavailable(why.into()));
        }
        let fix = format!(
            "{why}: push again what was acknowledged after the backup, in its old order and with ?replay=true; what is new is taken once the \
                pipeline was started and its sinks are open"
        );
        Err(Rejected::NotAllowed { request: "push to".into(), status: state.status(), fix: Some(fix) }.into())
    }

    async fn store(&mut self, bodies: Vec<(ChunkId, Bytes)>, events: Vec<RecordedEvent>) -> Result<(), AskError> {
        if events.is_empty() {
            return Ok(());
        }
        let journal = &self.context.parts.journal;
        let stored = try_join_all(
            bodies.into_iter().map(|(chunk, body)| async move { journal.stage_chunk(&chunk, body).await }),
        );
        stored.await?;
        self.append(events).await
    }
}

struct Placed {
    received: Received,
    /// What was pushed, which is held until it is durable: the door bounds what is under way by it.
    body: Bytes,
    /// Its event, its chunk's name and body; none if it was taken in before.
    new: Option<(RecordedEvent, ChunkId, Bytes)>,
    /// Whether it says that it comes again.
    replay: bool,
}
