//! Take in records that were pushed.
use crate::{
    chunk::ChunkId,
    id::BatchId,
    limits::MAX_PENDING_BYTES,
    pipeline::{
        Command, Decision, Effect, Fact, Rejected, State,
        state::{Inbox, Received},
    },
    problem::Problem,
    spec::PipelineSpec,
};

/// In every state, as long as the source is `http`: records wait until the pipeline runs. A batch that was taken in before
/// gets the same answer. One that is larger than all that may wait is taken in when nothing else waits.
pub(in crate::pipeline) fn ingest(
    state: &State,
    command: &Command,
    batch_id: &BatchId,
    hash: &str,
    records: u64,
    bytes: u64,
    chunk: &ChunkId,
) -> Result<Decision, Rejected> {
    let pipeline = state.pipeline().ok_or(Rejected::NotFound)?;
    if pipeline.spec.source.kind != Inbox::SOURCE {
        let message =
            format!("the source is {:?}, and only \"http\" takes records that are pushed", pipeline.spec.source.kind);
        let problem =
            Problem::new("source.type", "not-pushable", message).fix("push to a pipeline whose source is \"http\"");
        return Err(Rejected::Invalid { problems: vec![problem] });
    }
    match pipeline.inbox.seen.get(batch_id) {
        Some(seen) if seen.hash == hash => return Ok(Decision { received: Some(seen.clone()), ..Decision::default() }),
        Some(_) => return Err(Rejected::BatchIdReused),
        None => {}
    }
    command.target(state)?;
    let (pending, most) = (pipeline.inbox.pending_bytes(), most_pending_bytes(&pipeline.spec));
    if pending > 0 && pending.saturating_add(bytes) > most {
        return Err(Rejected::Overloaded { pending, most });
    }
    let (from, to) = (pipeline.inbox.received, pipeline.inbox.received.saturating_add(records));
    let fact =
        Fact::BatchReceived { batch_id: batch_id.clone(), hash: hash.into(), from, to, bytes, chunk: chunk.clone() };
    let mut decision = Decision::of(command, [fact]);
    decision.received = Some(Received { hash: hash.into(), from, to });
    Ok(if matches!(state, State::Running(_)) { decision.then(Effect::WakeRun) } else { decision })
}

fn most_pending_bytes(spec: &PipelineSpec) -> u64 {
    spec.source.config.get("maxPendingBytes").and_then(serde_json::Value::as_u64).unwrap_or(MAX_PENDING_BYTES)
}
