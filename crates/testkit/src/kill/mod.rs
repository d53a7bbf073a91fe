//! The kill harness: a node is killed at every fault point that a pair passes and at random moments, started again, and
//! what comes of every record is proved. A [`Trial`] is one such story, told by a [`Cell`] and a seed; a [`Campaign`]
//! goes through all cells, keeps what came of each trial, and goes on where it was when it is started again.
mod campaign;
mod cell;
mod restore;
mod results;
mod trial;

pub use campaign::Campaign;
pub use cell::{Cell, Strike};
pub use results::{Outcome, Results};
pub use trial::{Clean, Trial};
