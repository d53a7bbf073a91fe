//! The bucket that a flow writes to, as a plain client sees it.
use super::{Row, sink::row};
use crate::bucket::{Bucket, Kind};
use arrow::{
    array::{Array, AsArray},
    datatypes::{Float64Type, Int64Type},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

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
            Kind::Folder => Bucket::folder(folder.join("objects")).await,
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
