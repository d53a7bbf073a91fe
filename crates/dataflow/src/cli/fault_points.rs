//! `dataflow fault-points`: what tests can name in `DATAFLOW_FAULT`.
use super::{Outcome, exit::Failure};
use dataflow_testkit::fault_points::Passing;

pub(super) fn main() -> Result<Outcome, Failure> {
    for passing in Passing::all() {
        println!("{passing}");
    }
    Ok(Outcome::Done)
}
