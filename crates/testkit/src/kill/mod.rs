//! The kill harness: kills a node at every fault point that a pair passes and at random moments, restarts it, and
//! proves the fate of every record. A [`Trial`] is one such run, determined by a [`Cell`] and a seed; a [`Campaign`]
//! repeats all cells, stores the outcome of each trial, and resumes when it is started again.
mod campaign;
mod cell;
mod restore;
mod results;
mod trial;

pub use campaign::Campaign;
pub use cell::{Cell, Strike};
pub use results::{Outcome, Results};
pub use trial::{Clean, Trial};
