//! Whole pipelines in which every record has a fate known in advance, and the proof that each met its fate once.
//!
//! [`Data`] generates records, [`Pair`] names source and sinks, [`Flow`] is one such pipeline with its source prepared
//! and its sinks empty, [`Flow::drive`] runs it on a node for as long as the node lives, and [`Flow::prove`] compares
//! the result with the expectation, record by record.
mod data;
mod drive;
mod kafka;
mod mariadb;
mod objects;
mod oracle;
mod output;
mod pair;
mod postgres;
mod recovery;
mod rest;
mod restore;
mod sink;
mod table;

pub use data::{Bad, Data, Fate, Row};
pub use drive::Driven;
pub use pair::{Pair, Place};
pub use recovery::Known;

use crate::api::Api;
use kafka::Topic;
use objects::{Filled, Objects};
use output::Output;
pub(crate) use postgres::Databases;
use restore::Restored;
use serde_json::{Value, json};
use sink::Sink;
use std::{
    fs,
    path::{Path, PathBuf},
};
use table::Table;
pub(crate) use table::source_database;

/// A pipeline with its source prepared and its sinks empty.
#[derive(Debug)]
pub struct Flow {
    /// Its source and sinks.
    pub pair: Pair,
    /// Its records.
    pub data: Data,
    folder: PathBuf,
    topic: Option<Topic>,
    api: Option<Api>,
    table: Option<Table>,
    bucket: Option<Filled>,
    sinks: Vec<Sink>,
    /// Counts the pushed batches that were answered.
    pushed: u64,
    /// Whether its staged sinks decline most checkpoints, like one that rolls late.
    pub seals_late: bool,
    /// The state of its restore, if there was one.
    restored: Option<Restored>,
}

impl Flow {
    /// Prepares source and sinks in an existing, empty folder. `name` names the PostgreSQL database, which is recreated;
    /// a topic is shared by all flows with the same records.
    pub async fn prepare(pair: Pair, records: u64, folder: &Path, name: &str) -> Self {
        let data = Data::new(records, pair);
        let topic = match pair.source {
            Place::Kafka => Some(Topic::filled(&data).await),
            _ => None,
        };
        let api = (pair.source == Place::Rest).then(|| rest::serve(data));
        let table = Table::filled(&data, pair.source, name, folder).await;
        let bucket = match pair.source {
            Place::S3 => Some(Filled::with(&data, folder.join("secrets/bucket")).await),
            _ => None,
        };
        let mut sinks = Vec::new();
        for number in 0..pair.sinks.len() {
            let number = u32::try_from(number).expect("few sinks");
            sinks.push(Sink::prepare(pair, number, folder, name).await);
        }
        let flow = Self {
            pair,
            data,
            folder: folder.to_owned(),
            topic,
            api,
            table,
            bucket,
            sinks,
            pushed: 0,
            seals_late: false,
            restored: None,
        };
        if pair.source == Place::File {
            fs::write(flow.input(), flow.data.text()).expect("the input can be written");
        }
        flow
    }

    /// Its id.
    pub const ID: &'static str = "flow";

    /// The node's data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The folder of the secrets that its spec refers to.
    pub fn secrets(&self) -> String {
        self.folder.join("secrets").to_string_lossy().into_owned()
    }

    fn input(&self) -> PathBuf {
        self.folder.join("input.jsonl")
    }

    /// The pipeline's spec.
    pub fn spec(&self) -> Value {
        let mut spec = json!({
            "pipelineId": Self::ID,
            "source": self.source(),
            "transforms": self.data.transforms(),
            "batch": {"maxRecords": 20, "linger": "1ms"},
            "checkpointInterval": "10ms",
            "lanes": self.pair.lanes,
        });
        match &*self.sinks {
            [only] => spec["sink"] = only.spec(),
            several => spec["sinks"] = several.iter().map(Sink::spec).collect(),
        }
        spec
    }

    fn source(&self) -> Value {
        if let Some(api) = &self.api {
            return rest::source(api);
        }
        if let Some(table) = &self.table {
            return table.source();
        }
        if let Some(bucket) = &self.bucket {
            return bucket.source();
        }
        match (self.pair.source, &self.topic) {
            (Place::Http, _) => json!({"type": "http"}),
            (Place::Generate, _) => {
                json!({"type": "generate", "count": self.data.records, "schema": {"id": {"type": "sequence"}}})
            }
            (Place::Kafka, Some(topic)) => json!({
                "type": "kafka", "brokers": kafka::BROKERS, "topic": topic.name,
                "properties": {"fetch.wait.max.ms": "10"},
            }),
            _ => json!({"type": "file", "path": self.input()}),
        }
    }
}
