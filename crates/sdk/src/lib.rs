//! The part of DataFlow that authors of sources, transforms and sinks use.
//!
//! A connector is one folder: a documented config struct (its manual: validation, catalogue, reference docs and CLI
//! scaffold come from it), `check`, which never touches the network, and `open`, which does. Retry, back-off,
//! batching, ordering and checkpoints belong to the engine; a connector connects, reads or commits, and closes.
pub mod audit;
pub mod batch;
pub mod catalog;
pub mod check;
pub mod context;
pub mod declared;
pub mod error;
pub mod extent;
pub mod inbox;
pub mod paths;
pub mod records;
pub mod sink;
pub mod source;
pub mod transform;

pub use catalog::{Catalog, SinkConfig, SourceConfig};
pub use check::Problem;
pub use context::Context;
pub use error::Error;
pub use paths::Paths;
pub use records::{Records, Span};
