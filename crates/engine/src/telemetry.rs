//! What operators see of pipelines beside the API: a line in the log for each change, and what the metrics mean.
use crate::view::rfc3339;
use dataflow_core::{
    id::PipelineId,
    ledger::Counters,
    pipeline::{Event, event::Fact},
};

/// Tells the recorder of metrics what each of the engine's means. To be called once it is installed.
pub fn describe_metrics() {
    for (name, meaning) in [
        ("dataflow_records_read_total", "Records read from the source and committed since the node started"),
        ("dataflow_records_filtered_total", "Records dropped on purpose by a transform"),
        ("dataflow_records_delivered_total", "Records whose rows the sink has committed"),
        ("dataflow_records_absorbed_total", "Records taken into durable state"),
        ("dataflow_records_dead_total", "Records kept as dead letters"),
        (
            "dataflow_records_lost_total",
            "Records that were no longer at the source and were passed over, as the spec allows",
        ),
        ("dataflow_rows_written_total", "Rows that the sink has committed"),
        ("dataflow_bytes_read_total", "Bytes of the records read"),
        ("dataflow_batches_total", "Commits to the sink"),
        ("dataflow_run_failures_total", "Runs that ended by a failure"),
    ] {
        metrics::describe_counter!(name, meaning);
    }
    metrics::describe_gauge!("dataflow_runs", "Pipelines that have a run on this node now");
}

/// Exports what has become durable of a pipeline's records.
pub(crate) fn count(pipeline: &PipelineId, before: &Counters, now: &Counters) {
    let labels = [("pipeline", pipeline.to_string())];
    for (name, now, before) in [
        ("dataflow_records_read_total", now.read, before.read),
        ("dataflow_records_filtered_total", now.filtered, before.filtered),
        ("dataflow_records_delivered_total", now.delivered, before.delivered),
        ("dataflow_records_absorbed_total", now.absorbed, before.absorbed),
        ("dataflow_records_dead_total", now.dead, before.dead),
        ("dataflow_records_lost_total", now.lost, before.lost),
        ("dataflow_rows_written_total", now.rows_written, before.rows_written),
        ("dataflow_bytes_read_total", now.bytes_read, before.bytes_read),
        ("dataflow_batches_total", now.batches, before.batches),
    ] {
        metrics::counter!(name, &labels).increment(now.saturating_sub(before));
    }
}

/// Logs what has happened to a pipeline. The flow of records is left to the metrics.
pub(crate) fn log(pipeline: &PipelineId, event: &Event) {
    let actor = event.actor.as_str();
    match &event.fact {
        Fact::PipelineCreated { .. } => tracing::info!(%pipeline, actor, "pipeline created"),
        Fact::PipelineUpdated { .. } => tracing::info!(%pipeline, actor, "pipeline updated"),
        Fact::PipelineStarted { attempt: 0, .. } => tracing::info!(%pipeline, actor, "pipeline started"),
        Fact::PipelineStarted { attempt, .. } => tracing::info!(%pipeline, actor, attempt, "pipeline started again"),
        Fact::StopRequested { restart: false } => tracing::info!(%pipeline, actor, "pipeline stopping"),
        Fact::StopRequested { restart: true } => tracing::info!(%pipeline, actor, "pipeline stopping, to start again"),
        Fact::PipelineStopped { settled } => tracing::info!(%pipeline, settled, "pipeline stopped"),
        Fact::RunOpened { run, lanes, .. } => {
            tracing::info!(%pipeline, run = run.0, lanes = lanes.len(), "pipeline reads on from its checkpoint");
        }
        Fact::PipelineFailed { restart_at: Some(at), .. } => {
            tracing::warn!(%pipeline, restart_at = rfc3339(*at), "pipeline failed, and starts again by itself");
        }
        Fact::PipelineFailed { restart_at: None, .. } => {
            tracing::warn!(%pipeline, "pipeline failed, and waits to be mended and started");
        }
        Fact::PipelineCompleted => tracing::info!(%pipeline, "pipeline completed"),
        Fact::CheckpointReset { to, generation } => {
            tracing::info!(%pipeline, actor, to, generation = generation.generation.0, "checkpoint reset");
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
