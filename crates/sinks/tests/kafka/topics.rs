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
    writer.commit(&[output(&Demand::Documents, 0, &[(Some(1), Some("a"))])], &token(&fence("p", 1), 1)).await.unwrap();
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
        pipeline: fence("p", 1).pipeline,
        incarnation: fence("p", 1).incarnation,
        generations: vec![fence("p", 1).generation],
        handle: None,
    };
    writer.commit(&[output(&Demand::Documents, 0, &[(Some(1), Some("a"))])], &token(&fence("p", 1), 1)).await.unwrap();
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
