//! How many records lie from one position to a later one.
use super::{
    S3Source,
    known::{Known, offset},
    object::Bucket,
    open::{Open, Opened},
};
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::Context;
use std::collections::BTreeMap;

/// Of each object that is there and can be read, unless nobody waits for it any more.
pub(super) fn count(
    source: &S3Source,
    cx: &Context,
    bucket: &Bucket,
    from: &Positions,
    to: &Positions,
) -> BTreeMap<Partition, u64> {
    let between = |(partition, to): (&Partition, &Position)| {
        let records = records(source, cx, bucket, partition, from.get(partition), to)?;
        Some((partition.clone(), records))
    };
    to.iter().filter_map(between).collect()
}

fn records(
    source: &S3Source,
    cx: &Context,
    bucket: &Bucket,
    partition: &Partition,
    from: Option<&Position>,
    to: &Position,
) -> Option<u64> {
    let key = source.key_of(partition)?;
    let listed = bucket.wait(source.look(&bucket.connection, key)).ok()??;
    let is = |at: &&Position| Known::of(at).is_none_or(|known| known.etag == listed.etag);
    // Nothing of an object is there any more in whose place is another.
    if !is(&to) {
        return Some(0);
    }
    let from = from.filter(is).cloned().unwrap_or(Position::offset(0));
    let mut records = 0;
    if offset(&from) >= offset(to) {
        return Some(0);
    }
    let Opened::Ready(mut open) = Open::at(source, cx, bucket, listed, from).ok()? else { return None };
    while let Some(some) = open.next().ok()? {
        records += some.offsets.partition_point(|at| *at < offset(to)) as u64;
        if offset(&some.to) >= offset(to) {
            break;
        }
    }
    Some(records)
}
