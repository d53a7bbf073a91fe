#![allow(clippy::unwrap_used)]
use super::{Extent, run};
use crate::{
    Error,
    stored::{Row, rows},
    testing::samples::{lifecycle, pipeline},
};
use dataflow_core::{id::Seq, shard::ShardId};

const SHARD: ShardId = ShardId(5);

fn at(seqs: &[u64]) -> Vec<Row> {
    seqs.iter().flat_map(|seq| rows(Seq(*seq), &[(pipeline(SHARD, 0), lifecycle("c"))]).unwrap()).collect()
}

fn extent(compacted: u64, next: u64) -> Extent {
    Extent { next: Seq(next), compacted: Seq(compacted) }
}

fn next(from: u64, limit: usize, extent: Extent, seqs: &[u64]) -> Result<u64, String> {
    match run(SHARD, Seq(from), limit, extent, at(seqs)) {
        Ok(run) => {
            assert_eq!(run.entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), seqs);
            Ok(run.next.0)
        }
        Err(Error::Corrupt(message)) => Err(message),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn gaps_before_the_compacted_place_are_read_over() {
    assert_eq!(next(1, 10, extent(6, 8), &[3, 6, 7]), Ok(8));
    assert_eq!(next(1, 10, extent(6, 6), &[]), Ok(6));
    assert_eq!(next(2, 2, extent(6, 8), &[3, 5]), Ok(6));
    assert_eq!(next(2, 1, extent(6, 8), &[3]), Ok(4));
}

#[test]
fn gaps_behind_it_are_damage() {
    for (from, compacted, head, found) in [
        (1, 1, 3, &[2][..]),
        (1, 1, 3, &[1]),
        (1, 1, 3, &[]),
        (1, 4, 9, &[3, 5, 6, 7, 8]),
        (6, 4, 9, &[7, 8]),
        (1, 1, 3, &[1, 2, 3]),
    ] {
        let damage = next(from, 10, extent(compacted, head), found);
        assert!(damage.is_err(), "{from} {compacted} {head} {found:?}: {damage:?}");
    }
    insta::assert_snapshot!(
        next(1, 10, extent(4, 9), &[3, 6, 7, 8]).unwrap_err(),
        @"shard 5: events from 4 to before 6 are missing, though only those before 4 were compacted"
    );
}

#[test]
fn behind_the_head_is_nothing() {
    assert_eq!(next(9, 10, extent(4, 9), &[]), Ok(9));
    assert_eq!(next(12, 10, extent(4, 9), &[]), Ok(12));
}

#[test]
fn damaged_rows_are_named() {
    let mut rows = at(&[1]);
    rows[0].body = r#"{"v":9}"#.into();
    let Err(Error::Corrupt(message)) = run(SHARD, Seq(1), 10, extent(1, 2), rows) else { panic!() };
    assert!(message.starts_with("shard 5, event 1 of \"") && message.contains("version 9"), "{message}");
}
