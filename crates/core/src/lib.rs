//! The pure domain of DataFlow: what a pipeline is, what may be asked of it, and what has happened to it.
//!
//! Nothing here reads a clock, draws a random number, does I/O or waits: time and ids arrive in commands,
//! and what must be done in the world is returned as data ([`pipeline::Effect`]).
//!
//! - What a user declares: [`spec`], with what is wrong with it as [`problem`]s.
//! - What may be asked: [`pipeline::Command`], one file per command. What follows: [`pipeline::decide()`].
//! - What has happened: [`pipeline::Event`]. What a pipeline is by that: [`pipeline::State`], by [`pipeline::evolve()`].
//! - How far it is: [`position`]s of its source, the [`ledger`] of its records, and the [`token`] that a sink keeps beside
//!   its data.
//! - What its data taught: [`types`], and what users are [`warned`] of.
//! - The version of what is stored: the write [`level`].
//!
//! What may happen when is printed from the code: `docs/lifecycle.md`.
pub mod branch;
pub mod chunk;
pub mod id;
pub mod ledger;
pub mod level;
pub mod limits;
pub mod pipeline;
pub mod position;
pub mod problem;
pub mod shard;
pub mod spec;
pub mod time;
pub mod token;
pub mod types;
pub mod warned;
