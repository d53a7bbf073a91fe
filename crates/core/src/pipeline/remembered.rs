//! Commands that were carried out, so that a repeated one is known.
use crate::{
    id::CommandId,
    limits::{REMEMBERED_COMMANDS, REMEMBERED_COMMANDS_MS},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its id.
    pub id: CommandId,
    /// When.
    pub at: Timestamp,
}

/// Whether the command of this id was carried out.
pub(super) fn knows(commands: &VecDeque<Remembered>, id: &CommandId) -> bool {
    commands.iter().any(|known| known.id == *id)
}

/// Remembers a command, and forgets those that are too old or too many.
pub(super) fn remember(commands: &mut VecDeque<Remembered>, id: &CommandId, at: Timestamp) {
    if !knows(commands, id) {
        commands.push_back(Remembered { id: id.clone(), at });
    }
    let forgotten = at.plus_millis(-REMEMBERED_COMMANDS_MS);
    while commands.front().is_some_and(|oldest| commands.len() > REMEMBERED_COMMANDS || oldest.at < forgotten) {
        commands.pop_front();
    }
}
