//! A pipeline as users see it: the state from the journal, overlaid by what its run says meanwhile.
use crate::{
    parts::Plugins,
    run::live::Live,
    view::{
        CheckpointView, ErrorView, LaneRecovery, MetricsView, PipelineView, PositionView, RecoveryView, WarningView,
        rfc3339, settings,
    },
};
use dataflow_core::{
    ledger::Counters,
    pipeline::{
        Pipeline, State,
        event::{LaneOpened, Recovery},
    },
    position::Positions,
    time::Timestamp,
    warned::Warned,
};
use tokio::time::Instant;

/// The view of a pipeline; none if there is none.
pub(crate) fn pipeline(
    state: &State,
    live: Option<&Live>,
    last_warnings: impl FnOnce() -> Vec<WarningView>,
    plugins: &dyn Plugins,
    now: Timestamp,
) -> Option<PipelineView> {
    let pipeline = state.pipeline()?;
    let spec = &pipeline.spec;
    let metrics = metrics(pipeline, live, now);
    let stopping = state.is_stopping();
    Some(PipelineView {
        pipeline_id: pipeline.id.to_string(),
        name: spec.name.clone(),
        description: spec.description.clone(),
        labels: spec.labels.clone(),
        status: state.status(),
        stopping,
        updating: state.pending().is_some(),
        source: plugins.redact(&spec.source),
        transforms: spec.transforms.clone(),
        sink: plugins.redact(&spec.sink),
        settings: settings(spec),
        version: pipeline.version,
        checkpoint: checkpoint(pipeline),
        metrics,
        error: error(state, live, now),
        warnings: warnings(pipeline, live, last_warnings),
        dead_letters_by_cause: None,
        created_at: rfc3339(pipeline.created_at),
        updated_at: rfc3339(pipeline.updated_at),
    })
}

fn checkpoint(pipeline: &Pipeline) -> CheckpointView {
    CheckpointView {
        generation: pipeline.progress.generation.number,
        at: pipeline.progress.at.map(rfc3339),
        positions: positions(&pipeline.progress.positions()),
    }
}

fn positions(positions: &Positions) -> Vec<PositionView> {
    positions
        .iter()
        .map(|(partition, position)| PositionView { partition: partition.to_string(), position: position.to_string() })
        .collect()
}

/// One consistent snapshot of the ledger.
fn metrics(pipeline: &Pipeline, live: Option<&Live>, now: Timestamp) -> MetricsView {
    let Some(live) = live else { return ledger(&pipeline.progress.counters(), 0) };
    let live = live.lock();
    let mut counters = pipeline.progress.earlier;
    let mut in_flight = 0;
    let mut lag = None;
    // Lanes that the run has not opened yet are where the journal has them.
    for (lane, journalled) in &pipeline.progress.by_lane {
        if !live.lanes.contains_key(lane) {
            counters.add(&journalled.counters);
        }
    }
    for lane in live.lanes.values() {
        counters.add(&lane.committed);
        in_flight += lane.in_flight;
        lag = lane.lag.map_or(lag, |more| Some(lag.unwrap_or(0) + more));
    }
    MetricsView { records_per_second: live.rate(now), lag, ..ledger(&counters, in_flight) }
}

/// What runs have warned of since the spec last changed: of records, as often as they are committed, and of source and sink.
fn warnings(
    pipeline: &Pipeline,
    live: Option<&Live>,
    last_noted: impl FnOnce() -> Vec<WarningView>,
) -> Vec<WarningView> {
    let mut all = pipeline.progress.notes.clone();
    let mut views = Vec::new();
    let live = live.map(Live::lock);
    let by_run = |lane: &u32| live.as_ref().and_then(|live| live.lanes.get(lane));
    for (lane, journalled) in &pipeline.progress.by_lane {
        let warned = by_run(lane).map_or(&journalled.warnings, |live| &live.warned);
        warned.iter().for_each(|warned| all.add(warned));
    }
    match &live {
        Some(live) => {
            let new = live.noted.iter().filter(|noted| all.get(&noted.code, &noted.subject).is_none());
            new.cloned().collect::<Vec<_>>().iter().for_each(|noted| all.add(noted));
        }
        None => views = last_noted(),
    }
    views.retain(|view| all.iter().all(|warned| (&warned.code, &warned.message) != (&view.code, &view.message)));
    views.extend(all.iter().map(shown));
    views
}

