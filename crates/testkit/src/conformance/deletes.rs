//! Sinks that know rows by keys delete them, too: within a commit and over all of them the last operation on a key counts.
use super::{Run, Subject, expect, open, pair};
use crate::fixture::{Pair, token};
use dataflow_sdk::batch::{Operation, Operations, Output};
use std::{collections::BTreeMap, future::Future};

/// An operation on a key; no name: it is deleted.
type Change = (i64, Option<&'static str>);

fn output(run: &Run, changes: &[Change]) -> Output {
    let pairs: Vec<Pair<'_>> = changes.iter().map(|(id, name)| pair(*id, name.unwrap_or("gone"))).collect();
    let operation = |(_, name): &Change| if name.is_none() { Operation::Delete } else { Operation::Upsert };
    Output { operations: Operations::Each(changes.iter().map(operation).collect()), ..run.output(&pairs) }
}

async fn commit(run: &mut Run, sequence: u64, outputs: &[Output]) {
    let committed = run.writer.commit(&outputs.into(), &token(&run.fence, sequence)).await;
    committed.unwrap_or_else(|error| panic!("commit {sequence}: {error:?}"));
}

pub(super) async fn rows_go(subject: &dyn Subject) {
    let mut run = open(subject, 1).await;
    run.commit(1, &[pair(1, "a"), pair(2, "b"), pair(3, "c")]).await;
    let outputs =
        [output(&run, &[(1, None), (2, None), (9, None)]), output(&run, &[(2, Some("d")), (4, Some("e")), (4, None)])];
    commit(&mut run, 2, &outputs).await;
    expect(subject, &[(2, "d"), (3, "c")], "the last operation on a key in a commit counts, over all outputs").await;
    let outputs = [output(&run, &[(3, None), (3, None)])];
    commit(&mut run, 3, &outputs).await;
    expect(subject, &[(2, "d")], "a delete of what is not there is fine").await;
    run.close().await;
    let mut run = open(subject, 2).await;
    run.commit(4, &[pair(3, "f")]).await;
    expect(subject, &[(2, "d"), (3, "f")], "what is deleted can be written again").await;
    run.close().await;
}

/// The same changes in commits and outputs of other lengths have the same result.
pub(super) async fn they_come_to_the_same_however_they_are_cut<S: Subject, F: Future<Output = S>>(
    fresh: &impl Fn() -> F,
) {
    const NAMES: [&str; 3] = ["x", "y", "z"];
    // A generator of its own: the same changes each time.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let change = |_| (next(5) as i64, (next(3) > 0).then(|| NAMES[next(3) as usize]));
    let changes: Vec<Change> = (0..60).map(change).collect();
    let mut expected = BTreeMap::new();
    for (id, name) in &changes {
        match name {
            Some(name) => drop(expected.insert(*id, *name)),
            None => drop(expected.remove(id)),
        }
    }
    let expected: Vec<(i64, &str)> = expected.into_iter().collect();
    for (of_commit, of_output) in [(1, 1), (2, 2), (7, 3), (60, 60), (60, 13)] {
        let subject = fresh().await;
        let mut run = open(&subject, 1).await;
        for (sequence, part) in changes.chunks(of_commit).enumerate() {
            let outputs: Vec<Output> = part.chunks(of_output).map(|part| output(&run, part)).collect();
            commit(&mut run, sequence as u64 + 1, &outputs).await;
        }
        run.close().await;
        expect(&subject, &expected, &format!("commits of {of_commit} changes in outputs of {of_output}")).await;
    }
}
