//! The DataFlow binary: command line, settings, and [`node`], the only place that wires everything together.
pub mod allocator;
pub mod cli;
pub mod compute;
pub mod data_dir;
pub mod door;
#[cfg(feature = "fault-points")]
pub mod faults;
pub mod node;
pub mod plugins;
pub mod settings;
pub mod signals;
pub mod telemetry;
