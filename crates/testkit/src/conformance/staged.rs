//! The visible content of a staged sink: commits may be sealed at once or later, and count once they are journalled.
use super::{Run, Subject, expect, fence, pair, try_open};
use dataflow_core::pipeline::event::LaneProgress;
use dataflow_sdk::sink::Seal;

/// The most requests to seal that a sink may decline in a row.
const PATIENCE: u64 = 1_000;
const PIPELINE: &str = super::PIPELINE;

async fn reopen(subject: &dyn Subject, epoch: u64, journalled: Option<LaneProgress>) -> Run {
    let opened = try_open(subject, &fence(PIPELINE, epoch), journalled).await;
    opened.unwrap_or_else(|error| panic!("can't be opened: {error}"))
}

/// Commits until the sink seals at the request of a checkpoint; returns the journal's entry, and the names of the rows
/// it covers.
async fn until_sealed(run: &mut Run, first: u64) -> (LaneProgress, Vec<(i64, &'static str)>) {
    let mut rows = Vec::new();
    for sequence in first..first + PATIENCE {
        let id = i64::try_from(sequence).unwrap_or_default();
        run.commit(sequence, &[pair(id, "sealed")]).await;
        rows.push((id, "sealed"));
        if let Some(progress) = run.ask_to_seal(Seal::Due, sequence).await {
            return (progress, rows);
        }
    }
    panic!("it has sealed none of {PATIENCE} commits: its open output is unbounded");
}

/// After a crash at any point between commit, seal, journal and publication, the sink shows what the journal says.
pub(super) async fn only_what_is_journalled_counts(subject: &dyn Subject) {
    let mut run = reopen(subject, 1, None).await;
    let begun = LaneProgress { handle: run.handle.clone(), ..LaneProgress::default() };
    let (sealed, _) = until_sealed(&mut run, 1).await;
    assert!(sealed.handle.is_some(), "sealed output has a handle");
    run.close().await;
    let run = reopen(subject, 2, Some(begun.clone())).await;
    run.close().await;
    expect(subject, &[], "sealed output that was not journalled is gone after opening again").await;

    let mut run = reopen(subject, 3, Some(begun)).await;
    let (sealed, rows) = until_sealed(&mut run, 1).await;
    run.commit(rows.len() as u64 + 1, &[pair(9_999, "later")]).await;
    run.close().await;
    let mut run = reopen(subject, 4, Some(sealed.clone())).await;
    expect(subject, &rows, "journalled, unpublished output is shown after opening again, and nothing else").await;
    run.publish(&sealed).await;
    run.close().await;
    let run = reopen(subject, 5, Some(sealed)).await;
    run.close().await;
    expect(subject, &rows, "output published again is there once").await;
}

/// A slow sink seals again before the journal has what it sealed first, and is killed before or after it has published that.
pub(super) async fn a_handle_names_what_earlier_ones_did(subject: &dyn Subject) {
    let mut run = reopen(subject, 1, None).await;
    let (first, mut rows) = until_sealed(&mut run, 1).await;
    let (second, more) = until_sealed(&mut run, first.sequence + 1).await;
    rows.extend(more);
    run.close().await;
    let mut run = reopen(subject, 2, Some(second.clone())).await;
    expect(subject, &rows, "all that was sealed is shown once the last handle is journalled").await;
    let (third, more) = until_sealed(&mut run, second.sequence + 1).await;
    rows.extend(more);
    let (fourth, more) = until_sealed(&mut run, third.sequence + 1).await;
    rows.extend(more);
    run.publish(&third).await;
    run.publish(&fourth).await;
    expect(subject, &rows, "what two handles name is shown once").await;
    run.close().await;
    reopen(subject, 3, Some(fourth)).await.close().await;
    expect(subject, &rows, "published by both and by an opening, it is there once").await;
}

/// Asked to seal everything it does; otherwise it may wait, but seals eventually.
pub(super) async fn it_seals_in_the_end(subject: &dyn Subject) {
    let mut run = reopen(subject, 1, None).await;
    let (sealed, mut rows) = until_sealed(&mut run, 1).await;
    run.publish(&sealed).await;
    let next = rows.len() as u64 + 1;
    let id = i64::try_from(next).unwrap_or_default();
    run.commit(next, &[pair(id, "last")]).await;
    rows.push((id, "last"));
    let all = run.ask_to_seal(Seal::All, next).await;
    run.publish(&all.expect("asked to seal all, it does")).await;
    run.close().await;
    expect(subject, &rows, "all sealed output is shown").await;
}
