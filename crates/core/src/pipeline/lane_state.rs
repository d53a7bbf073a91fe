//! The chunks that hold the state of a lane's transforms.
use crate::chunk::{ChunkKind, ChunkRef};

/// Takes in the chunks of a lane's state. A token names all chunks since the last checkpoint that its writer knew, so an adopted
/// one may name some that are there already.
pub(super) fn keep_state(state: &mut Vec<ChunkRef>, named: &[ChunkRef]) {
    for chunk in named {
        match chunk.kind {
            ChunkKind::DeadLetters => {}
            ChunkKind::State if state.first() == Some(chunk) => {}
            ChunkKind::State => *state = vec![chunk.clone()],
            ChunkKind::StateDelta if state.contains(chunk) => {}
            ChunkKind::StateDelta => state.push(chunk.clone()),
        }
    }
}
