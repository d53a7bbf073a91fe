//! The `http` source: records pushed to `POST /api/pipelines/{id}/batches`.
//!
//! They are durable before this source sees them: the node writes each body to its journal before it answers. Here they
//! are read from there, from the position on.
mod reader;

#[cfg(test)]
mod tests;

use crate::ahead::Nothing;
use async_trait::async_trait;
use dataflow_core::{
    pipeline::inbox::Inbox as Received,
    position::{Partition, Position, Positions},
};
use dataflow_sdk::{
    Context, Error, Problem, SourceConfig,
    inbox::Inbox,
    source::{Assignment, Edge, Reader, Source},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Takes records that are pushed to the pipeline over HTTP.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HttpSource {
    /// Most bytes that may be received and not yet delivered; a push beyond them is answered 429.
    #[serde(default = "max_pending_bytes")]
    pub max_pending_bytes: u64,
}

fn max_pending_bytes() -> u64 {
    64 * 1024 * 1024
}

impl SourceConfig for HttpSource {
    const TYPE: &'static str = "http";
    const SUMMARY: &'static str = "Accepts records that are pushed to `POST /api/pipelines/{id}/batches`.";
    const GUARANTEE: &'static str = "A batch is durable before the response is sent, and a repeated `batchId` has no \
        second effect (the last 100,000 are remembered). The position is the number of records before it.";

    fn check(&self) -> Vec<Problem> {
        if self.max_pending_bytes > 0 {
            return Vec::new();
        }
        vec![Problem::new("maxPendingBytes", "out-of-range", "must be greater than 0")]
    }

    fn build(self) -> Box<dyn Source> {
        Box::new(self)
    }
    fn pushes(&self) -> Option<u64> {
        Some(self.max_pending_bytes)
    }
}

/// The one partition there is.
fn partition() -> Partition {
    Received::PARTITION.into()
}

fn inbox(cx: &Context) -> Result<Arc<dyn Inbox>, Error> {
    cx.inbox.clone().ok_or_else(|| {
        Error::fatal("no-inbox", "nothing can be pushed to this pipeline here")
            .fix("run it on a node: `dataflow serve`")
            .for_user()
    })
}

#[async_trait]
impl Source for HttpSource {
    async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
        Ok(vec![partition()])
    }

    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        if lane.lane != 0 {
            return Ok(Box::new(Nothing { bounded: false }));
        }
        let from = lane.positions.get(&partition()).cloned().unwrap_or(Position::offset(0));
        Ok(Box::new(reader::HttpReader::new(inbox(cx)?, cx, from)?))
    }

    /// A pipeline has one inbox: what a position is known by says what was received before it.
    fn is_same(&self, _: &Position, _: &Position) -> bool {
        true
    }

    async fn resolve(&self, cx: &Context, to: &Edge) -> Result<Positions, Error> {
        let at = match to {
            Edge::Beginning => inbox(cx)?.first().await?,
            Edge::End => inbox(cx)?.received().await?,
        };
        Ok(Positions::from([(partition(), Position::offset(at))]))
    }
}
