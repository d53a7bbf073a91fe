//! What the sources and sinks that speak to PostgreSQL share: how a URL is read, pools and sessions, TLS, and what an error of the
//! server means.
pub mod failure;
pub mod pool;
pub mod session;
pub mod sql;
mod tls;

pub use tls::Connector;
