//! A pipeline at a moment: the state from the journal, overlaid by what its run says meanwhile.
use super::EntityContext;
use crate::{
    answers::{Failing, PipelineSnapshot},
    status::RunStatus,
};
use dataflow_core::{
    id::PipelineId,
    ledger::Counters,
    pipeline::{Pipeline, State, event::Cause},
    spec::PipelineSpec,
    time::Timestamp,
    warned::Warned,
};
use tokio::time::Instant;

/// A pipeline at a moment; none if there is none.
pub(crate) fn of(
    context: &EntityContext,
    id: &PipelineId,
    state: &State,
    live: Option<&RunStatus>,
) -> Option<PipelineSnapshot> {
    let (plugins, now) = (&context.parts.plugins, context.parts.clock.now());
    let last_warnings = || context.directory.warnings(id);
    let pipeline = state.pipeline()?;
    let (spec, progress) = (&pipeline.spec, &pipeline.progress);
    let Ledger { counters, in_flight, per_second, lag } = ledger(pipeline, live, now);
    Some(PipelineSnapshot {
        id: id.clone(),
        spec: PipelineSpec { source: plugins.redact(&spec.source), sink: plugins.redact(&spec.sink), ..spec.clone() },
        status: state.status(),
        stopping: state.is_stopping(),
        updating: state.pending().is_some(),
        version: pipeline.version,
        generation: progress.generation.number,
        checkpoint_at: progress.at,
        positions: progress.positions(),
        counters: Counters { read: counters.read + in_flight, ..counters },
        in_flight,
        per_second,
        lag,
        error: error(state, live, now),
        warnings: warnings(pipeline, live, last_warnings),
        created_at: pipeline.created_at,
        updated_at: pipeline.updated_at,
    })
}

/// What became of the records.
#[derive(Default)]
struct Ledger {
    counters: Counters,
    in_flight: u64,
    per_second: f64,
    lag: Option<u64>,
}

/// One consistent snapshot of the ledger.
fn ledger(pipeline: &Pipeline, live: Option<&RunStatus>, now: Timestamp) -> Ledger {
    let Some(live) = live else { return Ledger { counters: pipeline.progress.counters(), ..Ledger::default() } };
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
    Ledger { counters, in_flight, per_second: live.rate(now), lag }
}

/// What runs have warned of since the spec last changed: of records, as often as they are committed, and of source and sink.
fn warnings(pipeline: &Pipeline, live: Option<&RunStatus>, last_noted: impl FnOnce() -> Vec<Warned>) -> Vec<Warned> {
    let mut all = pipeline.progress.notes.clone();
    let mut last = Vec::new();
    let live = live.map(RunStatus::lock);
    let by_run = |lane: &u32| live.as_ref().and_then(|live| live.lanes.get(lane));
    for (lane, journalled) in &pipeline.progress.by_lane {
        let warned = by_run(lane).map_or(&journalled.warnings, |live| &live.warned);
        // What one lane takes back may still hold in others.
        warned.holding().for_each(|warned| all.add(warned));
    }
    match &live {
        Some(live) => {
            let is_new = |noted: &&Warned| noted.is_over() || all.get(&noted.code, &noted.subject).is_none();
            let new = live.noted.iter().filter(is_new);
            new.cloned().collect::<Vec<_>>().iter().for_each(|noted| all.add(noted));
        }
        None => last = last_noted(),
    }
    last.retain(|known| all.iter().all(|warned| (&warned.code, &warned.message) != (&known.code, &known.message)));
    last.extend(all.holding().cloned());
    last
}

/// What a run has noted of source and sink.
pub(super) fn noted(live: &RunStatus) -> Vec<Warned> {
    live.lock().noted.holding().cloned().collect()
}

fn error(state: &State, live: Option<&RunStatus>, now: Timestamp) -> Option<Failing> {
    if let State::Failed(failed) = state {
        return Some(Failing {
            cause: failed.cause.clone(),
            lane: None,
            since: failed.at,
            attempts: failed.attempt + 1,
            // The wait is no longer than this, whatever the clock was when it began.
            retry_at: failed.restart_at.map(|at| at.min(later(now, failed.longest_wait()))),
        });
    }
    let live = live?.lock();
    let trouble = live.trouble()?;
    Some(Failing {
        cause: Cause {
            code: trouble.code.clone(),
            stage: trouble.stage.clone(),
            message: trouble.message.clone(),
            fix: trouble.fix.clone(),
            retryable: true,
        },
        lane: trouble.lane,
        since: trouble.since,
        attempts: trouble.attempts,
        retry_at: trouble.retry.map(|at| later(now, at.saturating_duration_since(Instant::now()).as_millis())),
    })
}

/// A time so many milliseconds after another one.
fn later(now: Timestamp, millis: impl TryInto<i64>) -> Timestamp {
    now.plus_millis(millis.try_into().unwrap_or(i64::MAX))
}
