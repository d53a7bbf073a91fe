//! The way to the pipelines of a node in this process.
use super::exit::Failure;
use crate::node::Node;
use dataflow_api::views;
use dataflow_api_types::{DeadLettersByCause, PipelineView, Status};
use dataflow_core::{
    id::{Actor, CommandId, PipelineId, Reason, SinkName},
    pipeline::{self, Rejected},
    spec::PipelineSpec,
};
use dataflow_engine::{
    answers::PipelineSnapshot,
    client::PipelineClient,
    parts::Random,
    region::{Action, AskError, UserCommand},
};
use std::time::Duration;

/// How long a stop is waited for: its run is dropped before.
const ENDLESS: Duration = Duration::from_secs(3_600);

/// The way to the one pipeline: the same messages as REST sends.
pub(super) struct Door {
    pipeline: PipelineClient,
    pub(super) id: PipelineId,
    actor: Actor,
    random: Random,
}

impl Door {
    /// The way to a pipeline of a node.
    pub(super) fn new(node: &Node, id: PipelineId) -> Self {
        let actor = Actor::try_from("cli").unwrap_or_else(|error| unreachable!("cli is an actor: {error}"));
        let pipeline = PipelineClient::new(node.region(), id.clone(), actor.clone());
        Self { pipeline, id, actor, random: Random::from_system() }
    }

    /// Makes the pipeline, or changes it to the spec if it differs; returns it as it is then.
    pub(super) async fn prepare(
        &self,
        spec: PipelineSpec,
        (reset, retarget): (bool, bool),
    ) -> Result<PipelineView, Failure> {
        let there = match self.pipeline.snapshot().await {
            Err(AskError::Rejected(Rejected::NotFound)) => return self.command(Action::Create(Box::new(spec))).await,
            there => there.map_err(failure)?,
        };
        let same = there.is_of(&spec);
        let view = views::pipeline(there);
        if same {
            return Ok(view);
        }
        say!("{} has changed: it continues from its checkpoint", self.id);
        if view.status == Status::Running {
            self.stop(&view).await?;
        }
        let update = Action::Update { spec: Box::new(spec), reset, retarget, force: false, wait: ENDLESS };
        let updated = self.command(update).await?;
        // What only renames a completed pipeline leaves it completed; whoever changed it wants it run.
        if updated.status == Status::Completed { self.start().await } else { Ok(updated) }
    }

    pub(super) async fn start(&self) -> Result<PipelineView, Failure> {
        match self.send(Action::Start { sink: None }, None).await {
            // Its restart policy was faster.
            Err(AskError::Rejected(Rejected::NotAllowed { status: pipeline::Status::Running, .. })) => {
                self.view().await
            }
            started => shown(started),
        }
    }

    pub(super) async fn stop(&self, pipeline: &PipelineView) -> Result<PipelineView, Failure> {
        // One of several sinks may have failed while others run.
        let mut all = pipeline.sinks.iter().map(|sink| sink.status).chain([pipeline.status]);
        if !all.any(|status| status == Status::Running) {
            return Ok(pipeline.clone());
        }
        match self.send(Action::Stop { sink: None, wait: ENDLESS }, None).await {
            // It came to its end meanwhile.
            Err(AskError::Rejected(Rejected::NotAllowed { .. })) => self.view().await,
            stopped => shown(stopped),
        }
    }

    pub(super) async fn view(&self) -> Result<PipelineView, Failure> {
        shown(self.pipeline.snapshot().await)
    }

    /// Adds the dead letters by cause, of each of several sinks, as far as there are any, and they can be read.
    pub(super) async fn add_causes(&self, pipeline: &mut PipelineView) {
        if pipeline.sinks.is_empty() {
            pipeline.dead_letters_by_cause = causes(&self.pipeline, pipeline.metrics.records_dead).await;
        }
        for sink in &mut pipeline.sinks {
            let name = SinkName::try_from(sink.name.clone()).ok();
            sink.dead_letters_by_cause = causes(&self.pipeline.of_sink(name), sink.metrics.records_dead).await;
        }
    }

    /// Sends it a command; as it is after that.
    pub(super) async fn command(&self, action: Action) -> Result<PipelineView, Failure> {
        self.command_because(action, None).await
    }

    /// The same, for a reason that the history keeps.
    pub(super) async fn command_because(
        &self,
        action: Action,
        reason: Option<Reason>,
    ) -> Result<PipelineView, Failure> {
        shown(self.send(action, reason).await)
    }

    async fn send(&self, action: Action, reason: Option<Reason>) -> Result<PipelineSnapshot, AskError> {
        let id = CommandId::try_from(self.random.name()).map_err(|error| AskError::Internal(error.to_string()))?;
        let actor = self.actor.clone();
        let command = UserCommand { id, actor, reason, trace: None, expected_version: None, action };
        self.pipeline.change(command).await
    }
}

/// Dead letters by cause; none if there are none, or they can't be read.
async fn causes(pipeline: &PipelineClient, dead: u64) -> Option<DeadLettersByCause> {
    if dead == 0 {
        return None;
    }
    let mut counted = 0;
    loop {
        let causes = views::causes(pipeline.causes().await.ok()?);
        // Of very many, each answer counts some.
        if causes.counted >= dead || causes.counted == counted {
            return Some(causes);
        }
        counted = causes.counted;
    }
}

fn shown(answer: Result<PipelineSnapshot, AskError>) -> Result<PipelineView, Failure> {
    answer.map(views::pipeline).map_err(failure)
}

fn failure(error: AskError) -> Failure {
    match error {
        AskError::Rejected(Rejected::Invalid { problems }) => Failure::invalid("the pipeline is not valid", problems),
        AskError::Rejected(needed @ Rejected::ResetNeeded { .. }) => {
            Failure::failed(needed).fix("run it with --reset if that is intended; otherwise leave the source unchanged")
        }
        AskError::Rejected(needed @ Rejected::RetargetNeeded { .. }) => Failure::failed(needed).fix(
            "run it with --retarget to continue from here, so that the new target gets only later records, or with \
                --from beginning to write everything that the source still has to it",
        ),
        AskError::Rejected(ahead @ Rejected::SinkAhead { .. }) => Failure::failed(ahead)
            .fix("run it without --from to write nothing twice, or with --force to write these records again"),
        AskError::Rejected(unsettled @ Rejected::Unsettled { .. }) => {
            Failure::failed(unsettled).fix("fix that, and run it again")
        }
        AskError::Rejected(Rejected::NotAllowed { fix: Some(fix), request, status }) => {
            Failure::failed(format!("can't {request} a pipeline that is {status}")).fix(fix)
        }
        AskError::Rejected(Rejected::OfSink { sink, rejected }) => {
            let failure = failure(AskError::Rejected(*rejected));
            Failure { message: format!("sink {sink}: {}", failure.message), ..failure }
        }
        other => Failure::failed(other),
    }
}
