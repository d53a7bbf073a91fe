//! A keyed sink has no transactions: what it holds follows from keys and versions alone, however often and in which pieces it
//! was written.
use super::{PIPELINE, Subject, expect, fence, open, pair, try_open};
use crate::fixture::{Pair, token};
use dataflow_core::token::Fence;
use dataflow_sdk::sink::{CommitError, RejectedRow};

/// It may apply a commit before it knows that some of its rows are refused; without them the commit comes again, with the same
/// version.
pub(super) async fn what_is_not_refused_converges(subject: &dyn Subject) {
    let refused = subject.refused_name().unwrap_or_default();
    let mut run = open(subject, 1).await;
    run.commit(1, &[pair(1, "Ann")]).await;
    let many: Vec<Pair<'_>> = (10..200).map(|id| pair(id, if id % 50 == 0 { refused } else { "x" })).collect();
    let outputs = [run.output(&[pair(2, "Bob"), pair(3, refused), pair(1, refused)]), run.output(&many)];
    let mut rest = outputs.clone();
    let commit = run.writer.commit(&outputs.clone().into(), &token(&run.fence, 2)).await;
    let Err(CommitError::Rejected(rows)) = commit else { panic!("rows that the target refuses: {commit:?}") };
    let mut places: Vec<(usize, usize)> = rows.iter().map(|RejectedRow { output, row, .. }| (*output, *row)).collect();
    places.sort_unstable();
    assert_eq!(places, [(0, 1), (0, 2), (1, 40), (1, 90), (1, 140)], "all refused rows are found, and no other");
    assert!(rows.iter().all(|row| row.cause.contains("name")), "the cause names the field: {}", rows[0].cause);
    for (output, rest) in rest.iter_mut().enumerate() {
        *rest = rest.retain(|row| !places.contains(&(output, row)));
    }
    let committed = run.writer.commit(&rest.clone().into(), &token(&run.fence, 2)).await;
    let written = committed.map(|committed| committed.rows_written).map_err(|error| error.to_string());
    assert_eq!(written, Ok(188), "the rows of the commit that counts");
    let mut expected = vec![(1, "Ann"), (2, "Bob")];
    expected.extend((10..200).filter(|id| id % 50 != 0).map(|id| (id, "x")));
    expect(subject, &expected, "all rows but the refused ones, once").await;

    // The last row of a key is refused: the one before it holds, whatever was there after the first try.
    let outputs = [run.output(&[pair(2, "Cid"), pair(5, "Dan"), pair(5, refused), pair(2, "Eve")])];
    let commit = run.writer.commit(&outputs.clone().into(), &token(&run.fence, 3)).await;
    let Err(CommitError::Rejected(rows)) = commit else { panic!("rows that the target refuses: {commit:?}") };
    assert_eq!(rows.iter().map(|refused| refused.row).collect::<Vec<_>>(), [2]);
    // The engine sets the whole record aside; here, also one that the sink has taken.
    let rest = [outputs[0].retain(|row| row < 2)];
    let committed = run.writer.commit(&rest.clone().into(), &token(&run.fence, 3)).await;
    assert!(committed.is_ok(), "{committed:?}");
    expected[1] = (2, "Cid");
    expected.insert(2, (5, "Dan"));
    expect(subject, &expected, "what comes with the same version replaces").await;

    // Nobody comes back after a refusal: the successor reads the records again, and cuts them otherwise.
    let commit = run.try_commit(4, &[pair(2, "Fay"), pair(6, refused)]).await;
    assert!(matches!(commit, Err(CommitError::Rejected(_))), "{commit:?}");
    run.close().await;
    let mut run = open(subject, 2).await;
    run.commit(4, &[pair(2, "Fay")]).await;
    run.commit(5, &[pair(7, "Gus")]).await;
    expected[1] = (2, "Fay");
    expected.insert(3, (7, "Gus"));
    expect(subject, &expected, "the successor's commits have the same result").await;
}

pub(super) async fn replay_converges(subject: &dyn Subject) {
    let mut run = open(subject, 1).await;
    run.commit(1, &[pair(1, "a"), pair(2, "b")]).await;
    run.commit(2, &[pair(1, "c")]).await;
    let before = subject.rows().await;
    run.close().await;
    let mut run = open(subject, 2).await;
    run.commit(1, &[pair(1, "a"), pair(2, "b"), pair(1, "c")]).await;
    assert_eq!(subject.rows().await, before, "a replay with other batches gives the same result");
}

/// A commit sent by an older run or an overtaken lane undoes nothing.
pub(super) async fn what_comes_late_is_stale(subject: &dyn Subject) {
    let mut old = open(subject, 1).await;
    let late = try_open(subject, &Fence { lane: 1, ..fence(PIPELINE, 1) }, None).await;
    let mut late = late.unwrap_or_else(|error| panic!("another lane can't be opened: {error}"));
    old.commit(1, &[pair(1, "a"), pair(2, "b")]).await;
    old.commit(5, &[pair(1, "c")]).await;
    late.commit(4, &[pair(1, "late"), pair(3, "d")]).await;
    expect(subject, &[(1, "c"), (2, "b"), (3, "d")], "the highest version of a key stays, whichever lane wrote it")
        .await;
    late.commit(6, &[pair(2, "e")]).await;
    let mut new = open(subject, 2).await;
    new.commit(1, &[pair(1, "f")]).await;
    // What is there has a version that was never reserved for the older run: that it was refused is no delivery.
    let error = old.try_commit(9, &[pair(1, "zombie")]).await;
    let is_fenced = matches!(&error, Err(CommitError::Failed(error)) if error.code() == "fenced");
    assert!(is_fenced, "an older epoch's commit: {error:?}");
    expect(subject, &[(1, "f"), (2, "e"), (3, "d")], "commits of an older run are stale").await;
}
