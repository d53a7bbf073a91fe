//! Reads records into columns, and writes columns as records.
pub mod csv;
pub mod decode;
pub mod dialect;
pub mod encode;
pub mod foreign;
mod json;
mod marks;
pub mod oversized;
pub mod pushed;

pub use json::MAX_DEPTH;
pub use marks::Marks;
