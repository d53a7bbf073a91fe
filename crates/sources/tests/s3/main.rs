//! The `s3` source before MinIO, and before a server that answers as a test says.
#![allow(clippy::unwrap_used, missing_docs)]
mod changes;
mod formats;
mod protocol;
mod refused;

use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{
    Context, Error, Records, SourceConfig,
    source::{Assignment, Read, Source},
};
use dataflow_sources::s3::S3Source;
use dataflow_testkit::{bucket::Bucket, fixture, servers};
use serde_json::{Value, json};

/// A bucket of its own, if MinIO is up.
async fn bucket() -> Option<Bucket> {
    if servers::minio_is_up() { Some(Bucket::fresh("s3-source").await) } else { None }
}

/// The settings of the source, with these beside those that say where the bucket is.
fn config(bucket: &Bucket, more: Value) -> S3Source {
    of(bucket.sink(), more)
}

fn of(mut settings: Value, more: Value) -> S3Source {
    let fields = settings.as_object_mut().unwrap();
    fields.remove("type");
    fields.extend(more.as_object().unwrap().clone());
    let source: S3Source = serde_json::from_value(settings).unwrap();
    assert!(source.check().is_empty(), "{:?}", source.check());
    source
}

fn source(bucket: &Bucket, more: Value) -> Box<dyn Source> {
    config(bucket, more).build()
}

fn lane(positions: &Positions) -> Assignment {
    Assignment { lane: 0, lanes: 1, positions: positions.clone(), plan: Default::default(), passed: Positions::new() }
}

/// What a run has read.
#[derive(Debug, Default)]
struct Run {
    batches: Vec<Records>,
    positions: Positions,
    warnings: Vec<(String, String)>,
}

impl Run {
    fn texts(&self) -> Vec<String> {
        let rows =
            self.batches.iter().flat_map(|batch| (0..batch.len()).map(|row| batch.bytes(row).unwrap_or_default()));
        rows.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    fn codes(&self) -> Vec<&str> {
        self.warnings.iter().map(|(code, _)| code.as_str()).collect()
    }

    fn lost(&self) -> Vec<(u64, String)> {
        self.batches.iter().filter_map(|batch| batch.lost.clone()).map(|lost| (lost.bytes, lost.reason)).collect()
    }
}

/// Reads on to the end of a source that ends, or to so many batches.
async fn run(source: &dyn Source, cx: &Context, from: &Positions, most: usize) -> Result<Run, Error> {
    let mut reader = source.open(cx, lane(from)).await?;
    let mut run = Run { positions: from.clone(), ..Run::default() };
    while run.batches.len() < most {
        let read = reader.read().await;
        let warnings = reader.warnings();
        run.warnings.extend(warnings.iter().map(|notice| {
            let (code, subject) = notice.key();
            (code.to_owned(), subject.to_owned())
        }));
        let Read::Records(records) = read? else { break };
        let known = run.positions.get(&records.partition).cloned().unwrap_or(Position::offset(0));
        // What it is known by is looked at anew where all is read again.
        let expected = if cx.again { Position { at: known.at, ..records.from.clone() } } else { known };
        assert_eq!(expected, records.from, "{} goes on where it was", records.partition);
        run.positions.insert(records.partition.clone(), records.to.clone());
        run.batches.push(records);
    }
    reader.close().await;
    Ok(run)
}

async fn all(source: &dyn Source, from: &Positions) -> Run {
    run(source, &context(), from, usize::MAX).await.unwrap()
}

fn context() -> Context {
    fixture::context("s3-source")
}

/// With few records a batch.
fn small(records: u32) -> Context {
    let mut cx = context();
    cx.batch.max_records = records;
    cx
}

fn lines(name: &str, count: u32) -> String {
    (0..count).map(|n| format!("{{\"object\":\"{name}\",\"n\":{n}}}\n")).collect()
}

fn expected(name: &str, count: u32) -> Vec<String> {
    lines(name, count).lines().map(str::to_owned).collect()
}

fn partition(bucket: &Bucket, key: &str) -> Partition {
    Partition(format!("s3://{}/{key}", bucket.name).into())
}

fn nothing() -> Value {
    json!({})
}
