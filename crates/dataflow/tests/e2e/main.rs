//! The real program, from outside: REST, CLI, signals and crashes.
#![allow(clippy::unwrap_used, missing_docs)]
mod cli;
mod crash;
mod flow;
mod hostile;
mod kafka_to_postgres;
mod process;
mod program;
mod run;
