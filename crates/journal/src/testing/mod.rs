//! For tests of backends and of whoever uses a journal: sample events, and the suite that every backend passes.
pub mod contract;
pub mod samples;
