//! `dataflow pipeline`: the pipelines of a node, over REST.
mod create;
mod delete;
mod get;
mod history;
mod lifecycle;
mod list;
mod show;
mod update;
mod validate;
mod watch;

pub(super) use show::{ledger, notes, show, worded};
pub(super) use watch::{PATIENCE, follow};

use super::{Outcome, exit::Failure, output::Output};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a pipeline from a file.
    Create(create::Args),
    /// Change a pipeline to the spec in a file.
    Update(update::Args),
    /// List pipelines.
    List(list::Args),
    /// Show a pipeline.
    Get(get::Args),
    /// Run a pipeline from its checkpoint.
    Start(lifecycle::Start),
    /// Stop a pipeline once the records in flight are settled.
    Stop(lifecycle::Stop),
    /// Stop a pipeline if it is running, and run it again.
    Restart(lifecycle::Restart),
    /// Follow a pipeline until it is at rest: exit code 1 if it has failed, 3 if it has dead letters, 124 after --timeout.
    Watch(watch::Args),
    /// Delete a pipeline; its output stays.
    Delete(delete::Args),
    /// Report everything that is wrong with the pipeline in a file, without creating it.
    Validate(validate::Args),
    /// Show a pipeline's history.
    History(history::Args),
}

pub(super) async fn main(command: Command, output: Output) -> Result<Outcome, Failure> {
    match command {
        Command::Create(args) => create::main(args, output).await,
        Command::Update(args) => update::main(args, output).await,
        Command::List(args) => list::main(args, output).await,
        Command::Get(args) => get::main(args, output).await,
        Command::Start(args) => lifecycle::start(args, output).await,
        Command::Stop(args) => lifecycle::stop(args, output).await,
        Command::Restart(args) => lifecycle::restart(args, output).await,
        Command::Watch(args) => watch::main(args, output).await,
        Command::Delete(args) => delete::main(args, output).await,
        Command::Validate(args) => validate::main(args, output).await,
        Command::History(args) => history::main(args, output).await,
    }
}
