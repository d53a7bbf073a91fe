//! `dataflow run FILE`: one pipeline in the foreground, with no API.
use super::{
    Outcome,
    exit::Failure,
    output::{self, Output},
    pipeline, progress,
    progress::Progress,
    serve, spec_file,
};
use crate::{
    data_dir::DataDir,
    node::{self, Node},
    plugins,
    settings::Overrides,
    signals::Signals,
};
use dataflow_core::{
    id::{Actor, CommandId, PipelineId},
    pipeline::{Rejected, Status},
    spec::PipelineSpec,
};
use dataflow_engine::{
    parts::Random,
    region::{Action, AskError, Message, Query, Reply, ShardRegion, ShardingEnvelope, UserCommand},
    view::PipelineView,
};
use std::{sync::Arc, time::Duration};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: spec_file::SpecFile,
    #[command(flatten)]
    overrides: Overrides,
}

/// The log where progress is shown: what pipelines have to say stands there already.
pub(super) const QUIET: &str = "error,dataflow_engine::entity=off";

/// How often progress is looked at.
const EVERY: Duration = Duration::from_millis(100);

pub(super) fn main(mut args: Args, output: Output) -> Result<Outcome, Failure> {
    // The log would run into the progress; what matters is shown there.
    args.overrides.log_level.get_or_insert_with(|| QUIET.into());
    let runtime = serve::runtime()?;
    runtime.block_on(run(args, output))
}

async fn run(args: Args, output: Output) -> Result<Outcome, Failure> {
    let settings = serve::load(&args.overrides, None)?;
    let mut signals = serve::signals()?;
    let value = spec_file::read(&args.file.path)?;
    let name = args.file.path.display();

    // Checked before the folder is made: a file that is wrong leaves nothing behind.
    let connectors = node::connectors(&settings)?;
    let (id, spec) = plugins::check_new(&connectors, &value)
        .map_err(|problems| Failure::invalid(format!("{name} is not valid"), problems))?;
    // Nobody could push to it: only a node has the listener.
    if spec.source.kind == "http" {
        return Err(Failure::invalid(
            format!("{name} has an http source, and a run by itself has no listener"),
            Vec::new(),
        )
        .fix(format!("run it on a node: dataflow serve, then dataflow pipeline create {name} --start")));
    }

    let folder = settings.data_dir.join("run").join(id.as_str());
    let data = DataDir::lock(&folder).map_err(node::Error::from)?;
    let parts = node::parts(&settings, &connectors, &data)?;
    let node = Node::build(&settings, parts, Some(data)).await?;
    let door = Door { region: node.region(), id, random: Random::from_system() };
    let result = to_the_end(&door, spec, &mut signals, &folder.display().to_string()).await;
    let drained = node.shutdown(settings.shutdown_timeout.into()).await;
    let pipeline = result?;

    match output {
        Output::Json => output::json(&pipeline),
        // Stdout may be the pipeline's own sink.
        Output::Table => eprint!("{}", pipeline::ledger(&pipeline.metrics)),
    }
    if !drained {
        return Err(Failure::failed("not everything was settled in time; the next run settles it"));
    }
    match pipeline.status {
        Status::Failed => Err(progress::failure(&pipeline)),
        _ => Ok(Outcome::of_dead(pipeline.metrics.records_dead)),
    }
}

/// Makes or changes the pipeline, starts it, and follows it until it is at rest or a signal comes.
async fn to_the_end(
    door: &Door,
    spec: PipelineSpec,
    signals: &mut Signals,
    folder: &str,
) -> Result<PipelineView, Failure> {
    let before = door.prepare(spec).await?;
    if before.status == Status::Completed {
        eprintln!("{} is completed, and its file has not changed: nothing to do", door.id);
        eprintln!("to run it again from the beginning, remove {folder}");
        return Ok(before);
    }
    if before.status != Status::Running {
        door.start().await?;
    }
    let mut progress = Progress::new();
    // A pipeline that fails before it has done anything is most likely declared wrongly: waiting would not help.
    let done_before = before.metrics.batches;
    loop {
        let pipeline = door.view().await?;
        let hopeless = pipeline.status == Status::Failed && pipeline.metrics.batches == done_before;
        if hopeless {
            progress.finish();
            return Ok(pipeline);
        }
        progress.update(&pipeline);
        if progress::at_rest(&pipeline) {
            progress.finish();
            return Ok(pipeline);
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            signal = signals.next() => {
                progress.say(&format!("{signal}: stopping; run it again to go on from here"));
                let stopped = tokio::select! {
                    stopped = door.stop(&pipeline) => stopped,
                    signal = signals.next() => Err(Failure::failed(format!("stopped at once by a second {signal}"))),
                };
                progress.finish();
                return stopped;
            }
        }
    }
}

