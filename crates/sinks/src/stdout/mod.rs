//! `stdout`: one document a line on standard output.
use crate::{blocking, file::lines};
use async_trait::async_trait;
use dataflow_core::token::Token;
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    batch::{Demand, Output},
    sink::{CommitError, Committed, DeliveryMode, OpenLane, Opened, Sink, Writer},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    io::{ErrorKind, Write},
    sync::Arc,
};

/// Writes each record as one line of JSON to the standard output of the node's process.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StdoutSink {}

impl SinkConfig for StdoutSink {
    const TYPE: &'static str = "stdout";
    const SUMMARY: &'static str = "Writes each record as one line of JSON to standard output.";
    const DELIVERY: DeliveryMode = DeliveryMode::Unfenced;
    const GUARANTEE: &'static str =
        "At least once: after a crash, records since the last checkpoint are written again.";

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn target(&self) -> String {
        String::new()
    }
    fn build(self) -> Box<dyn Sink> {
        Box::new(Stdout)
    }
}

#[derive(Debug)]
struct Stdout;

#[async_trait]
impl Sink for Stdout {
    async fn open(&self, _: &Context, _: OpenLane) -> Result<Opened, Error> {
        let (writer, demand) = (Box::new(Self), Demand::Lines);
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
impl Writer for Stdout {
    async fn commit(&mut self, outputs: &Arc<[Output]>, _: &Token) -> Result<Committed, CommitError> {
        let (text, rows_written) = lines::documents(outputs)?;
        // The process-wide lock of standard output keeps the lines of a commit together, whoever else writes.
        let written = blocking::run(move || {
            let mut out = std::io::stdout().lock();
            out.write_all(&text).and_then(|()| out.flush())
        });
        match written.await? {
            Ok(()) => Ok(Committed { rows_written }),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                Err(Error::fatal("broken-pipe", "the reader of standard output has closed it").for_user().into())
            }
            Err(error) => Err(Error::transient("io", format!("can't write to standard output: {error}")).into()),
        }
    }
    async fn close(self: Box<Self>) {}
}
