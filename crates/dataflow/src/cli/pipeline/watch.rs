//! `dataflow pipeline watch`.
use super::Outcome;
use crate::cli::{
    client::{Client, Server},
    exit::{Failure, Kind},
    output::{self, Output},
    progress::{self, Progress},
};
use dataflow_api_types::PipelineView;
use dataflow_api_types::Status;
use dataflow_core::spec::Millis;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
    /// Longest wait: `30s`, `10m`. After that, watching ends with exit code 124; the pipeline keeps running.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Millis>,
    /// How long an error may last while the node retries. After that, watching ends with exit code 1 and prints the
    /// error; the
    /// pipeline keeps retrying.
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    patience: Millis,
}

/// How long an error may last that a demonstration runs into.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let client = args.server.client()?;
    let following = async {
        match output {
            Output::Table => follow(&client, &args.id, args.patience.into()).await,
            Output::Json => follow_json(&client, &args.id, args.patience.into()).await,
        }
    };
    let pipeline = match args.timeout {
        None => following.await?,
        Some(most) => tokio::time::timeout(most.into(), following)
            .await
            .map_err(|_| Failure::new(Kind::TimedOut, format!("{} has not finished within {most}", args.id)))??,
    };
    if output == Output::Table {
        super::show(&pipeline, output);
    }
    match pipeline.status {
        Status::Failed => Err(progress::failure(&pipeline)),
        _ if !progress::at_rest(&pipeline) => Err(progress::failure(&pipeline)),
        _ => Ok(Outcome::of_dead(pipeline.metrics.records_dead)),
    }
}

/// Notices an error that lasts.
struct Patience {
    most: Duration,
    since: Option<Instant>,
}

impl Patience {
    fn of(most: Duration) -> Self {
        Self { most, since: None }
    }

    /// Whether there is no more to wait for: the pipeline is at rest, or has had an error for too long.
    fn is_over(&mut self, pipeline: &PipelineView) -> bool {
        self.since = pipeline.error.as_ref().map(|_| self.since.unwrap_or_else(Instant::now));
        progress::at_rest(pipeline) || self.since.is_some_and(|since| since.elapsed() >= self.most)
    }
}

/// Shows live progress until the pipeline is at rest, or has an error that lasts; returns it as it is then.
pub(crate) async fn follow(client: &Client, id: &str, patience: Duration) -> Result<PipelineView, Failure> {
    let (mut progress, mut patience) = (Progress::new(), Patience::of(patience));
    loop {
        let pipeline = client.pipeline(id).await?;
        progress.update(&pipeline);
        if patience.is_over(&pipeline) {
            progress.finish();
            return Ok(pipeline);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Prints each change as one JSON line.
async fn follow_json(client: &Client, id: &str, patience: Duration) -> Result<PipelineView, Failure> {
    let (mut last, mut patience) = (String::new(), Patience::of(patience));
    loop {
        let pipeline = client.pipeline(id).await?;
        let line = serde_json::to_string(&pipeline).map_err(Failure::failed)?;
        if line != last {
            output::print(&format!("{line}\n"));
            last = line;
        }
        if patience.is_over(&pipeline) {
            return Ok(pipeline);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
