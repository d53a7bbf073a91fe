//! The `kafka` sink against a real server: each test with topics of its own.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test has no node whose task or setting it could be
mod audited;
mod contract;
mod hidden;
mod messages;
mod refused;
mod restarted;
mod secured;
mod target;
mod topics;
