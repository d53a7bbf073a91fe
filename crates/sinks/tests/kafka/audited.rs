//! What an audit finds in a topic that a pipeline has written to, and that others have been at.
use crate::target::{Target, admin, config};
use arrow::array::{ArrayRef, Int32Array, StringArray};
use dataflow_core::id::Generation;
use dataflow_sdk::{
    Records, Span,
    audit::{Audit, Findings},
    batch::{Output, Payload},
};
use dataflow_testkit::fixture::{Pair, context, fence, open_lane, records, token};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::AdminOptions,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

fn of(records: Records, side: Vec<ArrayRef>) -> Output {
    let rows = (0..records.len() as u32).collect();
    let payload = Payload::Documents { data: records.data.clone(), spans: records.spans.clone() };
    Output { side, ..Output::of(Arc::new(records), rows, payload) }
}

fn rows(rows: &[Pair<'_>]) -> Output {
    of(records(0, rows), Vec::new())
}

async fn write(target: &Target, output: Output) {
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    writer.commit(&[output].into(), &token(&fence("p", 1), 1)).await.unwrap();
    writer.close().await;
}

async fn audit_with(target: &Target, volatile: &[&str], expected: &[Output]) -> Findings {
    let volatile = volatile.iter().map(|name| (*name).to_owned()).collect();
    let audit = Audit { generation: Generation::FIRST, volatile, ..Audit::default() };
    let mut auditor = target.build().audit(&context("p"), audit).await.unwrap().unwrap().auditor;
    for output in expected {
        auditor.expect(output).await.unwrap();
    }
    auditor.finish().await.unwrap()
}

async fn audit(target: &Target, expected: &[Output]) -> Findings {
    audit_with(target, &[], expected).await
}

/// Lost, doubled, altered and unexpected ones.
fn counts(found: &Findings) -> [u64; 4] {
    [found.lost.count, found.doubled.count, found.altered.count, found.unexpected.count]
}

/// What somebody else sends.
fn send(target: &Target, partition: i32, key: &str, value: &str, headers: Option<OwnedHeaders>) {
    let producer: BaseProducer = config().create().unwrap();
    let mut record = BaseRecord::<str, str>::to(&target.topic).partition(partition).key(key).payload(value);
    record.headers = headers;
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_there_and_what_is_not_theirs_is_told() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    // Before the pipeline: none of its business.
    send(&target, 0, "1", r#"{"id":1,"name":"a"}"#, None);
    let right = [(Some(1), Some("a")), (Some(2), Some("b")), (Some(2), Some("b")), (None, Some("c"))];
    write(&target, rows(&right)).await;
    // An opening after the first commit does not move where the audit begins.
    target.open(open_lane(&fence("p", 2))).await.unwrap().writer.close().await;
    let found = audit(&target, &[rows(&right)]).await;
    assert_eq!((counts(&found), found.expected, found.found), ([0; 4], 4, 4), "{found:#?}");

    let mut other = right;
    other[0].1 = Some("x");
    let found = audit(&target, &[rows(&other)]).await;
    let altered = &found.altered.examples[0];
    assert_eq!(counts(&found), [0, 0, 1, 0], "{found:#?}");
    assert_eq!((altered.partition.as_deref(), altered.position.as_deref()), (Some("p/0"), Some("0")));
    assert_eq!((&altered.fields[0].field, altered.fields[0].found.as_deref()), (&"name".into(), Some("\"a\"")));

    let more = [right.as_slice(), &[(Some(9), Some("z"))]].concat();
    let found = audit(&target, &[rows(&more)]).await;
    assert_eq!(counts(&found), [1, 0, 0, 0], "{found:#?}");
    assert_eq!(found.lost.examples[0].expected.as_deref(), Some(r#"{"id":9,"name":"z"}"#));
    assert_eq!(found.unverifiable, [""; 0]);

    send(&target, 2, "1", r#"{"id":1,"name":"a"}"#, None);
    send(&target, 2, "77", r#"{"id":77}"#, None);
    let origin = Some(OwnedHeaders::new().insert(Header { key: "origin", value: Some("else") }));
    send(&target, 2, "2", r#"{"id":2,"name":"b"}"#, origin);
    let found = audit(&target, &[rows(&right)]).await;
    assert_eq!((counts(&found), found.expected, found.found), ([0, 1, 0, 2], 4, 7), "{found:#?}");
    let doubled = &found.doubled.examples[0];
    assert!(doubled.place.as_deref().unwrap().starts_with("partition 2 at offset "), "{doubled:?}");
    assert_eq!(doubled.position.as_deref(), Some("0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_headers_partition_and_timestamp_are_compared() {
    let more = json!({"key": "a", "partition": "b", "headers": {"one": "c"}});
    let Some(target) = Target::new(&[], more).await else { return };
    // The brokers remove records of an old time.
    let now = jiff::Timestamp::now().as_millisecond();
    let one = |key: [Option<&str>; 2], partition: [Option<i32>; 2], header: [Option<&str>; 2], time: i64| {
        let text = |values: [Option<&str>; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let side = vec![text(key), Arc::new(Int32Array::from(partition.to_vec())) as ArrayRef, text(header)];
        let mut records = records(0, &[(Some(1), Some("a")), (Some(2), Some("b"))]);
        records.spans[1] = Span::NULL;
        records.timestamps = Some(vec![Some(now + time), None]);
        of(records, side)
    };
    let (key, partition, header) = ([Some(""), None], [Some(2), None], [Some("x"), None]);
    write(&target, one(key, partition, header, 0)).await;
    for (expected, found) in [
        (one(key, partition, header, 0), [0, 0, 0, 0]),
        (one([None, None], partition, header, 0), [1, 0, 0, 1]),
        (one(["k", ""].map(Some), partition, header, 0), [1, 0, 1, 1]),
        (one(key, [Some(1), None], header, 0), [0, 0, 1, 0]),
        (one(key, partition, [None, None], 0), [0, 0, 1, 0]),
        (one(key, partition, [Some("x"), Some("")], 0), [1, 0, 0, 1]),
        (one(key, partition, header, 1), [0, 0, 1, 0]),
    ] {
        let told = audit(&target, &[expected]).await;
        assert_eq!(counts(&told), found, "{told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_other_ones_each_time_are_not_compared() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    write(&target, rows(&[(Some(1), Some("a")), (Some(2), Some("b"))])).await;
    let found = audit_with(&target, &["name"], &[rows(&[(Some(1), Some("x")), (Some(2), Some("y"))])]).await;
    assert_eq!(counts(&found), [0; 4], "{found:#?}");
    let mut other = records(0, &[(Some(7), Some("x")), (Some(2), Some("y"))]);
    other.keys = records(0, &[(Some(1), None), (Some(2), None)]).keys;
    let found = audit_with(&target, &["name"], &[of(other, Vec::new())]).await;
    assert_eq!(counts(&found), [0, 0, 1, 0], "{found:#?}");
    let fields: Vec<_> = found.altered.examples[0].fields.iter().map(|field| field.field.as_str()).collect();
    assert_eq!(fields, ["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_has_removed_is_told_and_not_held_against_anyone() {
    let Some(target) = Target::new(&[], json!({"partition": "a"})).await else { return };
    let pairs: Vec<Pair<'_>> = (0..10).map(|id| (Some(id), Some("a"))).collect();
    let all = |pairs: &[Pair<'_>]| of(records(0, pairs), vec![Arc::new(Int32Array::from(vec![1; pairs.len()]))]);
    write(&target, all(&pairs)).await;
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&target.topic, 1, Offset::Offset(4)).unwrap();
    admin().delete_records(&before, &AdminOptions::new()).await.unwrap();
    let found = audit(&target, &[all(&pairs)]).await;
    assert_eq!((counts(&found), found.found), ([0; 4], 6), "{found:#?}");
    let reason = format!(
        "4 rows may be among the records that retention has removed from topic {} since: offsets 0 to 3 of partition 1",
        target.topic
    );
    assert_eq!(found.unverifiable, [reason]);
    // More than were removed can't all have been.
    let more: Vec<Pair<'_>> = (0..11).map(|id| (Some(id), Some("a"))).collect();
    let found = audit(&target, &[all(&more)]).await;
    assert_eq!((counts(&found), found.unverifiable.len()), ([5, 0, 0, 0], 0), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_compaction_may_have_removed_is_told_and_not_held_against_anyone() {
    let Some(target) = Target::new(&[("cleanup.policy", "compact")], json!({})).await else { return };
    write(&target, rows(&[(Some(1), Some("b")), (Some(2), Some("a"))])).await;
    let of_three = |first: &'static str, second: &'static str| {
        rows(&[(Some(1), Some(first)), (Some(1), Some(second)), (Some(2), Some("a"))])
    };
    let found = audit(&target, &[of_three("a", "b")]).await;
    assert_eq!((counts(&found), found.unverifiable.len()), ([0; 4], 1), "{found:#?}");
    // The last one of a key stays.
    let found = audit(&target, &[of_three("b", "c")]).await;
    assert_eq!((counts(&found), found.unverifiable.len()), ([1, 0, 0, 0], 0), "{found:#?}");
    // All of a key that was deleted goes.
    let mut deleted = records(0, &[(Some(3), Some("a")), (Some(3), None), (Some(1), Some("b")), (Some(2), Some("a"))]);
    deleted.spans[1] = Span::NULL;
    let found = audit(&target, &[of(deleted, Vec::new())]).await;
    assert_eq!((counts(&found), found.unverifiable.len()), ([0; 4], 1), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_has_lost_what_it_lacks() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    write(&target, rows(&[(Some(1), Some("a")), (Some(2), Some("b"))])).await;
    target.delete().await;
    target.make().await;
    send(&target, 0, "2", r#"{"id":2,"name":"b"}"#, None);
    let found = audit(&target, &[rows(&[(Some(1), Some("a")), (Some(2), Some("b"))])]).await;
    assert_eq!(counts(&found), [1, 0, 0, 0], "{found:#?}");
    assert_eq!(found.unverifiable.len(), 0);
}
