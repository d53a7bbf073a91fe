//! The sinks of objects against real servers, each test with a bucket of its own: MinIO, Azurite, and a folder.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test has no node whose task or setting it could be

/// A test for each kind of store.
macro_rules! for_each_store {
    ($($name:ident)*) => {
        mod s3 { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::Kind::S3).await })* }
        mod azureblob { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::Kind::Azure).await })* }
        mod folder { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::Kind::Folder).await })* }
    };
}

mod contract;
mod folders;
mod formats;
mod protocol;
mod refused;
mod rights;
mod servers;
mod target;
