//! A pipeline at a moment: the state from the journal, overlaid by what its run says meanwhile.
use super::EntityContext;
use crate::{
    answers::{BranchSnapshot, Failing, PipelineSnapshot},
    status::RunStatus,
};
use dataflow_core::{
    branch::BranchNumber,
    ledger::Counters,
    pipeline::{Branch, State, event::Cause},
    spec::{NamedSink, PipelineSpec},
    time::Timestamp,
    warned::{Notice, Warned},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;

/// A pipeline at a moment; none if there is none.
pub(crate) fn of(
    context: &EntityContext,
    state: &State,
    live: &BTreeMap<BranchNumber, Arc<RunStatus>>,
) -> Option<PipelineSnapshot> {
    let (plugins, pipeline) = (&context.parts.plugins, state.pipeline()?);
    let spec = &pipeline.spec;
    let mut sinks: Vec<_> = pipeline
        .present()
        .map(|(number, known)| {
            let mut snapshot = branch(context, known, live.get(&number).map(|live| &**live));
            snapshot.warnings.extend(context.restored.warning(pipeline));
            snapshot
        })
        .collect();
    let mut whole = sinks.first()?.clone();
    if sinks.len() > 1 {
        together(&mut whole, &sinks[1..]);
    } else {
        sinks.truncate(usize::from(whole.sink.is_some()));
    }
    let named = spec.sinks.iter().map(|named| NamedSink { sink: plugins.redact(&named.sink), ..named.clone() });
    Some(PipelineSnapshot {
        id: pipeline.id.clone(),
        spec: PipelineSpec {
            source: plugins.redact(&spec.source),
            sink: plugins.redact(&spec.sink),
            sinks: named.collect(),
            ..spec.clone()
        },
        version: pipeline.version,
        created_at: pipeline.created_at,
        updated_at: pipeline.updated_at,
        whole,
        sinks,
    })
}

/// Adds other branches to what is said of the first: sums of what they count, and the worst of what they say. Positions are only
/// those of a branch.
fn together(whole: &mut BranchSnapshot, others: &[BranchSnapshot]) {
    whole.positions.clear();
    whole.sink = None;
    for other in others {
        whole.status = whole.status.min(other.status);
        whole.stopping |= other.stopping;
        whole.updating |= other.updating;
        whole.opening |= other.opening;
        whole.generation = whole.generation.max(other.generation);
        whole.checkpoint_at = whole.checkpoint_at.min(other.checkpoint_at);
        whole.counters.add(&other.counters);
        whole.in_flight += other.in_flight;
        whole.per_second += other.per_second;
        whole.lag = whole.lag.max(other.lag);
        if whole.error.is_none() {
            whole.error.clone_from(&other.error);
        }
        let new = other.warnings.iter().filter(|warned| !whole.warnings.contains(warned)).cloned();
        let new: Vec<_> = new.collect();
        whole.warnings.extend(new);
    }
}

/// A branch at a moment.
fn branch(context: &EntityContext, branch: &Branch, live: Option<&RunStatus>) -> BranchSnapshot {
    let (progress, now) = (&branch.progress, context.parts.clock.now());
    let Ledger { counters, in_flight, per_second, lag } = ledger(branch, live, now);
    let stopping = branch.stopping();
    let lanes = progress.lanes.unwrap_or(1);
    let open = live.is_some_and(|live| live.lock().is_open(lanes));
    BranchSnapshot {
        sink: branch.sink.clone(),
        status: branch.status(),
        stopping: stopping.is_some(),
        updating: stopping.is_some_and(|then| then.update.is_some()),
        opening: branch.running().is_some() && stopping.is_none() && !open,
        generation: progress.generation.number,
        checkpoint_at: progress.at,
        positions: progress.positions(),
        counters: Counters { read: counters.read + in_flight, ..counters },
        in_flight,
        per_second,
        lag,
        error: error(branch, live, now),
        warnings: warnings(branch, live, || context.directory.warnings(&branch.id)),
    }
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
fn ledger(branch: &Branch, live: Option<&RunStatus>, now: Timestamp) -> Ledger {
    let Some(live) = live else { return Ledger { counters: branch.progress.counters(), ..Ledger::default() } };
    let live = live.lock();
    let mut counters = branch.progress.earlier;
    let mut in_flight = 0;
    // Lanes that the run has not opened yet are where the journal has them.
    for (lane, journalled) in &branch.progress.by_lane {
        if !live.lanes.contains_key(lane) {
            counters.add(&journalled.counters);
        }
    }
    for lane in live.lanes.values() {
        counters.add(&lane.committed);
        in_flight += lane.in_flight;
    }
    Ledger { counters, in_flight, per_second: live.rate(now), lag: live.lag() }
}

/// What runs have warned of since the spec last changed: of records, as often as they are committed, and of source and sink.
fn warnings(branch: &Branch, live: Option<&RunStatus>, last_noted: impl FnOnce() -> Vec<Warned>) -> Vec<Warned> {
    let mut all = branch.progress.notes.clone();
    let mut last = Vec::new();
    let live = live.map(RunStatus::lock);
    let by_run = |lane: &u32| live.as_ref().and_then(|live| live.lanes.get(lane));
    for (lane, journalled) in &branch.progress.by_lane {
        let warned = by_run(lane).map_or(&journalled.warnings, |live| &live.warned);
        // What one lane takes back may still hold in others.
        warned.iter().filter(|notice| !notice.is_over()).for_each(|notice| all.add(notice));
    }
    match &live {
        Some(live) => {
            let is_new = |noted: &&Notice| noted.is_over() || all.get(noted.key()).is_none();
            let new = live.noted.iter().filter(is_new);
            new.cloned().collect::<Vec<_>>().iter().for_each(|noted| all.add(noted));
        }
        None => last = last_noted(),
    }
    last.retain(|known| all.holding().all(|warned| (&warned.code, &warned.message) != (&known.code, &known.message)));
    last.extend(all.holding().cloned());
    last
}

/// What a run has noted of source and sink.
pub(super) fn noted(live: &RunStatus) -> Vec<Warned> {
    live.lock().noted.holding().cloned().collect()
}

fn error(branch: &Branch, live: Option<&RunStatus>, now: Timestamp) -> Option<Failing> {
    if let Some(failed) = branch.failed() {
        return Some(Failing {
            sink: branch.sink.clone(),
            cause: failed.cause.clone(),
            lane: None,
            since: failed.at,
            attempts: failed.attempt + 1,
            // The wait is no longer than this, whatever the clock was when it began.
            retry_at: failed.restart_at.map(|at| at.min(later(now, branch.longest_wait()))),
        });
    }
    let live = live?.lock();
    let trouble = live.trouble()?;
    Some(Failing {
        sink: branch.sink.clone(),
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
