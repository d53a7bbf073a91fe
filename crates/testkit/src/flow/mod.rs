//! Whole pipelines whose every record has a fate that is known beforehand, and the proof that each met its own once.
//!
//! [`Data`] makes records, [`Pair`] says where they come from and go to, [`Flow`] is one such pipeline with its source
//! prepared and its sink empty, [`Flow::drive`] lets it flow on a node for as long as that lives, and [`Flow::prove`]
//! compares what came of it, record by record, with what had to.
mod data;
mod drive;
mod kafka;
mod oracle;
mod pair;
mod postgres;
mod recovery;
mod restore;
mod sink;

pub use data::{Bad, Data, Fate, Row};
pub use drive::Driven;
pub use pair::{Pair, Place};
pub use recovery::Known;

use kafka::Topic;
use postgres::Database;
pub(crate) use postgres::Databases;
use restore::Restored;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A pipeline with its source prepared and its sink empty.
#[derive(Debug)]
pub struct Flow {
    /// Where its records come from and go to.
    pub pair: Pair,
    /// Its records.
    pub data: Data,
    folder: PathBuf,
    topic: Option<Topic>,
    database: Option<Database>,
    /// Pushed batches that were answered.
    pushed: u64,
    /// Whether a staged sink of it turns down most checkpoints, as one does that rolls late.
    pub seals_late: bool,
    /// What is known after a restore.
    restored: Option<Restored>,
}

impl Flow {
    /// Prepares source and sink in a folder that is there and empty. `name` names the PostgreSQL database, which is made
    /// anew; a topic is shared by all flows with the same records.
    pub async fn prepare(pair: Pair, records: u64, folder: &Path, name: &str) -> Self {
        let data = Data::new(records, pair);
        let topic = match pair.source {
            Place::Kafka => Some(Topic::filled(&data).await),
            _ => None,
        };
        let database = match pair.sink {
            Place::Postgres => Some(Database::fresh(name, folder.join("secrets/password")).await),
            _ => None,
        };
        let flow = Self {
            pair,
            data,
            folder: folder.to_owned(),
            topic,
            database,
            pushed: 0,
            seals_late: false,
            restored: None,
        };
        if pair.source == Place::File {
            fs::write(flow.input(), flow.data.text()).expect("the input can be written");
        }
        flow.make_table().await;
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

    /// The pipeline as it is created.
    pub fn spec(&self) -> Value {
        json!({
            "pipelineId": Self::ID,
            "source": self.source(),
            "transforms": self.data.transforms(),
            "sink": self.sink(),
            "batch": {"maxRecords": 20, "linger": "1ms"},
            "checkpointInterval": "10ms",
            "lanes": self.pair.lanes,
        })
    }

    fn source(&self) -> Value {
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
