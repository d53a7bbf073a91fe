//! Questions about a pipeline.
use super::{EntityContext, snapshot};
use crate::{
    answers::{DeadLetter, History, LastRecovery},
    causes as by_cause, claims, dead_letters,
    region::{AskError, Order, Query, Reply},
    run::connector_context,
    shard::PipelineCell,
};
use dataflow_core::{chunk::ChunkRef, id::PipelineId, pipeline::Rejected, position::Position};
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
    query: Query,
) -> Result<Reply, AskError> {
    let journal = &context.parts.journal;
    match query {
        Query::State => state(context, cell),
        Query::Recovery => recovery(cell),
        Query::DeadLetters { bytes: true, after, limit } => {
            Ok(Reply::DeadLetters(dead_letters::whole(journal, &chunks(cell)?, after, limit).await?))
        }
        Query::DeadLetters { bytes: false, after, limit } => {
            let chunks = chunks(cell)?;
            let mut found = dead_letters::list(journal, &chunks, after, limit).await?;
            number_lines(context, cell, &mut found).await;
            Ok(Reply::DeadLetters(dead_letters::shortened(found, &chunks)))
        }
        Query::DeadLetter(number) => {
            let chunks = chunks(cell)?;
            let after = number.checked_sub(1).ok_or(Rejected::NotFound)?;
            let mut found = dead_letters::list(journal, &chunks, after, 1).await?;
            number_lines(context, cell, &mut found).await;
            let found = found.into_iter().next().ok_or(Rejected::NotFound)?;
            Ok(Reply::DeadLetter(Box::new(found)))
        }
        Query::Causes => causes(context, cell).await,
        Query::History { order, after, limit } => history(journal, &cell.pipeline, order, after, limit).await,
        Query::Claims => {
            let state = cell.state().clone();
            let claims = claims::of(journal, &state).await?;
            Ok(Reply::Claims(Box::new(claims.ok_or(Rejected::NotFound)?)))
        }
    }
}

/// Says at which lines of their files records begin, as far as the source can tell.
async fn number_lines(context: &EntityContext, cell: &PipelineCell, letters: &mut [DeadLetter]) {
    let Some(pipeline) = cell.state().pipeline().cloned() else { return };
    let Ok(source) = context.parts.plugins.source(&pipeline.spec.source) else { return };
    let placed = letters.iter().map(|letter| Placed {
        partition: letter.partition.as_str().into(),
        position: Position { at: letter.position.as_str().into(), identity: None },
        bytes: letter.original.clone().unwrap_or_default(),
    });
    let (records, giving_up) = (placed.collect(), CancellationToken::new());
    let cx = connector_context(&pipeline, context.paths.clone(), None, giving_up);
    let Ok(lines) = tokio::time::timeout(PATIENCE_FOR_LINES, source.lines(&cx, records)).await else { return };
    for (letter, line) in letters.iter_mut().zip(lines) {
        letter.line = line;
    }
}

fn chunks(cell: &PipelineCell) -> Result<Vec<ChunkRef>, Rejected> {
    let state = cell.state();
    Ok(state.pipeline().ok_or(Rejected::NotFound)?.progress.dead_letters.clone())
}

/// A deleted pipeline has a history, too; one that never was has none.
async fn history(
    journal: &Journal,
    pipeline: &PipelineId,
    order: Order,
    after: Option<u64>,
    limit: usize,
) -> Result<Reply, AskError> {
    let entries = match order {
        Order::Rising => journal.history(pipeline, after.unwrap_or(0), limit + 1).await,
        Order::Falling => journal.history_before(pipeline, after, limit + 1).await,
    };
    let mut entries = entries?;
    if entries.is_empty() && matches!(after, None | Some(0)) {
        return Err(Rejected::NotFound.into());
    }
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().map(|entry| entry.event.number).filter(|_| more);
    let events = entries.into_iter().map(|entry| entry.event).collect();
    Ok(Reply::History(History { events, next }))
}

/// Its dead letters, counted by cause.
async fn causes(context: &EntityContext, cell: &PipelineCell) -> Result<Reply, AskError> {
    let (incarnation, chunks) = by_cause::of(cell.state().pipeline().ok_or(Rejected::NotFound)?);
    let mut tally = cell.causes.lock().await;
    let counted = tally.count(&context.parts.journal, (&incarnation, &chunks), Some(by_cause::PATIENCE)).await;
    Ok(Reply::Causes(counted?))
}

/// The pipeline as it is now.
pub(super) fn state(context: &EntityContext, cell: &PipelineCell) -> Result<Reply, AskError> {
    let snapshot = snapshot::of(context, &cell.pipeline, &cell.state(), cell.live().as_deref());
    Ok(Reply::Pipeline(Box::new(snapshot.ok_or(Rejected::NotFound)?)))
}

fn recovery(cell: &PipelineCell) -> Result<Reply, AskError> {
    let state = cell.state();
    let pipeline = state.pipeline().ok_or(Rejected::NotFound)?;
    Ok(Reply::Recovery(Box::new(LastRecovery {
        generation: pipeline.progress.generation.number,
        run: pipeline.last_run.clone(),
    })))
}
