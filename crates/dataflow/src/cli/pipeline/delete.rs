//! `dataflow pipeline delete`.
use super::Outcome;
use crate::cli::{
    client::{Because, Changed, Request, Server},
    exit::Failure,
    output::{self, Output},
};
use serde_json::Value;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
    /// Only if the pipeline is at this version.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// Don't fail if the pipeline doesn't exist.
    #[arg(long)]
    ignore_not_found: bool,
    /// Even if that loses dead letters, or pushed records that are not delivered yet.
    #[arg(long)]
    discard: bool,
    #[command(flatten)]
    because: Because,
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let path = ["pipelines", args.id.as_str()];
    let flags = [("idempotent", args.ignore_not_found), ("discard", args.discard)];
    let query: Vec<_> = flags.iter().filter(|(_, given)| *given).map(|(name, _)| (*name, "true".to_owned())).collect();
    let request = Request::delete(&path).if_match(args.if_version);
    let request = request.query(&query).because(&args.because);
    let Changed { body, unchanged }: Changed<Value> = args.server.client()?.change(request).await?;
    match output {
        Output::Json => output::json(&body),
        Output::Table if unchanged => output::print(&format!("there is no {}: nothing to do\n", args.id)),
        Output::Table => output::print(&format!("deleted {}\n", args.id)),
    }
    Ok(Outcome::Done)
}
