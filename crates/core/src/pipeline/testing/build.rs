//! Builders: ids, specs, events and requests with all that a test does not care about filled in.
use crate::{
    branch::BranchNumber,
    chunk::{ChunkId, ChunkKind, ChunkRef},
    id::{Actor, BatchId, CommandId, Epoch, Generation, Incarnation, PipelineId, RunId},
    ledger::Counters,
    pipeline::{
        CommandKind, Event,
        command::{Change, Prepared, Reset, Settlement},
        event::{Cause, LaneOpened, LaneProgress, Lost, NewGeneration, Planned, Recovery},
        state::{Inbox, Then},
        then::{Asked, Update, Wanted},
    },
    position::{Position, Positions},
    spec::{Component, PipelineSpec},
    time::Timestamp,
    types::{InferredTypes, Type},
    warned::Warnings,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// When the past of [`given`](super::given) begins: 2026-01-01T00:00:00Z.
pub const EPOCH: Timestamp = Timestamp(1_767_225_600_000);
/// When commands are asked: one hour after [`EPOCH`].
pub const NOW: Timestamp = Timestamp(EPOCH.0 + 3_600_000);

/// Makes something of a JSON value that is known to fit.
///
/// # Panics
/// If it does not fit.
#[track_caller]
pub fn from_json<T: serde::de::DeserializeOwned>(value: Value) -> T {
    match serde_json::from_value(value) {
        Ok(made) => made,
        Err(error) => panic!("{error}"),
    }
}

/// The pipeline that all is about: `orders`.
pub fn id() -> PipelineId {
    from_json(json!("orders"))
}

/// A user.
pub fn user() -> Actor {
    from_json(json!("user"))
}

/// A command id.
pub fn command_id(text: &str) -> CommandId {
    from_json(json!(text))
}

/// A batch id.
pub fn batch_id(text: &str) -> BatchId {
    from_json(json!(text))
}

/// A pipeline's incarnation.
pub fn incarnation() -> Incarnation {
    from_json(json!("incarnation-1"))
}

/// A pipeline from an `http` source through a filter into a table, called `orders`.
pub fn spec() -> PipelineSpec {
    from_json(json!({
        "name": "orders",
        "source": {"type": "http"},
        "transforms": [{"type": "filter", "condition": "amount > 10"}],
        "sink": {"type": "sqlite", "path": "orders.db", "table": "orders"}
    }))
}

/// [`spec`] with another description: a change that is made while it runs.
pub fn described() -> PipelineSpec {
    PipelineSpec { description: "all orders".into(), ..spec() }
}

/// [`spec`] with another transform: a change within the generation.
pub fn refiltered() -> PipelineSpec {
    PipelineSpec { transforms: vec![component(json!({"type": "filter", "condition": "amount > 20"}))], ..spec() }
}

/// [`spec`] with another sink: a change that starts a new generation.
pub fn redirected() -> PipelineSpec {
    PipelineSpec { sink: component(json!({"type": "sqlite", "path": "orders.db", "table": "other"})), ..spec() }
}

/// [`spec`] with another source: a change that gives up positions.
pub fn resourced() -> PipelineSpec {
    PipelineSpec { source: component(json!({"type": "file", "path": "orders.jsonl"})), ..spec() }
}

/// Most bytes that wait of records pushed to a pipeline whose source doesn't say it.
pub const MAX_PENDING_BYTES: u64 = 64 * 1024 * 1024;

/// What the source of a spec accepts of pushed records.
pub fn pushes(spec: &PipelineSpec) -> Option<u64> {
    let most = spec.source.config.get("maxPendingBytes").and_then(Value::as_u64);
    (spec.source.kind == Inbox::PARTITION).then_some(most.unwrap_or(MAX_PENDING_BYTES))
}

/// A source, transform or sink.
pub fn component(value: Value) -> Component {
    from_json(value)
}

/// A position of the `http` source.
pub fn at(position: u64) -> Positions {
    [("http".into(), Position::offset(position))].into()
}

/// Counts of a lane that has read `records`, delivered all but every tenth, and kept that as a dead letter.
pub fn counters(records: u64) -> Counters {
    Counters {
        read: records,
        delivered: records - records / 10,
        dead: records / 10,
        rows_written: records - records / 10,
        bytes_read: 100 * records,
        batches: records.div_ceil(100),
        ..Counters::default()
    }
}

/// A chunk of dead letters.
pub fn dead_letters(name: &str, records: u64) -> ChunkRef {
    ChunkRef { id: chunk(name), kind: ChunkKind::DeadLetters, records }
}

/// The name of a chunk.
pub fn chunk(name: &str) -> ChunkId {
    ChunkId(format!("orders/incarnation-1/7/{name}").into())
}

/// Lane 0 after commit `sequence`, 100 records a commit.
pub fn lane(sequence: u64) -> LaneProgress {
    LaneProgress {
        lane: 0,
        sequence,
        positions: at(100 * sequence),
        counters: counters(100 * sequence),
        chunks: Vec::new(),
        warnings: Warnings::default(),
        handle: None,
    }
}

/// The lane as a run opens it.
pub fn lane_opened(progress: LaneProgress) -> LaneOpened {
    LaneOpened {
        lane: progress.lane,
        decision: if progress.sequence == 0 { Recovery::Fresh } else { Recovery::Agreed },
        journal_sequence: progress.sequence,
        token_sequence: (progress.sequence > 0).then_some(progress.sequence),
        progress,
    }
}

/// The nonce of all generations that start in tests.
pub const NONCE: u64 = 0x5f3a;

/// Generation number `number`, from `positions` on.
pub fn generation(number: u64, positions: Positions) -> NewGeneration {
    NewGeneration {
        generation: Generation::new(number, NONCE),
        met: Vec::new(),
        positions,
        given_up: Positions::new(),
        settled: Vec::new(),
        lost: None,
        retargeted: None,
        discarded: None,
        reached: Positions::new(),
        passed: Vec::new(),
        notes: Default::default(),
        unsettled: None,
    }
}

/// Why a run failed.
pub fn cause(retryable: bool) -> Cause {
    Cause {
        code: "unreachable".into(),
        stage: "sink".into(),
        message: "can't open orders.db: disk full".into(),
        fix: Some("free some space".into()),
        retryable,
    }
}

/// What a run has learned.
pub fn learned(ty: Type) -> InferredTypes {
    InferredTypes([("amount".to_owned(), Some(ty)), ("note".to_owned(), None)].into())
}

/// Records that are no longer there.
pub fn ten_lost() -> Lost {
    Lost { partition: "http".into(), from: Position::offset(0), to: Position::offset(10), records: 10 }
}

/// It was made, as [`spec`].
pub fn created() -> Event {
    created_as(spec())
}

/// A pipeline of this spec was made.
pub fn created_as(spec: PipelineSpec) -> Event {
    let pushes = pushes(&spec);
    Event::PipelineCreated { spec: Box::new(spec), incarnation: incarnation(), pushes }
}

/// It was changed, within the generation.
pub fn updated(spec: PipelineSpec) -> Event {
    let pushes = pushes(&spec);
    Event::PipelineUpdated {
        spec: Box::new(spec),
        sink: None,
        generation: None,
        positions: None,
        discarded: None,
        pushes,
    }
}

/// It was changed, within the generation, and that takes effect at `position`.
pub fn updated_at(spec: PipelineSpec, position: u64) -> Event {
    let pushes = pushes(&spec);
    Event::PipelineUpdated {
        spec: Box::new(spec),
        sink: None,
        generation: None,
        positions: Some(at(position)),
        discarded: None,
        pushes,
    }
}

/// A user started it, with one lane.
pub fn started() -> Event {
    Event::PipelineStarted { lanes: 1, attempt: 0 }
}

/// Run number `run` opened its lane at commit `sequence`.
pub fn opened(run: u64, sequence: u64) -> Event {
    Event::RunOpened {
        run: RunId(run),
        epoch: Epoch(7),
        lanes: vec![lane_opened(lane(sequence))],
        reserved_versions: None,
    }
}

/// A partition for each of two lanes.
pub fn planned() -> Vec<Planned> {
    let planned = |partition: &str, lane, begin| Planned { partition: partition.into(), lane, begin };
    vec![planned("orders/1", 0, Position::offset(7)), planned("orders/2", 1, Position::offset(8).of("topic 5"))]
}

/// Run number `run` has committed up to `sequence`.
pub fn processed(run: u64, sequence: u64) -> Event {
    Event::BatchProcessed { run: RunId(run), lanes: vec![lane(sequence)], reserved_versions: None }
}

/// Batch `name` was pushed, records `from` to `to`, 10 bytes each.
pub fn received(name: &str, from: u64, to: u64) -> Event {
    Event::BatchReceived {
        source: None,
        batch_id: batch_id(name),
        hash: format!("hash of {name}"),
        from,
        to,
        bytes: 10 * (to - from),
        chunk: chunk(name),
    }
}

/// It was told to stop.
pub fn stop_requested() -> Event {
    Event::StopRequested { then: Then::default() }
}

/// It was told to stop, and to start again.
pub fn restart_requested() -> Event {
    Event::StopRequested { then: Then { update: None, start: true } }
}

/// It was told to stop, to become `spec` and, if so, to start again; asked by a user with the command `command`, of this hash.
pub fn update_requested(spec: PipelineSpec, start: bool, command: &str, hash: u64) -> Event {
    let by = Asked { actor: user(), reason: None, trace: None, command: command_id(command), hash: Some(hash) };
    let wanted = wanted(spec, true);
    Event::StopRequested { then: Then { update: Some(Box::new(Update { wanted, by })), start } }
}

/// It has stopped, and all is settled.
pub fn stopped() -> Event {
    Event::PipelineStopped { unsettled: None }
}

/// It failed, and waits for a user.
pub fn failed() -> Event {
    Event::PipelineFailed { cause: cause(false), restart_at: None }
}

/// It failed, and is started again at [`NOW`].
pub fn failed_for_now() -> Event {
    Event::PipelineFailed { cause: cause(true), restart_at: Some(NOW) }
}

/// Make it.
pub fn create() -> CommandKind {
    CommandKind::Create { spec: Box::new(spec()), incarnation: incarnation(), pushes: pushes(&spec()) }
}

/// Change it; a generation that ends was settled as lane 0 after `settled` commits.
pub fn update(spec: PipelineSpec, settled: u64) -> CommandKind {
    update_with(spec, Settlement::Settled { lanes: vec![lane(settled)], met: Vec::new(), lost: None })
}

/// Change it, with the sink out of reach.
pub fn update_unsettled(spec: PipelineSpec, forced: bool) -> CommandKind {
    update_with(spec, Settlement::Unsettled { reason: "no route to host".into(), forced })
}

/// Change it to read something else, which says nothing to the position that it has.
pub fn update_source(reset: bool) -> CommandKind {
    let change = Change {
        source: true,
        given_up: [(Inbox::PARTITION.into(), "the beginning".to_owned())].into(),
        ..Change::default()
    };
    let settlement = Settlement::Settled { lanes: vec![lane(3)], met: Vec::new(), lost: None };
    let wanted = Wanted { reset, ..wanted(resourced(), false) };
    CommandKind::Update { wanted, prepared: [(0, Prepared { change, ..prepared(&resourced(), settlement) })].into() }
}

/// What a user wants, without giving up positions.
pub fn wanted(spec: PipelineSpec, retarget: bool) -> Wanted {
    Wanted { spec: Box::new(spec), reset: false, retarget, force: false }
}

/// What `spec` in the place of [`spec`](self::spec) comes to, where what they have of source and sink is all that matters to them.
pub fn prepared(spec: &PipelineSpec, settlement: Settlement) -> Prepared {
    let before = self::spec();
    let (source, sink) = (spec.source != before.source, spec.sink != before.sink);
    let target = |spec: &PipelineSpec| serde_json::Value::Object(spec.sink.config.clone()).to_string();
    let target = sink.then(|| (target(&before), target(spec)));
    let change = Change { source, sink, target, given_up: BTreeMap::new() };
    let pushes = pushes(spec);
    Prepared {
        change,
        pushes,
        settlement,
        reached: Positions::new(),
        target: None,
        shares: BTreeSet::new(),
        nonce: NONCE,
    }
}

/// The sink was asked: lane 0 is after `settled` commits.
pub fn settled(settled: u64) -> Settlement {
    Settlement::Settled { lanes: vec![lane(settled)], met: Vec::new(), lost: None }
}

/// Change it, where what [`spec`] has of source and sink is all that matters to them.
pub fn update_with(spec: PipelineSpec, settlement: Settlement) -> CommandKind {
    let prepared = prepared(&spec, settlement);
    CommandKind::Update { wanted: wanted(spec, true), prepared: [(0, prepared)].into() }
}

/// Change the sink, without a word of what becomes of what it has written.
pub fn update_target_unasked() -> CommandKind {
    let settlement = Settlement::Unsettled { reason: "no route to host".into(), forced: true };
    let prepared = prepared(&redirected(), settlement);
    CommandKind::Update { wanted: wanted(redirected(), false), prepared: [(0, prepared)].into() }
}

/// Run it.
pub fn start() -> CommandKind {
    CommandKind::Start { only: None }
}

/// Stop it.
pub fn stop() -> CommandKind {
    CommandKind::Stop { only: None }
}

/// Stop it if it runs, and run it again.
pub fn restart() -> CommandKind {
    CommandKind::Restart { only: None }
}

/// Go on from the beginning.
pub fn reset(settlement: Settlement) -> CommandKind {
    let (positions, passed, reached) = (Positions::new(), vec![], Positions::new());
    let reset = Reset { positions, passed, reached, settlement, nonce: NONCE };
    reset_to("beginning", reset)
}

/// Go on from somewhere.
pub fn reset_to(to: &str, reset: Reset) -> CommandKind {
    CommandKind::ResetCheckpoint { to: to.into(), resets: [(0, reset)].into() }
}

/// Take in batch `name` of so many records, 10 bytes each.
pub fn ingest(name: &str, records: u64) -> CommandKind {
    CommandKind::Ingest {
        batch_id: batch_id(name),
        hash: format!("hash of {name}"),
        records,
        bytes: 10 * records,
        chunk: chunk(name),
        replay: false,
    }
}

/// Run number `run` is open, its lane at commit `sequence`.
pub fn report_opened(run: u64, sequence: u64) -> CommandKind {
    CommandKind::ReportOpened {
        run: RunId(run),
        epoch: Epoch(7),
        lanes: vec![lane_opened(lane(sequence))],
        reserved_versions: None,
    }
}

/// Run number `run` has committed up to `sequence`.
pub fn report_progress(run: u64, sequence: u64) -> CommandKind {
    CommandKind::ReportProgress { run: RunId(run), lanes: vec![lane(sequence)], reserved_versions: None }
}

/// Run number `run` has stopped, and all is settled.
pub fn report_stopped(run: u64) -> CommandKind {
    CommandKind::ReportStopped { run: RunId(run), unsettled: None, prepared: refiltering() }
}

/// The same, and this is what the update comes to that waits for it.
pub fn report_stopped_for(run: u64, update: Prepared) -> CommandKind {
    CommandKind::ReportStopped { run: RunId(run), unsettled: None, prepared: [(0, update)].into() }
}

/// What an update to [`refiltered`] comes to, in the case that it waits.
fn refiltering() -> BTreeMap<BranchNumber, Prepared> {
    [(0, prepared(&refiltered(), Settlement::NotNeeded))].into()
}

/// Run number `run` has failed; the restart policy would wait for a second.
pub fn report_failed(run: u64, retryable: bool) -> CommandKind {
    CommandKind::ReportFailed {
        run: RunId(run),
        cause: cause(retryable),
        restart_in: Some(1_000),
        prepared: refiltering(),
    }
}

/// Run number `run` has come to the end of its source.
pub fn report_completed(run: u64) -> CommandKind {
    CommandKind::ReportCompleted { run: RunId(run), prepared: refiltering() }
}
