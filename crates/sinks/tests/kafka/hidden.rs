//! Tokens that an open transaction of another pipeline hides.
use crate::target::{Target, config};
use dataflow_core::token::Fence;
use dataflow_sdk::{Error, batch::Demand};
use dataflow_testkit::fixture::{fence, open_lane, output, token};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The key of a record of another pipeline.
const OTHER: &str = r#"["frozen","1-z","1-0",0,"commit"]"#;

/// A producer with an open transaction in the partition of a pipeline's tokens, whose first record has this key.
fn frozen(target: &Target, pipeline: &str, key: &str) -> BaseProducer {
    let producer: BaseProducer = config().set("transactional.id", format!("{}-other", target.topic)).create().unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    let (topic, partition) = (target.tokens(), (xxh3_64(pipeline.as_bytes()) % 64) as i32);
    producer.send(BaseRecord::to(&topic).partition(partition).key(key).payload("{}")).map_err(|(e, _)| e).unwrap();
    producer.flush(TIMEOUT).unwrap();
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_token_is_never_adopted() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    let rows = |id| [output(&Demand::Documents, 0, &[(Some(id), Some("a"))])];
    writer.commit(&rows(1).into(), &token(&fence("p", 1), 1)).await.unwrap();
    let frozen = frozen(&target, "p", OTHER);
    // Committed, and not to be seen in the topic of tokens.
    writer.commit(&rows(2).into(), &token(&fence("p", 1), 2)).await.unwrap();
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

/// One of the lane's own that stays open after its producers were fenced.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_brokers_have_forgotten_is_told() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    let rows = [output(&Demand::Documents, 0, &[(Some(1), Some("a"))])];
    writer.commit(&rows.into(), &token(&fence("p", 1), 1)).await.unwrap();
    writer.close().await;
    let Fence { branch, incarnation, generation, lane, .. } = fence("p", 1);
    let own = json!([branch, incarnation, generation, lane, "commit"]).to_string();
    let forgotten = frozen(&target, "p", &own);
    let error = target.open(open_lane(&fence("p", 2))).await.map(drop).unwrap_err();
    let Error::Fatal { code: "transaction-forgotten", fix: Some(fix), .. } = &error else { panic!("{error:?}") };
    assert!(error.to_string().contains("lane 0 is open since"), "{error}");
    assert!(fix.contains("abort --topic") && fix.contains("--start-offset"), "{fix}");
    forgotten.abort_transaction(TIMEOUT).unwrap();
    let opened = target.open(open_lane(&fence("p", 3))).await.unwrap();
    assert_eq!(opened.token.map(|token| token.sequence), Some(1));
}

/// What a node has sent and not committed when it is killed is never to be seen, and holds nobody back.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_only_sent_never_appears() {
    let Some(target) = Target::new(&[], json!({})).await else { return };
    let of = |epoch, sequence| token(&fence("p", epoch), sequence);
    let rows = |id| [output(&Demand::Documents, 0, &[(Some(id), Some("a"))])];
    let mut writer = target.open(open_lane(&fence("p", 1))).await.unwrap().writer;
    writer.commit(&rows(1).into(), &of(1, 1)).await.unwrap();
    writer.close().await;
    let Fence { branch, incarnation, generation, lane, .. } = fence("p", 1);
    let id = format!("{}-{branch}-{incarnation}-{generation}-{lane}", target.tokens());
    let dying: BaseProducer = config().set("transactional.id", id).create().unwrap();
    dying.init_transactions(TIMEOUT).unwrap();
    dying.begin_transaction().unwrap();
    for number in 0..3 {
        let record = BaseRecord::to(&target.topic).partition(number).key("9").payload(r#"{"id":9,"name":"sent"}"#);
        dying.send(record).map_err(|(error, _)| error).unwrap();
    }
    dying.flush(TIMEOUT).unwrap();
    let mut opened = target.open(open_lane(&fence("p", 2))).await.unwrap();
    assert_eq!(opened.token.map(|token| token.sequence), Some(1));
    opened.writer.commit(&rows(2).into(), &of(2, 2)).await.unwrap();
    let late = dying.commit_transaction(TIMEOUT);
    assert!(late.is_err(), "it was fenced");
    assert_eq!(target.seen("read_uncommitted").len(), 5);
    assert_eq!(target.seen("read_committed").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: make test-long"]
async fn who_hides_them_is_named() {
    let Some(target) = Target::new(&[], json!({"transactionTimeout": "1s"})).await else { return };
    drop(target.open(open_lane(&fence("p", 1))).await.unwrap());
    let _frozen = frozen(&target, "p", OTHER);
    let (begun, lane) = (Instant::now(), open_lane(&fence("p", 2)));
    let waits = lane.waits.clone();
    let said = async {
        while waits.what().is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(waits.what().unwrap().contains("pipeline frozen"), "{waits:?}");
        assert!(begun.elapsed() < Duration::from_secs(20));
    };
    let (opened, ()) = tokio::join!(target.open(lane), said);
    let error = opened.map(drop).unwrap_err();
    let Error::Transient { code: "open-transaction", fix: Some(fix), .. } = &error else { panic!("{error:?}") };
    assert!(error.to_string().contains("pipeline frozen") && fix.starts_with("it ends when"), "{error:?}");
    // The brokers should have aborted it by now, if it was of a pipeline like this one.
    tokio::time::sleep(Duration::from_secs(45).saturating_sub(begun.elapsed())).await;
    let error = target.open(open_lane(&fence("p", 2))).await.map(drop).unwrap_err();
    let Error::Transient { code: "open-transaction", fix: Some(fix), .. } = &error else { panic!("{error:?}") };
    assert!(fix.contains("abort --topic") && fix.contains("--start-offset"), "{fix}");
}
