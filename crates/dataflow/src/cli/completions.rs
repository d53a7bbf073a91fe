//! `dataflow completions`: completion scripts for shells.
use super::{Cli, Outcome, exit::Failure, output};
use clap::CommandFactory;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

pub(super) fn main(args: &Args) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dataflow", &mut script);
    output::print(&String::from_utf8_lossy(&script));
    Ok(Outcome::Done)
}
