//! `dataflow pipeline delete`.
use super::Outcome;
use crate::cli::{
    client::{Request, Server},
    exit::Failure,
    output::{self, Output},
};
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
    /// Only if the pipeline is at this version.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let path = ["pipelines", args.id.as_str()];
    args.server.client()?.send::<Value>(Request::delete(&path).if_match(args.if_version)).await?;
    match output {
        Output::Json => output::json(&json!({"status": "deleted", "pipelineId": args.id})),
        Output::Table => output::print(&format!("deleted {}\n", args.id)),
    }
    Ok(Outcome::Done)
}
