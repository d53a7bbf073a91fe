//! The `elasticsearch` sink against real servers, Elasticsearch and OpenSearch: each test with indices of its own.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test has no node whose task or setting it could be
mod audit;
mod contract;
mod documents;
mod faults;
mod gone;
mod keys;
mod others;
mod secured;
mod target;
