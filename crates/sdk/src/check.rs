//! Checking what users wrote against a config's schema: all findings at once, unknown fields with the nearest known name.
pub use dataflow_core::problem::Problem;
