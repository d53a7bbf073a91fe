//! A bucket of a real server, or a folder, to write to, and lanes that write to it.
use arrow::{
    array::{ArrayRef, AsArray, StringArray},
    datatypes::Int64Type,
};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::{
    pipeline::event::LaneProgress,
    position::Positions,
    token::{Fence, Token},
};
use dataflow_sdk::{
    Context, Error, Paths, SinkConfig,
    batch::{Column, Demand, Output},
    sink::{CommitError, DeliveryMode, OpenLane, Opened, Seal, Sealed, Sink, Writer},
};
use dataflow_sinks::{AzureBlobSink, FolderSink, S3Sink};
use dataflow_testkit::{
    bucket::{Bucket, Kind},
    conformance::Subject,
    fixture::{Pair, context, fence, open_lane, output, token},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::{io::Read, sync::Arc};

pub(crate) const PIPELINE: &str = "orders";

pub(crate) struct Target {
    pub(crate) bucket: Bucket,
    /// What the node has for copies.
    pub(crate) scratch: tempfile::TempDir,
    more: Value,
}

impl Target {
    /// A store of its own, and a sink with these settings; none: there is no server.
    pub(crate) async fn new(kind: Kind, more: Value) -> Option<Self> {
        if !kind.is_up() {
            return None;
        }
        Some(Self::at(Bucket::fresh_of(kind, "sink-test").await, more))
    }

    /// A sink with these settings for this store.
    pub(crate) fn at(bucket: Bucket, more: Value) -> Self {
        Self { bucket, scratch: tempfile::tempdir().unwrap(), more }
    }

    pub(crate) fn built(&self) -> Box<dyn Sink> {
        let mut settings = self.bucket.sink();
        let kind = settings.as_object_mut().unwrap().remove("type").unwrap();
        settings.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        match kind.as_str().unwrap() {
            "azureblob" => built::<AzureBlobSink>(settings),
            "folder" => built::<FolderSink>(settings),
            _ => built::<S3Sink>(settings),
        }
    }

    fn context(&self) -> Context {
        let paths = Paths { scratch: Some(self.scratch.path().into()), ..Paths::default() };
        Context { paths: Arc::new(paths), ..context(PIPELINE) }
    }

    pub(crate) async fn open(&self, lane: OpenLane) -> Result<Lane, Error> {
        let fence = lane.fence.clone();
        let Opened { writer, mut demand, handle, .. } = self.built().open(&self.context(), lane).await?;
        let mut lane = Lane { fence, writer, demand: Demand::Documents, handle };
        if demand == Demand::AllColumns {
            let columns = [("id", dataflow_core::types::Type::Bigint), ("name", dataflow_core::types::Type::Text)];
            let columns = columns.map(|(name, ty)| Column { name: name.into(), ty });
            demand = lane.writer.define(&columns).await?;
        }
        lane.demand = demand;
        Ok(lane)
    }

    /// A lane of this epoch, of which the journal knows so much.
    pub(crate) async fn lane(&self, epoch: u64, journalled: Option<&LaneProgress>) -> Lane {
        let open = OpenLane { journalled: journalled.cloned(), ..open_lane(&fence(PIPELINE, epoch)) };
        self.open(open).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The ids of all rows that a reader of the bucket gets, in order.
    pub(crate) async fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.rows().await.into_iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }
}

fn built<C: SinkConfig>(settings: Value) -> Box<dyn Sink> {
    let config: C = serde_json::from_value(settings).unwrap();
    assert!(config.check().is_empty(), "{:?}", config.check());
    config.build()
}

/// The rows of an object, by what its name says of its form.
pub(crate) fn rows_of(key: &str, bytes: &Bytes) -> Vec<(i64, String)> {
    let reader: Option<Box<dyn Iterator<Item = _>>> = match key.rsplit_once('.').unwrap().1 {
        "parquet" => Some(Box::new(ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap().build().unwrap())),
        "avro" => Some(Box::new(arrow_avro::reader::ReaderBuilder::new().build(&bytes[..]).unwrap())),
        _ => None,
    };
    if let Some(reader) = reader {
        return reader
            .flat_map(|batch| {
                let batch = batch.unwrap();
                let ids = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().clone();
                let names = batch.column_by_name("name").unwrap().as_string::<i32>().clone();
                (0..batch.num_rows()).map(move |row| (ids.value(row), names.value(row).to_owned())).collect::<Vec<_>>()
            })
            .collect();
    }
    let text = text_of(key, bytes);
    if key.contains(".csv") {
        let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
        return reader
            .records()
            .map(|line| line.unwrap())
            .map(|line| (line[0].parse().unwrap(), line[1].into()))
            .collect();
    }
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            (value["id"].as_i64().unwrap(), value["name"].as_str().unwrap_or("null").into())
        })
        .collect()
}

