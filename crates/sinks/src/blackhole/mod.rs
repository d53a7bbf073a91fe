//! `blackhole`: takes everything, keeps nothing.
use async_trait::async_trait;
use dataflow_core::token::Token;
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    batch::{Demand, Output},
    sink::{CommitError, Committed, DeliveryMode, OpenLane, Opened, Sink, Writer},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// Takes every record and keeps none: for trying out sources and transforms, and for measuring.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BlackholeSink {}

impl SinkConfig for BlackholeSink {
    const TYPE: &'static str = "blackhole";
    const SUMMARY: &'static str = "Counts records and discards them.";
    const DELIVERY: DeliveryMode = DeliveryMode::Unfenced;
    const GUARANTEE: &'static str =
        "At least once: after a crash, records since the last checkpoint are counted again.";

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn target(&self) -> String {
        String::new()
    }
    fn build(self) -> Box<dyn Sink> {
        Box::new(Blackhole)
    }
}

#[derive(Debug)]
struct Blackhole;

#[async_trait]
impl Sink for Blackhole {
    async fn open(&self, _: &Context, _: OpenLane) -> Result<Opened, Error> {
        let (writer, demand) = (Box::new(Self), Demand::Documents);
        Ok(Opened {
            writer,
            token: None,
            others: Vec::new(),
            begins: Default::default(),
            demand,
            warnings: Vec::new(),
            handle: None,
        })
    }
}

#[async_trait]
impl Writer for Blackhole {
    async fn commit(&mut self, outputs: &Arc<[Output]>, _: &Token) -> Result<Committed, CommitError> {
        Ok(Committed { rows_written: outputs.iter().map(|output| output.len() as u64).sum() })
    }
    async fn close(self: Box<Self>) {}
}
