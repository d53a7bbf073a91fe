#![allow(clippy::unwrap_used)]
use super::{covered, entry};
use crate::{
    Encoded, Error, WriteLevel,
    store::Page,
    stored::Row,
    testing::samples::{lifecycle, pipeline},
};
use dataflow_core::{id::Seq, shard::ShardId};

const SHARD: ShardId = ShardId(5);

fn at(seq: u64) -> Row {
    Encoded::new(&pipeline(SHARD, 0), &lifecycle("c"), WriteLevel::NEWEST).unwrap().at(Seq(seq))
}

/// Reads from `from` in a log that is compacted up to `compacted` and ends at `next`.
fn next(from: u64, limit: usize, [compacted, next]: [u64; 2], seqs: &[u64]) -> Result<u64, Error> {
    let rows = seqs.iter().map(|seq| at(*seq)).collect();
    let page = Page { next: Seq(next), compacted: Seq(compacted), rows };
    covered(SHARD, Seq(from), limit, &page).map(|next| next.0)
}

#[test]
fn what_is_whole_is_read_to_its_end_or_the_limit() {
    assert_eq!(next(1, 10, [1, 4], &[1, 2, 3]).unwrap(), 4);
    assert_eq!(next(6, 10, [6, 8], &[6, 7]).unwrap(), 8);
    assert_eq!(next(6, 1, [3, 8], &[6]).unwrap(), 7);
    assert_eq!(next(6, 10, [6, 6], &[]).unwrap(), 6);
}

#[test]
fn what_was_compacted_away_is_said_to_be() {
    for from in 0..6 {
        assert!(matches!(next(from, 10, [6, 8], &[6, 7]), Err(Error::Trimmed { shard: SHARD, first: Seq(6) })));
    }
}

#[test]
fn a_gap_is_damage() {
    for (from, head, found) in
        [(1, 3, &[2][..]), (1, 3, &[1]), (1, 3, &[]), (6, 9, &[7, 8]), (1, 3, &[1, 2, 3]), (1, 5, &[1, 2, 4])]
    {
        let damage = next(from, 10, [1, head], found);
        assert!(matches!(damage, Err(Error::Corrupt(_))), "{from} {head} {found:?}: {damage:?}");
    }
    insta::assert_snapshot!(
        next(4, 10, [4, 9], &[6, 7, 8]).unwrap_err(),
        @"the journal is damaged: shard 5: events from 4 up to 6 (exclusive) are missing"
    );
}

#[test]
fn beyond_the_head_is_nothing() {
    assert_eq!(next(9, 10, [4, 9], &[]).unwrap(), 9);
    assert_eq!(next(12, 10, [4, 9], &[]).unwrap(), 12);
}

#[test]
fn damaged_rows_are_named_and_told_from_those_of_another_build() {
    let of = |body: &str| entry(SHARD, Row { body: body.into(), ..at(1) }, WriteLevel::NEWEST).unwrap_err();
    let Error::Corrupt(message) = of(r#"{"v":"#) else { panic!() };
    assert!(message.starts_with("shard 5, event 1 of \""), "{message}");
    let Error::OtherBuild(message) = of(r#"{"v":9}"#) else { panic!() };
    assert!(message.starts_with("shard 5, event 1 of \"") && message.contains("level 9"), "{message}");
}
