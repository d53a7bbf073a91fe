//! What a record becomes.
use crate::target::{Seen, Target};
use arrow::array::{ArrayRef, Int32Array, StringArray};
use dataflow_sdk::{
    Records, Span,
    batch::{Demand, Operation, Operations, Output, Payload},
};
use dataflow_testkit::fixture::{fence, open_lane, output, records, token};
use serde_json::json;
use std::sync::Arc;

/// Rows with these values of the side expressions.
fn with_side(rows: &[(Option<i64>, Option<&str>)], side: Vec<ArrayRef>) -> Output {
    Output { side, ..output(&Demand::Documents, 0, rows) }
}

async fn written(target: &Target, output: Output) -> Vec<Seen> {
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    writer.commit(&[output].into(), &token(&fence("p", 1), 1)).await.unwrap();
    writer.close().await;
    target.seen("read_committed")
}

fn of_records(records: Records) -> Output {
    let rows = (0..records.len() as u32).collect();
    let payload = Payload::Documents { data: records.data.clone(), spans: records.spans.clone() };
    Output::of(Arc::new(records), rows, payload)
}

fn keys(seen: &[Seen]) -> Vec<Option<String>> {
    let mut keys: Vec<_> = seen.iter().map(|seen| seen.key.clone()).collect();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_that_of_the_record_or_its_place() {
    for (keyless, expected) in [(true, [None, Some("7")]), (false, [Some("7"), Some("p/0/1")])] {
        let Some(target) = Target::new(&[], json!({})).await else { return };
        let records = Records { keyless, ..records(0, &[(Some(7), Some("a")), (None, Some("b"))]) };
        let seen = written(&target, of_records(records)).await;
        assert_eq!(keys(&seen), expected.map(|key| key.map(str::to_owned)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_give_key_partition_and_headers() {
    let more = json!({"key": "a", "partition": "b", "headers": {"one": "c", "two": "d"}});
    let Some(target) = Target::new(&[], more).await else { return };
    let text = |values: [Option<&str>; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let side = vec![
        text([Some("k"), None]),
        Arc::new(Int32Array::from(vec![Some(2), Some(1)])) as ArrayRef,
        text([Some("x"), None]),
        text([Some(""), Some("\u{e4}")]),
    ];
    let seen = written(&target, with_side(&[(Some(1), Some("Ann")), (Some(2), Some("Bob"))], side)).await;
    let header = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    let seen: Vec<_> = seen.into_iter().map(|seen| (seen.partition, seen.key, seen.value, seen.headers)).collect();
    assert_eq!(
        seen,
        [
            (
                1,
                None,
                Some(r#"{"id":2,"name":"Bob"}"#.into()),
                vec![header("one", None), header("two", Some("\u{e4}"))]
            ),
            (
                2,
                Some("k".into()),
                Some(r#"{"id":1,"name":"Ann"}"#.into()),
                vec![header("one", Some("x")), header("two", Some(""))]
            ),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_is_one_and_times_stay() {
    let Some(target) = Target::new(&[("cleanup.policy", "compact")], json!({})).await else { return };
    let mut of_source = records(0, &[(Some(1), Some("a")), (Some(2), Some("b"))]);
    of_source.spans[1] = Span::NULL;
    of_source.timestamps = Some(vec![Some(1_700_000_000_123), None]);
    let seen = written(&target, of_records(of_source)).await;
    let of = |key: &str| seen.iter().find(|seen| seen.key.as_deref() == Some(key)).unwrap();
    assert_eq!(of("1").timestamp, Some(1_700_000_000_123));
    assert!(of("2").timestamp > Some(1_700_000_000_123), "the time of sending: {seen:?}");
    assert_eq!(of("2").value, None);
    // So is a record that `op` says to be a delete.
    let operations = Operations::Each(vec![Operation::Delete, Operation::Upsert]);
    let rows = [(Some(3), Some("a")), (Some(4), Some("b"))];
    let deletes = Output { operations, ..of_records(records(0, &rows)) };
    let Some(target) = Target::new(&[("cleanup.policy", "compact")], json!({"op": "op"})).await else { return };
    let seen = written(&target, deletes).await;
    let value = |key: &str| seen.iter().find(|seen| seen.key.as_deref() == Some(key)).unwrap().value.is_some();
    assert_eq!((value("3"), value("4")), (false, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_compression_is_read_back() {
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let Some(target) = Target::new(&[], json!({"compression": compression})).await else { return };
        let many: Vec<_> = (0..2_000).map(|id| (Some(id), Some("the same name in each"))).collect();
        let seen = written(&target, output(&Demand::Documents, 0, &many)).await;
        assert_eq!(seen.len(), 2_000, "{compression}");
    }
}
