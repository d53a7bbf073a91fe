//! Questions about a pipeline.
use super::{EntityContext, snapshot};
use crate::{
    answers::{DeadLetter, DeadLetters, History, LastRecovery, LetterPlace},
    causes as by_cause, claims,
    dead_letters::{self, Letters},
    region::{AskError, Order, Query, Reply},
    run::connector_context,
    shard::PipelineCell,
};
use dataflow_core::{
    branch::BranchNumber,
    chunk::ChunkRef,
    id::{Incarnation, SinkName},
    pipeline::{Branch, Pipeline, Rejected},
    position::Position,
    problem::Problem,
};
use dataflow_journal::Journal;
use dataflow_sdk::source::Placed;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest wait for the lines of dead letters, which are a help and no more.
const PATIENCE_FOR_LINES: Duration = Duration::from_secs(5);

/// Answers a question about a pipeline from its state and the journal.
pub(crate) async fn answer_query(
    context: &EntityContext,
    cell: &PipelineCell,
    sink: Option<&SinkName>,
    query: Query,
) -> Result<Reply, AskError> {
    let journal = &context.parts.journal;
    match query {
        Query::State => state(context, cell),
        Query::Recovery => Ok(of_branch(cell, sink, recovery)?),
        Query::DeadLetters { bytes, after, limit } => {
            let branches = letters(cell, sink, &after)?;
            let DeadLetters { mut letters, next } =
                dead_letters::page(journal, &branches, &after, (bytes, limit)).await?;
            if !bytes {
                number_lines(context, cell, &mut letters).await;
                letters = dead_letters::shortened(letters);
            }
            Ok(Reply::DeadLetters(DeadLetters { letters, next }))
        }
        Query::DeadLetter(number) => {
            let Letters { sink, chunks } = of_branch(cell, sink, Letters::of)?;
            let after = number.checked_sub(1).ok_or(Rejected::NotFound)?;
            let mut found = dead_letters::list(journal, &chunks, after, 1).await?;
            number_lines(context, cell, &mut found).await;
            let found = found.into_iter().next().ok_or(Rejected::NotFound)?;
            Ok(Reply::DeadLetter(Box::new(DeadLetter { sink, ..found })))
        }
        Query::Causes => {
            let (number, named) = of_branch(cell, sink, |branch| (branch.id.number(), by_cause::of(branch)))?;
            causes(context, cell, number, named).await
        }
        Query::History { order, after, limit } => history(journal, cell, order, after, limit).await,
        Query::Claims => {
            let branch = of_branch(cell, sink, Branch::clone)?;
            Ok(Reply::Claims(Box::new(claims::of(journal, &branch).await?)))
        }
    }
}

/// The dead letters of a sink, which may be one that was removed; without a name of all of them, as far as they have any.
fn letters(cell: &PipelineCell, sink: Option<&SinkName>, after: &LetterPlace) -> Result<Vec<Letters>, Rejected> {
    if let Some(named) = sink.or(after.sink.as_ref()) {
        // Refuses a name that no sink has.
        let one = of_branch(cell, Some(named), Letters::of)?;
        if sink.is_some() {
            return Ok(vec![one]);
        }
    }
    let state = cell.state();
    let branches = &state.pipeline().ok_or(Rejected::NotFound)?.branches;
    let mut all: Vec<_> = branches.values().filter(|branch| branch.is_present() || branch.dead_letters() > 0).collect();
    // A place without a name is in the first.
    all.sort_by_key(|branch| branch.sink.is_some());
    Ok(all.into_iter().map(Letters::of).collect())
}

/// Says at which lines of their files records begin, as far as the source can tell.
async fn number_lines(context: &EntityContext, cell: &PipelineCell, letters: &mut [DeadLetter]) {
    let asking = |branch: &Branch| {
        let cx = connector_context(branch, context.paths.clone(), None, CancellationToken::new());
        (branch.spec.source.clone(), cx)
    };
    // All branches have the same source.
    let first = cell.state().pipeline().and_then(|pipeline| Some(asking(pipeline.present().next()?.1)));
    let Some((source, cx)) = first else { return };
    let Ok(source) = context.parts.plugins.source(&source) else { return };
    let placed = letters.iter().map(|letter| Placed {
        partition: letter.partition.as_str().into(),
        position: Position { at: letter.position.as_str().into(), identity: None },
        bytes: letter.original.clone().unwrap_or_default(),
    });
    let records = placed.collect();
    let Ok(lines) = tokio::time::timeout(PATIENCE_FOR_LINES, source.lines(&cx, records)).await else { return };
    for (letter, line) in letters.iter_mut().zip(lines) {
        letter.line = line;
    }
}

