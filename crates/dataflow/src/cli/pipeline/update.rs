//! `dataflow pipeline update`.
use super::{Outcome, lifecycle::Wait};
use crate::cli::{
    client::{Because, Request, Server},
    exit::Failure,
    output::Output,
    spec_file::{self, SpecFile},
};
use dataflow_api_types::PipelineView;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    file: SpecFile,
    /// Only if the pipeline is at this version.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// Even if that gives up positions: partitions without a position are read from the source's beginning.
    #[arg(long)]
    reset: bool,
    /// Even if the new target then lacks the records delivered so far: it gets only later ones.
    #[arg(long)]
    retarget: bool,
    /// Even if the sink's progress can't be read (after a change of source or sink).
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: Wait,
    /// A repeated request with the same key has no second effect.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    because: Because,
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let spec = spec_file::read(&args.file.path)?;
    let id = spec_file::id_in(&spec).ok_or_else(|| {
        Failure::invalid("the file does not name its pipeline", Vec::new()).fix("give it a pipelineId")
    })?;
    let mut query: Vec<_> = [("reset", args.reset), ("retarget", args.retarget), ("force", args.force)]
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| (name, "true".to_owned()))
        .collect();
    query.extend(args.wait.wait.map(|wait| ("wait", wait)));
    let path = ["pipelines", id];
    let request = Request::put(&path).body(&spec).if_match(args.if_version).query(&query);
    let request = request.idempotency_key(args.idempotency_key.as_deref()).because(&args.because);
    let pipeline: PipelineView = args.server.client()?.send(request).await?;
    if pipeline.stopping {
        say!("{id} is still stopping; it is changed after that");
    }
    Ok(super::show(&pipeline, output))
}
