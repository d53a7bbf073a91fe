//! Pipelines, what was pushed to them, and the node that holds them.
use super::positions;
use dataflow_api_types::{CheckpointView, ErrorView, MetricsView, PipelineView, ReceivedView, RegionView, WarningView};
use dataflow_core::{spec::PipelineSpec, warned::Warned};
use dataflow_engine::answers::{Failing, Overview, PipelineSnapshot, Received};
use serde_json::{Map, Value};

/// A pipeline.
pub fn pipeline(pipeline: PipelineSnapshot) -> PipelineView {
    let (checkpoint, metrics, settings) = (checkpoint(&pipeline), metrics(&pipeline), settings(&pipeline.spec));
    let PipelineSpec { name, description, labels, source, transforms, sink, .. } = pipeline.spec;
    PipelineView {
        pipeline_id: pipeline.id.to_string(),
        name,
        description,
        labels,
        status: pipeline.status.into(),
        stopping: pipeline.stopping,
        updating: pipeline.updating,
        source,
        transforms,
        sink,
        settings,
        version: pipeline.version,
        checkpoint,
        metrics,
        error: pipeline.error.map(error),
        warnings: pipeline.warnings.into_iter().map(warning).collect(),
        dead_letters_by_cause: None,
        created_at: pipeline.created_at.to_string(),
        updated_at: pipeline.updated_at.to_string(),
    }
}

/// How far it is.
pub fn checkpoint(pipeline: &PipelineSnapshot) -> CheckpointView {
    CheckpointView {
        generation: pipeline.generation,
        at: pipeline.checkpoint_at.map(|at| at.to_string()),
        positions: positions(&pipeline.positions),
    }
}

fn metrics(pipeline: &PipelineSnapshot) -> MetricsView {
    let counters = &pipeline.counters;
    MetricsView {
        records_read: counters.read,
        records_filtered: counters.filtered,
        records_delivered: counters.delivered,
        records_absorbed: counters.absorbed,
        records_dead: counters.dead,
        records_lost: counters.lost,
        bytes_lost: counters.bytes_lost,
        records_in_flight: pipeline.in_flight,
        rows_written: counters.rows_written,
        bytes_read: counters.bytes_read,
        batches: counters.batches,
        records_per_second: pipeline.per_second,
        lag: pipeline.lag,
    }
}

/// What was set of a spec beside what has a place of its own.
fn settings(spec: &PipelineSpec) -> Map<String, Value> {
    const SHOWN: [&str; 6] = ["name", "description", "labels", "source", "transforms", "sink"];
    match serde_json::to_value(spec) {
        Ok(Value::Object(all)) => all.into_iter().filter(|(name, _)| !SHOWN.contains(&name.as_str())).collect(),
        _ => Map::new(),
    }
}

fn error(Failing { cause, lane, since, attempts, retry_at }: Failing) -> ErrorView {
    ErrorView {
        code: cause.code,
        stage: cause.stage,
        lane,
        message: cause.message,
        fix: cause.fix,
        since: since.to_string(),
        attempts,
        retry_at: retry_at.map(|at| at.to_string()),
    }
}

fn warning(Warned { code, subject: _, message, records }: Warned) -> WarningView {
    WarningView { code, message, records }
}

/// What became of a pushed batch.
pub(crate) fn received(received: Received) -> ReceivedView {
    ReceivedView {
        batch_id: received.batch.to_string(),
        accepted: received.accepted,
        position: received.to.to_string(),
        delivered: received.delivered,
        dead_letters: received.dead,
    }
}

/// What a node holds.
pub(crate) fn region(overview: Overview) -> RegionView {
    let Overview { shards_owned, by_status, entities, runs, unwritable, closed } = overview;
    RegionView {
        shards_owned,
        pipelines: by_status.values().sum(),
        by_status: by_status.into_iter().map(|(status, count)| (status.to_string(), count)).collect(),
        entities,
        runs,
        unwritable,
        closed,
    }
}
