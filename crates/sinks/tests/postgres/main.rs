//! The `postgres` sink against a real server: each test in a schema of its own.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test has no node whose task or setting it could be
mod audited;
mod changed;
mod connections;
mod deletes;
mod json;
mod keys;
mod locks;
mod missing;
mod names;
mod order;
mod positions;
mod rejected;
mod round_trip;
mod secured;
mod settings;
mod tables;
mod target;
mod types;
