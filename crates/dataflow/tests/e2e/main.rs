//! The real program, from outside: REST, CLI, signals and crashes.
#![allow(clippy::unwrap_used, missing_docs)]
mod absent;
mod advice;
mod appended;
mod backup;
mod branches;
mod cli;
#[cfg(feature = "fault-points")]
mod columns;
mod crash;
#[cfg(feature = "fault-points")]
mod deletes;
mod described;
mod door;
mod environment;
#[cfg(feature = "fault-points")]
mod fault_points;
mod files;
mod flow;
mod hostile;
mod kafka_source;
mod kafka_to_kafka;
mod kafka_to_postgres;
mod keys;
mod lost;
mod neighbours;
mod nodes;
mod nulls;
mod objects;
#[cfg(feature = "fault-points")]
mod partitions;
mod positions;
mod process;
mod program;
mod recipes;
mod replayed;
mod rest;
mod run;
mod s3_source;
mod search;
mod secrets;
mod secured;
mod server;
mod several;
mod spellings;
mod together;
mod topic;
mod tweaks;
mod verify;
mod verify_servers;
mod verify_topic;
mod verify_values;
#[cfg(feature = "fault-points")]
mod zombies;
