//! The `dataflow` program: see [`dataflow::cli`].
use std::process::ExitCode;

fn main() -> ExitCode {
    dataflow::cli::main()
}
