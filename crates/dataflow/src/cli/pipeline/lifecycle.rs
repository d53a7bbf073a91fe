//! `dataflow pipeline start`, `stop` and `restart`.
use super::Outcome;
use crate::cli::{
    client::{Because, Changed, Client, Request, Server},
    exit::Failure,
    output::Output,
    progress,
};
use dataflow_api_types::PipelineView;

#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    #[command(flatten)]
    target: Target,
    /// How long to wait until source and sink are open: `10s`, `1m`; the pipeline continues to open them after that.
    #[arg(long, value_name = "DURATION")]
    wait: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    target: Target,
    /// How long to wait until it is running again: `10s`, `1m`; the pipeline continues to restart after that.
    #[arg(long, value_name = "DURATION")]
    wait: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Target {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
    /// Only the branch of this sink.
    #[arg(long)]
    sink: Option<String>,
    /// A repeated request with the same key has no second effect.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    because: Because,
}

#[derive(Debug, clap::Args)]
pub(super) struct Wait {
    /// How long to wait for the stop: `10s`, `1m`; the pipeline continues to stop after that.
    #[arg(long, value_name = "DURATION")]
    pub(super) wait: Option<String>,
}

pub(crate) async fn start(args: Start, output: Output) -> Result<Outcome, Failure> {
    act(args.target, "start", args.wait, output).await
}

pub(crate) async fn stop(args: Stop, output: Output) -> Result<Outcome, Failure> {
    act(args.target, "stop", args.wait.wait, output).await
}

pub(crate) async fn restart(args: Restart, output: Output) -> Result<Outcome, Failure> {
    act(args.target, "restart", args.wait, output).await
}

async fn act(target: Target, action: &str, wait: Option<String>, output: Output) -> Result<Outcome, Failure> {
    let client = target.server.client()?;
    let asked = (target.idempotency_key.as_deref(), &target.because);
    let answer = ask(&client, (&target.id, target.sink.clone()), action, wait, asked).await?;
    told((action, target.sink.as_deref()), &answer, output)
}

/// Shows a pipeline that was asked to start or stop, or the branch of one of its sinks; an error fails the command where that was
/// to run.
pub(super) fn told(
    (action, sink): (&str, Option<&str>),
    Changed { body: pipeline, unchanged }: &Changed<PipelineView>,
    output: Output,
) -> Result<Outcome, Failure> {
    let id = &pipeline.pipeline_id;
    match (pipeline.stopping, pipeline.opening) {
        (true, _) => say!("{id} is still stopping"),
        (false, true) => say!("{id} is still opening its source and sink"),
        (false, false) => {}
    }
    let shown = super::show(pipeline, output);
    let named = pipeline.sinks.iter().find(|known| Some(known.name.as_str()) == sink);
    let error = named.map_or(&pipeline.error, |known| &known.error);
    match error {
        Some(_) if action != "stop" && !unchanged => Err(progress::failure(pipeline)),
        _ => Ok(shown),
    }
}

/// Asks the node to start, stop or restart a pipeline; says so if there was nothing to do.
pub(crate) async fn ask(
    client: &Client,
    (id, sink): (&str, Option<String>),
    action: &str,
    wait: Option<String>,
    (key, because): (Option<&str>, &Because),
) -> Result<Changed<PipelineView>, Failure> {
    let mut query: Vec<_> = wait.into_iter().map(|wait| ("wait", wait)).collect();
    let of = |body: &PipelineView| {
        let named = body.sinks.iter().find(|known| Some(&known.name) == sink.as_ref());
        named.map_or((id.to_owned(), body.status), |known| (format!("{id}, sink {},", known.name), known.status))
    };
    query.extend(sink.clone().map(|sink| ("sink", sink)));
    if action != "restart" {
        query.push(("idempotent", "true".into()));
    }
    let path = ["pipelines", id, action];
    let request = Request::post(&path).query(&query).idempotency_key(key).because(because);
    let answer: Changed<PipelineView> = client.change(request).await?;
    if answer.unchanged {
        match of(&answer.body) {
            (it, status) if action == "stop" => say!("{it} is not running ({status}): nothing to do"),
            (it, status) => say!("{it} is already {status}: nothing to do"),
        }
    }
    Ok(answer)
}
