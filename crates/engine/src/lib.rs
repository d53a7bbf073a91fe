//! The engine: hosts pipelines as entities, and runs them.
pub mod region;
pub mod view;
