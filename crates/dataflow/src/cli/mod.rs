//! The command line: one file per subcommand.
#[macro_use]
mod say;

mod backup;
mod causes;
mod checkpoint;
mod client;
mod completions;
mod connector;
mod dead_letters;
mod demo;
mod door;
mod exit;
#[cfg(feature = "fault-points")]
mod fault_points;
mod kept;
mod output;
mod pipeline;
mod progress;
mod restore;
mod run;
mod serve;
mod spec_file;
mod stored;
mod verify;

pub use exit::Failure;

use clap::{CommandFactory, Parser, Subcommand};
use exit::{Kind, Outcome};
use output::Output;
use std::process::ExitCode;

/// Data pipelines that lose nothing and double nothing: source → transforms → sink.
///
/// Exit codes: 0 done, 1 failed, 2 invalid input, 3 done, but with dead letters, 124 timed out, 130 and 143 stopped by
/// Ctrl-C and SIGTERM.
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
    /// Run a demonstration with nothing installed: a node, a pipeline created over REST, and the rows that arrive.
    Demo(demo::Args),
    /// Create, change and watch the pipelines of a node.
    #[command(subcommand)]
    Pipeline(pipeline::Command),
    /// Show and set where a pipeline continues.
    #[command(subcommand)]
    Checkpoint(checkpoint::Command),
    /// Show records that could not be processed.
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Prove what a stopped pipeline has done: read its source again, and compare with its sink row by row.
    Verify(verify::Args),
    /// Write a node's state into one file, while it runs.
    Backup(backup::Args),
    /// Restore a stopped node from a backup.
    Restore(restore::Args),
    /// List sources, transforms and sinks, and show their settings.
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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let output = cli.output;
    match cli.command.perform(output) {
        Ok(outcome) => outcome.code(),
        Err(failure) => {
            let code = failure.code();
            failure.print(output);
            code
        }
    }
}

impl Command {
    fn perform(self, output: Output) -> Result<Outcome, Failure> {
        match self {
            Self::Serve(args) => serve::main(args),
            Self::Run(args) => run::main(args, output),
            Self::Demo(args) => demo::main(args),
            Self::Pipeline(command) => exit::block_on(pipeline::main(command, output)),
            Self::Checkpoint(command) => checkpoint::main(command, output),
            Self::DeadLetters(command) => exit::block_on(dead_letters::main(command, output)),
            Self::Verify(args) => verify::main(args, output),
            Self::Backup(args) => backup::main(&args, output),
            Self::Restore(args) => restore::main(&args, output),
            Self::Connector(command) => connector::main(&command, output),
            Self::Completions(args) => completions::main(&args),
            #[cfg(feature = "fault-points")]
            Self::FaultPoints => fault_points::main(),
        }
    }
}

/// A command line that can't be read, or that asks for help.
fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || !asks_for_json() {
        error.exit();
    }
    let text = error.render().to_string();
    let (message, help) = text.split_once("\n\n").unwrap_or((&text, ""));
    let failure = Failure::new(Kind::Usage, message.trim_start_matches("error: ").trim());
    let failure = if help.is_empty() { failure } else { failure.fix(help.trim()) };
    let code = failure.code();
    failure.print(Output::Json);
    code
}

/// Whether JSON is asked for on a command line that can't be read as a whole.
fn asks_for_json() -> bool {
    let args: Vec<_> = std::env::args_os().collect();
    let given = args.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
        || args.iter().any(|arg| arg == "--output=json");
    let command = Cli::command();
    let variable = command.get_arguments().find(|arg| arg.get_id() == "output").and_then(clap::Arg::get_env);
    let text = variable.and_then(std::env::var_os);
    given || text.is_some_and(|text| text == "json")
}

/// Whether the command line is well-formed: clap's own check of the definitions, for tests.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
