//! The requirements for every source that ends.
use crate::fixture::context;
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{
    Context, Records,
    source::{Assignment, Read, Source},
};
use std::{cmp::Ordering, pin::pin, task::Poll, time::Duration};

/// Longest wait for what is there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks that a bounded source of one partition returns these records, as they are, and that reading goes on exactly from every
/// position that it has returned, however it is cut and whoever stops waiting.
///
/// # Panics
/// If it does not.
pub async fn source(source: &dyn Source, expected: &[String]) {
    let large = context("source");
    let mut small = context("source");
    small.batch.max_records = 3;
    for cx in [&large, &small] {
        let batches = read(source, cx, None, false).await;
        check_chain(source, &batches);
        assert_eq!(texts(&batches), expected, "all records, as they are");
        let patient = read(source, cx, None, true).await;
        assert_eq!(texts(&patient), expected, "whoever stops waiting loses nothing");
        let mut before = 0;
        for records in &batches {
            for row in 0..records.len() {
                let rest = read(source, cx, Some(records.before(row)), false).await;
                assert_eq!(texts(&rest), expected[before + row..], "from {}", records.before(row));
            }
            before += records.len();
            // What the journal stores is all that is left of a position.
            let stored = serde_json::to_string(&records.to).expect("it is JSON");
            let stored: Position = serde_json::from_str(&stored).expect("it is read again");
            let rest = read(source, cx, Some(stored), false).await;
            assert_eq!(texts(&rest), expected[before..], "from {}", records.to);
        }
    }
}

/// Each batch goes on where the last one has ended, and each position comes after the one before.
fn check_chain(source: &dyn Source, batches: &[Records]) {
    let mut at = source.beginning();
    for records in batches {
        assert_eq!(records.from.at, at.at, "it goes on where it was");
        let places: Vec<Position> =
            (0..records.len()).map(|row| records.before(row)).chain([records.to.clone()]).collect();
        for pair in places.windows(2) {
            assert_eq!(source.order(&pair[0], &pair[1]), Some(Ordering::Less), "{} before {}", pair[0], pair[1]);
        }
        for place in &places {
            assert!(source.is_same(place, &records.from), "{place} is of the same partition");
        }
        if records.len() > 1 {
            let (first, second) = records.halves();
            assert_eq!((first.to.clone(), first.len() + second.len()), (second.from, records.len()));
        }
        at = records.to.clone();
    }
}

async fn read(source: &dyn Source, cx: &Context, from: Option<Position>, impatient: bool) -> Vec<Records> {
    let partition = source.partitions(cx).await.expect("it can be asked")[0].clone();
    let positions: Positions = from.map(|from| (partition.clone(), from)).into_iter().collect();
    let plan = [(partition, 0)].into();
    let lane = Assignment { lane: 0, lanes: 1, positions, plan, passed: Positions::new() };
    let mut reader = source.open(cx, lane).await.expect("it opens");
    let mut batches = Vec::new();
    loop {
        if impatient {
            // The run looks after other things every now and then.
            for _ in 0..3 {
                if let Some(read) = once(reader.read()).await {
                    match read.expect("it reads") {
                        Read::Records(records) => batches.push(records),
                        Read::End => return batches,
                    }
                }
                tokio::task::yield_now().await;
            }
        }
        let read = tokio::time::timeout(PATIENCE, reader.read()).await.expect("it does not stand still");
        match read.expect("it reads") {
            Read::Records(records) => batches.push(records),
            Read::End => break,
        }
    }
    reader.close().await;
    batches
}

/// Polls a future once, and lets go of it.
async fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn texts(batches: &[Records]) -> Vec<String> {
    let rows = batches.iter().flat_map(|batch| (0..batch.len()).map(|row| batch.bytes(row).unwrap_or_default()));
    rows.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}
