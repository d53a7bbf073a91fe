//! What objects hold, and where they are.
use crate::target::{Target, none, rows_of, text_of};
use dataflow_core::types::Type;
use dataflow_sdk::{batch::Column, sink::CommitError};
use dataflow_testkit::bucket::Kind;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

for_each_store! {
    each_row_is_in_the_folder_of_its_values
    a_row_without_a_place_is_refused_alone
    an_object_holds_no_more_records_than_it_may
    open_objects_are_capped
    bytes_pass_unchanged
    columns_are_added_in_a_new_object
    large_objects_are_whole
}

const COUNTRIES: [Option<&str>; 7] = [Some("DE"), Some("a/b"), Some(".."), Some(""), None, Some("Ö =%"), Some("x\ny")];

async fn each_row_is_in_the_folder_of_its_values(kind: Kind) {
    for more in [
        none(),
        json!({"compression": "gzip"}),
        json!({"format": "csv", "compression": "zstd"}),
        json!({"format": "parquet"}),
        json!({"format": "avro", "compression": "snappy"}),
    ] {
        let mut more = more;
        more["path"] = json!("ev/c={country}/{day}");
        let Some(target) = Target::new(kind, more.clone()).await else { return };
        let mut lane = target.lane(1, None).await;
        let country = |id: i64| COUNTRIES[id as usize % 7].map(ToOwned::to_owned);
        let ids: Vec<i64> = (0..700).collect();
        let written = lane.try_commit(1, &ids, &[&country, &|_| Some("2026-11-29".into())]).await.unwrap();
        assert_eq!(written, 700);
        let sealed = lane.seal(1).await;
        lane.publish(&sealed).await;
        assert_eq!(target.ids().await, ids, "{more}");
        let folders =
            ["DE", "a%2Fb", "..", "__HIVE_DEFAULT_PARTITION__", "__HIVE_DEFAULT_PARTITION__", "Ö %3D%25", "x%0Ay"];
        for (key, bytes) in target.bucket.objects().await {
            for (id, _) in rows_of(&key, &bytes) {
                let folder = format!("ev/c={}/2026-11-29/", folders[id as usize % 7]);
                assert!(key.starts_with(&folder), "{id} is in {key}");
            }
        }
        assert_eq!(target.bucket.objects().await.len(), 6);
        target.bucket.remove().await;
    }
}

async fn a_row_without_a_place_is_refused_alone(kind: Kind) {
    let Some(target) = Target::new(kind, json!({"path": "{a}"})).await else { return };
    let mut lane = target.lane(1, None).await;
    let long = |id: i64| Some(if id == 2 { "x".repeat(300) } else { "short".into() });
    let Err(CommitError::Rejected(rows)) = lane.try_commit(1, &[1, 2, 3], &[&long]).await else { panic!("it took it") };
    assert_eq!(rows.iter().map(|row| row.row).collect::<Vec<_>>(), [1]);
    lane.try_commit(1, &[1, 3], &[&long]).await.unwrap();
    let sealed = lane.seal(1).await;
    lane.publish(&sealed).await;
    assert_eq!(target.ids().await, [1, 3]);
    target.bucket.remove().await;
}

async fn an_object_holds_no_more_records_than_it_may(kind: Kind) {
    for format in ["json", "csv", "parquet", "avro"] {
        let Some(target) = Target::new(kind, json!({"format": format, "roll": {"maxRecords": 300}})).await else {
            return;
        };
        let mut lane = target.lane(1, None).await;
        lane.commit(1, &(0..500).collect::<Vec<_>>()).await;
        lane.commit(2, &(500..1_000).collect::<Vec<_>>()).await;
        let sealed = lane.seal(2).await;
        lane.publish(&sealed).await;
        let sizes: Vec<usize> =
            target.bucket.objects().await.iter().map(|(key, bytes)| rows_of(key, bytes).len()).collect();
        assert_eq!(sizes, [300, 300, 300, 100], "{format}");
        assert_eq!(target.ids().await, (0..1_000).collect::<Vec<_>>());
        target.bucket.remove().await;
    }
}

