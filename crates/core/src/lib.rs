//! The pure domain of DataFlow: what a pipeline is, what may be asked of it, and what has happened to it.
//!
//! Nothing here reads a clock, draws a random number, does I/O or waits: time and ids arrive in commands,
//! and what must be done in the world is returned as data ([`pipeline::Effect`]).
pub mod chunk;
pub mod id;
pub mod ledger;
pub mod limits;
pub mod pipeline;
pub mod position;
pub mod problem;
pub mod shard;
pub mod spec;
pub mod time;
pub mod token;
pub mod types;