/// The text of an object.
pub(crate) fn text_of(key: &str, bytes: &Bytes) -> String {
    let mut text = String::new();
    let bytes = bytes.as_ref();
    let read = match key.rsplit_once('.').unwrap().1 {
        "gz" => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        "zst" => zstd::stream::Decoder::new(bytes).unwrap().read_to_string(&mut text),
        _ => bytes.to_owned().as_slice().read_to_string(&mut text),
    };
    read.unwrap();
    text
}

#[async_trait]
impl Subject for Target {
    fn sink(&self) -> Box<dyn Sink> {
        self.built()
    }
    fn delivery(&self) -> DeliveryMode {
        DeliveryMode::Staged
    }
    async fn rows(&self) -> Vec<(i64, String)> {
        self.bucket.objects().await.iter().flat_map(|(key, bytes)| rows_of(key, bytes)).collect()
    }
}

/// An open lane.
pub(crate) struct Lane {
    pub(crate) fence: Fence,
    pub(crate) writer: Box<dyn Writer>,
    pub(crate) demand: Demand,
    pub(crate) handle: Option<Value>,
}

impl Lane {
    pub(crate) fn output(&self, rows: &[Pair<'_>]) -> Output {
        output(&self.demand, 0, rows)
    }

    /// Commits rows of these ids; `of` says the values of the path's expressions.
    pub(crate) async fn try_commit(
        &mut self,
        sequence: u64,
        ids: &[i64],
        of: &[&dyn Fn(i64) -> Option<String>],
    ) -> Result<u64, CommitError> {
        let rows: Vec<Pair<'_>> = ids.iter().map(|id| (Some(*id), Some("a name that is some bytes long"))).collect();
        let side = of.iter().map(|of| Arc::new(ids.iter().map(|id| of(*id)).collect::<StringArray>()) as ArrayRef);
        let output = Output { side: side.collect(), ..self.output(&rows) };
        self.writer
            .commit(&[output].into(), &token(&self.fence, sequence))
            .await
            .map(|committed| committed.rows_written)
    }

    pub(crate) async fn commit(&mut self, sequence: u64, ids: &[i64]) {
        let written = self.try_commit(sequence, ids, &[]).await;
        assert_eq!(written.unwrap_or_else(|error| panic!("{error}")), ids.len() as u64);
    }

    /// Seals; returns what the journal would hold.
    pub(crate) async fn seal(&mut self, sequence: u64) -> LaneProgress {
        let Sealed::Handle(handle) = self.writer.seal(Seal::All).await.unwrap_or_else(|error| panic!("{error}")) else {
            panic!("not sealed")
        };
        self.progress(sequence, handle)
    }

    pub(crate) fn progress(&self, sequence: u64, handle: Value) -> LaneProgress {
        let Token { positions, counters, .. } = token(&self.fence, sequence);
        LaneProgress {
            lane: self.fence.lane,
            sequence,
            positions: Positions::clone(&positions),
            counters,
            handle: Some(handle),
            ..LaneProgress::default()
        }
    }

    pub(crate) async fn try_publish(&mut self, sealed: &LaneProgress) -> Result<Option<Value>, Error> {
        self.writer.publish(sealed.handle.as_ref().unwrap(), &token(&self.fence, sealed.sequence)).await
    }

    /// Publishes; returns what the journal would hold after that.
    pub(crate) async fn publish(&mut self, sealed: &LaneProgress) -> LaneProgress {
        let published = self.try_publish(sealed).await.unwrap_or_else(|error| panic!("{error}"));
        LaneProgress { handle: published.or_else(|| sealed.handle.clone()), ..sealed.clone() }
    }

    /// All of it: commits, seals, publishes.
    pub(crate) async fn write(&mut self, sequence: u64, ids: &[i64]) -> LaneProgress {
        self.commit(sequence, ids).await;
        let sealed = self.seal(sequence).await;
        self.publish(&sealed).await
    }
}

/// What a handle names: keys and ids of uploads.
pub(crate) fn uploads(progress: &LaneProgress) -> Vec<(String, String)> {
    let objects = progress.handle.as_ref().and_then(|handle| handle["objects"].as_array()).cloned().unwrap_or_default();
    let text = |object: &Value, name: &str| object[name].as_str().unwrap().to_owned();
    objects.iter().map(|object| (text(object, "key"), text(object, "upload"))).collect()
}

pub(crate) fn none() -> Value {
    json!({})
}

/// Whether a lane of this bucket can be opened, with these settings.
pub(crate) async fn opened(bucket: &Bucket, more: Value) -> Result<(), Error> {
    Target::at(bucket.clone(), more).open(open_lane(&fence(PIPELINE, 1))).await.map(drop)
}

/// How a lane is opened of which the journal knows so much.
pub(crate) fn journalled(progress: &LaneProgress, epoch: u64) -> OpenLane {
    OpenLane { journalled: Some(progress.clone()), ..open_lane(&fence(PIPELINE, epoch)) }
}
