//! Transforms and a sink's demand, compiled to one program.
mod build;
mod convert;
mod frame;
mod meta;
mod misfits;
mod run;
mod target;
mod watch;

pub(crate) use build::{Builder, Step};
pub(crate) use run::Chain;
