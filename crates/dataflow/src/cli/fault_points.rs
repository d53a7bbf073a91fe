//! `dataflow fault-points`: what tests can name in `DATAFLOW_FAULT`.
use super::{Outcome, exit::Failure};
use dataflow_testkit::fault_points::Passing;

pub(super) fn main() -> Result<Outcome, Failure> {
    for passing in Passing::all() {
        super::output::print(&format!("{passing}\n"));
    }
    Ok(Outcome::Done)
}
