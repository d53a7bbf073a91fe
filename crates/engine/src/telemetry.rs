//! What operators see of pipelines beside the API: a line in the log for each change, and what the metrics mean.
use crate::{directory::Flow, view::rfc3339};
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
    metrics::describe_gauge!("dataflow_runs", "Pipelines that have a run on this node now");
}

type Count = fn(&Flow) -> u64;

/// What is counted of each pipeline: name, meaning, where it is.
const COUNTED: [(&str, &str, Count); 11] = [
    ("records_read", "Records read from the source and committed since the node started", |flow| flow.counters.read),
    ("records_filtered", "Records dropped on purpose by a transform", |flow| flow.counters.filtered),
    ("records_delivered", "Records whose rows the sink has committed", |flow| flow.counters.delivered),
    ("records_absorbed", "Records taken into durable state", |flow| flow.counters.absorbed),
    ("records_dead", "Records kept as dead letters", |flow| flow.counters.dead),
    ("records_lost", "Records that the source or the target has lost, and that were passed over by choice", |flow| {
        flow.counters.lost
    }),
    ("bytes_lost", "Bytes of files that were lost with records that nobody could count", |flow| {
        flow.counters.bytes_lost
    }),
    ("rows_written", "Rows that the sink has committed", |flow| flow.counters.rows_written),
    ("bytes_read", "Bytes of the records read", |flow| flow.counters.bytes_read),
    ("batches", "Commits to the sink", |flow| flow.counters.batches),
    ("run_failures", "Runs that ended by a failure", |flow| flow.failures),
];

/// What the pipelines that there are have done, as Prometheus reads it.
pub(crate) fn metrics(flows: &[(PipelineId, Flow)]) -> String {
    let mut text = String::new();
    for (name, meaning, count) in COUNTED {
        let name = format!("dataflow_{name}_total");
        text.push_str(&format!("# HELP {name} {meaning}\n# TYPE {name} counter\n"));
        for (pipeline, flow) in flows {
            text.push_str(&format!("{name}{{pipeline=\"{pipeline}\"}} {}\n", count(flow)));
        }
    }
    text
}

/// Notes what has become durable of a pipeline's records.
pub(crate) fn count(flow: &mut Flow, before: &Counters, now: &Counters) {
    let total = &mut flow.counters;
    for (total, now, before) in [
        (&mut total.read, now.read, before.read),
        (&mut total.filtered, now.filtered, before.filtered),
        (&mut total.delivered, now.delivered, before.delivered),
        (&mut total.absorbed, now.absorbed, before.absorbed),
        (&mut total.dead, now.dead, before.dead),
        (&mut total.lost, now.lost, before.lost),
        (&mut total.bytes_lost, now.bytes_lost, before.bytes_lost),
        (&mut total.rows_written, now.rows_written, before.rows_written),
        (&mut total.bytes_read, now.bytes_read, before.bytes_read),
        (&mut total.batches, now.batches, before.batches),
    ] {
        *total += now.saturating_sub(before);
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
        Fact::StopRequested { then: Then { update: Some(_), .. } } => {
            tracing::info!(%pipeline, actor, "pipeline stopping, to be updated");
        }
        Fact::StopRequested { then: Then { start: true, .. } } => {
            tracing::info!(%pipeline, actor, "pipeline stopping, to start again");
        }
        Fact::StopRequested { .. } => tracing::info!(%pipeline, actor, "pipeline stopping"),
        Fact::UpdateRefused { code, message } => {
            tracing::warn!(%pipeline, actor, code, "the update was not made, and the pipeline goes on as it was: {message}");
        }
        Fact::PipelineStopped { settled } => tracing::info!(%pipeline, settled, "pipeline stopped"),
        Fact::RunOpened { run, lanes, .. } if lanes.iter().all(|lane| lane.decision == Recovery::Fresh) => {
            tracing::info!(%pipeline, run = run.0, lanes = lanes.len(), "pipeline reads from where its source starts");
        }
        Fact::RunOpened { run, lanes, .. } => {
            tracing::info!(%pipeline, run = run.0, lanes = lanes.len(), "pipeline reads on from its checkpoint");
        }
        Fact::PartitionsPlanned { run, planned } => {
            tracing::info!(%pipeline, run = run.0, partitions = planned.len(), "partitions of the source were given to lanes");
        }
        Fact::PipelineFailed { restart_at: Some(at), .. } => {
            tracing::warn!(%pipeline, restart_at = rfc3339(*at), "pipeline failed; it starts again by itself");
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
