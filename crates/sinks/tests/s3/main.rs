//! The `s3` sink against a real MinIO: each test with a bucket of its own.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test has no node whose task or setting it could be
mod contract;
mod formats;
mod protocol;
mod refused;
mod servers;
mod target;