/// What somebody wants to know of the branch of a sink of the pipeline as it is now, also of one that was removed.
fn of_branch<T>(cell: &PipelineCell, sink: Option<&SinkName>, of: impl FnOnce(&Branch) -> T) -> Result<T, Rejected> {
    let state = cell.state();
    let pipeline = state.pipeline().ok_or(Rejected::NotFound)?;
    let removed = || pipeline.branches.values().find(|branch| sink.is_some() && branch.sink.as_ref() == sink);
    branch_of(pipeline, sink).map(|(_, branch)| branch).or_else(|rejected| removed().ok_or(rejected)).map(of)
}

/// The branch of a sink of the pipeline as it is now, if one is named.
pub(super) fn only(cell: &PipelineCell, sink: Option<&SinkName>) -> Result<Option<BranchNumber>, Rejected> {
    let state = cell.state();
    let (Some(_), Some(pipeline)) = (sink, state.pipeline()) else { return Ok(None) };
    branch_of(pipeline, sink).map(|(number, _)| Some(number))
}

/// The branch of a sink, which has to be named where there are several.
pub(super) fn branch_of<'a>(
    pipeline: &'a Pipeline,
    sink: Option<&SinkName>,
) -> Result<(BranchNumber, &'a Branch), Rejected> {
    if let Some(found) = pipeline.find(sink) {
        return Ok(found);
    }
    let mut present = pipeline.present();
    if let (None, Some(only), None) = (sink, present.next(), present.next()) {
        return Ok(only);
    }
    let problem = match sink {
        Some(sink) => Problem::new("sink", "unknown-sink", format!("the pipeline has no sink {:?}", sink.as_str())),
        None => Problem::new("sink", "missing-field", "is missing: the pipeline has several sinks"),
    };
    let names: Vec<_> =
        pipeline.present().filter_map(|(_, branch)| Some(format!("{:?}", branch.sink.as_ref()?.as_str()))).collect();
    let fix = match names.is_empty() {
        true => "leave it out: there is only one sink, without a name".into(),
        false => format!("name one of {}", names.join(", ")),
    };
    Err(Rejected::Invalid { problems: vec![problem.fix(fix)] })
}

/// A deleted pipeline has a history, too; one that never was has none.
async fn history(
    journal: &Journal,
    cell: &PipelineCell,
    order: Order,
    after: Option<u64>,
    limit: usize,
) -> Result<Reply, AskError> {
    let entries = match order {
        Order::Rising => journal.history(&cell.pipeline, after.unwrap_or(0), limit + 1).await,
        Order::Falling => journal.history_before(&cell.pipeline, after, limit + 1).await,
    };
    let mut entries = entries?;
    if entries.is_empty() && matches!(after, None | Some(0)) {
        return Err(Rejected::NotFound.into());
    }
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().map(|entry| entry.event.number).filter(|_| more);
    let events = entries.into_iter().map(|entry| entry.event).collect();
    let sinks = {
        let state = cell.state();
        let branches = state.pipeline().into_iter().flat_map(|pipeline| &pipeline.branches);
        branches.filter_map(|(number, branch)| Some((*number, branch.sink.clone()?))).collect()
    };
    Ok(Reply::History(History { level: journal.write_level()?, events, sinks, next }))
}

/// The dead letters of a branch, counted by cause.
async fn causes(
    context: &EntityContext,
    cell: &PipelineCell,
    number: BranchNumber,
    (incarnation, chunks): (Incarnation, Vec<ChunkRef>),
) -> Result<Reply, AskError> {
    let mut tallies = cell.causes.lock().await;
    let tally = tallies.entry(number).or_default();
    let counted = tally.count(&context.parts.journal, (&incarnation, &chunks), Some(by_cause::PATIENCE)).await;
    Ok(Reply::Causes(counted?))
}

/// The pipeline as it is now.
pub(super) fn state(context: &EntityContext, cell: &PipelineCell) -> Result<Reply, AskError> {
    let snapshot = snapshot::of(context, &cell.state(), &cell.live());
    Ok(Reply::Pipeline(Box::new(snapshot.ok_or(Rejected::NotFound)?)))
}

fn recovery(branch: &Branch) -> Reply {
    let (generation, run) = (branch.progress.generation.number, branch.last_run.clone());
    Reply::Recovery(Box::new(LastRecovery { generation, run }))
}
