//! Records that the topic or the brokers refuse.
use crate::target::{Target, admin};
use dataflow_sdk::{
    Records,
    batch::{Demand, Output, Payload},
    sink::CommitError,
};
use dataflow_testkit::fixture::{fence, open_lane, output, records, token};
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use serde_json::json;
use std::{sync::Arc, time::Duration};

const HOUR: i64 = 3_600_000;

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

fn causes(commit: Result<dataflow_sdk::sink::Committed, CommitError>) -> Vec<(usize, String)> {
    let Err(CommitError::Rejected(rows)) = commit else { panic!("{commit:?}") };
    let mut rows: Vec<_> = rows.into_iter().map(|refused| (refused.row, refused.cause)).collect();
    rows.sort();
    rows
}

/// Changes the settings of a topic: all that are not given are those of Kafka.
async fn set(topic: &str, settings: &[(&str, &str)]) {
    let of_topic = ResourceSpecifier::Topic(topic);
    let change = settings.iter().fold(AlterConfig::new(of_topic), |change, (name, value)| change.set(name, value));
    admin().alter_configs([&change], &AdminOptions::new()).await.unwrap();
    loop {
        let asked = admin().describe_configs([&of_topic], &AdminOptions::new()).await.unwrap();
        let has = asked[0].as_ref().unwrap();
        if settings.iter().all(|(name, value)| has.get(name).unwrap().value.as_deref() == Some(*value)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await; // the log of each partition hears of it
}

/// Records of these times, where the first has no key.
fn timed(rows: &[(Option<i64>, Option<&str>)], times: &[i64]) -> Output {
    let mut records = Records { keyless: true, ..records(0, rows) };
    records.timestamps = Some(times.iter().copied().map(Some).collect());
    let payload = Payload::Documents { data: records.data.clone(), spans: records.spans.clone() };
    Output::of(Arc::new(records), (0..rows.len() as u32).collect(), payload)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_topic_does_not_take_is_found_before_anything_is_sent() {
    let settings = [
        ("max.message.bytes", "1000"),
        ("cleanup.policy", "compact,delete"),
        ("message.timestamp.before.max.ms", "86400000"),
        ("message.timestamp.after.max.ms", "3600000"),
    ];
    let Some(target) = Target::new(&settings, json!({})).await else { return };
    let long = "x".repeat(2_000);
    let rows = [
        (Some(1), Some("fine")),
        (Some(2), Some(&*long)),
        (None, Some("no key")),
        (Some(4), Some("old")),
        (Some(5), Some("early")),
        (Some(6), Some("before 1970")),
        (Some(7), Some("fine, too")),
    ];
    let times = [now(), now(), now(), now() - 25 * HOUR, now() + 2 * HOUR, -5, now() - 23 * HOUR];
    let all = timed(&rows, &times);
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    let refused = causes(writer.commit(&[all.clone()].into(), &token(&fence("p", 1), 1)).await);
    assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    for ((_, cause), word) in
        refused.iter().zip(["max.message.bytes", "compacted", "before.max.ms", "after.max.ms", "1970"])
    {
        assert!(cause.contains(word) && cause.contains(&target.topic), "{cause}");
    }
    assert_eq!(target.seen("read_uncommitted").len(), 0, "nothing was sent");
    let rest = all.retain(|row| [0, 6].contains(&row));
    writer.commit(&[rest].into(), &token(&fence("p", 1), 1)).await.unwrap();
    assert_eq!(target.seen("read_committed").len(), 2);
}

/// The largest record that the topic takes, byte for byte, and one byte more.
#[tokio::test(flavor = "multi_thread")]
async fn a_size_is_counted_as_the_brokers_count_it() {
    let Some(target) = Target::new(&[("max.message.bytes", "1000")], json!({})).await else { return };
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    let rows = |length: usize| output(&Demand::Documents, 0, &[(Some(1), Some(&*"x".repeat(length)))]);
    let mut most = 700;
    while let Err(CommitError::Rejected(_)) =
        writer.commit(&[rows(1_000 - most)].into(), &token(&fence("p", 1), 1)).await
    {
        most += 1; // shorter and shorter
    }
    let longest = (1..1_000).rev();
    let mut sequence = 1;
    for length in longest {
        match writer.commit(&[rows(length)].into(), &token(&fence("p", 1), sequence + 1)).await {
            Ok(_) => {
                sequence += 1;
                assert!(length > 850, "{length}");
                break;
            }
            Err(CommitError::Rejected(rows)) => assert!(rows[0].cause.contains("1000"), "{rows:?}"),
            Err(error) => panic!("of {length}: {error}"),
        }
    }
    assert_eq!(sequence, 2);
}

/// Many small records are more than the topic takes in one batch: the client makes smaller ones.
#[tokio::test(flavor = "multi_thread")]
async fn batches_are_no_larger_than_the_topic_takes() {
    let Some(target) = Target::new(&[("max.message.bytes", "5000")], json!({})).await else { return };
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    let many: Vec<_> = (0..5_000).map(|id| (Some(id), Some("name"))).collect();
    writer.commit(&[output(&Demand::Documents, 0, &many)].into(), &token(&fence("p", 1), 1)).await.unwrap();
    assert_eq!(target.seen("read_committed").len(), 5_000);
}

/// What the topic takes by now is no dead letter, whatever it took when the sink read its settings.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_were_loosened_are_read_again() {
    let strict = [
        ("max.message.bytes", "1000"),
        ("cleanup.policy", "compact"),
        ("message.timestamp.before.max.ms", "3600000"),
        ("message.timestamp.after.max.ms", "3600000"),
    ];
    let loose = [
        ("max.message.bytes", "12000000"),
        ("cleanup.policy", "delete"),
        ("message.timestamp.before.max.ms", "9223372036854775807"),
        ("message.timestamp.after.max.ms", "9223372036854775807"),
    ];
    let long = "x".repeat(11_000_000);
    let rows = [(None, Some("no key")), (Some(2), Some(&*long)), (Some(3), Some("old")), (Some(4), Some("early"))];
    let all = timed(&rows, &[now(), now(), now() - 3 * HOUR, now() + 3 * HOUR]);
    for row in 0..rows.len() {
        let Some(target) = Target::new(&strict, json!({})).await else { return };
        let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
        let one = [all.retain(|of| of == row)];
        causes(writer.commit(&one.clone().into(), &token(&fence("p", 1), 1)).await);
        set(&target.topic, &loose).await;
        writer.commit(&one.clone().into(), &token(&fence("p", 1), 1)).await.unwrap();
        assert_eq!(target.seen("read_committed").len(), 1, "row {row}");
    }
}

/// The settings have changed since the sink has read them.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_brokers_refuse_is_found_and_the_rest_is_written() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    let long = "x".repeat(9_000);
    let rows = [(Some(1), Some("a")), (Some(2), Some(&*long)), (Some(3), Some("b")), (Some(4), Some(&*long))];
    let mut left = output(&Demand::Documents, 0, &rows);
    writer.commit(&[left.retain(|row| row == 0)].into(), &token(&fence("p", 1), 1)).await.unwrap();
    set(&target.topic, &[("max.message.bytes", "2000")]).await;
    let mut dead = Vec::new();
    loop {
        match writer.commit(&[left.clone()].into(), &token(&fence("p", 1), 2)).await {
            Ok(committed) => break assert_eq!(committed.rows_written, 2),
            Err(CommitError::Rejected(refused)) => {
                assert!(refused.iter().all(|refused| refused.cause.contains("2000")), "{refused:?}");
                dead.extend(refused.iter().map(|refused| left.rows[refused.row]));
                left = left.retain(|row| refused.iter().all(|refused| refused.row != row));
            }
            Err(error) => panic!("{error}"),
        }
    }
    dead.sort_unstable();
    assert_eq!(dead, [1, 3], "only what is too large");
    writer
        .commit(&[output(&Demand::Documents, 9, &[(Some(9), Some("c"))])].into(), &token(&fence("p", 1), 3))
        .await
        .unwrap();
    writer.close().await;
    let mut values: Vec<_> = target.seen("read_committed").into_iter().filter_map(|seen| seen.value).collect();
    values.sort();
    let row = |id: u8, name: &str| format!(r#"{{"id":{id},"name":"{name}"}}"#);
    assert_eq!(values, [row(1, "a"), row(1, "a"), row(3, "b"), row(9, "c")]);
    let opened = target.open(open_lane(&fence("p", 2))).await.unwrap();
    assert_eq!(opened.token.map(|token| (token.sequence, token.counters.rows_written)), Some((3, 1)));
}

/// A frozen writer whose records the brokers refuse once it wakes does not take the lane back.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_bring_an_older_writer_back() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    let of = |epoch, sequence| token(&fence("p", epoch), sequence);
    let mut old = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    let long = "x".repeat(9_000);
    set(&target.topic, &[("max.message.bytes", "2000")]).await;
    let refused = old.commit(&[output(&Demand::Documents, 0, &[(Some(1), Some(&*long))])].into(), &of(1, 1)).await;
    assert!(matches!(refused, Err(CommitError::Rejected(_))), "{refused:?}");
    let mut new = target.open(open_lane(&fence("p", 2))).await.unwrap().writer;
    new.commit(&[output(&Demand::Documents, 0, &[(Some(2), Some("new"))])].into(), &of(2, 1)).await.unwrap();
    // It needs another producer, and fences the later writer with it.
    let late = old.commit(&[output(&Demand::Documents, 0, &[(Some(3), Some("late"))])].into(), &of(1, 1)).await;
    assert!(matches!(&late, Err(CommitError::Failed(dataflow_sdk::Error::Fenced(_)))), "{late:?}");
    drop(new.commit(&[output(&Demand::Documents, 0, &[(Some(4), Some("new"))])].into(), &of(2, 2)).await);
    let opened = target.open(open_lane(&fence("p", 3))).await.unwrap();
    let sequence = opened.token.unwrap().sequence;
    let values: Vec<_> = target.seen("read_committed").into_iter().filter_map(|seen| seen.value).collect();
    assert_eq!(values.len() as u64, sequence, "each commit wrote a record: {values:?}");
    assert!(values.iter().all(|value| value.contains("new")), "{values:?}");
}
