//! One pipeline of a region, asked and told in types: each question has the answer that it is for.
use crate::{
    answers::{Claims, DeadLetter, DeadLetters, History, LastRecovery, LetterPlace, PipelineSnapshot, Received},
    causes::DeadLettersByCause,
    region::{AskError, Message, Order, Query, Reply, ShardRegion, ShardingEnvelope, UserCommand, UserQuery},
};
use dataflow_core::id::{Actor, PipelineId, SinkName};
use std::{fmt, sync::Arc, time::Duration};

/// How long an answer to a question is waited for, if nothing else is said.
const PATIENCE: Duration = Duration::from_secs(60);

/// One pipeline, wherever it lives, as somebody sees it.
#[derive(Clone)]
pub struct PipelineClient {
    region: Arc<dyn ShardRegion>,
    id: PipelineId,
    actor: Actor,
    within: Duration,
    sink: Option<SinkName>,
}

/// The answer of a type, out of a reply.
macro_rules! answer {
    ($reply:expr, $kind:ident) => {
        match $reply? {
            Reply::$kind(answer) => Ok(answer),
            other => Err(AskError::Internal(format!("unexpected reply from the pipeline: {other:?}"))),
        }
    };
}

impl PipelineClient {
    /// A pipeline as this actor sees it.
    pub fn new(region: Arc<dyn ShardRegion>, id: PipelineId, actor: Actor) -> Self {
        Self { region, id, actor, within: PATIENCE, sink: None }
    }

    /// The pipeline's id.
    pub fn id(&self) -> &PipelineId {
        &self.id
    }

    /// The sink that questions are about.
    pub fn sink(&self) -> Option<&SinkName> {
        self.sink.as_ref()
    }

    /// The same, for who waits no longer for an answer.
    #[must_use]
    pub fn within(&self, within: Duration) -> Self {
        Self { within, ..self.clone() }
    }

    /// The same, for questions about the branch of one sink.
    #[must_use]
    pub fn of_sink(&self, sink: Option<SinkName>) -> Self {
        Self { sink, ..self.clone() }
    }

    /// Changes the pipeline, and returns it as it is then.
    ///
    /// # Errors
    /// If it is turned down, or the pipeline can't be reached.
    pub async fn change(&self, command: UserCommand) -> Result<PipelineSnapshot, AskError> {
        answer!(self.ask(Message::Command(command)).await, Pipeline).map(|pipeline| *pipeline)
    }

    /// Deletes it: [`Action::Delete`](crate::region::Action::Delete).
    ///
    /// # Errors
    /// If it is turned down, or the pipeline can't be reached.
    pub async fn delete(&self, command: UserCommand) -> Result<(), AskError> {
        answer!(self.ask(Message::Command(command)).await, Deleted)
    }

    /// Pushes records to it: [`Action::Ingest`](crate::region::Action::Ingest).
    ///
    /// # Errors
    /// If it is turned down, or the pipeline can't be reached.
    pub async fn push(&self, command: UserCommand) -> Result<Received, AskError> {
        answer!(self.ask(Message::Command(command)).await, Received)
    }

    /// What it is and does now.
    ///
    /// # Errors
    /// If there is none, or it can't be reached.
    pub async fn snapshot(&self) -> Result<PipelineSnapshot, AskError> {
        answer!(self.query(Query::State).await, Pipeline).map(|pipeline| *pipeline)
    }

    /// Its lifecycle: at most so many events after this number, in that order.
    ///
    /// # Errors
    /// If there is none, or it can't be reached.
    pub async fn history(&self, order: Order, after: Option<u64>, limit: usize) -> Result<History, AskError> {
        answer!(self.query(Query::History { order, after, limit }).await, History)
    }

    /// Its dead letters after this place, at most so many, of each sink the oldest first; with their bytes, perhaps fewer.
    ///
    /// # Errors
    /// If there is none, or it can't be reached.
    pub async fn dead_letters(&self, bytes: bool, after: LetterPlace, limit: usize) -> Result<DeadLetters, AskError> {
        answer!(self.query(Query::DeadLetters { bytes, after, limit }).await, DeadLetters)
    }

    /// One dead letter.
    ///
    /// # Errors
    /// If there is none, or it can't be reached.
    pub async fn dead_letter(&self, number: u64) -> Result<DeadLetter, AskError> {
        answer!(self.query(Query::DeadLetter(number)).await, DeadLetter).map(|letter| *letter)
    }

    /// Its dead letters, counted by cause.
    ///
    /// # Errors
    /// If there is none, or it can't be reached.
    pub async fn causes(&self) -> Result<DeadLettersByCause, AskError> {
        answer!(self.query(Query::Causes).await, Causes)
    }

    /// Why the last run went on where it did.
    ///
    /// # Errors
    /// If there is none, or it can't be reached.
    pub async fn recovery(&self) -> Result<LastRecovery, AskError> {
        answer!(self.query(Query::Recovery).await, Recovery).map(|recovery| *recovery)
    }

    /// What it claims to have done, for those who verify it.
    ///
    /// # Errors
    /// If there is none, or it can't be reached.
    pub async fn claims(&self) -> Result<Claims, AskError> {
        answer!(self.query(Query::Claims).await, Claims).map(|claims| *claims)
    }

    async fn query(&self, query: Query) -> Result<Reply, AskError> {
        let (actor, sink) = (self.actor.clone(), self.sink.clone());
        self.ask(Message::Query(UserQuery { actor, within: self.within, sink, query })).await
    }

    async fn ask(&self, message: Message) -> Result<Reply, AskError> {
        self.region.ask(ShardingEnvelope { pipeline: self.id.clone(), message }).await
    }
}

impl fmt::Debug for PipelineClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineClient").field("id", &self.id).field("actor", &self.actor).finish_non_exhaustive()
    }
}
