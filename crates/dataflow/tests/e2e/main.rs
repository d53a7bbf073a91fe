//! The real program, from outside: REST, CLI, signals and crashes.
#![allow(clippy::unwrap_used, missing_docs)]
mod appended;
mod backup;
mod cli;
mod crash;
mod described;
mod door;
mod environment;
#[cfg(feature = "fault-points")]
mod fault_points;
mod files;
mod flow;
mod hostile;
mod kafka_to_postgres;
mod keys;
mod lost;
mod nodes;
#[cfg(feature = "fault-points")]
mod partitions;
mod positions;
mod process;
mod program;
mod run;
mod secrets;
mod server;
mod spellings;
mod topic;
mod tweaks;
mod verify;
mod verify_servers;
mod verify_values;
#[cfg(feature = "fault-points")]
mod zombies;
