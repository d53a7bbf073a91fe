//! `dataflow verify`: what a pipeline claims to have done is proven, row by row.
mod claimant;
mod show;

use super::{
    Outcome,
    client::Server,
    exit::Failure,
    output::{self, Output},
    progress::Share,
    run::QUIET,
    serve, spec_file,
    stored::{self, StoredPipeline},
};
use crate::{node, plugins, settings::Overrides};
use claimant::{Journal, Node};
use dataflow_verify::{Claimant, Options, Report};
use std::{path::PathBuf, sync::Arc};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    server: Server,
    /// The id of a pipeline of a node.
    #[arg(value_name = "PIPELINE", required_unless_present = "file")]
    id: Option<String>,
    /// Instead of a node's: the pipeline of a file that `dataflow run` has run.
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    file: Option<PathBuf>,
    /// The records of an http source: one {"id": …, "data": …} a line, in the order in which they were accepted.
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// Others write to the target, too, or earlier generations did: rows that nothing explains are counted, no more.
    #[arg(long)]
    shared: bool,
    #[command(flatten)]
    overrides: Overrides,
}

pub(super) fn main(mut args: Args, output: Output) -> Result<Outcome, Failure> {
    args.overrides.log_level.get_or_insert_with(|| QUIET.into());
    serve::runtime()?.block_on(verify(args, output))
}

async fn verify(args: Args, output: Output) -> Result<Outcome, Failure> {
    let settings = serve::load(&args.overrides, None)?;
    let connectors = node::connectors(&settings, node::Whose::Users)?;
    let options = Options { shared: args.shared, records: args.records };
    let report = match (args.id, args.file) {
        (_, Some(file)) => {
            let value = spec_file::read(&file)?;
            let (id, _) = plugins::check_new(&connectors, &value)
                .map_err(|problems| Failure::invalid(format!("{} is not valid", file.display()), problems))?;
            let folder = stored::run_folder(&settings.data_dir, &id);
            if !folder.exists() {
                let message = format!("{id} has not run: there is no {}", folder.display());
                return Err(
                    Failure::failed(message).fix("run it first: dataflow run FILE, or name its folder with --data-dir")
                );
            }
            let stored = StoredPipeline::open(&folder, id)?;
            prove(&Journal { journal: &stored.journal, id: stored.id.clone() }, connectors, &options).await?
        }
        (Some(id), None) => prove(&Node { client: args.server.client()?, id }, connectors, &options).await?,
        (None, None) => return Err(Failure::invalid("name a pipeline", Vec::new())),
    };
    match output {
        Output::Json => output::json(&report),
        Output::Table => output::print(&show::text(&report)),
    }
    Ok(if report.verified { Outcome::Done } else { Outcome::NotProven })
}

async fn prove(claimant: &dyn Claimant, connectors: plugins::Connectors, options: &Options) -> Result<Report, Failure> {
    let mut progress = Share::new();
    let proven = dataflow_verify::verify(claimant, Arc::new(connectors), options, |at| progress.update(at)).await;
    progress.finish();
    proven.map_err(failure)
}

fn failure(error: dataflow_verify::Error) -> Failure {
    use dataflow_verify::Error;
    let message = error.to_string();
    match error {
        Error::NotNow { fix, .. } => Failure { fix, ..Failure::failed(message) },
        Error::Invalid { problems, .. } => Failure::invalid(message, problems)
            .fix("give the node's settings: --config FILE, and the variables that hold its secrets"),
        Error::Connector { error: dataflow_sdk::Error::Fatal { fix, .. }, .. } => {
            Failure { fix, ..Failure::failed(message) }
        }
        Error::Connector { .. } | Error::Claims(_) => Failure::failed(message),
    }
}
