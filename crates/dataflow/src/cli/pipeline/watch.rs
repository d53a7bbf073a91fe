//! `dataflow pipeline watch`.
use super::Outcome;
use crate::cli::{
    client::{Client, Server},
    exit::{Failure, Kind},
    output::{self, Output},
    progress::{self, Progress},
};
use dataflow_core::{pipeline::Status, spec::Millis};
use dataflow_engine::view::PipelineView;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
    /// Longest wait: `30s`, `10m`. After it, watching ends with exit code 124; the pipeline goes on.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Millis>,
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let client = args.server.client()?;
    let following = async {
        match output {
            Output::Table => follow(&client, &args.id).await,
            Output::Json => follow_json(&client, &args.id).await,
        }
    };
    let pipeline = match args.timeout {
        None => following.await?,
        Some(most) => tokio::time::timeout(most.into(), following).await.map_err(|_| {
            Failure::new(Kind::TimedOut, format!("{} has not come to its end within {most}", args.id))
        })??,
    };
    if output == Output::Table {
        super::show(&pipeline, output);
    }
    match pipeline.status {
        Status::Failed => Err(progress::failure(&pipeline)),
        _ => Ok(Outcome::of_dead(pipeline.metrics.records_dead)),
    }
}

/// Shows live progress until the pipeline is at rest; returns it as it is then.
pub(crate) async fn follow(client: &Client, id: &str) -> Result<PipelineView, Failure> {
    let mut progress = Progress::new();
    loop {
        let pipeline = client.pipeline(id).await?;
        progress.update(&pipeline);
        if progress::at_rest(&pipeline) {
            progress.finish();
            return Ok(pipeline);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Prints each change as one JSON line.
async fn follow_json(client: &Client, id: &str) -> Result<PipelineView, Failure> {
    let mut last = String::new();
    loop {
        let pipeline = client.pipeline(id).await?;
        let line = serde_json::to_string(&pipeline).map_err(Failure::failed)?;
        if line != last {
            output::print(&format!("{line}\n"));
            last = line;
        }
        if progress::at_rest(&pipeline) {
            return Ok(pipeline);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
