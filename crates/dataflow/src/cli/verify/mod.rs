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
    /// Only what this one of several sinks has. Default: all of them, one after the other.
    #[arg(long)]
    sink: Option<String>,
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
    let (reports, all) = match (args.id, args.file) {
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
            let of = |sink| Journal { journal: &stored.journal, id: stored.id.clone(), sink };
            let sinks = chosen(args.sink, of(None).sinks().await.map_err(failure)?)?;
            prove_all(sinks, of, connectors, &options).await?
        }
        (Some(id), None) => {
            let client = args.server.client()?;
            let of = |sink| Node { client: client.clone(), id: id.clone(), sink };
            let sinks = chosen(args.sink, of(None).sinks().await?)?;
            prove_all(sinks, of, connectors, &options).await?
        }
        (None, None) => return Err(Failure::invalid("name a pipeline", Vec::new())),
    };
    match (output, &reports[..]) {
        (Output::Json, [report]) => output::json(report),
        (Output::Json, reports) => output::json(&reports),
        (Output::Table, reports) => {
            let texts: Vec<_> = reports.iter().map(show::text).collect();
            output::print(&texts.join("\n"));
        }
    }
    Ok(if all && reports.iter().all(|report| report.verified) { Outcome::Done } else { Outcome::NotProven })
}

/// The sink that was asked for, or all.
fn chosen(asked: Option<String>, sinks: Vec<String>) -> Result<Vec<String>, Failure> {
    match asked {
        None => Ok(sinks),
        Some(asked) if sinks.contains(&asked) => Ok(vec![asked]),
        Some(asked) => Err(Failure::unknown_sink(&asked, sinks)),
    }
}

/// Proves what each of these sinks has, and whether all could be read; without any, what the only one has.
async fn prove_all<C: Claimant>(
    sinks: Vec<String>,
    of: impl Fn(Option<String>) -> C,
    connectors: plugins::Connectors,
    options: &Options,
) -> Result<(Vec<Report>, bool), Failure> {
    let connectors = Arc::new(connectors);
    if sinks.is_empty() {
        return Ok((vec![prove(&of(None), connectors, options).await?], true));
    }
    let (only, mut reports, mut all) = (sinks.len() == 1, Vec::new(), true);
    for sink in sinks {
        match prove(&of(Some(sink.clone())), connectors.clone(), options).await {
            Ok(report) => reports.push(report),
            Err(failure) if only => return Err(failure),
            // What can't be proven of one says nothing of the others.
            Err(failure) => {
                say!("sink {sink}: {}", failure.message);
                all = false;
            }
        }
    }
    Ok((reports, all))
}

async fn prove(
    claimant: &dyn Claimant,
    connectors: Arc<plugins::Connectors>,
    options: &Options,
) -> Result<Report, Failure> {
    let mut progress = Share::new();
    let proven = dataflow_verify::verify(claimant, connectors, options, |at| progress.update(at)).await;
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
