//! `dataflow pipeline create`.
use super::{Outcome, lifecycle};
use crate::cli::{
    client::{Because, Changed, Request, Server},
    exit::Failure,
    output::{self, Output},
    spec_file::{self, SpecFile},
};
use dataflow_api_types::PipelineView;
use serde::{Deserialize, Serialize};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    file: SpecFile,
    /// Also start it.
    #[arg(long)]
    start: bool,
    /// A repeated request with the same key has no second effect.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    because: Because,
}

/// What the API answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    status: String,
    pipeline_id: String,
    pipeline: PipelineView,
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let spec = spec_file::read(&args.file.path)?;
    let client = args.server.client()?;
    let query = [("idempotent", "true".to_owned())];
    let request = Request::post(&["pipelines"]).query(&query).body(&spec);
    let request = request.idempotency_key(args.idempotency_key.as_deref()).because(&args.because);
    let Changed { body: created, unchanged }: Changed<Created> = client.change(request).await?;
    if unchanged {
        say!("{} already exists and matches the file", created.pipeline_id);
    }
    if args.start {
        let asked = (created.pipeline_id.as_str(), None);
        let started = lifecycle::ask(&client, asked, "start", None, (None, &args.because)).await?;
        return lifecycle::told(("start", None), &started, output);
    }
    match output {
        Output::Json => output::json(&created),
        Output::Table => output::print(&format!(
            "{} {}\nstart it with: dataflow pipeline start {}\n",
            created.status, created.pipeline_id, created.pipeline_id
        )),
    }
    Ok(Outcome::Done)
}