/// The way to the one pipeline: the same messages as REST sends.
struct Door {
    region: Arc<dyn ShardRegion>,
    id: PipelineId,
    random: Random,
}

impl Door {
    /// Makes the pipeline, or changes it to the spec if it differs; returns it as it is then.
    async fn prepare(&self, spec: PipelineSpec) -> Result<PipelineView, Failure> {
        let view = match self.ask(Message::Query(Query::State)).await {
            Ok(Reply::Pipeline(view)) => *view,
            Ok(_) => return Err(unexpected()),
            Err(AskError::Rejected(Rejected::NotFound)) => return self.command(Action::Create(Box::new(spec))).await,
            Err(error) => return Err(failure(error)),
        };
        if same(&view, &spec) {
            return Ok(view);
        }
        let id = &self.id;
        eprintln!("{id} has changed: it goes on where it was, or from the beginning if its source is another one");
        if view.status == Status::Running {
            self.stop(&view).await?;
        }
        let updated = self.command(Action::Update { spec: Box::new(spec), force: false }).await?;
        // What only renames a completed pipeline leaves it completed; whoever changed it wants it run.
        if updated.status == Status::Completed { self.start().await } else { Ok(updated) }
    }

    async fn start(&self) -> Result<PipelineView, Failure> {
        match self.send(Action::Start).await {
            Ok(Reply::Pipeline(view)) => Ok(*view),
            // Its restart policy was faster.
            Err(AskError::Rejected(Rejected::NotAllowed { status: Status::Running, .. })) => self.view().await,
            Ok(_) => Err(unexpected()),
            Err(error) => Err(failure(error)),
        }
    }

    async fn stop(&self, pipeline: &PipelineView) -> Result<PipelineView, Failure> {
        if pipeline.status != Status::Running {
            return Ok(pipeline.clone());
        }
        match self.send(Action::Stop { wait: Duration::from_secs(3_600) }).await {
            Ok(Reply::Pipeline(view)) => Ok(*view),
            // It came to its end meanwhile.
            Err(AskError::Rejected(Rejected::NotAllowed { .. })) => self.view().await,
            Ok(_) => Err(unexpected()),
            Err(error) => Err(failure(error)),
        }
    }

    async fn view(&self) -> Result<PipelineView, Failure> {
        match self.ask(Message::Query(Query::State)).await {
            Ok(Reply::Pipeline(view)) => Ok(*view),
            Ok(_) => Err(unexpected()),
            Err(error) => Err(failure(error)),
        }
    }

    async fn command(&self, action: Action) -> Result<PipelineView, Failure> {
        match self.send(action).await {
            Ok(Reply::Pipeline(view)) => Ok(*view),
            Ok(_) => Err(unexpected()),
            Err(error) => Err(failure(error)),
        }
    }

    async fn send(&self, action: Action) -> Result<Reply, AskError> {
        let internal = |error: dataflow_core::id::InvalidId| AskError::Internal(error.to_string());
        let id = CommandId::try_from(self.random.name()).map_err(internal)?;
        let actor = Actor::try_from("cli").map_err(internal)?;
        self.ask(Message::Command(UserCommand { id, actor, expected_version: None, action })).await
    }

    async fn ask(&self, message: Message) -> Result<Reply, AskError> {
        self.region.ask(ShardingEnvelope { pipeline: self.id.clone(), message }).await
    }
}

/// Whether the pipeline is what the spec says.
fn same(view: &PipelineView, spec: &PipelineSpec) -> bool {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(spec) else { return false };
    for name in ["name", "description", "labels", "source", "transforms", "sink"] {
        fields.shift_remove(name);
    }
    let name_fits = view.name == spec.name || spec.name.is_empty() && view.name == view.pipeline_id;
    name_fits
        && view.description == spec.description
        && view.labels == spec.labels
        && view.source == spec.source
        && view.transforms == spec.transforms
        && view.sink == spec.sink
        && view.settings == fields
}

fn unexpected() -> Failure {
    Failure::failed("internal error: unexpected reply from the pipeline")
}

fn failure(error: AskError) -> Failure {
    match error {
        AskError::Rejected(Rejected::Invalid { problems }) => Failure::invalid("the pipeline is not valid", problems),
        AskError::Rejected(Rejected::NotAllowed { fix: Some(fix), request, status }) => {
            Failure::failed(format!("can't {request} a pipeline that is {status}")).fix(fix)
        }
        other => Failure::failed(other),
    }
}
