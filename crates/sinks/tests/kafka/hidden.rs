//! Tokens that an open transaction of another pipeline hides.
use crate::target::{Target, config};
use dataflow_sdk::{Error, batch::Demand};
use dataflow_testkit::fixture::{fence, open_lane, output, token};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A producer with an open transaction in the partition of a pipeline's tokens, as a frozen node of another pipeline has it.
fn frozen(target: &Target, pipeline: &str) -> BaseProducer {
    let producer: BaseProducer = config().set("transactional.id", format!("{}-other", target.topic)).create().unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    let (topic, partition) = (target.tokens(), (xxh3_64(pipeline.as_bytes()) % 64) as i32);
    let key = r#"["frozen","1-z","1-0",0,"commit"]"#;
    producer.send(BaseRecord::to(&topic).partition(partition).key(key).payload("{}")).map_err(|(e, _)| e).unwrap();
    producer.flush(TIMEOUT).unwrap();
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_token_is_never_adopted() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    let rows = |id| [output(&Demand::Documents, 0, &[(Some(id), Some("a"))])];
    writer.commit(&rows(1), &token(&fence("p", 1), 1)).await.unwrap();
    let frozen = frozen(&target, "p");
    // Committed, and not to be seen in the topic of tokens.
    writer.commit(&rows(2), &token(&fence("p", 1), 2)).await.unwrap();
    writer.close().await;
    let ends = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        frozen.abort_transaction(TIMEOUT).unwrap();
        tokio::time::Instant::now()
    };
    let opening = async {
        let opened = target.open(open_lane(&fence("p", 2))).await.unwrap();
        (opened.token.unwrap().sequence, tokio::time::Instant::now())
    };
    let (ended, (sequence, opened)) = tokio::join!(ends, opening);
    assert_eq!(sequence, 2);
    assert!(opened > ended, "it was waited for");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute: make test-long"]
async fn who_hides_them_is_named() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    drop(target.open(open_lane(&fence("p", 1))).await.unwrap());
    let _frozen = frozen(&target, "p");
    let error = target.open(open_lane(&fence("p", 2))).await.map(drop).unwrap_err();
    assert!(matches!(&error, Error::Transient { code: "open-transaction", .. }), "{error:?}");
    assert!(error.to_string().contains("pipeline frozen"), "{error}");
}
