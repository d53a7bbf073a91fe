//! Tests of the pure domain: given a past, when a command comes, then this follows.
#![allow(clippy::unwrap_used)]
mod branches;
mod chunk;
mod commands;
mod identity;
mod lifecycle;
mod properties;
mod room;
mod spec;
mod table;
mod types;
mod updated_branches;
