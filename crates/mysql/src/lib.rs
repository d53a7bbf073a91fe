//! A client of MySQL and MariaDB, as far as reading needs one: URLs, TLS, logging in, queries whose rows come as the server's own text, and
//! what an error of the server means. Why it is none of a registry: docs/adr/0024-mysql-order.md.
mod auth;
mod failure;
mod fields;
mod login;
mod session;
pub mod sql;
mod url;
mod wire;

pub use session::{Column, Flavour, Row, Session};
pub use url::{Target, check, read};
