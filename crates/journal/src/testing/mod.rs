//! For tests of backends and of users of a journal: sample events, and the suite that every backend passes.
pub mod contract;
pub mod samples;
