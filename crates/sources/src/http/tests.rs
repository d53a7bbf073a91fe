#![allow(clippy::unwrap_used)]
use super::HttpSource;
use crate::testing::{context, lane, texts};
use async_trait::async_trait;
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{
    Error, Records, SourceConfig,
    inbox::{Inbox, Pushed},
    source::{Edge, Read, Reader},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// Longest wait for what surely comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pushes that were all received before.
#[derive(Debug, Default)]
struct Received(Vec<Pushed>);

impl Received {
    fn push(&mut self, records: serde_json::Value) {
        let from = self.0.last().map_or(0, |pushed| pushed.to);
        let body = json!({"batchId": from.to_string(), "records": records});
        let to = from + body["records"].as_array().unwrap().len() as u64;
        self.0.push(Pushed {
            from,
            to,
            digest: format!("line {to}").into(),
            at: 1_000 + from as i64,
            body: body.to_string().into(),
        });
    }
}

#[async_trait]
impl Inbox for Received {
    async fn next(&self, from: u64) -> Result<Pushed, Error> {
        tokio::task::yield_now().await;
        match self.0.iter().find(|pushed| pushed.to > from) {
            Some(pushed) => Ok(pushed.clone()),
            None => std::future::pending().await,
        }
    }
    async fn received(&self) -> Result<u64, Error> {
        Ok(self.0.last().map_or(0, |pushed| pushed.to))
    }
}

fn source() -> Box<dyn dataflow_sdk::source::Source> {
    serde_json::from_value::<HttpSource>(json!({})).unwrap().build()
}

async fn batches(received: Received, at: u64, max_records: u32) -> Vec<Records> {
    let mut cx = context();
    let total = received.received().await.unwrap();
    cx.inbox = Some(Arc::new(received));
    cx.batch.max_records = max_records;
    cx.max_record_bytes = 1_000;
    let positions = Positions::from([("http".into(), Position::offset(at))]);
    let mut reader: Box<dyn Reader> = source().open(&cx, lane(&positions)).await.unwrap();
    let mut batches = Vec::new();
    while batches.last().map_or(at, |batch: &Records| batch.to.as_offset().unwrap()) < total {
        match tokio::time::timeout(PATIENCE, reader.read()).await.expect("there is more").unwrap() {
            Read::Records(records) => batches.push(records),
            Read::End => panic!("there is no end"),
        }
    }
    assert_eq!(batches.last().map_or(at, |batch| batch.to.as_offset().unwrap()), total);
    assert_eq!(reader.lag(), Some(0));
    let more = tokio::time::timeout(Duration::from_millis(10), reader.read()).await;
    assert!(more.is_err(), "nothing follows what was received");
    batches
}

fn pushes() -> Received {
    let mut received = Received::default();
    received.push(json!([{"id": "a", "data": {"n": 0}, "metadata": {"m": 1}}, {"data": {"n": 1}}]));
    received.push(json!([{"data": null}, {"id": "d", "data": "x".repeat(2_000)}, {"data": {"n": 4}}]));
    received.push(json!([{"data": {"n": 5}}]));
    received
}

#[tokio::test]
async fn small_pushes_become_one_batch() {
    let batches = batches(pushes(), 0, 100).await;
    assert_eq!(batches.len(), 1);
    let batch = &batches[0];
    assert_eq!(batch.offsets, [0, 1, 2, 3, 4, 5]);
    assert_eq!(batch.id(0), "a");
    assert_eq!(batch.id(1), "http/1");
    assert_eq!(batch.bytes(2), None);
    assert_eq!(batch.oversized.len(), 1);
    assert_eq!((batch.oversized[0].row, batch.oversized[0].length), (3, 2_002));
    assert_eq!(batch.metadata.as_ref().unwrap().get(0).unwrap(), br#"{"m":1}"#);
    assert_eq!(batch.metadata.as_ref().unwrap().get(1), None);
    assert_eq!(batch.timestamps.as_ref().unwrap(), &[1_000, 1_000, 1_002, 1_002, 1_002, 1_005].map(Some));
}

#[tokio::test]
async fn however_it_is_cut_the_same_records_follow() {
    for at in 0..=6 {
        for max in 1..=7 {
            let batches = batches(pushes(), at, max).await;
            let offsets: Vec<u64> = batches.iter().flat_map(|batch| batch.offsets.clone()).collect();
            assert_eq!(offsets, (at..6).collect::<Vec<_>>());
            assert!(batches.iter().all(|batch| batch.len() <= max as usize));
            assert!(batches.windows(2).all(|pair| pair[0].to == pair[1].from));
            let lines: Vec<_> = batches.iter().map(|batch| batch.to.identity.clone().unwrap()).collect();
            let ends = batches.iter().map(|batch| match batch.to.as_offset().unwrap() {
                ..=2 => "line 2",
                3..=5 => "line 5",
                _ => "line 6",
            });
            assert!(lines.iter().map(|line| &**line).eq(ends));
        }
    }
    assert_eq!(texts(&batches(pushes(), 4, 1).await), [r#"{"n":4}"#, r#"{"n":5}"#]);
}

#[tokio::test]
async fn the_end_is_what_was_received() {
    let mut cx = context();
    assert_eq!(source().resolve(&cx, &Edge::End).await.unwrap_err().code(), "no-inbox");
    cx.inbox = Some(Arc::new(pushes()));
    assert_eq!(source().resolve(&cx, &Edge::End).await.unwrap()["http"], Position::offset(6));
}
