//! `dataflow pipeline get`.
use super::Outcome;
use crate::cli::{client::Server, exit::Failure, output::Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let pipeline = args.server.client()?.pipeline(&args.id).await?;
    Ok(super::show(&pipeline, output))
}
