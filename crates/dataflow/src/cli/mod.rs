//! The command line: one file per subcommand.
mod checkpoint;
mod client;
mod completions;
mod connector;
mod dead_letters;
mod demo;
mod exit;
#[cfg(feature = "fault-points")]
mod fault_points;
mod output;
mod pipeline;
mod progress;
mod run;
mod serve;
mod spec_file;
mod verify;

pub use exit::Failure;

use clap::{Parser, Subcommand};
use exit::Outcome;
use output::Output;
use std::process::ExitCode;

/// Data pipelines that lose nothing and double nothing: source → transforms → sink.
///
/// Exit codes: 0 done, 1 failed, 2 invalid input, 3 done, but with dead letters.
#[derive(Debug, Parser)]
#[command(name = "dataflow", version, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// How results are printed to stdout.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table, env = "DATAFLOW_OUTPUT")]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node: the REST API and all its pipelines.
    Serve(serve::Args),
    /// Run the one pipeline of a file in the foreground, until its source ends or Ctrl-C.
    Run(run::Args),
    /// Show it at work with nothing installed: a node, a pipeline made over REST, and what arrived.
    Demo(demo::Args),
    /// Make, change and watch the pipelines of a node.
    #[command(subcommand)]
    Pipeline(pipeline::Command),
    /// See and set where a pipeline goes on.
    #[command(subcommand)]
    Checkpoint(checkpoint::Command),
    /// See records that could not be processed.
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Prove what a pipeline at rest has done: read its source again, and compare row by row with what its sink holds.
    Verify(verify::Args),
    /// See which sources, transforms and sinks there are, and their settings.
    #[command(subcommand)]
    Connector(connector::Command),
    /// Print a completion script for a shell.
    Completions(completions::Args),
    /// List the fault points that tests can name.
    #[cfg(feature = "fault-points")]
    #[command(hide = true)]
    FaultPoints,
}

/// Reads the arguments, does what they say, and says how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = cli.output;
    let result = match cli.command {
        Command::Serve(args) => serve::main(args),
        Command::Run(args) => run::main(args, output),
        Command::Demo(args) => demo::main(args),
        Command::Pipeline(command) => exit::block_on(pipeline::main(command, output)),
        Command::Checkpoint(command) => exit::block_on(checkpoint::main(command, output)),
        Command::DeadLetters(command) => exit::block_on(dead_letters::main(command, output)),
        Command::Verify(args) => verify::main(args, output),
        Command::Connector(command) => connector::main(&command, output),
        Command::Completions(args) => completions::main(&args),
        #[cfg(feature = "fault-points")]
        Command::FaultPoints => fault_points::main(),
    };
    match result {
        Ok(outcome) => outcome.code(),
        Err(failure) => {
            failure.print(output);
            failure.code()
        }
    }
}

/// Whether the command line is well-formed: clap's own check of the definitions, for tests.
#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
