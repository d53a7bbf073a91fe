//! `dataflow run FILE`: one pipeline in the foreground, with no API.
use super::{
    Outcome,
    door::Door,
    exit::Failure,
    output::{self, Output},
    pipeline, progress,
    progress::Progress,
    say, serve, spec_file, stored,
};
use crate::{
    data_dir::DataDir,
    node::{self, Node, Whose},
    plugins,
    settings::Overrides,
    signals::{Signal, Signals},
};
use dataflow_api_types::{PipelineView, Status, WarningView};
use dataflow_core::{
    pipeline::event::Cause,
    spec::{Component, PipelineSpec},
};
use dataflow_engine::region::{Action, ResetPoint};
use dataflow_sdk::check;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: spec_file::SpecFile,
    #[command(flatten)]
    overrides: Overrides,
    /// Continue even if a change of the file gives up positions: partitions without a position are read from the
    /// source's beginning.
    #[arg(long)]
    reset: bool,
    /// Continue even if the file names another target, which then lacks the records delivered so far.
    #[arg(long)]
    retarget: bool,
    /// Continue from elsewhere than from the checkpoint.
    #[arg(long, value_enum)]
    from: Option<From>,
    /// With --from: even if the target has progress of another node, or of a run that kept its state elsewhere. It can
    /// then no longer write there.
    #[arg(long, requires = "from")]
    take_over: bool,
    /// With --from: even if records are then written twice to a target that has no key to recognise them by, acknowledged pushed
    /// records are lost, or the sink's progress can't be read.
    #[arg(long, requires = "from")]
    force: bool,
}

/// Where a run goes on.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum From {
    /// From the source's first record.
    Beginning,
    /// After the source's last record.
    End,
    /// From the position in the sink's token.
    SinkToken,
    /// From the journal's checkpoint.
    Journal,
}

impl From {
    fn place(self) -> ResetPoint {
        match self {
            Self::Beginning => ResetPoint::Beginning,
            Self::End => ResetPoint::End,
            Self::SinkToken => ResetPoint::SinkToken,
            Self::Journal => ResetPoint::Journal,
        }
    }
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
    let connectors = node::connectors(&settings, Whose::Users)?;
    let (id, spec) = plugins::check_new(&connectors, &value)
        .map_err(|problems| Failure::invalid(format!("{name} is not valid"), problems))?;
    // Nobody could push to it: only a node has the listener.
    if spec.source.kind == "http" {
        return Err(Failure::invalid(format!("{name} has an http source, but a run has no listener"), Vec::new())
            .fix(format!("run it on a node: dataflow serve, then dataflow pipeline create {name} --start")));
    }

    let folder = stored::run_folder(&settings.data_dir, &id);
    let data = DataDir::lock(&folder).map_err(node::Error::from)?;
    let parts = node::parts(&settings, &connectors, &data)?;
    let node = Node::build(&settings, &connectors.connections.reach().paths, parts, Some(data)).await?;
    let warnings = worth_knowing(&spec, &connectors);
    let door = Door::new(&node, id);
    let mut result = to_the_end((&node, &door), spec, &args, &mut signals).await;
    if let Ok(Ended { pipeline, .. }) = &mut result {
        pipeline.warnings.splice(0..0, warnings);
        door.add_causes(pipeline).await;
    }
    let settled = node.shutdown(settings.shutdown_timeout.into()).await;
    let Ended { pipeline, signal } = result?;

    match output {
        Output::Json => output::json(&pipeline),
        // Stdout may be the pipeline's own sink.
        Output::Table => {
            say::text(&pipeline::notes(&pipeline, &format!(" --data-dir {}", settings.data_dir.display())));
            say::text(&pipeline::ledger(&pipeline));
        }
    }
    settled?;
    match (pipeline.status, signal) {
        (Status::Failed, _) => {
            let mut failure = progress::failure(&pipeline);
            if let Some(fix) = failure.fix.as_mut().filter(|fix| fix.contains("checkpoint")) {
                let (id, folder) = (&pipeline.pipeline_id, settings.data_dir.display());
                let another = pipeline.error.as_ref().is_some_and(|error| error.code == Cause::TARGET_OF_ANOTHER_NODE);
                let take_over = if another { " --take-over" } else { "" };
                fix.push_str(&format!(
                    "; here: dataflow run {} --from …{take_over}, or for one position: dataflow checkpoint set {id} \
                        --to …{take_over} --data-dir {folder}",
                    args.file.path.display()
                ));
            }
            Err(failure)
        }
        (Status::Completed, _) | (_, None) => Ok(Outcome::of_dead(pipeline.metrics.records_dead)),
        (_, Some(signal)) => Ok(Outcome::Stopped(signal)),
    }
}

