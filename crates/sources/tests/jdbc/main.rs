//! The `jdbc` source against real databases.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
mod interleaved;
mod looks;
mod mysql;
mod postgres;
mod spec;
mod sqlite;

use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{
    Context, Error, Records, SourceConfig,
    source::{Assignment, Read, Reader, Source},
};
use dataflow_sources::jdbc::JdbcSource;
use dataflow_testkit::fixture;
use serde_json::{Value, json};
use std::time::Duration;

/// Longest wait for what surely comes.
const PATIENCE: Duration = Duration::from_secs(120);

fn context() -> Context {
    fixture::context("test")
}

fn source(config: Value) -> Box<dyn Source> {
    let mut whole = json!({"pollInterval": "5ms"});
    whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let config: JdbcSource = serde_json::from_value(whole).unwrap();
    let problems = config.check();
    assert!(problems.is_empty(), "{problems:#?}");
    config.build()
}

async fn open(source: &dyn Source, cx: &Context, at: Option<Position>) -> Result<Box<dyn Reader>, Error> {
    let partition = source.partitions(cx).await.unwrap().remove(0);
    let positions: Positions = at.map(|at| (partition, at)).into_iter().collect();
    source
        .open(cx, Assignment { lane: 0, lanes: 1, positions, plan: Default::default(), passed: Default::default() })
        .await
}

async fn read(reader: &mut dyn Reader) -> Option<Records> {
    // As the engine does it: nobody waits for long at a time.
    let begun = tokio::time::Instant::now();
    loop {
        match tokio::time::timeout(Duration::from_millis(20), reader.read()).await {
            Ok(Ok(Read::Records(records))) => return Some(records),
            Ok(Ok(Read::End)) => return None,
            Ok(Err(error)) => panic!("{error:?}"),
            Err(_) => assert!(begun.elapsed() < PATIENCE, "nothing comes: {:?}", reader.warnings()),
        }
    }
}

fn values(records: &Records) -> Vec<Value> {
    (0..records.len()).map(|row| serde_json::from_slice(records.bytes(row).unwrap()).unwrap()).collect()
}

/// All rows of a source that ends.
async fn all(config: Value) -> Vec<Value> {
    let (source, cx) = (source(config), context());
    let mut reader = open(&*source, &cx, None).await.unwrap();
    let mut rows = Vec::new();
    while let Some(records) = read(&mut *reader).await {
        rows.extend(values(&records));
    }
    rows
}

/// Why a source is not opened: code, and message with what to do; empty, if it is.
async fn refusal(config: Value) -> (&'static str, String) {
    match open(&*source(config), &context(), None).await {
        Err(Error::Fatal { code, message, fix, .. }) => (code, format!("{message}; {}", fix.unwrap_or_default())),
        Err(other) => panic!("{other:?}"),
        Ok(_) => ("", String::new()),
    }
}

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}
