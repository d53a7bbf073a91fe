//! How a bucket of S3, or of a server that speaks its protocol, is reached: shared by source and sink.
mod access;
mod connection;
mod failure;
mod http;
pub mod server;

pub use access::{Access, check_bucket};
pub use connection::{Answer, Connection, PATIENCE, Request, Rights, can_be_asked, retry};
pub use failure::{Failed, Trouble};
pub use http::Http;
