//! A shard and what it owns: the head of its log, and the states of its pipelines.
mod cell;
mod load;
mod log;
mod stored;

pub(crate) use cell::PipelineCell;
pub(crate) use load::{Claimed, claim_shard, load_pipeline, read_shard};
pub(crate) use log::{AppendError, ShardLog, Tail};
