//! Tools for DataFlow's tests: a source and sinks in memory whose state outlives a run and which fail on request, and
//! the conformance suite that every sink passes.
#[cfg(feature = "witness")]
pub mod bucket;
pub mod conformance;
#[cfg(feature = "fault-points")]
pub mod fault_points;
pub mod fixture;
#[cfg(feature = "harness")]
pub mod flow;
pub mod hostile;
#[cfg(feature = "harness")]
pub mod kill;
pub mod memory;
#[cfg(feature = "own-servers")]
pub mod own;
#[cfg(feature = "parts")]
pub mod parts;
#[cfg(feature = "harness")]
pub mod program;
pub mod proxy;
#[cfg(feature = "harness")]
pub mod search;
pub mod servers;
#[cfg(feature = "witness")]
pub mod topic;
#[cfg(feature = "witness")]
pub mod witness;
