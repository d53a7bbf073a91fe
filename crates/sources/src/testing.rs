//! What the tests of several sources share.
#![allow(clippy::unwrap_used)]
use dataflow_core::position::Positions;
use dataflow_sdk::{
    Context, Error, Records,
    source::{Assignment, Read, Reader},
};
use dataflow_testkit::fixture;

pub(crate) fn context() -> Context {
    fixture::context("test")
}

pub(crate) fn lane(positions: &Positions) -> Assignment {
    Assignment { lane: 0, lanes: 1, positions: positions.clone(), plan: Default::default(), passed: Positions::new() }
}

pub(crate) async fn read_all(reader: &mut dyn Reader) -> Result<Vec<Records>, Error> {
    let mut batches = Vec::new();
    while let Read::Records(records) = reader.read().await? {
        batches.push(records);
    }
    Ok(batches)
}

pub(crate) fn texts(batches: &[Records]) -> Vec<String> {
    let rows = batches.iter().flat_map(|batch| (0..batch.len()).map(|row| batch.bytes(row).unwrap()));
    rows.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}
