//! `dataflow pipeline start`, `stop` and `restart`.
use super::Outcome;
use crate::cli::{
    client::{Because, Changed, Client, Request, Server},
    exit::Failure,
    output::Output,
};
use dataflow_api_types::PipelineView;

#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    #[command(flatten)]
    target: Target,
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
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, clap::Args)]
struct Target {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
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
    act(args.target, "start", None, output).await
}

pub(crate) async fn stop(args: Stop, output: Output) -> Result<Outcome, Failure> {
    act(args.target, "stop", args.wait.wait, output).await
}

pub(crate) async fn restart(args: Restart, output: Output) -> Result<Outcome, Failure> {
    act(args.target, "restart", args.wait.wait, output).await
}

async fn act(target: Target, action: &str, wait: Option<String>, output: Output) -> Result<Outcome, Failure> {
    let client = target.server.client()?;
    let pipeline = ask(&client, &target.id, action, wait, (target.idempotency_key.as_deref(), &target.because)).await?;
    if pipeline.stopping {
        say!("{} is still stopping", pipeline.pipeline_id);
    }
    Ok(super::show(&pipeline, output))
}

/// Asks the node to start, stop or restart a pipeline; says so if there was nothing to do.
pub(crate) async fn ask(
    client: &Client,
    id: &str,
    action: &str,
    wait: Option<String>,
    (key, because): (Option<&str>, &Because),
) -> Result<PipelineView, Failure> {
    let mut query: Vec<_> = wait.into_iter().map(|wait| ("wait", wait)).collect();
    if action != "restart" {
        query.push(("idempotent", "true".into()));
    }
    let path = ["pipelines", id, action];
    let request = Request::post(&path).query(&query).idempotency_key(key).because(because);
    let answer: Changed<PipelineView> = client.change(request).await?;
    if answer.unchanged {
        match answer.body.status {
            status if action == "stop" => say!("{id} is not running ({status}): nothing to do"),
            status => say!("{id} is already {status}: nothing to do"),
        }
    }
    Ok(answer.body)
}
