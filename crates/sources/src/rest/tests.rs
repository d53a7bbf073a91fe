//! The source before a server that answers as each test says.
#![allow(clippy::unwrap_used)]
mod access;
mod checks;
mod circles;
mod pages;
mod polls;
mod stored;

use super::RestSource;
use crate::testing::{context, lane, texts};
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{
    Error, Records, SourceConfig,
    batch::Notice,
    source::{Read, Reader, Source},
};
use dataflow_testkit::api::{Api, Asked, Reply};
use serde_json::{Value, json};
use std::time::Duration;

/// A source with these settings beside the address.
fn source(api: &Api, more: Value) -> Box<dyn Source> {
    config(api, more).build()
}

fn config(api: &Api, more: Value) -> RestSource {
    let mut config = json!({"url": api.url("/items")});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: RestSource = serde_json::from_value(config).unwrap();
    assert_eq!(config.check(), Vec::new());
    config
}

async fn open(source: &dyn Source, from: Option<Position>) -> Box<dyn Reader> {
    let positions: Positions = from.map(|from| ("rest".into(), from)).into_iter().collect();
    source.open(&context(), lane(&positions)).await.unwrap()
}

/// All batches until the end or a failure, and what was warned of.
async fn read_from(source: &dyn Source, from: Option<Position>) -> (Vec<Records>, Option<Error>, Vec<Notice>) {
    let mut reader = open(source, from).await;
    let mut batches = Vec::new();
    let failed = loop {
        match reader.read().await {
            Ok(Read::Records(records)) => batches.push(records),
            Ok(Read::End) => break None,
            Err(error) => break Some(error),
        }
    };
    (batches, failed, reader.warnings())
}

async fn read(source: &dyn Source) -> Vec<String> {
    let (batches, failed, warnings) = read_from(source, None).await;
    assert!(failed.is_none() && warnings.is_empty(), "{failed:?} {warnings:?}");
    texts(&batches)
}

/// Why it fails, with what was read before.
async fn failure(source: &dyn Source) -> (Vec<String>, Error) {
    let (batches, failed, _) = read_from(source, None).await;
    (texts(&batches), failed.expect("it fails"))
}

/// The next records, which there are.
async fn next(reader: &mut dyn Reader) -> Records {
    let read = tokio::time::timeout(Duration::from_secs(30), reader.read()).await.expect("there are records");
    let Read::Records(records) = read.unwrap() else { panic!("it has ended") };
    records
}

fn codes(notices: &[Notice]) -> Vec<&str> {
    notices.iter().map(|notice| notice.key().0).collect()
}

/// The number that a parameter has.
fn number(asked: &Asked, name: &str) -> Option<usize> {
    asked.query.get(name).map(|value| value.parse().unwrap())
}

fn record(n: usize) -> String {
    format!("{{\"id\": {n}, \"big\":9007199254740993.10,\"text\":\"\\u00fc ü\"}}")
}

fn records(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(record).collect()
}

fn list(records: &[String]) -> String {
    format!("[ {} ]", records.join(" ,\n"))
}
