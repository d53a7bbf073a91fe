//! What follows from a command in a state.
use super::{Command, Event, Rejected, State, state::Received};

/// What follows from a command: what has happened, and what must now be done in the world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What has happened. Empty: nothing (a command that was carried out before).
    pub events: Vec<Event>,
    /// What must be done, by the shard's owner alone, once the events are durable. Replaying a history does none of it.
    pub effects: Vec<Effect>,
    /// The answer to an ingested batch, a new or a repeated one.
    pub received: Option<Received>,
}

/// Something to do in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Open a run of this pipeline.
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
/// # Errors
/// [`Rejected`] if the command is not allowed; nothing has happened then.
pub fn decide(state: &State, command: &Command) -> Result<Decision, Rejected> {
    let _ = (state, command);
    Err(Rejected::NotFound)
}
