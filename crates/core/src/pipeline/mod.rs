//! The pipeline aggregate: its state, what may be asked of it, and what has happened to it.
//!
//! [`decide()`] says what follows from a command in a state; [`evolve()`] takes an event into the state. Both are
//! pure, so a state is the fold of its history, and a history that was accepted can always be folded again.
mod batches;
mod branch;
pub mod command;
mod commands;
mod decide;
pub mod event;
mod evolve;
pub mod inbox;
mod lane_state;
mod losses;
mod plan;
mod progress;
pub mod rejected;
mod remembered;
pub mod state;
#[cfg(feature = "testing")]
pub mod testing;
pub mod then;

pub use command::{Command, CommandKind};
pub use decide::{Decision, Effect, decide, decide_after};
pub use event::{Event, RecordedEvent};
pub use evolve::{CorruptHistory, evolve, fold};
pub use losses::Losses;
pub use plan::Plan;
pub use rejected::Rejected;
pub use state::{Branch, BranchView, Phase, Pipeline, State, Status};
