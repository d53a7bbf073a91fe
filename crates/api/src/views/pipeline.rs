//! Pipelines, what was pushed to them, and the node that holds them.
use super::positions;
use dataflow_api_types::{
    CheckpointView, ErrorView, MetricsView, PipelineView, ReceivedView, RegionView, SinkView, WarningView,
};
use dataflow_core::{
    spec::{NamedSink, PipelineSpec},
    warned::Warned,
};
use dataflow_engine::answers::{BranchSnapshot, Failing, Overview, PipelineSnapshot, Received};
use serde_json::{Map, Value};

/// A pipeline.
pub fn pipeline(pipeline: PipelineSnapshot) -> PipelineView {
    let PipelineSnapshot { id, spec, version, created_at, updated_at, whole, sinks: branches } = pipeline;
    let (checkpoint, metrics, settings) = (checkpoint(&whole), metrics(&whole), settings(&spec));
    let PipelineSpec { name, description, labels, source, transforms, sink, sinks, .. } = spec;
    let warnings = match branches.is_empty() {
        true => whole.warnings.into_iter().map(warning).collect(),
        false => branches.iter().flat_map(warnings_of).collect(),
    };
    let of_sink = |branch: BranchSnapshot| {
        let named = sinks.iter().find(|named| Some(&named.name) == branch.sink.as_ref())?;
        Some(of_sink(named.clone(), branch))
    };
    PipelineView {
        pipeline_id: id.to_string(),
        name,
        description,
        labels,
        status: whole.status.into(),
        stopping: whole.stopping,
        updating: whole.updating,
        opening: whole.opening,
        source,
        transforms,
        sink: Some(sink).filter(|sink| !sink.is_none()),
        sinks: branches.into_iter().filter_map(of_sink).collect(),
        settings,
        version,
        checkpoint,
        metrics,
        error: whole.error.map(error),
        warnings,
        dead_letters_by_cause: None,
        created_at: created_at.to_string(),
        updated_at: updated_at.to_string(),
    }
}

/// One of several sinks.
fn of_sink(NamedSink { name, when, sink }: NamedSink, branch: BranchSnapshot) -> SinkView {
    SinkView {
        name: name.to_string(),
        when,
        sink,
        status: branch.status.into(),
        stopping: branch.stopping,
        updating: branch.updating,
        opening: branch.opening,
        checkpoint: checkpoint(&branch),
        metrics: metrics(&branch),
        error: branch.error.map(error),
        warnings: branch.warnings.into_iter().map(warning).collect(),
        dead_letters_by_cause: None,
    }
}

/// How far a branch is.
pub fn checkpoint(branch: &BranchSnapshot) -> CheckpointView {
    CheckpointView {
        generation: branch.generation,
        at: branch.checkpoint_at.map(|at| at.to_string()),
        positions: positions(&branch.positions),
    }
}

fn metrics(branch: &BranchSnapshot) -> MetricsView {
    let BranchSnapshot { counters, in_flight, per_second, lag, .. } = branch;
    MetricsView {
        records_read: counters.read,
        records_filtered: counters.filtered,
        records_delivered: counters.delivered,
        records_absorbed: counters.absorbed,
        records_dead: counters.dead,
        records_lost: counters.lost,
        bytes_lost: counters.bytes_lost,
        records_in_flight: *in_flight,
        rows_written: counters.rows_written,
        bytes_read: counters.bytes_read,
        batches: counters.batches,
        records_per_second: *per_second,
        lag: *lag,
    }
}

/// What was set of a spec beside what has a place of its own.
fn settings(spec: &PipelineSpec) -> Map<String, Value> {
    const SHOWN: [&str; 7] = ["name", "description", "labels", "source", "transforms", "sink", "sinks"];
    match serde_json::to_value(spec) {
        Ok(Value::Object(all)) => all.into_iter().filter(|(name, _)| !SHOWN.contains(&name.as_str())).collect(),
        _ => Map::new(),
    }
}

fn error(Failing { cause, sink, lane, since, attempts, retry_at }: Failing) -> ErrorView {
    ErrorView {
        code: cause.code,
        stage: cause.stage,
        sink: sink.map(|sink| sink.to_string()),
        lane,
        message: cause.message,
        fix: cause.fix,
        since: since.to_string(),
        attempts,
        retry_at: retry_at.map(|at| at.to_string()),
    }
}

fn warning(Warned { code, subject: _, message, records }: Warned) -> WarningView {
    WarningView { code, sink: None, message, records }
}

/// What is worth knowing of one of several sinks, with its name.
fn warnings_of(branch: &BranchSnapshot) -> impl Iterator<Item = WarningView> {
    let sink = branch.sink.as_ref().map(ToString::to_string);
    branch.warnings.iter().cloned().map(move |warned| WarningView { sink: sink.clone(), ..warning(warned) })
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
    let Overview { shards_owned, shards_assigned: _, by_status, entities, runs, unwritable, closed } = overview;
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
