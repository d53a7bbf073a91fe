//! The requirements for the positions of every source whose records can be read again, also one that never ends.
use crate::fixture::context;
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{
    Records,
    source::{Assignment, Edge, Read, Reader, Source},
};
use serde_json::Value;
use std::{cmp::Ordering, time::Duration};

/// Longest wait for records that are there.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often nobody waits for a read any more, as a run does when something else comes first.
const GIVEN_UP: Duration = Duration::from_millis(5);

/// Reads a source with one partition, in which exactly these records are, in this order, and checks that it goes on from everywhere.
///
/// # Panics
/// If a requirement is violated.
pub async fn places(source: &dyn Source, expected: &[Value]) {
    let cx = context("conformance");
    let partitions = source.partitions(&cx).await.unwrap_or_else(|error| panic!("no partitions: {error}"));
    let [partition] = partitions.as_slice() else { panic!("not one partition: {partitions:?}") };
    let found = all_come_once(source, partition, expected).await;
    it_goes_on_from_everywhere(source, partition, expected, &found).await;
    places_are_in_order(source, &found);
    its_edges_are_places(source, partition, expected).await;
}

async fn open(source: &dyn Source, partition: &Partition, at: Option<Position>, batch: u32) -> Box<dyn Reader> {
    let mut cx = context("conformance");
    cx.batch.max_records = batch;
    let positions: Positions = at.map(|at| (partition.clone(), at)).into_iter().collect();
    let plan = [(partition.clone(), 0)].into();
    let lane = Assignment { lane: 0, lanes: 1, positions, plan, passed: Positions::new() };
    source.open(&cx, lane).await.unwrap_or_else(|error| panic!("can't be opened: {error}"))
}

async fn read(reader: &mut dyn Reader) -> Option<Records> {
    let begun = tokio::time::Instant::now();
    loop {
        match tokio::time::timeout(GIVEN_UP, reader.read()).await {
            Ok(Ok(Read::Records(records))) => return Some(records),
            Ok(Ok(Read::End)) => return None,
            Ok(Err(error)) => panic!("can't be read: {error}"),
            Err(_) => assert!(begun.elapsed() < PATIENCE, "records that are there do not come"),
        }
    }
}

fn values(records: &Records) -> Vec<Value> {
    let value = |row| serde_json::from_slice(records.bytes(row).unwrap_or_default());
    (0..records.len()).map(|row| value(row).unwrap_or_else(|error| panic!("not JSON: {error}"))).collect()
}

/// Returns the place before each record, and after the last one.
async fn all_come_once(source: &dyn Source, partition: &Partition, expected: &[Value]) -> Vec<Position> {
    let mut reader = open(source, partition, None, 3).await;
    let (mut found, mut places) = (Vec::new(), vec![source.beginning()]);
    while found.len() < expected.len() {
        let Some(records) = read(&mut *reader).await else { break };
        assert_eq!(&records.partition, partition);
        let last = places.last().map(|last| last.at.clone());
        assert_eq!(Some(&records.from.at), last.as_ref(), "records go on where the last ones ended");
        places.extend((1..records.len()).map(|row| records.before(row)));
        places.push(records.to.clone());
        found.extend(values(&records));
    }
    reader.close().await;
    assert_eq!(found, expected, "each record comes once, in order");
    assert_eq!(places.len(), expected.len() + 1, "each record has a place");
    places
}

async fn it_goes_on_from_everywhere(
    source: &dyn Source,
    partition: &Partition,
    expected: &[Value],
    places: &[Position],
) {
    for (rest, place) in places[..expected.len()].iter().enumerate() {
        let mut reader = open(source, partition, Some(place.clone()), 4).await;
        let records = read(&mut *reader).await.unwrap_or_else(|| panic!("nothing comes after {place}"));
        reader.close().await;
        assert_eq!(records.from.at, place.at, "it goes on where it is told to");
        let found = values(&records);
        assert_eq!(found, expected[rest..rest + found.len()], "after {place}");
    }
}

fn places_are_in_order(source: &dyn Source, places: &[Position]) {
    for (nth, one) in places.iter().enumerate() {
        assert_eq!(source.order(one, one), Some(Ordering::Equal), "{one}");
        for (between, other) in places[nth + 1..].iter().enumerate() {
            assert_eq!(source.order(one, other), Some(Ordering::Less), "{one} comes before {other}");
            assert_eq!(source.order(other, one), Some(Ordering::Greater), "{other} comes after {one}");
            assert!(source.is_same(one, other), "{one} and {other} are places of one partition");
            let most = source.between(Some(one), other);
            assert!(most.is_none_or(|most| most > between as u64), "from {one} to {other} are {most:?} at most");
        }
    }
}

async fn its_edges_are_places(source: &dyn Source, partition: &Partition, expected: &[Value]) {
    let cx = context("conformance");
    let edge = async |edge: Edge| {
        source.resolve(&cx, &edge).await.unwrap_or_else(|error| panic!("{edge} is not known: {error}"))
    };
    let (begin, end) = (edge(Edge::Beginning).await, edge(Edge::End).await);
    let mut reader = open(source, partition, begin.get(partition).cloned(), 4).await;
    let first = read(&mut *reader).await.map(|records| values(&records).remove(0));
    assert_eq!(first.as_ref(), expected.first(), "the beginning is before the first record");
    reader.close().await;
    let mut reader = open(source, partition, end.get(partition).cloned(), 4).await;
    if let Ok(Ok(Read::Records(records))) = tokio::time::timeout(Duration::from_millis(50), reader.read()).await {
        assert!(records.is_empty(), "nothing is after the end: {:?}", values(&records));
    }
    reader.close().await;
}