/// More folders than may be open: the oldest are closed, nothing is lost, and it is said.
async fn open_objects_are_capped(kind: Kind) {
    let Some(target) = Target::new(kind, json!({"path": "{a}", "maxOpenObjects": 5})).await else { return };
    let mut lane = target.lane(1, None).await;
    let ids: Vec<i64> = (0..400).collect();
    lane.try_commit(1, &ids, &[&|id| Some((id % 20).to_string())]).await.unwrap();
    let said = lane.writer.warnings();
    assert_eq!(said.iter().map(|warning| (warning.code, warning.records)).collect::<Vec<_>>(), [("closed-early", 15)]);
    let sealed = lane.seal(1).await;
    lane.publish(&sealed).await;
    assert_eq!(target.ids().await, ids);
    target.bucket.remove().await;
}

/// A record that nothing has changed arrives as the bytes that came in.
async fn bytes_pass_unchanged(kind: Kind) {
    let Some(target) = Target::new(kind, json!({"compression": "zstd"})).await else { return };
    let mut lane = target.lane(1, None).await;
    let rows = [(Some(1), Some("B\"ob, \\ \u{e4}\u{1f600}\n")), (Some(2), None)];
    let output = lane.output(&rows);
    lane.writer.commit(&[output].into(), &dataflow_testkit::fixture::token(&lane.fence, 1)).await.unwrap();
    let sealed = lane.seal(1).await;
    lane.publish(&sealed).await;
    let objects = target.bucket.objects().await;
    let (key, bytes) = objects.first_key_value().unwrap();
    assert!(key.ends_with(".json.zst"), "{key}");
    let expected: String = rows.iter().map(|(id, name)| format!("{}\n", json!({"id": id, "name": name}))).collect();
    assert_eq!(text_of(key, bytes), expected);
    target.bucket.remove().await;
}

/// A new column: the next object has it, the ones before are as they were; another lane and a later run have the same types.
async fn columns_are_added_in_a_new_object(kind: Kind) {
    let Some(target) = Target::new(kind, json!({"format": "parquet"})).await else { return };
    let mut lane = target.lane(1, None).await;
    lane.commit(1, &[1]).await;
    lane.demand = lane.writer.define(&[Column { name: "extra".into(), ty: Type::Timestamp }]).await.unwrap();
    lane.commit(2, &[2]).await;
    let sealed = lane.seal(2).await;
    lane.publish(&sealed).await;
    let fields: Vec<Vec<String>> = (target.bucket.objects().await.values())
        .map(|bytes| {
            let schema = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap().schema().clone();
            schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect()
        })
        .collect();
    let before = ["id Int64", "name Utf8"].map(ToOwned::to_owned).to_vec();
    let after = [before.clone(), vec!["extra Timestamp(µs, \"UTC\")".into()]].concat();
    assert_eq!(fields, [before, after]);
    assert_eq!(target.ids().await, [1, 2]);
    let again = target.lane(2, Some(&sealed)).await;
    assert_eq!(again.demand, lane.demand, "a later run goes on with them");
    target.bucket.remove().await;
}

async fn large_objects_are_whole(kind: Kind) {
    let Some(target) = Target::new(kind, none()).await else { return };
    let mut lane = target.lane(1, None).await;
    for n in 0..4 {
        lane.commit(n as u64 + 1, &(n * 100_000..(n + 1) * 100_000).collect::<Vec<_>>()).await;
    }
    let sealed = lane.seal(4).await;
    lane.publish(&sealed).await;
    let objects = target.bucket.objects().await;
    assert_eq!(objects.len(), 1);
    assert!(objects.values().all(|bytes| bytes.len() > 16 << 20), "several parts");
    assert_eq!(target.ids().await, (0..400_000).collect::<Vec<_>>());
    target.bucket.remove().await;
}
