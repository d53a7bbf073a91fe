//! The test-only switch for fault points, in builds with the feature `fault-points`.
use dataflow_engine::parts::Parts;
use dataflow_testkit::fault_points::{Faults, Invalid, VARIABLE};

/// What the environment asks for; none: nothing.
#[expect(clippy::disallowed_methods, reason = "it is for tests of this process, and no setting")]
fn asked() -> Result<Option<Faults>, Invalid> {
    std::env::var(VARIABLE).ok().map(|text| Faults::parse(&text)).transpose()
}

/// The parts with the points around them, if the environment asks for faults.
///
/// # Errors
/// If what it asks for can't be understood.
pub fn around(parts: Parts) -> Result<Parts, Invalid> {
    Ok(match asked()? {
        Some(faults) => faults.around(parts),
        None => parts,
    })
}

/// Whether the data folder may be shared by two nodes.
pub fn folder_is_shared() -> bool {
    asked().is_ok_and(|asked| asked.is_some_and(|faults| !faults.folder_lock()))
}
