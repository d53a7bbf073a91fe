//! A broker of the test's own that is killed while transactions are under way.
use dataflow_sdk::{Error, SinkConfig, batch::Demand, sink::CommitError};
use dataflow_sinks::KafkaSink;
use dataflow_testkit::{
    fixture::{context, fence, open_lane, output, token},
    own::Kafka,
    witness,
};
use rdkafka::Message;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// At which commits the broker is killed.
const KILLS: [u64; 2] = [15, 40];
/// How many there are at least.
const COMMITS: u64 = 60;
const ROWS: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_in_mid_transaction_costs_no_record() {
    let Some(mut kafka) = Kafka::start(&[], &[], &[]) else { return };
    let brokers = kafka.at("PLAIN");
    let config = json!({"brokers": brokers, "topic": "target", "createTopic": {"partitions": 3, "replication": 1},
        "transactionTimeout": "10s"});
    let config: KafkaSink = serde_json::from_value(config).unwrap();
    assert_eq!(config.check(), []);
    let (sink, begun) = (config.build(), Instant::now());
    let (mut epoch, mut sequence, mut is_done) = (0, 0, false);
    let (reached, kills) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let goes_on = {
        let kills = kills.clone();
        move |sequence| sequence < COMMITS || kills.load(Ordering::Relaxed) < KILLS.len()
    };
    while !is_done {
        assert!(begun.elapsed() < Duration::from_secs(200), "{}", kafka.log());
        epoch += 1;
        let fence = fence("p", epoch);
        let opened = match sink.open(&context("p"), open_lane(&fence)).await {
            Ok(opened) => opened,
            Err(error @ Error::Transient { .. }) => {
                eprintln!("opening {epoch}: {error}");
                continue;
            }
            Err(error) => panic!("{error:?}"),
        };
        sequence = opened.token.map_or(0, |token| token.sequence);
        let mut writer = opened.writer;
        let (goes_on, progress) = (goes_on.clone(), reached.clone());
        let commits = tokio::spawn(async move {
            while goes_on(sequence) {
                progress.store(sequence, Ordering::Relaxed);
                let first = sequence * ROWS;
                let rows: Vec<_> = (first..first + ROWS).map(|id| (Some(id as i64), Some("a"))).collect();
                let rows = output(&Demand::Documents, first, &rows);
                match writer.commit(&[rows].into(), &token(&fence, sequence + 1)).await {
                    Ok(_) => sequence += 1,
                    // It may be there or not.
                    Err(CommitError::Failed(error)) => {
                        eprintln!("commit {}: {error}", sequence + 1);
                        writer.close().await;
                        return (sequence, false);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            writer.close().await;
            (sequence, true)
        });
        while let Some(at) = KILLS.get(kills.load(Ordering::Relaxed))
            && !commits.is_finished()
        {
            if reached.load(Ordering::Relaxed) >= *at {
                kills.fetch_add(1, Ordering::Relaxed);
                kafka.kill();
                kafka.start_again();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (sequence, is_done) = commits.await.unwrap();
    }
    let records = witness::read_at(&brokers, "target", "read_committed");
    let id = |payload: &[u8]| serde_json::from_slice::<serde_json::Value>(payload).unwrap()["id"].as_u64().unwrap();
    let mut ids: Vec<_> = records.iter().map(|record| id(record.payload().unwrap())).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..sequence * ROWS).collect::<Vec<_>>(), "each record once");
}
