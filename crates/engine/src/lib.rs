//! The engine: hosts pipelines as entities, and runs them.
//!
//! A message for a pipeline goes through the [`ShardRegion`](region::ShardRegion) to its entity, which decides, has the
//! events appended to its shard's log, and performs what follows: above all, the run, from source to checkpoint.
pub mod answers;
mod base64_bytes;
pub mod causes;
mod chunks;
pub mod claims;
pub mod client;
pub mod dead_letters;
mod directory;
mod engine;
mod entity;
mod host;
pub mod parts;
pub mod region;
pub mod restored;
mod run;
mod shard;
mod status;
mod telemetry;

pub use engine::{Engine, EngineSettings};
pub use host::{Acquired, ShardHost};
pub use telemetry::describe_metrics;
