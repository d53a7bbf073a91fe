//! What operators see of pipelines beside the API: a line in the log for each change, and the metrics of the process.
use crate::answers::Flow;
use dataflow_core::{
    id::PipelineId,
    ledger::Counters,
    pipeline::{
        RecordedEvent,
        event::{Cause, Event, Recovery},
        then::Then,
    },
};

/// Tells the recorder of metrics what each of the engine's means. To be called once it is installed.
pub fn describe_metrics() {
    metrics::describe_gauge!("dataflow_runs", "Pipelines running on this node");
}

/// Notes what has become durable of a pipeline's records.
pub(crate) fn count(flow: &mut Flow, before: &Counters, now: &Counters) {
    flow.counters.add(&now.beyond(before));
}

/// Logs what has happened to a pipeline. The flow of records is left to the metrics.
pub(crate) fn log(pipeline: &PipelineId, sink: Option<&str>, event: &RecordedEvent) {
    let actor = event.actor.as_str();
    match &event.event {
        Event::PipelineCreated { .. } => tracing::info!(%pipeline, sink, actor, "pipeline created"),
        Event::PipelineUpdated { .. } => tracing::info!(%pipeline, sink, actor, "pipeline updated"),
        Event::PipelineStarted { attempt: 0, .. } => tracing::info!(%pipeline, sink, actor, "pipeline started"),
        Event::PipelineStarted { attempt, .. } => tracing::info!(%pipeline, sink, actor, attempt, "pipeline restarted"),
        Event::StopRequested { then: Then { update: Some(_), .. } } => {
            tracing::info!(%pipeline, sink, actor, "pipeline stopping for an update");
        }
        Event::StopRequested { then: Then { start: true, .. } } => {
            tracing::info!(%pipeline, sink, actor, "pipeline stopping for a restart");
        }
        Event::StopRequested { .. } => tracing::info!(%pipeline, sink, actor, "pipeline stopping"),
        Event::UpdateRefused { code, message } => {
            tracing::warn!(%pipeline, sink, actor, code, "the update was not made; the pipeline continues unchanged: {message}");
        }
        Event::PipelineStopped { unsettled: None } => tracing::info!(%pipeline, sink, "pipeline stopped"),
        Event::PipelineStopped { unsettled: Some(Cause { code, stage, message, fix, .. }) } => {
            tracing::warn!(%pipeline, sink, code, stage, fix, "pipeline stopped; the next start takes over what the sink has, because what was under way could not be settled: {message}");
        }
        Event::RunOpened { run, lanes, .. } if lanes.iter().all(|lane| lane.decision == Recovery::Fresh) => {
            tracing::info!(%pipeline, sink, run = run.0, lanes = lanes.len(), "pipeline starts where its generation begins: nothing is committed in it yet");
        }
        Event::RunOpened { run, lanes, .. } => {
            tracing::info!(%pipeline, sink, run = run.0, lanes = lanes.len(), "pipeline continues from its checkpoint");
        }
        Event::PartitionsPlanned { run, planned, lanes } => {
            tracing::info!(%pipeline, sink, run = run.0, partitions = planned.len(), lanes, "partitions of the source were assigned to lanes");
        }
        Event::PipelineFailed { restart_at: Some(at), .. } => {
            tracing::warn!(%pipeline, sink, restart_at = %at, "pipeline failed; it starts again by itself");
        }
        Event::PipelineFailed { restart_at: None, .. } => {
            tracing::warn!(%pipeline, sink, "pipeline failed; fix the cause, then start it");
        }
        Event::PipelineCompleted => tracing::info!(%pipeline, sink, "pipeline completed"),
        Event::CheckpointReset { to, generation } => {
            tracing::info!(%pipeline, sink, actor, to, generation = %generation.generation, "checkpoint reset");
        }
        Event::PipelineDeleted => tracing::info!(%pipeline, sink, actor, "pipeline deleted"),
        // The source has said more about lost records when it found them out.
        Event::BatchReceived { .. }
        | Event::BatchProcessed { .. }
        | Event::SchemaChanged { .. }
        | Event::DeadLettersJoined { .. }
        | Event::RecordsLost(_) => {}
    }
}
