//! Commands that were carried out, so that a repeated one is known.
use super::event::RecordedEvent;
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
    /// What tells its request apart from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<u64>,
    /// When.
    pub at: Timestamp,
}

/// The command of this id, if it was carried out.
pub(super) fn find<'a>(commands: &'a VecDeque<Remembered>, id: &CommandId) -> Option<&'a Remembered> {
    commands.iter().find(|known| known.id == *id)
}

/// Remembers a command, and forgets those that are too old or too many.
pub(super) fn remember(commands: &mut VecDeque<Remembered>, event: &RecordedEvent) {
    let RecordedEvent { command: id, hash, at, .. } = event;
    if find(commands, id).is_none() {
        commands.push_back(Remembered { id: id.clone(), hash: *hash, at: *at });
    }
    let forgotten = at.plus_millis(-REMEMBERED_COMMANDS_MS);
    while commands.front().is_some_and(|oldest| commands.len() > REMEMBERED_COMMANDS || oldest.at < forgotten) {
        commands.pop_front();
    }
}
