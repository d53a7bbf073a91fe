//! Take in records that were pushed.
use super::not_allowed;
use crate::{
    chunk::ChunkId,
    id::BatchId,
    pipeline::{Command, Decision, Effect, Event, RecordedEvent, Rejected, State, event::Cause, state::Received},
    problem::Problem,
};

/// In every state, as long as the source accepts them: records wait until the pipeline runs. Refused while the journal is
/// behind a sink, except for replays: in their old order they bear their old numbers, which the sink's position proves once it
/// is opened. A batch that was taken in before
/// gets the same answer. One that is larger than all that may wait is taken in when nothing else waits.
///
/// `earlier` are events of batches that were decided just before and will be durable together with this one: so that many
/// small batches can share one append.
pub(in crate::pipeline) fn ingest(
    state: &State,
    earlier: &[RecordedEvent],
    command: &Command,
    batch: &Ingested<'_>,
) -> Result<Decision, Rejected> {
    let pipeline = state.pipeline().ok_or(Rejected::NotFound)?;
    let Some(most) = pipeline.pushes else {
        let message = format!("a source of type {:?} accepts no pushed records", pipeline.spec.source.kind);
        let problem = Problem::new("source.type", "not-pushable", message)
            .fix("push to a pipeline whose source does, or change the source of this one");
        return Err(Rejected::Invalid { problems: vec![problem] });
    };
    let Ingested { batch_id, hash, records, bytes, chunk, replay } = *batch;
    let mut inbox = (pipeline.inbox.received, pipeline.inbox.pending_bytes());
    let mut seen = pipeline.inbox.seen.get(batch_id).cloned();
    for event in earlier {
        if let Event::BatchReceived { batch_id: other, hash, from, to, bytes, .. } = &event.event {
            inbox = (*to, inbox.1.saturating_add(*bytes));
            if other == batch_id {
                seen = Some(Received { hash: hash.clone(), from: *from, to: *to });
            }
        }
    }
    match seen {
        Some(seen) if seen.hash == hash => return Ok(Decision { received: Some(seen), ..Decision::default() }),
        Some(_) => return Err(Rejected::BatchIdReused),
        None => {}
    }
    command.target(state)?;
    let is_behind = |cause: &&Cause| cause.code == Cause::JOURNAL_BEHIND;
    if let Some(cause) = pipeline.undecided().find(|cause| !(replay && is_behind(cause))) {
        // Records that it would take in bear numbers that the sink has had already.
        let again = "a batch that was acknowledged after the backup may come again, in its old order and with ?replay=true; \
            others wait until all sinks go on, see their errors";
        let fix = if is_behind(&cause) { again } else { cause.fix.as_deref().unwrap_or_default() };
        return Err(not_allowed("push to", state, fix));
    }
    let (from, pending) = inbox;
    // Nothing leaves before all that was pushed is back.
    let comes_back = pipeline.undecided().next().is_some();
    if !comes_back && pending > 0 && pending.saturating_add(bytes) > most {
        return Err(Rejected::Overloaded { pending, most });
    }
    let to = from.saturating_add(records);
    let (batch_id, chunk) = (batch_id.clone(), chunk.clone());
    let event = Event::BatchReceived { source: None, batch_id, hash: hash.into(), from, to, bytes, chunk };
    let mut decision = Decision::of(command, 0, [event]);
    decision.received = Some(Received { hash: hash.into(), from, to });
    let running = pipeline.present().filter(|(_, branch)| branch.running().is_some());
    Ok(running.fold(decision, |decision, (number, _)| decision.then(number, Effect::WakeRun)))
}

/// A pushed batch, as its command names it.
#[derive(Clone, Copy)]
pub(in crate::pipeline) struct Ingested<'a> {
    pub(in crate::pipeline) batch_id: &'a BatchId,
    pub(in crate::pipeline) hash: &'a str,
    pub(in crate::pipeline) records: u64,
    pub(in crate::pipeline) bytes: u64,
    pub(in crate::pipeline) chunk: &'a ChunkId,
    pub(in crate::pipeline) replay: bool,
}
