//! The topic is not there, or not the one that was written to.
use crate::target::{Target, admin, config};
use dataflow_sdk::{Error, batch::Demand, sink::Traces};
use dataflow_testkit::fixture::{context, fence, open_lane, output, token};
use rdkafka::{
    admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::{BaseConsumer, Consumer},
};
use serde_json::json;
use std::time::Duration;

fn partitions(topic: &str) -> usize {
    let consumer: BaseConsumer = config().set("allow.auto.create.topics", "false").create().unwrap();
    consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap().topics()[0].partitions().len()
}

async fn refused(target: &Target, epoch: u64) -> Error {
    target.open(open_lane(&fence("p", epoch))).await.map(drop).unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_created_only_if_that_is_asked_for() {
    let Some(target) = Target::missing(json!({})) else { return };
    let error = refused(&target, 1).await;
    let Error::Fatal { code: "topic-missing", fix: Some(fix), .. } = &error else { panic!("{error:?}") };
    assert!(fix.contains("createTopic") && error.to_string().contains(&target.topic), "{error}: {fix}");
    assert_eq!(partitions(&target.topic), 0, "the brokers did not create it");

    let Some(target) = Target::missing(json!({"createTopic": {"partitions": 5, "replication": 1}})) else { return };
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    writer
        .commit(&[output(&Demand::Documents, 0, &[(Some(1), Some("a"))])].into(), &token(&fence("p", 1), 1))
        .await
        .unwrap();
    assert_eq!(partitions(&target.topic), 5);

    let Some(target) = Target::missing(json!({"createTopic": {"partitions": 5, "replication": 9}})) else { return };
    let error = refused(&target, 1).await;
    assert_eq!(error.code(), "topic-refused", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_held_records_is_not_filled_silently() {
    let Some(target) = Target::new(&[], json!({"createTopic": {"partitions": 3, "replication": 1}})).await else {
        return;
    };
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    let traces = Traces {
        branch: fence("p", 1).branch,
        incarnation: fence("p", 1).incarnation,
        generations: vec![fence("p", 1).generation],
        handle: None,
    };
    writer
        .commit(&[output(&Demand::Documents, 0, &[(Some(1), Some("a"))])].into(), &token(&fence("p", 1), 1))
        .await
        .unwrap();
    writer.close().await;
    assert!(target.build().is_target_of(&context("p"), &traces).await.unwrap());
    target.delete().await;
    while partitions(&target.topic) > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let error = refused(&target, 2).await;
    assert!(matches!(&error, Error::Contradicts { code: "topic-missing", .. }), "{error:?}");
    target.make().await;
    let error = refused(&target, 3).await;
    assert!(matches!(&error, Error::Contradicts { code: "topic-replaced", .. }), "{error:?}");
    assert!(!target.build().is_target_of(&context("p"), &traces).await.unwrap());
    assert_eq!(target.seen("read_uncommitted").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_of_tokens_is_made_so_that_it_keeps_them() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    drop(target.open(open_lane(&fence("p", 1))).await.unwrap());
    let of_tokens = target.tokens();
    let asked = admin().describe_configs([&ResourceSpecifier::Topic(&of_tokens)], &AdminOptions::new()).await.unwrap();
    let asked = asked[0].as_ref().unwrap();
    let value = |name: &str| asked.get(name).unwrap().value.clone().unwrap();
    assert_eq!((value("cleanup.policy"), value("segment.bytes")), ("compact".into(), "1048576".into()));
    assert_eq!(partitions(&of_tokens), 64);

    // One that somebody else has made.
    for (partitions, policy, word) in
        [(64, "delete", "--add-config cleanup.policy=compact"), (3, "compact", "--partitions 64")]
    {
        let Some(target) = Target::new(&[], json!({})).await else { return };
        let name = target.tokens();
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1)).set("cleanup.policy", policy);
        admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let error = refused(&target, 1).await;
        let Error::Fatal { code: "tokens-unusable", fix: Some(fix), .. } = &error else { panic!("{error:?}") };
        assert!(fix.contains(word), "{fix}");
    }
}

/// Records are sent by the topic's name: a new one of that name would take them.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_recreated_under_a_writer_does_not_go_unnoticed() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    let row = |id| [output(&Demand::Documents, id, &[(Some(id as i64), Some("a"))])];
    writer.commit(&row(1).into(), &token(&fence("p", 1), 1)).await.unwrap();
    target.delete().await;
    while partitions(&target.topic) > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    target.make().await;
    let begun = std::time::Instant::now();
    let mut sequence = 2;
    let error = loop {
        match writer.commit(&row(sequence).into(), &token(&fence("p", 1), sequence)).await {
            Ok(_) => sequence += 1,
            Err(dataflow_sdk::sink::CommitError::Failed(error)) => break error,
            Err(error) => panic!("{error:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{sequence} commits went unnoticed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(matches!(&error, Error::Transient { code: "topic-renewed", .. }), "{error:?}");
    writer.close().await;
    let error = refused(&target, 2).await;
    assert!(matches!(&error, Error::Contradicts { code: "topic-replaced", .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_grows_under_a_writer_is_written_to_where_it_has_grown() {
    let Some(target) = Target::new(&[], json!({"partition": "id"})).await else { return };
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    let to = |number: i32| {
        let side: Vec<arrow::array::ArrayRef> = vec![std::sync::Arc::new(arrow::array::Int32Array::from(vec![number]))];
        dataflow_sdk::batch::Output { side, ..output(&Demand::Documents, 0, &[(Some(1), Some("a"))]) }
    };
    writer.commit(&[to(2)].into(), &token(&fence("p", 1), 1)).await.unwrap();
    let refused = writer.commit(&[to(4)].into(), &token(&fence("p", 1), 2)).await;
    assert!(matches!(refused, Err(dataflow_sdk::sink::CommitError::Rejected(_))), "{refused:?}");
    let more = rdkafka::admin::NewPartitions::new(&target.topic, 5);
    admin().create_partitions([&more], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    while partitions(&target.topic) < 5 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    writer.commit(&[to(4)].into(), &token(&fence("p", 1), 2)).await.unwrap();
    let mut seen: Vec<_> = target.seen("read_committed").into_iter().map(|seen| seen.partition).collect();
    seen.sort_unstable();
    assert_eq!(seen, [2, 4]);
}
