//! Questions about a pipeline.
use super::{Entity, Surroundings, show};
use crate::{
    causes as by_cause, claims, dead_letters,
    region::{AskError, Order, Query, Reply},
    run::live::Live,
    shard::Slot,
    view::{HistoryItem, HistoryPage, PipelineView, rfc3339},
};
use dataflow_core::{
    chunk::ChunkRef,
    id::PipelineId,
    pipeline::{Rejected, State},
};
use dataflow_journal::{Entry, stored};

impl Entity {
    pub(super) async fn query(&self, query: Query) -> Result<Reply, AskError> {
        let journal = &self.around.parts.journal;
        match query {
            Query::State => state(&self.around, &self.slot),
            Query::Recovery => recovery(&self.slot),
            Query::DeadLetters { after, limit } => {
                let chunks = self.chunks()?;
                let page = dead_letters::page(journal, &chunks, after, limit).await?;
                Ok(Reply::DeadLetters(page))
            }
            Query::DeadLetter(number) => {
                let chunks = self.chunks()?;
                let after = number.checked_sub(1).ok_or(Rejected::NotFound)?;
                let found = dead_letters::list(journal, &chunks, after, 1).await?;
                let found = found.into_iter().next().ok_or(Rejected::NotFound)?;
                Ok(Reply::DeadLetter(Box::new(found)))
            }
            Query::Causes => causes(&self.around, &self.slot).await,
            Query::History { order, after, limit } => self.history(order, after, limit).await,
            Query::Claims => {
                let state = self.slot.state().clone();
                let claims = claims::of(journal, &state).await?;
                Ok(Reply::Claims(Box::new(claims.ok_or(Rejected::NotFound)?)))
            }
        }
    }

    fn chunks(&self) -> Result<Vec<ChunkRef>, Rejected> {
        let state = self.slot.state();
        Ok(state.pipeline().ok_or(Rejected::NotFound)?.progress.dead_letters.clone())
    }

    /// A deleted pipeline has a history, too; one that never was has none.
    async fn history(&self, order: Order, after: Option<u64>, limit: usize) -> Result<Reply, AskError> {
        let (journal, pipeline) = (&self.around.parts.journal, &self.slot.pipeline);
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
        let items = entries.iter().map(item).collect::<Result<_, _>>()?;
        Ok(Reply::History(HistoryPage { items, next }))
    }
}

/// The answer to a question that only what is in memory has to say something about; none: it takes the entity, which may
/// be waiting for the journal.
pub(crate) fn at_once(around: &Surroundings, slot: &Slot, query: &Query) -> Option<Result<Reply, AskError>> {
    match query {
        Query::State => Some(state(around, slot)),
        Query::Recovery => Some(recovery(slot)),
        _ => None,
    }
}

/// Its dead letters, counted by cause. Asks the journal, and nobody who may be waiting for it.
pub(crate) async fn causes(around: &Surroundings, slot: &Slot) -> Result<Reply, AskError> {
    let (incarnation, chunks) = by_cause::of(slot.state().pipeline().ok_or(Rejected::NotFound)?);
    let mut tally = slot.causes.lock().await;
    let counted = tally.count(&around.parts.journal, (&incarnation, &chunks), Some(by_cause::PATIENCE)).await;
    Ok(Reply::Causes(counted?))
}

/// The pipeline as it is now.
pub(super) fn state(around: &Surroundings, slot: &Slot) -> Result<Reply, AskError> {
    let view = view(around, &slot.pipeline, &slot.state(), slot.live().as_deref());
    Ok(Reply::Pipeline(Box::new(view.ok_or(Rejected::NotFound)?)))
}

fn recovery(slot: &Slot) -> Result<Reply, AskError> {
    let state = slot.state();
    let pipeline = state.pipeline().ok_or(Rejected::NotFound)?;
    Ok(Reply::Recovery(Box::new(show::recovery(pipeline))))
}

/// The pipeline as users see it; none if there is none.
pub(crate) fn view(
    around: &Surroundings,
    pipeline: &PipelineId,
    state: &State,
    live: Option<&Live>,
) -> Option<PipelineView> {
    let last_warnings = || around.directory.warnings(pipeline);
    show::pipeline(state, live, last_warnings, &*around.parts.plugins, around.parts.clock.now())
}

fn item(entry: &Entry) -> Result<HistoryItem, AskError> {
    let event = &entry.event;
    let detail = stored::encode(event)
        .ok()
        .and_then(|stored| serde_json::from_str::<serde_json::Value>(&stored).ok())
        .and_then(|mut stored| stored.get_mut("fact").map(serde_json::Value::take))
        .ok_or_else(|| AskError::Internal(format!("the event {} can't be shown", entry.seq)))?;
    // The fact is `{"pipelineStarted": {…}}`, or its name alone where there is nothing to say.
    let detail = match detail {
        serde_json::Value::Object(fact) => {
            fact.into_iter().next().map_or(serde_json::Value::Null, |(_, detail)| detail)
        }
        _ => serde_json::Value::Object(serde_json::Map::new()),
    };
    Ok(HistoryItem {
        number: event.number,
        at: rfc3339(event.at),
        actor: event.actor.to_string(),
        reason: event.reason.as_ref().map(ToString::to_string),
        trace: event.trace.as_ref().map(ToString::to_string),
        command: event.command.to_string(),
        event: event.fact.name().into(),
        detail,
    })
}
