//! Decides a command in a state.
use super::{
    Command, CommandKind, RecordedEvent, Rejected, State,
    commands::{
        completed, create, delete, failed,
        ingest::{self, Ingested},
        join, lost, opened, partitions, progress, reset_checkpoint, restart, schema, start, stop, stopped, update,
    },
    state::Received,
};
use crate::branch::BranchNumber;

/// The result of a command: its events, and the effects to carry out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The events. Empty if nothing happened (a command that was carried out before).
    pub events: Vec<RecordedEvent>,
    /// The effects, by branch, which only the shard's owner carries out, once the events are durable. Replaying a history carries
    /// out none.
    pub effects: Vec<(BranchNumber, Effect)>,
    /// The answer to an ingested batch, a new or a repeated one.
    pub received: Option<Received>,
    /// Why an update that waited for the stop can't be made.
    pub refused: Option<Rejected>,
}

/// Something to do in the world, for a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Open a run of it.
    StartRun,
    /// Let its run commit what is under way, and end it.
    StopRun,
    /// Wake its run: records were pushed.
    WakeRun,
    /// Start it again at this time, unless something happened to it before.
    RestartAt(crate::time::Timestamp),
}

/// Says what follows from `command` in `state`.
///
/// A user's command that was carried out before changes nothing and is no error, whatever the pipeline is by now; another
/// one under its id is.
///
/// # Errors
/// [`Rejected`] if the command is not allowed; nothing has happened then.
pub fn decide(state: &State, command: &Command) -> Result<Decision, Rejected> {
    decide_after(state, &[], command)
}

/// Says what follows from `command` in `state`, if `earlier` were decided just before and will be durable together with
/// it. Only pushed batches can be decided so: `earlier` are theirs.
///
/// # Errors
/// [`Rejected`] if the command is not allowed; nothing has happened then.
pub fn decide_after(state: &State, earlier: &[RecordedEvent], command: &Command) -> Result<Decision, Rejected> {
    let mut decision = events(state, earlier, command)?;
    let first = state.events() + earlier.len() as u64 + 1;
    for (number, event) in (first..).zip(&mut decision.events) {
        event.number = number;
    }
    Ok(decision)
}

fn events(state: &State, earlier: &[RecordedEvent], command: &Command) -> Result<Decision, Rejected> {
    if command.kind.is_remembered()
        && let Some(before) = state.carried_out(&command.id)
    {
        return if before.hash == command.hash { Ok(Decision::default()) } else { Err(Rejected::KeyReused) };
    }
    match &command.kind {
        CommandKind::Create { spec, incarnation, pushes } => create::create(state, command, spec, incarnation, *pushes),
        CommandKind::Update { wanted, prepared } => update::update(state, command, wanted, prepared),
        CommandKind::Start { only } => start::start(state, command, *only),
        CommandKind::Stop { only } => stop::stop(state, command, *only),
        CommandKind::Restart { only } => restart::restart(state, command, *only),
        CommandKind::ResetCheckpoint { to, resets } => reset_checkpoint::reset_checkpoint(state, command, to, resets),
        CommandKind::Delete { discard } => delete::delete(state, command, *discard),
        CommandKind::Ingest { batch_id, hash, records, bytes, chunk, replay } => {
            let batch = Ingested { batch_id, hash, records: *records, bytes: *bytes, chunk, replay: *replay };
            ingest::ingest(state, earlier, command, &batch)
        }
        CommandKind::ReportOpened { run, epoch, lanes, reserved_versions } => {
            opened::opened(state, command, (*run, *epoch), lanes, *reserved_versions)
        }
        CommandKind::ReportPartitions { run, found, lanes } => {
            partitions::partitions(state, command, *run, (found, *lanes))
        }
        CommandKind::ReportProgress { run, lanes, reserved_versions } => {
            progress::progress(state, command, *run, lanes, *reserved_versions)
        }
        CommandKind::ReportSchema { run, learned } => schema::schema(state, command, *run, learned),
        CommandKind::ReportLost { run, lost } => lost::lost(state, command, *run, lost),
        CommandKind::JoinDeadLetters { first, count, into } => join::join(state, command, *first, *count, into),
        CommandKind::ReportStopped { run, unsettled, prepared } => {
            stopped::stopped(state, command, *run, unsettled.as_ref(), prepared)
        }
        CommandKind::ReportFailed { run, cause, restart_in, prepared } => {
            failed::failed(state, command, *run, cause, *restart_in, prepared)
        }
        CommandKind::ReportCompleted { run, prepared } => completed::completed(state, command, *run, prepared),
    }
}
