//! The `dataflow` program: see [`dataflow::cli`].
use std::process::ExitCode;

fn main() -> ExitCode {
    dataflow::allocator::tune();
    dataflow::cli::main()
}
