//! The real program, from outside: REST, CLI, signals and crashes.
#![allow(clippy::unwrap_used, missing_docs)]
mod cli;
mod crash;
#[cfg(feature = "fault-points")]
mod fault_points;
mod flow;
mod kafka_to_postgres;
mod process;
mod program;
mod run;