fn shown(warned: &Warned) -> WarningView {
    WarningView { code: warned.code.clone(), message: warned.message.clone(), records: warned.records }
}

/// What a run has noted of source and sink.
pub(crate) fn noted(live: &Live) -> Vec<WarningView> {
    live.lock().noted.iter().map(shown).collect()
}

fn ledger(counters: &Counters, in_flight: u64) -> MetricsView {
    MetricsView {
        records_read: counters.read + in_flight,
        records_filtered: counters.filtered,
        records_delivered: counters.delivered,
        records_absorbed: counters.absorbed,
        records_dead: counters.dead,
        records_lost: counters.lost,
        bytes_lost: counters.bytes_lost,
        records_in_flight: in_flight,
        rows_written: counters.rows_written,
        bytes_read: counters.bytes_read,
        batches: counters.batches,
        records_per_second: 0.0,
        lag: None,
    }
}

fn error(state: &State, live: Option<&Live>, now: Timestamp) -> Option<ErrorView> {
    if let State::Failed(failed) = state {
        let cause = &failed.cause;
        return Some(ErrorView {
            code: cause.code.clone(),
            stage: cause.stage.clone(),
            lane: None,
            message: cause.message.clone(),
            fix: cause.fix.clone(),
            since: rfc3339(failed.at),
            attempts: failed.attempt + 1,
            // The wait is no longer than this, whatever the clock was when it began.
            retry_at: failed.restart_at.map(|at| rfc3339(at.min(later(now, failed.longest_wait())))),
        });
    }
    let live = live?.lock();
    let trouble = live.trouble.as_ref()?;
    Some(ErrorView {
        code: trouble.code.clone(),
        stage: trouble.stage.clone(),
        lane: trouble.lane,
        message: trouble.message.clone(),
        fix: trouble.fix.clone(),
        since: rfc3339(trouble.since),
        attempts: trouble.attempts,
        retry_at: trouble.retry.map(|at| rfc3339(later(now, at.saturating_duration_since(Instant::now()).as_millis()))),
    })
}

/// A time so many milliseconds after another one.
fn later(now: Timestamp, millis: impl TryInto<i64>) -> Timestamp {
    now.plus_millis(millis.try_into().unwrap_or(i64::MAX))
}

/// Why the last run went on where it did.
pub(crate) fn recovery(pipeline: &Pipeline) -> RecoveryView {
    let last = pipeline.last_run.as_ref();
    RecoveryView {
        run: last.map(|run| run.run.0),
        at: last.map(|run| rfc3339(run.at)),
        epoch: last.map(|run| run.epoch.0),
        generation: pipeline.progress.generation.number,
        lanes: last.map_or_else(Vec::new, |run| run.lanes.iter().map(lane).collect()),
    }
}

fn lane(opened: &LaneOpened) -> LaneRecovery {
    let journal = opened.journal_sequence;
    let (decision, explanation) = match opened.decision {
        Recovery::Fresh => {
            ("fresh", "nothing had been committed in this generation: the run started at its beginning".into())
        }
        Recovery::Agreed => {
            ("agreed", format!("the sink's token and the journal's checkpoint agree on commit {journal}"))
        }
        Recovery::TokenAdopted => (
            "tokenAdopted",
            format!(
                "the sink's token, at commit {}, was ahead of the journal's checkpoint, at commit {journal}: the sink's \
                    commits count, so the run continued after them",
                opened.token_sequence.unwrap_or_default()
            ),
        ),
        Recovery::Journal => (
            "journal",
            format!(
                "the run continued from the journal's checkpoint, at commit {journal}: later output of the sink was cut off, or is written again with the same effect"
            ),
        ),
        Recovery::AtLeastOnce => (
            "atLeastOnce",
            format!(
                "the run continued from the journal's checkpoint, at commit {journal}: later output may be there twice, because this sink can't take anything back"
            ),
        ),
    };
    LaneRecovery {
        lane: opened.lane,
        decision: decision.into(),
        explanation,
        journal_sequence: journal,
        token_sequence: opened.token_sequence,
        positions: positions(&opened.progress.positions),
    }
}
