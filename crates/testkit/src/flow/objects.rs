//! The bucket that a flow writes to, as a plain client sees it, and the one that it reads from.
use super::{Data, Row, sink::row};
use crate::bucket::{Bucket, Kind};
use arrow::{
    array::{Array, AsArray},
    datatypes::{Float64Type, Int64Type},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// A bucket that goes with the flow.
#[derive(Debug)]
pub(super) struct Objects {
    bucket: Bucket,
    parquet: bool,
    /// The file of its secret.
    secret: PathBuf,
}

impl Objects {
    /// An empty one, of a flow that has this folder.
    pub(super) async fn fresh(kind: Kind, parquet: bool, folder: &Path) -> Self {
        let bucket = match kind {
            // Another try of a trial has the same folder, and may begin before this one has let go of its own.
            Kind::Folder => Bucket::folder_in(folder, "objects").await,
            kind => Bucket::fresh_of(kind, "kill-out").await,
        };
        Self { bucket, parquet, secret: folder.join("secrets/store") }
    }

    /// The sink's spec: twenty folders, and objects that are full after some records.
    pub(super) fn sink(&self) -> Value {
        let mut sink = self.bucket.sink_with_secret_in(&self.secret);
        sink["path"] = json!("rows/part={cast(id % 20 as text)}");
        sink["format"] = json!(if self.parquet { "parquet" } else { "json" });
        sink["roll"] = json!({"maxRecords": 40, "maxAge": "10s"});
        sink
    }

    /// All rows of all objects.
    pub(super) async fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (key, bytes) in self.bucket.objects().await {
            let before = rows.len();
            if self.parquet {
                let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("an object is whole");
                for batch in reader.build().expect("it can be read") {
                    let batch = batch.expect("its rows can be read");
                    let column = |name: &str| batch.column_by_name(name);
                    let id = column("id").expect("a column").as_primitive::<Int64Type>();
                    let total = column("total").expect("a column").as_primitive::<Int64Type>();
                    let share = column("share").expect("a column").as_primitive::<Float64Type>();
                    let group = column("group").expect("a column").as_string::<i32>();
                    let extra = column("extra").map(|column| column.as_string::<i32>());
                    rows.extend((0..batch.num_rows()).map(|row| Row {
                        id: id.value(row),
                        group: group.value(row).into(),
                        total: total.value(row),
                        share: share.value(row),
                        extra: extra.filter(|extra| extra.is_valid(row)).map(|extra| extra.value(row).into()),
                    }));
                }
            } else {
                rows.extend(std::str::from_utf8(&bytes).expect("lines are text").lines().map(row));
            }
            let fits = |row: &Row| key.starts_with(&format!("rows/part={}/", row.id % 20));
            assert!(rows[before..].iter().all(fits), "a row of {key} belongs elsewhere");
            assert!(rows.len() - before <= 40, "{key} is too large");
        }
        rows
    }

    /// Removes the objects whose names begin so, or with a greater number; returns how many there were.
    pub(super) async fn remove_from(&self, begin: &str) -> usize {
        let (all, _) = begin.rsplit_once('-').expect("a number at the end");
        let name = |key: &String| key.rsplit('/').next().unwrap_or_default().to_owned();
        let keys = self.bucket.keys().await.into_iter().filter(|key| !key.contains("_dataflow/"));
        let keys: Vec<String> =
            keys.filter(|key| name(key).starts_with(&format!("{all}-")) && *name(key) >= *begin).collect();
        for key in &keys {
            self.bucket.delete(key).await;
        }
        keys.len()
    }
}

/// Records of an object: no multiple of a batch's, nor the other way round.
const SIZE: u64 = 150;

/// A bucket with all records of a flow, in objects of which every second is compressed.
#[derive(Debug)]
pub(super) struct Filled(Objects);

/// The key of the object with record `n`.
fn key(n: u64) -> String {
    let number = n / SIZE;
    format!("in/{number:04}.{}", if number.is_multiple_of(2) { "jsonl" } else { "json.gz" })
}

impl Filled {
    pub(super) async fn with(data: &Data, secret: PathBuf) -> Self {
        let objects = Objects { bucket: Bucket::fresh_of(Kind::S3, "kill-in").await, parquet: false, secret };
        for first in (0..data.records).step_by(usize::try_from(SIZE).expect("few records")) {
            let lines: String = (first..(first + SIZE).min(data.records)).map(|n| data.line(n) + "\n").collect();
            let content = match key(first).ends_with("gz") {
                true => {
                    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    packed.write_all(lines.as_bytes()).expect("memory takes it");
                    packed.finish().expect("memory takes it")
                }
                false => lines.into_bytes(),
            };
            objects.bucket.put(&key(first), content).await;
        }
        Self(objects)
    }

    /// What reads it.
    pub(super) fn source(&self) -> Value {
        let mut source = self.0.bucket.sink_with_secret_in(&self.0.secret);
        source["path"] = json!("in/");
        source
    }

    /// Where record `n` is: its partition and its position.
    pub(super) fn place(&self, data: &Data, n: u64) -> (String, String) {
        let before: usize = (n / SIZE * SIZE..n).map(|n| data.line(n).len() + 1).sum();
        (format!("s3://{}/{}", self.0.bucket.name, key(n)), before.to_string())
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // With a client of its own: the other one's connections live on the runtime that waits here.
        let bucket = self.bucket.again();
        let remove = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(bucket.remove());
        };
        if std::thread::spawn(remove).join().is_err() {
            eprintln!("the bucket {} stays", self.bucket.name);
        }
    }
}
