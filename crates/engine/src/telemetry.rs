//! What operators see of pipelines beside the API: a line in the log for each change, and the metrics of the process.
use crate::answers::Flow;
use dataflow_core::{
    id::PipelineId,
    ledger::Counters,
    pipeline::{
        Event,
        event::{Fact, Recovery},
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
pub(crate) fn log(pipeline: &PipelineId, event: &Event) {
    let actor = event.actor.as_str();
    match &event.fact {
        Fact::PipelineCreated { .. } => tracing::info!(%pipeline, actor, "pipeline created"),
        Fact::PipelineUpdated { .. } => tracing::info!(%pipeline, actor, "pipeline updated"),
        Fact::PipelineStarted { attempt: 0, .. } => tracing::info!(%pipeline, actor, "pipeline started"),
        Fact::PipelineStarted { attempt, .. } => tracing::info!(%pipeline, actor, attempt, "pipeline restarted"),
        Fact::StopRequested { then: Then { update: Some(_), .. } } => {
            tracing::info!(%pipeline, actor, "pipeline stopping for an update");
        }
        Fact::StopRequested { then: Then { start: true, .. } } => {
            tracing::info!(%pipeline, actor, "pipeline stopping for a restart");
        }
        Fact::StopRequested { .. } => tracing::info!(%pipeline, actor, "pipeline stopping"),
        Fact::UpdateRefused { code, message } => {
            tracing::warn!(%pipeline, actor, code, "the update was not made; the pipeline continues unchanged: {message}");
        }
        Fact::PipelineStopped { settled } => tracing::info!(%pipeline, settled, "pipeline stopped"),
        Fact::RunOpened { run, lanes, .. } if lanes.iter().all(|lane| lane.decision == Recovery::Fresh) => {
            tracing::info!(%pipeline, run = run.0, lanes = lanes.len(), "pipeline reads from the beginning of its source");
        }
        Fact::RunOpened { run, lanes, .. } => {
            tracing::info!(%pipeline, run = run.0, lanes = lanes.len(), "pipeline continues from its checkpoint");
        }
        Fact::PartitionsPlanned { run, planned } => {
            tracing::info!(%pipeline, run = run.0, partitions = planned.len(), "partitions of the source were assigned to lanes");
        }
        Fact::PipelineFailed { restart_at: Some(at), .. } => {
            tracing::warn!(%pipeline, restart_at = %at, "pipeline failed; it starts again by itself");
        }
        Fact::PipelineFailed { restart_at: None, .. } => {
            tracing::warn!(%pipeline, "pipeline failed; fix the cause, then start it");
        }
        Fact::PipelineCompleted => tracing::info!(%pipeline, "pipeline completed"),
        Fact::CheckpointReset { to, generation } => {
            tracing::info!(%pipeline, actor, to, generation = %generation.generation, "checkpoint reset");
        }
        Fact::PipelineDeleted => tracing::info!(%pipeline, actor, "pipeline deleted"),
        // The source has said more about lost records when it found them out.
        Fact::BatchReceived { .. }
        | Fact::BatchProcessed { .. }
        | Fact::SchemaChanged { .. }
        | Fact::DeadLettersJoined { .. }
        | Fact::RecordsLost(_) => {}
    }
}