/// What the spec itself is warned of, said at once.
fn worth_knowing(spec: &PipelineSpec, connectors: &plugins::Connectors) -> Vec<WarningView> {
    let found = check::warnings(spec, &connectors.catalog);
    let said = found.into_iter().map(|problem| WarningView {
        code: problem.code.clone(),
        sink: None,
        message: problem.to_string(),
        records: 0,
    });
    said.inspect(|warning| say!("warning: {}", warning.message)).collect()
}

/// How the run ended: the pipeline as it is then, and the signal that stopped it.
struct Ended {
    pipeline: PipelineView,
    signal: Option<Signal>,
}

/// Makes or changes the pipeline, starts it, and follows it until it is at rest or a signal comes.
async fn to_the_end(
    (node, door): (&Node, &Door),
    spec: PipelineSpec,
    args: &Args,
    signals: &mut Signals,
) -> Result<Ended, Failure> {
    let by_itself = |pipeline| Ended { pipeline, signal: None };
    let mut before =
        door.prepare(spec, (args.reset, args.retarget || matches!(args.from, Some(From::Beginning)))).await?;
    if let Some(from) = args.from {
        door.stop(&before).await?;
        let (force, take_over) = (args.force, args.take_over);
        let reset = Action::ResetCheckpoint { to: from.place(), sink: None, force, take_over };
        before = door.command(reset).await?;
    }
    // Its source may have got more since it was completed.
    let completed = before.status == Status::Completed;
    if before.status != Status::Running {
        door.start().await?;
    }
    let mut progress = Progress::new();
    // A pipeline that fails before it has done anything is most likely declared wrongly: waiting would not help.
    let done_before = before.metrics.batches;
    loop {
        let mut pipeline = door.view().await?;
        let hopeless = pipeline.status == Status::Failed
            && pipeline.sinks.iter().all(|sink| sink.status == Status::Failed)
            && pipeline.metrics.batches == done_before;
        if let Some(error) = pipeline.error.as_mut().filter(|_| hopeless) {
            error.retry_at = None; // nobody waits for it
        }
        progress.update(&pipeline);
        if hopeless || progress::at_rest(&pipeline) {
            progress.finish();
            let nothing_new = pipeline.metrics.records_read == before.metrics.records_read;
            if nothing_new && pipeline.status == Status::Completed {
                if completed {
                    say!("{} is complete and there are no new records: nothing to do", door.id);
                } else if before.metrics.records_read > 0 {
                    say!("{} has changed, but there are no new records for the change to apply to", door.id);
                }
                if completed || before.metrics.records_read > 0 {
                    let file = args.file.path.display();
                    let follows = what_follows(pipeline.sink.as_ref());
                    say!("to run it again from the beginning: dataflow run {file} --from beginning; {follows}");
                }
            }
            return Ok(by_itself(pipeline));
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            signal = signals.next() => {
                progress.say(&format!("{signal}: stopping; run it again to continue from here"));
                let stopped = tokio::select! {
                    stopped = door.stop(&pipeline) => stopped,
                    again = signals.next() => Err(Failure::failed(format!("stopped immediately by a second {again}"))),
                    // That the run is to stop can't be kept; that it goes on from here is what is known.
                    () = node.can_not_be_settled() => Ok(pipeline),
                };
                progress.finish();
                return Ok(Ended { pipeline: stopped?, signal: Some(signal) });
            }
        }
    }
}

/// What becomes of the target where all is written again.
fn what_follows(sink: Option<&Component>) -> &'static str {
    let Some(sink) = sink else {
        return "that writes everything again to each sink: where its target has no key, empty that first";
    };
    let setting = |name: &str| sink.config.get(name).and_then(serde_json::Value::as_str);
    match (sink.kind.as_str(), setting("mode")) {
        ("postgres" | "sqlite", Some("append")) => {
            "that writes each row once more, so empty the table first (its rows would be doubled)"
        }
        ("postgres" | "sqlite", Some(_)) => "that writes rows with the same keys again, and leaves others unchanged",
        ("postgres" | "sqlite", None) => "if the table has no key, empty it first (its rows would be doubled)",
        ("file", ..) => {
            "that appends everything to the file again, so move the file away first (its records would be doubled)"
        }
        _ => "that writes everything again",
    }
}
